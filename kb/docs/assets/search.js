"use strict";
/* Answers of the catalogue above the results of the search dialog.

   The dialog's own search finds words. A pasted log line says more: the catalogue knows which issues log it. */
(() => {
  const reader = globalThis.courierReader;
  const input = document.querySelector("[data-md-component=search-query]");
  const results = document.querySelector("[data-md-component=search-result]");
  const toggle = document.getElementById("__search");
  if (!reader || !input || !results || !toggle) return;
  const { element, address, sentence, severity } = globalThis.courierPage;

  // The search runs in a worker, in the copy without a server in a frame that stands for one; both are asked by
  // messages of this type.
  const QUERY = 2;
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    const isQuery = message && message.type === QUERY && typeof message.data === "string";
    return post.call(this, isQuery ? { ...message, data: reader.clean(message.data) } : message, ...rest);
  };

  const MOST_LINES = 200;
  const block = element("section", { className: "courier-answers", hidden: true });
  const heading = element("p", { className: "courier-answers__heading" });
  heading.setAttribute("role", "status");
  const list = element("ul", { className: "courier-answers__list" });
  block.append(heading, list);
  results.prepend(block);

  let pasted = "";
  let shown = null;

  const withoutBlanks = text => text.replace(/\s+/g, "");

  // The input makes one line of several; what was pasted still has them.
  function lines() {
    const several = pasted && withoutBlanks(pasted) === withoutBlanks(input.value);
    return (several ? pasted : input.value).split("\n").filter(line => line.trim());
  }

  function answers() {
    const asked = lines();
    const all = asked.slice(0, MOST_LINES).map(reader.answers);
    const issues = globalThis.courierCatalogue.issues.filter(issue =>
      all.some(answer => answer.issues.includes(issue)),
    );
    const parts = issues.length ? [] : reader.containing(input.value);
    return {
      issues: issues.length ? issues : parts,
      lines: asked.length,
      shared: parts.length > 1 || all.some(answer => answer.shared),
      strange: all.find(answer => answer.strange),
      part: parts.length > 0,
    };
  }

  function title(answer) {
    if (!answer.issues.length)
      return answer.lines > MOST_LINES
        ? `No known problem logs the first ${MOST_LINES} of these ${answer.lines} lines`
        : `No known problem logs these ${answer.lines} lines`;
    const what = answer.lines > 1 ? "these lines" : "this line";
    if (answer.part) return "Known problems that log a line with these words";
    if (answer.strange) return `Known problems that log this, though not as ${reader.visible(answer.strange.strange)}`;
    if (!answer.shared) return `Known problems that log ${what}`;
    const how = answer.issues.some(issue => issue.tell)
      ? "look how to tell them apart"
      : "their articles say how to tell them apart";
    return `Known problems that log ${what}; they share it: ${how}`;
  }

  // Enter in the input follows the link with the highest data-md-score, which must stand in its first child.
  function link(issue, rank, shared) {
    const article = element("article", {}, severity(issue), " ", element("strong", {}, ...sentence(issue.title)));
    article.dataset.mdScore = String(1e6 - rank);
    if (shared && issue.tell) article.append(element("p", {}, ...sentence(issue.tell)));
    return element(
      "li",
      {},
      element("a", { href: address(`i/${issue.id}`), className: "courier-answers__link" }, article),
    );
  }

  function show() {
    if (shown !== input.value) {
      shown = input.value;
      const answer = answers();
      heading.textContent = answer.issues.length || answer.lines > 1 ? title(answer) : "";
      list.replaceChildren(...answer.issues.map((issue, rank) => link(issue, rank, answer.shared)));
      if (answer.lines > 1)
        list.append(
          element(
            "li",
            {},
            element(
              "a",
              { href: address("log"), className: "courier-answers__link" },
              element("article", { textContent: "Find by log line reads all of them" }),
            ),
          ),
        );
    }
    // Behind the closed dialog the links would still take the focus.
    block.hidden = !toggle.checked || !list.children.length;
  }

  input.addEventListener("paste", event => {
    pasted = event.clipboardData ? event.clipboardData.getData("text/plain") : "";
  });
  input.addEventListener("input", () => {
    show();
    // The dialog itself listens to keys only, and misses what the mouse pastes.
    input.dispatchEvent(new Event("keyup"));
  });
  input.addEventListener("keyup", show);
  input.addEventListener("focus", show);
  input.form.addEventListener("reset", () => setTimeout(show));
  toggle.addEventListener("change", show);

  // The dialog closes itself on Tab, and on Shift goes back to its input; before that, Tab goes through the answers.
  document.addEventListener("keydown", event => {
    if (event.key === "Shift" && list.contains(document.activeElement)) event.stopPropagation();
    if (event.key !== "Tab" || block.hidden) return;
    const stops = [input, ...list.querySelectorAll("a")];
    const at = stops.indexOf(document.activeElement);
    const next = stops[at + (event.shiftKey ? -1 : 1)];
    if (at < 0 || !next) return;
    event.preventDefault();
    event.stopPropagation();
    next.focus();
  });

  show();
})();
