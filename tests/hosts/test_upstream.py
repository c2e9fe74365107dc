"""Courier built from upstream's tarball and installed under its own prefix is audited like any other."""

from __future__ import annotations

import subprocess

import pytest
import roots

from courierlib import audit, catalogue
from courierlib.host import Host


@pytest.fixture(scope="module")
def upstream(lab):
    with roots.merged(roots.base(roots.UPSTREAM)) as root:
        yield root


@pytest.mark.hosts_all
def test_a_fresh_installation_has_no_finding_but_the_certificates_it_lacks(upstream):
    host = Host(str(upstream))
    report = audit.report(host, catalogue.load().values(), "")
    assert report["courier"] | {"root": ""} == {"installed": True, "version": "1.4.1", "tls": "openssl", "root": ""}
    # Its start script makes certificates and DH parameters when it first runs (read: courier.sysvinit.in, 1.4.1).
    assert {finding["id"] for finding in report["findings"]} <= {"pem-unreadable", "dh-params-unusable"}
    assert all("needs the running host" in unknown["reason"] for unknown in report["unknown"])


@pytest.mark.hosts_all
def test_short_parameters_and_line_ends_are_found_where_upstream_keeps_them(upstream):
    share = upstream / "usr/lib/courier/share"
    subprocess.run(["openssl", "dhparam", "-out", share / "dhparams.pem", "1024"], check=True, capture_output=True)
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "-"]
    pem = subprocess.run(key, check=True, capture_output=True).stdout
    (share / "imapd.pem").write_bytes(pem.replace(b"\n", b"\r"))
    report = audit.report(Host(str(upstream)), catalogue.load().values(), "")
    found = {(finding["id"], finding["where"]) for finding in report["findings"]}
    assert ("dh-params-weak", "/usr/lib/courier/share/dhparams.pem") in found
    assert ("pem-line-ends", "/usr/lib/courier/share/imapd.pem") in found
