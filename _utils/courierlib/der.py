"""Just enough DER to look inside certificates, private keys and DH parameters."""

from __future__ import annotations

from typing import NamedTuple

INTEGER = 0x02
BIT_STRING = 0x03
SEQUENCE = 0x30

_MAX_DEPTH = 32
_INDEFINITE = 0x80


class Bad(ValueError):
    """The bytes are not the DER structure that was expected; the message says where, never what the bytes are."""


class Value(NamedTuple):
    """One value inside the bytes it was read from.

    Args:
        tag: the identifier octet.
        start: offset of the first octet of the content.
        end: offset after the last octet of the content.
    """

    tag: int
    start: int
    end: int


def read(data: bytes, at: int = 0, end: int | None = None) -> Value:
    """The value that begins at an offset.

    Args:
        data: the bytes.
        at: offset of the identifier octet.
        end: offset the value must not pass; None: the end of the bytes.

    Raises:
        Bad: no complete value there. Tags of several octets and indefinite lengths count as that.
    """
    end = len(data) if end is None else end
    if at + 2 > end:
        raise Bad(f"ends at octet {at}")
    tag, length, start = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise Bad(f"unknown tag at octet {at}")
    if length >= _INDEFINITE:
        octets = length & 0x7F
        if not 1 <= octets <= 4 or start + octets > end:
            raise Bad(f"bad length at octet {at + 1}")
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
    if start + length > end:
        raise Bad(f"value at octet {at} is longer than what holds it")
    return Value(tag, start, start + length)


def children(data: bytes, parent: Value) -> list[Value]:
    """The values inside a constructed value, in order.

    Raises:
        Bad: the content is not a row of complete values.
    """
    found = []
    at = parent.start
    while at < parent.end:
        found.append(read(data, at, parent.end))
        at = found[-1].end
    return found


def sequence(data: bytes) -> list[Value]:
    """The members of the SEQUENCE that the bytes consist of.

    Raises:
        Bad: not one SEQUENCE, or something follows it.
    """
    whole = read(data)
    if whole.tag != SEQUENCE:
        raise Bad("not a SEQUENCE")
    if whole.end != len(data):
        raise Bad(f"{len(data) - whole.end} octets follow the SEQUENCE")
    return children(data, whole)


def integer(data: bytes, value: Value) -> int:
    """The number in an INTEGER, sign included.

    Raises:
        Bad: not an INTEGER, or one without content.
    """
    if value.tag != INTEGER or value.start == value.end:
        raise Bad(f"no INTEGER at octet {value.start}")
    return int.from_bytes(data[value.start : value.end], "big", signed=True)


def check(data: bytes, parent: Value | None = None, depth: int = 0) -> None:
    """Walk through every constructed value.

    Raises:
        Bad: a length does not fit, something follows the outermost value, or it is nested too deeply.
    """
    if parent is None:
        parent = read(data)
        if parent.end != len(data):
            raise Bad(f"{len(data) - parent.end} octets follow the value")
    if depth > _MAX_DEPTH:
        raise Bad("nested too deeply")
    for child in children(data, parent):
        if child.tag & 0x20:
            check(data, child, depth + 1)


def encode(tag: int, content: bytes) -> bytes:
    """A value from its tag and content."""
    length = len(content)
    if length < _INDEFINITE:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _INDEFINITE | len(octets))) + octets + content


def encode_integer(number: int) -> bytes:
    """An INTEGER from a number that is not negative."""
    return encode(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
