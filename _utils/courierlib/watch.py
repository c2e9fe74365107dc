"""
Watching a mail log: at each call, which issues have spoken since the call before.

It is called again and again by a process that has other things to do. So a look comes first: one ``stat`` for each file
that is written to and for its directory, and nothing is opened, listed or run if none of them has changed. The look is
taken before the log is read, so what is written meanwhile shows the next time.

Of the journal the look is at its files, too: journald writes through a memory map, which need not touch the time of the
file, but at most 250 ms later it cuts the file to the length that it has, so that watchers are told (read: systemd 252
and 257, schedule_post_change in journal-file.c; run: trixie, systemd 257, and Debian 12, systemd 252).

What a call has told counts as read when the next call begins. Whoever dies in between is told again.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from courierlib import journald, logsources
from courierlib.catalogue import Entry
from courierlib.diagnosis import Speaking, discreet
from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.logcursor import Cursors
from courierlib.logsources import Block, Source, when
from courierlib.logtime import zone
from courierlib.replace import NotWritten
from courierlib.scanner import Scanner
from courierlib.tree import Tree, Unreadable

LOOK_BACK = timedelta(minutes=5)
"""How far the first call ever goes back: Salt makes it one interval after the start of the minion, and what was logged
meanwhile is new. Each issue is told once, however many lines there are, so it cannot become a flood."""

LIMIT = 8 << 20
"""Bytes that the first call ever reads at most, from the end."""

STEP = 32 << 20
"""Bytes of a living file that one call reads, or a block more; the next one goes on there."""

FIND_SECONDS = 600.0
"""How often it is asked where the log is, if nothing has been moved or created beside it."""

FIND_AGAIN_SECONDS = 60.0
"""The same while there is no log that can be read."""

_MACHINE = re.compile("[0-9a-f]{32}")
_WRITTEN = re.compile(r"[^@]+\.journal")

_Seen = tuple[int, int, int, int, bool]
"""Of a path: device, inode, size, time of the last change in ns, whether it is a directory."""
_Look = dict[str, _Seen | None]


@dataclass
class News:
    """What a call has to tell.

    Args:
        issues: by id, those that have spoken.
        troubles: why something of the log could not be read; each once, until it goes away.
    """

    issues: dict[str, Speaking] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


class _Found(NamedTuple):
    sources: list[Source | Unknown]
    watched: list[str]
    until: float


class Watch:
    """One reader of a log.

    Args:
        path: file that keeps how far it has read; its own.
        entries: all known problems.
        source: the log's file, where it is not this host's own.
        root: of the host.
    """

    def __init__(self, path: str, entries: Iterable[Entry], source: str = "", root: str = "/"):
        self._scanner = Scanner(entries, suspicious=False)
        self._cursors = Cursors.load(path)
        self._source, self._root = source, root
        self._found: _Found | None = None
        self._look: _Look = {}
        self._told: set[str] = set()
        self._standing: list[str] = []

    def news(self) -> News:
        """What has been logged since the last call."""
        troubles = self.commit()
        news = News()
        if self._due():
            news.issues, self._standing = self._read()
        standing = dict.fromkeys(troubles + self._standing)
        news.troubles = [reason for reason in standing if reason not in self._told]
        self._told = set(standing)
        return news

    def commit(self) -> list[str]:
        """What the last call has told has arrived.

        Returns:
            Why that could not be noted, if so; the next call tries again.
        """
        try:
            self._cursors.save()
        except NotWritten as failed:
            return [str(failed)]
        return []

    def _due(self) -> bool:
        """Whether there is something to read; the look and, if need be, the place of the log are then the newest."""
        found, now = self._found, time.monotonic()
        look = _look(found.watched) if found else {}
        if found and now < found.until and look == self._look:
            return False
        if not found or now >= found.until or any(_moved(look[path], self._look[path]) for path in look):
            self._found = found = self._find(now)
            look = _look(found.watched)
            for source in found.sources:
                if isinstance(source, Source) and source.kind == "file" and source.living:
                    at = look[source.path]
                    # It was rotated just now: the look must not pass for one at what is read.
                    look[source.path] = at if at and at[:2] == source.identity else None
        self._look = look
        return True

    def _find(self, now: float) -> _Found:
        host = Host(self._root)
        sources = _given(self._source, host) if self._source else logsources.sources(host)
        watched = list(dict.fromkeys(path for source in sources for path in _watched(source, host)))
        return _Found(sources, watched, now + (FIND_SECONDS if watched else FIND_AGAIN_SECONDS))

    def _read(self) -> tuple[dict[str, Speaking], list[str]]:
        issues: dict[str, Speaking] = {}
        troubles: list[str] = []
        size = 0
        with closing(self._cursors.new(self._found.sources, look_back=LOOK_BACK, limit=LIMIT)) as log:
            for block in log:
                if isinstance(block, Unknown):
                    troubles.append(block.reason)
                    continue
                if size > STEP and block.source.living and block.source.kind == "file":
                    self._look = dict.fromkeys(self._look)
                    break
                size += len(block.data)
                self._tally(block, issues)
        for speaking in issues.values():
            speaking.sample = discreet(speaking.sample)
        return issues, troubles

    def _tally(self, block: Block, issues: dict[str, Speaking]) -> None:
        now = block.near or datetime.now(block.source.zone)
        for match in self._scanner.scan(block.data):
            at = when(match.line, now)
            for issue in match.issues:
                speaking = issues.setdefault(issue, Speaking())
                # Cut down at the end: whoever floods the log must not keep this process busy.
                speaking.add(at, match.line)
                speaking.shares.update(other for other in match.issues if other != issue)


def _look(paths: Iterable[str]) -> _Look:
    look: _Look = {}
    for path in paths:
        try:
            found = os.stat(path)
            look[path] = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, stat.S_ISDIR(found.st_mode)
        except OSError:
            look[path] = None
    return look


def _moved(new: _Seen | None, old: _Seen | None) -> bool:
    """Whether the log may be somewhere else now: another file, or anything in the directory."""
    if new is None or old is None or new[-1]:
        return new != old
    return new[:2] != old[:2]


def _given(path: str, host: Host) -> list[Source | Unknown]:
    """The log whose file an operator names, to be followed through its rotations."""
    found = logsources.given(path, host)
    source = found[0]
    if isinstance(source, Unknown):
        return found
    if source.kind == "journal":
        return [replace(source, log=path, living=True)]
    if source.path != path:
        return [Unknown(f"{path}: a directory; name the file that is written to")]
    try:
        return list(logsources.parts_of(Tree(), path, zone(host)))
    except Unreadable as failed:
        return [failed]


def _watched(source: Source | Unknown, host: Host) -> Iterator[str]:
    """Paths of which one changes when something is written to a source, or it is moved."""
    if isinstance(source, Unknown):
        return
    if source.kind == "file":
        yield os.path.dirname(source.path)
        if source.living:
            yield source.path
        return
    for directory in [source.path] if source.path else map(host.path, journald.DIRECTORIES):
        machines = [os.path.join(directory, name) for name in _names(directory) if _MACHINE.fullmatch(name)]
        for where in (directory, *machines):
            yield where
            # What has an @ in its name is not written to any more.
            yield from (os.path.join(where, name) for name in _names(where) if _WRITTEN.fullmatch(name))


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
