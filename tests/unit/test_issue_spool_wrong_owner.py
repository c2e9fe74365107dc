"""spool-wrong-owner is found where the mail user cannot work, and changes the old daemon's ids only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spoolhost import ALICE, COURIER, DAEMON, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import spool_wrong_owner as issue

STATE = "/var/lib/courier"


def plan(host: Host):
    return action_facts(issue.fix(host, [finding for finding in issue.check(host) if finding.fixable]))


def test_clear_on_a_stock_host_with_mail_of_a_local_user(tmp_path: Path) -> None:
    spool_host(tmp_path)
    queue_message(tmp_path, 1)
    assert not list(issue.check(spool_host(tmp_path, {f"{STATE}/tmp/179536/C1": (ALICE, 0o660)})))


@pytest.mark.parametrize("state", [(COURIER, 0o750), ((0, 0), 0o755), (DAEMON, 0o755)])
def test_clear_whoever_has_the_directory_above_as_long_as_all_may_enter(tmp_path: Path, state) -> None:
    assert not list(issue.check(spool_host(tmp_path, {STATE: state})))


def test_clear_where_the_group_is_enough(tmp_path: Path) -> None:
    assert not list(issue.check(spool_host(tmp_path, {f"{STATE}/msgs": ((0, COURIER[1]), 0o770)})))


@pytest.mark.parametrize(
    ("path", "mode", "wanted", "severity"),
    [
        (STATE, 0o750, COURIER, None),
        (f"{STATE}/tmp", 0o770, COURIER, None),
        (f"{STATE}/msgs", 0o750, COURIER, None),
        (f"{STATE}/msgq", 0o750, COURIER, None),
        (f"{STATE}/track", 0o750, COURIER, Severity.MEDIUM),
        (f"{STATE}/filters", 0o750, COURIER, None),
        (f"{STATE}/allfilters", 0o750, COURIER, Severity.MEDIUM),
        ("/run/courier", 0o775, (0, COURIER[1]), None),
        ("/run/courier/authdaemon", 0o750, COURIER, None),
    ],
)
def test_a_directory_of_the_old_user_is_found_and_given_back(tmp_path: Path, path, mode, wanted, severity) -> None:
    host = spool_host(tmp_path, {path: (DAEMON, mode)})
    (finding,) = issue.check(host)
    assert (finding.where, finding.severity) == (path, severity)
    (fact,) = plan(host)
    assert (fact.kind, fact.path, (fact.uid, fact.gid), fact.mode) == ("SetOwnership", path, wanted, None)


def test_tmp_must_be_open_to_the_group_for_users_who_send(tmp_path: Path) -> None:
    host = spool_host(tmp_path, {f"{STATE}/tmp": (COURIER, 0o700)})
    (fact,) = plan(host)
    assert fact.mode == 0o770


def test_only_the_old_daemons_ids_of_queue_entries_are_changed(tmp_path: Path) -> None:
    spool_host(tmp_path)
    for number in (1, 2, 3):
        queue_message(tmp_path, number)
    slot = f"{STATE}/tmp/179536"
    owners = {
        f"{STATE}/tmp": (DAEMON, 0o770),
        slot: (DAEMON, 0o770),
        f"{slot}/C1": (DAEMON, 0o660),
        f"{slot}/D1": ((ALICE[0], DAEMON[1]), 0o660),
        f"{slot}/C2": (ALICE, 0o660),
        f"{slot}/C3": ((1001, 1001), 0o600),
    }
    host = spool_host(tmp_path, owners)
    findings = {finding.where: finding for finding in issue.check(host)}
    assert set(findings) == {f"{STATE}/tmp", f"{STATE}/tmp/*"}
    assert "4 entries" in findings[f"{STATE}/tmp/*"].detail
    assert "1 belong to somebody who was never the mail user" in findings[f"{STATE}/tmp/*"].detail
    changes = {fact.path: (fact.uid, fact.gid) for fact in plan(host)}
    assert changes == {
        f"{STATE}/tmp": COURIER,
        slot: COURIER,
        f"{slot}/C1": COURIER,
        f"{slot}/D1": (None, COURIER[1]),
    }


def test_the_numbers_of_a_restored_backup_are_taken_from_the_directories(tmp_path: Path) -> None:
    spool_host(tmp_path)
    queue_message(tmp_path, 1, area="msgs")
    owners = {f"{STATE}/msgs": ((996, 996), 0o750), f"{STATE}/msgs/1/C1": ((996, 996), 0o660)}
    changes = {fact.path: (fact.uid, fact.gid) for fact in plan(spool_host(tmp_path, owners))}
    assert changes[f"{STATE}/msgs/1/C1"] == COURIER


def test_a_scheduled_envelope_may_have_its_two_names_and_no_other_file_may(tmp_path: Path) -> None:
    spool_host(tmp_path)
    queue_message(tmp_path, 1, area="msgs")
    owners = dict.fromkeys((f"{STATE}/msgs/1/C1", f"{STATE}/msgs/1/D1"), (DAEMON, 432))
    assert {fact.path: fact.links for fact in plan(spool_host(tmp_path, owners))} == {
        f"{STATE}/msgs/1/C1": 2,
        f"{STATE}/msgs/1/D1": 1,
    }


def test_a_large_queue_is_looked_at_to_the_bound_and_the_finding_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(issue, "MAX_ENTRIES", 3)
    spool_host(tmp_path)
    queue_message(tmp_path, 1)
    queue_message(tmp_path, 2)
    owners = {f"{STATE}/tmp/179536/{name}": (DAEMON, 0o660) for name in ("C1", "C2", "D1", "D2")}
    (finding,) = issue.check(spool_host(tmp_path, owners))
    assert "2 or more entr" in finding.detail
    assert "run this again" in finding.detail


def test_mail_that_courierd_would_delete_once_it_can_read_it_needs_leave(tmp_path: Path) -> None:
    spool_host(tmp_path)
    queue_message(tmp_path, 1, 72 * 3600)
    facts = plan(spool_host(tmp_path, {f"{STATE}/msgs": (DAEMON, 0o750)}))
    assert [fact.allow for fact in facts] == ["delete-expired-mail"]


def test_what_the_wrong_owner_kept_from_starting_is_started(tmp_path: Path) -> None:
    services = changed("courierfilter", active=False, state="failed (failed)")
    host = spool_host(tmp_path, {f"{STATE}/filters": (DAEMON, 0o750)}, services=services)
    owner, start = plan(host)
    assert (owner.restarts, start.kind, start.service) == (("scheduler",), "StartService", "courierfilter")


def test_a_directory_that_is_not_there_is_unknown_and_not_clear(tmp_path: Path) -> None:
    spool_host(tmp_path)
    (tmp_path / "var/lib/courier/msgs").rmdir()
    manifest = tmp_path / ".courier-host.json"
    kept = json.loads(manifest.read_text())
    del kept["files"][f"{STATE}/msgs"]
    manifest.write_text(json.dumps(kept))
    (unknown,) = issue.check(Host(str(tmp_path)))
    assert unknown.reason == "/var/lib/courier/msgs: no such directory"
