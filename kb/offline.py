"""
The copy of the site that needs no network, packed as a zip.

A second build with Material's offline plugin: links name files, and the search index is a script, because a browser
lets no page from ``file://`` fetch anything.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import MkDocsException
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.utils.yaml import yaml_load

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "courier-knowledge-base"

# A page from file:// may start no worker, which Material's search runs in: this shim runs it in a frame instead.
_SHIM = REPOSITORY / "kb/node_modules/iframe-worker/shim/index.js"
# By "iframe-worker" in a polyfill's name the plugin knows that it need not add the one on unpkg.com.
_SHIM_PLACE = "assets/javascripts/iframe-worker.js"
# What only a web server, a search engine or a debugger asks for; the index stands beside it as a script.
_NOT_PACKED = {"404.html", "sitemap.xml", "sitemap.xml.gz", "search/search_index.json"}
# The first that zip can say: the same pages give the same file, byte for byte.
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)


class _NoAddress(BasePlugin):
    """A page of the copy has no address in the world that a search engine could be told."""

    @event_priority(-100)
    def on_config(self, config: MkDocsConfig) -> None:
        config.site_url = ""


def build_copy(target: Path) -> None:
    """Build the site for ``file://``.

    Args:
        target: directory for it; emptied first.

    Raises:
        MkDocsException: MkDocs refuses the pages, or warns of something in them.
        OSError: iframe-worker is not in ``kb/node_modules``, where ``npm ci`` in ``kb/`` puts it.
    """
    written = yaml_load((REPOSITORY / "mkdocs.yml").read_text())
    config = load_config(
        str(REPOSITORY / "mkdocs.yml"),
        site_dir=str(target),
        plugins=[*written["plugins"], "offline"],
        extra={**written.get("extra", {}), "polyfills": [_SHIM_PLACE]},
    )
    config.plugins["courier-no-address"] = _NoAddress()
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    config.plugins.on_shutdown()
    shutil.copyfile(_SHIM, target / _SHIM_PLACE)


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's files as a zip with one folder in it.

    Args:
        folder: what to pack.
        archive: file to write.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if name not in _NOT_PACKED and path.suffix != ".map":
                member = zipfile.ZipInfo(f"{NAME}/{name}", _TIME_STAMP)
                member.external_attr = 0o644 << 16
                packed.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", metavar="SITE", type=Path, help="directory of the built site; the zip is put into it")
    site = parser.parse_args().site
    logging.getLogger("mkdocs").addHandler(logging.StreamHandler())
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as target:
        build_copy(Path(target))
        pack(Path(target), site / f"{NAME}.zip")


if __name__ == "__main__":
    try:
        main()
    except (MkDocsException, OSError) as error:
        sys.exit(f"The offline copy cannot be built: {error}")
