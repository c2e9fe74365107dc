"""MkDocs hook: puts the generated pages among the hand-written ones. What they say is made by ``pages``."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# Pages that name every problem, and would stand before the articles in every search.
_LISTS = ("index.md", "i/index.md", "map.md", "matrix.md", "upgrade.md", "reference/")
_PATHS = [str(_HERE), str(_HERE.parent / "_utils")]


def on_config(config):
    """Take the base address from its one home, and put the articles into the navigation."""
    build = _build()
    config.site_url = f"{build.KB_URL}/"
    articles = [{entry.title: f"i/{entry.id}.md"} for entry in build.catalogue.load().values()]
    config.nav = [
        {"Problems": ["i/index.md", *articles]} if item == {"Problems": "i/index.md"} else item for item in config.nav
    ]
    return config


def on_files(files, config):
    """Add the generated pages and data."""
    from mkdocs.structure.files import File, InclusionLevel

    for name, text in _build().pages(config.use_directory_urls).items():
        file = File.generated(config, name, content=text)
        if name.startswith("source/"):
            # Reached from its article, and from nowhere else.
            file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Fill in what a hand-written page asks for; let search find articles before lists of them."""
    if page.file.src_uri.startswith(_LISTS):
        page.meta.setdefault("search", {}).setdefault("boost", 0.1)
    return _build().filled(page.file.src_uri, markdown, config.use_directory_urls)


_MIXED_UP, _APART = "e=e+s+o.id}return e}", 'e=e+s+o.id+","}return e}'
"""Where lunr 2.3.9 describes a node of its index by letters and numbers without anything between them."""


def on_post_build(config):
    """Keep lunr from taking two nodes for the same: their words, such as versions, run into one another, and a search
    that comes to a word that is on no page ends in an error.

    Raises:
        PluginError: Material's search is no longer the one that this was made for.
    """
    from mkdocs.exceptions import PluginError

    workers = list(Path(config.site_dir).glob("assets/javascripts/workers/search.*.min.js"))
    for worker in workers:
        text = worker.read_text()
        if text.count(_MIXED_UP) != 1:
            raise PluginError(
                f"{worker.name}: lunr's TokenSet.toString was not found; see whether it is repaired there"
            )
        worker.write_text(text.replace(_MIXED_UP, _APART))


_LOADED = {}


def _build():
    """``pages.build``, read anew where a file has changed: ``mkdocs serve`` keeps modules loaded."""
    folders = ("pages", "../_utils/courierlib", "../_modules", "../_states")
    sources = [path for folder in folders for path in (_HERE / folder).rglob("*.py")]
    changed = max(path.stat().st_mtime_ns for path in sources)
    if _LOADED.get("changed") != changed:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("courierlib", "pages")]:
            del sys.modules[name]
        sys.path[:] = [*_PATHS, *(path for path in sys.path if path not in _PATHS)]
        import pages.build

        _LOADED.update(changed=changed, build=pages.build)
    return _LOADED["build"]
