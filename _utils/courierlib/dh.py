"""What Diffie-Hellman parameters are worth, and the named groups that replace them.

They are read here and not with ``cryptography``: its version 50 refuses Debian's own default file, and older ones
accept a composite prime, an even one, or 4.
"""

from __future__ import annotations

import base64
import functools
import secrets
import textwrap
from dataclasses import dataclass, field

from courierlib import der

MIN_BITS = 2048
"""Below this, OpenSSL at security level 2 refuses the parameters, and clients hang up where it does not."""

MAX_BITS = 10000
"""OpenSSL uses no longer prime (read: OPENSSL_DH_MAX_MODULUS_BITS in openssl/dh.h, 3.0)."""

_MAX_TESTED_BITS = 8192
_ROUNDS = 3
_SMALL_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)

_RFC_7919 = {
    "ffdhe2048": (2048, 560316),
    "ffdhe3072": (3072, 2625351),
    "ffdhe4096": (4096, 5736041),
    "ffdhe6144": (6144, 15705020),
    "ffdhe8192": (8192, 10965728),
}
_RFC_3526 = {
    "modp1536": (1536, 741804),
    "modp2048": (2048, 124476),
    "modp3072": (3072, 1690314),
    "modp4096": (4096, 240904),
    "modp6144": (6144, 929484),
    "modp8192": (8192, 4743158),
}

GROUPS = ("ffdhe2048", "ffdhe3072", "ffdhe4096")
"""The groups that a repair writes."""


class Unusable(ValueError):
    """Parameters with which a handshake fails; the message says why.

    Args:
        reason: in a few words.
        numbers: only the numbers are at fault. GnuTLS does not mind: it takes the published group of about that size
            instead (run: couriertls 1.0.16, 1.4.1, 2.0.6).
    """

    def __init__(self, reason: str, numbers: bool = False):
        super().__init__(reason)
        self.numbers = numbers


@dataclass(frozen=True)
class Parameters:
    """Parameters that a TLS library can load.

    Args:
        bits: length of the prime.
        prime: the modulus.
        generator: the generator.
        group: name of the published group, empty if it is none.
    """

    bits: int
    prime: int = field(repr=False)
    generator: int = field(repr=False)
    group: str


def parse(data: bytes) -> Parameters:
    """Read the DER of PKCS #3 parameters: prime, generator and perhaps the length of the private value.

    Args:
        data: what a ``DH PARAMETERS`` block decodes to.

    Raises:
        Unusable: not that structure, or numbers with which no handshake can succeed.
    """
    try:
        members = der.sequence(data)
        if not 2 <= len(members) <= 3:
            raise Unusable(f"{len(members)} numbers where a prime and a generator belong")
        size = 8 * (members[0].end - members[0].start)
        if size > MAX_BITS + 8:
            raise Unusable(f"a prime of about {size} bits; no TLS library takes more than {MAX_BITS}")
        if members[1].end - members[1].start > members[0].end - members[0].start:
            raise Unusable("the generator is not between 1 and the prime", numbers=True)
        prime, generator = (der.integer(data, member) for member in members[:2])
    except der.Bad as bad:
        raise Unusable(f"not DH parameters: {bad}") from None
    if prime <= 0 or generator < 0:
        raise Unusable("a negative number", numbers=True)
    if prime % 2 == 0:
        raise Unusable("an even number in the place of the prime", numbers=True)
    if prime.bit_length() > MAX_BITS:
        raise Unusable(f"a prime of {prime.bit_length()} bits; no TLS library takes more than {MAX_BITS}")
    if not 1 < generator < prime - 1:
        raise Unusable("the generator is not between 1 and the prime", numbers=generator != 0)
    return Parameters(prime.bit_length(), prime, generator, _known_primes().get(prime, ""))


def weakness(parameters: Parameters) -> str:
    """Why the parameters do not protect a connection; empty if they do.

    A prime of more than 8192 bits is not tested for being one: that would take seconds.
    """
    if parameters.bits < MIN_BITS:
        return f"{parameters.bits}-bit prime, clients want {MIN_BITS}"
    if not parameters.group and parameters.bits <= _MAX_TESTED_BITS and not is_prime(parameters.prime):
        return f"the {parameters.bits}-bit number in the place of the prime is not prime"
    return ""


@functools.lru_cache(maxsize=256)
def is_prime(number: int) -> bool:
    """Whether an odd number above 97 is prime: small factors first, then Miller and Rabin's test with random bases.

    Takes about 0.03 s for 2048 bits and 2 s for 8192; an answer is remembered.
    """
    if any(number % small == 0 for small in _SMALL_PRIMES):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(_ROUNDS):
        power = pow(secrets.randbelow(number - 3) + 2, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


@functools.cache
def prime(group: str) -> int:
    """The prime of a published group, from the formula of RFC 7919 (appendix A) or RFC 3526.

    Raises:
        KeyError: no such group.
    """
    if group in _RFC_7919:
        bits, offset = _RFC_7919[group]
        middle = _e(bits - 130) + offset
    else:
        bits, offset = _RFC_3526[group]
        middle = _pi(bits - 130) + offset
    return 2**bits - 2 ** (bits - 64) + middle * 2**64 - 1


@functools.cache
def pem(group: str) -> bytes:
    """A file with nothing in it but the parameters of a published group, with generator 2.

    Raises:
        KeyError: no such group.
    """
    content = der.encode(der.SEQUENCE, der.encode_integer(prime(group)) + der.encode_integer(2))
    lines = textwrap.wrap(base64.b64encode(content).decode(), 64)
    return "\n".join(("-----BEGIN DH PARAMETERS-----", *lines, "-----END DH PARAMETERS-----", "")).encode()


@functools.cache
def _known_primes() -> dict[int, str]:
    return {prime(group): group for group in (*_RFC_7919, *_RFC_3526)}


def _e(bits: int) -> int:
    """The whole part of 2**bits times e."""
    scale = 1 << bits + 64
    total = term = scale
    step = 1
    while term:
        term //= step
        total += term
        step += 1
    return total >> 64


def _pi(bits: int) -> int:
    """The whole part of 2**bits times pi, by Machin's formula."""
    scale = 1 << bits + 64
    return 4 * (4 * _arctan_of_inverse(5, scale) - _arctan_of_inverse(239, scale)) >> 64


def _arctan_of_inverse(number: int, scale: int) -> int:
    total = power = scale // number
    divisor, sign = 3, -1
    while power:
        power //= number * number
        total += sign * (power // divisor)
        divisor, sign = divisor + 2, -sign
    return total


FFDHE2048_PEM = pem("ffdhe2048")
FFDHE3072_PEM = pem("ffdhe3072")
FFDHE4096_PEM = pem("ffdhe4096")
