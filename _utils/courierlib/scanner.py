"""
Which lines of a block of mail log speak of an issue, and which look like an error that no issue knows.

Nearly all lines say that somebody logged in or that a message was delivered. So a line is read, as ``maillog.matching``
reads it, only if it holds one of a few fixed texts; they are chosen so that every line that any pattern matches holds
one. The engines differ in how they look for the texts, and in nothing else: what a line means is decided by Python's
``re`` on the one line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from courierlib import maillog, patterns
from courierlib.catalogue import Entry

LINE_LIMIT = 8192
"""Bytes of a line that are read: as many as rsyslog takes unless told otherwise (read: its manual, maxMessageSize)."""
WINDOW = 1 << 20
"""Bytes looked at in one go, or at the end of a block up to twice as many; a longer line is cut to LINE_LIMIT first."""

WORDS = (
    "rror:",
    "rror ",
    "ailed",
    "ermission denied",
    "ccess denied",
    "nable to",
    "annot ",
    "nvalid ",
    "o such file",
    "not found",
    "timed out",
    "onnection refused",
    "onnection limit reached",
    "terminated ",
    "ut of memory",
    "disk space",
    "INTERNAL ERROR",
    "CORRUPTION",
    "ABORTED",
)
"""Words of failure, as Courier's programs write them, without a first letter that may be a capital.

``error,relay=`` and ``denied.`` alone are not among them: courieresmtpd says so to every spammer that it turns away.
"""

_ACCOUNTS = {"courieresmtp": re.compile("id="), "courieresmtpd": re.compile("error,relay=")}
"""Lines that tell what another server answered, or what a client was told: no failure of this host."""
_SESSION = re.compile(r"[A-Z][A-Za-z ]*, (?:user|ip|method)=")
"""A session's beginning or end, with a name that the client chose."""
_ADDRESS = re.compile(r"from=<.*>,addr=<[^<>]*>|<[^<>]*>")
"""What the sender of a message chose, who may put brackets into quotation marks."""

_ORDINARY = """
Connection, ip=[::ffff:192.0.2.7], port=[40000]
LOGIN, user=user@example.com, ip=[::ffff:192.0.2.7], port=[40000], protocol=IMAP
LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.7], port=[40000]
LOGOUT, user=user@example.com, ip=[::ffff:192.0.2.7], port=[40000], headers=0, body=0, rcvd=0, sent=0, time=0
LOGOUT, user=user@example.com, ip=[::ffff:192.0.2.7], port=[40000], top=0, retr=0, rcvd=0, sent=0, time=0, stls=1
DISCONNECTED, user=user@example.com, ip=[::ffff:192.0.2.7], port=[40000], headers=0, body=0, rcvd=0, sent=0, time=0
TIMEOUT, user=user@example.com, ip=[::ffff:192.0.2.7], port=[40000]
Disconnected, ip=[::ffff:192.0.2.7], port=[40000], time=0, starttls=1
started,ip=[::ffff:192.0.2.7],port=[40000]
error,relay=::ffff:192.0.2.7,port=40000,msg="550 User unknown.",cmd: RCPT TO:<user@example.com>
error,relay=::ffff:192.0.2.7,from=<user@example.com>,to=<user@example.com>: 513 Relaying denied.
newmsg,id=00000000.00000000.00000000: dns; mail.example.com (mail.example.com [::ffff:192.0.2.7])
started,id=00000000.00000000.00000000,from=<user@example.com>,module=local,host=user!!8!8!/home!!,addr=<user@example.com>
completed,id=00000000.00000000.00000000
Waiting.  shutdown time=none, wakeup time=none, queuedelivering=0, inprogress=0
id=00000000.00000000.00000000,from=<user@example.com>,addr=<user@example.com>,size=0,success: Message delivered.
id=00000000.00000000.00000000,from=<user@example.com>,addr=<user@example.com>: 250 Ok
id=00000000.00000000.00000000,from=<user@example.com>,addr=<user@example.com>,size=0,success: delivered: mx.example.com
id=00000000.00000000.00000000,from=<user@example.com>,addr=<user@example.com>,status: deferred
"""
"""What a mail host logs all day: a text that occurs here is dear to look for."""
_DEAR = 10


class Match(NamedTuple):
    """A line that at least one signature matches, or that looks like an error.

    Args:
        offset: of the line's first byte in the block.
        line: without its end, at most LINE_LIMIT characters; what is not UTF-8 is replaced.
        tag: the process that speaks; empty if the line does not say.
        message: what it says.
        issues: ids in the order of the entries; empty if no issue is known to say it.
    """

    offset: int
    line: str
    tag: str
    message: str
    issues: tuple[str, ...]


