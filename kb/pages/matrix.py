"""The matrix: which issue bites on which release, and what of it was shown on a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from courierlib.catalogue import Entry
from courierlib.issue import Affects, Severity
from pages import results
from pages.results import Shown
from pages.versions import RELEASES, SPLIT, key

_OUTCOMES = {
    "repaired": "affected, repaired",
    "found": "affected, found",
    "cannot occur": "not affected (run)",
}
_STALE = "not tested since the check changed"

_LEGEND = """\
| word | meaning |
| --- | --- |
| affected, repaired | run: made on that host, found and repaired |
| affected, found | run: made on that host and found; no repair was tested |
| not affected (run) | run: tried on that host, and it cannot occur |
| not affected | not run: the version, the packages or the TLS library rule it out |
| fixed in … | not run: that version of Courier no longer has it |
| affected, not tested | not run: nothing rules it out |
| not tested | not run, and nothing is known of those versions |
| as with GnuTLS | not run: it has nothing to do with the TLS library |
| not tested since the check changed | it was run, but with another version of the check or the repair |"""


@dataclass(frozen=True)
class _Column:
    """A kind of host.

    Args:
        head: its name.
        versions: of Courier, each with the Debian release's number; one, and no number, for a tested host.
        tls: library of couriertls.
        base: name of the tested host; empty if it is not tested.
    """

    head: str
    versions: tuple[tuple[str, str], ...]
    tls: str
    base: str = ""


def page(entries: Iterable[Entry], shown: Mapping[str, Mapping[str, Shown]]) -> str:
    """The page of the matrix.

    Args:
        entries: gravest first.
        shown: by kind of host and issue.
    """
    entries = list(entries)
    columns = [*_untested(shown), *_tested(shown)]
    parts = [
        "---\nhide:\n  - navigation\n  - toc\n---",
        "# Matrix",
        "Which problem a host can have, by release. What was run comes from [the tests on booted machines](tested.md). "
        "Debian builds Courier with GnuTLS since Debian 9. couriertls built with OpenSSL was run in one version; for "
        "another version, take the column of OpenSSL and that of the version together.",
        _LEGEND,
    ]
    for severity in sorted(Severity, reverse=True):
        if rows := [_row(entry, columns, shown) for entry in entries if entry.issue.severity is severity]:
            heads = ["Problem", "before 0.76", *(column.head for column in columns)]
            parts += [f"## {severity.word.capitalize()}", "\n".join([_line(heads), _line(["---"] * len(heads)), *rows])]
    if upstream := [entry for entry in entries if entry.issue.affects.packaging == "upstream"]:
        names = "\n".join(f"* {_link(entry)}: {_span(entry.issue.affects)}, not tested" for entry in upstream)
        parts.append(f"## Upstream's packages only\n\n{names}")
    return "\n\n".join(parts) + "\n"


def _untested(shown: Mapping[str, object]) -> list[_Column]:
    """Debian's releases that have no tested host, in one column."""
    left = [release for release in RELEASES if release.codename not in shown]
    if not left:
        return []
    versions = tuple((release.courier, release.number) for release in left)
    return [_Column(f"Debian {', '.join(number for _, number in versions)}, not tested", versions, "gnutls")]


def _tested(shown: Mapping[str, Mapping[str, Shown]]) -> list[_Column]:
    columns = []
    for base, issues in shown.items():
        if issues:
            some = next(iter(issues.values()))
            head = results.host(base, some.courier, some.tls)
            columns.append(_Column(head, ((some.courier, ""),), some.tls, base))
    return sorted(columns, key=lambda column: (key(column.versions[0][0]), column.tls))


def _row(entry: Entry, columns: list[_Column], shown: Mapping[str, Mapping[str, Shown]]) -> str:
    issue_print = results.issue_fingerprint(entry.id)
    cells = [_link(entry), _before_split(entry.issue.affects)]
    for column in columns:
        if result := shown.get(column.base, {}).get(entry.id):
            cells.append(_OUTCOMES[result.outcome] if result.fingerprint == issue_print else _STALE)
        else:
            cells.append(_said(entry.issue.affects, column, columns))
    return _line(cells)


def _link(entry: Entry) -> str:
    return f"[{entry.id}](i/{entry.id}.md)"


def _said(affects: Affects, column: _Column, columns: list[_Column]) -> str:
    """What the issue file says of hosts on which nothing was run."""
    words = {number: _of_version(affects, column.tls, version) for version, number in column.versions}
    if len(set(words.values())) > 1:
        return "; ".join(f"{number}: {word}" for number, word in words.items())
    (word,) = set(words.values())
    same = [each for each in columns if each.base and each.versions == column.versions and each.tls == "gnutls"]
    if word == "affected, not tested" and column.tls == "openssl" and not affects.tls and same:
        return "as with GnuTLS"
    return word


def _of_version(affects: Affects, tls: str, version: str) -> str:
    if affects.packaging == "upstream" or affects.tls not in ("", tls):
        return "not affected"
    if affects.since and key(version) < key(affects.since):
        return "not affected"
    if affects.until and key(version) >= key(affects.until):
        return f"fixed in {affects.until}"
    return "affected, not tested"


def _before_split(affects: Affects) -> str:
    """What is said of the versions before Debian 9; those packages were built with OpenSSL."""
    if affects.packaging == "upstream" or affects.tls == "gnutls":
        return "not affected"
    if affects.since and key(affects.since) >= key(SPLIT):
        return "not affected"
    return f"{_span(affects)}, not tested" if affects.since or affects.until else "not tested"


def _span(affects: Affects) -> str:
    since = f" from {affects.since}" if affects.since else ""
    until = f" before {affects.until}" if affects.until else ""
    return f"affected{since}{until}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
