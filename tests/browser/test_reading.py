"""The browser reads a log line exactly as the minion does."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

import loglines
import pytest
from conftest import Visit
from playwright.sync_api import Page

from courierlib import maillog

# Lone surrogates do not survive the way into a browser as text: lines go as their UTF-16 units.
_READ = """packed => {
  const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
  const unpack = text => Array.from(new Uint16Array(bytes(text).buffer), unit => String.fromCharCode(unit)).join("");
  const pack = text => {
    const units = new Uint8Array(Uint16Array.from(text.split(""), unit => unit.charCodeAt(0)).buffer);
    return btoa(Array.from(units, byte => String.fromCharCode(byte)).join(""));
  };
  return packed.map(unpack).map(line => [
    courierReader.split(line).map(pack),
    courierReader.matching(line).map(({issue, signature}) => [issue.id, signature.pattern]),
  ]);
}"""

_ANSWER = """line => {
  const {issues, shared} = courierReader.answers(line);
  return {issues: issues.map(issue => issue.id), shared};
}"""

ODD = (
    "",
    " ",
    " \t\r",
    "\x00",
    "courierd: \x00\x01\x02\x7f",
    "\ud83d",
    "courierd: \udc4d thumbs \ud83d",
    "courierd: \U0001f44d",
    "\ufeffNov 22 18:51:04 mx1 courierd: Unable to change to home directory.",
    "\u202eNov 22 18:51:04 mx1 courierd: Unable to change to home directory.",
    "\xa0Nov 22 18:51:04 mx1 courierd: id=0,Unable to change to home directory.",
    "Nov 22 18:51:04 mx1 courierd:\xa0Unable",
    "Nov 22 18:51:04 mx\xa01 courierd: Unable",
    "Nov 22 18:51:04 mx\x1c1 courierd: Unable",
    "Nov 22 18:51:04 mx\x851 courierd: Unable",
    "Nov 22 18:51:04 mx\ufeff1 courierd: Unable",
    "Nov 22 18:51:04 mx\u180e1 courierd: Unable",
    "Nov 22 18:51:04 mx1 imapd-ssl: couriertls: \u2028 accept: error \u2029",
    "Nov  2 18:51:04 mx1 courierd[1]: ",
    "Nov 22 18:51:04 mx1 courierd[1]:",
    "Nov 22 18:51:04 mx1 last message repeated 3 times",
    "<22>1 2026-11-22T18:51:04.123Z mx1 courierd 12 - - started",
    '<22>1 2026-11-22T18:51:04.123Z mx1 courierd 12 ID [a@1 b="c"] started',
    "<22>Nov 22 18:51:04 mx1 courierd[12]: started",
    "/var/log/mail.log:17:Nov 22 18:51:04 mx1 courierd[12]: started",
    "[  12.345678] mx1 courierd[12]: started",
    "Sun 2026-11-22 18:51:04 UTC mx1 courierd[12]: started",
    "Nov 22 18:51:04 mx1 postfix/smtpd[44]: connect from unknown[192.0.2.7]",
    "2026-11-22T18:51:04.123456+00:00 mx1 dovecot: imap-login: Disconnected: no auth attempts",
    "2026-11-22T18:51:04.123456+00:00 mx1 kernel: [1.0] eth0: link up",
    "postfix/smtpd[44]: lost connection after EHLO",
    "courierd",
    "courierd: ",
    "::::",
    "[[[[((((",
    "x" * 200_000,
    " " * 200_000,
    "courierd: " + "couriertls: accept: error:" * 20_000,
    "Nov 22 18:51:04 mx1 " + "a" * 100_000,
    "1 " * 100_000,
)
"""Lines that are none of Courier's, or hardly lines at all."""


def spliced() -> Iterator[str]:
    """Samples with something strange within, before and behind."""
    for spoken in loglines.SPOKEN:
        sample = spoken.line(loglines.BEFORE["RFC 3164"])
        for strange in ("\x00", "\x1c", "\x85", "\xa0", "\u2028", "\ufeff", "\ud800", "\U0001f44d"):
            for at in (0, len(sample) // 2, len(sample)):
                yield sample[:at] + strange + sample[at:]
        yield f"\t {sample} \r"
        yield sample.upper()
        yield sample.replace(spoken.signature.process[0], "postfix/smtpd", 1)


def packed(line: str) -> str:
    return base64.b64encode(line.encode("utf-16-le", "surrogatepass")).decode()


def in_python(lines: Iterable[str]) -> list[list]:
    return [
        [
            [packed(part) for part in maillog.split(line)],
            [[entry.id, signature.pattern] for entry, signature in maillog.matching(line, loglines.ENTRIES)],
        ]
        for line in lines
    ]


@pytest.fixture(scope="module")
def page(visit: Visit) -> Iterator[Page]:
    with visit("log/") as opened:
        yield opened


@pytest.mark.parametrize("corpus", [loglines.lines, spliced, lambda: ODD], ids=["known", "spliced", "odd"])
def test_browser_and_minion_read_the_same(page: Page, corpus) -> None:
    lines = list(corpus())
    read = page.evaluate(_READ, [packed(line) for line in lines])
    different = [line[:200] for line, here, there in zip(lines, in_python(lines), read, strict=True) if here != there]
    assert not different


def test_every_pattern_means_the_same_for_every_sample(page: Page) -> None:
    """Each pattern alone: which issue comes first could hide that another one's pattern differs."""
    samples = sorted({spoken.signature.sample for spoken in loglines.SPOKEN})
    patterns = sorted({spoken.signature.pattern for spoken in loglines.SPOKEN})
    here = [[bool(re.search(pattern, sample)) for sample in samples] for pattern in patterns]
    there = page.evaluate(
        """([patterns, samples]) => patterns
             .map(courierReader.compiled)
             .map(pattern => samples.map(sample => pattern.test(sample)))""",
        [patterns, samples],
    )
    assert here == there


@pytest.mark.parametrize("spoken", loglines.SPOKEN, ids=str)
def test_a_known_line_names_its_issue_whatever_stands_before_it(page: Page, spoken: loglines.Spoken) -> None:
    for before in loglines.BEFORE.values():
        line = spoken.line(before)
        answers = page.evaluate(_ANSWER, line)
        expected = loglines.issues(line)
        assert spoken.entry.id in expected
        assert answers["issues"] == expected, line
        assert answers["shared"] == (len(expected) > 1)


def test_issues_that_share_a_line_say_how_to_tell_them_apart() -> None:
    shared = {
        issue for line in loglines.lines() for found in [loglines.issues(line)] if len(found) > 1 for issue in found
    }
    assert not [issue for issue in sorted(shared) if not loglines.tell(issue)]
