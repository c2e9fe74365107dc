"""What is new in a log since it was last read.

::

    cursors = Cursors.load("/var/cache/salt/minion/courier/log.json")
    for new in cursors.new(sources(host)):   # blocks, and Unknown for what could not be had
        ...
    cursors.save()                           # once the result has been used; without it nothing has been read

A cursor into a file is its device, inode and offset, and hashes of the file's first bytes and of those before the
offset: an inode comes back, a content does not. It stands after a complete line. Where it is found again decides what
is new:

* in the living file: what follows;
* in a rotated part, renamed, copied or compressed: the rest of that part, and all that came after it;
* nowhere: all of the living file, what the rotated parts have from the last reading on, and one Unknown: what was cut
  off or removed since then was never read.

A cursor into the journal is journald's own and a hash of its entry. Reading begins with that entry; if another one
comes first, journald has removed it.

The first time, and if the file of cursors is damaged, a bounded look back is taken. Another log that was read before
bounds it further: where a host changes from a file to the journal, the same lines are not read twice.

Readers at the same time do no damage: the last one to save wins, for the logs that it has read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from itertools import groupby

from courierlib import logsources, logstream, replace
from courierlib.issue import Unknown
from courierlib.logsources import Block, Source

LOOK_BACK = timedelta(days=1)
"""How far the first reading goes back."""

LIMIT = 64 << 20
"""Bytes that the first reading takes at most, from the end."""

_FORMAT = 1
_SIZE = 1 << 20
_MARK = 1024
_PACKED_RATIO = 10
_SLACK = 60.0  # Seconds; a file system's clock lags a little.
_ENTRY = 250  # Bytes, as a line of the journal.


@dataclass(frozen=True)
class FileCursor:
    """Where the reading of a file stopped.

    Args:
        head: hash of the file's first bytes, at most 1 KiB and none behind the offset.
        tail: hash of those before the offset, at most 1 KiB.
        read: when, in seconds since 1970.
    """

    device: int
    inode: int
    offset: int
    head: str
    tail: str
    read: float


@dataclass(frozen=True)
class JournalCursor:
    """Where the reading of a journal stopped.

    Args:
        cursor: journald's; empty if there was no entry yet.
        entry: hash of the entry.
        read: when, in seconds since 1970.
    """

    cursor: str
    entry: str
    read: float


_Cursor = FileCursor | JournalCursor


class Cursors:
    """Where the reading of each log stopped.

    Args:
        path: the file they are kept in.
        known: by the name of the log.
        trouble: why the file could not be used; empty if it could, or is not there yet.

    Attributes:
        incomplete: a journal failed before its end was reached, so that its lines will be read again.
    """

    def __init__(self, path: str, known: dict[str, _Cursor], trouble: str = ""):
        self.path = path
        self._known = known
        self._read: dict[str, _Cursor] = {}
        self._trouble = trouble
        self.incomplete = False

    @classmethod
    def load(cls, path: str) -> Cursors:
        """Read the file; one that is damaged or not ours counts as none, and ``new`` says so."""
        try:
            return cls(path, _load(path))
        except ValueError as failed:
            return cls(path, {}, f"{path}: {failed}; reading starts anew")

    def new(
        self,
        sources: Iterable[Source | Unknown],
        *,
        look_back: timedelta = LOOK_BACK,
        limit: int = LIMIT,
        now: datetime | None = None,
    ) -> Iterator[Block | Unknown]:
        """What is new, and Unknown for what could not be had. Nothing is raised.

        Args:
            sources: as ``logsources.sources`` gives them: the parts of a log together, oldest first.
            look_back: how far the first reading of a log goes back.
            limit: bytes that the first reading takes at most.

        A block of a file counts as read when the next one is asked for, a journal when its end was reached.
        """
        if self._trouble:
            yield Unknown(self._trouble)
            self._trouble = ""
        for log, several in groupby(sources, _log):
            parts = list(several)
            if log is None:
                yield from parts
                continue
            current = now or datetime.now(parts[0].zone)
            first = max([current - look_back, *(_time(each.read, current) for each in self._known.values())])
            if parts[0].kind == "journal":
                yield from self._journal(log, parts[0], first, limit, current)
            else:
                yield from self._files(log, parts, first, limit, current)

    def save(self) -> None:
        """Write what has been read since ``load``, onto the disk.

        Raises:
            replace.NotWritten: the system refused; the old file is still there.
        """
        if not self._read:
            return
        try:
            kept = _load(self.path)
        except ValueError:
            kept = {}
        self._known = kept | self._read
        logs = {log: asdict(cursor) for log, cursor in self._known.items()}
        content = json.dumps({"format": _FORMAT, "logs": logs}, indent=1).encode() + b"\n"
        replace.make_private(os.path.dirname(self.path))
        replace.write_private(self.path, content, f"{replace.MARK}{secrets.token_hex(8)}")
        self._read = {}

    def _journal(
        self, log: str, source: Source, first: datetime, limit: int, now: datetime
    ) -> Iterator[Block | Unknown]:
        known = self._known.get(log)
        old = known if isinstance(known, JournalCursor) and known.cursor else None
        newest = old
        try:
            if old:
                blocks = logsources.read(source, cursor=old.cursor)
            else:
                since = _time(known.read, now) if known else max(first, _oldest_of_last(source, limit, now))
                blocks = logsources.read(source, since=since)
            for number, block in enumerate(blocks):
                if block.cursor:
                    newest = JournalCursor(block.cursor, _entry_hash(block.data), now.timestamp())
                if number == 0 and old:
                    line = block.data.find(b"\n") + 1
                    if _entry_hash(block.data[:line]) == old.entry:
                        block = block._replace(data=block.data[line:])
                    else:
                        yield Unknown(
                            f"{source.name}: journald has removed the entry that was read last, of "
                            f"{_time(old.read, now):%Y-%m-%d %H:%M:%S}; what else it removed was never read"
                        )
                if block.data:
                    yield block
        except Unknown as failed:
            yield failed
            if old and newest is old and "seek to cursor" in failed.reason:
                # It is damaged: the next reading begins anew, from where this one has been.
                newest = JournalCursor("", "", old.read)
            else:
                self.incomplete = self.incomplete or newest is old
                self._remember(log, newest)
                return
        if newest is old and old:
            newest = JournalCursor(old.cursor, old.entry, now.timestamp())
        self._remember(log, newest or JournalCursor("", "", now.timestamp()))

    def _remember(self, log: str, cursor: _Cursor | None) -> None:
        if cursor:
            self._read[log] = cursor

    def _files(
        self, log: str, parts: Sequence[Source], first: datetime, limit: int, now: datetime
    ) -> Iterator[Block | Unknown]:
        known = self._known.get(log)
        cursor = known if isinstance(known, FileCursor) else None
        try:
            if cursor is None:
                todo = [(part, start, first) for part, start in _last_bytes(parts, limit)]
            elif (at := _where(parts, cursor)) is not None:
                todo = [(part, cursor.offset if part is parts[at] else 0, None) for part in parts[at:]]
            else:
                since = _time(cursor.read, now)
                recent = since.timestamp() - _SLACK
                todo = [
                    (part, 0, None if part.living else since)
                    for part in parts
                    if part.living or _changed(part) >= recent
                ]
                yield Unknown(
                    f"{log}: what was read last, up to {since:%Y-%m-%d %H:%M:%S}, is in none of its files any more; "
                    "if lines were written after that and then cut off or removed, they were never read"
                )
        except Unknown as failed:
            yield failed
            return
        for part, start, since in todo:
            yield from self._part(log, part, start, since, now)

    def _part(
        self, log: str, part: Source, start: int, since: datetime | None, now: datetime
    ) -> Iterator[Block | Unknown]:
        try:
            with logsources.opened(part) as file:
                size = os.fstat(file.fileno()).st_size
                packed = bool(logstream.compression(logstream.sniffed(file)))
                end = start
                try:
                    for block in logsources.read(part, start=start, since=since, now=now):
                        yield block
                        end = block.end
                    # All of it was read, also what was not delivered for its time; but no incomplete line.
                    if end < size:
                        end = max(end, _line_end(file, size)) if part.living else size
                finally:
                    # The parts of a log follow one another: the cursor of the last one counts. It stays in a part that
                    # was renamed until there is something in the new file, for some daemons still write to the old.
                    if not packed and (end or part.living and log not in self._read):
                        self._read[log] = _cursor(file, end, now)
        except Unknown as failed:
            yield failed


def _log(source: Source | Unknown) -> str | None:
    return source.log or source.name if isinstance(source, Source) else None


def _load(path: str) -> dict[str, _Cursor]:
    """The file of cursors; nothing if it is not there.

    Raises:
        ValueError: it cannot be used; the message says why.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = json.loads(file.read(_SIZE))
    except FileNotFoundError:
        return {}
    except OSError as failed:
        raise ValueError((failed.strerror or "cannot be read").lower()) from None
    except (ValueError, RecursionError):
        raise ValueError("not a file of cursors") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT or not isinstance(found.get("logs"), dict):
        raise ValueError("not a file of cursors")
    return {log: _loaded(entry) for log, entry in found["logs"].items()}


