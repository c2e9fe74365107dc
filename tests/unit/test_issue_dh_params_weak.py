"""Weak DH parameters are found where an OpenSSL couriertls takes them from, and replaced in place."""

from __future__ import annotations

import os

import pytest
from installation import install
from pemfiles import FFDHE, pair, weak_dh

from courierlib import dh, pem
from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import dh_params_weak as weak


@pytest.fixture
def root(tmp_path):
    """An OpenSSL host on which nothing is wrong."""
    install(tmp_path, library="openssl")
    for name in ("esmtpd", "imapd", "pop3d"):
        (tmp_path / f"etc/courier/{name}.pem").write_bytes(pair())
    (tmp_path / "etc/courier/dhparams.pem").write_bytes(FFDHE)
    return tmp_path


def findings(root):
    return list(weak.check(Host(str(root))))


def repaired(root, **options):
    """Carry the edits out as the engine would; returns the paths."""
    host = Host(str(root))
    actions = list(weak.fix(host, [finding for finding in weak.check(host) if finding.fixable], **options))
    for action in actions:
        path = root / action.path.lstrip("/")
        path.write_bytes(action.edit(path.read_bytes() if path.exists() else None))
    return [action.path for action in actions]


def test_sound_parameters_are_clear(root):
    assert findings(root) == []


def test_short_prime_is_one_finding_that_names_its_services(root):
    (root / "etc/courier/dhparams.pem").write_bytes(weak_dh())
    (finding,) = findings(root)
    assert finding.where == "/etc/courier/dhparams.pem"
    assert finding.detail == "1024-bit prime, clients want 2048 (esmtpd, esmtpd-msa, esmtpd-ssl, imapd-ssl, pop3d-ssl)"
    assert finding.severity is None


def test_composite_is_found(root):
    (root / "etc/courier/dhparams.pem").write_bytes(weak_dh(dh.prime("ffdhe2048") + 2))
    (finding,) = findings(root)
    assert "is not prime" in finding.detail


def test_gnutls_replaces_the_prime_so_that_the_problem_cannot_occur(root):
    (root / "usr/bin/couriertls").write_bytes(b"\x7fELF libgnutls.so.30\0")
    (root / "etc/courier/dhparams.pem").write_bytes(weak_dh())
    assert findings(root) == []


def test_block_in_the_certificate_counts_if_the_setting_is_not_set(root):
    (root / "etc/courier/imapd-ssl").write_text("TLS_CERTFILE=/etc/courier/imapd.pem\n")
    (root / "etc/courier/imapd.pem").write_bytes(pair() + weak_dh())
    (finding,) = findings(root)
    assert (finding.where, finding.severity) == ("/etc/courier/imapd.pem", None)
    assert "(imapd-ssl)" in finding.detail


def test_block_in_the_certificate_counts_if_the_file_is_missing(root):
    (root / "etc/courier/dhparams.pem").unlink()
    (root / "etc/courier/pop3d.pem").write_bytes(pair() + weak_dh())
    assert [finding.where for finding in findings(root)] == ["/etc/courier/pop3d.pem"]


def test_block_in_the_certificate_is_not_used_beside_sound_parameters(root):
    (root / "etc/courier/imapd.pem").write_bytes(pair() + weak_dh())
    assert findings(root) == []


def test_block_in_the_file_of_a_name_is_only_advice_with_openssl_3(root):
    (root / "etc/courier/imapd.pem.mail.example.test").write_bytes(pair() + weak_dh())
    (finding,) = findings(root)
    assert (finding.where, finding.severity) == ("/etc/courier/imapd.pem.mail.example.test", Severity.LOW)


def test_block_in_the_file_of_a_name_counts_fully_before_openssl_3(root):
    (root / "usr/bin/couriertls").write_bytes(b"\x7fELF libssl.so.1.1\0")
    (root / "etc/courier/imapd.pem.mail.example.test").write_bytes(pair() + weak_dh())
    (finding,) = findings(root)
    assert finding.severity is None


def test_block_in_the_file_of_a_name_counts_fully_without_other_parameters(root):
    (root / "etc/courier/dhparams.pem").unlink()
    (root / "etc/courier/imapd.pem.mail.example.test").write_bytes(pair() + weak_dh())
    (finding,) = findings(root)
    assert finding.severity is None


