"""Delivery instructions are read as courierdeliver and maildrop read them; what replaces them does what it says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from mailhost import ALICE, CAROL, mail_host

from courierlib import delivery
from courierlib.delivery import Instruction, MaildropRun, parse
from courierlib.issue import Unknown
from courierlib.plan import Choose, EditFile, Refused, SetOwnership


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("/usr/bin/maildrop", MaildropRun("/usr/bin/maildrop")),
        ('/usr/bin/maildrop -w 90 -V 1 -d "${RECIPIENT}"', MaildropRun("/usr/bin/maildrop", "${RECIPIENT}")),
        ("maildrop -a -d$USER", MaildropRun("maildrop", "$USER", True)),
        ('maildrop -w90 -d ""', MaildropRun("maildrop")),
        ('preline maildrop "$HOME/.mailfilter"', MaildropRun("maildrop", filter="$HOME/.mailfilter", headers=True)),
        ('maildrop -A "$DTLINE" -f "$SENDER" -- filter 1', MaildropRun("maildrop", filter="filter", headers=True)),
        ("if test -f x; then exec maildrop .mailfilter; fi", MaildropRun("maildrop", filter=".mailfilter")),
        ("LANG=C /opt/bin/maildrop -M list", MaildropRun("/opt/bin/maildrop")),
    ],
)
def test_call_of_maildrop_is_taken_apart(command: str, run: MaildropRun) -> None:
    assert parse(f"| {command}") == (Instruction("command", command, (run,)),)


def test_lines_are_told_apart_as_courierdeliver_does() -> None:
    text = "# comment\n./Maildir/\n| a \\\n  b\n|| dotforward\n/var/mail/x\n&bob, carol\nerin@example.test\n"
    assert [(each.kind, each.text) for each in parse(text)] == [
        ("mailbox", "./Maildir"),
        ("command", "a \\\n  b"),
        ("command", "dotforward"),
        ("mailbox", "/var/mail/x"),
        ("forward", "bob, carol"),
        ("forward", "erin@example.test"),
    ]


@pytest.mark.parametrize("line", ["| $(which maildrop)", "| 'maildrop", "| (maildrop -d x)"])
def test_command_that_only_a_shell_could_take_apart_is_unknown(line: str) -> None:
    with pytest.raises(Unknown, match="maildrop"):
        parse(line)


@pytest.mark.parametrize(
    "line", ["./Maildir", "| /bin/sh /etc/courier/deliver-mailfilter\n./Maildir", "| procmail", ""]
)
def test_line_without_maildrop_has_no_calls_of_it(line: str) -> None:
    assert not any(instruction.runs for instruction in parse(line))


def test_accounts_with_a_maildir_or_instructions_of_their_own_are_not_concerned(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| maildrop")
    assert [account.name for account in delivery.concerned(host)] == ["alice", "carol@virt.example.test"]
    (tmp_path / "home/alice/.courier").write_text("./Maildir\n")
    (tmp_path / "srv/mail/carol/.courier").write_text("")
    assert [account.name for account in delivery.concerned(host)] == ["carol@virt.example.test"]


def test_choice_is_left_to_the_operator(tmp_path: Path) -> None:
    (choice,) = delivery.repair(mail_host(tmp_path, "| maildrop"), "")
    assert isinstance(choice, Choose)
    assert choice.option == "strategy=maildir|mailfilter|authdaemon"


def test_wrong_strategy_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"strategy: 'spool' is none of maildir, mailfilter, authdaemon"):
        list(delivery.repair(mail_host(tmp_path, "| maildrop"), "spool"))


def test_maildir_changes_one_setting_and_restarts_the_scheduler(tmp_path: Path) -> None:
    (action,) = delivery.repair(mail_host(tmp_path, "| maildrop"), "maildir")
    assert (action.path, action.setting, action.new) == ("/etc/courier/courierd", "DEFAULTDELIVERY", "./Maildir")
    assert (action.restarts, action.allow) == (("scheduler",), "")
    assert action.edit(b"DEFAULTDELIVERY='| maildrop'\n") == b"DEFAULTDELIVERY='./Maildir'\n"


def test_mailfilter_writes_the_script_before_the_line_that_names_it(tmp_path: Path) -> None:
    script, line = delivery.repair(mail_host(tmp_path, "| maildrop"), "mailfilter")
    assert script.path == "/etc/courier/deliver-mailfilter"
    assert b"/usr/bin/maildrop -A" in script.edit(None)
    assert line.edit(b"X=1\n") == b"X=1\nDEFAULTDELIVERY='| /bin/sh /etc/courier/deliver-mailfilter\n./Maildir'\n"


def test_reader_of_var_mail_without_a_maildir_is_moved_only_if_allowed(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| maildrop")
    (tmp_path / "var/mail/alice").write_text("From x\n")
    assert [action.allow for action in delivery.repair(host, "mailfilter")] == ["", ""]
    (tmp_path / "home/alice/Maildir/new").rmdir()
    assert [action.allow for action in delivery.repair(host, "mailfilter")] == ["no-maildir", "no-maildir"]


def test_authdaemon_opens_the_socket_only_if_allowed(tmp_path: Path) -> None:
    host = mail_host(tmp_path, '| maildrop -d "$RECIPIENT"')
    (tmp_path / "usr/lib/tmpfiles.d").mkdir()
    boot, now, default, line = delivery.repair(host, "authdaemon")
    assert boot.edit(None) == b"z /run/courier/authdaemon 0751 - - -\n"
    assert isinstance(now, SetOwnership)
    assert (now.path, now.mode, now.allow) == ("/run/courier/authdaemon", 0o751, "open-authdaemon-socket")
    assert isinstance(default, EditFile)
    assert default.edit(b'#DEFAULT="$HOME/Maildir"\nx\n') == b'DEFAULT="$HOME/Maildir"\nx\n'
    assert line.new == '| /usr/bin/maildrop -A "$DTLINE" -A "$RPLINE" -f "$SENDER" -a -d "$USER"'
    assert line.allow == ""
    assert boot.allow == "open-authdaemon-socket"


def test_authdaemon_does_not_turn_a_line_that_works_for_some_into_one_that_works_for_none(tmp_path: Path) -> None:
    actions = list(delivery.repair(mail_host(tmp_path, "| maildrop"), "authdaemon"))
    assert [action.allow for action in actions if getattr(action, "setting", "") == "DEFAULTDELIVERY"] == [
        "open-authdaemon-socket"
    ]


def test_authdaemon_with_an_open_socket_needs_no_leave(tmp_path: Path) -> None:
    host = mail_host(tmp_path, "| maildrop", socket=0o751)
    assert [(action.subject, action.allow) for action in delivery.repair(host, "authdaemon")] == [
        ("/etc/maildroprc DEFAULT", ""),
        ("/etc/courier/courierd DEFAULTDELIVERY", ""),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b'DEFAULT="$HOME/Maildir"\n'),
        (b"x\n", b'DEFAULT="$HOME/Maildir"\nx\n'),
        (b'a\n# DEFAULT="$HOME/Maildir"\nb', b'a\nDEFAULT="$HOME/Maildir"\nb'),
    ],
)
def test_default_mailbox_of_maildrop_is_set(before: bytes | None, after: bytes) -> None:
    assert delivery.with_default_mailbox(before) == after


def test_default_mailbox_that_somebody_has_set_stays() -> None:
    with pytest.raises(Refused):
        delivery.with_default_mailbox(b' DEFAULT = "/var/mail/x"\n')


@pytest.mark.parametrize(
    ("refused", "mode", "account"), [(True, 0o750, CAROL), (False, 0o751, CAROL), (True, 0o750, ALICE)]
)
def test_socket_is_judged_by_the_directory_it_is_in(tmp_path: Path, refused: bool, mode: int, account: str) -> None:
    host = mail_host(tmp_path, "| maildrop", account, socket=mode)
    assert delivery.socket_refuses(host, host.accounts[0]) is refused


MAILDROP = """#!/bin/sh
for last; do :; done
echo "$@" > args
shift 6
cat "$1" > recipe
exit ${STATUS:-0}
"""


@pytest.fixture
def deliver(tmp_path: Path):
    """Run the script as courierd would, in a home of its own, with a stand-in for maildrop that records its call."""
    (tmp_path / "maildrop").write_text(MAILDROP)
    (tmp_path / "maildrop").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    script = delivery.SCRIPT.replace("@MAILDROP@", str(tmp_path / "maildrop"))
    (tmp_path / "script").write_text(script.replace("@SITE@", str(tmp_path / "maildroprc")))
    (tmp_path / "tmp").mkdir()

    def run(status: int = 0) -> int:
        environment = {
            **{"HOME": str(home), "USER": "carol", "DTLINE": "Delivered-To: carol", "RPLINE": "Return-Path: <>"},
            **{"SENDER": "", "PATH": os.environ["PATH"], "STATUS": str(status), "TMPDIR": str(tmp_path / "tmp")},
        }
        return subprocess.run(["/bin/sh", tmp_path / "script"], cwd=home, env=environment, check=False).returncode

    run.home = home
    run.site = tmp_path / "maildroprc"
    run.left = lambda: list((tmp_path / "tmp").iterdir())
    return run


def test_account_without_a_filter_is_left_to_courier(deliver) -> None:
    deliver.site.write_text("# only a comment\n\n")
    assert deliver() == 0
    assert not (deliver.home / "args").exists()


def test_filter_gets_courier_home_and_headers(deliver) -> None:
    (deliver.home / ".mailfilter").touch(mode=0o600)
    assert deliver() == 99
    assert (deliver.home / "args").read_text().startswith("-A Delivered-To: carol -A Return-Path: <> -f  /")
    assert (deliver.home / "args").read_text().endswith(f" {deliver.home} carol /bin/sh ./Maildir\n")
    recipe = 'HOME="$1"\nLOGNAME="$2"\nSHELL="$3"\nDEFAULT="$4"\ninclude "$HOME/.mailfilter"\n'
    assert (deliver.home / "recipe").read_text() == recipe
    assert deliver.left() == []


def test_site_filter_comes_before_the_account_filter(deliver) -> None:
    deliver.site.write_text("VERBOSE=1\n")
    assert deliver() == 99
    assert (deliver.home / "recipe").read_text().endswith(f'DEFAULT="$4"\ninclude "{deliver.site}"\n')
    (deliver.home / ".mailfilter").touch(mode=0o600)
    assert deliver() == 99
    assert (deliver.home / "recipe").read_text().endswith(f'include "{deliver.site}"\ninclude "$HOME/.mailfilter"\n')


@pytest.mark.parametrize("status", [67, 75, 77, 99])
def test_what_maildrop_decides_is_passed_on(deliver, status: int) -> None:
    (deliver.home / ".mailfilter").touch(mode=0o600)
    assert deliver(status) == status
    assert deliver.left() == []


def test_filter_that_others_may_read_or_write_defers(deliver) -> None:
    (deliver.home / ".mailfilter").touch()
    (deliver.home / ".mailfilter").chmod(0o620)
    assert deliver() == 75


def test_filter_that_points_nowhere_defers(deliver) -> None:
    (deliver.home / ".mailfilter").symlink_to("gone")
    assert deliver() == 75


def test_sticky_home_defers_as_with_maildrop_itself(deliver) -> None:
    deliver.home.chmod(0o1700)
    assert deliver() == 75