def _loaded(entry: object) -> _Cursor:
    for kind in (FileCursor, JournalCursor):
        names = {each.name: each.type for each in fields(kind)}
        if isinstance(entry, dict) and entry.keys() == names.keys():
            if all(_fits(entry[name], wanted) for name, wanted in names.items()):
                return kind(**entry)
            break
    raise ValueError("not a file of cursors")


def _fits(value: object, wanted: str) -> bool:
    if wanted == "str":
        # A cursor becomes an argument of journalctl.
        return isinstance(value, str) and re.fullmatch(r"[0-9a-z=;]{0,500}", value) is not None
    number = isinstance(value, (int, float) if wanted == "float" else int) and not isinstance(value, bool)
    return number and 0 <= value < (1 << 33 if wanted == "float" else 1 << 64)


def _time(seconds: float, now: datetime) -> datetime:
    """At most ``now``: a clock that was ahead must not hide what is new."""
    return min(datetime.fromtimestamp(seconds, now.tzinfo), now)


def _entry_hash(lines: bytes) -> str:
    """Hash of the last entry of some lines; its time counts as a point in time, for the zone may change."""
    lines = lines.rstrip(b"\n")
    stamp, _, rest = lines[lines.rfind(b"\n") + 1 :].partition(b" ")
    at = logsources.when(stamp.decode("latin-1"), datetime.now().astimezone())
    return hashlib.sha256(b"%r %s" % (at.timestamp() if at else stamp, rest)).hexdigest()


