"""The matrix says what was run, what is ruled out and what is not known, each in its own words."""

from __future__ import annotations

import dataclasses
import re

import pytest

from courierlib import catalogue
from courierlib.issue import Affects
from pages import matrix, results
from pages.results import Shown

ENTRY = catalogue.load()["dh-params-weak"]
NOW = results.issue_fingerprint(ENTRY.id)
HOSTS = {"bookworm": ("1.0.16", "gnutls"), "trixie": ("1.4.1", "gnutls"), "trixie-openssl": ("1.4.1", "openssl")}


def cells(affects, outcomes=None, fingerprint=NOW):
    """The row of an issue: what its page links, then before 0.76, untested releases, and the hosts in HOSTS."""
    entry = dataclasses.replace(ENTRY, issue=dataclasses.replace(ENTRY.issue, affects=affects))
    # Some other issue was run on each host, so that each has a column.
    shown = {base: {"other": Shown(base, *versions, "repaired", "")} for base, versions in HOSTS.items()}
    for base, outcome in (outcomes or {}).items():
        shown[base][entry.id] = Shown(base, *HOSTS[base], outcome, fingerprint)
    page = matrix.page([entry], shown)
    row = next(line for line in page.splitlines() if line.startswith(f"| [{entry.id}]"))
    names = ["problem", "before", "untested", "bookworm", "trixie", "trixie-openssl"]
    return dict(zip(names, row.strip("| ").split(" | "), strict=True))


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("repaired", "affected, repaired"), ("found", "affected, found"), ("cannot occur", "not affected (run)")],
)
def test_what_was_run_is_said_as_run(outcome, word):
    assert cells(Affects(), {"trixie": outcome})["trixie"] == word


def test_a_result_of_another_check_counts_as_not_tested():
    assert cells(Affects(), {"trixie": "repaired"}, "0123")["trixie"] == "not tested since the check changed"


@pytest.mark.parametrize(
    ("affects", "expected"),
    [
        (
            Affects(tls="openssl"),
            {"before": "not tested", "bookworm": "not affected", "trixie-openssl": "affected, not tested"},
        ),
        (Affects(tls="gnutls"), {"before": "not affected", "trixie-openssl": "not affected"}),
        (Affects(packaging="upstream"), {"before": "not affected", "bookworm": "not affected"}),
        (Affects(packaging="debian"), {"trixie": "affected, not tested", "trixie-openssl": "as with GnuTLS"}),
        (
            Affects(since="1.3.9"),
            {
                "before": "not affected",
                "untested": "9: not affected; 10: not affected; 11: not affected; testing: affected, not tested",
                "bookworm": "not affected",
                "trixie": "affected, not tested",
            },
        ),
        (
            Affects(since="0.76", until="1.0.14"),
            {
                "before": "not affected",
                "untested": "9: affected, not tested; 10: affected, not tested; "
                "11: fixed in 1.0.14; testing: fixed in 1.0.14",
                "bookworm": "fixed in 1.0.14",
            },
        ),
        (Affects(since="0.73"), {"before": "affected from 0.73, not tested", "untested": "affected, not tested"}),
        (Affects(until="1.0.14"), {"before": "affected before 1.0.14, not tested"}),
    ],
    ids=str,
)
def test_what_was_not_run_is_said_from_the_issue_file(affects, expected):
    assert expected.items() <= cells(affects).items()


def test_an_issue_of_upstreams_packages_alone_is_listed_below():
    entry = dataclasses.replace(
        ENTRY, issue=dataclasses.replace(ENTRY.issue, affects=Affects(packaging="upstream", since="1.0"))
    )
    below = matrix.page([entry], {}).partition("## Upstream's packages only")[2]
    assert f"* [{entry.id}](i/{entry.id}.md): affected from 1.0, not tested" in below


def test_every_word_in_a_cell_is_explained():
    page = matrix.page(catalogue.load().values(), results.shown())
    legend, *tables = re.split(r"^## ", page, flags=re.MULTILINE)
    explained = set(re.findall(r"^\| (.+?) \| ", legend, re.MULTILINE))
    for line in "\n".join(tables).splitlines():
        if line.startswith("| ["):
            for cell in line.strip("| ").split(" | ")[1:]:
                for word in cell.split("; "):
                    plain = re.sub(r"^(\d+|testing): ", "", word)
                    plain = re.sub(r" (from|before) [\d.]+", "", plain)
                    assert re.sub(r"in [\d.]+$", "in …", plain) in explained, cell


def test_the_real_matrix_has_a_row_for_each_issue_the_gravest_first():
    entries = catalogue.load()
    page = matrix.page(entries.values(), results.shown())
    assert re.findall(r"^\| \[([a-z0-9-]+)\]\(i/\1\.md\)", page, re.MULTILINE) == list(entries)
