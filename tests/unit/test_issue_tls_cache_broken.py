"""A session cache is judged by whether the user that opens it can open or make it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import dated
from tlshost import COURIER, ROOT, audited, own, put, tls_host

from courierlib.issue import Severity
from courierlib.issues import tls_cache_broken as issue

STOCK = "/var/lib/courier/couriersslimapcache"


def with_cache(root: Path, name: str, path: str, library: str = "gnutls") -> Path:
    if not (root / "etc").exists():
        tls_host(root, library)
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(f"TLS_CACHEFILE={path}\n")
    return root


@pytest.mark.parametrize("path", [STOCK, "", "/etc/cache"], ids=["stock", "none", "another directory"])
def test_a_cache_that_can_be_made_is_clear(tmp_path: Path, path: str) -> None:
    assert audited(with_cache(tmp_path, "imapd-ssl", path), issue) == ({}, [])


def test_a_directory_that_is_missing_is_found_and_the_packages_path_set(tmp_path: Path) -> None:
    found, (action,) = audited(with_cache(tmp_path, "imapd-ssl", "/var/cache/courier/x"), issue)
    (finding,) = found.values()
    assert finding.where == "/etc/courier/imapd-ssl:4"
    assert finding.detail == "TLS_CACHEFILE=/var/cache/courier/x: /var/cache/courier does not exist (imapd-ssl)"
    assert finding.severity is None
    assert action.edit(b"A=1\nTLS_CACHEFILE=/var/cache/courier/x\n") == f"A=1\nTLS_CACHEFILE={STOCK}\n".encode()
    assert (action.new, action.restarts) == (STOCK, ("imap", "imaps"))


def test_with_openssl_it_is_advice(tmp_path: Path) -> None:
    found, _ = audited(with_cache(tmp_path, "imapd-ssl", "/nowhere/x", "openssl"), issue)
    assert [finding.severity for finding in found.values()] == [Severity.LOW]


def test_a_directory_in_the_place_of_the_file_is_found(tmp_path: Path) -> None:
    (with_cache(tmp_path, "pop3d-ssl", "/var/lib/courier/cache") / "var/lib/courier/cache").mkdir()
    _, (action,) = audited(tmp_path, issue)
    assert (action.new, action.restarts) == ("/var/lib/courier/couriersslpop3cache", ("pop3", "pop3s"))


def test_the_other_name_is_taken_where_the_packages_have_them_the_other_way_round(tmp_path: Path) -> None:
    with_cache(tmp_path, "pop3d-ssl", STOCK)
    _, (action,) = audited(with_cache(tmp_path, "imapd-ssl", "/nowhere/x"), issue)
    assert action.new == "/var/lib/courier/couriersslpop3cache"


def test_smtps_cache_must_be_open_to_the_mail_user_and_is_left_to_the_operator(tmp_path: Path) -> None:
    with_cache(tmp_path, "esmtpd", "/etc/tls/cache")
    put(tmp_path, "/etc/tls/other", dated())
    own(tmp_path, {})
    found, actions = audited(tmp_path, issue)
    assert "courier cannot make a file in /etc/tls" in found["/etc/courier/esmtpd:6"].detail
    assert actions == []
    own(tmp_path, {"/etc/tls": (ROOT, COURIER, 0o770)})
    assert audited(tmp_path, issue) == ({}, [])
    put(tmp_path, "/etc/tls/cache", b"")
    own(tmp_path, {"/etc/tls": (ROOT, COURIER, 0o770), "/etc/tls/cache": (ROOT, ROOT, 0o600)})
    assert "courier cannot write to it" in audited(tmp_path, issue)[0]["/etc/courier/esmtpd:6"].detail


def test_a_setting_that_the_shell_computes_is_unknown_and_not_clear(tmp_path: Path) -> None:
    with_cache(tmp_path, "imapd-ssl", "$(hostname)")
    from courierlib.host import Host
    from courierlib.issue import Unknown

    assert [type(said) for said in issue.check(Host(str(tmp_path)))] == [Unknown]
