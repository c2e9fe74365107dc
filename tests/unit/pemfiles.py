"""Real keys and certificates for tests, and what the OpenSSL of this Python says to them."""

from __future__ import annotations

import datetime
import functools
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from courierlib import der, dh, pem


@functools.cache
def _key(kind: str, name: str):
    """One key of a kind for each name; ``name`` only tells them apart."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()


def key(kind: str = "rsa", name: str = "mail", *, traditional: bool = False, passphrase: bytes = b"") -> bytes:
    """A private key in PEM; PKCS #8 unless ``traditional``."""
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return _key(kind, name).private_bytes(serialization.Encoding.PEM, form, protection)


@functools.cache
def certificate(kind: str = "rsa", name: str = "mail") -> bytes:
    """The self-signed certificate of a key, in PEM."""
    own = _key(kind, name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}.example.test")])
    now = datetime.datetime(2026, 1, 1)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=3650))
    )
    signed = built.sign(own, None if kind == "ed25519" else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def dated(
    begins: float = -30,
    ends: float = 60,
    names: tuple[str, ...] = (),
    subject: dict[str, str] | None = None,
    issuer: str = "",
) -> bytes:
    """Key and certificate.

    Args:
        begins: days from now.
        ends: days from now.
        names: host names and addresses that it is for.
        subject: parts of the subject, by the name of their attribute; ``CN=mail.example.test`` if None.
        issuer: common name of who has issued it; empty: itself.
    """
    own = _key("ec", "dated")
    parts = subject or {"COMMON_NAME": "mail.example.test"}
    whose = x509.Name([x509.NameAttribute(getattr(NameOID, part), value) for part, value in parts.items()])
    by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]) if issuer else whose
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(by)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
    )
    if names:
        addresses = [x509.IPAddress(ipaddress.ip_address(name)) for name in names if name[0].isdigit()]
        hosts = [x509.DNSName(name) for name in names if not name[0].isdigit()]
        built = built.add_extension(x509.SubjectAlternativeName([*hosts, *addresses]), critical=False)
    return key("ec", "dated") + built.sign(own, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


DEFAULT_SUBJECT = {
    "ORGANIZATION_NAME": "Courier Mail Server",
    "ORGANIZATIONAL_UNIT_NAME": "Automatically-generated IMAP SSL key",
    "COMMON_NAME": "localhost",
}
"""Of the certificate that mkimapdcert makes."""


def pair(kind: str = "rsa", name: str = "mail") -> bytes:
    """Key and certificate, as in a TLS_CERTFILE."""
    return key(kind, name) + certificate(kind, name)


def weak_dh(prime: int = (1 << 1023) + 1155) -> bytes:
    """A DH PARAMETERS block around any number."""
    return pem_block(dh_der(prime, 2))


def dh_der(prime: int, generator: int, more: bytes = b"") -> bytes:
    """PKCS #3 parameters of any numbers, negative ones included."""

    def encoded(number: int) -> bytes:
        return der.encode(der.INTEGER, number.to_bytes(abs(number).bit_length() // 8 + 1, "big", signed=True))

    return der.encode(der.SEQUENCE, encoded(prime) + encoded(generator) + more)


def pem_block(content: bytes, label: str = "DH PARAMETERS") -> bytes:
    """A PEM block around anything."""
    return ssl.DER_cert_to_PEM_cert(content).replace("CERTIFICATE", label).encode()


def openssl_refuses(content: bytes, key_file: bytes | None = None) -> str:
    """What OpenSSL says when it loads a certificate file as couriertls does; empty if it takes it."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, "certificate")]
        paths[0].write_bytes(content)
        if key_file is not None:
            paths.append(Path(directory, "key"))
            paths[1].write_bytes(key_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(*paths, password=lambda: b"")
        except (ssl.SSLError, ValueError) as refused:
            return str(refused)
    return ""


def errors(library: str, content: bytes, key_file: bytes | None = None) -> list[pem.Problem]:
    """What courierlib says to it, advice left out."""
    parsed = [pem.parse(part) for part in (content, key_file) if part is not None]
    return [problem for problem in pem.problems(library, *parsed) if problem.kind not in ("advice", "bom")]


FFDHE = dh.FFDHE2048_PEM