class Scanner:
    """Reads blocks of log for the signatures of some issues; not to be shared by threads.

    Args:
        entries: the issues.
        engine: one of ENGINES; None takes the fastest that is installed.
        suspicious: also lines of Courier's processes that look like an error and belong to no issue.

    Raises:
        ValueError: there is no such engine, or it is not installed.
    """

    def __init__(self, entries: Iterable[Entry], engine: str | None = None, suspicious: bool = True):
        self._ids: list[str] = []
        self._spoken: dict[str, list[tuple[int, frozenset[str]]]] = defaultdict(list)
        for number, entry in enumerate(entries):
            self._ids.append(entry.id)
            for signature in entry.issue.signatures:
                self._spoken[signature.pattern].append((number, frozenset(signature.process)))
        self._processes = {tag for spoken in self._spoken.values() for _, tags in spoken for tag in tags}
        self._by_tag: dict[str, list[_Tried]] = {}
        self._suspicious = suspicious
        self.texts = _texts(self._spoken, WORDS if suspicious else ())
        self.engine, self._hits = _engine(engine, tuple(text.encode() for text in self.texts or ()))

    def scan(self, block: bytes) -> Iterator[Match]:
        """Matches in whole lines of log, the last of which may lack its newline; in the order of their offsets."""
        for offset, window in _windows(block):
            for start in sorted(self._starts(window)):
                if match := self._read(offset, window, start):
                    yield match

    def _starts(self, window: bytes) -> set[int]:
        """Where the lines begin that must be read."""
        if self.texts is None:
            return {0, *(found.end() for found in re.finditer(b"\n", window))}
        return {window.rfind(b"\n", 0, hit) + 1 for hit in self._hits(window)}

    def _read(self, offset: int, window: bytes, start: int) -> Match | None:
        end = window.find(b"\n", start, start + LINE_LIMIT)
        raw = window[start : end if end >= 0 else start + LINE_LIMIT]
        line = raw.decode("utf-8", "replace").rstrip("\r")
        tag, message = maillog.split(line)
        numbers: set[int] = set()
        for tried in self._tried(tag):
            if tried.text in message and tried.search(message):
                numbers |= tried.numbers
        if not numbers and not (self._suspicious and looks_like_an_error(tag, message)):
            return None
        return Match(offset + start, line, tag, message, tuple(self._ids[number] for number in sorted(numbers)))

    def _tried(self, tag: str) -> list[_Tried]:
        """The patterns for what a process says."""
        if tag and tag not in self._processes:
            return []
        if tag not in self._by_tag:
            self._by_tag[tag] = [
                _Tried(_needed(pattern), re.compile(pattern).search, numbers)
                for pattern, spoken in self._spoken.items()
                if (numbers := {number for number, tags in spoken if not tag or tag in tags})
            ]
        return self._by_tag[tag]


class _Tried(NamedTuple):
    """A pattern to try on a message: a text without which it cannot match, itself, and whose it is."""

    text: str
    search: Callable
    numbers: set[int]


def looks_like_an_error(tag: str, message: str) -> bool:
    """Whether a Courier process reports a failure of this host: a word of failure that no client or sender chose."""
    if tag not in maillog.PROCESSES or not any(word in message for word in WORDS):
        return False
    if _SESSION.match(message) or (tag in _ACCOUNTS and _ACCOUNTS[tag].match(message)):
        return False
    own = _ADDRESS.sub("<>", message)
    return any(word in own for word in WORDS)


