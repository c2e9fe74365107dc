"""Whether somebody can open a file: each directory on the way, through links, with groups and ACLs."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib import spool

if TYPE_CHECKING:
    from courierlib.host import Host
    from courierlib.tree import FileStat

READ, WRITE, ENTER = 4, 2, 1

_ACL = "system.posix_acl_access"
_ACL_USER, _ACL_GROUP_OWNER, _ACL_GROUP, _ACL_MASK = 0x02, 0x04, 0x08, 0x10


@dataclass(frozen=True)
class Account:
    """A user as a process has become it.

    Args:
        gids: its groups, the supplementary ones too.
    """

    name: str
    uid: int
    gids: frozenset[int]


ROOT = Account("root", 0, frozenset({0}))
ANYBODY = Account("any user", -1, frozenset())
"""Somebody who owns nothing and belongs to no group."""


@dataclass(frozen=True)
class Obstacle:
    """What keeps an account from a file: the file itself, or a directory on the way to it.

    Args:
        path: with links resolved.
        lacks: bits that are needed there and not given.
    """

    path: str
    found: FileStat
    lacks: int


def obstacles(host: Host, path: str, account: Account, need: int = READ) -> Iterator[Obstacle]:
    """Everything on the way to an existing file that keeps an account from it; nothing if it can be opened.

    Raises:
        Unreadable: we cannot look ourselves.
    """
    for real, wanted in _way(host, path, need):
        found = host.stat(real)
        if found is not None and (lacks := wanted & ~_bits(host, real, found, account)):
            yield Obstacle(real, found, lacks)


def _way(host: Host, path: str, need: int) -> Iterator[tuple[str, int]]:
    """Directories that the kernel enters on the way to a file, then the file; each with the bits that are needed."""
    entered: list[str] = []
    target = host.resolve(path, entered=entered)
    # Everybody may enter /; the directory that a tree was unpacked to has a mode of its own.
    yield from ((directory, ENTER) for directory in dict.fromkeys(entered) if directory != "/")
    yield target, need


def _bits(host: Host, path: str, found: FileStat, account: Account) -> int:
    entries = _acl(host, path) if account.uid and found.uid != account.uid else ()
    if not entries:
        return spool.bits(found, account.uid, account.gids)
    # With an ACL the mode's group bits are the mask (read: acl(5), the access check algorithm).
    mask = next((bits for tag, bits, _ in entries if tag == _ACL_MASK), 7)
    for tag, bits, number in entries:
        if tag == _ACL_USER and number == account.uid:
            return bits & mask
    groups = [
        bits
        for tag, bits, number in entries
        if (tag == _ACL_GROUP_OWNER and found.gid in account.gids) or (tag == _ACL_GROUP and number in account.gids)
    ]
    if groups:
        union = 0
        for bits in groups:
            union |= bits
        return union & mask
    return found.mode & 7


def _acl(host: Host, path: str) -> tuple[tuple[int, int, int], ...]:
    """Tag, bits and id of each entry; nothing without an ACL (read: linux/posix_acl_xattr.h, Linux 6.12)."""
    try:
        raw = os.getxattr(host.path(path), _ACL)
    except OSError:
        return ()  # There is none, or the file system knows none.
    return tuple(struct.iter_unpack("<HHI", raw[4:])) if len(raw) % 8 == 4 else ()
