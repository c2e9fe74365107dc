"""Certificates and keys that couriertls cannot use are found, and repaired if only their layout is at fault."""

from __future__ import annotations

import base64
import os

import pytest
from installation import install
from pemfiles import FFDHE, certificate, key, pair, pem_block

from courierlib import pem
from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import pem_unreadable as unreadable

GLUED = key().rstrip() + certificate()
IMAPD = "/etc/courier/imapd.pem"


@pytest.fixture(params=["openssl", "gnutls"])
def root(request, tmp_path):
    install(tmp_path, library=request.param)
    for name in ("esmtpd", "imapd", "pop3d"):
        (tmp_path / f"etc/courier/{name}.pem").write_bytes(pair())
    (tmp_path / "etc/courier/dhparams.pem").write_bytes(FFDHE)
    return tmp_path


def findings(root):
    return list(unreadable.check(Host(str(root))))


def repair(root):
    actions = list(unreadable.fix(Host(str(root)), [finding for finding in findings(root) if finding.fixable]))
    for action in actions:
        path = root / action.path.lstrip("/")
        path.write_bytes(action.edit(path.read_bytes()))
    return [action.path for action in actions]


def severity_where_it_hurts(root):
    return None if Host(str(root)).tls_library == "openssl" else Severity.LOW


def test_sound_files_are_clear(root):
    assert findings(root) == []


def test_line_ends_are_left_to_the_other_issue(root):
    for content in (pair().replace(b"\n", b"\r"), pair().replace(b"\n", b"\r\n")):
        (root / "etc/courier/imapd.pem").write_bytes(content)
        assert findings(root) == []


@pytest.mark.parametrize(
    "content",
    [
        GLUED,
        b"".join(b" " + line for line in pair().splitlines(keepends=True)),
        pair().replace(b"\n", b"\n\n"),
        GLUED.replace(b"\n", b"\r"),
    ],
    ids=["glued", "indented", "double spaced", "glued and CR"],
)
def test_layout_is_an_error_for_openssl_and_advice_for_gnutls_and_is_repaired(root, content):
    (root / "etc/courier/imapd.pem").write_bytes(content)
    (finding,) = findings(root)
    assert (finding.where, finding.fixable) == (IMAPD, True)
    assert finding.severity is severity_where_it_hurts(root)
    assert repair(root) == [IMAPD]
    assert (root / "etc/courier/imapd.pem").read_bytes().replace(b"\n\n", b"\n") == pair()
    assert findings(root) == []


def test_utf_16_is_repaired(root):
    (root / "etc/courier/imapd.pem").write_bytes(pair().decode().encode("utf-16"))
    (finding,) = findings(root)
    assert (finding.severity, finding.fixable) == (None, True)
    repair(root)
    assert (root / "etc/courier/imapd.pem").read_bytes() == pair()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing in it"),
        (b"hello\n", "no PEM block in it"),
        (pair()[:-200], "CERTIFICATE: no END line"),
        (certificate(), "no private key in it, only CERTIFICATE"),
        (key(), "no certificate in it, only PRIVATE KEY"),
        (key(passphrase=b"secret") + certificate(), "the private key asks for a passphrase"),
        (key(name="other") + certificate(), "the private key does not belong to the first certificate"),
        (key() + certificate("ec") + certificate(), "it belongs to certificate 2"),
    ],
    ids=["empty", "text", "cut off", "no key", "no certificate", "passphrase", "mismatch", "order"],
)
def test_what_is_not_there_cannot_be_repaired(root, content, words):
    (root / "etc/courier/imapd.pem").write_bytes(content)
    (finding,) = findings(root)
    assert words in finding.detail and "(imapd-ssl)" in finding.detail
    assert (finding.where, finding.severity, finding.fixable) == (IMAPD, None, False)
    assert repair(root) == []


def test_damaged_end_line_is_an_error_for_openssl_only(root):
    (root / "etc/courier/imapd.pem").write_bytes(pair().replace(b"END CERTIFICATE-----", b"END CERTIFICATE---"))
    if Host(str(root)).tls_library == "openssl":
        (finding,) = findings(root)
        assert "damaged END line" in finding.detail and not finding.fixable
    else:
        assert findings(root) == []


def test_byte_order_mark_and_second_key_are_advice(root):
    (root / "etc/courier/imapd.pem").write_bytes(b"\xef\xbb\xbf" + pair() + key("ec"))
    assert [finding.severity for finding in findings(root)] == [Severity.LOW, Severity.LOW]
    repair(root)
    assert ["2 private keys" in finding.detail for finding in findings(root)] == [True]


def test_key_file_of_its_own_is_read_with_the_certificate(root):
    (root / "etc/courier/imapd-ssl").write_text(f"TLS_CERTFILE={IMAPD}\nTLS_PRIVATE_KEYFILE=/etc/courier/imapd.key\n")
    (root / "etc/courier/imapd.pem").write_bytes(certificate())
    (root / "etc/courier/imapd.key").write_bytes(key())
    assert findings(root) == []
    (root / "etc/courier/imapd.key").write_bytes(key("ec"))
    (finding,) = findings(root)
    assert finding.where == "/etc/courier/imapd.key" and "does not belong" in finding.detail
    (root / "etc/courier/imapd.key").unlink()
    (finding,) = findings(root)
    assert finding.where == IMAPD and "no private key" in finding.detail


