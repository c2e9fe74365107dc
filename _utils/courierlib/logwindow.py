"""The lines of a log between two points in time, without reading all of it.

The borders are exact. Away from them nothing is parsed: of a plain file a stamp is read every 256 KiB, and a piece is
skipped only if the stamps at both its ends, and at the far ends of its neighbours, are more than an hour outside
(daylight saving, a daemon that writes late). So stamps that lie, from a clock that jumped, cost no other line as long
as they do not stand at every place that is looked at. Between the borders whole blocks are delivered, lines with an odd
stamp included. A line without a readable time belongs to the time of the line before. RFC 3164 leaves
out the year: a file of several years whose lines have none gives the lines of earlier years, too.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO

from courierlib.logtime import when

HEAD = 256
"""Bytes of a line within which its time is."""

_SLACK = timedelta(hours=1)
_STEP = 1 << 18
_LOOK = 1 << 12
_SAMPLE = 20
_SECOND = re.compile(rb"(?:[A-Z][a-z]{2} [ 0-9][0-9] |[0-9-]{10}[T ])[0-9]{2}:[0-9]{2}:[0-9]{2}")
_ALMOST_SECOND = timedelta(microseconds=999999)


@dataclass
class Window:
    """The time between ``since`` and ``until``.

    Args:
        near: the latest time that a line may carry.
    """

    since: datetime | None
    until: datetime | None
    near: datetime
    _inside: bool = True

    @property
    def limited(self) -> bool:
        return self.since is not None or self.until is not None

    def ranges(self, file: BinaryIO, start: int, size: int) -> list[tuple[int, int | None]]:
        """The stretches of a plain file that may have lines inside; an open end is the end of the file."""
        if not self.limited:
            return [(start, None)]
        grid = [*range(start, size, _STEP), size]
        times = [self._stamp_at(file, at) for at in grid[:-1]]
        end = os.pread(file.fileno(), _LOOK, max(size - _LOOK, 0))
        times.append(self.stamp(end, end.rfind(b"\n", 0, -1) + 1))
        found: list[tuple[int, int | None]] = []
        for number, begin in enumerate(grid[:-1]):
            if self.beyond(times[max(number - 1, 0) : number + 3]):
                continue
            if found and found[-1][1] == begin:
                begin = found.pop()[0]
            found.append((begin, grid[number + 1]))
        if found and found[-1][1] == size:
            # It may have grown meanwhile.
            found[-1] = found[-1][0], None
        return found

    def _stamp_at(self, file: BinaryIO, at: int) -> datetime | None:
        data = os.pread(file.fileno(), _LOOK, at)
        return self.stamp(data, data.find(b"\n") + 1 if at else 0)

    def beyond(self, times: Sequence[datetime | None]) -> bool:
        """Whether all of them are known, and surely on one side."""
        known = [time for time in times if time]
        if len(known) < len(times):
            return False
        early = self.since is not None and max(known) < self.since - _SLACK
        return early or (self.until is not None and min(known) > self.until + _SLACK)

    def holds(self, time: datetime) -> bool:
        return (self.since is None or time >= self.since) and (self.until is None or time <= self.until)

    def cut(self, data: bytes, skip: bool) -> bytes:
        """The lines of a block that are inside.

        Args:
            skip: leave a block out by a few of its stamps.
        """
        if not self.limited:
            return data
        times = [self.stamp(data, at) for at in _spots(data)]
        if skip and self.beyond(times):
            self._inside = False
            return b""
        if None not in times and all(
            (self.since is None or time >= self.since + _SLACK) and (self.until is None or time <= self.until - _SLACK)
            for time in times
        ):
            self._inside = True
            return data
        return b"".join(self._lines(data))

    def _lines(self, data: bytes) -> Iterator[bytes]:
        judged = None
        # Not splitlines, to which a carriage return, which anybody can send, is the end of a line.
        for line in io.BytesIO(data):
            second = _SECOND.match(line)
            # Most lines are of the same second as the one before.
            if (second is None or second[0] != judged) and (time := when(_head(line), self.near)):
                self._inside = self.holds(time)
                whole = time.replace(microsecond=0)
                judged = second[0] if second and self.holds(whole) == self.holds(whole + _ALMOST_SECOND) else None
            if self._inside:
                yield line

    def stamp(self, data: bytes, at: int = 0) -> datetime | None:
        """The first time that can be read from there on, in a few lines."""
        for _ in range(_SAMPLE):
            if time := when(_head(data, at), self.near):
                return time
            at = data.find(b"\n", at) + 1
            if not at:
                return None
        return None


def _spots(data: bytes) -> list[int]:
    """Where some of the lines begin: eight all over the block, and the last three."""
    spots = [data.find(b"\n", len(data) * eighth // 8) + 1 if eighth else 0 for eighth in range(8)]
    end = len(data)
    for _ in range(3):
        end = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
        spots.append(end)
    return spots


def _head(data: bytes, at: int = 0) -> str:
    return data[at : at + HEAD].decode("latin-1")
