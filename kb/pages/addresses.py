"""Addresses inside the site, for what is not Markdown, and anchors of headings."""

from __future__ import annotations

import posixpath
import re
import unicodedata


def slug(heading: str) -> str:
    """The id that MkDocs gives a heading (read: slugify() in markdown/extensions/toc.py, 3.11)."""
    ascii_only = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def address(page: str, target: str, directory: bool) -> str:
    """Address of a page, as a link in another one says it.

    Args:
        page: file of the page with the link, such as ``map.md``.
        target: file of the other, perhaps with ``#anchor``.
        directory: pages are ``name/``, not ``name.html``.
    """
    path, hash_sign, anchor = target.partition("#")
    relative = posixpath.relpath(_published(path, directory), posixpath.dirname(_published(page, directory)) or ".")
    if directory:
        relative = relative.removesuffix("index.html") or "./"
    return relative + hash_sign + anchor


def _published(path: str, directory: bool) -> str:
    """The file that a page becomes."""
    stem = path.removesuffix(".md")
    return f"{stem}/index.html" if directory and posixpath.basename(stem) != "index" else f"{stem}.html"
