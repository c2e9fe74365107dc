"""A TLS_TRUSTCERTS that is needed and does not exist is found, and the host's only bundle is named instead."""

from __future__ import annotations

import os

import pytest
from installation import install

from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import trustcerts_path_gone as gone

FILE = "/etc/courier/courierd"
DEBIAN, FEDORA = gone.BUNDLES[0], gone.BUNDLES[1]


@pytest.fixture
def root(tmp_path):
    install(tmp_path)
    put(tmp_path, "ESMTP_USE_STARTTLS=1\nTLS_VERIFYPEER=NONE")
    return tmp_path


def put(root, lines, name="courierd"):
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(lines + "\n")


def bundle(root, path=DEBIAN):
    path = root / path.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    return path


def findings(root):
    return list(gone.check(Host(str(root))))


def test_path_that_exists_is_clear(root):
    put(root, f"TLS_TRUSTCERTS={DEBIAN}")
    bundle(root)
    assert findings(root) == []
    put(root, "TLS_TRUSTCERTS=/etc/ssl/certs")
    assert findings(root) == []


@pytest.mark.parametrize("lines", ["", "TLS_TRUSTCERTS=", "#TLS_TRUSTCERTS=/gone.pem"])
def test_no_path_is_clear(root, lines):
    put(root, lines)
    assert findings(root) == []


def test_path_that_is_gone_is_found(root):
    put(root, "TLS_TRUSTCERTS=/etc/pki/tls/cert.pem")
    bundle(root)
    (finding,) = findings(root)
    assert (finding.where, finding.severity, finding.fixable) == (f"{FILE} TLS_TRUSTCERTS", None, True)
    assert "/etc/pki/tls/cert.pem: no such file" in finding.detail and "MTA-STS" in finding.detail


def test_link_to_nothing_is_gone(root):
    put(root, "TLS_TRUSTCERTS=/etc/pki/tls/cert.pem")
    path = root / "etc/pki/tls/cert.pem"
    path.parent.mkdir(parents=True)
    os.symlink("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", path)
    assert len(findings(root)) == 1
    bundle(root, FEDORA)
    assert findings(root) == []


@pytest.mark.parametrize("line", ["TLS_VERIFYPEER=PEER", "TLS_VERIFYPEER=", "ESMTP_TLS_VERIFY_DOMAIN=1"])
def test_it_is_graver_where_servers_are_verified(root, line):
    put(root, f"TLS_TRUSTCERTS=/gone.pem\n{line}")
    (finding,) = findings(root)
    assert finding.severity == Severity.HIGH


def test_without_outgoing_tls_it_does_not_matter(root):
    put(root, "TLS_TRUSTCERTS=/gone.pem\nESMTP_USE_STARTTLS=0")
    assert findings(root) == []


def test_listener_needs_it_only_to_verify_clients(root):
    put(root, "TLS_TRUSTCERTS=/gone.pem\nTLS_VERIFYPEER=NONE", "imapd-ssl")
    assert findings(root) == []
    put(root, "TLS_VERIFYPEER=REQUIREPEER", "imapd-ssl")
    (finding,) = findings(root)
    assert finding.where == "/etc/courier/imapd-ssl TLS_TRUSTCERTS" and "(imapd-ssl)" in finding.detail


def test_value_that_only_a_shell_could_tell_is_unknown(root):
    put(root, "TLS_TRUSTCERTS=$(cat /etc/bundle)")
    (unknown,) = findings(root)
    assert isinstance(unknown, Unknown)


@pytest.mark.parametrize("bundles", [(), (DEBIAN, FEDORA)])
def test_without_one_bundle_the_operator_decides(root, bundles):
    put(root, "TLS_TRUSTCERTS=/gone.pem")
    for path in bundles:
        bundle(root, path)
    (finding,) = findings(root)
    assert not finding.fixable
    assert ("choose between" if bundles else "no bundle of certificates is installed") in finding.detail


def test_one_bundle_with_two_names_is_one(root):
    put(root, "TLS_TRUSTCERTS=/gone.pem")
    path = bundle(root, FEDORA)
    (root / "etc/ssl/certs").mkdir(parents=True)
    os.symlink(f"../../../{path.relative_to(root)}", root / DEBIAN.lstrip("/"))
    host = Host(str(root))
    (action,) = gone.fix(host, list(gone.check(host)))
    assert (action.subject, action.new, action.allow) == (f"{FILE} TLS_TRUSTCERTS", DEBIAN, "")
    assert action.restarts == ("scheduler",)
    conffile = root / FILE.lstrip("/")
    conffile.write_bytes(action.edit(conffile.read_bytes()))
    assert findings(root) == []
