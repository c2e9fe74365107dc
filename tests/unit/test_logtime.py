"""A point in time is understood as the log's writer or the administrator meant it, or refused."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from courierlib.host import Host
from courierlib.logtime import moment, when, zone

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 18, 51, 4, tzinfo=BERLIN)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("Nov 22 18:51:04 mx1 imapd: x", utc(2026, 11, 22, 17, 51, 4)),
        ("Nov  2 08:01:02 mx1 imapd: x", utc(2026, 11, 2, 7, 1, 2)),
        ("<22>Jul  2 08:01:02 mx1 imapd: x", utc(2026, 7, 2, 6, 1, 2)),
        ("2026-11-22T18:51:04.123456+00:00 mx1 imapd: x", utc(2026, 11, 22, 18, 51, 4, 123456)),
        ("2026-11-22T18:51:04.5Z mx1 imapd: x", utc(2026, 11, 22, 18, 51, 4, 500000)),
        ("2026-11-22T18:51:04+0130 mx1 imapd: x", utc(2026, 11, 22, 17, 21, 4)),
        ("2026-11-22T18:51:04-01:30 mx1 imapd: x", utc(2026, 11, 22, 20, 21, 4)),
        ("2026-11-22 18:51:04 mx1 imapd: x", utc(2026, 11, 22, 17, 51, 4)),
        ("Sun 2026-11-22 18:51:04 UTC mx1 imapd: x", utc(2026, 11, 22, 18, 51, 4)),
        ("Sun 2026-11-22 18:51:04 CET mx1 imapd: x", utc(2026, 11, 22, 17, 51, 4)),
        ("<22>1 2026-11-22T18:51:04.123Z mx1 imapd 1 - - x", utc(2026, 11, 22, 18, 51, 4, 123000)),
        ("/var/log/mail.log:17:Nov 22 18:51:04 mx1 imapd: x", utc(2026, 11, 22, 17, 51, 4)),
        ("2016-12-31T23:59:60Z mx1 imapd: leap second", utc(2016, 12, 31, 23, 59, 59)),
    ],
)
def test_the_time_of_a_line_is_read_in_every_form(line, time):
    assert when(line, NOW) == time


@pytest.mark.parametrize(
    "line",
    [
        "",
        "imapd: x",
        "Nov 31 00:00:00 mx1 imapd: x",
        "2026-13-01T00:00:00Z mx1 x",
        "Foo 22 18:51:04 mx1 x",
        "[ 1.5] mx1 x",
    ],
)
def test_a_line_without_a_time_that_exists_has_none(line):
    assert when(line, NOW) is None


def test_a_year_is_the_latest_that_is_not_after_tomorrow():
    assert when("Nov 23 18:51:04 mx1 x", NOW).year == 2026
    assert when("Nov 23 18:51:05 mx1 x", NOW).year == 2025
    assert when("Dec 31 23:59:59 mx1 x", datetime(2026, 1, 1, tzinfo=BERLIN)).year == 2025
    assert when("Jan  1 00:00:01 mx1 x", datetime(2025, 12, 31, 23, 59, 59, tzinfo=BERLIN)).year == 2026


def test_a_leap_day_is_of_a_leap_year():
    assert when("Feb 29 01:02:03 mx1 x", NOW) == datetime(2024, 2, 29, 1, 2, 3, tzinfo=BERLIN)
    assert when("Feb 29 01:02:03 mx1 x", datetime(2028, 2, 28, 12, tzinfo=BERLIN)).year == 2028
    assert when("Feb 29 01:02:03 mx1 x", datetime(2100, 3, 1, tzinfo=BERLIN)).year == 2096


def test_a_long_line_is_read_in_time_that_grows_with_it():
    assert when("x:1:" * 500_000, NOW) is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=BERLIN)),
        ("20261120", datetime(2026, 11, 20, tzinfo=BERLIN)),
        (20261120, datetime(2026, 11, 20, tzinfo=BERLIN)),
        ("2026-11-20 18:30", datetime(2026, 11, 20, 18, 30, tzinfo=BERLIN)),
        ("2026-07-01 00:00", utc(2026, 6, 30, 22)),
        ("2026-11-20T18:30:05", datetime(2026, 11, 20, 18, 30, 5, tzinfo=BERLIN)),
        ("2026-11-20T18:30:05.25Z", utc(2026, 11, 20, 18, 30, 5, 250000)),
        ("2026-11-20 18:30 +02:00", utc(2026, 11, 20, 16, 30)),
        ("18:30", datetime(2026, 11, 22, 18, 30, tzinfo=BERLIN)),
        ("19:30", datetime(2026, 11, 21, 19, 30, tzinfo=BERLIN)),
        (1110, datetime(2026, 11, 22, 18, 30, tzinfo=BERLIN)),
        (5405, datetime(2026, 11, 22, 1, 30, 5, tzinfo=BERLIN)),
        ("today", datetime(2026, 11, 22, tzinfo=BERLIN)),
        ("Yesterday", datetime(2026, 11, 21, tzinfo=BERLIN)),
        ("yesterday 8:15", datetime(2026, 11, 21, 8, 15, tzinfo=BERLIN)),
        ("now", NOW),
        ("2 hours ago", NOW - timedelta(hours=2)),
        ("1 day ago", NOW - timedelta(days=1)),
        ("90 min ago", NOW - timedelta(minutes=90)),
        ("-2h", NOW - timedelta(hours=2)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("1795369864", NOW),
        ("@1795369864", NOW),
        (1795369864.5, NOW + timedelta(seconds=0.5)),
        ("Nov 22 10:00:00", datetime(2026, 11, 22, 10, tzinfo=BERLIN)),
    ],
)
def test_time_is_understood_as_administrators_type_it(text, time):
    assert moment(text, NOW) == time


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-99-01", "25:00", "-", "ago", "+01:00", "1e99", "9" * 30, "2026-11-22 18", "999999999w ago", None]
    + [True, [], -5, float("nan"), "２０２６-11-22", "2 hours ago or so"],
)
def test_what_is_not_a_time_is_refused_with_the_forms(text):
    with pytest.raises(ValueError, match="not a time; write an ISO date .* 2 hours ago"):
        moment(text, NOW)


def test_an_hour_ago_is_an_hour_ago_when_the_clocks_change():
    after = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    assert (after.astimezone(timezone.utc) - moment("1h", after).astimezone(timezone.utc)) == timedelta(hours=1)


def test_the_zone_is_that_of_the_host(tmp_path):
    (tmp_path / "etc").mkdir()
    assert zone(Host(str(tmp_path))) is timezone.utc
    tokyo = struct.pack(">4s16x6llBB4s", b"TZif", 0, 0, 0, 0, 1, 4, 9 * 3600, 0, 0, b"JST")
    (tmp_path / "etc/localtime").write_bytes(tokyo)
    near = datetime(2026, 11, 22, tzinfo=zone(Host(str(tmp_path))))
    assert when("Nov  2 09:00:00 mx1 x", near) == utc(2026, 11, 2)


def test_a_damaged_zone_is_utc(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").write_bytes(b"TZif2 damaged")
    assert zone(Host(str(tmp_path))) is timezone.utc
