"""A line of a log is read whatever stands before the message, and only what its process says counts."""

from __future__ import annotations

import pytest

from courierlib import catalogue, maillog

ENTRIES = catalogue.load()

STAMPS = {
    "RFC 3164": "Nov 22 18:51:04 mx1 {tag}: ",
    "RFC 3164, one digit": "Nov  2 18:51:04 mx1 {tag}[123]: ",
    "ISO 8601": "2026-11-22T18:51:04.123456+00:00 mx1 {tag}: ",
    "short-iso": "2026-11-22T18:51:04+0000 mx1 {tag}[123]: ",
    "short-full": "Sun 2026-11-22 18:51:04 UTC mx1 {tag}[123]: ",
    "short-monotonic": "[   12.345678] mx1 {tag}[123]: ",
    "priority": "<22>Nov 22 18:51:04 mx1 {tag}: ",
    "RFC 5424": "<22>1 2026-11-22T18:51:04.123Z mx1 {tag} 123 - - ",
    "RFC 5424 with data": '1 2026-11-22T18:51:04.123Z mx1 {tag} - - [x@1 a="b"] ',
    "grep -n": "/var/log/mail.log:17:Nov 22 18:51:04 mx1 {tag}: ",
    "grep": "mail.log.1:2026-11-22T18:51:04+00:00 mx1 {tag}: ",
    "tag": "{tag}: ",
    "tag and process": "{tag}[99]: ",
}


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
@pytest.mark.parametrize("tag", ["imapd-ssl", "courieresmtpd", "submit"])
@pytest.mark.parametrize("message", ["Permission denied", "ip=[::1], couriertls: /etc/x.pem: error:1", "a: b: c"])
def test_tag_and_message_are_told_apart(stamp, tag, message):
    assert maillog.split(stamp.format(tag=tag) + message + "\r\n") == (tag, message)


@pytest.mark.parametrize(
    "line",
    [
        "maildrop: Unable to change to home directory.",
        "couriertls: /etc/courier/imapd.pem: No such file or directory",
        "ip=[::ffff:127.0.0.1], No supported cipher suites have been found.",
        "No supported cipher suites have been found.",
        "",
    ],
)
def test_a_message_without_a_tag_is_a_message(line):
    assert maillog.split(f"  {line}\n") == ("", line)


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_every_sample_is_known_whatever_stands_before_it(stamp):
    for entry in ENTRIES.values():
        for signature in entry.issue.signatures:
            for tag in signature.process:
                line = stamp.format(tag=tag) + signature.sample
                assert entry.id in [found.id for found, _ in maillog.matching(line, ENTRIES.values())], line


@pytest.mark.parametrize("tag", ["sshd", "dovecot", "imapd"])
def test_a_line_of_another_process_is_not_taken_for_one_of_courier(tag):
    line = f"Nov 22 18:51:04 mx1 {tag}[1]: Permission denied"
    assert list(maillog.matching(line, ENTRIES.values())) == []


def test_every_process_of_the_catalogue_is_one_of_courier():
    processes = {tag for entry in ENTRIES.values() for each in entry.issue.signatures for tag in each.process}
    assert processes <= set(maillog.PROCESSES)


def test_a_long_line_is_read_in_time_that_grows_with_it():
    assert maillog.split("x:1:" * 500_000)[0] == ""
    assert maillog.split("1:" * 500_000)[0] == ""
