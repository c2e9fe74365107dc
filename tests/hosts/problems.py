"""What the tests of one problem have in common: it is found, alone, in its log lines too, and repaired by highstate."""

from __future__ import annotations

import math
import time
from typing import Any

from fleet import Managed
from machine import Machine


def places(host: Managed, issue: str) -> dict[str, str]:
    """Where an audit finds a problem: detail by place. It is found, and nothing of it is unknown."""
    report = host.audit(issues=issue)
    assert report["unknown"] == [], report
    found = {finding["where"]: finding["detail"] for finding in report["findings"]}
    assert found, f"{issue} is not found"
    return found


def repair(host: Managed, issue: str, *allow: str, **options: str) -> dict[str, Any]:
    """Repair by highstate; what was announced is done, and the second time there is nothing left to do.

    Args:
        allow: what the repair needs leave for.
        options: choices that the repair offers.

    Returns:
        The changes.
    """
    pillar = {"issues": [issue], "allow": list(allow), "options": options}
    announced = host.highstate(test=True, **pillar)
    done = host.highstate(**pillar)
    assert announced.changes == done.changes != {}, done.comments
    assert set(done.results) == {True}, done.comments
    again = host.highstate(**pillar)
    assert (set(again.results), again.changes) == ({True}, {}), again.comments
    assert host.audit(issues=issue)["clear"] == [issue]
    return done.changes


def whole_second() -> int:
    """The time, once a new second has begun: lines of before are then not of that second."""
    now = math.floor(time.time()) + 1
    time.sleep(now - time.time())
    return now


def wait_for_log(machine: Machine, words: str, since: float, timeout: float = 15) -> None:
    """Wait for a line of the journal."""
    deadline = time.monotonic() + timeout
    while not any(words in line for line in machine.journal(since=since)):
        assert time.monotonic() < deadline, f"{words!r} is not in the log: {machine.journal(since=since)}"
        time.sleep(0.2)


def assert_diagnosed(host: Managed, issue: str, since: int, *shares: str) -> None:
    """``courier.diagnose`` names the problem, and else only those that share a line with it."""
    report = host.call("courier.diagnose", since=since, until=whole_second())
    assert {row["id"] for row in report["issues"]} == {issue, *shares}, report
    for row in report["issues"]:
        assert set(row["shared_with"]) <= {issue, *shares}
        assert bool(row["tell"]) == bool(row["shared_with"])
