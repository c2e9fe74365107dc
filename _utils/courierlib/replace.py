"""Replacing a file in one step: the old content or the new one, whole, whatever happens in between.

Everything is done relative to directories that were opened without following a link, so that nobody who can write to
a directory on the way can send a replacement elsewhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from courierlib.plan import Refused

MARK = ".saltext-courier-"
"""How the names of temporary files begin."""

LIMIT = 16 << 20
"""Bytes; no file that Courier reads its settings or keys from comes near, and a userdb of a hundred thousand accounts
does not either."""

_ADVICE = {
    errno.ENOSPC: "the disk is full; make room there and try again",
    errno.EDQUOT: "the disk quota is used up; make room there and try again",
    errno.EROFS: "the file system is mounted read-only; mount it read-write and try again",
    errno.EPERM: "not permitted; look for the immutable flag with lsattr (chattr -i takes it away)",
    errno.EACCES: "permission denied; run this as root",
    errno.EIO: "input/output error; look at the kernel log for the disk's errors",
}

_KEPT_BY_THE_KERNEL = frozenset({"security.ima", "security.evm"})
"""Attributes that nobody but the kernel may set."""

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotWritten(Exception):
    """The system refused a change; what was there is still there. The message names the path and what to do."""


@dataclass(frozen=True)
class Found:
    """A file before it is replaced.

    Args:
        target: its real path, behind a final symlink.
        content: None if there is no such file.
    """

    target: str
    content: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Replacement:
    """A file and what it shall contain.

    Args:
        path: as it was asked for.
        target: its real path.
        old: SHA-256 of what it is made for; empty if the file must not exist.
        content: the new content.
        temporary: name of the temporary file, in the target's directory.
        backup: path of the copy of the old content; empty for none.
        owner: uid, gid and mode of a file that does not exist yet; an existing one keeps its own.
    """

    path: str
    target: str
    old: str
    content: bytes = field(repr=False)
    temporary: str
    backup: str = ""
    owner: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Staged:
    """A replacement that lies beside its target, complete, and only needs its name."""

    replacement: Replacement
    target_identity: tuple[int, ...] | None
    temporary_identity: tuple[int, int]


def sha256(content: bytes | None) -> str:
    """Hexadecimal hash by which contents are compared; empty for a file that does not exist."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn an OSError into one line that names the path and what to do.

    Raises:
        NotWritten: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        reason = _ADVICE.get(error.errno or 0) or os.strerror(error.errno or 0)
        raise NotWritten(f"{path}: {reason}") from None


