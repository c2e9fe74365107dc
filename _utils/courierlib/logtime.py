"""Points in time: what a line of a log carries, and what an administrator types."""

from __future__ import annotations

import io
import re
import struct
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from courierlib.tree import Tree, Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host

FORMS = (
    "an ISO date (2026-11-22) or time (2026-11-22 18:30, 2026-11-22T18:30:05+01:00), 18:30 (the last one), "
    "today, yesterday, yesterday 18:30, now, 2 hours ago, 90 min ago, -2h, -1d, or seconds since 1970"
)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = timedelta(days=1)
_LEAP_YEARS_APART = 8
_STAMP_LENGTH = 256

_CLOCK = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
_STAMP = re.compile(
    # What grep says of the file, the priority, the version of RFC 5424, the day of journalctl -o short-full.
    r"(?:\S+?:(?:[0-9]+:)?)?(?:<[0-9]{1,3}>)?(?:1 )?(?:[A-Z][a-z]{2} (?=[0-9]{4}-))?"
    r"(?:([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]" + _CLOCK + r"(?: ?(Z|[A-Z]{3,5}|[+-][0-9]{2}:?[0-9]{2})(?= |$))?"
    r"|([A-Z][a-z]{2}) ([ 0-9][0-9]) " + _CLOCK + r")(?= |$)"
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT = r"(?:(s|secs?|seconds?)|(m|mins?|minutes?)|(h|hrs?|hours?)|(d|days?)|(w|weeks?))"
_SPAN = re.compile(r"([0-9]{1,9})\s*" + _UNIT + r"(?![a-z])\s*")
_WALL = re.compile(
    r"(?:(today|yesterday)|([0-9]{4})-?([0-9]{2})-?([0-9]{2}))?"
    r"(?:(?:^|[T ]+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r" ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)


def zone(host: Host | None = None) -> tzinfo:
    """The time zone in which a host's programs write their stamps; UTC if it has none.

    Args:
        host: None for this machine.
    """
    read = host.read if host else Tree().read
    try:
        return ZoneInfo.from_file(io.BytesIO(read("/etc/localtime")))
    except (Unreadable, ValueError, LookupError, struct.error):
        return timezone.utc


def when(line: str, near: datetime) -> datetime | None:
    """The time that a line carries.

    Args:
        line: as any syslog or journalctl has it.
        near: has a time zone, in which stamps without one are read. RFC 3164 leaves out the year: it is the latest
            that puts the line no more than a day after ``near``.

    Returns:
        None if there is none, or one that does not exist.
    """
    found = _STAMP.match(line[:_STAMP_LENGTH])
    if not found:
        return None
    year, month, day, *clock, offset, name, day_of_month = found.groups()[:10]
    try:
        if year:
            return datetime(int(year), int(month), int(day), *_clock(clock), tzinfo=_zone(offset, near))
        return _latest(_MONTHS.index(name) + 1, int(day_of_month), _clock(found.groups()[10:]), near)
    except (ValueError, OverflowError):
        return None


def moment(text: str | int | float, now: datetime) -> datetime:
    """The time that an administrator means.

    Args:
        text: see ``FORMS``. Salt's command line makes a number of ``18:30`` (YAML's base 60): taken back.
        now: has a time zone, in which wall time is read.

    Raises:
        ValueError: it is none of the accepted forms; the message lists them.
    """
    try:
        found = _moment(text, now)
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None:
        raise ValueError(f"{text!r}: not a time; write {FORMS}")
    return found


def _moment(text: str | int | float, now: datetime) -> datetime | None:
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        return None
    if isinstance(text, int) and 0 <= text < 86400:
        hours, minutes, seconds = (text // 60, text % 60, 0) if text < 1440 else _sexagesimal(text)
        text = f"{hours:02}:{minutes:02}:{seconds:02}"
    text = str(text).strip()
    if re.fullmatch(r"@?[0-9]{9,11}(\.[0-9]+)?", text):
        return datetime.fromtimestamp(float(text.lstrip("@")), now.tzinfo)
    if text.lower() == "now":
        return now
    if past := _past(text.lower()):
        return (now.astimezone(timezone.utc) - past).astimezone(now.tzinfo)
    if (stamp := when(text, now)) and text[:1].isalpha():
        return stamp
    return _wall(text, now)


def _sexagesimal(number: int) -> tuple[int, int, int]:
    return number // 3600, number // 60 % 60, number % 60


def _past(text: str) -> timedelta | None:
    """``2 hours ago``, ``-2h``, ``1h30m``."""
    spans = text.removeprefix("-").removesuffix("ago").strip()
    seconds = position = 0
    while found := _SPAN.match(spans, position):
        unit = next(unit for unit, word in zip(_UNITS, found.groups()[1:], strict=True) if word)
        seconds += int(found[1]) * _UNITS[unit]
        position = found.end()
    return timedelta(seconds=seconds) if spans and position == len(spans) else None


def _wall(text: str, now: datetime) -> datetime | None:
    found = _WALL.fullmatch(text)
    if not found or not text:
        return None
    word, year, month, day, *clock, offset = found.groups()
    if not (word or year or clock[0]):
        return None
    where = _zone(offset.upper() if offset else None, now)
    today = now.astimezone(where).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    at = datetime(today.year, today.month, today.day, *_clock(clock))
    if year:
        at = at.replace(year=int(year), month=int(month), day=int(day))
    elif (word or "").lower() == "yesterday" or (not word and at.replace(tzinfo=where) > now):
        at -= _DAY
    return at.replace(tzinfo=where)


def _clock(parts: tuple[str | None, ...] | list[str | None]) -> tuple[int, int, int, int]:
    """Hours to microseconds; a leap second is the second before."""
    hours, minutes, seconds, fraction = parts
    return int(hours or 0), int(minutes or 0), min(int(seconds or 0), 59), int((fraction or "").ljust(6, "0")[:6])


def _zone(offset: str | None, near: datetime) -> tzinfo | None:
    """The zone of a stamp; an abbreviation is that of ``near``, for only its zone can be meant."""
    if offset in ("Z", "UTC", "GMT"):
        return timezone.utc
    if not offset or offset[0] not in "+-":
        return near.tzinfo
    span = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    return timezone(-span if offset[0] == "-" else span)


def _latest(month: int, day: int, clock: tuple[int, int, int, int], near: datetime) -> datetime | None:
    for year in range(near.year + 1, near.year - _LEAP_YEARS_APART - 1, -1):
        try:
            at = datetime(year, month, day, *clock, tzinfo=near.tzinfo)
        except ValueError:
            continue  # The 29th of February.
        if at <= near + _DAY:
            return at
    return None
