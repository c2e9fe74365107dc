"""Files below one root, read only: the running host's ``/``, or a tree from which nothing is run."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from courierlib.issue import Unknown

MANIFEST = ".courier-host.json"
"""What git or an archive cannot keep of a recorded host: owners, modes, times, and the strings of its binaries."""

_MAX_LINKS = 40  # the kernel's own limit
_MAX_BINARY = 64 << 20
_MAX_MANIFEST = 16 << 20
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Unreadable(Unknown):
    """A file could not be read.

    Args:
        path: of the file, inside the root.
        why: in a few words.
        missing: it does not exist.
    """

    def __init__(self, path: str, why: str, missing: bool = False):
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why
        self.missing = missing


class FileStat(NamedTuple):
    """What ``lstat`` or ``stat`` tells; a tuple, because an audit makes tens of thousands.

    Args:
        mode: permission bits only.
        kind: ``file``, ``dir``, ``link``, ``fifo``, ``socket`` or ``device``.
        size: bytes.
        mtime: seconds since the epoch.
        inode: (device, inode).
        links: hard links.
    """

    uid: int
    gid: int
    mode: int
    kind: str
    size: int
    mtime: float
    inode: tuple[int, int]
    links: int = 1


@dataclass(frozen=True)
class Passwd:
    """An account of the system's user database."""

    name: str
    uid: int
    gid: int
    home: str


