"""Streams of log: bounded expansion of compressed files, exported journals as lines, and blocks of whole lines.

Each stream is a raw reader that never raises for what its input is: it ends, and ``trouble`` says why.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone, tzinfo
from typing import BinaryIO

BLOCK = 1 << 19
"""Bytes that are read at a time; from 1 MiB on, the allocation costs more than the reading (run: glibc 2.36)."""

LINE = 1 << 20
"""Bytes of a line that are kept; the rest, up to its end, is dropped."""

EXPANDED = 8 << 30
"""Bytes that a compressed file may expand to."""

RATIO = 300
"""How many times its size a compressed file may expand to, once it has passed ``RATIO_FREE`` bytes. Mail logs shrink
10 to 40 times; gzip can reach 1,000, the others far more."""

RATIO_FREE = 64 << 20

_INPUT = 1 << 16
_DECODER_MEMORY = 128 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
_SNIFFED = 1 << 16
_UNPRINTABLE = re.compile(rb"[^\x21-\x7e]+")


class Expanded(io.RawIOBase):
    """What a compressed file contains, as far as it can be had.

    Args:
        file: the compressed file.
        method: ``gzip``, ``xz``, ``bzip2`` or ``zstd``.
        size: bytes of the compressed file.
    """

    def __init__(self, file: BinaryIO, method: str, size: int):
        self.trouble = ""
        self._file, self._size = file, size
        self._new = _DECODERS[method]
        self._decoder = self._new()
        self._input = b""
        self._fed = False
        self._made = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self.trouble:
            try:
                made = self._more(len(buffer))
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as failed:
                self.trouble = f"damaged after {self._made} bytes of its content ({str(failed).strip() or 'no reason'})"
                return 0
            if made is None:
                return 0
            if made:
                self._made += len(made)
                if self._made > EXPANDED or self._made > max(RATIO_FREE, RATIO * self._size):
                    limit = f"{EXPANDED} bytes" if self._made > EXPANDED else f"{RATIO} times its size"
                    self.trouble = f"stopped after {self._made} bytes: the file expands to more than {limit}"
                buffer[: len(made)] = made
                return len(made)
        return 0

    def _more(self, limit: int) -> bytes | None:
        """Up to ``limit`` bytes; none at all may mean that more input is needed, None is the end."""
        decoder = self._decoder
        if decoder.eof:
            rest = decoder.unused_data or self._file.read(_INPUT)
            while rest and not rest.strip(b"\0"):
                rest = self._file.read(_INPUT)  # Padding.
            if not rest:
                return None
            self._decoder, self._input = self._new(), rest
            return b""
        if not self._input and (isinstance(decoder, _Zlib) or decoder.needs_input):
            self._input = self._file.read(_INPUT)
            if not self._input:
                self.trouble = f"cut off after {self._made} bytes of its content"
                return None
        data, self._input = self._input, b""
        return (
            decoder.decompress(data, limit) if not isinstance(decoder, _Zlib) else self._inflate(decoder, data, limit)
        )

    def _inflate(self, decoder: _Zlib, data: bytes, limit: int) -> bytes:
        made = decoder.decompress(data, limit)
        self._input = decoder.unconsumed_tail
        return made


_Zlib = type(zlib.decompressobj())
_DECODERS: dict[str, Callable] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    # A hostile file could ask for gigabytes of dictionary.
    "xz": lambda: lzma.LZMADecompressor(memlimit=_DECODER_MEMORY),
    "bzip2": bz2.BZ2Decompressor,
}
try:
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
except ImportError:  # Before Python 3.14.
    pass
else:

    class _Zstd:
        """zstd's decoder with the errors of the others."""

        def __init__(self) -> None:
            self._decoder = ZstdDecompressor(options={DecompressionParameter.window_log_max: 27})

        def __getattr__(self, name: str):
            return getattr(self._decoder, name)

        def decompress(self, data: bytes, limit: int) -> bytes:
            try:
                return self._decoder.decompress(data, limit)
            except ZstdError as failed:
                raise ValueError(str(failed)) from None

    _DECODERS["zstd"] = _Zstd


def compression(begin: bytes) -> str:
    """How a file that begins so is compressed; empty if it is not."""
    return next((method for magic, method in _MAGIC.items() if begin.startswith(magic)), "")


def can_expand(method: str) -> bool:
    """Whether this Python can."""
    return method in _DECODERS


def exported(begin: bytes) -> str:
    """``export`` or ``json`` if a text that begins so was printed by journalctl in that format."""
    if begin.startswith(b"__CURSOR="):
        return "export"
    line = begin.partition(b"\n")[0]
    names = (b'"__CURSOR"', b'"__REALTIME_TIMESTAMP"', b'"MESSAGE"', b'"_BOOT_ID"')
    return "json" if begin.startswith(b"{") and any(name in line for name in names) else ""


def sniffed(file: io.BufferedReader) -> bytes:
    """How a file goes on, without reading on in it."""
    return file.peek(_SNIFFED)[:_SNIFFED]


