"""Settings of the other TLS library are found where they leave more on than they say, and GnuTLS gets their like."""

from __future__ import annotations

import pytest
from installation import install, running

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import tls_settings_ignored as ignored
from courierlib.services import Completed

FILE = "/etc/courier/imapd-ssl"
MODERN = "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"


@pytest.fixture
def gnutls(tmp_path):
    return install(tmp_path)


@pytest.fixture
def openssl(tmp_path):
    return install(tmp_path, library="openssl")


def put(root, line, name="imapd-ssl"):
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def findings(root, host=None):
    return list(ignored.check(host or Host(str(root))))


def places(root):
    return {finding.where for finding in findings(root)}


@pytest.mark.parametrize("library", ["gnutls", "openssl"])
def test_shipped_settings_are_clear(tmp_path, library):
    root = install(tmp_path, library=library)
    assert findings(root) == []
    put(root, 'TLS_STARTTLS_PROTOCOL="$TLS_PROTOCOL"')
    put(root, '#TLS_PROTOCOL="TLSv1.2"')
    assert findings(root) == []


@pytest.mark.parametrize("value", ["TLSv1.2", "TLSv1.2++", "TLSv1.1+", "TLSv1.3"])
def test_protocol_means_nothing_to_gnutls(gnutls, value):
    put(gnutls, f'TLS_PROTOCOL="{value}"')
    (finding,) = findings(gnutls)
    assert (finding.where, finding.severity) == (f"{FILE} TLS_PROTOCOL", Severity.HIGH)
    assert value in finding.detail and "imapd-ssl" in finding.detail
    assert finding.fixable == (value != "TLSv1.3")


@pytest.mark.parametrize("value", ["TLSv1", "TLS1", "SSL23", "SSL3", ""])
def test_protocol_that_limits_nothing_is_clear(gnutls, value):
    put(gnutls, f'TLS_PROTOCOL="{value}"')
    assert findings(gnutls) == []


def test_setting_of_both_libraries_is_clear(gnutls):
    put(gnutls, f'TLS_PROTOCOL=TLSv1.2\nTLS_CIPHER_LIST=HIGH\nTLS_PRIORITY="{MODERN}"')
    assert findings(gnutls) == []


def test_priority_that_is_the_default_limits_nothing(gnutls):
    put(gnutls, "TLS_PROTOCOL=TLSv1.2\nTLS_PRIORITY=NORMAL")
    assert places(gnutls) == {f"{FILE} TLS_PROTOCOL"}


def test_gnutls_that_has_no_old_tls_anyway_makes_it_less_grave(gnutls):
    put(gnutls, "TLS_PROTOCOL=TLSv1.2")
    said = Completed(0, "Cipher suites for NORMAL\nProtocols: VERS-TLS1.3, VERS-TLS1.2, VERS-DTLS1.2\n", "")
    (finding,) = findings(gnutls, running(gnutls, lambda command: said))
    assert finding.severity is None
    without = Completed(127, "", "gnutls-cli: not found")
    (finding,) = findings(gnutls, running(gnutls, lambda command: without))
    assert finding.severity == Severity.HIGH


def test_one_finding_names_every_daemon_that_gets_it(gnutls):
    put(gnutls, "TLS_PROTOCOL=TLSv1.2", "esmtpd")
    (finding,) = findings(gnutls)
    assert finding.where == "/etc/courier/esmtpd TLS_PROTOCOL"
    assert "(esmtpd, esmtpd-msa, esmtpd-ssl)" in finding.detail


def test_outgoing_mail_counts_too(gnutls):
    put(gnutls, "TLS_PROTOCOL=TLSv1.2", "courierd")
    assert places(gnutls) == {"/etc/courier/courierd TLS_PROTOCOL"}


@pytest.mark.parametrize(
    "value, found",
    [("HIGH:!3DES", True), ("TLSv1:HIGH:!LOW:!MEDIUM:!EXP:!NULL:!aNULL@STRENGTH", False)],
)
def test_cipher_list_means_nothing_to_gnutls(gnutls, value, found):
    put(gnutls, f"TLS_CIPHER_LIST='{value}'")
    assert [finding.fixable for finding in findings(gnutls)] == ([False] if found else [])


def test_priority_means_nothing_to_openssl(openssl):
    put(openssl, f'TLS_PRIORITY="{MODERN}"')
    (finding,) = findings(openssl)
    assert (finding.where, finding.severity, finding.fixable) == (f"{FILE} TLS_PRIORITY", None, False)
    put(openssl, "TLS_PROTOCOL=TLSv1.2")
    assert findings(openssl) == []


def test_protocol_that_openssl_does_not_know_is_found(openssl):
    put(openssl, "TLS_PROTOCOL=TLSv1.2++")
    assert findings(openssl) == []
    put(openssl, "TLS_PROTOCOL=TLSv1.3")
    (finding,) = findings(openssl)
    assert "takes TLS 1.0 or higher" in finding.detail and not finding.fixable


def test_starttls_protocol_is_found_unless_a_script_reads_it(openssl):
    put(openssl, "TLS_STARTTLS_PROTOCOL=TLSv1.2")
    assert places(openssl) == {f"{FILE} TLS_STARTTLS_PROTOCOL"}
    with open(openssl / "usr/lib/courier/imapd", "a", encoding="utf-8") as script:
        script.write("TLS_PROTOCOL=$TLS_STARTTLS_PROTOCOL\n")
    assert findings(openssl) == []


def test_value_that_only_a_shell_could_tell_is_unknown(gnutls):
    put(gnutls, "TLS_PROTOCOL=$(cat /etc/protocol)")
    (unknown,) = findings(gnutls)
    assert isinstance(unknown, Unknown)


@pytest.mark.parametrize("value, priority", [("TLSv1.2++", MODERN), ("TLSv1.1", "NORMAL:-VERS-TLS1.0")])
def test_gnutls_gets_the_like_in_the_same_file(gnutls, value, priority):
    put(gnutls, f'TLS_PROTOCOL="{value}"')
    host = Host(str(gnutls))
    (action,) = ignored.fix(host, findings(gnutls, host))
    assert (action.subject, action.allow) == (f"{FILE} TLS_PRIORITY", "refuse-old-tls")
    assert action.restarts == ("imap", "imaps")
    path = gnutls / FILE.lstrip("/")
    before = path.read_bytes()
    path.write_bytes(action.edit(before))
    assert path.read_bytes().startswith(before)
    assert settings.evaluate(((FILE, path.read_bytes()),), {}).get("TLS_PRIORITY") == priority
    assert findings(gnutls) == []
