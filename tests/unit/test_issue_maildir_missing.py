"""maildir-missing is found where a mail account has no usable Maildir, and not where nobody needs one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mailboxes import ALICES, BOBS, found, mailbox_host
from mailhost import ALICE, BOB, CAROL

from courierlib.issue import Severity, Unknown
from courierlib.issues import maildir_missing as issue
from courierlib.plan import MakeDirectory

NOTES = "srv/mail/bob/notes"
DAEMONS = "www-data\t33\t33\t/var/www\t\nnobody\t65534\t65534\t/nonexistent\t\ncourier\t107\t113\t/var/lib/courier\t\n"


def without(*paths: str):
    """A change that removes paths, and leaves something in bob's home."""

    def remove(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path.lstrip("/"))
        (root / NOTES).touch()

    return remove


def test_sound_maildirs_are_clear(tmp_path: Path) -> None:
    assert found(issue, mailbox_host(tmp_path)) == {}


def test_virtual_user_without_a_maildir(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, without(BOBS))
    (finding,) = issue.check(host)
    assert (finding.where, finding.severity, finding.fixable) == (BOBS, None, True)
    actions = list(issue.fix(host, [finding]))
    assert [(action.path, action.uid, action.gid, action.mode) for action in actions] == [
        (path, 900, 900, 0o700) for path in (BOBS, f"{BOBS}/cur", f"{BOBS}/new", f"{BOBS}/tmp")
    ]
    assert all(isinstance(action, MakeDirectory) and not action.allow for action in actions)


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, without(f"{BOBS}/new"))
    (finding,) = issue.check(host)
    assert finding.detail == "has no new: mail waits"
    assert [action.path for action in issue.fix(host, [finding])] == [f"{BOBS}/new"]


def test_maildir_without_cur_shows_an_empty_inbox(tmp_path: Path) -> None:
    (detail,) = found(issue, mailbox_host(tmp_path, without(f"{BOBS}/cur"))).values()
    assert detail == "has no cur: the inbox is empty, and POP3 logins fail"


def test_empty_home_may_be_one_that_is_not_mounted(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, lambda root: shutil.rmtree(root / BOBS[1:]))
    assert {action.allow for action in issue.fix(host, list(issue.check(host)))} == {"hidden-mailbox"}


def test_empty_maildir_may_be_a_mount_point(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, without(*(f"{BOBS}/{part}" for part in ("cur", "new", "tmp"))))
    assert {action.allow for action in issue.fix(host, list(issue.check(host)))} == {"hidden-mailbox"}


