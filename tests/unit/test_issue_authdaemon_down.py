"""authdaemon-down is judged by connecting to the socket; the unit only says how to start it."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spoolhost import COURIERD, SERVICES, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import authdaemon_down as issue

DOWN = changed("courier-authdaemon", active=False, state="failed (failed)")
LOGGER = dataclasses.replace(COURIERD, pid=60, name="courierlogger", exe="/usr/sbin/courierlogger")
PARENT = dataclasses.replace(COURIERD, pid=61, name="authdaemond", exe="/usr/lib/authdaemond", ppid=60)
CHILD = dataclasses.replace(PARENT, pid=62, ppid=61)


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path: that of a socket is at most 107 bytes long."""
    directory = tempfile.mkdtemp(prefix="a")
    yield Path(directory)
    shutil.rmtree(directory)


@contextmanager
def listening(root: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "run/courier/authdaemon/socket"))
        server.listen()
        yield


def plan(host: Host):
    findings = list(issue.check(host))
    assert all(finding.fixable for finding in findings)
    return action_facts(issue.fix(host, findings))


def test_clear_while_the_socket_takes_connections_whatever_the_unit_says(root: Path) -> None:
    host = spool_host(root, services=DOWN)
    with listening(root):
        assert not list(issue.check(host))


def test_clear_while_more_wait_than_it_takes_for_a_moment(root: Path) -> None:
    host = spool_host(root, services=DOWN)
    path = str(root / "run/courier/authdaemon/socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(path)
        server.listen(0)
        waiting.connect(path)
        relief = threading.Timer(0.2, server.accept)
        relief.start()
        assert not list(issue.check(host))
        relief.join()


def test_found_without_a_socket(root: Path) -> None:
    (finding,) = issue.check(spool_host(root, services=DOWN))
    assert finding.where == "service courier-authdaemon"
    assert finding.detail == (
        "/run/courier/authdaemon/socket: No such file or directory; courier-authdaemon is failed (failed)"
    )


def test_found_with_a_socket_that_nobody_listens_at(root: Path) -> None:
    host = spool_host(root, services=DOWN)
    with listening(root):
        pass
    (finding,) = issue.check(host)
    assert "Connection refused" in finding.detail


def test_started_and_nothing_else_where_the_rest_is_up(root: Path) -> None:
    (start,) = plan(spool_host(root, services=DOWN))
    assert (start.kind, start.service, start.unmask, start.allow) == ("StartService", "courier-authdaemon", False, "")


def test_a_masked_unit_needs_leave(root: Path) -> None:
    (start,) = plan(spool_host(root, services=changed("courier-authdaemon", active=False, masked=True)))
    assert (start.unmask, start.allow) == (True, "unmask-service")


def test_servers_that_stopped_with_it_are_started_but_never_courierd(root: Path) -> None:
    stopped = tuple(dataclasses.replace(service, active=False, state="inactive (dead)") for service in SERVICES)
    queue_message(root, 1, 60 * 3600)
    actions = plan(spool_host(root, services=stopped, processes=()))
    assert [action.service for action in actions] == ["courier-authdaemon", "courier-imap"]
    assert all(action.allow == "" for action in actions)


def test_a_daemon_that_runs_without_answering_is_ended_and_its_service_restarted(root: Path) -> None:
    (end,) = plan(spool_host(root, processes=(COURIERD, LOGGER, PARENT, CHILD)))
    assert (end.kind, end.pid, end.restarts) == ("EndProcess", 61, ("authdaemon",))


def test_not_repaired_where_its_settings_would_be_rejected(root: Path) -> None:
    host = spool_host(root, services=DOWN)
    (root / "etc/courier/authdaemonrc").write_text("this is bad\n")
    (finding,) = issue.check(host)
    assert not finding.fixable
    assert "it cannot start: authdaemonrc:1: no '=' in it" in finding.detail


def test_clear_where_courier_is_switched_off(root: Path) -> None:
    off = tuple(dataclasses.replace(service, active=False, enabled=False) for service in SERVICES)
    assert not list(issue.check(spool_host(root, services=off, processes=())))


def test_found_where_it_alone_is_not_started_at_boot(root: Path) -> None:
    assert list(issue.check(spool_host(root, services=changed("courier-authdaemon", active=False, enabled=False))))


def test_unknown_in_a_tree_of_files(root: Path) -> None:
    spool_host(root)
    with pytest.raises(Unknown, match="needs the running host"):
        list(issue.check(Host(str(root))))
