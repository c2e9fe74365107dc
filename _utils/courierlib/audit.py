"""Every check against one host: found, clear, or unknown with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from courierlib.catalogue import Entry
from courierlib.host import Host
from courierlib.issue import Finding, Severity, Unknown


@dataclass(frozen=True)
class Verdict:
    """How one issue ended.

    Args:
        findings: where it was found.
        unknown: what could not be looked at, and why; with no findings the issue itself is unknown.
    """

    entry: Entry
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]

    def severity(self, finding: Finding) -> Severity:
        """That of a finding: its own, or else the issue's."""
        return finding.severity or self.entry.issue.severity

    def at_least(self, least: Severity) -> list[Finding]:
        """Findings from a severity up."""
        return [finding for finding in self.findings if self.severity(finding) >= least]


def judge(host: Host, entries: Iterable[Entry]) -> Iterator[Verdict]:
    """Run each check once."""
    for entry in entries:
        # A damaged file can have the same damage a thousand times: it is one finding.
        findings: dict[tuple[str, str], Finding] = {}
        unknown: list[str] = []
        try:
            for result in entry.check(host) if host.installed else ():
                if isinstance(result, Unknown):
                    unknown.append(result.reason)
                else:
                    findings.setdefault((result.where, result.detail), result)
        except Unknown as failed:
            unknown.append(failed.reason)
        yield Verdict(entry, tuple(findings.values()), tuple(dict.fromkeys(unknown)))


def report(
    host: Host,
    entries: Iterable[Entry],
    kb_url: str,
    threshold: Severity = Severity.LOW,
    least: Mapping[str, Severity] | None = None,
) -> dict:
    """The audit's result, in its stable shape.

    Args:
        entries: the issues to look for.
        kb_url: base address of the articles.
        threshold: findings below it are left out.
        least: the same for single issues, by id.

    Returns:
        ``courier``, ``findings`` (the gravest first), ``unknown`` and ``clear``. An issue of which one part was found
        and another could not be looked at stands in ``findings`` and in ``unknown``.
    """
    findings, unknown, clear = [], [], []
    verdicts = list(judge(host, entries)) if host.installed else []
    for verdict in verdicts:
        at_least = max(threshold, (least or {}).get(verdict.entry.id, threshold))
        findings += [(verdict.severity(finding), verdict.entry, finding) for finding in verdict.at_least(at_least)]
        unknown += [{"id": verdict.entry.id, "reason": printable(reason)} for reason in verdict.unknown]
        if not verdict.findings and not verdict.unknown:
            clear.append(verdict.entry.id)
    findings.sort(key=lambda found: (-found[0], found[1].id, found[2].where))
    return {
        "courier": _summary(host),
        "findings": [_row(*found, kb_url) for found in findings],
        "unknown": unknown,
        "clear": clear,
    }


def add(report: dict, more: Iterable[tuple[Entry, Finding]], kb_url: str) -> None:
    """Add findings that came from elsewhere than a check, such as the log, to a report; those of an issue that was
    found already are left out."""
    known = {row["id"] for row in report["findings"]}
    for entry, finding in more:
        if entry.id in known:
            continue
        report["findings"].append(_row(finding.severity or entry.issue.severity, entry, finding, kb_url))
        if entry.id in report["clear"]:
            report["clear"].remove(entry.id)
    # Stable, so that findings of one severity keep their order.
    report["findings"].sort(key=lambda row: -Severity[row["severity"].upper()])


def printable(text: str) -> str:
    """Text from a file, with what would act on a terminal, or not be seen at all, as an escape sequence."""
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def article_url(kb_url: str, issue_id: str) -> str:
    """Address of an issue's article."""
    return f"{kb_url.rstrip('/')}/i/{issue_id}/"


def _summary(host: Host) -> dict:
    summary: dict = {"installed": host.installed, "version": None, "tls": None, "root": host.root}
    if host.installed:
        for key, fact in (("version", "version"), ("tls", "tls_library")):
            try:
                summary[key] = getattr(host, fact)
            except Unknown:
                # The checks that need it say why; the summary only leaves it open.
                summary[key] = None
    return summary


def _row(severity: Severity, entry: Entry, finding: Finding, kb_url: str) -> dict:
    return {
        "id": entry.id,
        "severity": severity.word,
        "title": entry.title,
        "where": printable(finding.where),
        "detail": printable(finding.detail),
        "fix": entry.fixed_by if finding.fixable else None,
        "article": article_url(kb_url, entry.id),
    }


def describe(host: Host) -> dict:
    """What is known of an installation: version, TLS library, components, paths and services; unknown facts say why."""
    if not host.installed:
        return {"installed": False, "root": host.root}
    layout = host.layout
    paths = ("sysconfdir", "bindir", "sbindir", "libexecdir", "localstatedir", "piddir")
    return {
        "installed": True,
        "root": host.root,
        "version": _fact(lambda: host.version),
        "tls": _fact(lambda: host.tls_library),
        "tls_known": _fact(lambda: host.tls_library_known),
        "components": sorted(host.components),
        "mailuser": layout.mailuser,
        "mailgroup": layout.mailgroup,
        "paths": {name: getattr(layout, name) for name in paths},
        "layout_known": layout.known,
        "services": _fact(
            lambda: {
                service.name: {"state": service.state, "enabled": service.enabled, "roles": list(service.roles)}
                for service in host.services
            }
        ),
    }


def _fact(read):
    try:
        return read()
    except Unknown as failed:
        return f"unknown: {failed.reason}"
