"""A private key that any account can read is found, and closed where the file is Courier's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import certificate, dated, key
from tlshost import COURIER, ROOT, SSL_CERT, audited, link, own, put, tls_host

from courierlib.issues import key_unreadable_for_mailuser, key_world_readable

IMAPD, ESMTPD = "/etc/courier/imapd.pem", "/etc/courier/esmtpd.pem"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tls_host(tmp_path)


def test_keys_that_only_root_and_the_mail_group_read_are_clear(root: Path) -> None:
    assert audited(root, key_world_readable) == ({}, [])


def test_a_key_of_imaps_keeps_its_group(root: Path) -> None:
    own(root, {IMAPD: (ROOT, ROOT, 0o644)})
    found, (action,) = audited(root, key_world_readable)
    assert found[IMAPD].detail == "a private key that everybody can read: root:root 0644 (imapd-ssl)"
    assert (action.path, action.gid, action.mode, action.new) == (IMAPD, None, 0o640, "root:root 0640")


def test_a_key_of_smtps_stays_readable_for_the_mail_user(root: Path) -> None:
    own(root, {ESMTPD: (ROOT, ROOT, 0o644)})
    _, (action,) = audited(root, key_world_readable)
    assert (action.gid, action.mode) == (COURIER, 0o640)


def test_two_issues_ask_for_the_same(root: Path) -> None:
    # The mail group's bits come before everybody's.
    own(root, {ESMTPD: (ROOT, COURIER, 0o604)})
    (closing,) = audited(root, key_world_readable)[1]
    (opening,) = audited(root, key_unreadable_for_mailuser)[1]
    assert closing == opening


def test_a_certificate_without_a_key_may_be_read_by_everybody(root: Path) -> None:
    put(root, ESMTPD, certificate())
    put(root, "/etc/courier/esmtpd.key", key())
    with open(root / "etc/courier/esmtpd", "a", encoding="utf-8") as file:
        file.write("TLS_PRIVATE_KEYFILE=/etc/courier/esmtpd.key\n")
    own(root, {ESMTPD: (ROOT, ROOT, 0o644)})
    assert audited(root, key_world_readable) == ({}, [])
    own(root, {"/etc/courier/esmtpd.key": (ROOT, COURIER, 0o644)})
    assert set(audited(root, key_world_readable)[0]) == {"/etc/courier/esmtpd.key"}


def test_a_directory_that_nobody_may_pass_protects_the_key(root: Path) -> None:
    put(root, "/etc/ssl/private/mail.pem", dated())
    link(root, IMAPD, "/etc/ssl/private/mail.pem")
    private = {"/etc/ssl/private/mail.pem": (ROOT, ROOT, 0o644)}
    own(root, {**private, "/etc/ssl/private": (ROOT, SSL_CERT, 0o710)})
    assert audited(root, key_world_readable) == ({}, [])
    own(root, private)
    found, actions = audited(root, key_world_readable)
    assert (found[IMAPD].fixable, actions) == (False, [])


def test_a_group_of_somebody_elses_is_not_taken_away(root: Path) -> None:
    own(root, {ESMTPD: (ROOT, SSL_CERT, 0o644)})
    found, actions = audited(root, key_world_readable)
    assert (found[ESMTPD].fixable, actions) == (False, [])


def test_files_for_names_count(root: Path) -> None:
    put(root, f"{IMAPD}.mail.example.test", dated())
    own(root, {f"{IMAPD}.mail.example.test": (ROOT, ROOT, 0o644)})
    assert set(audited(root, key_world_readable)[0]) == {f"{IMAPD}.mail.example.test"}
