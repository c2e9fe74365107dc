"""courierd-not-running is judged by the process; the unit only says how to start it."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import ESMTPD, IMAPD, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import courierd_not_running as issue

HOUR = 3600
DOWN = changed("courier", active=False, state="failed (failed)")


def down(root: Path, services=DOWN, processes=(ESMTPD, IMAPD)) -> Host:
    return spool_host(root, services=services, processes=processes)


def plan(host: Host):
    findings = list(issue.check(host))
    assert all(finding.fixable for finding in findings)
    return action_facts(issue.fix(host, findings))


def test_clear_while_courierd_runs_whatever_its_unit_says(tmp_path: Path) -> None:
    assert not list(issue.check(spool_host(tmp_path, services=DOWN)))


def test_found_while_the_unit_counts_as_active(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 2 * HOUR)
    (finding,) = issue.check(down(tmp_path, changed("courier", remains=True)))
    assert finding.where == "service courier"
    assert (
        finding.detail == "no courierd process; courier is active (running); 1 message waiting, the oldest for 2 hours"
    )


def test_clear_where_nothing_accepts_mail_and_none_waits(tmp_path: Path) -> None:
    services = tuple(s for s in DOWN if not {"smtp", "msa", "smtps"} & set(s.roles))
    assert not list(issue.check(down(tmp_path, services, (IMAPD,))))


def test_waiting_mail_alone_is_enough(tmp_path: Path) -> None:
    queue_message(tmp_path, 1)
    services = tuple(s for s in DOWN if not {"smtp", "msa", "smtps"} & set(s.roles))
    assert list(issue.check(down(tmp_path, services, (IMAPD,))))


def test_found_without_a_service_but_not_fixable(tmp_path: Path) -> None:
    (finding,) = issue.check(down(tmp_path, services=()))
    assert (finding.where, finding.fixable) == ("courierd", False)


def test_unknown_in_a_tree_of_files(tmp_path: Path) -> None:
    spool_host(tmp_path)
    with pytest.raises(Unknown, match="needs the running host"):
        list(issue.check(Host(str(tmp_path))))


def test_the_fix_starts_courierd_and_courierfilter_and_the_listeners_that_are_down(tmp_path: Path) -> None:
    services = tuple(s for s in changed("courier-mta", active=False) if s.name != "courier")
    services += tuple(s for s in DOWN if s.name == "courier")
    facts = plan(down(tmp_path, services, (IMAPD,)))
    assert [(fact.kind, fact.service, fact.allow) for fact in facts] == [
        ("StartService", "courier", ""),
        ("StartService", "courierfilter", ""),
        ("StartService", "courier-mta", ""),
    ]


@pytest.mark.parametrize(
    ("age", "masked", "allow"),
    [
        (1 * HOUR, False, ""),
        (1 * HOUR, True, "unmask-service"),
        (25 * HOUR, False, "old-queue"),
        (25 * HOUR, True, "unmask-service,old-queue"),
        (72 * HOUR, False, "delete-expired-mail"),
        (72 * HOUR, True, "unmask-service,delete-expired-mail"),
    ],
)
def test_what_could_lose_or_repeat_mail_must_be_allowed(tmp_path: Path, age: float, masked: bool, allow: str) -> None:
    queue_message(tmp_path, 1, age)
    first, *others = plan(down(tmp_path, changed("courier", active=False, masked=masked)))
    assert (first.service, first.unmask, first.allow) == ("courier", masked, allow)
    held = allow.removeprefix("unmask-service").lstrip(",")
    assert all(other.allow == held for other in others)


def test_mail_that_courierd_would_delete_is_named(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 72 * HOUR)
    queue_message(tmp_path, 2)
    (finding,) = issue.check(down(tmp_path))
    assert "2 messages waiting, the oldest for 3 days; courierd deletes 1 of them when it starts" in finding.detail
