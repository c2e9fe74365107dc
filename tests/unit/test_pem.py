"""What is found in a PEM file is what the TLS libraries find there, and a repair changes nothing else."""

from __future__ import annotations

import base64
import random
import time

import pytest
from pemfiles import FFDHE, certificate, errors, key, openssl_refuses, pair, pem_block, weak_dh

from courierlib import pem
from courierlib.plan import Refused


def der_of(block: bytes) -> bytes:
    return base64.b64decode(b"".join(line for line in block.splitlines() if not line.startswith(b"-----")))


def one_line(block: bytes) -> bytes:
    lines = block.split(b"\n")
    return lines[0] + b"\n" + b"".join(lines[1:-2]) + b"\n" + lines[-2] + b"\n"


K, C, PAIR, OTHER = key(), certificate(), pair(), certificate("ec")
REQUEST = pem_block(b"\x30\x00", "CERTIFICATE REQUEST")
SOUND = {
    "key first": PAIR,
    "certificate first": C + K,
    "PKCS 1 key": key(traditional=True) + C,
    "EC": pair("ec"),
    "EC, SEC 1 key": key("ec", traditional=True) + OTHER,
    "Ed25519": pair("ed25519"),
    "chain": PAIR + OTHER,
    "DH block": PAIR + FFDHE,
    "DH block first": FFDHE + PAIR,
    "CRLF": PAIR.replace(b"\n", b"\r\n"),
    "LF and CRLF": K.replace(b"\n", b"\r\n") + C,
    "CR CR LF": PAIR.replace(b"\n", b"\r\r\n"),
    "byte order mark": b"\xef\xbb\xbf" + PAIR,
    "byte order mark before each": b"\xef\xbb\xbf" + K + b"\xef\xbb\xbf" + C,
    "text around": b"prime: 00\n" + K + b"subject=/CN=x\n\xe4\xf6\n" + C + b"end",
    "blanks at line ends": PAIR.replace(b"\n", b"  \n"),
    "base64 on one line": one_line(K) + one_line(C),
    "no final newline": PAIR.rstrip(),
    "blank line after BEGIN": K + C.replace(b"-----\n", b"-----\n\n", 1),
    "two keys, first fits": PAIR + key("ec"),
    "everything twice": PAIR + PAIR,
}
ONLY_OPENSSL_FAILS = {
    "CR": PAIR.replace(b"\n", b"\r"),
    "CR in the key": K.replace(b"\n", b"\r") + C,
    "CR in the certificate": K + C.replace(b"\n", b"\r"),
    "glued": K.rstrip() + C,
    "glued DH block": PAIR.rstrip() + FFDHE,
    "END on the last line of data": PAIR.replace(b"\n-----END C", b"-----END C"),
    "indented": b"".join(b"  " + line for line in PAIR.splitlines(keepends=True)),
    "tab before BEGIN": PAIR.replace(b"-----BEGIN", b"\t-----BEGIN"),
    "comment after END": PAIR.replace(b"END CERTIFICATE-----", b"END CERTIFICATE----- # mine"),
    "double spaced": PAIR.replace(b"\n", b"\n\n"),
    "blank line within": K + C[:300] + b"\n\n" + C[300:],
    "NUL before BEGIN": K + b"\0" + C,
    "damaged END of the certificate": PAIR.replace(b"END CERTIFICATE-----", b"END CERTIFICATE----"),
    "damaged END of the key": PAIR.replace(b"END PRIVATE KEY-----", b"END PRIVATE KEY---"),
    "DH block cut off": PAIR + FFDHE[:-40],
}
ONLY_GNUTLS_FAILS = {
    "request left in it": PAIR + REQUEST,
    "PKCS 8 under the label of PKCS 1": K.replace(b"PRIVATE KEY", b"RSA PRIVATE KEY") + C,
    "trusted certificate": K + C.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
}
BOTH_FAIL = {
    "empty": b"",
    "blank": b"\n \n",
    "text": b"hello\n",
    "DER": der_of(C),
    "UTF-16": PAIR.decode().encode("utf-16"),
    "UTF-16 without mark": PAIR.decode().encode("utf-16-le"),
    "no key": C,
    "no certificate": K,
    "certificate cut off": PAIR[:-200],
    "only END cut off": PAIR[:-26],
    "key cut off": K[:-40] + C,
    "chain cut off": PAIR + OTHER[:-40],
    "letter outside ASCII": K + C.replace(b"MII", b"\xe4II", 1),
    "a letter too many": K + C.replace(b"MII", b"MIII", 1),
    "certificate too short inside": K + pem_block(der_of(C)[:-20], "CERTIFICATE"),
    "empty block": K + b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + C,
    "PKCS 1 under the label of PKCS 8": key(traditional=True).replace(b"RSA PRIVATE KEY", b"PRIVATE KEY") + C,
    "misspelled label": PAIR.replace(b"CERTIFICATE", b"CERTIFICAT"),
    "passphrase": key(passphrase=b"x") + C,
    "passphrase, PKCS 1": key(traditional=True, passphrase=b"x") + C,
    "key of another RSA certificate": key(name="other") + C,
    "key of another kind": key("ec") + C,
    "key of another EC certificate": key("ec", "other") + OTHER,
    "key of another Ed25519 certificate": key("ed25519", "other") + certificate("ed25519"),
    "intermediate first": K + OTHER + C,
    "second key fits": key("ec") + PAIR,
}


