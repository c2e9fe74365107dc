"""All generated pages and data files of the knowledge base, together."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from courierlib import KB_URL, article, catalogue
from courierlib.catalogue import Entry
from pages import data, flow, matrix, reference, results, upgrade
from pages.addresses import address

MAP = '<div id="mail-flow"></div>'
"""Where this line stands in a hand-written page, the map is put in its place."""

BASE = "{KB_URL}"
"""Where this stands in a hand-written page, the base address is put in its place."""


def pages(directory: bool = True) -> Mapping[str, str]:
    """The generated files: path inside the site's sources, and text.

    Args:
        directory: pages are published as ``name/``, not ``name.html``; matters to what is not Markdown.
    """
    entries = catalogue.load()
    listed = list(entries.values())
    recorded = results.recordings()
    return {
        "i/index.md": article.index(listed),
        **{f"i/{entry.id}.md": _article(entry, entries, recorded.get(entry.id, {})) for entry in listed},
        **{f"source/{entry.id}.md": _source(entry) for entry in listed},
        "map.md": flow.page(listed, directory),
        "matrix.md": matrix.page(listed, results.shown()),
        "upgrade.md": upgrade.page(listed),
        "reference/modules.md": reference.modules_page(listed),
        "reference/states.md": reference.states_page(listed),
        "reference/formula.md": reference.formula_page(listed),
        "issues.json": data.issues_json(listed),
        "assets/catalogue.js": data.catalogue_js(listed),
        **data.redirects(listed, directory),
    }


def filled(path: str, text: str, directory: bool = True) -> str:
    """A hand-written page, with the map and the base address where it asks for them.

    Args:
        path: of the page inside the site's sources.
        text: of the page.
        directory: see ``pages``.
    """
    text = text.replace(BASE, KB_URL)
    if MAP not in text:
        return text
    entries = catalogue.load().values()
    return text.replace(MAP, flow.overview(entries, lambda place: address(path, f"map.md#{place}", directory)))


def _article(entry: Entry, entries: Mapping[str, Entry], recorded: Mapping[str, results.Recorded]) -> str:
    known = set(reference.functions(reference.MODULE))
    links = article.Links(
        issue=lambda issue: f"{issue}.md",
        function=lambda name: f"../reference/modules.md#{reference.anchor(name)}" if name in known else "",
        source=lambda issue: f"../source/{issue}.md",
        formula="../reference/formula.md",
    )
    # What was recorded with another check or repair shows something else.
    now = results.issue_fingerprint(entry.id)
    current = {state: recording for state, recording in recorded.items() if recording.fingerprint == now}
    return article.markdown(entry, entries, KB_URL, links, current)


def _source(entry: Entry) -> str:
    """The program part of an issue's file; its docstring is the article."""
    text = (results.REPOSITORY / entry.source).read_text()
    docstring = ast.parse(text).body[0]
    program = "\n".join(text.splitlines()[docstring.end_lineno :]).strip("\n")
    fence = "`" * (max([2, *map(len, re.findall(r"`{3,}", program))]) + 1)
    return "\n".join(
        [
            "---",
            "search:",
            "  exclude: true",
            "---",
            "",
            f"# Program: {entry.id}",
            "",
            f"`{entry.source}`, without its docstring, which is the article [{entry.title}](../i/{entry.id}.md).",
            "",
            f"{fence}python",
            program,
            fence,
            "",
        ]
    )
