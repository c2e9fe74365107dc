"""maildrop-bounces-virtual-users: each way of naming the account, with the socket open and shut."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailhost import ALICE, BOB, CAROL, mail_host

from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import maildrop_bounces_virtual_users as issue

SHUT, OPEN = 0o750, 0o751
BOUNCES, WAITS, MAY_BOUNCE = "bounces at once", "waits until", "whenever authdaemon"


@pytest.mark.parametrize(
    ("line", "account", "socket", "fate"),
    [
        ('maildrop -d "${RECIPIENT}"', ALICE, SHUT, BOUNCES),
        ('maildrop -d "${RECIPIENT}"', ALICE, OPEN, BOUNCES),
        ('maildrop -d "${RECIPIENT}"', CAROL, SHUT, BOUNCES),
        ('maildrop -d "${RECIPIENT}"', CAROL, OPEN, MAY_BOUNCE),
        ("maildrop -a -d $RECIPIENT", ALICE, SHUT, WAITS),
        ("maildrop -a -d $RECIPIENT", ALICE, OPEN, BOUNCES),
        ("maildrop -a -d $RECIPIENT", CAROL, SHUT, WAITS),
        ("maildrop -a -d $RECIPIENT", CAROL, OPEN, ""),
        ('maildrop -d "$USER"', ALICE, SHUT, ""),
        ('maildrop -d "$USER"', CAROL, SHUT, BOUNCES),
        ('maildrop -d "$USER"', CAROL, OPEN, MAY_BOUNCE),
        ('maildrop -a -d "$USER"', ALICE, SHUT, WAITS),
        ('maildrop -a -d "$USER"', ALICE, OPEN, ""),
        ('maildrop -a -d "$USER"', CAROL, OPEN, ""),
        ('maildrop -d "$LOCAL"', CAROL, OPEN, BOUNCES),
        ('maildrop -d "$LOCAL"', ALICE, SHUT, ""),
        ('maildrop -d "${RECIPIENT}"', BOB, SHUT, ""),
        ("maildrop", ALICE + CAROL, SHUT, ""),
        ("maildrop .mailfilter", ALICE + CAROL, SHUT, ""),
    ],
)
def test_fate_of_an_accounts_mail(tmp_path: Path, line: str, account: str, socket: int, fate: str) -> None:
    found = list(issue.check(mail_host(tmp_path, f"| {line}", account, socket=socket)))
    assert [fate in finding.detail for finding in found] == ([True] if fate else [])


def test_worst_fate_is_reported_with_its_accounts(tmp_path: Path) -> None:
    (finding,) = issue.check(mail_host(tmp_path, '| maildrop -d "$USER"'))
    assert finding.detail == '| maildrop -d "$USER": mail bounces at once for carol@virt.example.test'
    assert finding.severity is Severity.CRITICAL


def test_setuid_root_maildrop_reaches_the_socket(tmp_path: Path) -> None:
    host = mail_host(tmp_path, '| maildrop -a -d "$USER"', CAROL)
    assert list(issue.check(host))
    (tmp_path / "usr/bin/maildrop").chmod(0o4755)
    if (tmp_path / "usr/bin/maildrop").stat().st_uid == 0:
        assert list(issue.check(host)) == []


def test_recipient_that_only_a_shell_could_tell_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="EXT2"):
        list(issue.check(mail_host(tmp_path, '| maildrop -d "$EXT2"')))


def test_bounce_of_system_users_needs_no_authdaemon_to_be_seen(tmp_path: Path) -> None:
    mail_host(tmp_path, '| maildrop -d "${RECIPIENT}"', socket=OPEN)
    (tmp_path / "etc/courier/authdaemonrc").write_text('authmodulelist="authpam"\n')
    (finding,) = issue.check(Host(str(tmp_path)))
    assert "mail bounces at once for alice" in finding.detail


def test_without_authdaemon_what_system_users_tell_is_found_and_the_rest_unknown(tmp_path: Path) -> None:
    mail_host(tmp_path, '| maildrop -d "${RECIPIENT}"')
    (finding,) = issue.check(Host(str(tmp_path)))
    assert "mail bounces at once for alice" in finding.detail
    (tmp_path / "etc/courier/courierd").write_text("DEFAULTDELIVERY='| maildrop -d \"$USER\"'\n")
    with pytest.raises(Unknown, match="running host"):
        list(issue.check(Host(str(tmp_path))))
