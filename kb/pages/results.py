"""What the real-host tests showed, and whether the issue files still say the same."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from courierlib.article import Output, Recording

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "tests/hosts/results"

HOSTS = {
    "bookworm": "Debian 12",
    "trixie": "Debian 13",
    "forky": "Debian testing (forky)",
    "trixie-openssl": "Debian 13 with an OpenSSL couriertls",
}
"""Kinds of tested hosts, in words."""

_SAYS_ONLY = {
    "affects",
    "alike",
    "bites",
    "formerly",
    "interrupts",
    "known",
    "references",
    "signatures",
    "tell",
    "upgrades",
}
"""Arguments of Issue that no test run depends on; each signature is held to its sample by the catalogue."""


@dataclass(frozen=True)
class Shown:
    """What the tests showed of an issue on one kind of host.

    Args:
        base: name of the host's kind, such as ``trixie-openssl``.
        courier: version of Courier there.
        tls: library of couriertls there.
        outcome: ``repaired``, ``found`` or ``cannot occur``.
        fingerprint: of the issue file at that time.
    """

    base: str
    courier: str
    tls: str
    outcome: str
    fingerprint: str


@dataclass(frozen=True)
class Recorded(Recording):
    """A recording, and the fingerprint of the issue file at that time."""

    fingerprint: str


def fingerprint(source: str) -> str:
    """Of an issue file, all but its article and what it only says: the results of a test run hold as long as it does.

    Args:
        source: text of the file.
    """
    tree = ast.parse(source)
    spoken: list[ast.AST] = tree.body[:1] if ast.get_docstring(tree) is not None else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Issue":
            spoken += [keyword for keyword in node.keywords if keyword.arg in _SAYS_ONLY]
    spans = [((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)) for node in spoken]
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            start = len(token.line[:column].encode())
            spans.append(((row, start), (row, start + len(token.string.encode()))))
    # From the end, so that what is left to do stays in its place. Not ast.dump: it differs between versions of Python.
    for (first, start), (last, end) in sorted(spans, reverse=True):
        lines[first - 1 : last] = [lines[first - 1][:start] + lines[last - 1][end:], *[b""] * (last - first)]
    kept = b"\n".join(line.rstrip() for line in lines if line.strip())
    return hashlib.sha256(kept).hexdigest()[:16]


def issue_fingerprint(issue_id: str) -> str:
    """Fingerprint of an issue's file as it is now."""
    path = REPOSITORY / "_utils/courierlib/issues" / f"{issue_id.replace('-', '_')}.py"
    return fingerprint(path.read_text())


def shown(folder: Path = RESULTS) -> Mapping[str, Mapping[str, Shown]]:
    """What was shown, by kind of host and issue."""
    return {
        path.stem: {
            issue: Shown(path.stem, facts["courier"], facts["tls"], facts["outcome"], facts.get("fingerprint", ""))
            for issue, facts in json.loads(path.read_text()).items()
        }
        for path in sorted(folder.glob("*.json"))
    }


def recordings(folder: Path = RESULTS / "outputs") -> Mapping[str, Mapping[str, Recorded]]:
    """What was recorded, by issue, and by ``healthy`` and ``broken``."""
    return {
        path.stem: {state: _recorded(facts) for state, facts in json.loads(path.read_text()).items()}
        for path in sorted(folder.glob("*.json"))
    }


def host(base: str, courier: str, tls: str) -> str:
    """A tested host in words."""
    library = {"gnutls": "GnuTLS", "openssl": "OpenSSL"}.get(tls, tls)
    return f"{HOSTS.get(base, base)}, Courier {courier}, {library}"


def _recorded(facts: Mapping) -> Recorded:
    salt, shell = (tuple(Output(each["command"], each["text"]) for each in facts[part]) for part in ("salt", "shell"))
    return Recorded(host(facts["base"], facts["courier"], facts["tls"]), salt, shell, facts["fingerprint"])
