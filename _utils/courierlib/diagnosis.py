"""
What a mail log says: which known problems speak in it, and what looks like an error that belongs to none.

A line of the log is a hint, not a verdict: several causes share one message, and only a check singles one out. So each
issue says with which others it shares its lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from courierlib.audit import article_url, printable
from courierlib.catalogue import Entry
from courierlib.issue import Unknown
from courierlib.logsources import Block
from courierlib.logtime import when
from courierlib.scanner import Match, Scanner

GROUPS = 1000
"""Kinds of unexplained lines that are told apart; more are counted together."""

_SAMPLE = 500
_SHOWN = 20

_SECRETS = r"\b(\w{0,20}(?:passw|passphrase|pwd|secret|clearpw|cryptpw|token|authresp)\w{0,20})"
_SECRET = re.compile(_SECRETS + r"(\s*[=:]\s*).*?(?=,\s*\w+=|$)", re.I)
_SECRET_WORD = re.compile(_SECRETS + r"(\s+(?:is\s+)?)(?!=)[^\s,]+", re.I)
_AUTH = re.compile(r"\b(AUTH(?:ENTICATE)?\s+[A-Z0-9-]+\s+)\S+", re.I)
_LOGIN = re.compile(r"\b(LOGIN\s+)(?!FAILED)(?:\"[^\"]*\"|[^\s,=]+)\s+(?:\"[^\"]*\"|[^\s,=]+)")
_BLOB = re.compile(r"(?<![\w/.+])(?=[A-Za-z0-9/]*[0-9+])[A-Za-z0-9+/]{32,}={0,2}(?![\w/.])")
_USER = re.compile(r"\b(user|username|sysusername|account)=([^\s,<>@])[^\s,<>@]*")
_BRACKETED = re.compile(r"\b(addr|to|from|user)=<([^\s<>@\"])[^\s<>@\"]*>")
_ACCOUNT = re.compile(r"\b(host=)([^\s,!])[^\s,!]*![^\s,]*")
_QUOTED = re.compile(r"\"[^\"]*\"@")
_MAILBOX = re.compile(r"(?<![^\s<>@,;:=\"'])([^\s<>@,;:=\"'…])[^\s<>@,;:=\"']{0,63}@([^\s<>,;:\"']+)")
_IPV4 = re.compile(r"\b([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}\b")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:([0-9a-f]{1,4}):(?:[0-9a-f]{1,4}:){0,6}:|([0-9a-f]{1,4}):(?:[0-9a-f]{1,4}:){3,6})[0-9a-f:]*(?:%\w+)?",
    re.I,
)

_PARTICULAR = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\b[0-9A-F]{6,}(?:\.[0-9A-F]{6,})*\b|[0-9]+")


@dataclass
class Tally:
    """Lines that say the same.

    Args:
        count: how many.
        first, last: times of the first and the last that carry one.
        sample: the last of them, as it was logged; only ``tally_row`` cuts it down, once and not line by line.
    """

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    sample: str = ""

    def add(self, time: datetime | None, line: str) -> None:
        self.count += 1
        if time:
            self.first = min(self.first or time, time)
            self.last = max(self.last or time, time)
        self.sample = line


@dataclass
class Speaking(Tally):
    """Lines of an issue.

    Args:
        alone: how many no other issue is known to log.
        shares: ids of the others.
    """

    alone: int = 0
    shares: set[str] = field(default_factory=set)


@dataclass
class Diagnosis:
    """What was found in a log.

    Args:
        read: names of what was read.
        issues: by id.
        unexplained: by process and message without its particulars.
        beyond: unexplained lines of more kinds than are told apart.
        unknown: what could not be read, and why.
    """

    read: list[str] = field(default_factory=list)
    issues: dict[str, Speaking] = field(default_factory=dict)
    unexplained: dict[tuple[str, str], Tally] = field(default_factory=dict)
    beyond: int = 0
    unknown: list[str] = field(default_factory=list)


def diagnose(
    log: Iterable[Block | Unknown], entries: Iterable[Entry], now: datetime, engine: str | None = None
) -> Diagnosis:
    """Read a log.

    Args:
        log: blocks of whole lines; Unknown for what could not be read.
        now: has the time zone of stamps that carry none.
        engine: see ``scanner.Scanner``.

    Raises:
        ValueError: there is no such engine.
    """
    scanner = Scanner(entries, engine)
    found = Diagnosis()
    for block in log:
        if isinstance(block, Unknown):
            found.unknown.append(block.reason)
            continue
        if block.source.name not in found.read:
            found.read.append(block.source.name)
        for match in scanner.scan(block.data):
            _add(found, match, when(match.line, block.near or now))
    return found


def report(found: Diagnosis, entries: Mapping[str, Entry], kb_url: str, wanted: Collection[str] | None = None) -> dict:
    """The diagnosis for an operator and for programs.

    Args:
        entries: all issues, by id.
        kb_url: base address of the articles.
        wanted: ids of the issues to report; None for all.

    Returns:
        ``read`` (names), ``issues`` (the gravest first), ``unexplained`` (the most frequent first),
        ``unexplained_lines`` (all of them) and ``unknown`` (reasons). Times are ISO 8601, or None where no line carries
        one.
    """
    rows = sorted(found.unexplained.items(), key=lambda item: (-item[1].count, item[0]))
    return {
        "read": [printable(name) for name in found.read],
        "issues": [
            _issue(entries[issue], found.issues[issue], kb_url)
            for issue in entries
            if issue in found.issues and (wanted is None or issue in wanted)
        ],
        "unexplained": [{"process": tag, **tally_row(tally)} for (tag, _), tally in rows[:_SHOWN]],
        "unexplained_lines": sum(tally.count for _, tally in rows) + found.beyond,
        "unknown": [printable(reason) for reason in found.unknown],
    }


def tally_row(tally: Tally) -> dict:
    """A tally as data, with its sample cut down."""
    return {
        "count": tally.count,
        "first": tally.first and tally.first.isoformat(timespec="seconds"),
        "last": tally.last and tally.last.isoformat(timespec="seconds"),
        "sample": discreet(tally.sample),
    }


def discreet(line: str) -> str:
    """A line without secrets, with accounts and addresses cut down, fit for a report; paths stay."""
    line = line[: 4 * _SAMPLE]
    line = _AUTH.sub(r"\1…", line)
    line = _LOGIN.sub(r"\1…", line)
    line = _SECRET.sub(r"\1\2…", line)
    line = _SECRET_WORD.sub(r"\1\2…", line)
    line = _BLOB.sub("…", line)
    line = _USER.sub(r"\1=\2…", line)
    line = _BRACKETED.sub(r"\1=<\2…>", line)
    line = _ACCOUNT.sub(r"\1\2…", line)
    line = _QUOTED.sub("…@", line)
    line = _MAILBOX.sub(r"\1…@\2", line)
    line = _IPV6.sub(lambda found: f"{found[1] or found[2]}:…", line)
    line = _IPV4.sub(r"\1.…", line)
    return printable(line[:_SAMPLE] + ("…" if len(line) > _SAMPLE else ""))


def _add(found: Diagnosis, match: Match, time: datetime | None) -> None:
    if not match.issues:
        key = (match.tag, _PARTICULAR.sub("#", match.message)[:200])
        if key not in found.unexplained and len(found.unexplained) >= GROUPS:
            found.beyond += 1
            return
        found.unexplained.setdefault(key, Tally()).add(time, match.line)
        return
    for issue in match.issues:
        speaking = found.issues.setdefault(issue, Speaking())
        speaking.add(time, match.line)
        speaking.alone += len(match.issues) == 1
        speaking.shares.update(other for other in match.issues if other != issue)


def _issue(entry: Entry, speaking: Speaking, kb_url: str) -> dict:
    return {
        "id": entry.id,
        "severity": entry.issue.severity.word,
        "title": entry.title,
        **tally_row(speaking),
        "alone": speaking.alone,
        "shared_with": sorted(speaking.shares),
        "tell": entry.issue.tell if speaking.shares else "",
        "article": article_url(kb_url, entry.id),
    }


def blocks(sources: Iterable, read) -> Iterator[Block | Unknown]:
    """Blocks of all sources, and Unknown for what of them could not be read.

    Args:
        sources: as ``logsources.sources`` gives them.
        read: from a source to its blocks; raises Unknown.
    """
    for source in sources:
        if isinstance(source, Unknown):
            yield source
            continue
        # So that it counts as read even if there is no line in it.
        empty = Block(b"", source)
        try:
            for block in read(source):
                yield block
                empty = None
            if empty:
                yield empty
        except Unknown as failed:
            yield failed
