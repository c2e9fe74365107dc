"""The catalogue as data, and the pages that lead from an id that an issue once had to its article."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape, quoteattr

import courierlib
from courierlib import maillog
from courierlib.audit import article_url
from courierlib.catalogue import Entry
from pages.addresses import address


def catalogue(entries: Iterable[Entry]) -> dict:
    """The catalogue in the form that programs read; the page "For programs" describes it.

    Args:
        entries: gravest first.
    """
    return {
        "format": 1,
        "generator": f"saltext-courier {courierlib.__version__}",
        "base": courierlib.KB_URL,
        "prefixes": list(maillog.PREFIXES),
        "bare_tag": maillog.BARE_TAG,
        "processes": list(maillog.PROCESSES),
        "issues": [_issue(entry) for entry in entries],
    }


def issues_json(entries: Iterable[Entry]) -> str:
    """The catalogue as a file for programs."""
    return json.dumps(catalogue(entries), ensure_ascii=False, indent=1) + "\n"


def catalogue_js(entries: Iterable[Entry]) -> str:
    """The catalogue as a script: a page from ``file://`` may load no other data."""
    return f"globalThis.courierCatalogue = {json.dumps(catalogue(entries), ensure_ascii=False)};\n"


def redirects(entries: Iterable[Entry], directory: bool) -> Mapping[str, str]:
    """HTML files by path: an id that an issue once had leads to its article.

    Args:
        directory: pages are ``name/``, not ``name.html``.
    """
    return {
        f"i/{old}/index.html" if directory else f"i/{old}.html": _redirect(entry, old, directory)
        for entry in entries
        for old in entry.issue.formerly
    }


def _issue(entry: Entry) -> dict:
    issue = entry.issue
    return {
        "id": issue.id,
        "title": entry.title,
        "severity": issue.severity.word,
        "component": issue.component,
        "affects": {name: getattr(issue.affects, name) for name in ("tls", "since", "until", "packaging")},
        "interrupts": issue.interrupts,
        "repaired_by": entry.fixed_by,
        "tell": issue.tell,
        "alike": list(issue.alike),
        "formerly": list(issue.formerly),
        "article": article_url(courierlib.KB_URL, issue.id),
        "signatures": [
            {
                "process": list(signature.process),
                "pattern": signature.pattern,
                "sample": signature.sample,
                "tls": signature.tls,
                "known": signature.known,
            }
            for signature in issue.signatures
        ],
    }


def _redirect(entry: Entry, old: str, directory: bool) -> str:
    target = address(f"i/{old}.md", f"i/{entry.id}.md", directory)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            '<meta name="robots" content="noindex">',
            f"<title>{escape(entry.title)}</title>",
            f'<link rel="canonical" href={quoteattr(article_url(courierlib.KB_URL, entry.id))}>',
            f'<meta http-equiv="refresh" content={quoteattr(f"0; url={target}")}>',
            f"<p>This page is now <a href={quoteattr(target)}>{escape(entry.title)}</a>.</p>",
            "</html>",
            "",
        ]
    )
