"""
The log as evidence for an audit: what each issue has said of late, remembered from one audit to the next.

An audit reads only what is new in the log, and saves how far it got once its report is made: an audit that was killed
has read nothing. What was said before is kept as numbers, with one sample.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from courierlib import logcursor, logsources, replace
from courierlib.catalogue import Entry
from courierlib.diagnosis import Tally, diagnose, tally_row
from courierlib.host import Host
from courierlib.issue import Finding

KEPT = timedelta(days=7)
"""After so long without a line of an issue its lines are forgotten."""

SUSPECTED = timedelta(days=1)
"""How long a line of the log is a finding by itself."""

_FORMAT = 1


@dataclass
class Evidence:
    """What the log has said.

    Args:
        lines: by issue.
        read: names of what was read.
        unknown: what could not be read, and why.
    """

    lines: Mapping[str, Tally] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _path: str = ""
    _cursors: logcursor.Cursors | None = None

    def findings(self, entries: Iterable[Entry], now: datetime | None = None) -> Iterator[tuple[Entry, Finding]]:
        """Issues that the log alone proves."""
        now = now or datetime.now().astimezone()
        for entry in entries:
            tally = self.lines.get(entry.id)
            if entry.issue.logged and tally and tally.last and now - tally.last < SUSPECTED:
                lines = "1 line" if tally.count == 1 else f"{tally.count} lines"
                last = tally.last.isoformat(sep=" ", timespec="seconds")
                yield entry, Finding("mail log", f"{lines}, the last at {last}", fixable=False)

    def save(self) -> None:
        """Have the next audit go on from here, unless a journal failed: then it reads all of this again.

        Raises:
            replace.NotWritten: the system refused.
        """
        if self._cursors is None or self._cursors.incomplete:
            return
        # First, so that a line is rather missed than counted twice if this is killed before the next file.
        self._cursors.save()
        rows = {issue: tally_row(tally) for issue, tally in self.lines.items()}
        replace.make_private(os.path.dirname(self._path))
        content = json.dumps({"format": _FORMAT, "lines": rows}, indent=1).encode() + b"\n"
        replace.write_private(self._path, content, f"{replace.MARK}{secrets.token_hex(8)}")


def gather(host: Host, folder: str, entries: Iterable[Entry]) -> Evidence:
    """Read what is new in the host's mail log, and add it to what is remembered.

    Args:
        folder: where cursors and numbers are kept.
        entries: all issues: a line that is passed over now is not read again.
    """
    now = datetime.now(logsources.zone(host))
    path = os.path.join(folder, "log-lines.json")
    cursors = logcursor.Cursors.load(os.path.join(folder, "log-cursors.json"))
    new = diagnose(cursors.new(logsources.sources(host), now=now), entries, now)
    lines = {issue: tally for issue, tally in _remembered(path).items() if tally.last and now - tally.last < KEPT}
    for issue, tally in new.issues.items():
        lines[issue] = _sum(lines.get(issue, Tally()), tally)
    return Evidence(lines, new.read, new.unknown, path, cursors)


def _sum(old: Tally, new: Tally) -> Tally:
    firsts = [time for time in (old.first, new.first) if time]
    lasts = [time for time in (old.last, new.last) if time]
    return Tally(old.count + new.count, min(firsts, default=None), max(lasts, default=None), new.sample or old.sample)


def _remembered(path: str) -> dict[str, Tally]:
    """Numbers of former audits; none if the file is missing or damaged, for they are only evidence."""
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(1 << 20))
        if content["format"] != _FORMAT:
            return {}
        return {issue: _tally(row) for issue, row in content["lines"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _tally(row: Mapping) -> Tally:
    first, last = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("first", "last"))
    if any(time and time.tzinfo is None for time in (first, last)):
        raise ValueError("a time without its zone")
    return Tally(int(row["count"]), first, last, str(row["sample"]))
