"""The lines that the catalogue knows, as the logs of this world write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from courierlib import catalogue, maillog
from courierlib.catalogue import Entry
from courierlib.issue import Signature

BEFORE = {
    "RFC 3164": "Nov 22 18:51:04 mx1 {tag}[123]: ",
    "ISO 8601": "2026-11-22T18:51:04.123456+00:00 mx1 {tag}: ",
    "journald": "2026-11-22T18:51:04+0000 mx1 {tag}[123]: ",
    "tag alone": "{tag}: ",
    "nothing": "",
}
"""What may stand before a message."""

ENTRIES = tuple(catalogue.load().values())


@dataclass(frozen=True)
class Spoken:
    """A signature's sample, and who is known to log it.

    Args:
        entry, signature: whose sample it is.
        number: of the signature within its issue.
    """

    entry: Entry
    signature: Signature
    number: int

    def __str__(self) -> str:
        return f"{self.entry.id}-{self.number}"

    def line(self, before: str, tag: str = "") -> str:
        """The sample after one of BEFORE; without ``tag``, as the signature's first process logs it."""
        return before.format(tag=tag or self.signature.process[0]) + self.signature.sample


SPOKEN = tuple(
    Spoken(entry, signature, number) for entry in ENTRIES for number, signature in enumerate(entry.issue.signatures, 1)
)
"""Every signature of every issue."""


def issues(line: str) -> list[str]:
    """Ids of the issues that log a line, the gravest first, as the minion sees it."""
    return [entry.id for entry, _ in maillog.matching(line, ENTRIES)]


def tell(issue: str) -> str:
    """How to tell an issue from those that log the same, as a page shows it."""
    markdown = catalogue.load()[issue].issue.tell
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "")


def lines() -> Iterator[str]:
    """Every sample after everything that may stand before it, from each process that logs it."""
    for spoken in SPOKEN:
        for before in BEFORE.values():
            for tag in spoken.signature.process:
                yield spoken.line(before, tag)
