"""Every engine finds in a block of log exactly the lines that reading it line by line finds."""

from __future__ import annotations

import itertools
import random
import sys
import tracemalloc

import maillogs
import pytest

from courierlib import catalogue, maillog, scanner
from courierlib.catalogue import Entry
from courierlib.issue import Affects, Issue, Severity, Signature
from courierlib.scanner import LINE_LIMIT, WINDOW, Match, Scanner

ENTRIES = catalogue.load()
KNOWN = (
    b"Nov 22 18:51:04 mx1 imapd-ssl: ip=[192.0.2.7], couriertls: connect: error:0A0000C1:SSL routines::no shared cipher"
)
KNOWN_ISSUES = ("dh-params-weak", "dh-params-unusable")
engines = pytest.mark.parametrize("engine", scanner.ENGINES)


def entry(name: str, *spoken: tuple[str, str]) -> Entry:
    """A made-up issue that speaks in the given way: process and pattern."""
    signatures = tuple(Signature((process,), pattern, "", "") for process, pattern in spoken)
    issue = Issue(name, "mta", Severity.LOW, Affects(), "nothing", (), signatures)
    return Entry(issue, name, "", lambda host: iter(()), None, "")


def line_by_line(block: bytes, entries, suspicious: bool) -> list[Match]:
    """What the scanner shall find, without any of its short cuts."""
    found, offset = [], 0
    for raw in block.split(b"\n"):
        line = raw[:LINE_LIMIT].decode("utf-8", "replace").rstrip("\r")
        tag, message = maillog.split(line)
        issues = tuple(entry.id for entry, _ in maillog.matching(line, entries))
        if issues or (suspicious and scanner.looks_like_an_error(tag, message)):
            found.append(Match(offset, line, tag, message, issues))
        offset += len(raw) + 1
    return found


def log(seed: int, count: int) -> tuple[bytes, list[maillogs.Line]]:
    written = list(itertools.islice(maillogs.lines(seed, ENTRIES, known=0.1, odd=0.05), count))
    return "".join(line.text + "\n" for line in written).encode(), written


def damaged(seed: int, block: bytes) -> bytes:
    """A log that went through a broken disk: bytes lost, doubled, and replaced by what no syslog writes."""
    dice = random.Random(seed)
    pieces, at = [], 0
    while at < len(block):
        step = dice.randint(1, 400)
        pieces += [block[at : at + step], dice.choice([b"", b"\0", b"\xff", b"\r", b"\r\n", b"\n\n", b"\xc3", b": "])]
        at += step - dice.choice([0, 0, 1, -1, 30])
    return b"".join(pieces)


@engines
@pytest.mark.parametrize("suspicious", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_an_engine_finds_what_reading_line_by_line_finds(engine, suspicious, seed):
    block, _ = log(seed, 5000)
    for each in (block, damaged(seed, block), block[:-1], block.replace(b"\n", b"\r\n")):
        found = list(Scanner(ENTRIES.values(), engine, suspicious).scan(each))
        assert found == line_by_line(each, ENTRIES.values(), suspicious)
        assert len(found) > 100


@engines
@pytest.mark.parametrize("seed", range(5))
def test_of_a_log_whose_author_is_known_nothing_is_missed_and_nothing_made_up(engine, seed):
    block, written = log(seed, 5000)
    found = {match.line: match for match in Scanner(ENTRIES.values(), engine).scan(block)}
    for line in written:
        match = found.pop(line.text, None)
        assert (match.issues if match else ()) == line.issues, line.text
        assert (match is not None) == bool(line.issues or line.unexplained), line.text
    assert not found


@engines
@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("none")],
        [entry("a", ("submit", r"^\d+$"))],
        [entry("a", ("submit", r"(?i)PERMISSION")), entry("b", ("imapd", r"cipher|x"))],
        [entry("a", ("courierd", r"id=")), entry("b", ("courierd", r"\bid=.*addr=<")), entry("c", ("dovecot", r"\."))],
        [entry("a", ("courierlocal", r"é?success")), entry("b", ("courierlocal", "\ufffd"))],
    ],
)
def test_made_up_issues_are_found_too_however_odd_their_patterns(engine, entries):
    block, _ = log(7, 1000)
    block += b"7\nsubmit: 12\nNov 22 18:51:04 mx1 courierlocal: \xe9success\nNov 22 18:51:04 mx1 submit[1]: 5\n"
    for suspicious in (True, False):
        found = list(Scanner(iter(entries), engine, suspicious).scan(block))
        assert found == line_by_line(block, entries, suspicious)


@engines
@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\n",
        b"\n\n\r\n",
        b"\0",
        b"\0\n\xff\xfe\n",
        b"\r",
        bytes(range(256)) * 100,
        b"No supported cipher",
        b" \n \n",
    ],
)
def test_a_block_without_anything_known_is_read_without_complaint(engine, block):
    assert list(Scanner(ENTRIES.values(), engine).scan(block)) == []


@engines
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    "before", [b"", b"\n", b"\0\n", b"\xff" * 20 + b"\n", b"x" * (WINDOW - 1) + b"\n", b"x\n" * WINDOW]
)
def test_a_line_is_given_with_its_offset_and_without_its_end(engine, before, end):
    (match,) = Scanner(ENTRIES.values(), engine).scan(before + KNOWN + end)
    message = KNOWN.partition(b": ")[2].decode()
    assert match == Match(len(before), KNOWN.decode(), "imapd-ssl", message, KNOWN_ISSUES)


