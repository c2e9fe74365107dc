"""A diagnosis counts what each issue says, groups what nobody explains, and shows no secret."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from courierlib import catalogue, diagnosis
from courierlib.issue import Unknown
from courierlib.logsources import Block, Source

ENTRIES = catalogue.load()
NOW = datetime(2026, 11, 22, 20, 0, tzinfo=timezone.utc)
LOG = Source("file", "/var/log/mail.log")
KEY = "couriertls: connect: error:0A000076:SSL routines::no suitable signature algorithm"
SHARED = "couriertls: connect: error:0A0000C1:SSL routines::no shared cipher"


def told(*lines, more=()):
    data = "".join(f"Nov 22 {line}\n" for line in lines).encode()
    found = diagnosis.diagnose([Block(data, LOG), *more], ENTRIES.values(), NOW)
    return diagnosis.report(found, ENTRIES, "https://kb.example.com")


def test_each_issue_is_counted_with_times_and_a_sample():
    report = told(
        f"18:00:01 mx1 imapd-ssl: ip=[192.0.2.7], {KEY}",
        "18:00:02 mx1 imapd-ssl: LOGIN, user=alice, ip=[192.0.2.7], port=[1], protocol=IMAP",
        f"18:00:03 mx1 pop3d-ssl: ip=[192.0.2.8], {KEY}",
    )
    assert report["read"] == ["/var/log/mail.log"]
    assert report["issues"] == [
        {
            "id": "pem-unreadable",
            "severity": "high",
            "title": ENTRIES["pem-unreadable"].title,
            "count": 2,
            "first": "2026-11-22T18:00:01+00:00",
            "last": "2026-11-22T18:00:03+00:00",
            "sample": f"Nov 22 18:00:03 mx1 pop3d-ssl: ip=[192.0.2.…], {KEY}",
            "alone": 2,
            "shared_with": [],
            "tell": "",
            "article": "https://kb.example.com/i/pem-unreadable/",
        }
    ]
    assert (report["unexplained"], report["unexplained_lines"], report["unknown"]) == ([], 0, [])


def test_a_shared_line_counts_for_each_and_says_how_to_tell_them_apart():
    report = told(f"18:00:01 mx1 imapd-ssl: ip=[192.0.2.7], {SHARED}")
    rows = {row["id"]: row for row in report["issues"]}
    assert list(rows) == ["dh-params-weak", "dh-params-unusable"]
    assert [row["count"] for row in rows.values()] == [1, 1]
    assert [row["alone"] for row in rows.values()] == [0, 0]
    assert rows["dh-params-weak"]["shared_with"] == ["dh-params-unusable"]
    assert rows["dh-params-weak"]["tell"] == ENTRIES["dh-params-weak"].issue.tell


def test_lines_that_look_like_errors_are_grouped_by_what_they_say():
    report = told(
        *(f"18:00:0{n} mx1 courierd[{n}]: Cannot allocate {n}000 bytes for <user{n}@example.com>" for n in range(5)),
        "18:00:09 mx1 imapd: Cannot allocate 17 bytes for <x@example.com>",
        "18:00:09 mx1 sshd[1]: Cannot allocate 17 bytes",
    )
    assert [(row["process"], row["count"]) for row in report["unexplained"]] == [("courierd", 5), ("imapd", 1)]
    assert report["unexplained_lines"] == 6
    assert "<u…@example.com>" in report["unexplained"][0]["sample"]


def test_kinds_of_unexplained_lines_are_bounded(monkeypatch):
    monkeypatch.setattr(diagnosis, "GROUPS", 3)
    names = [chr(ord("a") + n) * 3 for n in range(10)]
    report = told(*(f"18:00:00 mx1 courierd: Cannot open {name}" for name in names))
    assert len(report["unexplained"]) == 3
    assert report["unexplained_lines"] == 10


def test_what_could_not_be_read_is_said():
    assert told(more=[Unknown("/var/log/mail.log.2.gz: cut off")])["unknown"] == ["/var/log/mail.log.2.gz: cut off"]


def test_a_source_that_fails_does_not_hide_the_others():
    def read(source):
        yield Block(b"x\n", source)
        raise Unknown(f"{source.name}: cut off")

    found = list(diagnosis.blocks([LOG, Unknown("no journal"), LOG], read))
    assert [each.reason if isinstance(each, Unknown) else each.data for each in found] == [
        b"x\n",
        "/var/log/mail.log: cut off",
        "no journal",
        b"x\n",
        "/var/log/mail.log: cut off",
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ip=[::ffff:192.0.2.7], x", "ip=[::ffff:192.0.2.…], x"),
        ("ip=[2001:db8:1::7], x", "ip=[2001:…], x"),
        ("ip=[2a01::5], x", "ip=[2a01:…], x"),
        ("relay=2001:db8:1:2:3:4:5:7,port=1", "relay=2001:…,port=1"),
        ("from fe80::1%eth0 x", "from fe80:… x"),
        ("at 18:51:04 id=00:11:22", "at 18:51:04 id=00:11:22"),
        ('to <"john smith"@example.com>: x', "to <…@example.com>: x"),
        ("addr=<alice>: x", "addr=<a…>: x"),
        ("host=alice!!1000!1000!/home/alice!!,addr=<alice>", "host=a…,addr=<a…>"),
        ("clearpasswd=a,bc d, passwd=x", "clearpasswd=…, passwd=…"),
        ("Password: Basic abc", "Password: …"),
        ("password is hunter2 now", "password is … now"),
        ("passphrase foo", "passphrase …"),
        ('LOGIN "bob" "hunter2"', "LOGIN …"),
        ("LOGIN bob hunter2", "LOGIN …"),
        ("LOGIN FAILED, method=PLAIN, ip=[192.0.2.7]", "LOGIN FAILED, method=PLAIN, ip=[192.0.2.…]"),
        ("from=<carol.smith@example.com>,x", "from=<c…@example.com>,x"),
        ("LOGIN, user=alice, ip", "LOGIN, user=a…, ip"),
        ("username=alice, password=geheim, x", "username=a…, password=…"),
        ("passwd='a b', clearpw=\"c d\"", "passwd=…, clearpw=…"),
        ("AUTH PLAIN AGFsaWNlAGdlaGVpbQ==", "AUTH PLAIN …"),
        ("AUTHENTICATE CRAM-MD5 abc", "AUTHENTICATE CRAM-MD5 …"),
        (
            "at 2026-11-22T18:51:04.123456+00:00 /etc/courier/imapd.pem",
            "at 2026-11-22T18:51:04.123456+00:00 /etc/courier/imapd.pem",
        ),
        ("id=00000000001B0437.000000006B031E06.000002CD,x", "id=00000000001B0437.000000006B031E06.000002CD,x"),
        ("a\x1b[31mb\x00", "a\\x1b[31mb\\x00"),
    ],
)
def test_a_sample_shows_neither_secrets_nor_whole_addresses(line, shown):
    assert diagnosis.discreet(line) == shown


def test_a_long_line_is_cut():
    assert len(diagnosis.discreet("x " * 5000)) == 501


@pytest.mark.parametrize(
    "line",
    [
        "a@",
        "a",
        "+",
        "passw",
        "token",
        "AUTH ",
        "1.",
        "A",
        "1:",
        "[1:",
        '"',
        "LOGIN a",
        "addr=<",
        "host=a!",
        "password=x, ",
    ],
)
def test_cutting_a_line_down_takes_time_that_grows_with_it(line):
    def seconds(size):
        text = (line * size)[:size]
        begin = time.process_time()
        for _ in range(5):
            diagnosis.discreet(text)
        return time.process_time() - begin

    # Four times as long: 16 times if it were quadratic, and that only where it takes time at all.
    short, long = (min(seconds(size) for _ in range(5)) for size in (500, 2000))
    assert long < 0.005 or long < 10 * short


def test_only_asked_issues_are_reported_and_the_others_are_still_known():
    data = f"Nov 22 18:00:01 mx1 imapd-ssl: {SHARED}\nNov 22 18:00:01 mx1 imapd-ssl: {KEY}\n".encode()
    found = diagnosis.diagnose([Block(data, LOG)], ENTRIES.values(), NOW)
    report = diagnosis.report(found, ENTRIES, "https://kb.example.com", {"dh-params-weak"})
    assert [(row["id"], row["shared_with"]) for row in report["issues"]] == [("dh-params-weak", ["dh-params-unusable"])]
    assert report["unexplained"] == []


def test_a_log_without_a_line_was_read_all_the_same():
    assert told(more=diagnosis.blocks([Source("file", "/empty")], lambda source: iter(())))["read"] == [
        "/var/log/mail.log",
        "/empty",
    ]


def test_a_line_without_a_year_is_of_the_time_of_its_file():
    near = datetime(2024, 3, 5, tzinfo=timezone.utc)
    block = Block(f"Mar  3 18:00:01 mx1 imapd-ssl: {KEY}\n".encode(), LOG, near=near)
    found = diagnosis.diagnose([block], ENTRIES.values(), NOW)
    assert found.issues["pem-unreadable"].last.year == 2024