def test_first_of_several_blocks_counts(root):
    (root / "etc/courier/dhparams.pem").write_bytes(weak_dh() + FFDHE)
    assert len(findings(root)) == 1
    (root / "etc/courier/dhparams.pem").write_bytes(FFDHE + weak_dh())
    assert findings(root) == []


def test_unusable_parameters_are_not_called_weak(root):
    (root / "etc/courier/dhparams.pem").write_bytes(b"garbage\n")
    assert findings(root) == []


def test_certificate_that_cannot_be_looked_at_is_unknown_where_its_parameters_would_count(root):
    (root / "etc/courier/imapd.pem").unlink()
    os.mkfifo(root / "etc/courier/imapd.pem")
    assert findings(root) == []
    (root / "etc/courier/dhparams.pem").unlink()
    (answer,) = findings(root)
    assert isinstance(answer, Unknown) and "/etc/courier/imapd.pem" in answer.reason


def test_setting_computed_by_the_shell_is_unknown(root):
    (root / "etc/courier/imapd-ssl").write_text("TLS_CERTFILE=`hostname`.pem\n")
    with pytest.raises(Unknown):
        findings(root)


@pytest.mark.parametrize("group", dh.GROUPS)
def test_fix_writes_the_named_group(root, group):
    (root / "etc/courier/dhparams.pem").write_bytes(b"DH Parameters: (1024 bit)\n" + weak_dh())
    assert repaired(root, group=group) == ["/etc/courier/dhparams.pem"]
    assert (root / "etc/courier/dhparams.pem").read_bytes() == dh.pem(group)
    assert findings(root) == []


def test_fix_replaces_the_block_inside_a_certificate_and_nothing_else(root):
    (root / "etc/courier/dhparams.pem").unlink()
    before = b"issued to us\r\n" + pair().replace(b"\n", b"\r\n")
    after = pair("ec") + b"text without end"
    old = weak_dh().replace(b"\n", b"\r\n")
    (root / "etc/courier/imapd.pem").write_bytes(before + old + after.replace(b"\n", b"\r\n"))
    repaired(root)
    new = dh.FFDHE3072_PEM.replace(b"\n", b"\r\n")
    assert (root / "etc/courier/imapd.pem").read_bytes() == before + new + after.replace(b"\n", b"\r\n")
    assert findings(root) == []


def test_fix_of_a_setting_that_names_the_certificate_keeps_key_and_certificate(root):
    (root / "etc/courier/imapd-ssl").write_text(
        "TLS_CERTFILE=/etc/courier/imapd.pem\nTLS_DHPARAMS=/etc/courier/imapd.pem\n"
    )
    (root / "etc/courier/imapd.pem").write_bytes(pair() + weak_dh())
    repaired(root)
    assert (root / "etc/courier/imapd.pem").read_bytes() == pair() + dh.FFDHE3072_PEM


def test_group_that_is_none_is_refused_by_name(root):
    (root / "etc/courier/dhparams.pem").write_bytes(weak_dh())
    with pytest.raises(ValueError, match="group='ffdhe1024': one of ffdhe2048, ffdhe3072, ffdhe4096"):
        repaired(root, group="ffdhe1024")


def test_file_of_certbot_is_reported_and_never_edited(root):
    live = root / "etc/letsencrypt/live/mail"
    live.mkdir(parents=True)
    (live / "all.pem").write_bytes(pair() + weak_dh())
    (root / "etc/courier/dhparams.pem").unlink()
    (root / "etc/courier/imapd.pem").unlink()
    os.symlink("/etc/letsencrypt/live/mail/all.pem", root / "etc/courier/imapd.pem")
    (finding,) = findings(root)
    assert not finding.fixable
    assert "certbot" in finding.detail
    assert repaired(root) == []


def test_finding_says_nothing_of_the_private_key(root):
    (root / "etc/courier/dhparams.pem").unlink()
    (root / "etc/courier/imapd.pem").write_bytes(pair() + weak_dh())
    (finding,) = findings(root)
    said = repr(finding) + repr(list(weak.fix(Host(str(root)), [finding])))
    assert not any(line.decode() in said for block in (pair(),) for line in block.splitlines() if line[:5] != b"-----")
    assert pem.parse(pair()).blocks[0].digest not in said
