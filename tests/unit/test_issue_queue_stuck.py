"""queue-stuck is found for messages that courierd does not know of or does not try, and not for deferred mail."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from spoolhost import COURIERD, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Finding, Unknown
from courierlib.issues import queue_stuck as issue

DAY = 86400
STATE = "/var/lib/courier"


def deferred(root: Path, number: int, age: float, *, due: float = 3600, expires: float | None = None) -> None:
    """A message as courierd keeps it; ``due`` and ``expires`` are seconds from now."""
    queue_message(root, number, age, area="msgs")
    envelope = root / f"{STATE[1:]}/msgs/{number % 100}/C{number}"
    if expires is not None:
        envelope.write_text(f"salice@mx.example.test\nE{int(time.time() + expires)}\n")
        os.utime(envelope, (time.time() - age, time.time() - age))
    at = int(time.time() + due)
    (name,) = (root / f"{STATE[1:]}/msgq/179536").glob(f"C{number}.*")
    name.rename(name.with_name(f"C{number}.{at}"))


def unschedule(root: Path, number: int) -> None:
    (name,) = (root / f"{STATE[1:]}/msgq/179536").glob(f"C{number}.*")
    name.unlink()


def running(root: Path, seconds: float) -> Host:
    """The host, with a courierd that runs for so long."""
    started = int((time.clock_gettime(time.CLOCK_BOOTTIME) - seconds) * os.sysconf("SC_CLK_TCK"))
    return spool_host(root, processes=[dataclasses.replace(COURIERD, started=started)])


def test_clear_with_an_empty_queue_and_with_new_mail(tmp_path: Path) -> None:
    assert not list(issue.check(spool_host(tmp_path)))
    queue_message(tmp_path, 1, 60)
    assert not list(issue.check(spool_host(tmp_path)))


def test_clear_with_mail_that_is_deferred_for_two_days(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 2 * DAY, expires=5 * DAY)
    assert not list(issue.check(running(tmp_path, 30 * DAY)))


def test_clear_with_older_mail_where_the_envelope_gives_it_more_time(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 20 * DAY, expires=8 * DAY)
    assert not list(issue.check(running(tmp_path, 30 * DAY)))


def test_a_message_without_a_name_in_msgq_is_found(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 3 * DAY)
    deferred(tmp_path, 2, 2 * DAY)
    unschedule(tmp_path, 1)
    (finding,) = issue.check(spool_host(tmp_path))
    assert isinstance(finding, Finding)
    assert (finding.where, finding.fixable) == (f"{STATE}/msgs", False)
    assert finding.detail == (
        "1 message(s) have no name in msgq, so courierd never tries them; "
        f"the oldest is {STATE}/msgs/1/C1, of 3.0 days ago"
    )


def test_a_message_that_is_on_its_way_into_msgq_is_not(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 30)
    unschedule(tmp_path, 1)
    assert not list(issue.check(spool_host(tmp_path)))


def test_a_message_that_is_gone_meanwhile_is_not(tmp_path: Path) -> None:
    deferred(tmp_path, 1, DAY)
    unschedule(tmp_path, 1)
    host = spool_host(tmp_path)
    assert host.queue.taken
    (tmp_path / ".courier-host.json").unlink()
    for path in (tmp_path / f"{STATE[1:]}/msgs/1").iterdir():
        path.unlink()
    fresh = Host(str(tmp_path), host.system)
    fresh.__dict__.update(queue=host.queue, processes=(COURIERD,))
    assert not list(issue.check(fresh))


def test_mail_that_courierd_does_not_try_at_its_time_is_found(tmp_path: Path) -> None:
    deferred(tmp_path, 1, DAY, due=-7 * 3600)
    (finding,) = issue.check(running(tmp_path, 8 * 3600))
    assert finding.where == f"{STATE}/msgq"
    assert "should have been tried" in finding.detail


def test_mail_that_waited_for_courierd_to_start_is_not(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 3 * DAY, due=-2 * DAY)
    assert not list(issue.check(running(tmp_path, 60)))
    assert not list(issue.check(spool_host(tmp_path, processes=[])))


def test_mail_that_has_outlived_its_time_is_found(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 10 * DAY, expires=-2 * DAY)
    (finding,) = issue.check(running(tmp_path, 30 * DAY))
    assert finding.where == f"{STATE}/msgq"


def test_mail_that_expired_since_its_last_attempt_is_not(tmp_path: Path) -> None:
    deferred(tmp_path, 1, 7 * DAY + 3600, expires=-3600)
    assert not list(issue.check(running(tmp_path, 30 * DAY)))


def test_a_tree_says_that_lateness_cannot_be_told_and_still_finds_what_has_no_name(tmp_path: Path) -> None:
    deferred(tmp_path, 1, DAY, due=-7 * 3600)
    deferred(tmp_path, 2, DAY)
    unschedule(tmp_path, 2)
    spool_host(tmp_path)
    found, unknown = issue.check(Host(str(tmp_path)))
    assert isinstance(unknown, Unknown)
    assert found.where == f"{STATE}/msgs"
