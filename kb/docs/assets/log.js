"use strict";
/* The page "Find by log line": reads pasted lines and whole logs against the catalogue, in the browser. */
(() => {
  const mount = document.getElementById("courier-log");
  const reader = globalThis.courierReader;
  if (!mount || !reader) return;
  const { element, address, sentence, severity } = globalThis.courierPage;

  // What is longer never enters the text area: laying it out would block the browser.
  const LONGEST_SHOWN = 1e6;
  const PIECE = 1 << 18;
  const SLICE_MS = 30;
  const TYPING_MS = 150;

  const COMPRESSIONS = [
    ["gzip", [0x1f, 0x8b]],
    ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
    ["bzip2", [0x42, 0x5a, 0x68]],
    ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
    ["zip", [0x50, 0x4b, 0x03, 0x04]],
  ];

  const hint = element("span", {
    id: "courier-log-hint",
    textContent: "One line or many, with or without time and host; or drop files here: mail.log, mail.log.2.gz.",
  });
  const text = element("textarea", {
    id: "courier-log-text",
    className: "courier-log__text",
    rows: 8,
    spellcheck: false,
    autocapitalize: "off",
    autocomplete: "off",
  });
  text.setAttribute("wrap", "off");
  text.setAttribute("aria-describedby", hint.id);
  const files = element("input", {
    id: "courier-log-files",
    type: "file",
    multiple: true,
    className: "courier-log__files",
  });
  const example = button("Example");
  const clear = button("Clear");
  const stop = button("Stop");
  const bar = element("progress", { max: 100, value: 0 });
  bar.setAttribute("aria-label", "Read so far");
  const percent = element("span");
  const progress = element("div", { className: "courier-log__progress", hidden: true }, bar, percent, stop);
  const notes = element("ul", { className: "courier-log__notes", hidden: true });
  notes.setAttribute("role", "alert");
  const summary = element("p", { className: "courier-log__summary" });
  summary.setAttribute("aria-live", "polite");
  const results = element("div", { className: "courier-log__results" });

  mount.replaceChildren(
    element(
      "div",
      { className: "courier-log__input" },
      element("label", { htmlFor: text.id, className: "courier-log__label", textContent: "Lines of the mail log" }),
      hint,
      text,
      element(
        "div",
        { className: "courier-log__buttons" },
        element("label", { htmlFor: files.id, className: "courier-log__label", textContent: "Log files" }),
        files,
        example,
        clear,
      ),
    ),
    progress,
    summary,
    notes,
    results,
  );

  function button(name) {
    return element("button", { type: "button", className: "md-button courier-log__button", textContent: name });
  }

  const number = count => count.toLocaleString("en-GB");
  const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;
  const megabytes = size =>
    size < 1e6 ? `${number(Math.ceil(size / 1000))} kB` : `${number(Math.round(size / 1e6))} MB`;

  // reading

  // One reading at a time: a new one ends the one before.
  let current = null;

  // A message comes back at once; a timer would be slowed down, most of all in a tab that is not in front.
  const channel = new MessageChannel();
  const waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  const breathe = () =>
    new Promise(resolve => {
      waiting.push(resolve);
      channel.port2.postMessage(null);
    });

  class Stopped extends Error {}

  /* Reads sources one after the other: {name, size, read(take)}, where take(text, done) takes a piece, and hears how
     much of the source that makes. */
  async function start(sources, folders = []) {
    const reading = {
      scanner: reader.scanner(),
      total: 0,
      before: 0,
      began: performance.now(),
      slice: performance.now(),
      stopped: false,
      drawn: 0,
    };
    if (current) current.stopped = true;
    current = reading;
    reading.total = sources.reduce((sum, source) => sum + source.size, 0);
    notes.replaceChildren();
    folders.forEach(name => note(`${name} is a folder: choose the files in it.`));
    notes.hidden = !folders.length;
    try {
      for (const source of sources) {
        await readSource(reading, source);
        reading.before += source.size;
      }
    } catch (failed) {
      if (!(failed instanceof Stopped)) throw failed;
    }
    if (reading !== current) return;
    progress.hidden = true;
    const report = reading.scanner.finish();
    draw(report);
    summary.textContent =
      report.lines || sources.some(source => source.isFile)
        ? said(report, reading.stopped ? reading.done : undefined)
        : "";
  }

  async function readSource(reading, source) {
    try {
      await source.read(async (piece, done) => {
        if (reading.stopped) throw new Stopped();
        reading.scanner.push(piece);
        reading.done = reading.before + done;
        if (performance.now() - reading.slice < SLICE_MS) return;
        showProgress(reading);
        await breathe();
        reading.slice = performance.now();
      });
    } catch (failed) {
      if (failed instanceof Stopped || reading !== current) throw new Stopped();
      note(`${source.name}: ${failed instanceof Unreadable ? failed.message : reason(failed, source)}`);
    }
    // The last line of a file need not end; the next file starts a new one.
    reading.scanner.push("\n");
  }

  class Unreadable extends Error {}

  function reason(failed, source) {
    if (source.compressed)
      return "the browser cannot unpack all of it (damaged, cut off, or of several parts); what came before was read.";
    if (failed.name === "NotFoundError" || failed.name === "NotReadableError")
      return "the browser could not read it; what came before was read.";
    return `reading it failed (${failed.message}); what came before was read.`;
  }

  function showProgress(reading) {
    const now = performance.now();
    if (now - reading.began < 200 || now - reading.drawn < 100) return;
    if (!reading.drawn) {
      // What is there belongs to the reading before.
      summary.textContent = "";
      results.replaceChildren();
    }
    reading.drawn = now;
    const share = Math.floor((100 * reading.done) / Math.max(1, reading.total));
    progress.hidden = false;
    bar.value = share;
    percent.textContent = `${share} % of ${megabytes(reading.total)}`;
  }

  function note(sentenceText) {
    notes.append(element("li", { textContent: reader.visible(sentenceText) }));
    notes.hidden = false;
  }

  const textSource = content => ({
    name: "The text",
    size: content.length,
    async read(take) {
      for (let at = 0; at < content.length; at += PIECE)
        await take(content.slice(at, at + PIECE), Math.min(content.length, at + PIECE));
    },
  });

  const startsWith = (bytes, magic) => magic.every((value, index) => bytes[index] === value);

  function encoding(bytes) {
    if (startsWith(bytes, [0xff, 0xfe])) return "utf-16le";
    return startsWith(bytes, [0xfe, 0xff]) ? "utf-16be" : "utf-8";
  }

  const fileSource = file => ({
    name: file.name,
    size: file.size,
    isFile: true,
    async read(take) {
      const bytes = new Uint8Array(await file.slice(0, 8).arrayBuffer());
      const [compression] = COMPRESSIONS.find(([, magic]) => startsWith(bytes, magic)) || [];
      if (!compression) return plain(file, new TextDecoder(encoding(bytes)), take);
      if (compression !== "gzip")
        throw new Unreadable(`it is compressed with ${compression}, which the browser cannot read: unpack it first.`);
      if (!globalThis.DecompressionStream)
        throw new Unreadable("this browser cannot read compressed files: unpack it first.");
      this.compressed = true;
      return unpacked(file, take);
    },
  });

  async function plain(file, decoder, take) {
    for (let at = 0; at < file.size; at += PIECE) {
      const bytes = await file.slice(at, at + PIECE).arrayBuffer();
      await take(decoder.decode(bytes, { stream: true }), Math.min(file.size, at + PIECE));
    }
    await take(decoder.decode(), file.size);
  }

  async function unpacked(file, take) {
    const stream = new DecompressionStream("gzip");
    const decoder = new TextDecoder();
    let fed = 0;
    const feeding = feed(file, stream.writable.getWriter(), count => {
      fed = count;
    });
    // What fails here fails on the other side of the stream too, and is reported there.
    feeding.catch(() => {});
    const output = stream.readable.getReader();
    try {
      for (let got; !(got = await output.read()).done;) await take(decoder.decode(got.value, { stream: true }), fed);
      await take(decoder.decode(), file.size);
      await feeding;
    } finally {
      output.cancel().catch(() => {});
    }
  }

  async function feed(file, writer, progressed) {
    try {
      for (let at = 0; at < file.size; at += PIECE) {
        await writer.ready;
        await writer.write(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
        progressed(Math.min(file.size, at + PIECE));
      }
      await writer.close();
    } catch (failed) {
      await writer.abort(failed);
      throw failed;
    }
  }

  // showing

  function draw(report) {
    results.replaceChildren();
    if (report.issues.length)
      results.append(element("ol", { className: "courier-log__issues" }, ...report.issues.map(found)));
    if (report.unmatched) results.append(rest(report));
  }

  function said(report, stoppedAt) {
    const read = stoppedAt === undefined ? "" : `Stopped after ${megabytes(stoppedAt)}. `;
    if (!report.lines) return `${read}0 lines read.`;
    const problems = report.issues.length
      ? `${counted(report.issues.length, "known problem", "known problems")} in ${counted(report.matched, "line", "lines")}`
      : "no known problem";
    const others =
      report.unmatched && report.matched ? `, ${counted(report.unmatched, "line matches", "lines match")} nothing` : "";
    return `${read}${counted(report.lines, "line", "lines")} read: ${problems}${others}.`;
  }

  function found(entry) {
    const { issue } = entry;
    const item = element(
      "li",
      { className: "courier-log__issue" },
      element(
        "p",
        { className: "courier-log__title" },
        element("a", { href: address(`i/${issue.id}`) }, ...sentence(issue.title)),
      ),
      element(
        "p",
        { className: "courier-log__facts" },
        severity(issue),
        ` ${counted(entry.lines, "line", "lines")}`,
        strange(entry),
      ),
    );
    if (entry.shares.length) item.append(shared(entry));
    item.append(lines(quoted(entry), entry.samples));
    return item;
  }

  function quoted({ lines: all, samples }) {
    if (samples.length < all) return `The first ${samples.length} of its ${number(all)} lines`;
    return all === 1 ? "Its line" : `Its ${all} lines`;
  }

  function strange({ lines: all, strange: { lines: count, tags } }) {
    if (!count) return "";
    const some = count === all ? "" : `${number(count)} of them `;
    return `, ${some}logged as ${tags.map(reader.visible).join(", ")}, which is not known to log this`;
  }

  function shared({ issue, shares }) {
    const names = shares.flatMap((other, index) => [
      index ? ", " : "",
      element("a", { href: address(`i/${other.id}`) }, ...sentence(other.title)),
    ]);
    const tell = issue.tell
      ? [" How to tell: ", ...sentence(issue.tell)]
      : [" The article says how to tell them apart."];
    return element("p", { className: "courier-log__shared" }, "Shares a line with: ", ...names, ".", ...tell);
  }

  function lines(title, content) {
    const box = element("pre", {}, element("code", { textContent: content.map(reader.visible).join("\n") }));
    return element("details", { className: "courier-log__lines" }, element("summary", { textContent: title }), box);
  }

  function rest(report) {
    const box = element(
      "section",
      { className: "courier-log__rest" },
      element("p", {
        textContent: `${counted(report.unmatched, "line matches", "lines match")} no known problem, as most lines of a healthy log.`,
      }),
    );
    if (report.suspects.length) {
      const count = report.suspects.length;
      box.append(
        lines(
          `${count === 1 ? "The one" : `The first ${count}`} of them with a word such as error, failed or denied`,
          report.suspects,
        ),
      );
    }
    return box;
  }

  // taking

  let typing = 0;

  function readText() {
    clearTimeout(typing);
    files.value = "";
    start([textSource(text.value)]);
  }

  function readLong(content) {
    clearTimeout(typing);
    text.value = "";
    text.placeholder = `${megabytes(content.length)} pasted; not shown here`;
    files.value = "";
    start([textSource(content)]);
  }

  function readFiles(chosen, folders) {
    clearTimeout(typing);
    text.value = "";
    text.placeholder = chosen
      .map(file => `${file.name}, ${megabytes(file.size)}`)
      .map(reader.visible)
      .join("\n");
    start(chosen.map(fileSource), folders);
  }

  function takeText(content, event) {
    if (content.length <= LONGEST_SHOWN) return false;
    event.preventDefault();
    readLong(content);
    return true;
  }

  text.addEventListener("paste", event => takeText(event.clipboardData.getData("text/plain"), event));
  text.addEventListener("input", () => {
    text.placeholder = "";
    clearTimeout(typing);
    typing = setTimeout(readText, TYPING_MS);
  });
  files.addEventListener("change", () => {
    if (files.files.length) readFiles([...files.files], []);
  });

  // On the whole page: a file dropped beside the box would be opened in its place.
  document.addEventListener("dragover", event => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    mount.classList.add("courier-log--over");
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) mount.classList.remove("courier-log--over");
  });
  document.addEventListener("drop", event => {
    mount.classList.remove("courier-log--over");
    const items = [...event.dataTransfer.items].filter(item => item.kind === "file");
    if (!items.length) {
      if (mount.contains(event.target)) takeText(event.dataTransfer.getData("text/plain"), event);
      return;
    }
    event.preventDefault();
    files.value = "";
    const entries = items.map(item => ({
      file: item.getAsFile(),
      folder: item.webkitGetAsEntry && item.webkitGetAsEntry(),
    }));
    const isFolder = ({ folder }) => folder && folder.isDirectory;
    readFiles(
      entries.filter(entry => entry.file && !isFolder(entry)).map(entry => entry.file),
      entries.filter(isFolder).map(entry => entry.folder.name),
    );
  });

  stop.addEventListener("click", () => {
    if (current) current.stopped = true;
    text.focus();
  });
  clear.addEventListener("click", () => {
    text.value = text.placeholder = "";
    readText();
    text.focus();
  });
  example.addEventListener("click", () => {
    text.value = sampleLog();
    text.placeholder = "";
    readText();
  });

  // Lines as rsyslog writes them, of the first issues that log anything, among ordinary ones.
  function sampleLog() {
    const logging = globalThis.courierCatalogue.issues.filter(issue => issue.signatures.length).slice(0, 4);
    const messages = logging.flatMap(({ signatures: [{ process, sample }] }) => [
      ["imapd-ssl", "Connection, ip=[::ffff:192.0.2.7]"],
      [process[0], sample],
    ]);
    return messages
      .map(
        ([process, message], index) => `Nov 22 19:34:${String(10 + index)} mx1 ${process}[${1200 + index}]: ${message}`,
      )
      .join("\n");
  }

  const given = new URLSearchParams(location.search).get("line");
  if (given) {
    text.value = given.slice(0, LONGEST_SHOWN);
    readText();
  } else if (text.value) readText();
})();
