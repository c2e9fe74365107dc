"""dotcourier-world-writable is found where Courier refuses delivery instructions; what others wrote is not trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailboxes import found, mailbox_host

from courierlib.host import Host
from courierlib.issues import dotcourier_world_writable as issue

FILE = "/home/alice/.courier"
OPEN_HOME = {"/home/alice": (1000, 1000, 0o755)}


def host_with(root: Path, content: str = "./Maildir\n", name: str = FILE, mode: int = 0o666, **more) -> Host:
    owners = {name: (1000, 1000, mode)} | more.pop("owners", {})
    return mailbox_host(root, lambda root: (root / name[1:]).write_text(content), owners=owners, **more)


@pytest.mark.parametrize("name", [FILE, f"{FILE}-sales", f"{FILE}-default"])
def test_file_that_everybody_may_write_is_found(tmp_path: Path, name: str) -> None:
    host = host_with(tmp_path, name=name)
    (finding,) = issue.check(host)
    assert (finding.where, finding.detail) == (name, "mode 0666: mail that it is for waits")
    (action,) = issue.fix(host, [finding])
    assert (action.mode, action.uid, action.allow) == (0o664, None, "")


def test_empty_file_is_refused_too(tmp_path: Path) -> None:
    assert len(found(issue, host_with(tmp_path, ""))) == 1


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o660])
def test_other_modes_are_clear(tmp_path: Path, mode: int) -> None:
    assert found(issue, host_with(tmp_path, mode=mode)) == {}


@pytest.mark.parametrize("name", ["/home/alice/.courierrc", "/home/alice/courier", "/home/alice/.forward"])
def test_other_files_are_clear(tmp_path: Path, name: str) -> None:
    assert found(issue, host_with(tmp_path, name=name)) == {}


def test_home_that_everybody_may_write_is_not_what_courier_looks_at(tmp_path: Path) -> None:
    host = host_with(tmp_path, mode=0o600, owners={"/home/alice": (1000, 1000, 0o777)})
    assert found(issue, host) == {}


@pytest.mark.parametrize("content", ["| /bin/sh\n", "&me@example.org\n", "./Maildir\n|vacation\n", "| `maildrop`\n"])
def test_program_or_address_that_others_may_have_written_needs_leave(tmp_path: Path, content: str) -> None:
    host = host_with(tmp_path, content, owners=OPEN_HOME)
    assert [action.allow for action in issue.fix(host, list(issue.check(host)))] == ["trust-dotcourier"]


def test_mailbox_in_an_open_home_needs_none(tmp_path: Path) -> None:
    host = host_with(tmp_path, "# mine\n./Maildir\n", owners=OPEN_HOME)
    assert [action.allow for action in issue.fix(host, list(issue.check(host)))] == [""]


def test_program_in_a_home_that_nobody_else_enters_needs_none(tmp_path: Path) -> None:
    host = host_with(tmp_path, "| /bin/true\n")
    assert [action.allow for action in issue.fix(host, list(issue.check(host)))] == [""]


def test_what_a_link_points_to_counts_and_is_left_alone(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "home/alice/real").write_text("./Maildir\n")
        (root / FILE[1:]).symlink_to("real")

    (finding,) = issue.check(mailbox_host(tmp_path, change, owners={"/home/alice/real": (1000, 1000, 0o666)}))
    assert (finding.where, finding.fixable) == (FILE, False)


def test_dotextension_names_the_file(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "etc/courier/dotextension").write_text("qmail\n")
        (root / "home/alice/.qmail").write_text("./Maildir\n")
        (root / FILE[1:]).write_text("./Maildir\n")

    owners = {"/home/alice/.qmail": (1000, 1000, 0o666), FILE: (1000, 1000, 0o666)}
    assert list(found(issue, mailbox_host(tmp_path, change, owners=owners))) == ["/home/alice/.qmail"]


def test_aliases_have_instructions_too(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "etc/courier/aliasdir").mkdir()
        (root / "etc/courier/aliasdir/.courier-default").write_text("&alice\n")
        (root / "etc/courier/aliasdir/.courier-default").chmod(0o646)

    assert list(found(issue, mailbox_host(tmp_path, change))) == ["/etc/courier/aliasdir/.courier-default"]
