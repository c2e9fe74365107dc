"""Finds the issue files, and refuses what is inconsistent."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from courierlib import issues, patterns
from courierlib.issue import Finding, Issue, Severity, Unknown
from courierlib.mailflow import PLACES

HEADINGS = (
    "What you see",
    "What it breaks",
    "Check by hand",
    "Fix by hand",
    "Undo",
    "How to see that it worked",
    "Why it happens",
)
COMPONENTS = ("services", "delivery", "mta", "tls", "auth")
GENERATIONS = ("OpenSSL 1.0", "OpenSSL 1.1", "OpenSSL 3", "GnuTLS")
"""Generations of TLS libraries whose messages differ."""

_ONLY_PYTHON = re.compile(r"\(\?[^:]|\\[AZzdDwWbB1-9]|[*+?}]\+|\{,")
"""What JavaScript or RE2 do not know, or know otherwise: flags, named groups, looking around, anchors, classes that are
Unicode's in Python, what a group matched, possessive quantifiers."""


class Inconsistent(Exception):
    """An issue file contradicts itself or another one; the message names the file and what to change."""


@dataclass(frozen=True)
class Entry:
    """One known problem.

    Args:
        issue: what a program needs to know.
        title: first line of the article.
        article: the rest of it, Markdown.
        check: yields findings for a host.
        fix: yields actions for findings; None where no safe repair is known.
        source: path of the file inside the repository.
    """

    issue: Issue
    title: str
    article: str
    check: Callable[..., Iterator[Finding | Unknown]]
    fix: Callable | None
    source: str

    @property
    def id(self) -> str:
        return self.issue.id

    @property
    def fixed_by(self) -> str | None:
        """The function that repairs it; None if nothing does."""
        return (self.issue.fixed_by or f"courier.fix {self.id}") if self.fix else None


def select(words: Iterable[str], entries: Mapping[str, Entry]) -> dict[str, Severity]:
    """The issues that words name, and from which severity up their findings are meant.

    Args:
        words: ids, components, severities (all findings from that severity up), or ``all``.

    Raises:
        KeyError: a word that is none of these; its argument is the word.
    """
    severities = {severity.word: severity for severity in Severity}
    chosen: dict[str, Severity] = {}
    for word in words:
        least = severities.get(word, Severity.LOW)
        if word == "all" or word in severities:
            named = list(entries)
        elif word in COMPONENTS:
            named = [issue for issue, entry in entries.items() if entry.issue.component == word]
        elif word in entries:
            named = [word]
        else:
            raise KeyError(word)
        chosen |= {issue: min(least, chosen.get(issue, least)) for issue in named}
    return chosen


