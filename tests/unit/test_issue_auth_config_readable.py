"""auth-config-readable is a password of the host's own in a file that everybody can read."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import auth_host, write
from spoolhost import action_facts

from courierlib.host import Host
from courierlib.issues import auth_config_readable as issue

SECRET = "hunter-two"
HOLDING = {
    "authmysqlrc": f"MYSQL_SERVER\tdb\nMYSQL_PASSWORD\t\t{SECRET}\n",
    "authpgsqlrc": f"PGSQL_CONNECTION \\\n\t  dbname=mail\t\\\n\t  password={SECRET}\n",
    "authldaprc": f"LDAP_BINDPW {SECRET}\n",
    "esmtpauthclient": f"# comment\nrelay.example.test,587 us {SECRET}\n",
}
SHIPPED = {
    "authmysqlrc": "MYSQL_PASSWORD\t\tadmin\n",
    "authpgsqlrc": "PGSQL_CONNECTION \\\n\t  password=admin\n",
    "authldaprc": "LDAP_BINDPW\t\ttoto\n",
    "esmtpauthclient": "# relay user password\n",
    "authsqliterc": "SQLITE_DATABASE /var/lib/courier/users.db\n",
}


def host_with(root: Path, name: str, content: str, mode: int = 0o644) -> Host:
    host = auth_host(root)
    write(root, f"/etc/courier/{name}", content, mode)
    return host


@pytest.mark.parametrize("name", HOLDING)
def test_a_password_that_everybody_can_read_is_found_without_being_told(tmp_path: Path, name: str) -> None:
    host = host_with(tmp_path, name, HOLDING[name])
    (finding,) = issue.check(host)
    assert finding.where == f"/etc/courier/{name}"
    (shut,) = action_facts(issue.fix(host, [finding]))
    assert shut.mode == 0o640
    assert SECRET not in f"{finding}{shut}"


def test_what_the_mail_user_reads_goes_to_its_group(tmp_path: Path) -> None:
    host = host_with(tmp_path, "esmtpauthclient", HOLDING["esmtpauthclient"], 0o604)
    (shut,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (shut.uid, shut.gid, shut.mode) == (None, 113, 0o640)


def test_what_root_alone_reads_keeps_its_owner(tmp_path: Path) -> None:
    host = host_with(tmp_path, "authmysqlrc", HOLDING["authmysqlrc"])
    (shut,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (shut.uid, shut.gid) == (None, None)


@pytest.mark.parametrize("name", HOLDING)
@pytest.mark.parametrize("mode", [0o640, 0o660, 0o600])
def test_a_shut_file_is_clear(tmp_path: Path, name: str, mode: int) -> None:
    assert not list(issue.check(host_with(tmp_path, name, HOLDING[name], mode)))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_it_comes_with_is_no_secret(tmp_path: Path, name: str) -> None:
    assert not list(issue.check(host_with(tmp_path, name, SHIPPED[name])))


def test_a_commented_password_is_none(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, "authmysqlrc", f"# MYSQL_PASSWORD {SECRET}\n")))


def test_the_name_of_a_column_is_no_password(tmp_path: Path) -> None:
    clause = "PGSQL_CHPASS_CLAUSE UPDATE popbox \\\n\tSET password = '$(newpass)'\n"
    assert not list(issue.check(host_with(tmp_path, "authpgsqlrc", SHIPPED["authpgsqlrc"] + clause)))


def test_a_directory_that_others_cannot_enter_hides_it(tmp_path: Path) -> None:
    host = host_with(tmp_path, "authmysqlrc", HOLDING["authmysqlrc"])
    (tmp_path / "etc/courier").chmod(0o750)
    assert not list(issue.check(host))
