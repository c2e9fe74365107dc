"""What the tests of one problem have in common: it is found, alone, in its log lines too, and repaired by highstate."""

from __future__ import annotations

import math
import time
from typing import Any

from fleet import Managed
from machine import Machine

LEFT_TO_THE_OPERATOR = frozenset(
    {
        "certificate-default",
        "database-missing",
        "imap-search-depth",
        "plain-auth-without-tls",
        "pop3-stls-injection",
    }
)
"""True defects of stock hosts that a highstate reports and does not repair."""


def places(host: Managed, issue: str) -> dict[str, str]:
    """Where an audit finds a problem: detail by place. It is found, and nothing of it is unknown."""
    report = host.audit(issues=issue)
    assert report["unknown"] == [], report
    found = {finding["where"]: finding["detail"] for finding in report["findings"]}
    assert found, f"{issue} is not found"
    return found


def repair(host: Managed, issue: str, *allow: str, **options: str) -> dict[str, Any]:
    """Repair a problem; what was announced is done, and the second time there is nothing left to do.

    On trixie by highstate, elsewhere by the execution function that the state calls.

    Args:
        allow: what the repair needs leave for.
        options: choices that the repair offers.

    Returns:
        The changes.
    """
    by = _by_highstate if host.machine.base.name == "trixie" else _by_function
    announced, _, _ = by(host, True, issue, allow, options)
    done, well, comments = by(host, False, issue, allow, options)
    assert announced == done != {}, comments
    assert well, comments
    assert by(host, False, issue, allow, options)[:2] == ({}, True)
    assert host.audit(issues=issue)["clear"] == [issue]
    return done


def _by_highstate(
    host: Managed, test: bool, issue: str, allow: tuple[str, ...], options: dict[str, str]
) -> tuple[dict[str, Any], bool, str]:
    """Changes, whether it went well, and what was said."""
    done = host.highstate(test=test, issues=[issue], allow=list(allow), options=options)
    return done.changes, set(done.results) == {True}, done.comments


def _by_function(
    host: Managed, test: bool, issue: str, allow: tuple[str, ...], options: dict[str, str]
) -> tuple[dict[str, Any], bool, str]:
    done = host.call("courier.fix", issue, test=test, allow=list(allow), **options)
    return done["changes"], not done.get("failed") and not done["findings_after"], done["comment"]


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
