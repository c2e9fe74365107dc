"""port-taken names a program that has the port of a service that should run, and leaves Courier's own alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from spoolhost import COURIERD, ESMTPD, changed, spool_host

from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import port_taken as issue
from courierlib.listeners import Listener

DOWN = changed("courier-mta", active=False, state="failed (failed)")
EXIM = Listener(25, "0.0.0.0", 4711, "exim4")


def host(
    root: Path, *listeners: Listener, services=DOWN, processes=(COURIERD,), settings="PORT=25\nADDRESS=0\n"
) -> Host:
    found = spool_host(root, services=services, processes=processes)
    (root / "etc/courier/esmtpd").write_text(settings)
    found.__dict__["listeners"] = listeners
    return found


def test_the_program_and_its_process_are_named(tmp_path: Path) -> None:
    (finding,) = issue.check(host(tmp_path, EXIM))
    assert (finding.where, finding.fixable, finding.severity) == ("port 25", False, None)
    assert finding.detail == "exim4 (process 4711) listens on 0.0.0.0; courier-mta is failed (failed)"


def test_clear_while_the_service_runs_disabled_or_masked(tmp_path: Path) -> None:
    for number, services in enumerate(
        (
            changed("courier-mta"),
            changed("courier-mta", active=False, enabled=False),
            changed("courier-mta", active=False, masked=True),
        )
    ):
        assert not list(issue.check(host(tmp_path / str(number), EXIM, services=services)))


def test_clear_if_nobody_listens_there(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, dataclasses.replace(EXIM, port=26))))


def test_an_old_listener_of_the_same_service_is_another_problem(tmp_path: Path) -> None:
    held = dataclasses.replace(EXIM, program="couriertcpd", pid=ESMTPD.pid)
    stray = dataclasses.replace(ESMTPD, cgroup="/user.slice/session-3.scope")
    assert not list(issue.check(host(tmp_path, held, processes=(stray,))))


def test_another_service_of_couriers_own_is_named(tmp_path: Path) -> None:
    held = dataclasses.replace(EXIM, program="couriertcpd", pid=ESMTPD.pid)
    other = dataclasses.replace(ESMTPD, cgroup="/system.slice/courier-msa.service")
    (finding,) = issue.check(host(tmp_path, held, processes=(other,)))
    assert finding.detail.startswith("couriertcpd (process 210) listens on")


@pytest.mark.parametrize(
    ("wanted", "held", "collides"),
    [
        ("0", "127.0.0.1", True),
        ("0", "::1", True),
        ("", "192.0.2.9", True),
        ("192.0.2.7", "127.0.0.1", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("192.0.2.7", "0.0.0.0", True),
        ("192.0.2.7", "::", True),
    ],
)
def test_addresses_collide_as_the_kernel_sees_it(tmp_path: Path, wanted: str, held: str, collides: bool) -> None:
    listener = dataclasses.replace(EXIM, address=held)
    found = list(issue.check(host(tmp_path, listener, settings=f"PORT=25\nADDRESS={wanted}\n")))
    assert bool(found) is collides


def test_a_holder_that_cannot_be_seen_is_said_to_be_so(tmp_path: Path) -> None:
    (finding,) = issue.check(host(tmp_path, Listener(25, "::", None, "")))
    assert finding.detail.startswith("a process that cannot be seen from here listens on ::")


def test_a_port_where_mail_is_fetched_is_less_grave(tmp_path: Path) -> None:
    found = host(tmp_path, dataclasses.replace(EXIM, port=143), services=changed("courier-imap", active=False))
    (tmp_path / "etc/courier/imapd").write_text("PORT=143\nADDRESS=0\n")
    (finding,) = issue.check(found)
    assert finding.severity is Severity.HIGH


def test_settings_computed_by_the_shell_are_unknown(tmp_path: Path) -> None:
    (unknown,) = issue.check(host(tmp_path, EXIM, settings="PORT=$(cat port)\n"))
    assert isinstance(unknown, Unknown)


def test_unknown_in_a_tree_of_files(tmp_path: Path) -> None:
    spool_host(tmp_path)
    with pytest.raises(Unknown, match="needs the running host"):
        list(issue.check(Host(str(tmp_path))))
