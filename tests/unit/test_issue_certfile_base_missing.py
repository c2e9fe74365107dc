"""A TLS_CERTFILE that is missing beside files for names is found once, and linked where it is clear to which."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import certificate, dated, key
from tlshost import audited, link, own, put, tls_host

from courierlib.issues import certfile_base_missing as issue
from courierlib.issues import pem_unreadable

IMAPD, ESMTPD = "/etc/courier/imapd.pem", "/etc/courier/esmtpd.pem"
NAME = "mail.example.test"


def only_for_names(root: Path, base: str, *names: str) -> Path:
    (root / base[1:]).unlink()
    for name in names:
        put(root, f"{base}.{name}", dated())
    own(root, {})
    return root


@pytest.mark.parametrize("library", ["gnutls", "openssl"])
def test_one_file_for_a_name_is_linked_to(tmp_path: Path, library: str) -> None:
    root = only_for_names(tls_host(tmp_path, library), IMAPD, NAME)
    found, (action,) = audited(root, issue)
    assert found[IMAPD].detail == f"no such file, beside 1 for names: {NAME} (imapd-ssl)"
    assert (action.path, action.target) == (IMAPD, f"imapd.pem.{NAME}")
    assert audited(root, pem_unreadable) == ({}, [])


def test_among_several_that_for_the_hosts_own_name_is_linked_to(tmp_path: Path) -> None:
    root = only_for_names(tls_host(tmp_path), ESMTPD, "a.example.test", NAME)
    found, actions = audited(root, issue)
    assert (found[ESMTPD].fixable, actions) == (False, [])
    put(root, "/etc/courier/me", f"{NAME}\n".encode())
    _, (action,) = audited(root, issue)
    assert action.target == f"esmtpd.pem.{NAME}"


@pytest.mark.parametrize("name", ["expired", "20261101", "backup"])
def test_a_copy_is_not_linked_to(tmp_path: Path, name: str) -> None:
    found, actions = audited(only_for_names(tls_host(tmp_path), IMAPD, name), issue)
    assert (found[IMAPD].fixable, actions) == (False, [])


def test_the_private_key_is_linked_to_as_well(tmp_path: Path) -> None:
    root = only_for_names(tls_host(tmp_path), IMAPD)
    put(root, f"{IMAPD}.{NAME}", certificate())
    put(root, f"/etc/courier/imapd.key.{NAME}", key())
    with open(root / "etc/courier/imapd-ssl", "a", encoding="utf-8") as file:
        file.write("TLS_PRIVATE_KEYFILE=/etc/courier/imapd.key\n")
    actions = audited(root, issue)[1]
    assert [(each.path, each.target) for each in actions] == [
        (IMAPD, f"imapd.pem.{NAME}"),
        ("/etc/courier/imapd.key", f"imapd.key.{NAME}"),
    ]


def test_a_dangling_link_is_left_to_the_operator(tmp_path: Path) -> None:
    root = only_for_names(tls_host(tmp_path), IMAPD, NAME)
    link(root, IMAPD, "/etc/ssl/gone.pem")
    found, actions = audited(root, issue)
    assert "a link to /etc/ssl/gone.pem, which does not exist" in found[IMAPD].detail
    assert (found[IMAPD].fixable, actions) == (False, [])


@pytest.mark.parametrize(
    ("library", "base", "hurts"), [("gnutls", IMAPD, 0), ("openssl", IMAPD, 1), ("gnutls", ESMTPD, 1)]
)
def test_a_file_for_an_address_is_enough_for_imap_with_gnutls(tmp_path: Path, library, base, hurts) -> None:
    root = only_for_names(tls_host(tmp_path, library), base, "192.0.2.7", NAME)
    assert len(audited(root, issue)[0]) == hurts


def test_a_certificate_that_is_missing_altogether_is_left_to_pem_unreadable(tmp_path: Path) -> None:
    root = only_for_names(tls_host(tmp_path), IMAPD)
    assert audited(root, issue) == ({}, [])
    assert set(audited(root, pem_unreadable)[0]) == {IMAPD}


def test_leftovers_of_editors_are_no_names(tmp_path: Path) -> None:
    root = only_for_names(tls_host(tmp_path), IMAPD, "bak", "old")
    assert audited(root, issue) == ({}, [])


def test_a_link_that_leads_to_a_file_is_clear(tmp_path: Path) -> None:
    root = only_for_names(tls_host(tmp_path), IMAPD, NAME)
    link(root, IMAPD, f"imapd.pem.{NAME}")
    assert audited(root, issue) == ({}, [])
