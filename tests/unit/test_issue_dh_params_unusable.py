"""DH parameters that couriertls cannot read are found by what its TLS library can read, and replaced."""

from __future__ import annotations

import os

import pytest
from installation import install
from pemfiles import FFDHE, dh_der, pair, pem_block, weak_dh

from courierlib import dh
from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import dh_params_unusable as unusable

P = dh.prime("ffdhe2048")
FILE = "/etc/courier/dhparams.pem"
NO_LIBRARY_READS = {
    "empty": b"",
    "garbage": b"hello\n",
    "X9.42": FFDHE.replace(b"DH PARA", b"X9.42 DH PARA"),
    "cut off": FFDHE[:-60],
    "four numbers": pem_block(dh_der(P, 2, b"\x02\x01\x01" * 2)),
    "garbage behind the numbers": pem_block(dh_der(P, 2) + b"\0\1"),
    "generator 0": pem_block(dh_der(P, 0)),
    "65536 bits": pem_block(dh_der((1 << 65535) + 1, 2)),
    "a certificate": pair(),
    "broken block first": weak_dh()[:-40] + FFDHE,
}
ONLY_OPENSSL_MINDS = {
    "damaged END line": FFDHE.replace(b"END DH PARAMETERS-----", b"END DH PARAMETERS---"),
    "indented": b"  " + FFDHE.replace(b"\n", b"\n  "),
    "CR": FFDHE.replace(b"\n", b"\r"),
    "EC PARAMETERS first": pem_block(b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", "EC PARAMETERS") + FFDHE,
    "negative": pem_block(dh_der(-P, 2)),
    "even": pem_block(dh_der(P - 1, 2)),
    "4": pem_block(dh_der(4, 2)),
    "generator 1": pem_block(dh_der(P, 1)),
}


@pytest.fixture(params=["openssl", "gnutls"])
def root(request, tmp_path):
    install(tmp_path, library=request.param)
    for name in ("esmtpd", "imapd", "pop3d"):
        (tmp_path / f"etc/courier/{name}.pem").write_bytes(pair())
    (tmp_path / "etc/courier/dhparams.pem").write_bytes(FFDHE)
    return tmp_path


def findings(root):
    return list(unusable.check(Host(str(root))))


def is_openssl(root):
    return Host(str(root)).tls_library == "openssl"


def repair(root, **options):
    host = Host(str(root))
    actions = list(unusable.fix(host, [finding for finding in unusable.check(host) if finding.fixable], **options))
    for action in actions:
        path = root / action.path.lstrip("/")
        path.write_bytes(action.edit(path.read_bytes() if path.exists() else None))
    return actions


def test_sound_parameters_are_clear(root):
    assert findings(root) == []
    (root / "etc/courier/dhparams.pem").write_bytes(weak_dh())
    assert findings(root) == []


@pytest.mark.parametrize("content", [*NO_LIBRARY_READS.values()], ids=[*NO_LIBRARY_READS])
def test_what_no_library_reads_is_found_on_every_host(root, content):
    (root / "etc/courier/dhparams.pem").write_bytes(content)
    (finding,) = findings(root)
    assert finding.where == FILE
    assert finding.severity == (None if is_openssl(root) else Severity.LOW)
    assert "(esmtpd, esmtpd-msa, esmtpd-ssl, imapd-ssl, pop3d-ssl)" in finding.detail


@pytest.mark.parametrize("content", [*ONLY_OPENSSL_MINDS.values()], ids=[*ONLY_OPENSSL_MINDS])
def test_what_gnutls_takes_is_found_on_openssl_only(root, content):
    (root / "etc/courier/dhparams.pem").write_bytes(content)
    assert [finding.where for finding in findings(root)] == ([FILE] if is_openssl(root) else [])


@pytest.mark.parametrize("name", [name for name in (*NO_LIBRARY_READS, *ONLY_OPENSSL_MINDS) if name != "a certificate"])
def test_fix_leaves_nothing_to_find(root, name):
    content = {**NO_LIBRARY_READS, **ONLY_OPENSSL_MINDS}[name]
    (root / "etc/courier/dhparams.pem").write_bytes(content)
    repair(root, group="ffdhe4096")
    assert findings(root) == []


def test_certificate_in_its_place_is_never_written_over(root):
    (root / "etc/courier/dhparams.pem").write_bytes(pair())
    (finding,) = findings(root)
    (action,) = unusable.fix(Host(str(root)), [finding])
    with pytest.raises(unusable.tlsfiles.Refused):
        action.edit(pair())


def test_missing_file_is_made_with_owner_and_mode_of_the_certificate(root):
    (root / "etc/courier/dhparams.pem").unlink()
    os.chmod(root / "etc/courier/esmtpd.pem", 0o640)
    # Whoever runs the tests is the mail user here, so that the certificate has an owner that the host knows.
    (root / "etc/passwd").write_text(f"courier:x:{os.getuid()}:{os.getgid()}::/var/lib/courier:/x\n")
    (root / "etc/group").write_text(f"courier:x:{os.getgid()}:\n")
    (finding,) = findings(root)
    assert finding.detail.startswith("no such file (esmtpd, ")
    (action,) = repair(root)
    assert action.new_file.mode == 0o640
    assert (action.new_file.user, action.new_file.group) == ("courier", "courier")
    assert (root / "etc/courier/dhparams.pem").read_bytes() == dh.FFDHE3072_PEM


def test_missing_file_without_certificate_is_made_as_mkdhparams_does(root):
    for name in ("dhparams", "esmtpd", "imapd", "pop3d"):
        (root / f"etc/courier/{name}.pem").unlink()
    (action,) = repair(root)
    assert (action.new_file.user, action.new_file.mode) == ("courier", 0o600)


def test_missing_file_is_only_advice_where_the_certificate_has_parameters(root):
    (root / "etc/courier/dhparams.pem").unlink()
    for name in ("esmtpd", "imapd", "pop3d"):
        (root / f"etc/courier/{name}.pem").write_bytes(pair() + FFDHE)
    (finding,) = findings(root)
    assert finding.severity is Severity.LOW


def test_dangling_link_is_reported_and_left(root):
    (root / "etc/courier/dhparams.pem").unlink()
    os.symlink("/nowhere/dhparams.pem", root / "etc/courier/dhparams.pem")
    (finding,) = findings(root)
    assert not finding.fixable
    assert "/nowhere/dhparams.pem" in finding.detail


def test_fifo_directory_and_loop_are_reported_and_left(root):
    path = root / "etc/courier/dhparams.pem"
    path.unlink()
    for make in (os.mkfifo, os.mkdir, lambda where: os.symlink("dhparams.pem", where)):
        make(path)
        (finding,) = findings(root)
        assert (finding.where, finding.fixable) == (FILE, False)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_file_that_may_be_meant_for_something_else_is_left(root):
    (root / "etc/courier/imapd-ssl").write_text(
        "TLS_CERTFILE=/etc/courier/imapd.pem\nTLS_DHPARAMS=/etc/courier/courierd\n"
    )
    (finding,) = findings(root)
    assert (finding.where, finding.fixable) == ("/etc/courier/courierd", False)


def test_setting_that_is_not_set_is_advice(root):
    (root / "etc/courier/imapd-ssl").write_text("TLS_CERTFILE=/etc/courier/imapd.pem\n")
    (finding,) = findings(root)
    assert (finding.where, finding.severity, finding.fixable) == ("/etc/courier/imapd.pem", Severity.LOW, False)
    assert "TLS_DHPARAMS is not set" in finding.detail


def test_several_blocks_are_advice_and_become_one(root):
    (root / "etc/courier/dhparams.pem").write_bytes(FFDHE + weak_dh())
    (finding,) = findings(root)
    assert finding.severity is Severity.LOW
    repair(root)
    assert (root / "etc/courier/dhparams.pem").read_bytes() == dh.FFDHE3072_PEM


@pytest.mark.parametrize("root", ["openssl"], indirect=True)
def test_unusable_block_in_the_certificate_that_counts_is_replaced_in_place(root):
    (root / "etc/courier/imapd-ssl").write_text("TLS_CERTFILE=/etc/courier/imapd.pem\n")
    (root / "etc/courier/imapd.pem").write_bytes(pair() + pem_block(dh_der(P, 1)) + pair("ec"))
    (finding,) = findings(root)
    assert (finding.where, finding.severity) == ("/etc/courier/imapd.pem", None)
    repair(root)
    assert (root / "etc/courier/imapd.pem").read_bytes() == pair() + dh.FFDHE3072_PEM + pair("ec")


def test_group_that_is_none_is_refused_by_name(root):
    (root / "etc/courier/dhparams.pem").unlink()
    with pytest.raises(ValueError, match="group='big'"):
        repair(root, group="big")
