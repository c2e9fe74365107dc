"""authmodule-missing compares authmodulelist with the libraries that are there."""

from __future__ import annotations

from pathlib import Path

from authhost import MODULES, auth_host

from courierlib.issue import Severity
from courierlib.issues import authmodule_missing as issue


def test_installed_modules_are_clear(tmp_path: Path) -> None:
    assert not list(issue.check(auth_host(tmp_path, "authuserdb authpam")))


def test_the_only_module_that_is_missing_is_grave(tmp_path: Path) -> None:
    (finding,) = issue.check(auth_host(tmp_path, "authmysql"))
    assert finding.where == "/etc/courier/authdaemonrc authmodulelist authmysql"
    assert finding.detail == f"no libauthmysql.so in {MODULES}; no other module is left"
    assert (finding.severity, finding.fixable) == (None, False)


def test_a_module_that_was_set_up_is_grave_beside_others(tmp_path: Path) -> None:
    (finding,) = issue.check(auth_host(tmp_path, "authmysql authpam", {"/etc/courier/authmysqlrc": ""}))
    assert (finding.detail, finding.severity) == (f"no libauthmysql.so in {MODULES}; left are authpam", None)


def test_a_module_that_was_never_set_up_is_a_leftover(tmp_path: Path) -> None:
    (finding,) = issue.check(auth_host(tmp_path, "authpam authldap"))
    assert finding.severity is Severity.LOW


def test_a_dangling_link_is_no_module(tmp_path: Path) -> None:
    host = auth_host(tmp_path, "authpipe")
    (tmp_path / f"{MODULES[1:]}/libauthpipe.so.0").symlink_to("libauthpipe.so.0.0.0")
    assert list(issue.check(host))


def test_an_empty_list_is_found(tmp_path: Path) -> None:
    (finding,) = issue.check(auth_host(tmp_path, ""))
    assert "names no module" in finding.detail


def test_the_list_for_webadmin_does_not_count(tmp_path: Path) -> None:
    assert not list(issue.check(auth_host(tmp_path, more='authmodulelistorig="authldap authmysql"\n')))
