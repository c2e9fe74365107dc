"""Every link leads somewhere, on the site and in its offline copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import builtsite
from conftest import SITE, Visit

from courierlib import KB_URL
from courierlib.catalogue import Entry


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


def test_a_former_id_leads_to_its_issue(visit: Visit, entries: list[Entry]) -> None:
    for entry in entries:
        for former in entry.issue.formerly:
            with visit(f"i/{former}/") as page:
                page.wait_for_url(f"**/i/{entry.id}/")


def test_what_is_missing_is_answered_with_a_page_that_leads_home(visit: Visit) -> None:
    with visit("no/such/page/", missing=True) as page:
        page.get_by_role("banner").get_by_role("link").first.click()
        page.wait_for_url("**/en/latest/")
