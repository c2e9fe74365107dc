"""Where a host's mail log is, and reading it in blocks.

``sources(host)`` and ``given(path)`` say where; ``read(source)`` yields blocks of whole lines, mostly of 512 KiB.

What is preferred where several have the same lines, so that none counts twice:

* A file before the journal: it usually reaches further back, and is read many times as fast. But the journal, if its
  last line of Courier is more than five minutes younger than the file: then nobody writes to that file any more. That
  is asked rather than whether rsyslog runs, for a running rsyslog may write elsewhere.
* Among files, what rsyslog's rules say for a line of each of Courier's processes; without rsyslog, the first of the
  well-known paths that exists.

How ``since`` and ``until`` are kept, and how exactly, stands in ``logwindow``.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import BinaryIO, NamedTuple

from courierlib import journald, logstream, rsyslog
from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.logtime import moment, when, zone
from courierlib.logwindow import HEAD, Window
from courierlib.tree import Tree, Unreadable

__all__ = ["Block", "Source", "given", "moment", "read", "sources", "when", "zone"]

WELL_KNOWN = (
    "/var/log/mail.log",
    "/var/log/maillog",
    "/var/log/mail",
    "/var/log/mail/mail.log",
    "/var/log/mail/info.log",
    "/var/log/mail/current",
    "/var/log/mail.info",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/mail.warn",
    "/var/log/mail.err",
)
"""Each has, at most, what those before it have."""

_PARTIAL = ("mail.warn", "mail.err", "mail.warning")
_ROTATED = re.compile(
    r"(?:[.-](?:(?P<date>[0-9]{4}-?[0-9]{2}-?[0-9]{2}(?:[-_.]?[0-9]{2,10})?)|(?P<number>[0-9]{1,4})|(?P<old>old)))"
    r"(?P<packed>\.(?:gz|xz|bz2|zst|Z|lz4|lzma))?"
)
_PACKED = re.compile(r"\.(?:gz|xz|bz2|zst|Z|lz4|lzma)$")
_STALE_SECONDS = 300.0
_PLAUSIBLE = 946684800.0  # 2000: archives and package builds set times near 1970.
_DAY = timedelta(days=1)
_BUFFER = 1 << 17
_JOURNAL_MAGIC = b"LPKSHHRH"
_RSYSLOGD = ("/usr/sbin/rsyslogd", "/sbin/rsyslogd", "/usr/local/sbin/rsyslogd")
_NOT_LOGS = ("wtmp", "btmp", "lastlog", "faillog", "tallylog", "README")


@dataclass(frozen=True)
class Source:
    """One part of a log: a file, or the journal.

    Args:
        kind: ``file`` or ``journal``.
        name: path as the host sees it, or ``journal``.
        path: real path on this machine; empty for this host's journal.
        log: name of the file that is written to, of which this may be a rotated part.
        living: somebody may be writing to it.
        identity: device and inode when it was found.
        zone: of stamps that carry none.
        places: options that tell journalctl where to look.
    """

    kind: str
    name: str
    path: str = ""
    log: str = ""
    living: bool = False
    identity: tuple[int, int] = (0, 0)
    zone: tzinfo = timezone.utc
    places: tuple[str, ...] = ()


class Block(NamedTuple):
    """Whole lines of a log.

    Args:
        end: offset in the (expanded) file up to which it has been read; 0 for a journal.
        cursor: the journal's, after the last line; empty before.
        near: the latest time that a line may carry, for stamps without a year; None for now.
    """

    data: bytes
    source: Source
    end: int = 0
    cursor: str = ""
    near: datetime | None = None


def sources(host: Host) -> list[Source | Unknown]:
    """Where this host's mail log is: the parts of each log together, oldest first.

    Nothing of a tree is run; this machine's journalctl may read the tree's journal.
    """
    local = zone(host)
    wanted, doubts = _wanted(host)
    logs = []
    for path in wanted:
        try:
            if parts := parts_of(host, path, local):
                logs.append(parts)
        except Unreadable as failed:
            doubts.append(failed.reason)
    journal = _journal(host, local)
    youngest = _youngest(journal) if isinstance(journal, Source) else None
    found: list[Source | Unknown] = [part for parts in logs for part in parts]
    if isinstance(journal, Source) and (not found or _says_more(youngest, host, found, bool(doubts))):
        # What rsyslog does with the lines does not matter where they all are in the journal.
        return [journal, *(_doubts(doubts) if youngest is None else ())]
    if not found and isinstance(journal, Unknown):
        return [journal, *_doubts(doubts)]
    return found + _doubts(doubts) or [_nowhere(wanted)]


def given(path: str, host: Host | None = None) -> list[Source | Unknown]:
    """A log that an operator names: a file, compressed or not, an exported journal, or a directory with such files.

    Args:
        path: absolute, on this machine.
        host: whose time zone counts for stamps that carry none; None for this machine's.

    Raises:
        ValueError: it is not an absolute path.
    """
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise ValueError(f"{path!r}: name the log by its absolute path, for instance /var/log/mail.log")
    local, tree = zone(host), Tree()
    try:
        found = tree.stat(path)
        if found is None:
            return [Unknown(f"{path}: no such file or directory")]
        if found.kind == "dir":
            return _directory(tree, path, local)
        if found.kind != "file":
            return [Unknown(f"{path}: not a file that can be read as a log, but a {found.kind}")]
        source = Source("file", path, path, identity=found.inode, zone=local)
        with opened(source) as file:
            if logstream.sniffed(file).startswith(_JOURNAL_MAGIC):
                return [replace(source, kind="journal", places=(f"--file={path}",))]
    except Unknown as failed:
        return [failed]
    return [source]


def read(
    source: Source,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    start: int = 0,
    cursor: str = "",
    last: int = 0,
    now: datetime | None = None,
) -> Iterator[Block]:
    """Read a source to its end; of a living file, to the end of its last complete line.

    Args:
        since: with a time zone, as ``moment`` gives it; of a journal, to the second.
        until: the same.
        start: of a file, offset of the first byte; if it is within a line, that line is left out.
        cursor: of a journal, the first entry; then ``since`` does not count.
        last: of a journal, only so many entries, the newest; 0 for all.
        now: the latest time that a line may carry.

    Raises:
        Unknown: something of it could not be read; raised after what could be. The reason names the source.
    """
    if source.kind == "journal":
        yield from _read_journal(source, since, until, cursor, last)
        return
    try:
        with opened(source) as file:
            yield from _read_file(file, source, since, until, start, now or datetime.now(source.zone))
    except OSError as failed:
        raise Unknown(f"{source.name}: {(failed.strerror or 'cannot be read').lower()}") from None


@contextmanager
def opened(source: Source) -> Iterator[io.BufferedReader]:
    """The file of a source, also if it was rotated since the source was found.

    Raises:
        Unknown: it is gone, is not a regular file, or must not be read.
    """
    file = _open(source.path, source.name)
    if file is None or _identity(file) != source.identity:
        if file:
            file.close()
        file = _sibling(source)
    if file is None:
        raise Unknown(f"{source.name}: rotated away or removed while it was to be read; ask again")
    with file:
        yield file


def _open(path: str, name: str) -> io.BufferedReader | None:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise Unknown(f"{name}: {(failed.strerror or 'cannot be read').lower()}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unknown(f"{name}: not a regular file any more")
    return open(descriptor, "rb", buffering=_BUFFER)


def _identity(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino


def _sibling(source: Source) -> io.BufferedReader | None:
    """The file of a source under the name that a rotation has given it."""
    directory, base = os.path.split(source.path)
    stem = base.split(".")[0]
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(stem) and entry.inode() == source.identity[1]:
                file = _open(entry.path, source.name)
                if file and _identity(file) == source.identity:
                    return file
                if file:
                    file.close()
    return None


def _read_journal(
    source: Source, since: datetime | None, until: datetime | None, cursor: str, last: int
) -> Iterator[Block]:
    journal = journald.Journal(source.places, cursor=cursor, since=since, until=until, last=last)
    held = None
    with io.BufferedReader(journal, _BUFFER) as file:
        for data, _ in logstream.blocks(file):
            data, told = journald.without_cursor(data)
            if held and data:
                yield held
                held = None
            held = Block(data, source, 0, told) if data else held and held._replace(cursor=told)
        if held:
            yield held
        if journal.trouble:
            raise Unknown(f"{source.name}: {journal.trouble}")


def _read_file(
    file: io.BufferedReader,
    source: Source,
    since: datetime | None,
    until: datetime | None,
    start: int,
    now: datetime,
) -> Iterator[Block]:
    status = os.fstat(file.fileno())
    near = now
    if not source.living and status.st_mtime > _PLAUSIBLE:
        near = min(now, datetime.fromtimestamp(status.st_mtime, source.zone))
    if source.log and not source.living and since and near + _DAY < since:
        return
    window = Window(since, until, near)
    content, streams = _content(file, source, status.st_size)
    plain = content is file
    _go_to(content, start, plain)
    for begin, stop in window.ranges(file, start, status.st_size) if plain else [(start, None)]:
        if plain:
            _go_to(file, begin, plain)
            begin = file.tell()
        for data, end in logstream.blocks(content, begin, stop, whole=not source.living):
            if data := window.cut(data, skip=not plain):
                yield Block(data, source, end, near=near)
    if troubles := [stream.trouble for stream in streams if stream.trouble]:
        raise Unknown(f"{source.name}: {'; '.join(troubles)}")


def _content(
    file: io.BufferedReader, source: Source, size: int
) -> tuple[io.BufferedReader, list[logstream.Expanded | logstream.Entries]]:
    """The file's lines, and what makes them of it: nothing, a decoder, a converter of exported journals, or both.

    Raises:
        Unknown: this Python has no decoder for it.
    """
    streams: list[logstream.Expanded | logstream.Entries] = []
    if method := logstream.compression(logstream.sniffed(file)):
        if not logstream.can_expand(method):
            raise Unknown(f"{source.name}: this Python cannot expand {method}; unpack it first ({method} -d)")
        streams.append(logstream.Expanded(file, method, size))
        file = io.BufferedReader(streams[-1], _BUFFER)
    if form := logstream.exported(logstream.sniffed(file)):
        streams.append(logstream.Entries(file, form, source.zone))
        file = io.BufferedReader(streams[-1], _BUFFER)
    return file, streams


def _go_to(file: io.BufferedReader, offset: int, seekable: bool) -> None:
    """Go to the first line that begins at an offset or after it."""
    if offset <= 0:
        return
    if seekable:
        file.seek(offset - 1)
    elif not logstream.skipped(file, offset - 1):
        return
    if file.read(1) != b"\n":
        logstream.to_line_end(file)


def _wanted(host: Host) -> tuple[list[str], list[str]]:
    """Files in which Courier's lines should be, and what raises doubt about it."""
    doubts: list[str] = []
    if any(host.exists(path) for path in _RSYSLOGD):
        try:
            logs = rsyslog.logs(host)
            return list(logs.files), list(logs.doubts)
        except Unreadable as failed:
            doubts.append(failed.reason)
    for path in WELL_KNOWN:
        try:
            found = parts_of(host, path, timezone.utc)
        except Unreadable as failed:
            doubts.append(failed.reason)
            continue
        if found:
            if posixpath.basename(path) in _PARTIAL:
                doubts.append(f"{path}: has only what is at warning or above")
            return [path], doubts
    return [], doubts


