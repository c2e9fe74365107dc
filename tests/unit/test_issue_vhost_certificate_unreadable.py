"""A file for a name that SMTP's couriertls would pass over is found, and opened where it is Courier's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import certificate, dated, key
from tlshost import COURIER, ROOT, audited, link, own, put, tls_host

from courierlib.issues import key_unreadable_for_mailuser
from courierlib.issues import vhost_certificate_unreadable as issue

NAMED = "/etc/courier/esmtpd.pem.mail.example.test"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tls_host(tmp_path)
    for path in (NAMED, "/etc/courier/imapd.pem.mail.example.test"):
        put(tmp_path, path, dated())
    own(tmp_path, {})
    return tmp_path


def test_files_that_a_deploy_hook_gave_to_the_mail_group_are_clear(root: Path) -> None:
    assert audited(root, issue) == ({}, [])


def test_a_file_for_root_alone_is_given_to_the_mail_group(root: Path) -> None:
    own(root, {NAMED: (ROOT, ROOT, 0o600)})
    found, (action,) = audited(root, issue)
    assert found[NAMED].detail == (
        "courier cannot read it: root:root 0600: clients get another certificate (esmtpd, esmtpd-msa, esmtpd-ssl)"
    )
    assert (action.path, action.gid, action.mode) == (NAMED, COURIER, 0o640)
    assert audited(root, key_unreadable_for_mailuser) == ({}, [])


def test_imaps_files_for_names_may_be_roots_alone(root: Path) -> None:
    own(root, {"/etc/courier/imapd.pem.mail.example.test": (ROOT, ROOT, 0o600)})
    assert audited(root, issue) == ({}, [])


def test_a_key_for_a_name_counts(root: Path) -> None:
    put(root, NAMED, certificate())
    put(root, "/etc/courier/esmtpd.key.mail.example.test", key())
    with open(root / "etc/courier/esmtpd", "a", encoding="utf-8") as file:
        file.write("TLS_PRIVATE_KEYFILE=/etc/courier/esmtpd.key\n")
    own(root, {"/etc/courier/esmtpd.key.mail.example.test": (ROOT, ROOT, 0o600)})
    found, _ = audited(root, issue)
    assert "the handshake fails" in found["/etc/courier/esmtpd.key.mail.example.test"].detail


def test_a_link_into_a_closed_directory_is_not_repaired(root: Path) -> None:
    put(root, "/etc/letsencrypt/live/mail.pem", dated())
    link(root, NAMED, "/etc/letsencrypt/live/mail.pem")
    own(root, {"/etc/letsencrypt/live": (ROOT, ROOT, 0o700)})
    found, actions = audited(root, issue)
    assert (found[NAMED].fixable, actions) == (False, [])
