"""Room on the file systems that Courier writes to: blocks and inodes that are left for others than root."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib.issue import Unknown
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host

MAX_ACCOUNTS = 5_000
"""Accounts whose Maildirs are looked for."""


@dataclass(frozen=True)
class FileSystem:
    """A file system, named by the first of Courier's directories on it.

    Args:
        use: ``spool``, ``run`` or ``maildirs``; the first of these that it holds.
        path: the directory.
        block: size of a block in bytes.
        blocks: left for others than root.
        size: of the file system, in blocks.
        inodes: left for others than root.
        all_inodes: 0 where the file system has no such limit.
    """

    use: str
    path: str
    block: int
    blocks: int
    size: int
    inodes: int
    all_inodes: int


def own(host: Host) -> tuple[tuple[str, str], ...]:
    """Courier's own directories, each with its use."""
    state = host.layout.localstatedir
    spool = (state, f"{state}/tmp", f"{state}/msgs") if "mta" in host.components else ()
    return (*(("spool", path) for path in spool), ("run", host.layout.piddir))


def maildirs(host: Host) -> tuple[tuple[str, str], ...]:
    """Maildirs of the accounts, each with its use.

    Raises:
        Unknown: under a root, or authdaemon does not answer.
    """
    accounts = host.accounts[:MAX_ACCOUNTS]
    return tuple(("maildirs", os.path.join(a.home or "/", a.maildir or "Maildir")) for a in accounts)


def read(host: Host, directories: Iterable[tuple[str, str]]) -> tuple[FileSystem, ...]:
    """The file systems of directories, each once; none that is mounted read-only, because nobody writes to it.

    A Maildir that cannot be looked at is left out.

    Raises:
        Unknown: under a root, whose file systems are not the host's; or a directory of Courier's cannot be looked at.
    """
    if host.system is None:
        raise Unknown(f"needs the running host, and {host.root} is a tree of files")
    found: dict[int, FileSystem] = {}
    for use, path in directories:
        try:
            entry = host.stat(path)
            if entry is None or entry.kind != "dir" or entry.inode[0] in found:
                continue
            left = os.statvfs(host.path(path))
        except (Unreadable, OSError) as failed:
            if use == "maildirs":
                # Whoever owns it can make its links loop, and must not hide a full spool by that.
                continue
            raise Unknown(f"{path}: {failed}") from None
        found[entry.inode[0]] = FileSystem(
            use=use,
            path=path,
            block=left.f_frsize,
            blocks=left.f_bavail,
            size=0 if left.f_flag & os.ST_RDONLY else left.f_blocks,
            inodes=left.f_favail,
            all_inodes=left.f_files,
        )
    # What has no size cannot fill up.
    return tuple(system for system in found.values() if system.size)
