"""
The pages of the knowledge base as plain files, hand-written and generated, for any site generator.

The log page and the choice of the upgrade guide need their scripts: the site generator must load assets/catalogue.js,
assets/reader.js and assets/page.js in every page, and then what a page names below "scripts:" in its front matter,
which only this site's theme reads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "kb"), str(REPOSITORY / "_utils")]

from courierlib.catalogue import Inconsistent  # noqa: E402
from pages import build  # noqa: E402

MARK = ".courier-kb-export"
"""Lists what an export wrote, so that the next one takes away what is no longer there."""


class Refused(Exception):
    """The export would overwrite what it did not make."""


def export(target: Path, directory: bool = True, force: bool = False) -> int:
    """Write all pages, assets and data below a directory.

    Args:
        target: is made if it does not exist.
        directory: see ``build.pages``.
        force: write into a directory that holds something else; only files of the same name are lost.

    Returns:
        Number of files written.

    Raises:
        Refused: the directory holds what no export made.
        OSError: something cannot be written.
        Inconsistent: an issue file contradicts itself or another one.
    """
    mark = target / MARK
    if target.is_dir() and any(target.iterdir()) and not mark.is_file() and not force:
        raise Refused(f"{target}: not empty, and not made by an export; name another directory, or say --force")
    files = dict(_files(directory))
    for name in mark.read_text().splitlines() if mark.is_file() else ():
        if name not in files:
            (target / name).unlink(missing_ok=True)
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    mark.write_text("".join(f"{name}\n" for name in sorted(files)))
    return len(files)


def _files(directory: bool) -> Iterator[tuple[str, bytes]]:
    """Hand-written files, with what they ask for filled in; then the generated ones."""
    docs = REPOSITORY / "kb/docs"
    for path in sorted(path for path in docs.rglob("*") if path.is_file()):
        name, content = path.relative_to(docs).as_posix(), path.read_bytes()
        yield name, build.filled(name, content.decode(), directory).encode() if name.endswith(".md") else content
    for name, text in build.pages(directory).items():
        yield name, text.encode()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", metavar="DIR", type=Path, help="directory to write them to")
    parser.add_argument("--force", action="store_true", help="write into DIR although it holds something else")
    parser.add_argument(
        "--html",
        action="store_true",
        help="the site will have pages name.html; without it, name/",
    )
    chosen = parser.parse_args(arguments)
    try:
        written = export(chosen.target, directory=not chosen.html, force=chosen.force)
    except (Refused, Inconsistent, OSError) as failed:
        sys.exit(f"export: {failed}")
    print(f"{written} files in {chosen.target}")


if __name__ == "__main__":
    main()
