"""maildrop-spool-delivery is found where a Maildir stays empty while /var/mail fills."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mailhost import ALICE, CAROL, mail_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import maildrop_spool_delivery as issue
from courierlib.tree import MANIFEST


def test_system_user_is_found_with_what_lies_in_the_spool(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| /usr/bin/maildrop")
    (tmp_path / "var/mail/alice").write_text("From x\n")
    (finding,) = issue.check(host)
    assert finding.where == "/etc/courier/courierd DEFAULTDELIVERY"
    assert "mail goes to /var/mail, not to the Maildir, for alice (7 bytes in /var/mail/alice)" in finding.detail
    assert "carol" not in finding.detail, "maildrop does not even find carol's home"


def test_looked_up_virtual_user_is_found(tmp_path: Path) -> None:
    (finding,) = issue.check(mail_host(tmp_path, '| maildrop -a -d "$USER"', CAROL))
    assert "carol@virt.example.test" in finding.detail


def test_filter_file_on_the_line_skips_the_sites_default(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| maildrop .mailfilter", ALICE)
    (tmp_path / "etc/maildroprc").write_text('DEFAULT="$HOME/Maildir"\n')
    assert len(list(issue.check(host))) == 1


def test_default_that_names_the_spool_is_found(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| maildrop", ALICE)
    (tmp_path / "etc/maildroprc").write_text('DEFAULT="/var/mail/$LOGNAME"\n')
    assert len(list(issue.check(host))) == 1


def test_found_in_a_tree_with_system_accounts_only(tmp_path: Path) -> None:
    mail_host(tmp_path, "| maildrop")
    (tmp_path / "etc/courier/authdaemonrc").write_text('authmodulelist="authpam"\n')
    assert len(list(issue.check(Host(str(tmp_path))))) == 1


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("etc/maildroprc", 'DEFAULT="$HOME/Maildir"\n'),
        ("etc/maildroprc", "DEFAULT = ./Maildir\n"),
        ("home/alice/.mailfilter", "DEFAULT=./Maildir\n"),
        ("home/alice/.mailfilter", 'to "$HOME/Maildir"\n'),
        ("home/alice/.courier", "./Maildir\n"),
        ("etc/courier/courierd", "DEFAULTDELIVERY=./Maildir\n"),
        ("usr/bin/maildrop", "Courier-specific maildrop build"),
    ],
)
def test_clear_where_something_names_the_mailbox(tmp_path: Path, path: str, content: str) -> None:
    mail_host(tmp_path, "| maildrop", ALICE)
    (tmp_path / path).write_text(content)
    assert list(issue.check(mail_host_again(tmp_path))) == []


def mail_host_again(root: Path) -> Host:
    """The same tree, looked at without authdaemon."""
    (root / "etc/courier/authdaemonrc").write_text('authmodulelist="authpam"\n')
    return Host(str(root))


def test_account_without_a_maildir_reads_its_spool(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| maildrop", ALICE)
    (tmp_path / "home/alice/Maildir/new").rmdir()
    assert list(issue.check(host)) == []


def test_tree_without_the_homes_is_unknown(tmp_path: Path) -> None:
    mail_host(tmp_path, "| maildrop", ALICE)
    shutil.rmtree(tmp_path / "home")
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(Unknown, match="alice"):
        list(issue.check(mail_host_again(tmp_path)))