def parts_of(tree: Host | Tree, path: str, local: tzinfo) -> list[Source]:
    """A log and its rotated parts, oldest first.

    Raises:
        Unreadable: the directory cannot be read.
    """
    directory, base = posixpath.split(path)
    above = tree.stat(directory)
    names = tree.listdir(directory) if above and above.kind == "dir" else ()
    rotated = {name: found for name in names if (found := _rotation(name, base))}
    rotated = {
        name: found
        for name, found in rotated.items()
        # A rotation that was interrupted, or is under way, leaves both.
        if not found["packed"] or name.removesuffix(found["packed"]) not in (*rotated, base)
    }
    found = []
    for name in [*rotated, *([base] if base in names else [])]:
        inside = f"{directory}/{name}"
        status = tree.stat(inside)
        if status and status.kind == "file":
            part = Source("file", inside, tree.path(inside), path, name == base, status.inode, local)
            found.append((_age(rotated.get(name), status.mtime, rotated.values()), part))
    return [part for _, part in sorted(found, key=lambda each: each[0])]


def _rotation(name: str, base: str) -> re.Match[str] | None:
    """How a name says that it is a rotated part of a log: ``mail.log.1``, ``mail.log-20261115.gz``, ``mail.1.log``."""
    if name.startswith(base):
        return _ROTATED.fullmatch(name, len(base))
    stem, dot, extension = base.rpartition(".")
    packed = _PACKED.search(name)
    plain = name[: packed.start()] if packed else name
    if dot and stem and plain.startswith(stem) and plain.endswith(f".{extension}"):
        middle = plain[len(stem) : -len(extension) - 1]
        return _ROTATED.fullmatch(middle + (packed[0] if packed else ""))
    return None