def _oldest_of_last(source: Source, limit: int, now: datetime) -> datetime:
    """When the last ``limit`` bytes of a journal begin. journalctl itself takes the first lines after a time."""
    for block in logsources.read(source, last=max(limit // _ENTRY, 1)):
        if begin := logsources.when(block.data[: logsources.HEAD].decode("latin-1"), now):
            return begin
        break
    return datetime.fromtimestamp(0, now.tzinfo)


def _cursor(file: io.BufferedReader, offset: int, now: datetime) -> FileCursor:
    status = os.fstat(file.fileno())
    head, tail = _hashes(file, offset)
    return FileCursor(status.st_dev, status.st_ino, offset, head, tail, now.timestamp())


def _hashes(file: io.BufferedReader, offset: int) -> tuple[str, str]:
    begin = max(offset - _MARK, 0)
    spans = os.pread(file.fileno(), min(offset, _MARK), 0), os.pread(file.fileno(), offset - begin, begin)
    head, tail = (hashlib.sha256(span).hexdigest() for span in spans)
    return head, tail


def _line_end(file: io.BufferedReader, size: int) -> int:
    """Where the last complete line before ``size`` ends."""
    while size > 0:
        begin = max(size - logstream.BLOCK, 0)
        found = os.pread(file.fileno(), size - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        size = begin
    return 0


def _where(parts: Sequence[Source], cursor: FileCursor) -> int | None:
    """Which part the cursor stands in; the living one, which it nearly always is, first."""
    for at in reversed(range(len(parts))):
        try:
            with logsources.opened(parts[at]) as file:
                if _stands_in(file, parts[at], cursor):
                    return at
        except Unknown:
            if parts[at].living:
                raise
    return None


def _stands_in(file: io.BufferedReader, part: Source, cursor: FileCursor) -> bool:
    if not cursor.offset:
        return part.identity == (cursor.device, cursor.inode)
    if method := logstream.compression(logstream.sniffed(file)):
        if not logstream.can_expand(method):
            return False
        size = os.fstat(file.fileno()).st_size
        head = io.BufferedReader(logstream.Expanded(file, method, size)).read(min(cursor.offset, _MARK))
        return hashlib.sha256(head).hexdigest() == cursor.head
    return os.fstat(file.fileno()).st_size >= cursor.offset and _hashes(file, cursor.offset) == (
        cursor.head,
        cursor.tail,
    )


def _last_bytes(parts: Sequence[Source], limit: int) -> list[tuple[Source, int]]:
    """The last ``limit`` bytes of a log: its parts, each with the offset at which to start."""
    found: list[tuple[Source, int]] = []
    for part in reversed(parts):
        try:
            with logsources.opened(part) as file:
                size = os.fstat(file.fileno()).st_size
                packed = bool(logstream.compression(logstream.sniffed(file)))
        except Unknown:
            size, packed = 0, False  # Whoever reads it is told.
        found.insert(0, (part, 0 if packed else max(size - limit, 0)))
        limit -= size * _PACKED_RATIO if packed else size
        if limit <= 0:
            break
    return found


def _changed(part: Source) -> float:
    try:
        return os.stat(part.path).st_mtime
    except OSError:
        return 0.0
