"use strict";
/* Which process speaks in a line of a mail log, what it says, and which issues are known to say it.

   The same as courierlib/maillog.py, from the same expressions, which the catalogue carries. Nothing here touches
   the page. */
globalThis.courierReader = (() => {
  const catalogue = globalThis.courierCatalogue;

  // A line of syslog has at most some kilobytes. What is longer is cut, so that no pattern runs long over one line.
  const LONGEST_LINE = 65536;
  const SAMPLE_LENGTH = 500;

  const TOKEN =
    /\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[^])|\[(?:\\[^]|[^\]\\])*\]|\(\?[:=!]|[*+?]\??|\{[0-9]+(?:,[0-9]*)?\}\??|[^]/g;
  // White space as Python's re has it; JavaScript's own class leaves some of it out.
  const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

  // With the flag s a dot matches, inside one line, what it matches in Python.
  function compiled(pattern) {
    const source = pattern.match(TOKEN).map(token => {
      if (token === "\\s") return `[${SPACE}]`;
      if (token === "\\S") return `[^${SPACE}]`;
      return token.length > 2 && token[0] === "["
        ? token.replace(/\\[^]/g, pair => (pair === "\\s" ? SPACE : pair))
        : token;
    });
    return new RegExp(source.join(""), "s");
  }

  const prefixes = catalogue.prefixes.map(compiled);
  const bareTag = compiled(catalogue.bare_tag);
  const processes = new Set(catalogue.processes);
  const known = catalogue.issues.map(issue => ({
    issue,
    signatures: issue.signatures.map(signature => ({
      signature,
      process: new Set(signature.process),
      pattern: compiled(signature.pattern),
    })),
  }));

  const isBlank = code => code === 32 || code === 9 || code === 13 || code === 10;

  // A loop, because an expression for the blanks at the end takes quadratic time on blanks in the middle.
  function stripped(text) {
    let start = 0;
    let end = text.length;
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    while (start < end && isBlank(text.charCodeAt(end - 1))) end--;
    return text.slice(start, end);
  }

  /* [tag, message] of a line; the tag is empty if the line has none that can be told from the message. */
  function split(line) {
    line = stripped(line);
    for (const prefix of prefixes) {
      const found = prefix.exec(line);
      if (found) return [found[1], stripped(line.slice(found[0].length))];
    }
    const found = bareTag.exec(line);
    return found && processes.has(found[1]) ? [found[1], stripped(line.slice(found[0].length))] : ["", line];
  }

  function saying(tag, message) {
    const found = [];
    for (const { issue, signatures } of known) {
      const first = signatures.find(({ process, pattern }) => (!tag || process.has(tag)) && pattern.test(message));
      if (first) found.push({ issue, signature: first.signature });
    }
    return found;
  }

  /* [{issue, signature}]: the issues that are known to log the line, each with its first signature that matches. */
  function matching(line) {
    return saying(...split(line));
  }

  /* {issues, shared, strange} of a line that somebody pasted.

     A line may carry a tag that no issue knows: a container's name, another distribution's. Then what counts is the
     message alone, and `strange` is that tag. */
  function answers(line) {
    const [tag, message] = split(line.slice(0, LONGEST_LINE));
    let found = saying(tag, message);
    const strange = tag && !found.length ? tag : "";
    if (strange) found = saying("", message);
    return { issues: found.map(({ issue }) => issue), shared: found.length > 1, strange: found.length ? strange : "" };
  }

  // One word, or part of one, stands in too many lines to say anything.
  const SHORTEST_PART = 8;

  /* The issues of which a known line contains the text: somebody typed part of it. */
  function containing(text) {
    const part = stripped(text).toLowerCase().replace(/\s+/g, " ");
    if (part.length < SHORTEST_PART || !part.includes(" ")) return [];
    return catalogue.issues.filter(issue =>
      issue.signatures.some(({ sample: line }) => line.toLowerCase().includes(part)),
    );
  }

  const STAMP =
    /\b[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?|\b[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?\b/g;
  const PARTICULAR =
    /\b(?:id|msgid|from|addr|user|uid|size|pid|port|ip|relay)=(?:<[^>]*>|\[[^\]]*\]|[^\s,]*),?|\[[0-9]+\]|<?[^\s<>@=]+@[^\s<>@,]+>?|\[?::ffff:[0-9.]+\]?|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b/g;
  const LINE_LIKE = /\b(?:id|ip|port|addr)=[[<0-9]|\berror:[0-9A-F]{6}|\[[0-9]+\]: /;
  const QUESTION_LENGTH = 200;
  const MOST_WORDS = 24;
  // What the search reads as more than a letter; a hyphen is an operator unless it stands behind a letter.
  const OPERATOR = /[:~^*+"\\]/g;
  const LEADING_HYPHENS = /(^|[^\p{L}\p{N}])-+/gu;

  /* What a full-text search should look for when somebody pastes a log line: its words, without time, host, process
     and whatever is particular to the one message. A question keeps its words, but nothing in it is an operator. */
  function clean(text) {
    const line = stripped(text.slice(0, 2000));
    const [tag, message] = split(line);
    const plain = message.replace(STAMP, " ");
    if (!tag && plain === line && line.length <= QUESTION_LENGTH && !LINE_LIKE.test(line))
      return text.replace(OPERATOR, " ").replace(LEADING_HYPHENS, "$1 ");
    // Letters, digits and what binds them: nothing that would be read as an operator.
    const words = plain.replace(PARTICULAR, " ").match(/[\p{L}\p{N}](?:[\p{L}\p{N}_./'-]*[\p{L}\p{N}])?/gu) || [];
    return [...new Set(words)].slice(0, MOST_WORDS).join(" ");
  }

  /* The strings of which at least one stands in every text that the pattern matches; undefined if there are none. */
  function literals(pattern) {
    const tokens = pattern.match(TOKEN);
    let at = 0;
    const worth = strings => (strings ? Math.min(...strings.map(string => string.length)) : 0);

    function alternatives() {
      const found = [sequence()];
      while (tokens[at] === "|") {
        at++;
        found.push(sequence());
      }
      return found.includes(undefined) ? undefined : found.flat();
    }

    // Counts how often the token before must stand there: 0, 1 (at least), or undefined for exactly once.
    function quantifier() {
      if (!/^(?:[*+?]\??|\{[0-9].*)$/.test(tokens[at] || "")) return undefined;
      return /^(?:[*?]|\{0)/.test(tokens[at++]) ? 0 : 1;
    }

    function sequence() {
      let best;
      let run = "";
      const offer = strings => {
        if (worth(strings) > worth(best)) best = strings;
      };
      const endRun = () => {
        if (run) offer([run]);
        run = "";
      };
      while (at < tokens.length && tokens[at] !== "|" && tokens[at] !== ")") {
        const token = tokens[at++];
        if (token[0] === "(") {
          const inside = alternatives();
          at++;
          endRun();
          if (quantifier() !== 0 && token !== "(?!") offer(inside);
          continue;
        }
        const literal = /^\\[^A-Za-z0-9]$/.test(token) ? token[1] : /^[^\\^$.]$/.test(token) ? token : "";
        const times = quantifier();
        if (literal && times !== 0) run += literal;
        if (!literal || times !== undefined) endRun();
      }
      endRun();
      return best;
    }

    return alternatives();
  }

  /* One expression that finds every place where a line may match; null if only trying every line will do. */
  function sieve(patterns) {
    const sets = patterns.map(literals);
    if (!sets.length || sets.some(strings => !strings)) return null;
    const all = [...new Set(sets.flat())].sort();
    const needed = all.filter(string => !all.some(other => other !== string && string.includes(other)));
    return new RegExp(needed.map(string => string.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  }

  const candidate = sieve(catalogue.issues.flatMap(issue => issue.signatures.map(signature => signature.pattern)));
  const EVERY_LINE = /[^\n]/g;
  const SUSPECT = /error|fail|denied|cannot|unable|refused|abort/gi;

  // Calls back with start and end of each line in which the expression finds something, until told to stop by false.
  function eachLine(block, expression, visit) {
    expression.lastIndex = 0;
    for (let found; (found = expression.exec(block));) {
      const start = found.index ? block.lastIndexOf("\n", found.index - 1) + 1 : 0;
      let end = block.indexOf("\n", found.index);
      if (end < 0) end = block.length;
      if (visit(start, end) === false) return;
      expression.lastIndex = end;
    }
  }

  function linesIn(block) {
    let count = 0;
    for (let start = 0, end; start < block.length; start = end + 1) {
      end = block.indexOf("\n", start);
      if (end < 0) end = block.length;
      if (end > start && (block.charCodeAt(start) > 32 || stripped(block.slice(start, end)))) count++;
    }
    return count;
  }

  // Copied, because a slice would keep the whole text in memory that it was cut from.
  function sample(block, start, end) {
    const line = stripped(block.slice(start, Math.min(end, start + LONGEST_LINE)));
    return line.slice(0, SAMPLE_LENGTH).split("").join("") + (line.length > SAMPLE_LENGTH ? "…" : "");
  }

  /* Reads a log of any size piece by piece, in little memory.

     push(text) takes the next piece, report() says what was found so far, finish() takes what is left and then says it:
     {lines, matched, unmatched, issues: [{issue, lines, strange: {lines, tags}, shares: [issue], samples}], suspects},
     the issue with most lines first. */
  function scanner({ samples = 5, suspects = 20 } = {}) {
    const found = new Map();
    const suspicious = [];
    let carried = "";
    let skipping = false;
    let lines = 0;
    let matched = 0;

    function note(issues, strange, block, start, end) {
      for (const issue of issues) {
        if (!found.has(issue))
          found.set(issue, { issue, lines: 0, strange: { lines: 0, tags: new Set() }, shares: new Set(), samples: [] });
        const entry = found.get(issue);
        entry.lines++;
        if (strange) {
          entry.strange.lines++;
          if (entry.strange.tags.size < 5) entry.strange.tags.add(strange);
        }
        for (const other of issues) if (other !== issue) entry.shares.add(other);
        if (entry.samples.length < samples) entry.samples.push(sample(block, start, end));
      }
    }

    function scan(block) {
      lines += linesIn(block);
      const known = new Set();
      eachLine(block, candidate || EVERY_LINE, (start, end) => {
        const { issues, strange } = answers(block.slice(start, end));
        if (!issues.length) return;
        matched++;
        note(issues, strange, block, start, end);
        if (suspicious.length < suspects) known.add(start);
      });
      if (suspicious.length >= suspects) return;
      eachLine(block, SUSPECT, (start, end) => {
        if (!known.has(start)) suspicious.push(sample(block, start, end));
        return suspicious.length < suspects;
      });
    }

    function push(text) {
      if (skipping) {
        const end = text.indexOf("\n");
        if (end < 0) return;
        text = text.slice(end + 1);
        skipping = false;
      }
      const last = text.lastIndexOf("\n");
      if (last >= 0) {
        scan(carried + text.slice(0, last));
        carried = "";
      }
      carried += text.slice(last + 1);
      if (carried.length > LONGEST_LINE) {
        scan(carried.slice(0, LONGEST_LINE));
        carried = "";
        skipping = true;
      }
    }

    function report() {
      const order = [...found.values()].sort(
        (one, other) =>
          other.lines - one.lines || catalogue.issues.indexOf(one.issue) - catalogue.issues.indexOf(other.issue),
      );
      return {
        lines,
        matched,
        unmatched: lines - matched,
        issues: order.map(entry => ({
          ...entry,
          strange: { lines: entry.strange.lines, tags: [...entry.strange.tags] },
          shares: catalogue.issues.filter(issue => entry.shares.has(issue)),
        })),
        suspects: suspicious,
      };
    }

    function finish() {
      if (carried) scan(carried);
      carried = "";
      return report();
    }

    return { push, report, finish };
  }

  // With the flag u the range of surrogates means those that stand alone.
  const UNSEEN =
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]/gu;

  /* The text with everything made visible that a terminal or a browser would obey instead of showing it. */
  function visible(text) {
    return text.replace(UNSEEN, character => {
      const code = character.charCodeAt(0).toString(16);
      return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    });
  }

  return { split, matching, answers, containing, clean, scanner, visible, literals, compiled };
})();