def test_file_system_of_fstab_that_is_not_mounted_is_left_to_the_operator(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        without(BOBS)(root)
        (root / "etc/fstab").write_text("# disks\nUUID=1 / ext4 defaults 0 1\nnas:/mail /srv/mail nfs defaults 0 0\n")
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/mounts").write_text("/dev/sda1 / ext4 rw 0 0\n")

    host = mailbox_host(tmp_path, change)
    assert {action.allow for action in issue.fix(host, list(issue.check(host)))} == {"hidden-mailbox"}
    (tmp_path / "proc/self/mounts").write_text("/dev/sda1 / ext4 rw 0 0\nnas:/mail /srv/mail nfs4 rw 0 0\n")
    assert {action.allow for action in issue.fix(host, list(issue.check(host)))} == {""}


def test_home_of_another_owner_is_not_repaired(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, without(BOBS), owners={"/srv/mail/bob": (0, 0, 0o755)})
    (finding,) = issue.check(host)
    assert not finding.fixable
    assert "belongs to uid 0, not to bob@virt.example.test (uid 900)" in finding.detail


def test_virtual_user_without_a_home(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, lambda root: shutil.rmtree(root / "srv/mail/bob"))
    (finding,) = issue.check(host)
    assert (finding.where, finding.fixable) == ("/srv/mail/bob", False)


def test_system_user_who_never_had_mail_is_advice(tmp_path: Path) -> None:
    (finding,) = issue.check(mailbox_host(tmp_path, without(ALICES)))
    assert (finding.where, finding.severity) == (ALICES, Severity.LOW)
    assert "the first message for alice would make a file of it" in finding.detail


@pytest.mark.parametrize("line", ["/var/mail/alice", "| /usr/bin/maildrop", "./Mail/inbox"])
def test_system_user_whose_mail_goes_elsewhere_needs_none(tmp_path: Path, line: str) -> None:
    assert found(issue, mailbox_host(tmp_path, without(ALICES), line=line)) == {}


def test_account_that_forwards_needs_none(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        without(ALICES, BOBS)(root)
        for home in ("home/alice", "srv/mail/bob"):
            (root / home / ".courier").write_text("&me@example.org\n")

    assert found(issue, mailbox_host(tmp_path, change)) == {}


def test_system_user_without_a_home_is_no_mail_account(tmp_path: Path) -> None:
    assert found(issue, mailbox_host(tmp_path, lambda root: shutil.rmtree(root / "home/alice"))) == {}


def test_daemons_that_authpam_lists_are_no_mail_accounts(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "var/www").mkdir(parents=True)
        with (root / "etc/passwd").open("a") as file:
            file.write("www-data:x:33:33::/var/www:/x\nnobody:x:65534:65534::/nonexistent:/x\n")

    assert found(issue, mailbox_host(tmp_path, change, accounts=DAEMONS)) == {}


def test_file_in_place_of_a_maildir_is_nobodys_to_move(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        without(ALICES)(root)
        (root / ALICES[1:]).write_text("From x\n\nhello\n")

    (finding,) = issue.check(mailbox_host(tmp_path, change))
    assert finding.detail == (
        "is a file of 14 bytes, not a directory: mail is appended to it, every login of alice fails"
    )
    assert (finding.severity, finding.fixable) == (None, False)


def test_link_to_nothing_is_not_made_a_directory(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        without(BOBS)(root)
        (root / BOBS[1:]).symlink_to("/mnt/mail/bob")

    (finding,) = issue.check(mailbox_host(tmp_path, change))
    assert (finding.detail.partition(":")[0], finding.fixable) == ("is a link to nothing", False)


def test_maildirpath_of_imapd_says_where_it_is(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "etc/courier/imapd").write_text("MAILDIRPATH=Mail\n")

    def moved(root: Path) -> None:
        change(root)
        (root / "srv/mail/carol/Maildir").rename(root / "srv/mail/carol/Mail")

    assert list(found(issue, mailbox_host(tmp_path / "one", change, accounts=CAROL))) == ["/srv/mail/carol/Mail"]
    assert found(issue, mailbox_host(tmp_path / "two", moved, accounts=CAROL)) == {}


def test_shared_maildir_of_different_users_is_not_repaired(tmp_path: Path) -> None:
    other = f"sales@virt.example.test\t901\t900\t/srv/mail/bob\t{BOBS}\t\n"
    (finding,) = issue.check(mailbox_host(tmp_path, without(BOBS), accounts=BOB + other))
    assert not finding.fixable
    assert "share it" in finding.detail


def test_tree_is_judged_by_passwd_and_the_rest_is_unknown(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, without(ALICES), running=False)
    results = list(issue.check(host))
    assert [finding.where for finding in results[:1]] == [ALICES]
    assert isinstance(results[1], Unknown), "authuserdb has accounts that only authdaemon knows"


def test_tree_without_homes_is_unknown(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, lambda root: shutil.rmtree(root / "home"), running=False)
    (tmp_path / "etc/courier/authdaemonrc").write_text('authmodulelist="authpam"\n')
    (unknown,) = issue.check(host)
    assert "homes: none of 1 is in" in unknown.reason


def test_too_many_accounts_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courierlib.maildirs.MAX_ACCOUNTS", 1)
    (unknown,) = issue.check(mailbox_host(tmp_path, accounts=ALICE + BOB))
    assert unknown.reason == "only the first 1 of 2 accounts were looked at"


@pytest.mark.parametrize("maildir", ["./Maildir/", "Maildir", "../bob//Maildir", f"{BOBS}/"])
def test_maildir_of_authlib_may_be_relative_to_the_home(tmp_path: Path, maildir: str) -> None:
    account = f"bob@virt.example.test\t900\t900\t/srv/mail/bob\t{maildir}\t\n"
    host = mailbox_host(tmp_path, without(f"{BOBS}/new"), accounts=account)
    assert list(found(issue, host)) == [BOBS]
