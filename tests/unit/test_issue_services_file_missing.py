"""services-file-missing is about names in PORT settings that nobody can resolve, and only about those."""

from __future__ import annotations

from pathlib import Path

from spoolhost import action_facts, changed, spool_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import services_file_missing as issue

LINE = "smtp\t\t25/tcp\t\tmail\n"


def tree(root: Path, services: str | None = None, **settings: str) -> Host:
    host = spool_host(root, services=changed("courier-mta", active=False, state="failed (failed)"))
    for name, port in settings.items():
        (root / "etc/courier" / name).write_text(f"PORT={port}\n")
    if services is not None:
        (root / "etc/services").write_text(services)
    return host


def test_found_without_the_file(tmp_path: Path) -> None:
    (finding,) = issue.check(tree(tmp_path, esmtpd="smtp"))
    assert finding.where == "/etc/services smtp/tcp"
    assert finding.detail.startswith("there is no such file; asked for by PORT of /etc/courier/esmtpd")
    assert finding.fixable


def test_clear_with_the_line_and_with_numbers(tmp_path: Path) -> None:
    assert not list(issue.check(tree(tmp_path / "a", LINE, esmtpd="smtp")))
    assert not list(issue.check(tree(tmp_path / "b", LINE, esmtpd="mail,587")))
    assert not list(issue.check(tree(tmp_path / "c", esmtpd="25", imapd="143")))


def test_found_in_a_tree_of_files_too(tmp_path: Path) -> None:
    tree(tmp_path, "http 80/tcp\n", esmtpd="smtp")
    (finding,) = issue.check(Host(str(tmp_path)))
    assert finding.detail.startswith("no line for it;")


def test_a_misspelt_name_is_found_and_left_to_the_operator(tmp_path: Path) -> None:
    (finding,) = issue.check(tree(tmp_path, LINE, esmtpd="smpt"))
    assert not finding.fixable
    assert finding.detail.endswith("correct the setting")


def test_the_msa_inherits_the_port_and_is_named_with_it(tmp_path: Path) -> None:
    tree(tmp_path, esmtpd="smtp")
    (finding,) = issue.check(Host(str(tmp_path)))
    assert "PORT of /etc/courier/esmtpd, PORT of /etc/courier/esmtpd-msa" in finding.detail


def test_a_service_that_was_switched_off_asks_for_nothing(tmp_path: Path) -> None:
    host = tree(tmp_path, esmtpd="25", imapd="imap2")
    host.__dict__["services"] = changed("courier-imap", active=False, enabled=False)
    assert not list(issue.check(host))


def test_a_port_where_mail_is_fetched_is_less_grave(tmp_path: Path) -> None:
    (finding,) = issue.check(tree(tmp_path, esmtpd="25", imapd="imap2"))
    assert finding.severity is Severity.HIGH


def test_the_fix_adds_only_the_missing_line_and_starts_what_is_down(tmp_path: Path) -> None:
    host = tree(tmp_path, "http 80/tcp", esmtpd="smtp")
    edit, start = action_facts(issue.fix(host, list(issue.check(host))))
    assert (edit.path, edit.setting, edit.new) == ("/etc/services", "smtp", "25/tcp")
    assert edit.edit(b"http 80/tcp") == b"http 80/tcp\nsmtp\t\t25/tcp\n"
    assert edit.edit(None) == b"smtp\t\t25/tcp\n"
    assert (start.kind, start.service, start.allow) == ("StartService", "courier-mta", "")
