"""Certificates and keys on booted hosts: who can open them, how long they are valid, and for which names."""

from __future__ import annotations

import datetime
import re
import smtplib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fleet import Managed
from lab import Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second
from roots import OPENSSL

from courierlib import catalogue

ESMTPD, IMAPD, POP3D = (f"/etc/courier/{name}.pem" for name in ("esmtpd", "imapd", "pop3d"))
MAIL, IMAP = "mail.example.test", "imap.example.test"
DEFAULT = {"O": "Courier Mail Server", "OU": "Automatically-generated IMAP SSL key", "CN": "localhost"}

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]
Shared = Callable[[str], Managed]

_OIDS = {
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}


class Authority:
    """A certificate authority of one's own; ``certificate`` is what clients are to trust."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject({"CN": "Authority of the tests"})
        built = _builder(self._name, self._name, self._key.public_key(), -30, 300)
        signed = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def pem(self, *names: str) -> bytes:
        """Key and certificate for host names, valid for 90 days."""
        return _pem(_subject({"CN": names[0]}), self._name, self._key, names, 0, 90)


def self_signed(subject: dict[str, str], begins: int, ends: int) -> bytes:
    """Key and certificate; valid from and until, in days from now."""
    return _pem(_subject(subject), _subject(subject), None, (), begins, ends)


def _pem(subject, issuer, signer, names: Sequence[str], begins: int, ends: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    built = _builder(subject, issuer, key.public_key(), begins, ends)
    if names:
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    certificate = built.sign(signer or key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form) + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(subject, issuer, public, begins: int, ends: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins, minutes=-5))
        .not_valid_after(now + datetime.timedelta(days=ends))
    )


def _subject(parts: dict[str, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_OIDS[name], value) for name, value in parts.items()])


@contextmanager
def intact(machine: Machine) -> Iterator[None]:
    """Leave Courier's configuration as it was; a test that fails takes its machine with it."""
    machine.run("rm -rf /root/was; cp -a /etc/courier /root/was")
    yield
    machine.run("rm -rf /etc/courier; mv /root/was /etc/courier")


def starttls(machine: Machine, port: int = 25) -> tuple[bool, int]:
    """Whether STARTTLS is offered, and the answer to it."""
    with smtplib.SMTP(machine.address, port, local_hostname="client.example.test", timeout=30) as client:
        client.ehlo()
        return client.has_extn("starttls"), client.docmd("STARTTLS")[0]


def presented(machine: Machine, port: int, name: str, starttls: str | None = None) -> str:
    """The common name of the certificate that a client gets which asks for a name."""
    shake = machine.handshake(port, starttls=starttls, arguments=["-servername", name])
    assert shake.ok, shake.output
    return re.search(r"^subject=.*CN ?= ?(\S+)$", shake.output, re.MULTILINE)[1]


def verified(machine: Machine, port: int, trusted: Path, *more: str) -> bool:
    """Whether a client that checks certificates goes on; with TLS 1.2, so that the server hears of it."""
    arguments = ["-tls1_2", "-verify_return_error", "-CAfile", str(trusted), *more]
    return "Verification: OK" in machine.handshake(port, arguments=arguments).output


