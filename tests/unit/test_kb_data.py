"""The catalogue as data says what the issue files say, and old addresses lead on."""

from __future__ import annotations

import dataclasses
import html
import json
import re

import courierlib
from courierlib import catalogue, maillog
from pages import data
from pages.results import REPOSITORY

ENTRIES = list(catalogue.load().values())


def renamed(entry, *formerly, **values):
    return dataclasses.replace(entry, issue=dataclasses.replace(entry.issue, formerly=formerly), **values)


def test_the_file_has_every_issue_and_how_lines_are_read():
    read = json.loads(data.issues_json(ENTRIES))
    assert read["format"] == 1
    assert read["generator"] == f"saltext-courier {courierlib.__version__}"
    assert (read["base"], read["prefixes"]) == (courierlib.KB_URL, list(maillog.PREFIXES))
    assert (read["bare_tag"], read["processes"]) == (maillog.BARE_TAG, list(maillog.PROCESSES))
    assert [issue["id"] for issue in read["issues"]] == [entry.id for entry in ENTRIES]
    for issue, entry in zip(read["issues"], ENTRIES, strict=True):
        assert issue["affects"] == dataclasses.asdict(entry.issue.affects)
        assert (issue["title"], issue["severity"]) == (entry.title, entry.issue.severity.word)
        assert issue["repaired_by"] == entry.fixed_by
        assert issue["article"] == f"{courierlib.KB_URL}/i/{entry.id}/"
        signatures = [dataclasses.asdict(signature) for signature in entry.issue.signatures]
        assert issue["signatures"] == json.loads(json.dumps(signatures))


def test_its_keys_are_those_that_the_page_for_programs_describes():
    page = (REPOSITORY / "kb/docs/data.md").read_text()
    read = data.catalogue(ENTRIES)
    issue = next(issue for issue in read["issues"] if issue["signatures"])
    for key in [*read, *issue, *issue["affects"], *issue["signatures"][0]]:
        assert f"`{key}`" in page, key


def test_patterns_from_the_file_match_their_samples():
    read = json.loads(data.issues_json(ENTRIES))
    for pattern in [*read["prefixes"], read["bare_tag"]]:
        re.compile(pattern)
    signatures = [signature for issue in read["issues"] for signature in issue["signatures"]]
    assert signatures
    assert all(re.search(signature["pattern"], signature["sample"]) for signature in signatures)


def test_the_script_carries_the_same():
    script = data.catalogue_js(ENTRIES)
    found = re.fullmatch(r"globalThis\.courierCatalogue = (\{.*\});\n", script)
    assert json.loads(found[1]) == json.loads(data.issues_json(ENTRIES))


def test_an_old_id_leads_to_its_article_with_and_without_a_script():
    entry = renamed(ENTRIES[0], "old-name", title='A "<b>" & more')
    ((path, page),) = data.redirects([entry], True).items()
    assert path == "i/old-name/index.html"
    assert f'<link rel="canonical" href="{courierlib.KB_URL}/i/{entry.id}/">' in page
    assert f'content="0; url=../{entry.id}/"' in page
    assert f'<a href="../{entry.id}/">{html.escape(entry.title, quote=False)}</a>' in page
    assert "<b>" not in page


def test_an_old_id_leads_to_its_article_where_pages_are_files():
    ((path, page),) = data.redirects([renamed(ENTRIES[0], "old-name")], False).items()
    assert path == "i/old-name.html"
    assert f'content="0; url={ENTRIES[0].id}.html"' in page


def test_without_old_ids_there_is_nothing_to_lead_on():
    assert data.redirects([renamed(entry) for entry in ENTRIES], True) == {}
