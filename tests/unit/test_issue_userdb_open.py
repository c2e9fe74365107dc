"""userdb-open is what makeuserdb refuses, and passwords that others can read."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import auth_host, write
from spoolhost import action_facts

from courierlib.host import Host
from courierlib.issues import userdb_open as issue
from courierlib.issues import userdb_stale

USERDB = "/etc/courier/userdb"


def host_with(root: Path, mode: int = 0o600, shadow: int = 0o600, modules: str = "authuserdb") -> Host:
    host = auth_host(root, modules)
    write(root, USERDB, "bob\tuid=900\n", mode, 10)
    write(root, f"{USERDB}.dat", "", 0o644)
    write(root, f"{USERDB}shadow.dat", "", shadow)
    return host


def test_modes_as_they_are_made_are_clear(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path)))


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o610, 0o601])
def test_any_permission_of_others_is_found_and_taken_away(tmp_path: Path, mode: int) -> None:
    host = host_with(tmp_path, mode)
    (shut,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (shut.path, shut.mode) == (USERDB, 0o600)


def test_compiled_passwords_are_found_too(tmp_path: Path) -> None:
    host = host_with(tmp_path, shadow=0o644)
    (shut,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (shut.path, shut.mode) == (f"{USERDB}shadow.dat", 0o600)


def test_a_directory_is_shut_and_stays_one(tmp_path: Path) -> None:
    host = auth_host(tmp_path, "authuserdb")
    write(tmp_path, f"{USERDB}/bob", "", 0o644)
    (tmp_path / "etc/courier/userdb").chmod(0o755)
    (shut,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert shut.mode == 0o700


def test_both_repairs_of_userdb_ask_for_the_same(tmp_path: Path) -> None:
    host = host_with(tmp_path, 0o644)
    (tmp_path / "etc/courier/userdb.dat").unlink()
    one = list(issue.fix(host, list(issue.check(host))))
    other = list(userdb_stale.fix(host, list(userdb_stale.check(host))))
    assert one == other[:1]


def test_clear_where_nobody_asks_it(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, 0o644, modules="authpam")))