def test_a_certificate_for_root_alone_takes_starttls_from_smtp(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "key-unreadable-for-mailuser"
    host = shared(release)
    machine = host.machine
    with intact(machine):
        assert starttls(machine) == (True, 220)
        machine.run(f"chown root:root {ESMTPD}; chmod 600 {ESMTPD}")
        since = whole_second()
        assert starttls(machine) == starttls(machine, 587) == (False, 540)
        assert not machine.handshake(465).ok
        assert machine.handshake(993).ok
        wait_for_log(machine, "Permission denied", since)
        wait_for_log(machine, '"540 TLS not available."', since)
        gnutls = {"dh-params-unusable"} if release != OPENSSL else set()
        assert_diagnosed(host, issue, since, "pem-unreadable", "certfile-base-missing", *gnutls)
        detail = "courier cannot read it: root:root 0600 (esmtpd, esmtpd-msa, esmtpd-ssl)"
        assert places(host, issue) == {ESMTPD: detail}
        recorded(issue, "broken", machine)
        assert repair(host, issue) == {ESMTPD: {"old": "root:root 0600", "new": "root:courier 0640"}}
        assert starttls(machine) == starttls(machine, 587) == (True, 220)
        assert machine.handshake(465).ok
    shown(issue, "repaired", machine)


@pytest.mark.hosts_all
def test_a_link_into_certbots_directory_is_left_alone_and_the_hook_of_the_article_replaces_it(
    shared: Shared, release: str
) -> None:
    issue = "key-unreadable-for-mailuser"
    host = shared(release)
    machine = host.machine
    with intact(machine):
        archive, live = (f"/etc/letsencrypt/{name}/{MAIL}" for name in ("archive", "live"))
        key, certificate = re.fullmatch(rb"(.*KEY-----\n)(.*)", Authority().pem(MAIL), re.DOTALL).groups()
        for name, content in {"privkey": key, "fullchain": certificate, "both": key + certificate}.items():
            machine.write(f"{archive}/{name}1.pem", content, mode=0o600)
            machine.run(f"mkdir -p {live}; ln -s ../../archive/{MAIL}/{name}1.pem {live}/{name}.pem")
        machine.run(f"chmod 700 /etc/letsencrypt/archive /etc/letsencrypt/live; ln -sf {live}/both.pem {ESMTPD}")
        assert starttls(machine) == (False, 540)
        assert "courier cannot pass /etc/letsencrypt/live: root:root 0700" in places(host, issue)[ESMTPD]
        assert host.call("courier.fix", issue)["changes"] == {}
        hook = re.search(r"^```sh\n(.*?)^```", catalogue.load()[issue].article, re.DOTALL | re.MULTILINE)[1]
        machine.write("/root/hook", hook.replace("mail.example.com", MAIL), mode=0o755)
        machine.run("/root/hook")
        assert machine.run(f"stat -c '%U:%G %a' {ESMTPD} {IMAPD}").stdout == "root:courier 640\n" * 2
        assert [presented(machine, port, MAIL) for port in (465, 993, 995)] == [MAIL] * 3
        assert {finding["id"] for finding in host.audit(issues="tls")["findings"]} == set()
        machine.run("rm -r /etc/letsencrypt /root/hook")


def test_a_key_that_every_user_can_read_is_closed(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "key-world-readable"
    host = shared(release)
    machine = host.machine

    def nobody_reads(path: str) -> bool:
        return "PRIVATE KEY" in machine.run(f"runuser -u nobody -- cat {path}", check=False).stdout

    with intact(machine):
        assert not nobody_reads(IMAPD)
        machine.run(f"chmod 644 {IMAPD}; chown root:root {ESMTPD}; chmod 644 {ESMTPD}")
        assert nobody_reads(IMAPD)
        assert nobody_reads(ESMTPD)
        assert set(places(host, issue)) == {ESMTPD, IMAPD}
        recorded(issue, "broken", machine)
        assert {path: change["new"] for path, change in repair(host, issue).items()} == {
            ESMTPD: "root:courier 0640",
            IMAPD: "root:courier 0640",
        }
        assert not nobody_reads(IMAPD)
        assert not nobody_reads(ESMTPD)
        assert machine.handshake(993).ok
        assert starttls(machine) == (True, 220)
    shown(issue, "repaired", machine)


def test_an_expired_certificate_of_the_package_is_made_anew(
    shared: Shared, release: str, shown: Shown, recorded: Recorded, tmp_path: Path
) -> None:
    issue = "certificate-expiring"
    host = shared(release)
    machine = host.machine
    with intact(machine):
        own, trusted = self_signed({"O": "Example"}, -400, -5), tmp_path / "trusted"
        expired = self_signed(DEFAULT, -370, -5)
        trusted.write_bytes(expired)
        machine.write(IMAPD, expired)
        machine.write(POP3D, own)
        since = whole_second()
        assert machine.handshake(993).ok
        assert not verified(machine, 993, trusted)
        said = "alert certificate expired" if release == OPENSSL else "Certificate is expired"
        wait_for_log(machine, said, since)
        assert_diagnosed(host, issue, since)
        assert set(places(host, issue)) == {IMAPD, POP3D}
        machine.run(f"cp -p /root/was/pop3d.pem {POP3D}")
        assert re.match(r"expired on \d{4}-\d\d-\d\d \(imapd-ssl; ", places(host, issue)[IMAPD])
        recorded(issue, "broken", machine)
        assert set(repair(host, issue)) == {IMAPD}
        assert presented(machine, 993, "localhost") == "localhost"
        machine.run(f"openssl x509 -in {IMAPD} -noout -checkend 31000000")
        assert machine.run(f"stat -c '%U:%G %a' {IMAPD}").stdout == "root:courier 640\n"
        machine.write(IMAPD, own)
        assert host.call("courier.fix", issue)["changes"] == {}
    shown(issue, "repaired", machine)


def test_the_certificate_of_the_package_is_refused_by_clients_that_check(
    shared: Shared, release: str, shown: Shown, recorded: Recorded, tmp_path: Path
) -> None:
    issue = "certificate-default"
    host = shared(release)
    machine = host.machine
    authority, trusted = Authority(), tmp_path / "trusted"
    trusted.write_bytes(authority.certificate)
    with intact(machine):
        since = whole_second()
        assert not verified(machine, 993, trusted)
        wait_for_log(machine, "alert unknown ca" if release == OPENSSL else "CA is unknown", since)
        assert_diagnosed(host, issue, since)
        assert set(places(host, issue)) == {ESMTPD, IMAPD, POP3D}
        assert {finding["severity"] for finding in host.audit(issues=issue)["findings"]} == {"low"}
        recorded(issue, "broken", machine)
        for path in (ESMTPD, IMAPD, POP3D):
            machine.write(path, authority.pem(MAIL))
        assert verified(machine, 993, trusted, "-verify_hostname", MAIL)
        assert host.audit(issues=issue)["clear"] == [issue]
        recorded(issue, "healthy", machine)
    shown(issue, "found", machine)


def test_certificates_for_names_alone_are_not_enough(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "certfile-base-missing"
    host = shared(release)
    machine = host.machine
    with intact(machine):
        machine.run("".join(f"mv {path} {path}.{MAIL};" for path in (ESMTPD, IMAPD)))
        since = whole_second()
        assert starttls(machine) == (False, 540)
        assert not machine.handshake(993).ok
        assert machine.handshake(993, arguments=["-servername", MAIL]).ok == (release != OPENSSL)
        wait_for_log(machine, "No such file or directory", since)
        wait_for_log(machine, '"540 TLS not available."', since)
        gnutls = {"dh-params-unusable"} if release != OPENSSL else set()
        assert_diagnosed(host, issue, since, "pem-unreadable", "key-unreadable-for-mailuser", *gnutls)
        assert set(places(host, issue)) == {ESMTPD, IMAPD}
        assert host.audit(issues="pem-unreadable")["clear"] == ["pem-unreadable"]
        recorded(issue, "broken", machine)
        made = {path: f"a link to {path.rpartition('/')[2]}.{MAIL}" for path in (ESMTPD, IMAPD)}
        assert {path: change["new"] for path, change in repair(host, issue).items()} == made
        assert starttls(machine) == (True, 220)
        assert machine.handshake(993).ok
    shown(issue, "repaired", machine)


def test_a_session_cache_that_cannot_be_opened_takes_tls_down_with_gnutls(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "tls-cache-broken"
    host = shared(release)
    machine = host.machine
    path = "/var/cache/courier/imapcache"
    with intact(machine):
        machine.configure("imapd-ssl", TLS_CACHEFILE=path)
        since = whole_second()
        machine.run("systemctl restart courier-imap courier-imap-ssl")
        machine.wait_ready(993)
        assert machine.handshake(993).ok == machine.handshake(143, starttls="imap").ok == (release == OPENSSL)
        assert machine.handshake(995).ok
        wait_for_log(machine, f"couriertls: {path}: No such file or directory", since)
        wait_for_log(machine, f"touch: cannot touch '{path}': No such file or directory", since)
        assert_diagnosed(host, issue, since, "pem-unreadable", "certfile-base-missing")
        (detail,) = places(host, issue).values()
        assert detail == f"TLS_CACHEFILE={path}: /var/cache/courier does not exist (imapd-ssl)"
        recorded(issue, "broken", machine)
        changes = repair(host, issue)
        stock = "/var/lib/courier/couriersslimapcache"
        # Debian 12 has the names of IMAP and POP3 the other way round.
        other = "/var/lib/courier/couriersslpop3cache"
        changed = changes["/etc/courier/imapd-ssl TLS_CACHEFILE"]
        assert changed == {"old": path, "new": other if release == "bookworm" else stock}
        machine.wait_ready(993)
        assert machine.handshake(993).ok
        assert machine.handshake(143, starttls="imap").ok
    machine.run("systemctl restart courier-imap courier-imap-ssl")
    machine.wait_ready(993)
    shown(issue, "repaired", machine)


def test_a_certificate_for_a_name_that_the_mail_user_cannot_read_is_passed_over(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "vhost-certificate-unreadable"
    host = shared(release)
    machine = host.machine
    with intact(machine):
        for path in (ESMTPD, IMAPD):
            machine.write(f"{path}.{MAIL}", Authority().pem(MAIL), mode=0o600)
        assert presented(machine, 993, MAIL) == MAIL
        assert presented(machine, 465, MAIL) == presented(machine, 25, MAIL, "smtp") == "localhost"
        assert set(places(host, issue)) == {f"{ESMTPD}.{MAIL}"}
        recorded(issue, "broken", machine)
        assert set(repair(host, issue)) == {f"{ESMTPD}.{MAIL}"}
        assert presented(machine, 465, MAIL) == presented(machine, 25, MAIL, "smtp") == MAIL
    shown(issue, "repaired", machine)


def test_a_certificate_that_is_presented_for_the_name_of_another_is_found(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "vhost-certificate-shadows"
    host = shared(release)
    machine = host.machine
    authority = Authority()
    with intact(machine):
        machine.write(IMAPD, authority.pem(IMAP))
        machine.write(f"{IMAPD}.{MAIL}", authority.pem(MAIL), mode=0o640, owner="root:courier")
        assert presented(machine, 993, IMAP) == IMAP
        assert host.audit(issues=issue)["clear"] == [issue]
        # With GnuTLS a file for a domain stands for what is below it.
        machine.run(f"mv {IMAPD}.{MAIL} {IMAPD}.example.test")
        assert presented(machine, 993, MAIL) == (IMAP if release == OPENSSL else MAIL)
        assert presented(machine, 993, IMAP) == (IMAP if release == OPENSSL else MAIL)
        for_name = "example.test" if release == OPENSSL else IMAP
        assert (
            f"presented for {for_name}, but its certificate is for {MAIL}"
            in (places(host, issue)[f"{IMAPD}.example.test"])
        )
        machine.run(f"mv {IMAPD}.example.test {IMAPD}.{IMAP}")
        assert presented(machine, 993, IMAP) == MAIL
        assert f"presented for {IMAP}, but" in places(host, issue)[f"{IMAPD}.{IMAP}"]
        recorded(issue, "broken", machine)
    shown(issue, "found", machine)