def _age(rotation: re.Match[str] | None, mtime: float, others: Iterable[re.Match[str]]) -> tuple:
    """Sorts the oldest first, by the names if they agree on how, else by the time of the last change."""
    if rotation is None:
        return (1,)
    if all(each["date"] for each in others):
        return 0, rotation["date"]
    if not any(each["date"] for each in others):
        return 0, -int(rotation["number"] or 1)
    return 0, mtime


def _directory(tree: Tree, path: str, local: tzinfo) -> list[Source | Unknown]:
    """The logs of a directory that an operator named."""
    path = path.rstrip("/") or "/"
    if _journal_files(tree, path):
        return [Source("journal", path, path, zone=local, places=(f"--directory={path}",))]
    names = [name for name in tree.listdir(path) if not name.startswith(".") and name not in _NOT_LOGS]
    bases = list(dict.fromkeys(_base(name) for name in names))
    copies = [name for name in dict.fromkeys(map(posixpath.basename, WELL_KNOWN)) if name in bases][1:]
    found = [
        replace(part, log="", living=False)
        for base in bases
        if base not in copies
        for part in parts_of(tree, f"{path.rstrip('/')}/{base}", local)
    ]
    return found or [Unknown(f"{path}: no log in this directory")]


def _base(name: str) -> str:
    """The name of the log that a file is a part of."""
    for at in range(1, len(name)):
        if name[at] in ".-" and _ROTATED.fullmatch(name, at):
            return name[:at]
    return name


