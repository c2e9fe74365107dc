"""A mail filter is dead when nobody answers at its socket, whatever the socket was called when it was bound."""

from __future__ import annotations

import socket

import pytest
from spoolhost import action_facts, changed, queue_message, spool_host

from courierlib.issue import Severity, Unknown
from courierlib.issues import mail_filter_dead
from courierlib.issues.mail_filter_dead import check, fix


@pytest.fixture
def host(tmp_path):
    host = spool_host(tmp_path)
    # The check connects to paths of the running host: here, of the directory.
    (tmp_path / "usr/sbin/couriertcpd").touch()
    (tmp_path / "etc/courier/enablefiltering").write_text("esmtp\n")
    return host


def findings(host, tmp_path, monkeypatch):
    answers = mail_filter_dead._answers
    monkeypatch.setattr(mail_filter_dead, "_answers", lambda path: answers(str(tmp_path) + path))
    return {finding.where: finding for finding in check(host)}


def test_a_filter_that_renamed_its_socket_is_alive(host, tmp_path, monkeypatch):
    directory = tmp_path / "var/lib/courier/filters"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(directory / ".dupfilter"))
        server.listen()
        (directory / ".dupfilter").rename(directory / "dupfilter")
        assert findings(host, tmp_path, monkeypatch) == {}


def test_whatever_does_not_answer_is_dead(host, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(tmp_path / "var/lib/courier/filters/old"))
    (tmp_path / "var/lib/courier/allfilters/notes.txt").touch()
    found = findings(host, tmp_path, monkeypatch)
    severities = {where.rsplit("/", 1)[-1]: finding.severity for where, finding in found.items()}
    assert severities == {"old": Severity.MEDIUM, "notes.txt": None}


def test_a_filter_that_is_switched_on_but_gone_is_told_and_left_to_the_operator(host, tmp_path, monkeypatch):
    active = tmp_path / "etc/courier/filters/active"
    active.mkdir(parents=True)
    (active / "gone").symlink_to("/usr/lib/courier/filters/gone")
    (finding,) = findings(host, tmp_path, monkeypatch).values()
    assert (finding.where, finding.fixable) == ("/etc/courier/filters/active/gone", False)


def test_under_a_root_it_is_unknown_only_where_there_is_a_filter(host, tmp_path):
    host.system = None
    assert list(check(host)) == []
    (tmp_path / "var/lib/courier/allfilters/spamfilter").touch()
    with pytest.raises(Unknown, match="needs the running host"):
        list(check(host))


def test_courierfilter_is_restarted_but_not_where_that_would_delete_mail(host, tmp_path):
    (action,) = action_facts(fix(host, [object()]))
    assert (action.kind, action.service, action.restart, action.allow) == ("StartService", "courierfilter", True, "")
    queue_message(tmp_path, 1, age=49 * 3600)
    (action,) = action_facts(fix(spool_host(tmp_path, services=changed("courierfilter")), [object()]))
    assert action.allow == "delete-expired-mail"


@pytest.mark.parametrize("words", [None, "\n", "\nesmtp\n"])
def test_a_dead_socket_does_no_harm_where_no_mail_is_filtered(host, tmp_path, monkeypatch, words):
    (tmp_path / "var/lib/courier/allfilters/spamfilter").touch()
    assert "(enablefiltering: esmtp)" in next(iter(findings(host, tmp_path, monkeypatch).values())).detail
    setting = tmp_path / "etc/courier/enablefiltering"
    setting.unlink() if words is None else setting.write_text(words)
    assert findings(host, tmp_path, monkeypatch) == {}
