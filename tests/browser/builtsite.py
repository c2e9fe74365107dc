"""What stands in the built pages: their files, links and anchors, read without a browser."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        # The anchors of highlighted lines are names, the other ones are ids.
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        self.links += [found[name] for name in ("href", "xlink:href", "src") if name in found]
        if found.get("http-equiv", "").lower() == "refresh":
            self.links.append(found["content"].partition("url=")[2])


def pages(folder: Path) -> Iterator[str]:
    """Addresses of all pages of a site, below its start page, as their files are called."""
    for path in sorted(folder.rglob("*.html")):
        yield path.relative_to(folder).as_posix()


@functools.cache
def links(page: Path) -> tuple[str, ...]:
    """Addresses that a page names."""
    return tuple(_read(page).links)


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """Places in a page that an address can lead to."""
    return frozenset(_read(page).ids)


def _read(page: Path) -> _Reader:
    reader = _Reader()
    reader.feed(page.read_text())
    return reader
