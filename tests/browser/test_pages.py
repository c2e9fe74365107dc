"""Every page keeps to the site, is light, fits a telephone, and can be read by everybody."""

from __future__ import annotations

import builtsite
import pytest
from conftest import REPOSITORY, SITE, Visit
from kinds import KINDS
from loglines import BEFORE, SPOKEN
from playwright.sync_api import Page, expect
from webserver import Site

AXE = REPOSITORY / "kb/node_modules/axe-core/axe.min.js"
MOST_TRANSFERRED = 150 * 1024


def settled(page: Page) -> None:
    """Wait until the page has asked for all that it wants."""
    page.wait_for_load_state("networkidle")


def violations(page: Page) -> list[str]:
    """What axe finds wrong, and where."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(result => result.violations)")
    return [f"{rule['id']}: {', '.join(str(node['target']) for node in rule['nodes'][:5])}" for rule in found]


@pytest.mark.parametrize("name", KINDS)
def test_a_page_transfers_little_and_asks_nobody_but_the_site(visit: Visit, site: Site, name: str) -> None:
    before = len(site.sent)
    with visit(KINDS[name], missing=name == "missing") as page:
        settled(page)
        sent = [answer for answer in site.sent[before:] if "search_index" not in answer.path]
    size = sum(answer.size for answer in sent)
    assert size <= MOST_TRANSFERRED, sorted(((answer.size, answer.path) for answer in sent), reverse=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_a_page_is_accessible(visit: Visit, name: str, scheme: str) -> None:
    with visit(KINDS[name], missing=name == "missing", color_scheme=scheme, reduced_motion="reduce") as page:
        settled(page)
        assert not violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_search_dialog_with_answers_is_accessible(visit: Visit, scheme: str) -> None:
    with visit(color_scheme=scheme, reduced_motion="reduce") as page:
        page.keyboard.press("/")
        page.get_by_role("textbox", name="Search").fill(SPOKEN[0].line(BEFORE["RFC 3164"]))
        expect(page.locator(".courier-answers__list a").first).to_be_visible()
        expect(page.locator(".md-search-result__list a").first).to_be_visible()
        assert not violations(page)


def test_no_page_scrolls_sideways_on_a_telephone(visit: Visit, site: Site) -> None:
    wide = {}
    with visit(viewport={"width": 390, "height": 844}) as page:
        for name in builtsite.pages(SITE):
            if name != "404.html":
                page.goto(site.base + name.removesuffix("index.html"))
            width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            if width[0] > width[1]:
                wide[name] = width
    assert not wide


def test_a_log_line_and_a_command_can_be_copied(visit: Visit) -> None:
    with visit(KINDS["article"]) as page:
        blocks = page.locator("article pre")
        assert blocks.count()
        assert page.locator("article pre").filter(has=page.get_by_role("button")).count() == blocks.count()


@pytest.mark.parametrize("with_output", [False, True], ids=["a command alone", "with output"])
def test_the_copy_button_takes_the_commands_alone(visit: Visit, with_output: bool) -> None:
    with visit(KINDS["article"]) as page:
        blocks = page.locator("article .language-console").filter(has=page.locator(".gp"))
        output = page.locator(".go")
        block = (blocks.filter(has=output) if with_output else blocks.filter(has_not=output)).first
        commands = [
            line[2:] for line in block.locator("code").text_content().splitlines() if line.startswith(("# ", "$ "))
        ]
        assert commands
        page.evaluate("navigator.clipboard.writeText('')")
        block.hover()
        block.get_by_role("button").click()
        expect(page.get_by_text("Copied to clipboard")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()").splitlines() == commands


def test_a_printed_article_is_the_article_alone(visit: Visit) -> None:
    with visit(KINDS["article"]) as page:
        page.emulate_media(media="print")
        assert page.locator("article h1").is_visible()
        for place in ("navigation", "banner", "contentinfo"):
            for part in page.get_by_role(place).all():
                assert not part.is_visible(), place
