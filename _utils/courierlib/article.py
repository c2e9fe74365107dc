"""Issues as Markdown pages: what the author wrote, and between it what the program knows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from courierlib import maillog
from courierlib.audit import article_url
from courierlib.catalogue import Entry
from courierlib.issue import Affects, Signature


@dataclass(frozen=True)
class Output:
    """A command and what it printed."""

    command: str
    text: str


@dataclass(frozen=True)
class Recording:
    """What an administrator sees on a host that has the issue, or has it not; recorded by a test on that host.

    Args:
        host: in words: release, versions.
        salt: the check, and on a broken host the announced repair.
        shell: the issue's ``look``, command by command.
    """

    host: str
    salt: tuple[Output, ...]
    shell: tuple[Output, ...]


@dataclass(frozen=True)
class Links:
    """Where the links of a page lead.

    Args:
        issue: address of an issue's article.
        function: address of a Salt function's reference, by its name; empty where there is none.
        source: address of the program part of an issue's file; empty where there is none.
        formula: address of the formula's reference; empty where there is none.
    """

    issue: Callable[[str], str]
    function: Callable[[str], str] = lambda name: ""
    source: Callable[[str], str] = lambda issue: ""
    formula: str = ""


def markdown(
    entry: Entry,
    entries: Mapping[str, Entry],
    kb_url: str,
    links: Links | None = None,
    recordings: Mapping[str, Recording] | None = None,
) -> str:
    """The article of an issue, as the terminal and the site show it.

    Args:
        entries: all issues, for those that look alike.
        kb_url: base address of the articles.
        links: where links lead; in a terminal, to the published site.
        recordings: what was recorded of it, by ``broken`` and ``healthy``.
    """
    links = links or Links(issue=lambda issue: article_url(kb_url, issue))
    recordings = recordings or {}
    written = _sections(entry.article)
    sections = (
        ("What you see", [written["What you see"], *_log_lines(entry, entries, links)]),
        ("What it breaks", [written["What it breaks"]]),
        ("Am I affected", _affected(entry, recordings)),
        ("Check by hand", [written["Check by hand"]]),
        ("Fix with Salt", _repair(entry, entries, links, recordings)),
        ("Fix by hand", [written["Fix by hand"]]),
        ("Undo", [_UNDO if entry.fix else "", written["Undo"]]),
        ("How to see that it worked", [written["How to see that it worked"]]),
        ("Why it happens", [written["Why it happens"]]),
        ("What looks alike", _alike(entry, entries, links)),
        ("How it is known", [_list(entry.issue.known)]),
        ("References", [_list(_references(entry, kb_url, links))]),
    )
    parts = [f"# {entry.title}", _facts(entry, links)]
    for heading, content in sections:
        if content := [part.strip("\n") for part in content if part.strip()]:
            parts += [f"## {heading}", *content]
    return "\n\n".join(parts) + "\n"


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


def sharing(signature: Signature, entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Ids of all issues that log the sample of a signature, its own among them.

    Stricter than ``catalogue.shares_line``: a sample has its process, a line that somebody pasted need not.
    """
    line = f"{signature.process[0]}: {signature.sample}"
    return tuple(entry.id for entry, _ in maillog.matching(line, entries.values()))


