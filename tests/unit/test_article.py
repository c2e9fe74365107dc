"""An issue's page says what the program knows, what the author wrote, and how it is known."""

from __future__ import annotations

import pytest

from courierlib import article, catalogue
from courierlib.issue import Affects

ENTRIES = catalogue.load()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.id)
def test_a_page_has_the_facts_the_article_the_log_lines_and_the_evidence(entry):
    page = article.markdown(entry, "https://kb.example.com")
    assert page.startswith(f"# {entry.title}\n")
    assert f"* Severity: {entry.issue.severity.word}\n" in page
    assert f"https://kb.example.com/i/{entry.id}/" in page
    assert entry.article.strip() in page
    assert all(signature.sample in page for signature in entry.issue.signatures)
    assert all(f"* {known}\n" in page for known in entry.issue.known)
    assert ("## Log lines" in page) == bool(entry.issue.signatures)


def test_the_table_links_every_article():
    table = article.index(ENTRIES.values())
    assert all(f"]({issue}.md)" in table for issue in ENTRIES)
    assert all(row.count("|") == 5 for row in table.splitlines() if row.startswith("|"))


@pytest.mark.parametrize(
    ("affects", "words"),
    [
        (Affects(), "every version"),
        (Affects(tls="openssl", since="0.73"), "couriertls linked with OpenSSL, Courier 0.73 and later"),
        (Affects(packaging="debian", until="1.3.9"), "Debian's packages, before Courier 1.3.9"),
    ],
)
def test_what_is_affected_is_said_in_words(affects, words):
    assert article.affects(affects) == words
