"""debug-login is DEBUG_LOGIN as the start script of authdaemond hands it on."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import auth_host
from spoolhost import action_facts, queue_message

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import debug_login as issue


def test_passwords_in_the_log_are_grave_and_switched_off(tmp_path: Path) -> None:
    host = auth_host(tmp_path, more="DEBUG_LOGIN=2\n\nDEFAULTOPTIONS=\n")
    (finding,) = issue.check(host)
    assert (finding.where, finding.severity) == ("/etc/courier/authdaemonrc DEBUG_LOGIN", None)
    (edit,) = action_facts(issue.fix(host, [finding]))
    before = (tmp_path / "etc/courier/authdaemonrc").read_bytes()
    assert edit.edit(before) == before.replace(b"DEBUG_LOGIN=2", b'DEBUG_LOGIN="0"')
    assert edit.restarts == ("authdaemon",)


def test_noise_without_passwords_is_advice(tmp_path: Path) -> None:
    (finding,) = issue.check(auth_host(tmp_path, more='DEBUG_LOGIN="1"\n'))
    assert finding.severity is Severity.LOW


@pytest.mark.parametrize("more", ["", "DEBUG_LOGIN=0\n", "#DEBUG_LOGIN=2\n", "DEBUG_LOGIN=\n", "DEBUG_LOGIN=yes\n"])
def test_off_is_clear(tmp_path: Path, more: str) -> None:
    assert not list(issue.check(auth_host(tmp_path, more=more)))


def test_the_last_one_counts(tmp_path: Path) -> None:
    assert not list(issue.check(auth_host(tmp_path, more="DEBUG_LOGIN=2\nDEBUG_LOGIN=0\n")))


def test_a_restart_that_would_delete_mail_needs_leave(tmp_path: Path) -> None:
    auth_host(tmp_path, more="DEBUG_LOGIN=2\n")
    queue_message(tmp_path, 1, 72 * 3600)
    host = Host(str(tmp_path))
    (edit,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert edit.allow == "delete-expired-mail"
