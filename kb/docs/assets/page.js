"use strict";
/* What the other scripts share about the page they run in: addresses, and how an issue is named on it. */
globalThis.courierPage = (() => {
  const meta = name => document.querySelector(`meta[name="${name}"]`).content;

  /* An element with these properties and children; a string becomes text, never markup. */
  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  /* The address of a page of this site, as its name stands in the sources: "log", "i/dh-params-weak". */
  function address(page) {
    const ending = meta("courier-pages") === "directory" ? "/" : ".html";
    return `${meta("courier-base").replace(/\/$/, "")}/${page}${ending}`;
  }

  /* Nodes for a sentence in Markdown: code is marked, of a link its text stays. */
  function sentence(markdown) {
    return markdown
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .split("`")
      .map((part, index) => (index % 2 ? element("code", { textContent: part }) : part));
  }

  function severity(issue) {
    return element("span", {
      className: `courier-severity courier-severity--${issue.severity}`,
      textContent: issue.severity,
    });
  }

  // Pygments takes every "#" that begins a line for a prompt. Ours has a blank behind it; what has none was printed, as
  // was an empty line.
  for (const line of document.querySelectorAll(".language-console code > span")) {
    const prompt = line.querySelector(":scope > .gp");
    if (prompt && !prompt.textContent.endsWith(" ")) prompt.className = "go";
    if (!line.textContent.trim()) line.className = "go";
  }

  // Material makes a landmark without a name of every code block's button, and lets wide tables scroll for the mouse
  // only.
  addEventListener("load", () => {
    for (const nav of document.querySelectorAll(".md-code__nav")) nav.setAttribute("role", "none");
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap"))
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  });

  return { element, address, sentence, severity };
})();
