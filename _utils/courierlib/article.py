"""Issues as Markdown pages."""

from __future__ import annotations

from collections.abc import Iterable

from courierlib.audit import article_url
from courierlib.catalogue import Entry
from courierlib.issue import Affects


def markdown(entry: Entry, kb_url: str) -> str:
    """The article of an issue, as the terminal and the site show it.

    Args:
        kb_url: base address of the articles.
    """
    issue = entry.issue
    facts = [
        ("Severity", issue.severity.word),
        ("Component", issue.component),
        ("Affects", affects(issue.affects)),
        ("Repaired by", f"`{entry.fixed_by}`" if entry.fixed_by else "hand only"),
        ("The repair interrupts", issue.interrupts),
        ("Address", article_url(kb_url, entry.id)),
    ]
    lines = [f"# {entry.title}", ""]
    lines += [f"* {name}: {value}" for name, value in facts]
    lines += ["", entry.article.strip(), ""]
    if issue.signatures:
        lines += ["## Log lines", ""]
        for signature in issue.signatures:
            lines += [
                f"{' or '.join(signature.process)} ({signature.known}):",
                "",
                "```text",
                signature.sample,
                "```",
                "",
            ]
    lines += ["## How it is known", "", *(f"* {evidence}" for evidence in issue.known)]
    if issue.references:
        lines += ["", "## References", "", *(f"* <{reference}>" for reference in issue.references)]
    return "\n".join(lines) + "\n"


def index(entries: Iterable[Entry]) -> str:
    """A page that lists the issues, in the order given, each linked to its article beside it."""
    rows = [
        f"| {entry.issue.severity.word} | [{entry.title}]({entry.id}.md) | {entry.issue.component} | "
        f"{f'`{entry.fixed_by}`' if entry.fixed_by else 'by hand'} |"
        for entry in entries
    ]
    table = ["| severity | problem | component | repaired by |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(["# Known problems", "", *table, ""])


def affects(data: Affects) -> str:
    """Which builds an issue can occur on, in words."""
    words = []
    if data.packaging:
        words.append(
            {"debian": "Debian's packages", "upstream": "upstream's packages"}.get(data.packaging, data.packaging)
        )
    if data.tls:
        words.append({"openssl": "couriertls linked with OpenSSL", "gnutls": "couriertls linked with GnuTLS"}[data.tls])
    if data.since:
        words.append(f"Courier {data.since} and later")
    if data.until:
        words.append(f"before Courier {data.until}")
    return ", ".join(words) or "every version"
