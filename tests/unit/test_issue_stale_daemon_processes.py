"""stale-daemon-processes names exact processes: another user's, a replaced program's, or outside every unit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from spoolhost import COURIER, COURIERD, ESMTPD, IMAPD, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import stale_daemon_processes as issue
from courierlib.services import InitScripts

STRAY = dataclasses.replace(ESMTPD, pid=7072, uid=1, cgroup="/user.slice/user-0.slice/session-3.scope")


def plan(host: Host):
    return action_facts(issue.fix(host, list(issue.check(host))))


def test_clear_on_a_stock_host(tmp_path: Path) -> None:
    worker = dataclasses.replace(COURIERD, pid=118, uid=COURIER[0], ppid=112)
    assert not list(issue.check(spool_host(tmp_path, processes=(COURIERD, worker, ESMTPD, IMAPD))))


def test_clear_for_a_mailuser_of_the_operators_own(tmp_path: Path) -> None:
    spool_host(tmp_path)
    with (tmp_path / "etc/passwd").open("a") as file:
        file.write("mailsrv:x:500:113::/:/x\n")
    with (tmp_path / "etc/courier/esmtpd").open("a") as file:
        file.write("MAILUSER=mailsrv\n")
    assert not list(issue.check(spool_host(tmp_path, processes=(dataclasses.replace(ESMTPD, uid=500),))))


def test_clear_in_a_unit_of_the_operators_own(tmp_path: Path) -> None:
    own = dataclasses.replace(IMAPD, cgroup="/system.slice/mail-imap.service")
    assert not list(issue.check(spool_host(tmp_path, processes=(own,))))


def test_a_listener_of_the_old_user_is_found_with_what_it_keeps_down(tmp_path: Path) -> None:
    services = changed("courier-mta", active=False, state="failed (failed)")
    (finding,) = issue.check(spool_host(tmp_path, services=services, processes=(COURIERD, STRAY)))
    assert finding.where == "process 7072 /usr/sbin/couriertcpd"
    assert finding.detail == "process 7072: run as daemon, not as courier; not running: courier-mta"
    assert finding.severity is None


def test_the_fix_ends_exactly_that_process_and_starts_what_it_kept_down(tmp_path: Path) -> None:
    services = changed("courier-mta", active=False, state="failed (failed)")
    end, start = plan(spool_host(tmp_path, services=services, processes=(COURIERD, STRAY, IMAPD)))
    assert (end.kind, end.pid, end.started, end.exe) == ("EndProcess", 7072, STRAY.started, "/usr/sbin/couriertcpd")
    assert end.restarts == ("smtp", "msa", "smtps"), (
        "systemd may have taken it for its own; IMAP has nothing to do with it"
    )
    assert (start.kind, start.service) == ("StartService", "courier-mta")


@pytest.mark.parametrize(
    "cgroup",
    [
        "/",
        "/user.slice/user-0.slice/session-3.scope",
        "/system.slice/salt-minion.service",
        "/system.slice/cron.service",
    ],
)
def test_a_daemon_started_by_hand_is_found_outside_every_unit(tmp_path: Path, cgroup: str) -> None:
    (finding,) = issue.check(spool_host(tmp_path, processes=(dataclasses.replace(COURIERD, cgroup=cgroup),)))
    assert finding.severity is Severity.MEDIUM
    assert f"outside all services, in {cgroup}" in finding.detail


def test_without_systemd_the_cgroup_says_nothing(tmp_path: Path) -> None:
    host = spool_host(tmp_path, processes=(dataclasses.replace(COURIERD, cgroup="/"),))
    host.system = dataclasses.replace(host.system, services=InitScripts({}))
    assert not list(issue.check(host))


def test_replaced_programs_are_one_finding_for_each_service_and_restart_it_alone(tmp_path: Path) -> None:
    worker = dataclasses.replace(COURIERD, pid=118, uid=COURIER[0], ppid=112, deleted=True)
    host = spool_host(tmp_path, processes=(dataclasses.replace(COURIERD, deleted=True), worker, ESMTPD, IMAPD))
    (finding,) = issue.check(host)
    assert (finding.where, finding.severity) == ("service courier", Severity.MEDIUM)
    assert finding.detail == "processes 112, 118: run a program that was replaced or removed since they started"
    assert [(fact.pid, fact.restarts) for fact in plan(host)] == [(112, ("scheduler",)), (118, ("scheduler",))]


def test_what_serves_one_client_is_left_alone(tmp_path: Path) -> None:
    session = dataclasses.replace(IMAPD, pid=300, name="imapd", exe="/usr/bin/imapd", uid=1000, deleted=True)
    tls = dataclasses.replace(session, pid=301, name="couriertls", exe="/usr/bin/couriertls")
    assert not list(issue.check(spool_host(tmp_path, processes=(COURIERD, session, tls))))


def test_a_tree_is_one_finding_with_all_its_processes(tmp_path: Path) -> None:
    outside = dataclasses.replace(COURIERD, cgroup="/")
    worker = dataclasses.replace(outside, pid=118, uid=COURIER[0], ppid=112)
    (finding,) = issue.check(spool_host(tmp_path, processes=(outside, worker)))
    assert finding.where == "process 112 /usr/lib/courier/courier/courierd"
    assert finding.detail.startswith("processes 112, 118: ")


def test_mail_that_courierd_would_delete_at_a_start_holds_the_restart_back(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 72 * 3600)
    services = changed("courier-mta", active=False, state="failed (failed)")
    actions = plan(spool_host(tmp_path, services=services, processes=(COURIERD, STRAY, IMAPD)))
    assert {action.allow for action in actions} == {"delete-expired-mail"}