@contextmanager
def directory(path: str) -> Iterator[int]:
    """A descriptor of a directory, reached without following a link anywhere on the way.

    Args:
        path: absolute and real.

    Raises:
        OSError: it is not there, or something on the way has become a link.
    """
    parts = [part for part in path.split("/") if part]
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, part in enumerate(parts, start=1):
            access = os.O_RDONLY if number == len(parts) else os.O_PATH
            parent = descriptor
            descriptor = os.open(part, access | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
        yield descriptor
    finally:
        os.close(descriptor)


def real(path: str) -> str:
    """The real path behind ``path``; a final symlink is followed on purpose, so that it stays.

    Raises:
        Refused: not absolute, a dangling or looping link, a directory that is missing, or a file that certbot manages.
    """
    refuse_relative(path)
    try:
        target = os.path.realpath(path, strict=True)
    except FileNotFoundError:
        if os.path.islink(path):
            raise Refused(
                f"{path}: a link to {os.readlink(path)}, which does not exist; repair the link first"
            ) from None
        target = os.path.join(_real_directory(path), os.path.basename(path))
    except OSError as error:
        raise Refused(f"{path}: {os.strerror(error.errno or 0)}") from None
    if any(managed in target for managed in ("/letsencrypt/live/", "/letsencrypt/archive/")):
        raise Refused(f"{path}: {target} belongs to certbot, which would undo an edit; change it through certbot")
    return target


def refuse_relative(path: str) -> None:
    """Raises: Refused if the path is not absolute, or no path at all: settings can hold anything."""
    if not path.startswith("/") or "\0" in path:
        raise Refused(f"{path!r}: not an absolute path")


def _real_directory(path: str) -> str:
    parent = os.path.dirname(path)
    try:
        return os.path.realpath(parent, strict=True)
    except OSError as error:
        raise Refused(f"{path}: {parent}: {os.strerror(error.errno or 0)}") from None


def find(path: str) -> Found:
    """The file at ``path``, if it is one that may be replaced.

    Raises:
        Refused: not a regular file, too large, with several hard links, unreadable, or in a directory that anybody can
            write to.
    """
    target = real(path)
    told = path if target == path else f"{path} -> {target}"
    try:
        with directory(os.path.dirname(target)) as parent:
            _refuse_open_to_all(parent, told)
            with _opened(parent, target, told) as (_, content, _identity):
                return Found(target, content)
    except OSError as error:
        raise Refused(f"{path}: {os.strerror(error.errno or 0)}") from None


def _refuse_open_to_all(parent: int, told: str) -> None:
    mode = os.fstat(parent).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise Refused(f"{told}: anybody can write to its directory; take that permission away first (chmod o-w)")


@contextmanager
def _opened(
    parent: int, target: str, told: str = ""
) -> Iterator[tuple[int | None, bytes | None, tuple[int, ...] | None]]:
    """Descriptor, content and identity of a regular file; three times None if there is none."""
    name, told = os.path.basename(target), told or target
    try:
        # Looked at before it is opened: opening a device can already do something.
        _refuse_unusual(os.stat(name, dir_fd=parent, follow_symlinks=False), told)
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    except FileNotFoundError:
        yield None, None, None
        return
    try:
        status = os.fstat(descriptor)
        _refuse_unusual(status, told)
        content = _read(descriptor)
        if len(content) > LIMIT:
            raise Refused(f"{told}: larger than {LIMIT} bytes, which is no file of Courier's")
        yield descriptor, content, _identity(status)
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes:
    """At most one byte more than LIMIT."""
    content = b""
    while len(content) <= LIMIT and (piece := os.read(descriptor, LIMIT + 1 - len(content))):
        content += piece
    return content


def _refuse_unusual(status: os.stat_result, told: str) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise Refused(f"{told}: {kind}, not a regular file")
    if status.st_nlink > 1:
        raise Refused(
            f"{told}: has {status.st_nlink} hard links, and a replacement would reach only one; keep one of them"
        )


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def stage(replacement: Replacement) -> Staged:
    """Write the backup and, beside the target, its complete successor; both are on disk when this returns.

    Raises:
        Refused: the file is no longer what the replacement was made for.
        NotWritten: the system refused; nothing has changed.
    """
    target = replacement.target
    with (
        explained(target),
        directory(os.path.dirname(target)) as parent,
        _opened(parent, target) as (old, content, identity),
    ):
        if sha256(content) != replacement.old:
            raise Refused(f"{target}: changed while it was being repaired; run this again")
        if replacement.backup and content is not None:
            back_up(content, replacement.backup, replacement.temporary)
        temporary = _write_successor(parent, replacement, old)
        return Staged(replacement, identity, temporary)


def _write_successor(parent: int, replacement: Replacement, old: int | None) -> tuple[int, int]:
    with _new_file(parent, replacement.temporary) as descriptor:
        _write_all(descriptor, replacement.content)
        if old is not None:
            _dress_like(descriptor, old)
        elif replacement.owner is not None:
            uid, gid, mode = replacement.owner
            _own(descriptor, uid, gid, mode)
        os.fsync(descriptor)
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino


@contextmanager
def _new_file(parent: int, name: str) -> Iterator[int]:
    """A new file, readable by its owner alone; it is taken away again if the block fails."""
    with ExitStack() as undo:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
        undo.callback(_unlink, parent, name)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        undo.pop_all()


def _unlink(parent: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _dress_like(descriptor: int, old: int) -> None:
    """Give a file the owner, mode, ACL, label and other attributes of another one."""
    status = os.fstat(old)
    attributes = _attributes(old)
    # A directory's default ACL has given the new file an ACL that the old one may not have.
    for name in _attributes(descriptor).keys() - attributes.keys():
        os.removexattr(descriptor, name)
    _own(descriptor, status.st_uid, status.st_gid, 0o600)
    for name, value in attributes.items():
        os.setxattr(descriptor, name, value)
    # Last: with an ACL, the group's part of the mode is the ACL's mask.
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _own(descriptor: int, uid: int, gid: int, mode: int) -> None:
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, mode)


def _attributes(descriptor: int) -> dict[str, bytes]:
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {name: os.getxattr(descriptor, name) for name in names if name not in _KEPT_BY_THE_KERNEL}


def commit(staged: Staged) -> None:
    """Give the successor the target's name, in one step, and see it on disk.

    Raises:
        Refused: the target, its directory or the successor is no longer the one that was staged.
        NotWritten: the system refused; the old file is still there.
    """
    replacement = staged.replacement
    target, name = replacement.target, os.path.basename(replacement.target)
    with explained(target), directory(os.path.dirname(target)) as parent:
        successor = os.stat(replacement.temporary, dir_fd=parent, follow_symlinks=False)
        try:
            present = _identity(os.stat(name, dir_fd=parent, follow_symlinks=False))
        except FileNotFoundError:
            present = None
        unchanged = (
            present == staged.target_identity and (successor.st_dev, successor.st_ino) == staged.temporary_identity
        )
        if not unchanged or real(replacement.path) != target:
            raise Refused(f"{target}: changed while it was being repaired; run this again")
        if staged.target_identity is None:
            # A link, not a rename: that would silently replace what has appeared there meanwhile.
            os.link(replacement.temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
            os.unlink(replacement.temporary, dir_fd=parent)
        else:
            os.rename(replacement.temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)


def discard(target: str, temporary: str) -> None:
    """Remove a temporary file, or an empty temporary directory, beside ``target`` if it is there; and nothing else.

    Raises:
        NotWritten: the system refused.
    """
    if not temporary.startswith(MARK) or "/" in temporary:
        return
    beside = os.path.realpath(os.path.dirname(target))
    with (
        explained(f"{beside}/{temporary}"),
        suppress(FileNotFoundError, NotADirectoryError),
        directory(beside) as parent,
    ):
        status = os.stat(temporary, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(temporary, dir_fd=parent)
        elif stat.S_ISREG(status.st_mode):
            os.unlink(temporary, dir_fd=parent)


def remove(target: str, old: str, backup: str = "", temporary: str = "") -> None:
    """Remove a file.

    Args:
        target: its real path.
        old: SHA-256 of what it must contain.
        backup: path of a copy to make first; empty for none.
        temporary: name under which that copy is written.

    Raises:
        Refused: it contains something else.
        NotWritten: the system refused; the file is still there.
    """
    with (
        explained(target),
        directory(os.path.dirname(target)) as parent,
        _opened(parent, target) as (_, content, identity),
    ):
        if content is None or sha256(content) != old:
            raise Refused(f"{target}: changed while it was being removed; run this again")
        if backup:
            back_up(content, backup, temporary)
        name = os.path.basename(target)
        if _identity(os.stat(name, dir_fd=parent, follow_symlinks=False)) != identity:
            raise Refused(f"{target}: changed while it was being removed; run this again")
        os.unlink(name, dir_fd=parent)
        os.fsync(parent)


def kept(backup: str, wanted: str, told: str) -> bytes:
    """The content of a copy.

    Args:
        wanted: its SHA-256.
        told: the file that it is a copy of, for messages.

    Raises:
        Refused: it is not there, or is another one.
    """
    try:
        with open(os.open(backup, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise Refused(f"{told}: its copy {backup}: {os.strerror(error.errno or 0)}") from None
    if sha256(content) != wanted:
        raise Refused(f"{told}: its copy {backup} is not what that run replaced")
    return content


def put_back(target: str, wanted: str, backup: str, owner: tuple[int, int, int]) -> None:
    """Bring a missing file back from its copy.

    Args:
        wanted: SHA-256 of its content.
        owner: uid, gid and permission bits.

    Raises:
        Refused: the copy is not there, or is another one.
        NotWritten: the system refused.
    """
    content = kept(backup, wanted, target)
    temporary = f"{MARK}{secrets.token_hex(8)}"
    staged = stage(Replacement(target, target, "", content, temporary, owner=tuple(owner)))
    try:
        commit(staged)
    finally:
        discard(target, temporary)


def backup_path(root: str, target: str) -> str:
    """Where the copy of ``target`` goes, so that Salt's ``file.list_backups`` and ``file.restore_backup`` know it.

    Args:
        root: the minion's ``file_backup`` below its cache directory.
        target: absolute path.
    """
    while True:
        now = time.time_ns() // 1000
        stamp = time.strftime("%a_%b_%d_%H:%M:%S_{}_%Y", time.localtime(now // 1_000_000))
        path = f"{root}{target}_{stamp.format(f'{now % 1_000_000:06d}')}"
        if not os.path.lexists(path):
            return path


def back_up(content: bytes, path: str, temporary: str) -> None:
    """Keep a copy that only its owner can read, in a directory that only its owner can enter.

    It gets its name when it is whole and on disk: half a copy must not be offered for restoring.

    Raises:
        NotWritten: the system refused; the message names the copy.
    """
    make_private(os.path.dirname(path))
    write_private(path, content, temporary)


def write_private(path: str, content: bytes, temporary: str) -> None:
    """Write or replace a file of our own, mode 0600, in one step and onto the disk.

    Raises:
        NotWritten: the system refused; what was there is still there.
    """
    with explained(path), directory(os.path.realpath(os.path.dirname(path))) as parent:
        with _new_file(parent, temporary) as descriptor:
            _write_all(descriptor, content)
            os.fsync(descriptor)
            os.rename(temporary, os.path.basename(path), src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)


def make_private(path: str) -> None:
    """Create a directory of our own and those above it, or close it to others.

    Raises:
        NotWritten: the system refused, or it is somebody else's.
    """
    with explained(path):
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            make_private(os.path.dirname(path))
            os.mkdir(path, 0o700)
        except FileExistsError:
            _close_to_others(path)
            return
        with directory(os.path.realpath(os.path.dirname(path))) as parent:
            os.fsync(parent)


def _close_to_others(path: str) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise NotWritten(f"{path}: not a directory of our own; move it away")
    if status.st_mode & 0o077:
        os.chmod(path, 0o700)
