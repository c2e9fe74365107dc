"""The offline copy does the same from a disk, where a browser lets a page fetch nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import builtsite
import loglines
import pytest
from conftest import COPY, REPOSITORY, SITE, Visit
from kinds import KINDS
from playwright.sync_api import Page, expect
from ways import drop

LINE = loglines.SPOKEN[0].line(loglines.BEFORE["ISO 8601"])
ARTICLE = f"i/{loglines.issues(LINE)[0]}.html"


def ask(page: Page, text: str) -> None:
    page.keyboard.press("/")
    page.get_by_role("textbox", name="Search").fill(text)


def file(folder: Path, address: str) -> str:
    """A page of the copy by its address on the site."""
    at = folder / (
        f"{address}index" if not address or (folder / f"{address}index.html").exists() else address.rstrip("/")
    )
    return f"{at.as_uri()}.html"


@pytest.mark.parametrize("name", [name for name in KINDS if name != "missing"])
def test_a_page_opens_from_a_disk(visit: Visit, offline: Path, name: str) -> None:
    with visit(file(offline, KINDS[name])) as page:
        page.wait_for_load_state("networkidle")
        expect(page.locator("article h1")).to_be_visible()


def test_a_line_in_the_search_dialog_is_answered(visit: Visit, offline: Path) -> None:
    with visit(file(offline, KINDS["article"])) as page:
        ask(page, LINE)
        page.locator(".courier-answers__list a").first.click()
        page.wait_for_url((offline / ARTICLE).as_uri())


def test_words_in_the_search_dialog_are_found(visit: Visit, offline: Path) -> None:
    with visit(file(offline, "")) as page:
        ask(page, "maildrop home directory")
        found = page.locator(".md-search-result__list a[href*='/i/maildrop']").first
        found.click()
        page.wait_for_url(f"{offline.as_uri()}/i/maildrop*.html*")


def test_the_log_page_reads_a_file(visit: Visit, offline: Path, tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(f"{LINE}\n")
    with visit(file(offline, "log/")) as page:
        drop(page, page.locator("#courier-log"), tmp_path / "mail.log")
        page.locator(".courier-log__title a").first.click()
        page.wait_for_url((offline / ARTICLE).as_uri())


def test_a_place_on_the_start_page_leads_to_the_map(visit: Visit, offline: Path) -> None:
    with visit(file(offline, "")) as page:
        page.locator("article svg a").first.click()
        page.wait_for_url(f"{(offline / 'map.html').as_uri()}#*")


def test_a_problem_on_the_map_leads_to_its_article(visit: Visit, offline: Path) -> None:
    with visit(file(offline, "map/")) as page:
        page.locator("article svg a").first.click()
        page.wait_for_url(f"{offline.as_uri()}/i/*.html")


def test_the_navigation_leads_to_another_page(visit: Visit, offline: Path) -> None:
    with visit(file(offline, "")) as page:
        page.get_by_role("navigation").get_by_role("link", name="Problems").first.click()
        page.wait_for_url((offline / "i/index.html").as_uri())


def test_the_copy_has_every_page_of_the_site(offline: Path) -> None:
    def there(name: str) -> bool:
        return (offline / name).exists() or (offline / f"{name.removesuffix('/index.html')}.html").exists()

    assert not [name for name in builtsite.pages(SITE) if name != "404.html" and not there(name)]


def test_the_copy_is_as_small_as_its_page_says(offline: Path) -> None:
    assert "less than 2 MB" in (offline / "offline.html").read_text()
    assert (SITE / COPY).stat().st_size < 2_000_000


def test_a_call_without_a_directory_is_answered_with_how_to_call_it() -> None:
    refused = subprocess.run([sys.executable, REPOSITORY / "kb/offline.py"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage:") and "Traceback" not in refused.stderr
