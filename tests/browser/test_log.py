"""Find by log line: what it answers, whichever way a log gets there, and that nothing in a log can harm it."""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import loglines
import pytest
from conftest import Visit
from playwright.sync_api import Locator, Page, expect
from test_pages import violations
from ways import copy, drop, paste_by_keyboard, paste_by_mouse
from webserver import Site

TITLES = ".courier-log__title a"
SUMMARY = ".courier-log__summary"
NOTES = ".courier-log__notes"
KNOWN = loglines.SPOKEN[0]

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</code></pre><iframe src=javascript:alert(1)></iframe>",
    "\"'><svg onload=alert(1)>",
    "[link](javascript:alert(1)) `code` **bold**",
    "{{ constructor.constructor('alert(1)')() }}",
    "\x1b[31mred\x1b[0m \x00 \x08 \x7f \x9b31m",
    "\u202egnp.exe \u2066 \u200b \ufeff",
)


HEARTBEAT = """() => {
  let last = performance.now();
  globalThis.longestGap = 0;
  (function beat() {
    const now = performance.now();
    longestGap = Math.max(longestGap, now - last);
    last = now;
    globalThis.heartbeat = setTimeout(beat, 5);
  })();
}"""
"""Measures for how long the page's thread does nothing else, in milliseconds."""


@pytest.fixture(scope="module")
def opened(visit: Visit) -> Iterator[Page]:
    with visit("log/") as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """The page with nothing read."""
    clear(opened)
    return opened


def clear(page: Page) -> None:
    page.locator("#courier-log").get_by_role("button", name="Clear").click()
    expect(page.locator(TITLES)).to_have_count(0)
    expect(page.locator(SUMMARY)).to_have_text("")


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Lines of the mail log")


def assert_answered(page: Page, line: str) -> None:
    """The answers are exactly the issues that log the line, and where they share it, how to tell them apart."""
    expected = loglines.issues(line)
    titles = page.locator(TITLES)
    expect(titles).to_have_count(len(expected))
    for number, issue in enumerate(expected):
        expect(titles.nth(number)).to_have_attribute("href", re.compile(rf"/i/{issue}(/|\.html)$"))
    shared = page.locator(".courier-log__shared")
    expect(shared).to_have_count(len(expected) if len(expected) > 1 else 0)
    for number in range(shared.count()):
        expect(shared.nth(number)).to_contain_text(loglines.tell(expected[number]))


@pytest.mark.parametrize("paste", [paste_by_mouse, paste_by_keyboard])
@pytest.mark.parametrize("spoken", loglines.SPOKEN, ids=str)
def test_a_pasted_line_is_answered(page: Page, spoken: loglines.Spoken, paste: Callable[[Page], None]) -> None:
    line = spoken.line(loglines.BEFORE["journald"])
    copy(page, line)
    box(page).focus()
    paste(page)
    assert_answered(page, line)


@pytest.mark.parametrize("spoken", loglines.SPOKEN, ids=str)
def test_a_line_in_a_dropped_file_is_answered(page: Page, spoken: loglines.Spoken, tmp_path: Path) -> None:
    line = spoken.line(loglines.BEFORE["RFC 3164"])
    log = tmp_path / "mail.log"
    log.write_text(f"{line}\n")
    drop(page, page.locator("#courier-log"), log)
    assert_answered(page, line)


def test_a_file_dropped_beside_the_box_is_read_too(page: Page, tmp_path: Path) -> None:
    line = KNOWN.line(loglines.BEFORE["RFC 3164"])
    log = tmp_path / "mail.log"
    log.write_text(f"{line}\n")
    drop(page, page.get_by_role("heading", name="Without this page"), log)
    assert_answered(page, line)


def test_a_long_paste_just_after_a_key_is_what_is_read(page: Page) -> None:
    line = KNOWN.line(loglines.BEFORE["RFC 3164"])
    box(page).focus()
    # In one go: the paste comes before the reading that the key has begun to wait for.
    page.evaluate(
        """([box, line]) => {
          box.value = "x";
          box.dispatchEvent(new Event("input", {bubbles: true}));
          const data = new DataTransfer();
          data.setData("text/plain", `${line}\n`.repeat(2e6 / line.length));
          box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
        }""",
        [box(page).element_handle(), line],
    )
    assert_answered(page, line)
    # Longer than the page waits for the next key.
    page.wait_for_timeout(500)
    assert_answered(page, line)


def test_a_line_in_an_address_is_answered(opened: Page, site: Site) -> None:
    line = KNOWN.line(loglines.BEFORE["ISO 8601"])
    opened.goto(f"{site.base}log/?line={quote(line, safe='')}")
    assert_answered(opened, line)


def test_several_files_are_one_log(page: Page, tmp_path: Path) -> None:
    lines = [spoken.line(loglines.BEFORE["RFC 3164"]) for spoken in loglines.SPOKEN]
    # The first does not end its last line.
    (tmp_path / "mail.log.1").write_text("\n".join(lines[::2]))
    (tmp_path / "mail.log.2.gz").write_bytes(gzip.compress("\n".join(lines[1::2]).encode()))
    drop(page, page.locator("#courier-log"), tmp_path / "mail.log.1", tmp_path / "mail.log.2.gz")
    expect(page.locator(SUMMARY)).to_contain_text(f"{len(lines)} lines read")
    assert found(page) == counted(lines)


