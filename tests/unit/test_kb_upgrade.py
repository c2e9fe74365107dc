"""The upgrade guide names what waits between two versions, in the order in which to act."""

from __future__ import annotations

import dataclasses
import html
import json
import re

import pytest

from courierlib import catalogue
from courierlib.issue import Upgrade
from pages import upgrade
from pages.addresses import slug
from pages.versions import RELEASES, key

ENTRIES = list(catalogue.load().values())


def upgrading(entry, *upgrades):
    return dataclasses.replace(entry, issue=dataclasses.replace(entry.issue, upgrades=upgrades))


def sections(page):
    return dict(zip(*[iter(re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:])] * 2, strict=True))


PAGE = upgrade.page(
    [
        upgrading(ENTRIES[0], Upgrade("1.3.9", "after", "Look at the units."), Upgrade("1.0.14", "before", "Stop it.")),
        upgrading(ENTRIES[1], Upgrade("1.3.9", "before", "Take `-noidentlookup` out.", "debian")),
        upgrading(ENTRIES[2], Upgrade("0.76", "before", "Set `MAILUSER`."), Upgrade("1.3.9", "after", "Restart.")),
        upgrading(ENTRIES[3]),
    ]
)


def test_versions_compare_as_numbers():
    shuffled = ["1.0.16", "0.76", "2.0.6", "1.3.9", "0.76.3", "1.4.1", "1.0.6"]
    assert sorted(shuffled, key=key) == ["0.76", "0.76.3", "1.0.6", "1.0.16", "1.3.9", "1.4.1", "2.0.6"]
    assert [release.courier for release in RELEASES] == sorted((each.courier for each in RELEASES), key=key)


def test_sections_ascend_and_name_what_to_do_before_what_to_do_after():
    found = sections(PAGE)
    assert list(found) == ["Courier 0.76", "Courier 1.0.14", "Courier 1.3.9"]
    last = found["Courier 1.3.9"]
    steps = ["Before the upgrade:", "Take `-noidentlookup` out.", "After it:", "Look at the units.", "Restart."]
    assert [last.index(step) for step in steps] == sorted(last.index(step) for step in steps)
    assert (
        f"1. [{ENTRIES[1].title}](i/{ENTRIES[1].id}.md) ({ENTRIES[1].issue.severity.word}, Debian's packages only). "
        in last
    )


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("Courier 0.76", "On the way to Debian 9 (stretch, 0.76.3) from an older release."),
        ("Courier 1.0.14", "from Debian 10 (buster, 1.0.6) or older to Debian 11 (bullseye, 1.0.16) or newer."),
        ("Courier 1.3.9", "from Debian 12 (bookworm, 1.0.16) or older to Debian 13 (trixie, 1.4.1) or newer."),
    ],
)
def test_a_section_names_the_releases_between_which_it_lies(section, said):
    assert said in sections(PAGE)[section]


def test_a_version_that_no_release_has_is_said_to_be_so():
    page = upgrade.page([upgrading(ENTRIES[0], Upgrade("99.1", "before", "Wait."))])
    assert "No Debian release has it yet." in page


def test_the_script_finds_the_sections_and_their_steps_in_the_order_of_the_page():
    data = json.loads(html.unescape(re.search(r"data-upgrades=(['\"])(.*)\1></div>", PAGE)[2]))
    assert [section["id"] for section in data["sections"]] == [slug(heading) for heading in sections(PAGE)]
    for section, text in zip(data["sections"], sections(PAGE).values(), strict=True):
        assert [step[0] for step in section["steps"]] == re.findall(r"^\d+\. \[.*\]\(i/(.+)\.md\)", text, re.MULTILINE)
    assert [choice[0] for choice in data["choices"]][:4] == ["0", "0.76.3", "1.0.6", "1.0.16"]


def test_an_issue_that_no_upgrade_brings_is_not_listed():
    assert f"i/{ENTRIES[3].id}.md" not in PAGE


def test_without_any_upgrade_the_page_is_the_story_alone():
    page = upgrade.page([upgrading(entry) for entry in ENTRIES])
    assert "upgrade-choice" not in page and "# Upgrade guide" in page


@pytest.mark.parametrize("wrong", [Upgrade("1.3.9", "during", "x"), Upgrade("1.3.x", "before", "x")])
def test_an_upgrade_without_a_time_or_a_version_is_refused(wrong):
    with pytest.raises(ValueError):
        upgrade.page([upgrading(ENTRIES[0], wrong)])
