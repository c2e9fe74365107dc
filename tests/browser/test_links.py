"""Every link leads somewhere, on the site and in its offline copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import builtsite
import pytest
from conftest import SITE, Visit
from playwright.sync_api import Browser, expect
from webserver import serve

from courierlib import KB_URL
from courierlib.catalogue import Entry
from pages import data


def dead(folder: Path, base: str, *, index: bool) -> Iterator[str]:
    """Links of a site's pages that lead nowhere; ``index`` if an address ending in a slash is a page there."""
    for name in builtsite.pages(folder):
        address = base + (name.removesuffix("index.html") if index else name)
        for link in builtsite.links(folder / name):
            target, anchor = urldefrag(urljoin(address, link))
            if target.startswith(base):
                file, listed = _file(folder, target.removeprefix(base)), index
            elif target.startswith(f"{KB_URL}/"):
                file, listed = _file(SITE, target.removeprefix(f"{KB_URL}/")), True
            elif urlsplit(target).scheme in ("http", "https", "mailto", "data", "javascript"):
                continue
            else:
                file, listed = Path("/nowhere"), False
            if not file.is_file() or (target.endswith("/") and not listed):
                yield f"{name}: {link}: no such file"
            elif anchor and file.suffix == ".html" and unquote(anchor) not in builtsite.anchors(file):
                yield f"{name}: {link}: no such anchor"


def _file(folder: Path, path: str) -> Path:
    path = unquote(urlsplit(path).path)
    return folder / (path + "index.html" if path.endswith("/") or not path else path)


def test_every_link_of_the_site_leads_somewhere() -> None:
    assert not list(dead(SITE, f"{KB_URL}/", index=True))


def test_every_link_of_the_offline_copy_leads_somewhere(offline: Path) -> None:
    assert not list(dead(offline, f"{offline.as_uri()}/", index=False))


@pytest.mark.parametrize("directory", [True, False])
def test_a_former_id_leads_to_its_issue(
    browser: Browser, entries: list[Entry], tmp_path: Path, directory: bool
) -> None:
    entry = replace(entries[0], issue=replace(entries[0].issue, formerly=("a-former-id",)))
    ((path, page_text),) = data.redirects([entry], directory).items()
    article = f"i/{entry.id}/index.html" if directory else f"i/{entry.id}.html"
    for name, text in ((path, page_text), (article, "<!doctype html><title>arrived</title>")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with serve(tmp_path, "") as renamed, browser.new_page() as page:
        page.goto(renamed.base + path)
        page.wait_for_url(renamed.base + article.removesuffix("index.html"))
        expect(page).to_have_title("arrived")


def test_what_is_missing_is_answered_with_a_page_that_leads_home(visit: Visit) -> None:
    with visit("no/such/page/", missing=True) as page:
        page.get_by_role("banner").get_by_role("link").first.click()
        page.wait_for_url("**/en/latest/")
