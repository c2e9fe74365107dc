"""What the pages show of the real-host tests is what those tests showed of the issue files as they are now."""

from __future__ import annotations

import pytest

from courierlib.catalogue import Entry, load
from pages import results

ISSUES = list(load())


@pytest.mark.parametrize("issue", ISSUES)
def test_no_result_on_a_host_is_stale(issue: str) -> None:
    now = results.issue_fingerprint(issue)
    stale = [base for base, facts in results.shown().items() if issue not in facts or facts[issue].fingerprint != now]
    assert not stale, f"{issue} was not run since it was changed: run `make hosts-all`"


@pytest.mark.parametrize("state", ["healthy", "broken"])
@pytest.mark.parametrize("issue", ISSUES)
def test_what_an_administrator_sees_is_recorded_and_not_stale(issue: str, state: str) -> None:
    recording = results.recordings().get(issue, {}).get(state)
    assert recording, f"{issue} has no recording of a {state} host"
    assert recording.fingerprint == results.issue_fingerprint(issue), f"{issue}: record the {state} host again"


def test_nothing_is_recorded_of_an_issue_that_is_not_there(entries: list[Entry]) -> None:
    known = {entry.id for entry in entries}
    told = set(results.recordings()) | {issue for facts in results.shown().values() for issue in facts}
    assert told <= known
