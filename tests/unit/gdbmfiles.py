"""GDBM databases as makedat and aliascreate write them, in as few bytes as will do."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

_BLOCK = 4096
_HASH = 1


def write(path: Path, entries: Mapping[str, str]) -> None:
    """One bucket that every slot of the directory leads to, and the records behind it."""
    bucket, records = b"", b""
    for key, value in entries.items():
        raw = key.encode(), value.encode()
        bucket += struct.pack("<i4sqii", _HASH, raw[0][:4], 3 * _BLOCK + len(records), len(raw[0]), len(raw[1]))
        records += raw[0] + raw[1]
    elements = (_BLOCK - 112) // 24
    bucket += struct.pack("<i4sqii", -1, b"", 0, 0, 0) * (elements - len(entries))
    header = struct.pack("<Iiqiiiiq", 0x13579ACF, _BLOCK, _BLOCK, _BLOCK, 9, _BLOCK, elements, 4 * _BLOCK)
    directory = struct.pack("<q", 2 * _BLOCK) * (_BLOCK // 8)
    path.write_bytes(header.ljust(_BLOCK, b"\0") + directory + (b"\0" * 112 + bucket).ljust(_BLOCK, b"\0") + records)