@cache
def load() -> Mapping[str, Entry]:
    """All known problems by id, the gravest first.

    Raises:
        Inconsistent: an issue file contradicts itself or another one.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(issues.__path__))
    return collect(importlib.import_module(f"{issues.__name__}.{name}") for name in names)


def collect(modules: Iterable[ModuleType]) -> Mapping[str, Entry]:
    """Entries of the given issue modules.

    Raises:
        Inconsistent: see ``load``.
    """
    found: dict[str, Entry] = {}
    for module in modules:
        entry = _entry(module)
        if entry.id in found:
            raise Inconsistent(f"{entry.source}: id {entry.id!r} is already that of {found[entry.id].source}")
        found[entry.id] = entry
    _refuse_bad_relations(found)
    return dict(sorted(found.items(), key=lambda item: (-item[1].issue.severity, item[0])))


def _entry(module: ModuleType) -> Entry:
    name = module.__name__.rpartition(".")[2]
    source = f"_utils/courierlib/issues/{name}.py"
    issue, check = getattr(module, "ISSUE", None), getattr(module, "check", None)
    if not isinstance(issue, Issue) or not callable(check):
        raise Inconsistent(f"{source}: an issue file has ISSUE and check(host)")
    if issue.id != name.replace("_", "-"):
        raise Inconsistent(f"{source}: its id is {issue.id!r}, its name says {name.replace('_', '-')!r}")
    if issue.id in (*COMPONENTS, "all", *(severity.word for severity in Severity)):
        raise Inconsistent(f"{source}: id {issue.id!r} is a word that names a group of issues")
    if issue.component not in COMPONENTS:
        raise Inconsistent(f"{source}: component {issue.component!r} is none of {', '.join(COMPONENTS)}")
    title, _, article = inspect.cleandoc(module.__doc__ or "").partition("\n")
    headings = re.findall(r"^## (.+)$", article, re.MULTILINE)
    if not title or tuple(headings) != HEADINGS:
        raise Inconsistent(
            f"{source}: its docstring needs a title and the headings {', '.join(HEADINGS)}, in this order; "
            f"found: {', '.join(headings) or 'none'}"
        )
    if re.search(r"^ {1,3}```", article, re.MULTILINE):
        raise Inconsistent(f"{source}: indent what belongs to a list item by four spaces; less is not read as such")
    fix = getattr(module, "fix", None)
    if _keywords(fix) != set(issue.choices):
        raise Inconsistent(f"{source}: choices {', '.join(issue.choices) or 'none'} are not the options of its fix")
    if not issue.look:
        raise Inconsistent(f"{source}: look is empty; name the commands by whose output the issue is seen")
    for place in issue.bites:
        if place not in PLACES:
            raise Inconsistent(f"{source}: bites {place!r} is none of {', '.join(PLACES)}")
    for upgrade in issue.upgrades:
        if upgrade.act not in ("before", "after"):
            raise Inconsistent(f"{source}: upgrade to {upgrade.version}: act {upgrade.act!r} is not before or after")
    for signature in issue.signatures:
        if signature.tls and signature.tls not in GENERATIONS:
            raise Inconsistent(f"{source}: tls {signature.tls!r} of a signature is none of {', '.join(GENERATIONS)}")
        _refuse_bad(signature.pattern, signature.sample, source)
    return Entry(issue, title, article.strip() + "\n", check, fix, source)


def _refuse_bad_relations(entries: Mapping[str, Entry]) -> None:
    """Refuse what an issue says of another one that does not hold."""
    owners: dict[str, Entry] = dict(entries)
    for entry in entries.values():
        for other in entry.issue.alike:
            if other == entry.id or other not in entries:
                raise Inconsistent(f"{entry.source}: alike {other!r} is not the id of another issue")
        for former in entry.issue.formerly:
            if former in owners:
                raise Inconsistent(f"{entry.source}: formerly {former!r} is an id of {owners[former].source}")
            owners[former] = entry
        for other in entries.values():
            if other is entry or not shares_line(entry.issue, other.issue):
                continue
            if not entry.issue.tell:
                raise Inconsistent(f"{entry.source}: shares a log line with {other.id}, so tell must set it apart")
            if entry.issue.logged:
                raise Inconsistent(
                    f"{entry.source}: shares a log line with {other.id}, so its lines alone prove nothing"
                )


def shares_line(one: Issue, other: Issue) -> bool:
    """Whether a line that one issue is known by would name the other one too.

    The process does not count: a line pasted without its tag does not say which it was.
    """
    return any(
        re.search(reader.pattern, speaker.sample)
        for readers, speakers in ((one, other), (other, one))
        for reader in readers.signatures
        for speaker in speakers.signatures
    )


def _keywords(fix: Callable | None) -> set[str]:
    """Names of the options that a fix takes."""
    parameters = inspect.signature(fix).parameters.values() if fix else ()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def _refuse_bad(pattern: str, sample: str, source: str) -> None:
    if _ONLY_PYTHON.search(pattern):
        raise Inconsistent(f"{source}: pattern {pattern!r} uses what JavaScript or RE2 do not know")
    try:
        matches = re.search(pattern, sample)
    except re.error as failed:
        raise Inconsistent(f"{source}: pattern {pattern!r}: {failed}") from None
    if not matches:
        raise Inconsistent(f"{source}: pattern {pattern!r} misses its own sample {sample!r}")
    if reason := patterns.objection(pattern):
        raise Inconsistent(f"{source}: pattern {pattern!r}: {reason}")
