"""A log line pasted into the search dialog names its issues first, whichever way it gets there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import loglines
import pytest
from conftest import Visit
from playwright.sync_api import Page, expect
from ways import copy, paste_by_keyboard, paste_by_mouse
from webserver import Site

from courierlib.catalogue import Entry

ANSWERS = ".courier-answers__list a[href*='/i/']"
HEADING = ".courier-answers__heading"


@pytest.fixture(scope="module")
def dialog(visit: Visit) -> Iterator[Page]:
    """The start page with the search dialog open."""
    with visit() as page:
        page.keyboard.press("/")
        expect(page.get_by_role("textbox", name="Search")).to_be_focused()
        yield page


@pytest.fixture(scope="module")
def asked(visit: Visit) -> Iterator[Page]:
    """A page for searches that are opened as an address."""
    with visit() as page:
        yield page


def assert_answered(page: Page, line: str) -> None:
    """The answers are exactly the issues that log the line, and where they share it, how to tell them apart."""
    expected = loglines.issues(line)
    answers = page.locator(ANSWERS)
    expect(answers).to_have_count(len(expected))
    for number, issue in enumerate(expected):
        expect(answers.nth(number)).to_have_attribute("href", re.compile(rf"/i/{issue}(/|\.html)$"))
    if len(expected) > 1:
        expect(page.locator(HEADING)).to_contain_text("share")
        for number, issue in enumerate(expected):
            expect(answers.nth(number)).to_contain_text(loglines.tell(issue))


@pytest.mark.parametrize("paste", [paste_by_mouse, paste_by_keyboard])
@pytest.mark.parametrize("spoken", loglines.SPOKEN, ids=str)
def test_a_pasted_line_is_answered(dialog: Page, spoken: loglines.Spoken, paste: Callable[[Page], None]) -> None:
    line = spoken.line(loglines.BEFORE["RFC 3164"])
    # What an earlier line was answered must not be taken for this one's answer.
    dialog.get_by_role("textbox", name="Search").fill("")
    expect(dialog.locator(ANSWERS)).to_have_count(0)
    copy(dialog, line)
    paste(dialog)
    expect(dialog.get_by_role("textbox", name="Search")).to_have_value(line)
    assert_answered(dialog, line)


@pytest.mark.parametrize("spoken", loglines.SPOKEN, ids=str)
def test_a_line_in_an_address_is_answered(asked: Page, site: Site, spoken: loglines.Spoken) -> None:
    line = spoken.line(loglines.BEFORE["ISO 8601"])
    asked.goto(f"{site.base}?q={quote(line, safe='')}")
    assert_answered(asked, line)


def test_a_line_that_is_none_of_couriers_is_not_answered(dialog: Page) -> None:
    dialog.get_by_role("textbox", name="Search").fill("Nov 22 18:51:04 mx1 postfix/smtpd[4]: connect from unknown")
    expect(dialog.locator(ANSWERS)).to_have_count(0)
    expect(dialog.locator(HEADING)).to_be_hidden()


@pytest.mark.parametrize("paste", [paste_by_mouse, paste_by_keyboard])
def test_pasted_words_are_found_in_the_articles(dialog: Page, paste: Callable[[Page], None]) -> None:
    found = dialog.locator(".md-search-result__list a").first
    dialog.get_by_role("textbox", name="Search").fill("")
    expect(found).to_be_hidden()
    copy(dialog, "maildrop home directory")
    paste(dialog)
    expect(found).to_have_attribute("href", re.compile("maildrop"))


@pytest.mark.parametrize(
    "question",
    [
        "courier-mta.service: Failed",
        "~/Maildir stays empty",
        "mail~9999",
        "maildrop^2 +home *directory* -d",
        '"maildrop home',
        "maildrop (-d --verbose) - C:\\mail",
    ],
)
def test_no_sign_in_a_question_is_an_operator(dialog: Page, question: str) -> None:
    found = dialog.locator(".md-search-result__list a").first
    dialog.get_by_role("textbox", name="Search").fill("")
    expect(found).to_be_hidden()
    dialog.get_by_role("textbox", name="Search").fill(question)
    expect(found).to_be_visible()


def test_many_lines_are_sent_to_the_page_that_reads_all(dialog: Page) -> None:
    ordinary = "Nov 22 18:51:04 mx1 imapd[1]: LOGOUT, ip=[::ffff:192.0.2.7], rcvd=1, sent=1\n"
    log = dialog.locator(".courier-answers__list a[href$='/log/']")
    dialog.get_by_role("textbox", name="Search").fill("")
    expect(log).to_have_count(0)
    copy(dialog, ordinary * 250 + loglines.SPOKEN[0].line(loglines.BEFORE["RFC 3164"]))
    paste_by_keyboard(dialog)
    expect(dialog.locator(HEADING)).to_have_text("No known problem logs the first 200 of these 251 lines")
    expect(log).to_be_visible()
    expect(log).to_have_text("Find by log line reads all of them")


@pytest.mark.parametrize("entry", loglines.ENTRIES, ids=lambda entry: entry.id)
def test_the_words_of_a_title_find_its_article_first(dialog: Page, entry: Entry) -> None:
    found = dialog.locator(".md-search-result__list a").first
    dialog.get_by_role("textbox", name="Search").fill("")
    expect(found).to_be_hidden()
    dialog.get_by_role("textbox", name="Search").fill(entry.title)
    expect(found).to_have_attribute("href", re.compile(rf"/i/{entry.id}/"))


def test_an_answer_is_opened_by_keyboard_alone(visit: Visit) -> None:
    line = loglines.SPOKEN[0].line(loglines.BEFORE["journald"])
    for key in ("/", "s"):
        with visit() as page:
            page.keyboard.press(key)
            expect(page.get_by_role("textbox", name="Search")).to_be_focused()
            page.keyboard.insert_text(line)
            expect(page.locator(ANSWERS).first).to_be_visible()
            page.keyboard.press("Tab")
            expect(page.locator(ANSWERS).first).to_be_focused()
            page.keyboard.press("Enter")
            page.wait_for_url(f"**/i/{loglines.issues(line)[0]}/**")


def test_the_first_answer_is_opened_by_enter(visit: Visit) -> None:
    line = loglines.SPOKEN[0].line(loglines.BEFORE["journald"])
    with visit() as page:
        page.keyboard.press("/")
        expect(page.get_by_role("textbox", name="Search")).to_be_focused()
        page.keyboard.insert_text(line)
        expect(page.locator(ANSWERS).first).to_be_visible()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/i/{loglines.issues(line)[0]}/**")
