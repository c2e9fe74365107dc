"""What is in a GDBM database, read from the file itself: Courier compiles its tables into such files."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from courierlib.issue import Unknown

_MAGIC = frozenset({0x13579ACE, 0x13579ACF, 0x13579AD1})
"""GDBM's own, with 64-bit offsets; the last with a counter of synchronisations (read: gdbmconst.h, GDBM 1.24)."""
_HEADER = "iiqiiiiq"
_BUCKET = 112
"""Bytes of a bucket before its elements: the list of free space, how many bits, how many elements."""
_ELEMENT = "i4sqii"


def parse(content: bytes, name: str) -> Mapping[str, str]:
    """Every record of a database.

    The layout is that of 64-bit machines (read: gdbmdefs.h, GDBM 1.24; run: databases of makedat and aliascreate on
    bookworm, trixie and forky).

    Args:
        name: what the message of a failure calls it.

    Raises:
        Unknown: it is no such database.
    """
    for order in "<>":
        if len(content) > struct.calcsize(order + _HEADER):
            magic = struct.unpack_from(f"{order}I", content)[0]
            if magic in _MAGIC:
                return _records(content, name, order)
    raise Unknown(f"{name}: not a GDBM database of a 64-bit machine")


def _records(content: bytes, name: str, order: str) -> Mapping[str, str]:
    _, _, directory, size, _, _, elements, _ = struct.unpack_from(order + _HEADER, content)
    found: dict[str, str] = {}
    try:
        # Several slots of the directory lead to one bucket.
        for bucket in sorted(set(struct.unpack_from(f"{order}{size // 8}q", content, directory))):
            for number in range(elements):
                at = bucket + _BUCKET + number * struct.calcsize(f"{order}{_ELEMENT}")
                hashed, _, where, key, value = struct.unpack_from(order + _ELEMENT, content, at)
                if hashed == -1:
                    continue
                if min(where, key, value) < 0 or where + key + value > len(content):
                    raise Unknown(f"{name}: damaged; a record lies outside the file")
                text = content[where : where + key + value].decode("utf-8", "surrogateescape")
                raw = content[where : where + key].decode("utf-8", "surrogateescape")
                found[raw] = text[len(raw) :]
    except struct.error:
        raise Unknown(f"{name}: damaged; it ends too early") from None
    return found
