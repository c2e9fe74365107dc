"""
``courier-explain``: the articles of the known problems that log a line.

Imports no Salt, and reads lines from its arguments, from files, or from standard input. The exit status is 0 if a
problem was found, 1 if none was, 2 if something could not be read.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import courierlib
from courierlib import article, catalogue, maillog
from courierlib.audit import article_url
from courierlib.catalogue import Entry
from courierlib.issue import Unknown

_RULE = "\n" + "-" * 78 + "\n\n"


def pasted(text: str, entries: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """The issues that somebody asks for: by an id, or by lines of a log.

    Args:
        entries: by id.
    """
    asked = text.strip()
    return (entries[asked],) if asked in entries else maillog.answers(text, entries.values())


def articles(found: Sequence[Entry], entries: Mapping[str, Entry], kb_url: str) -> str:
    """The articles as text; before several, how to tell them apart.

    Args:
        found: in the order of the catalogue.
        entries: all issues, by id.
        kb_url: base address of the site.
    """
    pages = [article.markdown(entry, entries, kb_url) for entry in found]
    if len(found) > 1:
        choices = [f"* {entry.id}: {entry.title}. {entry.issue.tell}".rstrip() for entry in found]
        pages.insert(0, "\n".join([f"{len(found)} known problems log this; to tell them apart:", "", *choices, ""]))
    return _RULE.join(pages)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: those of the command line if None.

    Returns:
        The exit status.
    """
    chosen = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no ellipsis is no reason to show nothing.
        stream.reconfigure(errors="replace")
    entries = catalogue.load()
    try:
        counts, troubles = _counted(chosen, entries)
        found = [entry for entry in entries.values() if entry.id in counts]
        if chosen.json:
            rows = [
                {"id": entry.id, "lines": counts[entry.id], "article": article_url(chosen.kb_url, entry.id)}
                for entry in found
            ]
            print(json.dumps(rows, indent=1))
        elif found:
            print(articles(found, entries, chosen.kb_url))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough; Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as failed:
        print(f"courier-explain: {(failed.strerror or 'cannot write').lower()}", file=sys.stderr)
        return 2
    for trouble in troubles:
        print(f"courier-explain: {trouble}", file=sys.stderr)
    if not found and not troubles and not chosen.json:
        print("courier-explain: no known problem logs this", file=sys.stderr)
    return 2 if troubles else 0 if found else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="courier-explain",
        description="Print the articles of the known problems of Courier that log a line.",
        epilog="With neither LINE nor --file, lines are read from standard input.",
    )
    parser.add_argument("line", nargs="*", metavar="LINE", help="a line of the mail log, or the id of a problem")
    parser.add_argument(
        "-f", "--file", action="append", default=[], metavar="FILE", help="a mail log, compressed or not"
    )
    parser.add_argument("--json", action="store_true", help="print ids, numbers of lines and addresses instead")
    parser.add_argument(
        "--kb-url", default=courierlib.KB_URL, metavar="URL", help="base address of the knowledge base: %(default)s"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {courierlib.__version__}")
    return parser


def _counted(chosen: argparse.Namespace, entries: Mapping[str, Entry]) -> tuple[Counter[str], list[str]]:
    """Lines of each issue, and what could not be read."""
    counts: Counter[str] = Counter()
    troubles: list[str] = []
    for text in chosen.line:
        counts.update(entry.id for entry in pasted(text, entries))
    if chosen.file or not chosen.line:
        from courierlib.scanner import Scanner

        scanner = Scanner(entries.values(), suspicious=False)
        for data in _data(chosen.file, troubles):
            for match in scanner.scan(data):
                counts.update(match.issues)
    return counts, troubles


def _data(files: Iterable[str], troubles: list[str]) -> Iterator[bytes]:
    from courierlib import logsources, logstream

    if not files and sys.stdin is not None:
        if sys.stdin.isatty():
            print("courier-explain: reading lines from the terminal; end with Ctrl-D", file=sys.stderr)
        yield from (data for data, _ in logstream.blocks(io.BufferedReader(sys.stdin.buffer.raw)))
    for name in files:
        for source in logsources.given(os.path.abspath(name)):
            try:
                if isinstance(source, Unknown):
                    raise source
                yield from (block.data for block in logsources.read(source))
            except Unknown as failed:
                troubles.append(failed.reason)


if __name__ == "__main__":
    sys.exit(main())
