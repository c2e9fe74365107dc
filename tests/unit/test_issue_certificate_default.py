"""The certificate that the package made is advice; any other one is clear, whoever has signed it."""

from __future__ import annotations

from pathlib import Path

from pemfiles import DEFAULT_SUBJECT, dated
from tlshost import audited, put, tls_host

from courierlib.issues import certificate_default as issue

IMAPD = "/etc/courier/imapd.pem"


def test_the_packages_own_is_found_and_nothing_repairs_it(tmp_path: Path) -> None:
    put(tls_host(tmp_path), IMAPD, dated(subject=DEFAULT_SUBJECT))
    found, actions = audited(tmp_path, issue)
    assert {where: each.detail for where, each in found.items()} == {
        IMAPD: "self-signed, made by the package for localhost (imapd-ssl)"
    }
    assert actions == []


def test_a_self_signed_certificate_of_ones_own_is_clear(tmp_path: Path) -> None:
    assert audited(tls_host(tmp_path), issue) == ({}, [])


def test_a_certificate_from_an_authority_is_clear_whatever_its_subject(tmp_path: Path) -> None:
    put(tls_host(tmp_path), IMAPD, dated(subject=DEFAULT_SUBJECT, issuer="Example CA"))
    assert audited(tmp_path, issue) == ({}, [])
