"""Line ends of PEM files: an error where the TLS library stumbles over them, advice elsewhere."""

from __future__ import annotations

import os

import pytest
from installation import install
from pemfiles import FFDHE, pair

from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import pem_line_ends as line_ends
from courierlib.plan import Refused

CR = pair().replace(b"\n", b"\r")


@pytest.fixture(params=["openssl", "gnutls"])
def root(request, tmp_path):
    install(tmp_path, library=request.param)
    for name in ("esmtpd", "imapd", "pop3d"):
        (tmp_path / f"etc/courier/{name}.pem").write_bytes(pair())
    (tmp_path / "etc/courier/dhparams.pem").write_bytes(FFDHE)
    return tmp_path


def findings(root):
    return list(line_ends.check(Host(str(root))))


def severity_where_it_hurts(root):
    return None if Host(str(root)).tls_library == "openssl" else Severity.LOW


def test_unix_line_ends_are_clear(root):
    assert findings(root) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CR, "CR-only"),
        (CR + pair("ec"), "mixed"),
        (pair() + pair("ec").replace(b"\n", b"\r"), "mixed"),
        (pair().replace(b"\n", b"\r\n") + pair("ec").replace(b"\n", b"\r"), "mixed"),
    ],
    ids=["CR", "CR, then LF", "LF, then CR", "CRLF, then CR"],
)
def test_carriage_return_alone_is_an_error_for_openssl(root, content, words):
    (root / "etc/courier/imapd.pem").write_bytes(content)
    (finding,) = findings(root)
    assert finding.where == "/etc/courier/imapd.pem"
    assert finding.detail.startswith(f"{words} line ends: ") and finding.detail.endswith("(imapd-ssl)")
    assert finding.severity is severity_where_it_hurts(root)


@pytest.mark.parametrize(
    "content",
    [pair().replace(b"\n", b"\r\n"), pair().replace(b"\n", b"\r\n", 5), pair().replace(b"\n", b"\r\r\n")],
    ids=["CRLF", "some CRLF", "CR CR LF"],
)
def test_windows_line_ends_are_advice(root, content):
    (root / "etc/courier/imapd.pem").write_bytes(content)
    (finding,) = findings(root)
    assert finding.severity is Severity.LOW
    assert "harmless here" in finding.detail


def test_file_that_services_share_is_one_finding(root):
    (root / "etc/courier/esmtpd.pem").write_bytes(CR)
    (finding,) = findings(root)
    assert finding.detail.endswith("(esmtpd, esmtpd-msa, esmtpd-ssl)")


def test_private_key_and_files_of_names_are_looked_at(root):
    (root / "etc/courier/pop3d-ssl").write_text(
        "TLS_CERTFILE=/etc/courier/pop3d.pem\nTLS_PRIVATE_KEYFILE=/etc/courier/pop3d.key\n"
    )
    for name in ("pop3d.key", "pop3d.pem.pop.example.test", "pop3d.key.pop.example.test"):
        (root / "etc/courier" / name).write_bytes(CR)
    assert [finding.where for finding in findings(root)] == [
        "/etc/courier/pop3d.key",
        "/etc/courier/pop3d.pem.pop.example.test",
        "/etc/courier/pop3d.key.pop.example.test",
    ]


def test_fix_writes_the_same_blocks_with_unix_line_ends(root):
    path = root / "etc/courier/imapd.pem"
    path.write_bytes(b"text\r" + CR)
    (action,) = line_ends.fix(Host(str(root)), findings(root))
    path.write_bytes(action.edit(path.read_bytes()))
    assert path.read_bytes() == b"text\n" + pair()
    assert findings(root) == []


def test_fix_refuses_a_file_that_became_another_one_meanwhile(root):
    (root / "etc/courier/imapd.pem").write_bytes(CR)
    (action,) = line_ends.fix(Host(str(root)), findings(root))
    for content in (None, b"", CR[:-30]):
        with pytest.raises(Refused):
            action.edit(content)


def test_damaged_file_is_reported_and_not_repairable(root):
    (root / "etc/courier/imapd.pem").write_bytes(CR[:-30])
    (finding,) = findings(root)
    assert not finding.fixable


def test_file_of_certbot_is_reported_and_not_repairable(root):
    live = root / "etc/letsencrypt/live/mail"
    live.mkdir(parents=True)
    (live / "all.pem").write_bytes(CR)
    (root / "etc/courier/imapd-ssl").write_text("TLS_CERTFILE=/etc/letsencrypt/live/mail/all.pem\n")
    (finding,) = findings(root)
    assert not finding.fixable
    assert "certbot" in finding.detail


def test_file_that_cannot_be_looked_at_is_unknown_and_a_missing_one_is_not(root):
    (root / "etc/courier/imapd.pem").unlink()
    assert findings(root) == []
    os.mkfifo(root / "etc/courier/imapd.pem")
    (answer,) = findings(root)
    assert isinstance(answer, Unknown) and "/etc/courier/imapd.pem" in answer.reason


def test_file_without_a_block_is_left_to_the_other_issue(root):
    (root / "etc/courier/imapd.pem").write_bytes(b"hello\rworld\r")
    assert findings(root) == []
