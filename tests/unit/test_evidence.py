"""What the log has said is remembered from one audit to the next, and read once."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone

import pytest

from courierlib import catalogue, evidence, replace
from courierlib.host import Host

ENTRIES = catalogue.load().values()
KEY = "couriertls: connect: error:0A000076:SSL routines::no suitable signature algorithm"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "root/var/log/mail.log"
    path.parent.mkdir(parents=True)
    return path


def write(path, *ago):
    now = datetime.now(timezone.utc)
    with path.open("a") as file:
        for minutes in ago:
            stamp = (now - timedelta(minutes=minutes)).isoformat(timespec="seconds")
            file.write(f"{stamp} mx1 imapd-ssl: ip=[192.0.2.7], {KEY}\n")


def gather(tmp_path):
    return evidence.gather(Host(str(tmp_path / "root")), str(tmp_path / "state"), ENTRIES)


def test_new_lines_are_added_to_those_of_former_audits(tmp_path, log):
    write(log, 30, 20)
    first = gather(tmp_path)
    first.save()
    assert first.lines["pem-unreadable"].count == 2
    write(log, 10)
    second = gather(tmp_path)
    tally = second.lines["pem-unreadable"]
    assert tally.count == 3
    # The lines are written one after the other, and a second may begin in between.
    assert timedelta(minutes=20) <= tally.last - tally.first < timedelta(minutes=21)
    assert second.read == ["/var/log/mail.log"]


def test_lines_of_the_last_day_are_a_finding_only_where_they_alone_prove_the_issue(tmp_path, log):
    write(log, 30, 20)
    found = gather(tmp_path)
    (entry,) = [entry for entry in ENTRIES if entry.id == "pem-unreadable"]
    assert not list(found.findings([entry]))
    proven = dataclasses.replace(entry, issue=dataclasses.replace(entry.issue, logged=True))
    ((owner, finding),) = found.findings([proven])
    assert (owner, finding.where, finding.fixable) == (proven, "mail log", False)
    assert finding.detail.startswith("2 lines, the last at ")
    assert not list(found.findings([proven], datetime.now(timezone.utc) + timedelta(days=1)))


def test_what_was_not_saved_is_read_again(tmp_path, log):
    write(log, 30)
    assert gather(tmp_path).lines["pem-unreadable"].count == 1
    assert gather(tmp_path).lines["pem-unreadable"].count == 1
    assert not (tmp_path / "state").exists()


def test_a_journal_that_failed_is_read_again_and_counted_once(tmp_path, log):
    write(log, 30)
    found = gather(tmp_path)
    found._cursors.incomplete = True
    found.save()
    assert gather(tmp_path).lines["pem-unreadable"].count == 1


def test_lines_are_rather_missed_than_counted_twice(tmp_path, log):
    write(log, 30)
    found = gather(tmp_path)
    (tmp_path / "state/log-lines.json").mkdir(parents=True)
    with pytest.raises(replace.NotWritten):
        found.save()
    (tmp_path / "state/log-lines.json").rmdir()
    assert "pem-unreadable" not in gather(tmp_path).lines


def test_lines_of_long_ago_are_forgotten(tmp_path, log):
    write(log, 30)
    gather(tmp_path).save()
    path = tmp_path / "state/log-lines.json"
    content = json.loads(path.read_text())
    old = datetime.now(timezone.utc) - evidence.KEPT - timedelta(hours=1)
    content["lines"]["pem-unreadable"]["last"] = old.isoformat()
    path.write_text(json.dumps(content))
    assert "pem-unreadable" not in gather(tmp_path).lines


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1, "lines": {"x": 1}}',
        b'{"format":1,"lines":{"x":{}}}',
        b'{"format":1,"lines":{"x":{"count":1,"first":null,"last":"2026-11-22T18:00:00","sample":""}}}',
        b'{"format":1,"lines":{"x":{"count":Infinity,"first":null,"last":null,"sample":""}}}',
        b"[" * 100000,
        b"\xff",
    ],
)
def test_damaged_numbers_count_as_none(tmp_path, log, damaged):
    write(log, 30)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/log-lines.json").write_bytes(damaged)
    assert gather(tmp_path).lines["pem-unreadable"].count == 1


def test_a_host_without_a_log_says_why_there_is_no_evidence(tmp_path, log):
    found = gather(tmp_path)
    assert (found.lines, found.read) == ({}, [])
    assert "no mail log" in found.unknown[0]
    found.save()