class Pieces(io.RawIOBase):
    """A stream that is made piece by piece."""

    def __init__(self) -> None:
        self.trouble = ""
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def piece(self) -> bytes:
        """The next piece; empty at the end."""
        raise NotImplementedError

    def readinto(self, buffer: memoryview) -> int:
        if not self._left:
            self._left = memoryview(self.piece())
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


class Entries(Pieces):
    """An exported journal as lines: time, host, tag, process, message.

    A line break within a message becomes ``#012``, as rsyslog writes it: a message cannot imitate a line.

    Args:
        file: in the format ``form``.
        form: ``export`` or ``json``.
        zone: in which times are written.
    """

    def __init__(self, file: BinaryIO, form: str, zone: tzinfo):
        super().__init__()
        self._lines = self._from(_export(file) if form == "export" else _json(file))
        self._zone = zone

    def piece(self) -> bytes:
        return next(self._lines, b"")

    def _from(self, entries: Iterator[dict[str, bytes] | None]) -> Iterator[bytes]:
        damaged = 0
        for entry in entries:
            if entry is None or "MESSAGE" not in entry:
                damaged += entry is None
                continue
            yield self._line(entry)
        if damaged:
            self.trouble = f"{damaged} entries are damaged or too long to be read"

    def _line(self, entry: dict[str, bytes]) -> bytes:
        stamp = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry.get("__REALTIME_TIMESTAMP") or b""
        time = b"-"
        if stamp.isdigit() and len(stamp) < 17:
            at = datetime.fromtimestamp(int(stamp) / 1e6, timezone.utc).astimezone(self._zone)
            time = at.isoformat(timespec="microseconds").encode()
        host = _UNPRINTABLE.sub(b"?", entry.get("_HOSTNAME") or b"-")
        tag = _UNPRINTABLE.sub(b"?", entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or b"-")
        process = entry.get("_PID") or entry.get("SYSLOG_PID") or b""
        where = b"[%s]" % process if process.isdigit() else b""
        return b"%s %s %s%s: %s\n" % (time, host, tag, where, entry["MESSAGE"].replace(b"\n", b"#012"))


def _export(file: BinaryIO) -> Iterator[dict[str, bytes] | None]:
    """Entries of the export format; None for one that is damaged."""
    entry: dict[str, bytes] = {}
    while line := file.readline(LINE):
        if line == b"\n":
            if entry:
                yield entry
            entry = {}
            continue
        if not line.endswith(b"\n"):
            to_line_end(file)
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if not equals:
            size = int.from_bytes(file.read(8), "little")
            value = file.read(min(size, LINE))
            if not skipped(file, size - len(value)) or file.read(1) != b"\n":
                yield None
                return
        entry.setdefault(name.decode("ascii", "replace"), value)
    if entry:
        yield entry


def skipped(file: BinaryIO, size: int) -> bool:
    """Whether so many bytes could be passed over."""
    while size > 0:
        passed = len(file.read(min(size, BLOCK)))
        if not passed:
            return False
        size -= passed
    return True


def _json(file: BinaryIO) -> Iterator[dict[str, bytes] | None]:
    """Entries of ``journalctl -o json``; None for one that is damaged."""
    while line := file.readline(4 * LINE):
        if not line.endswith(b"\n") and to_line_end(file)[0]:
            yield None
            continue
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            yield None
            continue
        yield {name: _json_value(value) for name, value in entry.items()} if isinstance(entry, dict) else None


def _json_value(value: object) -> bytes:
    """A field: text, bytes as numbers where it is not UTF-8, or a list where it occurs twice."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, list) and value:
        if all(isinstance(each, int) and 0 <= each < 256 for each in value):
            return bytes(value)
        return _json_value(value[0]) if isinstance(value[0], (str, list)) and value[0] != value else b""
    return b""


def blocks(file: BinaryIO, begin: int = 0, stop: int | None = None, whole: bool = True) -> Iterator[tuple[bytes, int]]:
    """Blocks of whole lines, each with the offset at which it ends.

    Args:
        file: where it stands now is called ``begin``.
        stop: no line that begins there or later is read.
        whole: a last line without its end is delivered too; else it is left for when it is complete.
    """
    at = begin
    while (stop is None or at < stop) and (data := file.read(BLOCK if stop is None else min(BLOCK, stop - at))):
        line = data.rfind(b"\n") + 1
        end = at + len(data)
        if line < len(data):
            rest = file.readline(max(LINE - (len(data) - line), 0))
            end += len(rest)
            complete = rest.endswith(b"\n")
            if not complete and len(data) - line + len(rest) >= LINE:
                dropped, complete = to_line_end(file)
                end += dropped
                rest += b"\n"
            if not (complete or whole):
                if line:
                    yield data[:line], at + line
                return
            data += rest
        yield data, end
        at = end


def to_line_end(file: BinaryIO) -> tuple[int, bool]:
    """Drop the rest of a line: how many bytes, and whether its end was found."""
    dropped = 0
    while more := file.readline(BLOCK):
        dropped += len(more)
        if more.endswith(b"\n"):
            return dropped, True
    return dropped, False