class Tree:
    """Files below a root; absolute paths and symbolic links are resolved inside it.

    Args:
        root: an existing directory.

    Raises:
        NotADirectoryError: there is no such directory.
        Unknown: the tree's manifest is damaged.
    """

    def __init__(self, root: str = "/"):
        self.root = os.path.abspath(root)
        if not os.path.isdir(self.root):
            raise NotADirectoryError(f"root={root}: no such directory")
        self._live = self.root == "/"
        self._manifest = {} if self._live else self._read_manifest()
        self._recorded = self._manifest.get("files", {})

    def path(self, inside: str) -> str:
        """The real path, on this machine, of a path inside the root; a link at the end is followed.

        Raises:
            Unreadable: the links loop.
        """
        return inside if self._live else self.root + self.resolve(inside).rstrip("/")

    def resolve(self, inside: str, follow: bool = True, entered: list[str] | None = None) -> str:
        """The path inside the root with its links resolved inside the root.

        Args:
            follow: also follow a link at the very end.
            entered: gets the directories in which a name was looked up, in this order.

        Raises:
            Unreadable: the links loop.
        """
        pending = [part for part in reversed(inside.split("/")) if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                del done[-1:]
                continue
            here = "/" + "/".join([*done, part])
            if entered is not None:
                entered.append("/" + "/".join(done))
            if pending or follow:
                target = self._readlink(here)
                if target is not None:
                    links += 1
                    if links > _MAX_LINKS:
                        raise Unreadable(inside, "symbolic links loop")
                    if target.startswith("/"):
                        done = []
                    pending += [p for p in reversed(target.split("/")) if p not in ("", ".")]
                    continue
            done.append(part)
        return "/" + "/".join(done)

    def exists(self, inside: str) -> bool:
        """Whether something is there; a dangling link is not."""
        return self.stat(inside) is not None

    def stat(self, inside: str, follow: bool = True) -> FileStat | None:
        """Owner, mode and kind of a path; None if there is nothing.

        Raises:
            Unreadable: the links loop, or a directory on the way may not be entered.
        """
        try:
            real = inside if self._live else self.root + self.resolve(inside, follow)
            found = os.stat(real) if follow and self._live else os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            return self._recorded_stat(inside, follow, None)
        except ValueError:
            raise Unreadable(inside, "not a path: it contains a NUL byte") from None
        except OSError as failed:
            raise Unreadable(inside, _reason(failed)) from None
        return self._recorded_stat(inside, follow, found)

    def read(self, inside: str, limit: int = 1 << 20) -> bytes:
        """The content of a regular file.

        Args:
            limit: bytes; a larger file is refused, not cut.

        Raises:
            Unreadable: missing, not a regular file, too large, no permission, links that loop.
        """
        return _read_regular(self.path(inside), inside, limit)

    def listdir(self, inside: str) -> tuple[str, ...]:
        """Sorted names in a directory; nothing if it does not exist.

        Raises:
            Unreadable: no permission, or not a directory.
        """
        try:
            names = os.listdir(self.path(inside))
        except FileNotFoundError:
            names = []
        except OSError as failed:
            raise Unreadable(inside, _reason(failed)) from None
        return tuple(sorted(names if self._live else {*names, *self._recorded_names(inside)} - {MANIFEST}))

    def _recorded_names(self, inside: str) -> Iterator[str]:
        below = self.resolve(inside).rstrip("/") + "/"
        names = (path.removeprefix(below) for path in self._recorded if path.startswith(below))
        return (name for name in names if "/" not in name)

    def contains(self, inside: str, pattern: bytes) -> re.Match[bytes] | None:
        """Search a binary for a pattern; under a recorded root, what the recording kept of its strings.

        Raises:
            Unreadable: it cannot be read.
        """
        kept = self._manifest.get("strings", {}).get(self.resolve(inside) if not self._live else inside)
        content = "\n".join(kept).encode() if kept is not None else self.read(inside, _MAX_BINARY)
        return re.search(pattern, content)

    def user(self, uid: int) -> Passwd | None:
        """The account with this uid."""
        if not self._live:
            return self._passwd_by_uid.get(uid)
        try:
            entry = pwd.getpwuid(uid)
        except (KeyError, OverflowError):
            return None
        return Passwd(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)

    def named_user(self, name: str) -> Passwd | None:
        """The account of this name."""
        if not self._live:
            return next((entry for entry in self._passwd if entry.name == name), None)
        try:
            entry = pwd.getpwnam(name)
        except (KeyError, ValueError):
            return None
        return Passwd(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)

    def uid(self, name: str) -> int | None:
        """uid of an account."""
        entry = self.named_user(name)
        return entry.uid if entry else None

    def gid(self, name: str) -> int | None:
        """gid of a group."""
        if not self._live:
            return self._groups.get(name)
        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return None

    def gids(self, name: str, gid: int) -> frozenset[int]:
        """The groups that a process has which became this user with ``gid``, as initgroups(3) gives them."""
        if self._live:
            return frozenset(os.getgrouplist(name, gid))
        groups = self._database("/etc/group", 4)
        return frozenset({gid, *(int(fields[2]) for fields in groups if name in fields[3].split(","))})

    @cached_property
    def users(self) -> tuple[Passwd, ...]:
        """All accounts that the user database lists."""
        if not self._live:
            return self._passwd
        return tuple(Passwd(e.pw_name, e.pw_uid, e.pw_gid, e.pw_dir) for e in pwd.getpwall())

    @cached_property
    def _passwd(self) -> tuple[Passwd, ...]:
        return tuple(Passwd(f[0], int(f[2]), int(f[3]), f[5]) for f in self._database("/etc/passwd", 7))

    @cached_property
    def _passwd_by_uid(self) -> Mapping[int, Passwd]:
        # The first entry of a uid wins, as in getpwuid.
        return {entry.uid: entry for entry in reversed(self._passwd)}

    @cached_property
    def _groups(self) -> Mapping[str, int]:
        return {fields[0]: int(fields[2]) for fields in self._database("/etc/group", 4)}

    def _database(self, path: str, fields: int) -> Iterator[list[str]]:
        try:
            content = self.read(path, 16 << 20).decode("utf-8", "replace")
        except Unreadable as failed:
            if failed.missing:
                return
            raise
        for line in content.splitlines():
            parts = line.split(":")
            if len(parts) == fields and _is_number(parts[2]) and (fields < 7 or _is_number(parts[3])):
                yield parts

    def _readlink(self, inside: str) -> str | None:
        recorded = self._recorded.get(inside, {}).get("link")
        if recorded is not None:
            return recorded
        try:
            return os.readlink(inside if self._live else self.root + inside)
        except OSError as failed:
            if failed.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                return None
            raise Unreadable(inside, _reason(failed)) from None

    def _recorded_stat(self, inside: str, follow: bool, found: os.stat_result | None) -> FileStat | None:
        """What the manifest says of a path, over what the file system says of it."""
        recorded = None if self._live else self._recorded.get(self.resolve(inside, follow))
        if recorded is not None:
            return FileStat(
                uid=recorded["uid"],
                gid=recorded["gid"],
                mode=int(recorded["mode"], 8),
                kind=recorded["kind"],
                size=found.st_size if found else recorded.get("size", 0),
                mtime=recorded["mtime"],
                inode=(found.st_dev, found.st_ino) if found else (0, 0),
                links=found.st_nlink if found else 1,
            )
        if found is None:
            return None
        return FileStat(
            found.st_uid,
            found.st_gid,
            stat.S_IMODE(found.st_mode),
            _kind(found.st_mode),
            found.st_size,
            found.st_mtime,
            (found.st_dev, found.st_ino),
            found.st_nlink,
        )

    def _read_manifest(self) -> dict:
        path = os.path.join(self.root, MANIFEST)
        try:
            manifest = json.loads(_read_regular(path, path, _MAX_MANIFEST))
        except Unreadable as failed:
            if failed.missing:
                return {}
            raise
        except (ValueError, RecursionError):
            raise Unknown(f"{path}: not JSON; record the host again") from None
        if not _is_manifest(manifest):
            raise Unknown(f"{path}: not a manifest of format 1; record the host again")
        return manifest


def _is_number(text: str) -> bool:
    # isdigit alone is also true of superscripts, which int() refuses.
    return text.isascii() and text.isdigit() and len(text) < 11


def _is_manifest(found: object) -> bool:
    """Whether it has the shape that the recorder writes."""
    if not isinstance(found, dict) or found.get("format") != 1:
        return False
    files, strings = found.get("files", {}), found.get("strings", {})
    return (
        isinstance(files, dict)
        and all(map(_is_recorded, files.values()))
        and isinstance(strings, dict)
        and all(isinstance(kept, list) and all(isinstance(text, str) for text in kept) for kept in strings.values())
    )


def _is_recorded(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(name), int) for name in ("uid", "gid"))
        and isinstance(entry.get("mtime"), (int, float))
        and re.fullmatch("[0-7]{3,4}", str(entry.get("mode"))) is not None
        and entry.get("kind") in {*_KINDS.values(), "device"}
        and isinstance(entry.get("link", ""), str)
        and isinstance(entry.get("size", 0), int)
    )


def _read_regular(path: str, name: str, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; ``name`` is what messages call it.

    Raises:
        Unreadable: see ``Tree.read``.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its other end.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable(name, "no such file", missing=True) from None
    except ValueError:
        raise Unreadable(name, "not a path: it contains a NUL byte") from None
    except OSError as failed:
        raise Unreadable(name, _reason(failed)) from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(name, f"not a regular file, but a {_kind(found.st_mode)}")
        if found.st_size > limit:
            raise Unreadable(name, f"{found.st_size} bytes, too large for what it should be (limit {limit})")
        # One byte more than it had: a file can grow between fstat and read, and those below /proc have no size.
        content = os.read(handle, found.st_size + 1)
        while found.st_size < len(content) <= limit and (more := os.read(handle, limit + 1 - len(content))):
            content += more
    except OSError as failed:
        raise Unreadable(name, _reason(failed)) from None
    finally:
        os.close(handle)
    if len(content) > limit:
        raise Unreadable(name, f"more than {limit} bytes, too large for what it should be")
    return content


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "device")


def _reason(failed: OSError) -> str:
    return "symbolic links loop" if failed.errno == errno.ELOOP else (failed.strerror or "cannot be read").lower()
