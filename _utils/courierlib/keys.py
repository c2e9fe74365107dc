"""Certificates and keys as ``cryptography`` reads them.

Its import takes about as long as that of all of courierlib, so ``pem`` imports this only when there is one to read.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

NOT_KNOWN = (ValueError, TypeError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion)
"""What is raised for a certificate or a key that is unusual or damaged."""


@dataclass(frozen=True)
class Certificate:
    """What a certificate says of itself.

    Args:
        subject: in words, as RFC 4514 writes it.
        self_issued: its issuer has the same name.
        begins: seconds since the epoch from which it is valid.
        ends: seconds since the epoch until which it is valid.
        names: host names and addresses, in lower case; the common name only if it has no others; None if they cannot
            be read.
    """

    subject: str
    self_issued: bool
    begins: float
    ends: float
    names: tuple[str, ...] | None


def load_certificate(data: bytes) -> Certificate:
    """Read a certificate in DER.

    Raises:
        NOT_KNOWN: it is unusual, or damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = x509.load_der_x509_certificate(data)
        begins, ends = _validity(loaded)
        return Certificate(
            subject=loaded.subject.rfc4514_string(),
            self_issued=loaded.subject == loaded.issuer,
            begins=begins.timestamp(),
            ends=ends.timestamp(),
            names=_names(loaded),
        )


def _validity(loaded: x509.Certificate) -> tuple[datetime, datetime]:
    try:
        return loaded.not_valid_before_utc, loaded.not_valid_after_utc
    except AttributeError:  # cryptography before 42
        return tuple(at.replace(tzinfo=timezone.utc) for at in (loaded.not_valid_before, loaded.not_valid_after))


def _names(loaded: x509.Certificate) -> tuple[str, ...] | None:
    try:
        found = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        names = []
    except (*NOT_KNOWN, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    # As clients do (read: RFC 6125, 6.4.4).
    names = names or [str(each.value) for each in loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(name.lower().rstrip(".") for name in names)


def public(data: bytes) -> str:
    """SHA-256 of a SubjectPublicKeyInfo, written as usual; empty for a kind of key that is not known."""
    try:
        return _hash_of(serialization.load_der_public_key(data))
    except NOT_KNOWN:
        return ""


def public_half(data: bytes) -> str:
    """SHA-256 of the public key that belongs to a private key in DER; empty for a kind that is not known."""
    try:
        return _hash_of(
            serialization.load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True).public_key()
        )
    except NOT_KNOWN:
        return ""


def _hash_of(key) -> str:
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()
