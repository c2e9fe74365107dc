"""The upgrade guide shows what bites on the chosen way, and nothing else."""

from __future__ import annotations

import itertools
import re

from conftest import Visit
from playwright.sync_api import Page, expect

from courierlib.catalogue import Entry
from pages.versions import RELEASES, key

VERSIONS = ["0", *dict.fromkeys(release.courier for release in RELEASES)]


def due(entries: list[Entry], start: str, end: str, packaging: str) -> list[str]:
    """Ids of the issues that bite on a way, once for each step."""
    return sorted(
        entry.id
        for entry in entries
        for upgrade in entry.issue.upgrades
        if key(start) < key(upgrade.version) <= key(end) and (not packaging or upgrade.packaging in ("", packaging))
    )


def shown(page: Page) -> list[str]:
    """Ids of the issues whose steps are visible."""
    links = page.locator("article ol > li:visible a[href*='/i/']:first-child")
    found = links.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return sorted(re.search(r"/i/([^/]+)/", link)[1] for link in found)


def test_the_guide_shows_what_bites_on_the_chosen_way(visit: Visit, entries: list[Entry]) -> None:
    with visit("upgrade/") as page:
        for (start, end), packaging in itertools.product(
            itertools.combinations(VERSIONS, 2), ("", "debian", "upstream")
        ):
            page.get_by_label("From").select_option(start)
            page.get_by_label("to", exact=True).select_option(end)
            page.get_by_label("built by").select_option(packaging)
            assert shown(page) == due(entries, start, end, packaging), (start, end, packaging)


def test_a_way_without_a_problem_says_what_may_be_left_of_an_older_one(visit: Visit, entries: list[Entry]) -> None:
    way = next(way for way in itertools.pairwise(VERSIONS) if not due(entries, *way, ""))
    with visit("upgrade/") as page:
        page.get_by_label("From").select_option(way[0])
        page.get_by_label("to", exact=True).select_option(way[1])
        expect(page.get_by_role("status")).to_have_text(
            "No upgrade on this way is known to bring a problem. "
            "What an older one left behind stays: run courier.audit."
        )


def test_a_way_can_be_kept_as_an_address(visit: Visit, entries: list[Entry]) -> None:
    with visit("upgrade/") as page:
        page.get_by_label("From").select_option(VERSIONS[-3])
        page.get_by_label("to", exact=True).select_option(VERSIONS[-2])
        chosen = page.url
        page.goto("about:blank")
        page.goto(chosen)
        expect(page.get_by_label("From")).to_have_value(VERSIONS[-3])
        assert shown(page) == due(entries, VERSIONS[-3], VERSIONS[-2], "")
