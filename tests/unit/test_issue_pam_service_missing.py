"""pam-service-missing is a file that PAM does not find, where what it takes instead denies."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import auth_host, write
from spoolhost import action_facts

from courierlib.host import Host
from courierlib.issues import pam_service_missing as issue
from courierlib.plan import Refused

DENIES = "auth\trequired\tpam_deny.so\naccount required pam_deny.so\n"
DEBIAN = "# fallback\n@include common-auth\n@include common-account\n"


def host_with(root: Path, *present: str, other: str | None = DENIES, modules: str = "authpam") -> Host:
    host = auth_host(root, modules)
    for name in (*present, "common-auth", "common-account"):
        write(root, f"/etc/pam.d/{name}", "x\n")
    if other is not None:
        write(root, "/etc/pam.d/other", other)
    return host


def test_files_that_are_there_are_clear(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, "imap", "pop3")))


def test_a_missing_file_is_found_with_who_asks_and_written(tmp_path: Path) -> None:
    host = host_with(tmp_path, "pop3")
    (finding,) = issue.check(host)
    assert finding.where == "/etc/pam.d/imap"
    assert finding.detail == ("missing, and /etc/pam.d/other denies: no system user can log in at imapd and imapd-ssl")
    (edit,) = action_facts(issue.fix(host, [finding]))
    assert edit.edit(None).startswith(b"@include common-auth\n@include common-account\n")
    with pytest.raises(Refused):
        edit.edit(b"auth required pam_ldap.so\n")


def test_debians_fallback_does_no_harm(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, other=DEBIAN)))


@pytest.mark.parametrize("other", ["#auth required pam_deny.so\n" + DEBIAN, "session required pam_deny.so\n" + DEBIAN])
def test_a_deny_that_does_not_count_does_no_harm(tmp_path: Path, other: str) -> None:
    assert not list(issue.check(host_with(tmp_path, other=other)))


def test_no_fallback_at_all_denies(tmp_path: Path) -> None:
    found = {finding.where for finding in issue.check(host_with(tmp_path, other=None))}
    assert found == {"/etc/pam.d/imap", "/etc/pam.d/pop3"}


def test_another_service_by_authservice_is_asked_for(tmp_path: Path) -> None:
    host = host_with(tmp_path, "imap", "pop3")
    write(tmp_path, "/etc/courier/imapd", "AUTHSERVICE993=imaps\n")
    (finding,) = issue.check(host)
    assert (finding.where, finding.detail.endswith(" at imapd-ssl")) == ("/etc/pam.d/imaps", True)


def test_esmtp_is_asked_for_only_where_auth_is_offered(tmp_path: Path) -> None:
    host = host_with(tmp_path, "imap", "pop3")
    write(tmp_path, "/etc/courier/esmtpd-msa", 'ESMTPAUTH_TLS="PLAIN LOGIN"\n')
    (finding,) = issue.check(host)
    assert (finding.where, finding.detail.endswith(" at esmtpd-msa")) == ("/etc/pam.d/esmtp", True)


def test_files_of_a_vendor_count(tmp_path: Path) -> None:
    host = host_with(tmp_path, "pop3")
    write(tmp_path, "/usr/lib/pam.d/imap", "x\n")
    assert not list(issue.check(host))


def test_not_repaired_without_the_files_that_debian_includes(tmp_path: Path) -> None:
    host = host_with(tmp_path, "pop3")
    (tmp_path / "etc/pam.d/common-auth").unlink()
    (finding,) = issue.check(host)
    assert not finding.fixable


def test_clear_without_authpam(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, modules="authuserdb")))
