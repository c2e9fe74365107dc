"""TLS and login settings on real hosts: set wrong for real, shown to do what they do, found, repaired, and gone."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sink
from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, Machine
from machine import BRIDGE_ADDRESS
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second
from roots import OPENSSL

IMAPD_SSL = "/etc/courier/imapd-ssl"
IMAP = "courier-imap courier-imap-ssl"

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]


def restart(machine: Machine, units: str, port: int | None = 25) -> None:
    machine.run(f"systemctl reset-failed 'courier*'; systemctl restart {units}")
    machine.wait_ready(port)


@contextmanager
def kept(machine: Machine, *files: str, units: str) -> Iterator[None]:
    """Put files below /etc/courier back afterwards, and restart the units that read them."""
    paths = [f"/etc/courier/{file}" for file in files]
    before = {path: machine.read(path) for path in paths}
    yield
    for path, content in before.items():
        machine.write(path, content)
    restart(machine, units)


def old_tls(machine: Machine) -> bool:
    """Whether a client that knows nothing but TLS 1.0 gets through to port 993."""
    return machine.handshake(993, arguments=["-tls1"], security_level=0).ok


def test_tls_protocol_limits_nothing_with_gnutls_and_its_like_does(
    shared: Callable[[str], Managed], release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    where = f"{IMAPD_SSL} TLS_PROTOCOL"
    with kept(machine, "imapd-ssl", units=IMAP):
        if release == OPENSSL:
            # OpenSSL's security level 2 has no TLS 1.0; without it, the setting decides.
            machine.configure("imapd-ssl", TLS_CIPHER_LIST="DEFAULT:@SECLEVEL=0")
            restart(machine, IMAP, 993)
            assert old_tls(machine)
        machine.configure("imapd-ssl", TLS_PROTOCOL="TLSv1.2++")
        restart(machine, IMAP, 993)
        assert machine.handshake(993).ok
        if release == OPENSSL:
            assert not old_tls(machine)
            assert host.audit(issues="tls-settings-ignored")["clear"] == ["tls-settings-ignored"]
            priority_means_nothing_to_openssl(host, shown)
            return
        assert old_tls(machine)
        assert "ignored by GnuTLS" in places(host, "tls-settings-ignored")[where]
        recorded("tls-settings-ignored", "broken", machine, "allow=refuse-old-tls")
        changes = repair(host, "tls-settings-ignored", "refuse-old-tls")
        assert set(changes) == {f"{IMAPD_SSL} TLS_PRIORITY"}
        machine.wait_ready(993)
        assert not old_tls(machine)
        assert machine.handshake(993, arguments=["-tls1_2"]).ok
        assert machine.handshake(993).ok
        shown("tls-settings-ignored", "repaired", machine)


def priority_means_nothing_to_openssl(host: Managed, shown: Shown) -> None:
    machine = host.machine
    machine.configure(
        "imapd-ssl", TLS_PROTOCOL="", TLS_CIPHER_LIST="", TLS_PRIORITY="NORMAL:-VERS-TLS1.0:-VERS-TLS1.1:-VERS-TLS1.2"
    )
    restart(machine, IMAP, 993)
    assert machine.handshake(993, arguments=["-tls1_2"]).ok
    assert set(places(host, "tls-settings-ignored")) == {f"{IMAPD_SSL} TLS_PRIORITY"}
    shown("tls-settings-ignored", "found", machine)


def test_invalid_priority_ends_tls_without_a_word_and_is_commented_out(
    shared: Callable[[str], Managed], release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    with kept(machine, "imapd-ssl", "esmtpd", units=f"{IMAP} courier-mta courier-msa courier-mta-ssl"):
        for file in ("imapd-ssl", "esmtpd"):
            machine.configure(file, TLS_PRIORITY="HIGH:!aNULL")
        restart(machine, f"{IMAP} courier-mta courier-msa courier-mta-ssl")
        listeners = {993: None, 143: "imap", 25: "smtp", 465: None}
        if release == OPENSSL:
            assert all(machine.handshake(port, starttls=words).ok for port, words in listeners.items())
            assert host.audit(issues="tls-priority-invalid")["clear"] == ["tls-priority-invalid"]
            shown("tls-priority-invalid", "cannot occur", machine)
            return
        assert not any(machine.handshake(port, starttls=words).ok for port, words in listeners.items())
        assert "rror" not in "".join(machine.journal("imapd-ssl", "esmtpd-ssl", "couriertls"))
        found = places(host, "tls-priority-invalid")
        assert set(found) == {f"{IMAPD_SSL} TLS_PRIORITY", "/etc/courier/esmtpd TLS_PRIORITY"}
        assert all("Syntax error at: HIGH:!aNULL" in detail for detail in found.values())
        recorded("tls-priority-invalid", "broken", machine, "allow=default-tls-priority")
        assert set(repair(host, "tls-priority-invalid", "default-tls-priority")) == set(found)
        machine.wait_ready()
        assert all(machine.handshake(port, starttls=words).ok for port, words in listeners.items())
        shown("tls-priority-invalid", "repaired", machine)


def test_removed_setting_does_nothing_and_is_commented_out(
    shared: Callable[[str], Managed], release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    with kept(machine, "imapd-ssl", units=IMAP):
        machine.configure("imapd-ssl", TLS_DHCERTFILE="/etc/courier/gone.pem", TLS_CERTS="X509")
        restart(machine, IMAP, 993)
        assert machine.handshake(993).ok
        found = places(host, "removed-tls-settings")
        assert set(found) == {f"{IMAPD_SSL} TLS_DHCERTFILE", f"{IMAPD_SSL} TLS_CERTS"}
        recorded("removed-tls-settings", "broken", machine)
        assert set(repair(host, "removed-tls-settings")) == set(found)
        assert machine.handshake(993).ok
        shown("removed-tls-settings", "repaired", machine)


@pytest.mark.hosts_all
@pytest.mark.parametrize("priority", ["NONE", "NORMAL:-VERS-ALL", "NORMAL:"])
def test_what_gnutls_cli_refuses_ends_tls(shared: Callable[[str], Managed], priority: str) -> None:
    machine = shared("trixie").machine
    with kept(machine, "imapd-ssl", units=IMAP):
        machine.configure("imapd-ssl", TLS_PRIORITY=priority)
        restart(machine, IMAP, 993)
        assert not machine.handshake(993).ok
        assert places(shared("trixie"), "tls-priority-invalid")


def test_optional_alpn_refuses_clients_all_the_same_and_is_commented_out(
    shared: Callable[[str], Managed], release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine

    def lets_in(protocol: str) -> bool:
        return machine.handshake(993, arguments=["-alpn", protocol]).ok

    with kept(machine, "imapd-ssl", "pop3d-ssl", units=f"{IMAP} courier-pop courier-pop-ssl"):
        machine.configure("imapd-ssl", TLS_ALPN="@o,imap")
        machine.configure("pop3d-ssl", TLS_ALPN="pop3s")
        restart(machine, f"{IMAP} courier-pop courier-pop-ssl", 993)
        assert lets_in("imap")
        assert machine.handshake(993).ok
        if release == "bookworm":
            assert lets_in("http/1.1")
            assert host.audit(issues="alpn-rejects-clients")["clear"] == ["alpn-rejects-clients"]
            shown("alpn-rejects-clients", "cannot occur", machine)
            return
        since = whole_second()
        assert not lets_in("http/1.1")
        assert not machine.handshake(995, arguments=["-alpn", "pop3"]).ok
        wait_for_log(machine, "o application protocol" if release == OPENSSL else "No common application", since)
        assert_diagnosed(host, "alpn-rejects-clients", since)
        found = places(host, "alpn-rejects-clients")
        assert "@o has no effect" in found[f"{IMAPD_SSL} TLS_ALPN"]
        assert "clients that offer pop3 are refused" in found["/etc/courier/pop3d-ssl TLS_ALPN"]
        recorded("alpn-rejects-clients", "broken", machine)
        assert set(repair(host, "alpn-rejects-clients")) == set(found)
        machine.wait_ready(993)
        assert lets_in("http/1.1") and lets_in("imap")
        assert machine.handshake(995, arguments=["-alpn", "pop3"]).ok
        shown("alpn-rejects-clients", "repaired", machine)


BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
GONE = "/etc/pki/tls/cert.pem"


def authority(directory: Path) -> tuple[Path, Path]:
    """A certificate authority, and a certificate of it with its key for the address of the laboratory."""
    made, server = directory / "ca.pem", directory / "server.pem"
    key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=sink.example.test", "-addext", f"subjectAltName=DNS:sink.example.test,IP:{BRIDGE_ADDRESS}"]
    by = ["-CA", str(made), "-CAkey", str(directory / "ca.key"), "-out", str(directory / "leaf.pem")]
    for arguments in (
        [*key, "-subj", "/CN=test authority", "-out", str(made), "-keyout", str(directory / "ca.key")],
        [*key, *name, *by, "-keyout", str(directory / "server.key")],
    ):
        subprocess.run(["openssl", "req", "-x509", *arguments], check=True, capture_output=True)
    server.write_text((directory / "leaf.pem").read_text() + (directory / "server.key").read_text())
    return made, server


def test_missing_bundle_keeps_mail_from_leaving_and_the_present_one_is_named(
    shared: Callable[[str], Managed], release: str, shown: Shown, recorded: Recorded, tmp_path: Path
) -> None:
    host = shared(release)
    machine = host.machine
    made, server = authority(tmp_path)

    def send(marker: str) -> None:
        sender = f"{ALICE}@{machine.fqdn}"
        machine.run(["sendmail", "-f", sender, "x@other.test"], input=f"Subject: {marker}\n\n{marker}\n")

    with sink.serve(BRIDGE_ADDRESS, server) as other, kept(machine, "courierd", units="courier"):
        trusted = machine.read(BUNDLE)
        machine.write(BUNDLE, trusted + made.read_bytes())
        machine.write("/etc/courier/esmtproutes", f"other.test:[{BRIDGE_ADDRESS}],{other.port}\n")
        machine.configure("courierd", TLS_VERIFYPEER="PEER")
        restart(machine, "courier")
        send("trusted")
        assert other.took("trusted")
        machine.configure("courierd", TLS_TRUSTCERTS=GONE)
        restart(machine, "courier")
        since = time.time()
        send("waits")
        wait_for_log(machine, "status: deferred", since)
        # courierd would leave that host alone for some minutes.
        restart(machine, "courier")
        send("unprotected")
        assert other.took("unprotected") is False
        (detail,) = places(host, "trustcerts-path-gone").values()
        assert f"{GONE}: no such file" in detail
        recorded("trustcerts-path-gone", "broken", machine)
        assert set(repair(host, "trustcerts-path-gone")) == {"/etc/courier/courierd TLS_TRUSTCERTS"}
        machine.wait_ready()
        # Courier remembers there for two to three hours for whom TLS failed.
        machine.run("rm /var/lib/courier/track/*; courier flush")
        assert other.took("waits")
        shown("trustcerts-path-gone", "repaired", machine)
        machine.write(BUNDLE, trusted)
        machine.run("rm /etc/courier/esmtproutes")


def trusting() -> ssl.SSLContext:
    """The stock certificates are self-signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def imap(machine: Machine, starttls: bool) -> bool:
    """Whether alice can log in on port 143."""
    with imaplib.IMAP4(machine.address, 143, timeout=30) as client:
        if starttls:
            client.starttls(trusting())
        try:
            return client.login(ALICE, ALICE_PASSWORD)[0] == "OK"
        except imaplib.IMAP4.error:
            return False


