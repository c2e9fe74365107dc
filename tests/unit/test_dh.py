"""DH parameters are read without trust, and those that are written are the published ones."""

from __future__ import annotations

import hashlib
import time

import pytest
from pemfiles import dh_der

from courierlib import der, dh, pem

P = dh.prime("ffdhe2048")

SHA256_OF_OPENSSL = {
    "ffdhe2048": "9ba6429597aeed2d8617a7705b56e96d044f64b07971659382e426675105654b",
    "ffdhe3072": "c410cc9c4fd85d2c109f7ebe5930ca5304a52927c0ebcb1a11c5cf6b2386bbab",
    "ffdhe4096": "64852d6890ff9e62eecd1ee89c72af9af244dfef5b853bcedea3dfd7aade22b3",
    "ffdhe6144": "20247a866c38b354c8260237b0d3a48f0f1b06b8d6a22e73c44ac009f62b2dd1",
    "ffdhe8192": "987368fcc3217dedfd10317fd7ba847e4bc5948cd0d9cf2326b9ef282958cc85",
    "modp1536": "179b3dbd67c4bdb5e4bd1c356cc6123afaea1030899b201e53adcb3bbc75c488",
    "modp2048": "9e5aac4a86aabb83f5e2737df97c29f095d9990e651778c7cdb3762c2badc6bf",
    "modp3072": "8547e9f74d7e117113b34b28ea5378f6dabc800acfb07860864eb9bf43abe81c",
    "modp4096": "a6e3c01dabf4fe5cb32b20e1f84e55a2aa4309159e102867a1ca8fa7e8acd991",
    "modp6144": "d51a72d551c6fa6ab5d712bffecab3ccb2bbcde2fb0066d08ca7252592bc43f8",
    "modp8192": "28b59a6123314535ae74379d270e0713858f99f89e57ed38ad981e959be17495",
}
"""Of what ``openssl genpkey -genparam -algorithm DH -pkeyopt group:NAME`` writes (OpenSSL 3.0.19)."""


@pytest.mark.parametrize("group", SHA256_OF_OPENSSL)
def test_named_group_is_byte_for_byte_that_of_openssl(group):
    assert hashlib.sha256(dh.pem(group)).hexdigest() == SHA256_OF_OPENSSL[group]


@pytest.mark.parametrize("group", dh.GROUPS)
def test_group_that_a_repair_writes_is_a_safe_prime_and_known(group):
    (block,) = pem.parse(dh.pem(group)).blocks
    parameters = dh.parse(block.data)
    assert (block.label, parameters.group, parameters.generator) == ("DH PARAMETERS", group, 2)
    assert dh.is_prime(parameters.prime) and dh.is_prime(parameters.prime // 2)
    assert dh.weakness(parameters) == ""


def test_length_of_the_private_value_is_allowed():
    assert dh.parse(dh_der(P, 2, der.encode_integer(225))).bits == 2048


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (dh_der(-P, 2), "a negative number"),
        (dh_der(P, -2), "a negative number"),
        (dh_der(P - 1, 2), "an even number"),
        (dh_der(4, 2), "an even number"),
        (dh_der(0, 2), "negative number"),
        (dh_der(P, 0), "the generator is not between"),
        (dh_der(P, 1), "the generator is not between"),
        (dh_der(P, P - 1), "the generator is not between"),
        (dh_der(P, P << 64), "the generator is not between"),
        (dh_der((1 << 65536) + 1, 2), "a prime of about 65544 bits"),
        (dh_der((1 << 10000) + 1, 2), "a prime of 10001 bits"),
        (dh_der(P, 2, der.encode_integer(1) * 2), "4 numbers"),
        (dh_der(P, 2) + b"\0\1", "2 octets follow"),
        (der.encode(der.SEQUENCE, der.encode_integer(P)), "1 numbers"),
        (der.encode(der.SEQUENCE, der.encode(der.BIT_STRING, b"x") * 2), "no INTEGER"),
        (dh_der(P, 2)[:-1], "longer than what holds it"),
        (b"\x30\x80\x00\x00", "bad length"),
        (b"\x30\x84\xff\xff\xff\xff", "longer than what holds it"),
        (b"", "ends at octet 0"),
        (b"hello", "not DH parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_numbers_that_no_handshake_survives_are_refused(content, reason):
    with pytest.raises(dh.Unusable, match=reason):
        dh.parse(content)


def test_a_hundred_thousand_bits_cost_nothing():
    content = dh_der((1 << 100_000) + 1, 2)
    started = time.process_time()
    with pytest.raises(dh.Unusable):
        dh.parse(content)
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("bits", [512, 1024, 2047])
def test_short_prime_is_weak(bits):
    assert f"{bits}-bit prime" in dh.weakness(dh.parse(dh_der((1 << (bits - 1)) + 1, 2)))


def test_composite_in_the_place_of_the_prime_is_weak():
    for composite in (P + 2, dh.prime("modp1536") * ((1 << 521) - 1)):
        assert "is not prime" in dh.weakness(dh.parse(dh_der(composite, 2)))


def test_prime_that_is_not_a_safe_prime_is_sound_as_debian_makes_them():
    number = dh.prime("ffdhe2048") + 2
    while not dh.is_prime(number):
        number += 2
    parameters = dh.parse(dh_der(number, 5))
    assert parameters.group == ""
    assert dh.weakness(parameters) == ""


def test_a_prime_is_tested_once():
    dh.is_prime.cache_clear()
    dh.is_prime(P)
    started = time.process_time()
    for _ in range(1000):
        dh.is_prime(P)
    assert time.process_time() - started < 0.1


def test_prime_above_the_limit_of_the_test_is_taken_on_trust_and_quickly():
    started = time.process_time()
    assert dh.weakness(dh.parse(dh_der((1 << 9999) + 1, 2))) == ""
    assert time.process_time() - started < 0.5


def test_parameters_do_not_print_their_numbers():
    assert str(P) not in repr(dh.parse(dh_der(P, 2)))