def counted(lines: list[str]) -> Counter:
    """How often each issue is logged."""
    return Counter(issue for line in lines for issue in loglines.issues(line))


def found(page: Page) -> dict[str, int]:
    """How many lines the page says of each issue."""
    told = {}
    for item in page.locator(".courier-log__issue").all():
        issue = re.search(r"/i/([^/]+?)(?:/|\.html)$", item.locator(TITLES).get_attribute("href"))
        lines = re.search(r"([0-9,]+) lines?", item.locator(".courier-log__facts").inner_text())
        told[issue[1]] = int(lines[1].replace(",", ""))
    return told


def test_a_pasted_log_of_50_mb_never_blocks_the_page_for_a_second(page: Page) -> None:
    chance = random.Random(7)
    block = [
        f"Nov 22 18:{chance.randrange(60):02}:{chance.randrange(60):02} mx1 imapd[{chance.randrange(99999)}]: "
        f"LOGIN, user=u{chance.randrange(9999)}, ip=[::ffff:192.0.2.{chance.randrange(255)}], protocol=IMAP"
        for _ in range(2000)
    ]
    for spoken in loglines.SPOKEN:
        block[chance.randrange(len(block))] = spoken.line(loglines.BEFORE["RFC 3164"])
    text = "\n".join(block) + "\n"
    times = 50_000_000 // len(text) + 1
    page.evaluate("([text, times]) => navigator.clipboard.writeText(text.repeat(times))", [text, times])
    gaps = []
    # What else this machine does can only lengthen a gap: a page that blocks does so every time.
    while len(gaps) < 3 and min(gaps, default=1000) >= 1000:
        box(page).focus()
        page.evaluate(HEARTBEAT)
        paste_by_mouse(page)
        expect(page.locator(SUMMARY)).to_contain_text(f"{len(block) * times:,} lines read", timeout=60_000)
        gaps.append(page.evaluate("clearTimeout(heartbeat), longestGap"))
        assert found(page) == {issue: count * times for issue, count in counted(block).items()}
        clear(page)
    assert min(gaps) < 1000, gaps


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_line_holds_is_shown_and_never_obeyed(page: Page, hostile: str) -> None:
    tags = "document.querySelector('#courier-log').querySelectorAll('img, script, iframe, svg, b').length"
    line = f"{KNOWN.line(loglines.BEFORE['RFC 3164'])} {hostile}"
    box(page).fill(f"{line}\nerror: failed {hostile}\n")
    expect(page.locator(TITLES)).to_have_count(len(loglines.issues(line)))
    for summary in page.locator("#courier-log summary").all():
        summary.click()
    shown = page.locator("#courier-log pre")
    expect(shown).to_have_count(len(loglines.issues(line)) + 1)
    for text in shown.all_text_contents():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", text)
        if hostile.isascii() and hostile.isprintable():
            assert hostile in text
    assert page.evaluate(tags) == 0


def test_half_characters_are_read_past(page: Page) -> None:
    line = KNOWN.line(loglines.BEFORE["RFC 3164"])
    # Made in the page: a lone surrogate does not survive the way there.
    page.evaluate(
        """([box, line]) => {
          box.value = `${line} \\ud800\\n\\udc00 ${line}\\n${line}`;
          box.dispatchEvent(new Event("input", {bubbles: true}));
        }""",
        [box(page).element_handle(), line],
    )
    expect(page.locator(SUMMARY)).to_contain_text("3 lines read")
    assert loglines.issues(line)[0] in found(page)


def test_a_damaged_gz_says_so_and_what_came_before_is_read(page: Page, tmp_path: Path) -> None:
    chance = random.Random(7)
    line = KNOWN.line(loglines.BEFORE["RFC 3164"])
    noise = "\n".join(f"Nov 22 18:51:04 mx1 imapd[1]: {chance.randbytes(40).hex()}" for _ in range(20_000))
    packed = bytearray(gzip.compress(f"{line}\n{noise}\n".encode()))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = b"\xff" * 64
    (tmp_path / "mail.log.2.gz").write_bytes(packed)
    drop(page, page.locator("#courier-log"), tmp_path / "mail.log.2.gz")
    expect(page.locator(NOTES)).to_contain_text("mail.log.2.gz")
    assert_answered(page, line)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["plain", "gz"])
def test_an_empty_file_is_said_to_be_empty(page: Page, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mail.log").write_bytes(content)
    drop(page, page.locator("#courier-log"), tmp_path / "mail.log")
    expect(page.locator(SUMMARY)).to_contain_text("0 lines read")


def test_bytes_that_are_no_text_are_read_past(page: Page, tmp_path: Path) -> None:
    line = KNOWN.line(loglines.BEFORE["RFC 3164"]).encode()
    (tmp_path / "mail.log").write_bytes(bytes(range(256)) * 100 + b"\n" + line + b"\n\xff\xfe\xed\xa0\x80\n")
    drop(page, page.locator("#courier-log"), tmp_path / "mail.log")
    assert_answered(page, line.decode())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_with_answers_is_accessible_and_asks_nobody(visit: Visit, scheme: str) -> None:
    with visit("log/", color_scheme=scheme, reduced_motion="reduce") as page:
        page.locator("#courier-log").get_by_role("button", name="Example").click()
        expect(page.locator(TITLES).first).to_be_visible()
        for summary in page.locator("#courier-log summary").all():
            summary.click()
        assert not violations(page)
