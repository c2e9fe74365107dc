"""Which process speaks in a line of a mail log, what it says, and which issues are known to say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from courierlib.catalogue import Entry
from courierlib.issue import Signature

PROCESSES = (
    "authdaemond",
    "courier",
    "courierd",
    "courierdsn",
    "courieresmtp",
    "courieresmtpd",
    "courierfilter",
    "courierlocal",
    "esmtpd",
    "esmtpd-msa",
    "esmtpd-ssl",
    "imapd",
    "imapd-ssl",
    "imaplogin",
    "pop3d",
    "pop3d-ssl",
    "pop3login",
    "submit",
)
"""Tags under which Courier's programs log."""

_DAY = r"[A-Z][a-z]{2} "
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]" + _CLOCK + r"(?: ?(?:Z|[A-Z]{3,5}|[+-][0-9]{2}:?[0-9]{2}))?"
_TIME = rf"(?:{_DAY}[ 0-9][0-9] {_CLOCK}|(?:{_DAY})?{_ISO}|\[ *[0-9]+\.[0-9]+\])"
_TAG = r"([A-Za-z][A-Za-z0-9_.+/@-]*)(?:\[[0-9]+\])?: "

PREFIXES = (
    # RFC 5424, as rsyslog forwards it: version, time, host, tag, process, message id, structured data.
    rf"^(?:<[0-9]{{1,3}}>)?1 {_ISO} \S+ (\S+) \S+ \S+ (?:-|\[[^\]]*\]) ",
    # RFC 3164, ISO 8601 (rsyslog since Debian 12, journalctl -o short-iso), journalctl -o short-full and
    # short-monotonic; before it perhaps what grep says of the file.
    rf"^(?:\S+?:(?:[0-9]+:)?)?(?:<[0-9]{{1,3}}>)?{_TIME} \S+ {_TAG}",
)
"""What may stand before a message; the group is the tag. In the common subset of Python, JavaScript and RE2."""

BARE_TAG = rf"^{_TAG}"
"""A tag with nothing before it, believed only if it is one of PROCESSES."""

_BLANK = " \t\r\n"
_PREFIXES = tuple(re.compile(prefix) for prefix in PREFIXES)
_BARE_TAG = re.compile(BARE_TAG)


def split(line: str) -> tuple[str, str]:
    """Tag and message of a line.

    Args:
        line: as any syslog, journalctl or an administrator's clipboard has it; white space at its ends does not count.

    Returns:
        The tag is empty if the line has none that can be told from the message.
    """
    line = line.strip(_BLANK)
    for prefix in _PREFIXES:
        if found := prefix.match(line):
            return found[1], line[found.end() :].lstrip(_BLANK)
    found = _BARE_TAG.match(line)
    if found and found[1] in PROCESSES:
        return found[1], line[found.end() :].lstrip(_BLANK)
    return "", line


def matching(line: str, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Signature]]:
    """Issues that are known to log a line, each with its first signature that matches.

    Where the line says which process speaks, only what that process is known to say counts.
    """
    tag, message = split(line)
    for entry in entries:
        for signature in entry.issue.signatures:
            if (not tag or tag in signature.process) and _says(signature, message):
                yield entry, signature
                break


def answers(text: str, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Issues that are known to log what somebody pasted: one line, or several.

    Somebody may have cut a line, or have it from a container whose name stands where the process should: where a line
    matches as nothing that its process is known to say, its message counts alone.
    """
    entries = list(entries)
    found: set[str] = set()
    for line in text.splitlines():
        told = {entry.id for entry, _ in matching(line, entries)}
        tag, message = split(line)
        if tag and not told:
            told = {entry.id for entry in entries if any(_says(each, message) for each in entry.issue.signatures)}
        found |= told
    return tuple(entry for entry in entries if entry.id in found)


def _says(signature: Signature, message: str) -> bool:
    return _compiled(signature.pattern).search(message) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