def pop3(machine: Machine, starttls: bool) -> bool:
    """Whether alice can log in on port 110."""
    client = poplib.POP3(machine.address, 110, timeout=30)
    try:
        if starttls:
            client.stls(trusting())
        client.user(ALICE)
        return client.pass_(ALICE_PASSWORD).startswith(b"+OK")
    except poplib.error_proto:
        return False
    finally:
        client.close()


def submission(machine: Machine, starttls: bool) -> bool:
    """Whether alice can log in on port 587."""
    with smtplib.SMTP(machine.address, 587, local_hostname="client.example.test", timeout=30) as client:
        client.ehlo()
        if starttls:
            client.starttls(context=trusting())
            client.ehlo()
        answer = client.docmd("AUTH", "PLAIN " + b64encode(f"\0{ALICE}\0{ALICE_PASSWORD}".encode()).decode())
        return answer[0] == 235


LOGINS = (imap, pop3, submission)
ALL_UNITS = f"{IMAP} courier-pop courier-pop-ssl courier-mta courier-msa courier-mta-ssl"


def test_passwords_in_the_clear_are_found_and_refused_after_the_repair(
    shared: Callable[[str], Managed], release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    issue = "plain-auth-without-tls"
    shipped = {
        f"{IMAPD_SSL} IMAP_TLS_REQUIRED": "port 143 takes passwords without TLS",
        "/etc/courier/pop3d-ssl POP3_TLS_REQUIRED": "port 110 takes passwords without TLS",
    }
    with kept(machine, "imapd-ssl", "pop3d-ssl", "esmtpd", units=ALL_UNITS):
        assert places(host, issue) == shipped
        machine.configure("esmtpd", ESMTPAUTH="PLAIN LOGIN CRAM-MD5")
        restart(machine, ALL_UNITS)
        since = time.time()
        assert [login(machine, False) for login in LOGINS] == [True, True, True]
        wait_for_log(machine, "protocol=IMAP", since)
        without_tls = "journalctl -q -t imapd -t pop3d -o cat | grep 'LOGIN, user=' | grep -v 'starttls=1\\|stls=1'"
        assert machine.run(without_tls).stdout.startswith(f"LOGIN, user={ALICE}, ip=[")
        assert places(host, issue) == shipped | {
            "/etc/courier/esmtpd ESMTPAUTH": "port 25, 587 offers LOGIN and PLAIN without TLS"
        }
        recorded(issue, "broken", machine, "allow=require-tls")
        assert set(repair(host, issue, "require-tls")) == {
            *shipped,
            "/etc/courier/esmtpd ESMTPAUTH",
            "/etc/courier/esmtpd ESMTPAUTH_TLS",
        }
        machine.wait_ready()
        with smtplib.SMTP(machine.address, 587, timeout=30) as client:
            client.ehlo("client.example.test")
            assert not client.has_extn("auth"), "no account of authpam's can use CRAM"
        assert [imap(machine, False), pop3(machine, False)] == [False, False]
        by_hand = "exec 3<>/dev/tcp/localhost/143; printf 'a LOGIN alice x\\r\\n' >&3; timeout 2 cat <&3 | grep ^a"
        assert machine.run(["bash", "-c", by_hand]).stdout == "a NO STARTTLS required\r\n"
        assert not submission(machine, False)
        assert [login(machine, True) for login in LOGINS] == [True, True, True]
        assert machine.send(ALICE, "without-tls").startswith("250 "), "other servers need no TLS"
        recorded(issue, "healthy", machine)
        shown(issue, "repaired", machine)
