"""maildrop-home-directory is found where maildrop would take another home than the account's, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailhost import ALICE, BOB, CAROL, mail_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import maildrop_home_directory as issue


def test_virtual_user_without_maildir_is_found(tmp_path: Path) -> None:
    (finding,) = issue.check(mail_host(tmp_path, "| /usr/bin/maildrop"))
    assert finding.where == "/etc/courier/courierd DEFAULTDELIVERY"
    assert (
        "carol@virt.example.test (home /srv/mail/carol, passwd has /home/vmail, which does not exist" in finding.detail
    )
    assert "alice" not in finding.detail


def test_delivery_into_the_shared_home_is_found(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| /usr/bin/maildrop", CAROL.replace("900", str(tmp_path.stat().st_uid)))
    (tmp_path / "home/vmail").mkdir()
    with (tmp_path / "etc/passwd").open("w") as file:
        file.write(f"vmail:x:{tmp_path.stat().st_uid}:900::/home/vmail:/x\n")
    (finding,) = issue.check(host)
    assert "mail goes to /home/vmail" in finding.detail


def test_uid_without_passwd_entry_is_found(tmp_path: Path) -> None:
    (finding,) = issue.check(mail_host(tmp_path, "| maildrop .mailfilter", CAROL.replace("900", "901")))
    assert "uid 901 has no passwd entry" in finding.detail


@pytest.mark.parametrize(
    ("line", "accounts"),
    [
        ("./Maildir", CAROL),
        ("| /usr/bin/maildrop", ALICE + BOB),
        ('| /usr/bin/maildrop -a -d "$USER"', CAROL),
        ("| /usr/bin/maildrop .mailfilter", CAROL),
        ("| /bin/sh /etc/courier/deliver-mailfilter\n./Maildir", CAROL),
    ],
)
def test_line_that_works_for_every_account_is_clear(tmp_path: Path, line: str, accounts: str) -> None:
    assert list(issue.check(mail_host(tmp_path, line, accounts))) == []


def test_couriers_own_maildrop_is_clear(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| /usr/bin/maildrop")
    (tmp_path / "usr/bin/maildrop").write_bytes(b"\x7fELF\0Courier-specific maildrop build\0")
    assert list(issue.check(host)) == []


def test_without_accounts_it_is_unknown(tmp_path: Path) -> None:
    mail_host(tmp_path, "| /usr/bin/maildrop")
    with pytest.raises(Unknown):
        list(issue.check(Host(str(tmp_path))))


def test_system_accounts_alone_need_no_authdaemon(tmp_path: Path) -> None:
    mail_host(tmp_path, "| /usr/bin/maildrop")
    (tmp_path / "etc/courier/authdaemonrc").write_text('authmodulelist="authpam"\n')
    assert list(issue.check(Host(str(tmp_path)))) == []


def test_maildrop_that_is_not_installed_is_unknown(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| /usr/bin/maildrop")
    (tmp_path / "usr/bin/maildrop").unlink()
    with pytest.raises(Unknown, match="not installed"):
        list(issue.check(host))


def test_fix_takes_a_strategy(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| /usr/bin/maildrop")
    (action,) = issue.fix(host, list(issue.check(host)), strategy="maildir")
    assert action.new == "./Maildir"


@pytest.mark.parametrize(
    ("home", "reason"), [((1000, "0777"), "is world-writable"), ((1, "0755"), "belongs to uid 1"), ((1000, "0755"), "")]
)
def test_home_that_maildrop_does_not_trust_is_found(tmp_path: Path, home: tuple[int, str], reason: str) -> None:
    host = mail_host(tmp_path, '| maildrop -a -d "$USER"', ALICE, alices_home=home)
    assert [reason in finding.detail for finding in issue.check(host)] == ([True] if reason else [])
