"""TLS settings that this couriertls does not know any more are found, and commented out."""

from __future__ import annotations

import pytest
from installation import install

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import removed_tls_settings as removed

FILE = "/etc/courier/imapd-ssl"


def put(root, line, name="imapd-ssl"):
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def findings(root):
    return list(removed.check(Host(str(root))))


def test_shipped_settings_and_comments_are_clear(tmp_path):
    put(install(tmp_path), "# TLS_DHCERTFILE=/etc/courier/dh.pem\nTLS_DHCERTFILE=")
    assert findings(tmp_path) == []


@pytest.mark.parametrize("library", ["gnutls", "openssl"])
def test_removed_setting_is_found_with_its_successor(tmp_path, library):
    put(install(tmp_path, library=library), "TLS_DHCERTFILE=/etc/courier/dh.pem")
    (finding,) = findings(tmp_path)
    assert finding.where == f"{FILE} TLS_DHCERTFILE"
    assert "TLS_DHPARAMS took its place" in finding.detail


def test_couriertls_that_still_reads_it_makes_it_clear(tmp_path):
    put(install(tmp_path), "TLS_DHCERTFILE=/etc/courier/dh.pem")
    with open(tmp_path / "usr/bin/couriertls", "ab") as binary:
        binary.write(b"TLS_DHCERTFILE\0")
    assert findings(tmp_path) == []


def test_longer_name_in_couriertls_is_another_setting(tmp_path):
    put(install(tmp_path), "TLS_CERTS=X509")
    with open(tmp_path / "usr/bin/couriertls", "ab") as binary:
        binary.write(b"TLS_CERTSTORE\0")
    assert len(findings(tmp_path)) == 1


def test_value_that_only_a_shell_could_tell_is_unknown(tmp_path):
    put(install(tmp_path), "TLS_CERTS=$(cat /etc/certs)")
    (unknown,) = findings(tmp_path)
    assert isinstance(unknown, Unknown)


def test_it_is_commented_out_and_nothing_restarted(tmp_path):
    put(install(tmp_path), "TLS_DHCERTFILE=/etc/courier/dh.pem # old")
    host = Host(str(tmp_path))
    (action,) = removed.fix(host, list(removed.check(host)))
    assert (action.subject, action.allow, action.restarts) == (f"{FILE} TLS_DHCERTFILE", "", ())
    path = tmp_path / FILE.lstrip("/")
    path.write_bytes(action.edit(path.read_bytes()))
    assert path.read_text().endswith("#TLS_DHCERTFILE=/etc/courier/dh.pem # old\n")
    assert findings(tmp_path) == []
