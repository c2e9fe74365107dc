"""Ports on which passwords can cross the network in the clear are found where others can reach them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from authhost import auth_host
from installation import install, running

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import cram_without_cleartext as cram
from courierlib.issues import plain_auth_without_tls as plain
from courierlib.listeners import Listener
from courierlib.steps import Draft

IMAP, POP = "/etc/courier/imapd-ssl IMAP_TLS_REQUIRED", "/etc/courier/pop3d-ssl POP3_TLS_REQUIRED"
SMTP = "/etc/courier/esmtpd ESMTPAUTH"


@pytest.fixture
def root(tmp_path):
    """As shipped: logins without TLS are allowed for IMAP and POP3, and SMTP has none at all."""
    install(tmp_path)
    put(tmp_path, "imapd", 'PORT=143\nIMAP_CAPABILITY="IMAP4rev1 IDLE"')
    put(tmp_path, "imapd-ssl", "IMAPDSTARTTLS=YES\nIMAP_TLS_REQUIRED=0")
    put(tmp_path, "pop3d", 'PORT=110\nPOP3AUTH=""')
    put(tmp_path, "pop3d-ssl", "POP3_STARTTLS=YES\nPOP3_TLS_REQUIRED=0")
    put(tmp_path, "esmtpd", 'PORT=smtp\nESMTPAUTH=""\nESMTPAUTH_TLS=""')
    put(tmp_path, "esmtpd-msa", "PORT=587")
    for name in ("esmtpd", "imapd", "pop3d"):
        (tmp_path / f"etc/courier/{name}.pem").write_text("a certificate")
    return tmp_path


def put(root, name, lines):
    with open(root / "etc/courier" / name, "a", encoding="utf-8") as file:
        file.write(lines + "\n")


def host_with(root, *listening):
    host = running(root, None)
    host.__dict__["listeners"] = tuple(Listener(port, address, 1, "couriertcpd") for port, address in listening)
    return host


def findings(root, *listening):
    return list(plain.check(host_with(root, *(listening or [(port, "::") for port in (25, 587, 143, 110)]))))


def places(root, *listening):
    return {finding.where: finding.severity for finding in findings(root, *listening)}


def test_shipped_settings_are_advice(root):
    assert places(root) == {IMAP: Severity.LOW, POP: Severity.LOW}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.1.1", "::ffff:127.0.0.1"])
def test_port_that_only_the_host_itself_reaches_is_clear(root, address):
    assert places(root, (143, address), (110, address)) == {}


def test_port_that_nobody_listens_on_is_clear(root):
    assert places(root, (993, "::")) == {}
    put(root, "imapd", "PORT=192.0.2.1.1143")
    assert places(root, (143, "::")) == {}
    assert places(root, (1143, "192.0.2.1")) == {IMAP: Severity.LOW}


def test_required_tls_is_clear(root):
    put(root, "imapd-ssl", "IMAP_TLS_REQUIRED=1")
    put(root, "pop3d-ssl", "POP3_TLS_REQUIRED=1")
    assert places(root) == {}


def test_imap_without_starttls_ignores_the_requirement_and_pop3_does_not(root):
    put(root, "imapd-ssl", "IMAP_TLS_REQUIRED=1\nIMAPDSTARTTLS=NO")
    put(root, "pop3d-ssl", "POP3_TLS_REQUIRED=1\nPOP3_STARTTLS=NO")
    (finding,) = findings(root)
    assert (finding.where, finding.fixable) == (IMAP, False)
    assert "there is no STARTTLS" in finding.detail


def test_offered_mechanisms_make_it_graver(root):
    put(root, "imapd", 'IMAP_CAPABILITY="IMAP4rev1 AUTH=CRAM-MD5 AUTH=PLAIN"')
    put(root, "pop3d", 'POP3AUTH="CRAM-MD5"')
    assert places(root) == {IMAP: None, POP: Severity.LOW}


def test_smtp_that_offers_plain_before_tls_is_found_for_all_its_ports(root):
    put(root, "esmtpd", 'ESMTPAUTH="LOGIN CRAM-MD5"')
    (finding,) = (finding for finding in findings(root) if finding.where == SMTP)
    assert finding.detail == "port 25, 587 offers LOGIN without TLS"
    assert finding.severity is None


@pytest.mark.parametrize(
    "lines", ['ESMTPAUTH="CRAM-MD5"', 'ESMTPAUTH_TLS="PLAIN"', "ESMTPAUTH=PLAIN\nESMTP_TLS_REQUIRED=1"]
)
def test_smtp_that_takes_no_password_before_tls_is_clear(root, lines):
    put(root, "esmtpd", lines)
    assert SMTP not in places(root)


def test_smtps_is_no_port_without_tls(root):
    put(root, "esmtpd-ssl", "ESMTPAUTH=PLAIN")
    assert set(places(root)) == {IMAP, POP}


def test_without_a_certificate_nothing_is_repaired(root):
    put(root, "esmtpd", "ESMTPAUTH=PLAIN")
    for name in ("esmtpd", "imapd", "pop3d"):
        (root / f"etc/courier/{name}.pem").unlink()
    assert [finding.fixable for finding in findings(root)] == [False, False, False]


def test_protocol_that_is_not_installed_is_clear(root):
    (root / "usr/lib/courier/pop3d").unlink()
    assert set(places(root)) == {IMAP}


def test_tree_says_nothing_of_ports(root):
    assert all(isinstance(each, Unknown) for each in plain.check(Host(str(root))))
    put(root, "imapd-ssl", "IMAP_TLS_REQUIRED=1")
    put(root, "pop3d-ssl", "POP3_TLS_REQUIRED=1")
    assert list(plain.check(Host(str(root)))) == []


def test_repair_takes_passwords_after_starttls_only(root):
    put(root, "esmtpd", 'ESMTPAUTH="PLAIN LOGIN CRAM-MD5"')
    host = host_with(root, (25, "::"), (143, "::"), (110, "::"))
    actions = list(plain.fix(host, list(plain.check(host))))
    assert {action.subject: action.new for action in actions} == {
        IMAP: "1",
        POP: "1",
        "/etc/courier/esmtpd ESMTPAUTH_TLS": "PLAIN LOGIN CRAM-MD5",
        SMTP: "CRAM-MD5",
    }
    assert {action.allow for action in actions} == {"require-tls"}
    for action in actions:
        path = root / action.path.lstrip("/")
        path.write_bytes(action.edit(path.read_bytes()))
    assert places(root) == {}


def test_mechanisms_after_starttls_are_kept(root):
    put(root, "esmtpd", 'ESMTPAUTH="PLAIN"\nESMTPAUTH_TLS="LOGIN"')
    host = host_with(root, (25, "::"))
    actions = list(plain.fix(host, list(plain.check(host))))
    assert {action.subject: action.new for action in actions} == {SMTP: "nothing"}


def edited(host, *checks):
    """What is left of SMTP's settings by the repairs of several problems in one run, and what was refused."""
    draft = Draft("run", "", tuple)
    for action in (action for check in checks for action in check.fix(host, list(check.check(host)))):
        draft.add(replace(action, path=host.path(action.path)))
    after = settings.evaluate([("", step.replacement.content) for step in draft.steps], {})
    return after.get("ESMTPAUTH"), after.get("ESMTPAUTH_TLS"), draft.refused