@engines
def test_bytes_that_are_not_utf_8_are_replaced(engine):
    block = b"Nov 22 18:51:04 mx1 imapd-ssl: couriertls: /etc/\xe4\0.pem: Permission denied\n"
    (match,) = Scanner(ENTRIES.values(), engine).scan(block)
    assert (match.message, match.issues) == ("couriertls: /etc/\ufffd\0.pem: Permission denied", ("pem-unreadable",))


@engines
def test_only_the_beginning_of_a_long_line_counts(engine):
    long = KNOWN.ljust(LINE_LIMIT, b".") + b"." * WINDOW
    late = b"Nov 22 18:51:04 mx1 imapd-ssl: " + b"." * LINE_LIMIT + KNOWN
    block = b"\n".join([long, late, KNOWN])
    first, last = Scanner(ENTRIES.values(), engine).scan(block)
    assert (first.offset, len(first.line), first.issues) == (0, LINE_LIMIT, KNOWN_ISSUES)
    assert (last.offset, last.line) == (len(block) - len(KNOWN), KNOWN.decode())


@engines
@pytest.mark.parametrize("filler", [b"x", b"\0", KNOWN])
def test_a_line_of_100_megabytes_takes_no_memory(engine, filler):
    block = filler * (100_000_000 // len(filler)) + b"\n" + KNOWN
    reader = Scanner(ENTRIES.values(), engine)
    tracemalloc.start()
    try:
        *_, last = reader.scan(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (last.line, peak < 4 * WINDOW) == (KNOWN.decode(), True)


@engines
def test_a_block_of_nothing_but_known_lines_takes_no_memory_beyond_a_window(engine):
    block = (KNOWN + b"\n") * 60_000
    reader = Scanner(ENTRIES.values(), engine)
    tracemalloc.start()
    try:
        count = sum(1 for _ in reader.scan(block))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (count, peak < 4 * WINDOW) == (60_000, True)


@pytest.mark.parametrize(
    ("tag", "message", "expected"),
    [
        ("imapd-ssl", "couriertls: connect: error:0A00010B:SSL routines::wrong version number", True),
        ("courierd", "Cannot open msgq/1", True),
        ("imapd", "chdir Maildir: No such file or directory", True),
        ("esmtpd", "Maximum connection limit reached for ::ffff:192.0.2.7", True),
        ("courierlocal", "id=1.2.3,from=<a@b>,addr=<c@d>: sh: 1: vacation: not found", True),
        ("authdaemond", "authpgsql: connection failed", True),
        ("imapd", "LOGIN FAILED, method=PLAIN, ip=[::1], port=[1]", False),
        ("imapd", "LOGIN, user=Permission denied, ip=[::1], port=[1], protocol=IMAP", False),
        ("courieresmtpd", 'error,relay=::1,port=1,msg="550 error: access denied",cmd: RCPT TO:<a@b>', False),
        ("courieresmtp", "id=1.2.3,from=<a@b>,addr=<c@d>: 550 Error: mailbox not found", False),
        ("courieresmtp", "id=1.2.3,from=<a@b>,addr=<c@d>,status: failure", False),
        ("courierlocal", "id=1.2.3,from=<error:@failed>,addr=<c@d>,size=1,success: Message delivered.", False),
        ("courierd", "SHUTDOWN: respawnlo limit reached, system inactive.", False),
        ("sshd", "error: kex_exchange_identification: Connection closed", False),
        ("", "error: of nobody in particular failed", False),
    ],
)
def test_an_error_is_what_a_courier_process_says_of_this_host(tag, message, expected):
    assert scanner.looks_like_an_error(tag, message) is expected


def test_without_the_c_librarys_search_the_same_is_found(monkeypatch):
    block, _ = log(1, 5000)
    found = list(Scanner(ENTRIES.values(), "re").scan(block))
    monkeypatch.setattr(scanner, "_finder", lambda: lambda window: window.find)
    assert list(Scanner(ENTRIES.values(), "re").scan(block)) == found


def test_the_fastest_installed_engine_is_taken():
    assert Scanner(ENTRIES.values()).engine == scanner.ENGINES[0]


@pytest.mark.parametrize("name", ["hyperscan", "re2"])
def test_an_engine_that_is_not_installed_is_refused_with_what_to_do(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"{name}.*pip install 'saltext-courier\[fast\]'"):
        Scanner(ENTRIES.values(), name)


def test_an_engine_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'pcre'.*hyperscan, re2, re"):
        Scanner(ENTRIES.values(), "pcre")


def test_without_extra_packages_the_standard_library_is_enough(monkeypatch):
    for name in ("hyperscan", "re2"):
        monkeypatch.setitem(sys.modules, name, None)
    assert Scanner(ENTRIES.values()).engine == "re"


def test_few_texts_are_looked_for_and_none_that_ordinary_lines_hold():
    reader = Scanner(ENTRIES.values(), "re", suspicious=False)
    wanted = {each.pattern for entry in ENTRIES.values() for each in entry.issue.signatures}
    assert len(reader.texts) < len(wanted) / 2
    ordinary = b"".join(
        line.text.encode() + b"\n" for line in itertools.islice(maillogs.lines(1, ENTRIES, known=0, odd=0), 9000)
    )
    assert [text for text in reader.texts if text.encode() in ordinary] == []