def neighbours(entry: Entry, entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Ids of the issues that look like one: they share a log line with it, or one of the two says so."""
    alike = set(entry.issue.alike) | {other.id for other in entries.values() if entry.id in other.issue.alike}
    for each in (entry, *entries.values()):
        for signature in each.issue.signatures:
            if entry.id in (sharers := sharing(signature, entries)):
                alike.update(sharers)
    return tuple(issue for issue in entries if issue in alike and issue != entry.id)


_UNDO = (
    "`salt-call courier.history` lists the repairs made with Salt, `salt-call courier.undo RUN` takes one back: files, "
    "owners and services. A process that was ended does not come back."
)


def _sections(text: str) -> dict[str, str]:
    """What the author wrote, by heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _facts(entry: Entry, links: Links) -> str:
    issue = entry.issue
    facts = [
        f"**{issue.severity.word}**",
        issue.component,
        f"affects {affects(issue.affects)}",
        f"repaired by {_function(entry.fixed_by, links)}" if entry.fixed_by else "repaired by hand only",
        f"the repair interrupts {issue.interrupts}",
    ]
    return " · ".join(facts)


def _function(call: str, links: Links) -> str:
    address = links.function(call.split()[0])
    return f"[`{call}`]({address})" if address else f"`{call}`"


def _log_lines(entry: Entry, entries: Mapping[str, Entry], links: Links) -> Iterator[str]:
    """The lines by the library that words them, each in a block of its own, so that it can be copied."""
    if not entry.issue.signatures:
        return
    yield "### Log lines"
    groups: dict[tuple[str, tuple[str, ...], str], list[Signature]] = {}
    for signature in entry.issue.signatures:
        groups.setdefault((signature.tls, signature.process, signature.known), []).append(signature)
    for (tls, processes, known), signatures in sorted(groups.items(), key=lambda group: group[0][0], reverse=True):
        yield f"{f'{tls}, logged' if tls else 'Logged'} by {_words(processes)} ({known}):"
        for signature in signatures:
            yield _fence("text", signature.sample)
            if others := [issue for issue in sharing(signature, entries) if issue != entry.id]:
                named = _words([f"[{issue}]({links.issue(issue)})" for issue in others], "and")
                yield f"{named} {'logs' if len(others) == 1 else 'log'} the same line."


def _affected(entry: Entry, recordings: Mapping[str, Recording]) -> Iterator[str]:
    check = f"salt-call courier.check {entry.id}"
    yield "With Salt, for the whole fleet `salt '*'` in place of `salt-call`:"
    yield _fence("console", f"# {check}")
    for state, recording in _both(recordings):
        yield f"{state} ({recording.host}) it prints:"
        yield _fence("text", recording.salt[0].text)
    if entry.issue.look:
        yield "Without Salt:"
        yield _fence("console", "\n".join(f"# {command}" for command in entry.issue.look))
        for state, recording in _both(recordings):
            yield f"{state} ({recording.host}):"
            yield _fence("console", "\n".join(_session(recording.shell)))


def _both(recordings: Mapping[str, Recording]) -> Iterator[tuple[str, Recording]]:
    for state, words in (("broken", "On a host that has it"), ("healthy", "On a healthy host")):
        if state in recordings:
            yield words, recordings[state]


def _session(outputs: Iterable[Output]) -> Iterator[str]:
    for output in outputs:
        yield f"# {output.command}"
        if output.text.strip():
            yield output.text.strip("\n")


def _repair(
    entry: Entry, entries: Mapping[str, Entry], links: Links, recordings: Mapping[str, Recording]
) -> Iterator[str]:
    if not entry.fixed_by:
        yield "Nothing repairs it by itself: no repair is safe without somebody who looks. Do it by hand."
        return
    chosen = _must_choose(entry)
    call = " ".join(["salt-call", entry.fixed_by, *(f"{name}={values[0]}" for name, values in chosen.items())])
    for name, values in chosen.items():
        offered = _words([f"`{value}`" for value in values])
        yield f"`{name}=` must be chosen: {offered}; {_function(entry.fixed_by, links)} says what each does."
    yield "First see what it would do:"
    yield _fence("console", f"# {call} test=True")
    for announced in recordings["broken"].salt[1:] if "broken" in recordings else ():
        choice = "" if announced.command == f"{call} test=True" else ", with another choice"
        yield f"Recorded ({recordings['broken'].host}{choice}):"
        yield _fence("console", "\n".join(_session([announced])))
    together = [other.id for other in entries.values() if other.fixed_by == entry.fixed_by and other.id != entry.id]
    if together:
        named = _words([f"[{issue}]({links.issue(issue)})" for issue in together], "and")
        yield f"It repairs {named} too, and may find more than the check above."
    yield "Then do it:"
    yield _fence("console", f"# {call}")
    yield f"It interrupts {entry.issue.interrupts}."
    if entry.issue.allows:
        words = _words([f"`allow={word}`" for word in entry.issue.allows])
        yield (
            f"What could lose mail or weaken a protection is withheld until it is named: {words}. The report says what "
            "applies to the host, and why."
        )
    yield "For a highstate:"
    options = [f"    - {name}: {values[0]}" for name, values in chosen.items()]
    yield _fence("yaml", "\n".join([f"{entry.id}:", "  courier.fixed:" + ("" if options else " []"), *options]))
    if links.formula:
        yield f"The [formula]({links.formula}) repairs it from pillar."


def _must_choose(entry: Entry) -> Mapping[str, tuple[str, ...]]:
    """Options of the repair that have no default."""
    parameters = inspect.signature(entry.fix).parameters
    return {name: values for name, values in entry.issue.choices.items() if not parameters[name].default}


def _alike(entry: Entry, entries: Mapping[str, Entry], links: Links) -> Iterator[str]:
    others = neighbours(entry, entries)
    if not others:
        return
    if entry.issue.tell:
        yield f"It is this problem if: {entry.issue.tell}"
    yield _list(
        f"[{entries[issue].title}]({links.issue(issue)})"
        + (f": {entries[issue].issue.tell}" if entries[issue].issue.tell else "")
        for issue in others
    )


def _references(entry: Entry, kb_url: str, links: Links) -> Iterator[str]:
    for reference in entry.issue.references:
        yield f"<{reference}>"
    source = links.source(entry.id)
    yield f"The program that finds and repairs it: {f'[`{entry.source}`]({source})' if source else f'`{entry.source}`'}"
    yield f"Address of this page: <{article_url(kb_url, entry.id)}>"


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"* {item}" for item in items)


def _words(items: Iterable[str], last: str = "or") -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *most, end = items
    return f"{', '.join(most)} {last} {end}" if most else end


def _fence(language: str, text: str) -> str:
    """A block of code, in a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"