@pytest.mark.parametrize("content", [*SOUND.values()], ids=[*SOUND])
def test_sound_file_gives_no_error_for_either_library(content):
    assert openssl_refuses(content) == ""
    assert errors("openssl", content) == []
    assert errors("gnutls", content) == []


@pytest.mark.parametrize("content", [*ONLY_OPENSSL_FAILS.values()], ids=[*ONLY_OPENSSL_FAILS])
def test_what_only_openssl_cannot_read_is_an_error_only_there(content):
    assert openssl_refuses(content)
    assert errors("openssl", content)
    assert errors("gnutls", content) == []


@pytest.mark.parametrize("content", [*ONLY_GNUTLS_FAILS.values()], ids=[*ONLY_GNUTLS_FAILS])
def test_what_only_gnutls_cannot_read_is_an_error_only_there(content):
    assert openssl_refuses(content) == ""
    assert errors("openssl", content) == []
    assert errors("gnutls", content)


@pytest.mark.parametrize("content", [*BOTH_FAIL.values()], ids=[*BOTH_FAIL])
def test_what_no_library_can_use_is_an_error_everywhere(content):
    assert openssl_refuses(content)
    assert errors("openssl", content)
    assert errors("gnutls", content)


def damaged(content: bytes, dice: random.Random) -> bytes:
    """A few accidents that happen to text: characters and line ends added, changed or lost, pieces cut out."""
    for _ in range(dice.choice((1, 1, 2, 3))):
        at = dice.randrange(len(content))
        newline = content.find(b"\n", at)
        accident = dice.randrange(5)
        if accident == 0:
            content = content[:at] + bytes([dice.choice(b"\r\n \t-=A\0")]) + content[at:]
        elif accident == 1 and newline >= 0:
            changed = dice.choice((b"", b"\r", b"\n\n", b"\r\n", b"\n ", b"\r\r\n"))
            content = content[:newline] + changed + content[newline + 1 :]
        elif accident == 2 and at:
            content = content[:at]
        elif accident == 3:
            content = content[at:] + content[:at]
        else:
            content = content[:at] + content[at + dice.randrange(1, 80) :]
        content = content or b"\n"
    return content


def test_whatever_openssl_refuses_is_reported():
    dice = random.Random(7919)
    for number in range(600):
        content = damaged(dice.choice((PAIR + FFDHE, C + K + OTHER, pair("ec"))), dice)
        if openssl_refuses(content):
            assert errors("openssl", content), f"accident {number}"


def test_repair_never_changes_what_the_blocks_decode_to():
    dice = random.Random(3526)
    for number in range(600):
        content = damaged(dice.choice((PAIR + FFDHE, C + K + OTHER, pair("ec"))), dice)
        try:
            repaired = pem.repair(content)
        except Refused:
            continue
        before = [(block.label, block.digest) for block in pem.parse(content).blocks]
        assert [(block.label, block.digest) for block in pem.parse(repaired).blocks] == before, f"accident {number}"
        assert pem.repair(repaired) == repaired, f"accident {number}"


REPAIRABLE = [
    *(name for name in ONLY_OPENSSL_FAILS if "damaged" not in name and "cut off" not in name and "NUL" not in name),
]


@pytest.mark.parametrize("name", REPAIRABLE)
def test_repair_makes_openssl_read_what_it_could_not(name):
    repaired = pem.repair(ONLY_OPENSSL_FAILS[name])
    assert openssl_refuses(repaired) == ""
    assert errors("openssl", repaired) == []
    assert pem.parse(repaired).line_ends == "LF"


@pytest.mark.parametrize("name", ["UTF-16", "UTF-16 without mark"])
def test_repair_brings_utf_16_back_to_plain_text(name):
    assert pem.repair(BOTH_FAIL[name]) == PAIR


def test_repair_removes_byte_order_mark_and_windows_line_ends():
    assert pem.repair(b"\xef\xbb\xbf" + PAIR.replace(b"\n", b"\r\n")) == PAIR


@pytest.mark.parametrize("name", ["key first", "text around", "everything twice", "base64 on one line"])
def test_repair_leaves_a_file_that_needs_none_alone(name):
    content = SOUND[name]
    assert pem.repair(content).rstrip() == content.rstrip()


def test_repair_keeps_the_text_between_the_blocks():
    repaired = pem.repair(b"Bag Attributes\r\n" + K.replace(b"\n", b"\r\n") + b"subject=/CN=x\r\n" + C)
    assert repaired == b"Bag Attributes\n" + K + b"subject=/CN=x\n" + C


