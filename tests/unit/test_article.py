"""An issue's page says what the program knows, what the author wrote, and how it is known."""

from __future__ import annotations

import dataclasses
import re

import pytest

from courierlib import article, catalogue
from courierlib.article import Links, Output, Recording
from courierlib.issue import Affects, Signature

ENTRIES = catalogue.load()
KB = "https://kb.example.com"

RECORDINGS = {
    state: Recording(
        host=f"a {state} host",
        salt=(Output("salt-call courier.check x", f"{state} check"), Output("salt-call courier.fix x", "announced")),
        shell=(Output("look one", f"{state} one"), Output("look two", "")),
    )
    for state in ("broken", "healthy")
}


def page(entry, **options):
    return article.markdown(entry, ENTRIES, KB, **options)


def changed(entry, **values):
    return dataclasses.replace(entry, issue=dataclasses.replace(entry.issue, **values))


def section(text, heading):
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.id)
def test_a_page_has_the_facts_the_article_the_log_lines_and_the_evidence(entry):
    text = page(entry)
    assert text.startswith(f"# {entry.title}\n\n**{entry.issue.severity.word}** · {entry.issue.component} · ")
    assert f"<{KB}/i/{entry.id}/>" in text
    for heading, written in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", entry.article, re.DOTALL | re.MULTILINE):
        assert written.strip() in section(text, heading)
    assert all(f"```text\n{signature.sample}\n```" in text for signature in entry.issue.signatures)
    assert all(f"* {known}\n" in section(text, "How it is known") for known in entry.issue.known)
    assert ("### Log lines" in text) == bool(entry.issue.signatures)
    assert (entry.fixed_by or "Do it by hand.") in section(text, "Fix with Salt")


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.id)
def test_the_sections_come_in_the_order_in_which_they_are_needed(entry):
    order = [
        "What you see",
        "What it breaks",
        "Am I affected",
        "Check by hand",
        "Fix with Salt",
        "Fix by hand",
        "Undo",
        "How to see that it worked",
        "Why it happens",
        "What looks alike",
        "How it is known",
        "References",
    ]
    headings = re.findall(r"^## (.+)$", page(entry), re.MULTILINE)
    assert headings == [heading for heading in order if heading in headings]
    assert set(order) - set(headings) <= {"What looks alike"}


def test_what_was_recorded_on_both_hosts_stands_beside_the_commands():
    entry = changed(ENTRIES["dh-params-weak"], look=("look one", "look two"))
    text = page(entry, recordings=RECORDINGS)
    affected = section(text, "Am I affected")
    assert "```console\n# look one\n# look two\n```" in affected
    for state in ("broken", "healthy"):
        assert f"a {state} host" in affected
        assert f"```text\n{state} check\n```" in affected
        assert f"```console\n# look one\n{state} one\n# look two\n```" in affected
    assert "# salt-call courier.fix x\nannounced\n" in section(text, "Fix with Salt")


def test_what_was_not_recorded_is_not_made_up():
    assert "On a host that has it" not in page(ENTRIES["dh-params-weak"])


def test_a_choice_without_default_is_named_and_one_with_a_default_is_not():
    assert "strategy=maildir test=True" in page(ENTRIES["maildrop-home-directory"])
    assert "    - strategy: maildir" in page(ENTRIES["maildrop-home-directory"])
    assert "group=" not in section(page(ENTRIES["dh-params-weak"]), "Fix with Salt")
    assert "dh-params-weak:\n  courier.fixed: []" in page(ENTRIES["dh-params-weak"])


def test_a_repair_that_was_recorded_with_another_choice_says_so():
    entry = ENTRIES["dh-params-weak"]
    assert "a broken host, with another choice):" in section(page(entry, recordings=RECORDINGS), "Fix with Salt")
    same = Output("salt-call courier.fix_dh test=True", "announced")
    broken = dataclasses.replace(RECORDINGS["broken"], salt=(RECORDINGS["broken"].salt[0], same))
    assert "another choice" not in page(entry, recordings={"broken": broken})


def test_a_repair_names_what_else_it_repairs():
    assert (
        f"It repairs [dh-params-unusable]({KB}/i/dh-params-unusable/) too, and may find more than the check above."
        in section(page(ENTRIES["dh-params-weak"]), "Fix with Salt")
    )
    assert "too, and may find" not in page(ENTRIES["pem-unreadable"])


def test_an_issue_without_a_repair_says_so():
    entry = dataclasses.replace(ENTRIES["dh-params-weak"], fix=None)
    text = page(entry)
    assert "repaired by hand only" in text
    assert "```" not in section(text, "Fix with Salt")
    assert "courier.undo" not in section(text, "Undo")


def test_issues_that_share_a_line_are_neighbours_and_the_line_says_so():
    entry = ENTRIES["pem-line-ends"]
    assert "pem-unreadable" in article.neighbours(entry, ENTRIES)
    assert f"[pem-unreadable]({KB}/i/pem-unreadable/) logs the same line." in page(entry)
    alike = section(page(entry), "What looks alike")
    assert f"* [{ENTRIES['pem-unreadable'].title}]({KB}/i/pem-unreadable/)" in alike


def test_looking_alike_holds_both_ways():
    first, second = ENTRIES["courierd-not-running"], ENTRIES["dh-params-weak"]
    entries = {**ENTRIES, first.id: changed(first, alike=(second.id,), tell="nothing answers")}
    assert second.id in article.neighbours(entries[first.id], entries)
    assert first.id in article.neighbours(second, entries)
    assert ": nothing answers" in section(article.markdown(second, entries, KB), "What looks alike")


def test_a_process_that_does_not_log_the_line_does_not_share_it():
    line = Signature(process=("imapd",), pattern=r"^Permission denied$", sample="Permission denied", known="run: x")
    entries = {**ENTRIES, "dh-params-weak": changed(ENTRIES["dh-params-weak"], signatures=(line,))}
    assert article.sharing(line, entries) == ("dh-params-weak",)


def test_log_lines_stand_by_the_library_that_words_them():
    entry = ENTRIES["dh-params-weak"]
    worded = tuple(
        dataclasses.replace(signature, tls=tls)
        for signature, tls in zip(
            entry.issue.signatures, ("OpenSSL 1.0", "OpenSSL 3", "", "OpenSSL 3", "OpenSSL 1.1"), strict=True
        )
    )
    text = section(page(changed(entry, signatures=worded)), "What you see")
    places = [text.index(words) for words in ("OpenSSL 3, logged", "OpenSSL 1.1, logged", "OpenSSL 1.0, logged")]
    assert places == sorted(places)
    assert text.rindex("\nLogged by") > places[-1]


def test_links_lead_where_the_reader_is():
    links = Links(
        issue=lambda issue: f"{issue}.md",
        function=lambda name: f"../reference/modules.md#{name}",
        source=lambda issue: f"../source/{issue}.md",
    )
    text = page(ENTRIES["pem-line-ends"], links=links)
    assert "](pem-unreadable.md)" in text
    assert "[`courier.fix_pem_eol`](../reference/modules.md#courier.fix_pem_eol)" in text
    assert "](../source/pem-line-ends.md)" in text


def test_a_fence_is_longer_than_what_it_holds():
    entry = changed(
        ENTRIES["dh-params-weak"],
        signatures=(Signature(process=("imapd",), pattern="`", sample="a ``` b", known="run: x"),),
    )
    assert "````text\na ``` b\n````" in page(entry)


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
