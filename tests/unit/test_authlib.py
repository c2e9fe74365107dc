"""authlib's parts are found as the host's own programs and settings say it."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import MODULES, auth_host

from courierlib import authlib
from courierlib.issue import Unknown


def test_modules_are_where_the_daemon_looks_for_them(tmp_path: Path) -> None:
    host = auth_host(tmp_path)
    assert authlib.module_directory(host) == MODULES
    elsewhere = "/usr/lib/x86_64-linux-gnu/courier-authlib"
    (tmp_path / "usr/lib/courier/courier-authlib/authdaemond").write_bytes(b"\x7fELF\0" + elsewhere.encode() + b"\0")
    assert authlib.module_directory(host) == elsewhere


def test_modules_are_in_a_known_place_where_no_daemon_tells(tmp_path: Path) -> None:
    host = auth_host(tmp_path)
    (tmp_path / "usr/sbin/authdaemond").unlink()
    assert authlib.module_directory(host) == MODULES


def test_where_modules_are_is_unknown_without_both(tmp_path: Path) -> None:
    host = auth_host(tmp_path)
    (tmp_path / "usr/sbin/authdaemond").unlink()
    (tmp_path / "usr/lib/courier-authlib").rename(tmp_path / "elsewhere")
    with pytest.raises(Unknown, match="where authdaemond looks for its modules"):
        authlib.module_directory(host)


def test_a_long_name_is_cut_as_authdaemond_does(tmp_path: Path) -> None:
    assert authlib.module_names(auth_host(tmp_path, "a" * 50 + "  authpam")) == ("a" * 40, "authpam")


def test_userdb_counts_only_where_it_is_asked(tmp_path: Path) -> None:
    files = {"/etc/courier/userdb": "bob\tuid=900\n"}
    assert authlib.userdb(auth_host(tmp_path, "authpam", files)) is None
    assert authlib.userdb(auth_host(tmp_path, "authuserdb")).path == "/etc/courier/userdb"


def test_a_directory_is_walked_without_dot_files_and_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"/etc/courier/userdb/{name}": "x\ty=z\n" for name in ("a", "sub/b", ".swp")}
    host = auth_host(tmp_path, "authuserdb", files)
    names = [path for path, found in authlib._walk(host, "/etc/courier/userdb") if found.kind == "file"]
    assert names == ["/etc/courier/userdb/a", "/etc/courier/userdb/sub/b"]
    assert not authlib.userdb(host).bounded
    monkeypatch.setattr(authlib, "MAX_FILES", 2)
    assert authlib.userdb(host).bounded


@pytest.mark.parametrize(
    ("modules", "content", "possible"),
    [
        ("authpam", "", False),
        ("authshadow authpwd", "", False),
        ("authpam authmysql", "", True),
        ("authuserdb", "bob\tuid=900|systempw=$1$x\n", False),
        ("authuserdb", "bob\tuid=900|hmac-md5pw=00\n", True),
    ],
)
def test_challenges_need_a_clear_or_prepared_password(
    tmp_path: Path, modules: str, content: str, possible: bool
) -> None:
    host = auth_host(tmp_path, modules, {"/etc/courier/userdb": content})
    assert authlib.has_challenge_passwords(host) is possible
