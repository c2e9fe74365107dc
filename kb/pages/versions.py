"""Versions of Courier, and the Debian releases that have them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """A Debian release; its number is ``testing`` while it has none."""

    codename: str
    number: str
    courier: str


RELEASES = (
    Release("stretch", "9", "0.76.3"),
    Release("buster", "10", "1.0.6"),
    Release("bullseye", "11", "1.0.16"),
    Release("bookworm", "12", "1.0.16"),
    Release("trixie", "13", "1.4.1"),
    Release("forky", "testing", "2.0.6"),
)
"""From Debian 9 on Courier's services are split as today, and couriertls uses GnuTLS (read: debian/changelog)."""

SPLIT = "0.76"
"""The version that Debian 9's packages began with."""


def key(version: str) -> tuple[int, ...]:
    """What to compare versions by: 0.76 < 0.76.3 < 1.0.6 < 1.0.16.

    Raises:
        ValueError: not numbers with dots between them.
    """
    return tuple(int(number) for number in version.split("."))
