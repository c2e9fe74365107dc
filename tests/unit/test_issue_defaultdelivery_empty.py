"""defaultdelivery-empty is found where DEFAULTDELIVERY has no instruction and somebody's mail is delivered by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailboxes import found, mailbox_host
from mailhost import ALICE, BOB, CAROL

from courierlib.issue import Unknown
from courierlib.issues import defaultdelivery_empty as issue

WHERE = "/etc/courier/courierd DEFAULTDELIVERY"


@pytest.mark.parametrize("line", ["", " ", "\n", "#./Maildir", "# off\n\n"])
def test_value_without_an_instruction_is_found(tmp_path: Path, line: str) -> None:
    host = mailbox_host(tmp_path, line=line)
    assert list(found(issue, host)) == [WHERE]
    (action,) = issue.fix(host, list(issue.check(host)))
    assert (action.new, action.allow, action.restarts) == ("./Maildir", "", ("scheduler",))
    assert b"DEFAULTDELIVERY=" in action.edit((tmp_path / "etc/courier/courierd").read_bytes())


@pytest.mark.parametrize("line", ["./Maildir", "| /usr/bin/maildrop", "&spool@example.org", "# a\n./Maildir"])
def test_instructions_are_clear(tmp_path: Path, line: str) -> None:
    assert found(issue, mailbox_host(tmp_path, line=line)) == {}


def test_setting_that_is_missing_means_the_maildir(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, lambda root: (root / "etc/courier/courierd").write_text("# nothing\n"))
    assert found(issue, host) == {}


def test_accounts_with_a_maildir_from_authlib_are_not_concerned(tmp_path: Path) -> None:
    assert found(issue, mailbox_host(tmp_path, line="", accounts=BOB)) == {}
    (detail,) = found(issue, mailbox_host(tmp_path / "more", line="", accounts=BOB + CAROL)).values()
    assert detail == "empty: mail is thrown away for carol@virt.example.test"


def test_account_with_mail_in_the_spool_and_no_maildir_needs_leave(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "var/mail/alice").write_text("From x\n")
        (root / "home/alice/Maildir").rename(root / "home/alice/other")

    host = mailbox_host(tmp_path, change, line="", accounts=ALICE)
    assert [action.allow for action in issue.fix(host, list(issue.check(host)))] == ["no-maildir"]


def test_tree_with_accounts_that_only_authdaemon_knows_is_unknown(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, line="", running=False)
    (tmp_path / "etc/courier/authdaemonrc").write_text('authmodulelist="authmysql"\n')
    with pytest.raises(Unknown):
        list(issue.check(host))