def _windows(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Whole lines of a block, about WINDOW bytes at a time, each with its offset."""
    start = 0
    while len(block) - start > 2 * WINDOW:
        end = block.rfind(b"\n", start, start + WINDOW) + 1
        if end:
            yield start, block[start:end]
        else:
            yield start, block[start : start + LINE_LIMIT]
            end = block.find(b"\n", start + WINDOW) + 1 or len(block)
        start = end
    yield start, block[start:]


def _needed(pattern: str) -> str:
    """The longest text that every match contains whole; empty if there is none."""
    first, *others = _known_texts(pattern) or [()]
    return max(set(first).intersection(*others), key=lambda text: (len(text), text), default="")


def _known_texts(pattern: str) -> tuple[tuple[str, ...], ...] | None:
    try:
        return patterns.texts(pattern)
    except patterns.Unclear:
        return None


def _texts(spoken: Iterable[str], words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Texts such that every line that a pattern matches holds one of them, the words among them.

    None if there are none, because some pattern can match without any.
    """
    uncovered: set[tuple[str, ...]] = set()
    for pattern in spoken:
        ways = _known_texts(pattern)
        if ways is None or not all(ways):
            return None
        uncovered.update(way for way in ways if not any(word in text for text in way for word in words))
    return (*words, *_cover(uncovered))


def _cover(ways: set[tuple[str, ...]]) -> Iterator[str]:
    """Few and rare texts of which each way contains one: always the one that costs least for each way it covers."""
    covered: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for way in ways:
        for text in way:
            for piece in _pieces(text):
                covered[piece].add(way)
    offers: dict[frozenset, tuple[float, int, str]] = {}
    for piece, those in covered.items():
        offer = (1 + _DEAR * _ORDINARY.count(piece), -len(piece), piece)
        key = frozenset(those)
        offers[key] = min(offers.get(key, offer), offer)
    while ways:
        those, (_, _, piece) = min(
            ((those, offer) for those, offer in offers.items() if those & ways),
            key=lambda item: (item[1][0] / len(item[0] & ways), *item[1][1:]),
        )
        yield piece
        ways = ways - those


def _pieces(text: str) -> Iterator[str]:
    """Parts of a text that begin and end between words; itself if it is short."""
    cuts = [0, *(found.end() for found in re.finditer(r"\w+\W*|^\W+", text))]
    for number, start in enumerate(cuts):
        for end in cuts[number + 1 :]:
            if end - start >= patterns.SHORTEST or end - start == len(text):
                yield text[start:end]


def _engine(name: str | None, texts: tuple[bytes, ...]) -> tuple[str, Callable[[bytes], Iterable[int]]]:
    """An engine's name, and its function from a window to an offset in each line that holds a text."""
    if name is not None and name not in ENGINES:
        raise ValueError(f"there is no engine {name!r} for the log: {', '.join(ENGINES)}")
    for each in (name,) if name else ENGINES:
        try:
            return each, _ENGINES[each](texts)
        except ImportError:
            pass
    raise ValueError(f"engine {name!r} is not installed: pip install 'saltext-courier[fast]'")


def _with_hyperscan(texts: tuple[bytes, ...]) -> Callable[[bytes], Iterable[int]]:
    import hyperscan

    if not texts:
        return lambda window: ()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=texts, ids=range(len(texts)), elements=len(texts), flags=0, literal=True)

    def hits(window: bytes) -> list[int]:
        ends: list[int] = []
        database.scan(window, match_event_handler=lambda number, start, end, flags, context: ends.append(end - 1))
        return ends

    return hits


def _with_re2(texts: tuple[bytes, ...]) -> Callable[[bytes], Iterable[int]]:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    search = re2.compile(b"|".join(map(re2.escape, texts)), options).search

    def hits(window: bytes) -> Iterator[int]:
        end = 0
        while texts and end >= 0 and (found := search(window, end)):
            yield found.start()
            end = window.find(b"\n", found.start())

    return hits


def _with_re(texts: tuple[bytes, ...]) -> Callable[[bytes], Iterable[int]]:
    def hits(window: bytes) -> Iterator[int]:
        find = _finder()(window)
        for text in texts:
            hit = find(text, 0)
            while hit >= 0:
                yield hit
                end = window.find(b"\n", hit)
                hit = find(text, end) if end >= 0 else -1

    return hits


@cache
def _finder() -> Callable[[bytes], Callable[[bytes, int], int]]:
    """The fastest way to look for one text: the C library's, about three times as fast as Python's own."""
    try:
        import ctypes

        memmem = ctypes.CDLL(None).memmem
    except (ImportError, OSError, AttributeError):
        return lambda window: window.find
    memmem.restype = ctypes.c_void_p
    memmem.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)

    def finding(window: bytes) -> Callable[[bytes, int], int]:
        first, size = ctypes.cast(window, ctypes.c_void_p).value, len(window)

        def find(text: bytes, start: int) -> int:
            found = memmem(first + start, size - start, text, len(text))
            return found - first if found else -1

        return find

    return finding


_ENGINES = {"hyperscan": _with_hyperscan, "re2": _with_re2, "re": _with_re}
ENGINES: tuple[str, ...] = tuple(_ENGINES)
"""The fastest first."""