def test_repair_keeps_the_headers_of_an_encrypted_key():
    encrypted = key(traditional=True, passphrase=b"x")
    assert pem.repair(encrypted.replace(b"\n", b"\r\n")) == encrypted


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\n",
        der_of(C),
        PAIR[:-30],
        PAIR.replace(b"END CERTIFICATE-----", b"END CERTIFICATE----"),
        K + C.replace(b"MII", b"\xe4II", 1),
        (PAIR.decode() + "ä").encode("utf-16"),
    ],
    ids=["empty", "text", "DER", "cut off", "damaged END", "letter outside ASCII", "UTF-16 with umlaut"],
)
def test_repair_refuses_what_it_cannot_prove(content):
    with pytest.raises(Refused):
        pem.repair(content)


def test_replacing_a_block_leaves_every_other_byte_alone():
    content = (b"text\n" + PAIR + weak_dh() + b"more text").replace(b"\n", b"\r\n")
    (block,) = [block for block in pem.parse(content).blocks if block.label == "DH PARAMETERS"]
    changed = pem.replace_block(content, block, FFDHE)
    assert changed == (b"text\n" + PAIR + FFDHE + b"more text").replace(b"\n", b"\r\n")
    assert openssl_refuses(changed) == ""


def test_problem_in_a_separate_key_file_is_put_there():
    (problem,) = errors("openssl", C, b"")
    assert problem.in_key_file
    (problem,) = errors("openssl", b"", K)
    assert not problem.in_key_file


@pytest.mark.parametrize("library", ["openssl", "gnutls"])
def test_key_in_a_file_of_its_own_belongs_to_the_certificate(library):
    assert errors(library, C, K) == []
    assert [problem.kind for problem in errors(library, C, key("ec"))] == ["mismatch"]


def test_separate_key_file_is_read_only_to_the_key():
    assert openssl_refuses(C, K + OTHER[:-40]) == ""
    assert errors("openssl", C, K + OTHER[:-40]) == []


def test_wrong_order_of_certificates_is_named():
    (problem,) = errors("openssl", K + OTHER + C)
    assert "belongs to certificate 2" in problem.detail


def test_damaged_numbers_of_an_rsa_key_are_found():
    content = bytearray(der_of(key(traditional=True)))
    content[700] ^= 1
    broken = pem_block(bytes(content), "RSA PRIVATE KEY") + C
    assert [problem.kind for problem in errors("openssl", broken)] == ["damaged"]


def test_damaged_ec_key_is_in_doubt_and_never_clear():
    content = bytearray(der_of(key("ec")))
    content[-5] ^= 1
    kinds = {problem.kind for problem in errors("openssl", pem_block(bytes(content), "PRIVATE KEY") + OTHER)}
    assert kinds & {"doubt", "mismatch"}


def test_no_damage_to_the_inside_of_a_block_escapes_as_an_error():
    dice = random.Random(5280)
    blocks = [
        (label, der_of(block))
        for label, block in (
            ("CERTIFICATE", C),
            ("CERTIFICATE", OTHER),
            ("PRIVATE KEY", K),
            ("RSA PRIVATE KEY", key(traditional=True)),
            ("EC PRIVATE KEY", key("ec", traditional=True)),
            ("PRIVATE KEY", key("ed25519")),
        )
    ]
    for _ in range(3000):
        label, content = dice.choice(blocks)
        at = dice.randrange(min(len(content), dice.choice((12, 60, 400, 4000))))
        damaged_content = content[:at] + dice.choice((b"", b"\0", b"\x30", dice.randbytes(1))) + content[at + 1 :]
        for library in ("openssl", "gnutls"):
            errors(library, pem_block(damaged_content, label) + PAIR)


def test_line_and_label_of_a_defect_are_named():
    (problem,) = errors("openssl", K.rstrip() + C)
    line = len(K.splitlines())
    assert problem.detail == f"line {line}: BEGIN CERTIFICATE not at the beginning of a line"
    assert problem.repairable


def test_nothing_that_is_kept_or_said_shows_a_private_key():
    lines = [line.decode() for line in K.splitlines()[1:-1]]
    for content in (*SOUND.values(), *ONLY_OPENSSL_FAILS.values(), *BOTH_FAIL.values()):
        for library in ("openssl", "gnutls"):
            shown = repr(pem.parse(content)) + repr(errors(library, content))
            assert not any(line in shown for line in lines)
    parsed = pem.parse(PAIR)
    assert all(block.data == b"" for block in parsed.blocks)


@pytest.mark.parametrize(
    "line",
    [
        b"\r",
        b"\n",
        b"-----BEGIN A-----",
        b"-----BEGIN A-----\n-----END A-----",
        b"-----END A-----\n",
        b"- ",
        b"\r \n",
        b"A",
    ],
    ids=repr,
)
def test_a_megabyte_of_nonsense_takes_bounded_time(line):
    started = time.process_time()
    content = line * (2**20 // len(line))
    errors("openssl", content)
    errors("gnutls", content)
    with pytest.raises(Refused):
        pem.repair(content)
    assert time.process_time() - started < 20
