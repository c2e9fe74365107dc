"""Certificates and keys as ``cryptography`` reads them.

Its import takes about as long as that of all of courierlib, so ``pem`` imports this only when there is one to read.
"""

from __future__ import annotations

import hashlib
import warnings

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

NOT_KNOWN = (ValueError, TypeError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion)
"""What is raised for a certificate or a key that is unusual or damaged."""


def load_certificate(data: bytes) -> None:
    """Read a certificate in DER.

    Raises:
        NOT_KNOWN: it is unusual, or damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x509.load_der_x509_certificate(data)


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
