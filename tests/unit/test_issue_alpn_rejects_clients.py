"""A TLS_ALPN that refuses more clients than it says, or its own, is found; the shipped ones are not."""

from __future__ import annotations

import pytest
from installation import install

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import alpn_rejects_clients as alpn

FILE = "/etc/courier/imapd-ssl"


@pytest.fixture(params=["gnutls", "openssl"])
def root(request, tmp_path):
    install(tmp_path, library=request.param)
    with open(tmp_path / "usr/bin/couriertls", "ab") as binary:
        binary.write(b"TLS_ALPN\0")
    return tmp_path


def put(root, line, name="imapd-ssl"):
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def findings(root):
    return list(alpn.check(Host(str(root))))


def test_shipped_values_are_clear(root):
    assert findings(root) == []
    put(root, "TLS_ALPN=imap")
    put(root, "TLS_ALPN=pop3", "pop3d-ssl")
    assert findings(root) == []


@pytest.mark.parametrize("value", ["@o,imap", "imap @O", "imap,@optional"])
def test_optional_is_not(root, value):
    put(root, f'TLS_ALPN="{value}"')
    (finding,) = findings(root)
    assert finding.where == f"{FILE} TLS_ALPN" and "@o has no effect" in finding.detail


@pytest.mark.parametrize("value", ["imap,http/1.1", "@s,imap", "@o", "foo@o,imap", "'imap imap4'"])
def test_own_protocol_among_others_is_clear(root, value):
    put(root, f"TLS_ALPN={value}")
    assert findings(root) == []


def test_missing_own_protocol_is_found_for_each_daemon(root):
    put(root, "TLS_ALPN=imaps")
    put(root, "TLS_ALPN=imap", "pop3d-ssl")
    assert {finding.where: "offer imap are" in finding.detail for finding in findings(root)} == {
        f"{FILE} TLS_ALPN": True,
        "/etc/courier/pop3d-ssl TLS_ALPN": False,
    }


def test_no_protocol_is_registered_for_smtp(root):
    put(root, "TLS_ALPN=smtp", "esmtpd")
    assert findings(root) == []


def test_couriertls_that_does_not_know_it_is_clear(tmp_path):
    put(install(tmp_path), "TLS_ALPN=@o,imap")
    assert findings(tmp_path) == []


def test_value_that_only_a_shell_could_tell_is_unknown(root):
    put(root, "TLS_ALPN=$(cat /etc/alpn)")
    (unknown,) = findings(root)
    assert isinstance(unknown, Unknown)


@pytest.mark.parametrize("value, left", [("@o,imap", "#TLS_ALPN=@o,imap"), ("imaps", "TLS_ALPN=imap")])
def test_repair_does_what_was_meant(root, value, left):
    put(root, f"TLS_ALPN={value}")
    host = Host(str(root))
    (action,) = alpn.fix(host, list(alpn.check(host)))
    assert (action.subject, action.allow) == (f"{FILE} TLS_ALPN", "")
    assert action.restarts == ("imap", "imaps")
    path = root / FILE.lstrip("/")
    path.write_bytes(action.edit(path.read_bytes()))
    assert path.read_text().endswith(left + "\n")
    assert findings(root) == []