def test_file_of_a_name_has_its_key_in_it_unless_the_key_has_a_file_for_that_name(root):
    (root / "etc/courier/imapd-ssl").write_text(f"TLS_CERTFILE={IMAPD}\nTLS_PRIVATE_KEYFILE=/etc/courier/imapd.key\n")
    (root / "etc/courier/imapd.pem").write_bytes(certificate())
    (root / "etc/courier/imapd.key").write_bytes(key())
    name = "mail.example.test"
    (root / f"etc/courier/imapd.pem.{name}").write_bytes(certificate("ec"))
    (finding,) = findings(root)
    assert finding.where == f"{IMAPD}.{name}" and "no private key" in finding.detail
    (root / f"etc/courier/imapd.key.{name}").write_bytes(key("ec"))
    assert findings(root) == []


def test_file_of_an_address_falls_back_to_the_key_file_with_gnutls_only(root):
    (root / "etc/courier/imapd-ssl").write_text(f"TLS_CERTFILE={IMAPD}\nTLS_PRIVATE_KEYFILE=/etc/courier/imapd.key\n")
    (root / "etc/courier/imapd.pem").write_bytes(certificate())
    (root / "etc/courier/imapd.pem.192.0.2.1").write_bytes(certificate())
    (root / "etc/courier/imapd.key").write_bytes(key())
    where = [finding.where for finding in findings(root)]
    assert where == ([f"{IMAPD}.192.0.2.1"] if Host(str(root)).tls_library == "openssl" else [])


def test_shared_file_is_one_finding_that_names_its_services(root):
    (root / "etc/courier/esmtpd.pem").write_bytes(b"")
    (finding,) = findings(root)
    assert finding.detail == "nothing in it (esmtpd, esmtpd-msa, esmtpd-ssl)"


def test_missing_dangling_looping_and_special_files_are_reported(root):
    path = root / "etc/courier/imapd.pem"
    path.unlink()
    assert ["no such file" in finding.detail for finding in findings(root)] == [True]
    for make in (
        os.mkfifo,
        os.mkdir,
        lambda where: os.symlink("imapd.pem", where),
        lambda where: os.symlink("nowhere", where),
        lambda where: os.truncate(os.open(where, os.O_CREAT | os.O_WRONLY), 1 << 30),
    ):
        make(path)
        (finding,) = findings(root)
        assert (finding.where, finding.fixable) == (IMAPD, False)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_key_of_an_unknown_kind_is_unknown_and_not_clear(root):
    kind = bytes.fromhex("2a8648ce3d0201")
    known = base64.b64decode(b"".join(key("ec").splitlines()[1:-1]))
    assert kind in known
    unknown = pem_block(known.replace(kind, kind[:-1] + b"\x7f"), "PRIVATE KEY")
    (root / "etc/courier/imapd.pem").write_bytes(unknown + certificate("ec"))
    (answer,) = findings(root)
    assert isinstance(answer, Unknown) and IMAPD in answer.reason


def test_certbots_file_is_reported_and_not_repairable(root):
    live = root / "etc/letsencrypt/live/mail"
    live.mkdir(parents=True)
    (live / "all.pem").write_bytes(GLUED)
    (root / "etc/courier/imapd.pem").unlink()
    os.symlink("/etc/letsencrypt/live/mail/all.pem", root / "etc/courier/imapd.pem")
    (finding,) = findings(root)
    assert not finding.fixable and "certbot" in finding.detail


def test_nothing_that_is_said_shows_a_private_key(root):
    (root / "etc/courier/imapd.pem").write_bytes(key("ec") + certificate())
    (root / "etc/courier/pop3d.pem").write_bytes(GLUED)
    said = repr(findings(root)) + repr(list(unreadable.fix(Host(str(root)), findings(root))))
    secrets = {line.decode() for block in (key(), key("ec")) for line in block.splitlines()[1:-1]}
    assert not any(line in said for line in secrets)
    assert all(block.digest not in said for block in pem.parse(pair()).blocks)


@pytest.mark.parametrize(
    ("library", "needed", "severity"),
    [
        ("gnutls", b"libgnutls.so.30", Severity.LOW),
        ("openssl", b"libssl.so.3", Severity.LOW),
        ("openssl", b"libssl.so.1.1", None),
        ("openssl", b"libssl.so.1.0.0", None),
    ],
)
def test_byte_order_mark_is_advice_only_where_the_library_skips_it(tmp_path, library, needed, severity):
    install(tmp_path, library=library)
    (tmp_path / "usr/bin/couriertls").write_bytes(b"\x7fELF\0" + needed + b"\0")
    for name in ("esmtpd", "imapd", "pop3d"):
        (tmp_path / f"etc/courier/{name}.pem").write_bytes(pair())
    (tmp_path / "etc/courier/imapd.pem").write_bytes(b"\xef\xbb\xbf" + pair())
    (finding,) = findings(tmp_path)
    assert (finding.where, finding.severity, finding.fixable) == ("/etc/courier/imapd.pem", severity, True)
