"""MkDocs hook: a page for each issue file, and a table of all of them. The text is made by courierlib."""

from __future__ import annotations

import sys
from pathlib import Path

_LIBRARY = str(Path(__file__).resolve().parents[1] / "_utils")


def on_config(config):
    """Take the base address from its one home, and put the generated pages into the navigation."""
    library = _library()
    config.site_url = f"{library.KB_URL}/"
    entries = library.catalogue.load().values()
    pages = [{entry.title: f"i/{entry.id}.md"} for entry in entries]
    config.nav = [
        {"Problems": ["i/index.md", *pages]} if item == {"Problems": "i/index.md"} else item for item in config.nav
    ]
    return config


def on_files(files, config):
    """Add the generated pages."""
    from mkdocs.structure.files import File

    library = _library()
    entries = list(library.catalogue.load().values())
    files.append(File.generated(config, "i/index.md", content=library.article.index(entries)))
    for entry in entries:
        content = library.article.markdown(entry, library.KB_URL)
        files.append(File.generated(config, f"i/{entry.id}.md", content=content))
    return files


def _library():
    """courierlib, read anew: ``mkdocs serve`` keeps modules loaded, and would show the text of the start."""
    for name in [name for name in sys.modules if name == "courierlib" or name.startswith("courierlib.")]:
        del sys.modules[name]
    if _LIBRARY not in sys.path:
        sys.path.insert(0, _LIBRARY)
    import courierlib
    import courierlib.article
    import courierlib.catalogue

    return courierlib
