"""maildir-owner is found where uid or gid differ from the account's; only what is certainly wrong is given back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mailboxes import ALICES, BOBS, found, mailbox_host
from mailhost import BOB

from courierlib.issue import Severity
from courierlib.issues import maildir_owner as issue

WHOLE = dict.fromkeys((BOBS, *(f"{BOBS}/{name}" for name in ("cur", "new", "tmp", "new/1"))), (0, 0, 0o700))


def message(root: Path) -> None:
    (root / BOBS[1:] / "new/1").write_text("x")


def changes(host) -> dict[str, tuple[int | None, int | None]]:
    return {action.path: (action.uid, action.gid) for action in issue.fix(host, list(issue.check(host)))}


def test_own_maildirs_are_clear(tmp_path: Path) -> None:
    assert found(issue, mailbox_host(tmp_path)) == {}


def test_wrong_group_stops_imap(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, owners={BOBS: (900, 0, 0o700)})
    assert found(issue, host) == {BOBS: "belongs to 900:0, and bob@virt.example.test is 900:900: IMAP logins fail"}
    assert changes(host) == {BOBS: (None, 900)}


def test_wrong_user_is_given_back_with_what_is_in_it(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, message, owners=WHOLE)
    assert found(issue, host)[BOBS].endswith("logins fail, and mail waits")
    assert changes(host) == dict.fromkeys(WHOLE, (900, 900))


def test_content_of_other_owners_is_left_alone(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, message, owners=WHOLE | {f"{BOBS}/new/1": (1000, 1000, 0o600)})
    assert f"{BOBS}/new/1" not in changes(host)


def test_links_second_names_and_strange_directories_are_left_alone(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        message(root)
        maildir = root / BOBS[1:]
        (maildir / ".Shared").symlink_to("/home/alice/Maildir")
        os.link(maildir / "new/1", maildir / "new/2")
        (maildir / "backup/deep").mkdir(parents=True)
        (maildir / "backup/deep/file").touch()

    deep = {f"{BOBS}/backup/deep/file": (0, 0, 0o600), f"{BOBS}/.Shared": (0, 0, 0o777)}
    changed = changes(mailbox_host(tmp_path, change, owners=WHOLE | deep))
    assert not {path for path in changed if "Shared" in path or "deep" in path or "new/" in path}


def test_switched_off_test_makes_a_wrong_group_advice(tmp_path: Path) -> None:
    host = mailbox_host(
        tmp_path,
        lambda root: (root / "etc/courier/imapd").write_text("IMAP_MAILBOX_SANITY_CHECK=0\n"),
        owners={BOBS: (900, 0, 0o700)},
    )
    (finding,) = issue.check(host)
    assert finding.severity == Severity.LOW
    assert "its test is switched off" in finding.detail


def test_switched_off_test_does_not_help_against_the_kernel(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "etc/courier/imapd").write_text("IMAP_MAILBOX_SANITY_CHECK=0\n")

    (finding,) = issue.check(mailbox_host(tmp_path, change, owners={BOBS: (0, 0, 0o700)}))
    assert finding.severity is None


def test_home_with_the_same_owner_leaves_open_who_is_right(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, owners={"/srv/mail/bob": (901, 901, 0o700), BOBS: (901, 901, 0o700)})
    (finding,) = issue.check(host)
    assert not finding.fixable
    assert "look which number is right" in finding.detail


def test_maildir_behind_a_link_is_not_given_away(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / BOBS[1:]).rename(root / "srv/mail/bob/real")
        (root / BOBS[1:]).symlink_to("/srv/mail/bob/real")

    (finding,) = issue.check(mailbox_host(tmp_path, change, owners={"/srv/mail/bob/real": (0, 0, 0o700)}))
    assert (finding.where, finding.fixable) == (BOBS, False)


def test_maildir_that_accounts_with_other_ids_share_is_nobodys(tmp_path: Path) -> None:
    other = f"sales@virt.example.test\t901\t901\t/srv/mail/bob\t{BOBS}\t\n"
    assert found(issue, mailbox_host(tmp_path, accounts=BOB + other)) == {}


def test_missing_maildir_is_another_issue(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, lambda root: (root / ALICES[1:]).rename(root / "home/alice/elsewhere"))
    assert found(issue, host) == {}


def test_bound_is_told_and_what_it_leaves_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "MAX_ENTRIES", 3)
    owners = dict(WHOLE)
    (tmp_path / "first").mkdir()
    host = mailbox_host(tmp_path / "first", message, owners=owners)
    assert "only 3 entries are given back at once" in found(issue, host)[BOBS]
    changed = changes(host)
    assert len(changed) == 3
    (tmp_path / "second").mkdir()
    owners |= dict.fromkeys(changed, (900, 900, 0o700))
    host = mailbox_host(tmp_path / "second", message, owners=owners)
    assert changes(host).keys() == WHOLE.keys() - changed.keys()