@pytest.mark.parametrize("checks", [(plain, cram), (cram, plain)])
@pytest.mark.parametrize("after_starttls", ["", "CRAM-MD5", "CRAM-MD5 PLAIN LOGIN"])
def test_repairs_in_one_run_with_that_of_cram_in_either_order(root, checks, after_starttls):
    auth_host(root, "authpam")
    put(root, "esmtpd", f'ESMTPAUTH="PLAIN LOGIN CRAM-MD5"\nESMTPAUTH_TLS="{after_starttls}"')
    assert edited(host_with(root, (25, "::")), *checks) == ("", "PLAIN LOGIN", [])


def test_a_mechanism_that_can_work_is_kept(root):
    auth_host(root, "authpam authmysql")
    put(root, "esmtpd", 'ESMTPAUTH="PLAIN CRAM-MD5"')
    assert edited(host_with(root, (25, "::")), plain, cram) == ("CRAM-MD5", "PLAIN CRAM-MD5", [])


def test_passwords_are_taken_after_starttls_where_that_had_only_other_mechanisms(root):
    put(root, "esmtpd", 'ESMTPAUTH="PLAIN"\nESMTPAUTH_TLS="CRAM-MD5"')
    assert edited(host_with(root, (25, "::")), plain) == ("", "CRAM-MD5 PLAIN", [])