def _journal(host: Host, local: tzinfo) -> Source | Unknown | None:
    live = host.root == "/"
    for directory in journald.DIRECTORIES:
        try:
            files = _journal_files(host, directory)
        except Unreadable as failed:
            return failed
        if not files:
            continue
        if not any(os.access(host.path(file), os.R_OK) for file in files):
            return Unknown(f"{directory}: permission denied; run this as root")
        if not journald.installed():
            return Unknown(
                f"{directory}: a journal, and journalctl is not installed here; name a file with source=/path"
            )
        if live:
            return Source("journal", "journal", log="journal", living=True, zone=local)
        real = host.path(directory)
        return Source("journal", directory, real, "journal", True, zone=local, places=(f"--directory={real}",))
    return None


def _journal_files(tree: Host | Tree, directory: str) -> list[str]:
    """Files of a journal in a directory, or in one below it that is named after a machine."""
    below = [f"{directory}/{name}" for name in tree.listdir(directory) if re.fullmatch("[0-9a-f]{32}", name)]
    return [
        f"{where}/{name}"
        for where in (directory, *below)
        for name in tree.listdir(where)
        if name.endswith(".journal") and not name.startswith("user-")
    ]


def _youngest(journal: Source) -> datetime | None:
    """The time of the journal's last line of Courier."""
    try:
        for block in read(journal, last=1):
            return when(block.data[:HEAD].decode("latin-1"), datetime.now(journal.zone))
    except Unknown:
        pass  # Whoever reads it is told.
    return None


def _says_more(youngest: datetime | None, host: Host, files: list[Source | Unknown], doubtful: bool) -> bool:
    """Whether the journal has lines that the files have not."""
    if youngest is None or doubtful:
        return youngest is not None
    states = [status for part in files if isinstance(part, Source) and (status := host.stat(part.name))]
    written = max((status.mtime for status in states if status.size), default=0.0)
    return youngest.timestamp() > written + _STALE_SECONDS


def _doubts(reasons: list[str]) -> list[Unknown]:
    return [Unknown(f"{reason}; name the file with source=/path") for reason in reasons]


def _nowhere(wanted: list[str]) -> Unknown:
    return Unknown(
        f"no mail log: no journal, and none of {', '.join(wanted or WELL_KNOWN)}; "
        "if Courier logs to a container's output or to another host, save that to a file and name it with source=/path"
    )
