"""userdb-stale compares userdb with what makeuserdb has made of it."""

from __future__ import annotations

import os
from pathlib import Path

import gdbmfiles
import pytest
from authhost import auth_host, write
from spoolhost import action_facts

from courierlib import authlib
from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import userdb_stale as issue

USERDB = "/etc/courier/userdb"


def host_with(root: Path, *, age: float = 100, made: float = 0, modules: str = "authuserdb authpam") -> Host:
    """userdb, ``age`` seconds old, and files made of it ``made`` seconds ago."""
    host = auth_host(root, modules)
    write(root, USERDB, "bob\tuid=900\n", 0o600, age)
    write(root, f"{USERDB}.dat", "", 0o644, made)
    write(root, f"{USERDB}shadow.dat", "", 0o600, made)
    return host


def test_files_made_after_the_last_change_are_clear(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path)))


def test_a_later_change_is_found_and_compiled(tmp_path: Path) -> None:
    host = host_with(tmp_path, age=0, made=7300)
    (finding,) = issue.check(host)
    assert finding.detail == "changed 2 hours after makeuserdb: new accounts and passwords are unknown"
    (run,) = action_facts(issue.fix(host, [finding]))
    assert (run.command, run.makes) == (("/usr/sbin/makeuserdb",), (f"{USERDB}.dat", f"{USERDB}shadow.dat"))


@pytest.mark.parametrize("name", ["userdb.dat", "userdbshadow.dat"])
def test_a_missing_file_is_found(tmp_path: Path, name: str) -> None:
    host = host_with(tmp_path)
    (tmp_path / "etc/courier" / name).unlink()
    (finding,) = issue.check(host)
    assert finding.detail == f"no /etc/courier/{name}: none of its accounts can log in"


def test_permissions_that_makeuserdb_refuses_are_mended_first(tmp_path: Path) -> None:
    host = host_with(tmp_path, age=0, made=60)
    (tmp_path / "etc/courier/userdb").chmod(0o644)
    shut, run = action_facts(issue.fix(host, list(issue.check(host))))
    assert (shut.kind, shut.path, shut.mode, run.kind) == ("SetOwnership", USERDB, 0o600, "RunProgram")


def test_accounts_that_would_be_lost_need_leave(tmp_path: Path) -> None:
    host = host_with(tmp_path, age=0, made=60)
    write(tmp_path, USERDB, "", 0o600)
    gdbmfiles.write(tmp_path / "etc/courier/userdb.dat", {"bob": "uid=900", "eve": "uid=901"})
    os.utime(tmp_path / "etc/courier/userdb.dat", (0, 0))
    (finding,) = issue.check(host)
    assert finding.detail.endswith("; not in it any more: bob, eve")
    (run,) = action_facts(issue.fix(host, [finding]))
    assert run.allow == "drop-entries"
    write(tmp_path, USERDB, "# ours\neve\tuid=901\nbob\tuid=900|home=/srv", 0o600)
    (run,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert run.allow == ""


def test_a_change_in_a_directory_below_is_found(tmp_path: Path) -> None:
    host = auth_host(tmp_path, "authuserdb")
    for path, age in ((f"{USERDB}/staff/bob", 0), (f"{USERDB}.dat", 50), (f"{USERDB}shadow.dat", 50)):
        write(tmp_path, path, "", 0o600, age)
    (finding,) = issue.check(host)
    assert "new accounts and passwords are unknown" in finding.detail
    assert finding.severity is None


def test_a_file_that_went_is_advice(tmp_path: Path) -> None:
    host = auth_host(tmp_path, "authuserdb")
    for path, age in ((f"{USERDB}/bob", 90), (f"{USERDB}.dat", 50), (f"{USERDB}shadow.dat", 50)):
        write(tmp_path, path, "", 0o600, age)
    os.utime(tmp_path / "etc/courier/userdb")
    (finding,) = issue.check(host)
    assert (finding.detail, finding.severity) == ("a file came or went in it after makeuserdb", Severity.LOW)


def test_what_an_editor_leaves_there_is_not_read(tmp_path: Path) -> None:
    host = auth_host(tmp_path, "authuserdb")
    paths = ((f"{USERDB}/bob", 90), (f"{USERDB}/.bob.swp", 0), (f"{USERDB}.dat", 50), (f"{USERDB}shadow.dat", 50))
    for path, age in paths:
        write(tmp_path, path, "", 0o600, age)
    then = (tmp_path / "etc/courier/userdb.dat").stat().st_mtime - 10
    os.utime(tmp_path / "etc/courier/userdb", (then, then))
    assert not list(issue.check(host))


def test_a_symbolic_link_cannot_be_compiled(tmp_path: Path) -> None:
    host = host_with(tmp_path, age=0, made=60)
    (tmp_path / "etc/courier/userdb").rename(tmp_path / "etc/courier/elsewhere")
    (tmp_path / "etc/courier/userdb").symlink_to("elsewhere")
    (finding,) = issue.check(host)
    assert (finding.fixable, finding.detail.endswith("makeuserdb refuses a symbolic link")) == (False, True)


def test_clear_where_nobody_asks_it(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, age=0, made=60, modules="authpam")))


def test_a_bound_that_was_met_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authlib, "MAX_FILES", 1)
    host = auth_host(tmp_path, "authuserdb")
    write(tmp_path, f"{USERDB}/bob", "", 0o600)
    (finding,) = issue.check(host)
    assert finding.detail.endswith("only 1 files were looked at")
