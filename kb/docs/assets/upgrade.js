"use strict";
/* The upgrade guide, narrowed to the way from one version to another. The choice stands in the address. */
(() => {
  const mount = document.getElementById("upgrade-choice");
  if (!mount) return;
  const { element } = globalThis.courierPage;
  const { choices, sections } = JSON.parse(mount.dataset.upgrades);
  const SEVERITIES = ["critical", "high", "medium", "low"];

  /* Below zero if the first version is the older one: 0.76 < 0.76.3 < 1.0.6 < 1.0.16. */
  function compare(one, other) {
    const [left, right] = [one, other].map(version => version.split(".").map(Number));
    for (let place = 0; place < Math.max(left.length, right.length); place++) {
      const difference = (left[place] ?? -1) - (right[place] ?? -1);
      if (difference) return difference;
    }
    return 0;
  }

  /* A heading and all that follows it up to the next one, in a box that can be hidden. */
  function boxed(heading) {
    const box = element("div");
    heading.before(box);
    let node = heading;
    do {
      const next = node.nextElementSibling;
      box.append(node);
      node = next;
    } while (node && node.tagName !== "H2");
    return box;
  }

  const parts = sections.map(section => {
    const box = boxed(document.getElementById(section.id));
    return {
      ...section,
      box,
      items: [...box.querySelectorAll(":scope > ol > li")],
      entries: [...document.querySelectorAll(`nav a[href$="#${section.id}"]`)].map(link => link.closest("li") ?? link),
    };
  });

  function select(name, label, options) {
    const made = element("select", { id: `upgrade-${name}`, name },
      ...options.map(([value, text]) => element("option", { value, textContent: text })));
    mount.append(element("p", {}, element("label", { htmlFor: made.id, textContent: `${label} ` }), made));
    made.addEventListener("change", () => { show(); remember(); });
    return made;
  }

  const controls = {
    from: select("from", "From", [["", "any version"], ...choices.slice(0, -1)]),
    to: select("to", "to", [["", "any version"], ...choices.slice(1)]),
    packaging: select("packaging", "built by", [["", "anybody"], ["debian", "Debian"], ["upstream", "upstream"]]),
  };
  const answer = mount.appendChild(element("p"));
  answer.setAttribute("role", "status");

  function crossed(version) {
    const { from, to } = controls;
    return (!from.value || compare(version, from.value) > 0) && (!to.value || compare(version, to.value) <= 0);
  }

  function show() {
    const { from, to, packaging } = controls;
    const impossible = from.value && to.value && compare(from.value, to.value) >= 0;
    const waiting = new Map();
    for (const part of parts) {
      let left = 0;
      part.steps.forEach(([issue, severity, builder], place) => {
        const due = impossible || (crossed(part.version) && (!builder || !packaging.value || builder === packaging.value));
        part.items[place].hidden = !due;
        if (!due) return;
        left += 1;
        waiting.set(issue, severity);
      });
      for (const each of [part.box, ...part.entries]) each.hidden = !left;
      /* "Before the upgrade:" with nothing left below it says nothing. */
      for (const list of part.box.querySelectorAll(":scope > ol"))
        list.hidden = list.previousElementSibling.hidden = [...list.children].every(item => item.hidden);
    }
    answer.textContent = impossible ? "To Courier that is no upgrade. Every section is shown." : said(waiting);
  }

  function said(waiting) {
    if (!waiting.size)
      return (
        "No upgrade on this way is known to bring a problem. What an older one left behind stays: run courier.audit."
      );
    if (Object.values(controls).every(control => !control.value)) return "Every section is shown.";
    const counts = SEVERITIES
      .map(severity => [[...waiting.values()].filter(word => word === severity).length, severity])
      .filter(([count]) => count)
      .map(([count, severity]) => `${count} ${severity}`);
    return `${waiting.size} ${waiting.size === 1 ? "problem waits" : "problems wait"} on this way: ${counts.join(", ")}.`;
  }

  function remember() {
    const query = new URLSearchParams();
    for (const [name, control] of Object.entries(controls)) if (control.value) query.set(name, control.value);
    try {
      history.replaceState(null, "", `${location.pathname}${query.toString() && `?${query}`}${location.hash}`);
    } catch (error) {
      /* Some browsers let a page from file:// keep only the address that it came with. */
      if (error.name !== "SecurityError") throw error;
    }
  }

  const asked = new URLSearchParams(location.search);
  for (const [name, control] of Object.entries(controls))
    if ([...control.options].some(option => option.value === asked.get(name))) control.value = asked.get(name);
  show();
})();
