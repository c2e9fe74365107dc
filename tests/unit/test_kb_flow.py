"""The map shows every place, every arrow and every issue, in the drawing and in words."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from courierlib import catalogue, mailflow
from courierlib.issue import Severity
from pages import flow

SVG = "{http://www.w3.org/2000/svg}"


def biting(entry, *places, **values):
    return dataclasses.replace(entry, issue=dataclasses.replace(entry.issue, bites=places, **values))


REAL = list(catalogue.load().values())
PLACES = list(mailflow.PLACES)
ENTRIES = [
    biting(entry, PLACES[number % len(PLACES)], PLACES[(number * 5 + 1) % len(PLACES)])
    for number, entry in enumerate(REAL * 5)
]


def drawing(text):
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", text, re.DOTALL)[0])


def map_of(entries=ENTRIES):
    return drawing(flow.svg(entries, lambda issue: f"../i/{issue}/"))


def boxes(tree):
    """Outer rectangles, as left, top, right and bottom edge."""
    found = [
        each for each in tree.iter(f"{SVG}rect") if re.fullmatch("box (port|process|socket|store)", each.get("class"))
    ]
    numbers = [[int(each.get(name)) for name in ("x", "y", "width", "height")] for each in found]
    return [(x, y, x + width, y + height) for x, y, width, height in numbers]


def test_the_places_are_those_of_the_issues_and_the_arrows_run_between_them():
    assert {place for entry in REAL for place in entry.issue.bites} <= set(mailflow.PLACES)
    assert {place for start, end, _ in mailflow.ARROWS for place in (start, end)} == set(mailflow.PLACES)
    assert all(place.kind in ("port", "process", "socket", "store") for place in mailflow.PLACES.values())


def test_every_issue_has_a_link_at_each_place_where_it_bites():
    tree = map_of()
    links = Counter(link.get("href") for link in tree.iter(f"{SVG}a"))
    expected = Counter(f"../i/{entry.id}/" for entry in ENTRIES for _ in entry.issue.bites)
    assert links == expected
    for link in tree.iter(f"{SVG}a"):
        issue = link.get("href").split("/")[2]
        entry = catalogue.load()[issue]
        shown = "".join(text.text for text in link.iter(f"{SVG}text"))
        assert shown == issue
        assert link.get("aria-label").startswith(f"{issue}, {entry.issue.severity.word}: ")


@pytest.mark.parametrize("severity", Severity)
def test_severity_is_a_letter_not_only_a_colour(severity):
    tree = map_of([biting(REAL[0], "queue", severity=severity)])
    (letter,) = [text.text for text in tree.iter(f"{SVG}text") if text.get("class") == "letter"]
    assert letter == severity.word[0].upper()


def test_every_arrow_is_drawn_once_and_named():
    names = [
        title.text
        for arrow in map_of().iter(f"{SVG}g")
        if "arrow" in arrow.get("class", "")
        for title in arrow.iter(f"{SVG}title")
    ]
    label = {place: station.label for place, station in mailflow.PLACES.items()}
    assert sorted(names) == sorted(f"{label[start]} to {label[end]}: {what}" for start, end, what in mailflow.ARROWS)


def test_boxes_grow_with_their_issues_and_do_not_overlap():
    few, many = boxes(map_of(REAL)), boxes(map_of())
    assert len(few) == len(many) == len(mailflow.PLACES)
    assert all(above[3] < below[1] for above, below in zip(many, many[1:], strict=False))
    assert sum(box[3] - box[1] for box in many) > sum(box[3] - box[1] for box in few)


def test_no_arrow_runs_through_a_box():
    tree = map_of()
    for path in tree.findall(f".//{SVG}g[@class='arrow']/{SVG}path") + tree.findall(
        f".//{SVG}g[@class='arrow question']/{SVG}path"
    ):
        words = path.get("d").split()
        x, y = int(words[0][1:]), int(words[1])
        for word in words[2:]:
            end = (int(word[1:]), y) if word[0] == "H" else (x, int(word[1:]))
            left, right = sorted((x, end[0]))
            top, bottom = sorted((y, end[1]))
            x, y = end
            assert not any(
                right > box[0] and left < box[2] and bottom > box[1] and top < box[3] for box in boxes(tree)
            ), path.get("d")


def test_a_long_id_is_folded_and_stays_whole():
    long = "a-very-long-name-of-an-issue-that-nobody-should-choose-but-somebody-will"
    (link,) = map_of([biting(REAL[0], "maildrop", id=long)]).iter(f"{SVG}a")
    lines = [text.text for text in link.iter(f"{SVG}text")]
    assert len(lines) > 1 and "".join(lines) == long


def test_the_drawing_is_named_has_no_id_twice_and_is_the_same_each_time():
    tree = map_of()
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert set(tree.get("aria-labelledby").split()) <= set(ids)
    assert flow.svg(ENTRIES, str) == flow.svg(ENTRIES, str)


def test_the_drawing_has_no_empty_line_which_would_end_html_in_markdown():
    assert "\n\n" not in flow.svg(ENTRIES, str)
    assert "\n\n" not in flow.overview(ENTRIES, str)


@pytest.mark.parametrize("entries", [[], [biting(REAL[0], "queue")]], ids=["nowhere", "at one place"])
def test_a_box_without_problems_leaves_no_empty_line(entries):
    assert "\n\n" not in flow.svg(entries, str)
    assert "\n\n" not in flow.overview(entries, str)


def test_titles_with_markup_stay_text():
    entry = dataclasses.replace(biting(REAL[0], "queue"), title='A "quoted" `<b>` & more')
    (link,) = map_of([entry]).iter(f"{SVG}a")
    assert link.get("aria-label").endswith('A "quoted" <b> & more')


def test_the_page_says_in_words_what_the_drawing_shows():
    text = flow.page(ENTRIES, True).partition("</div>")[2]
    sections = dict(zip(*[iter(re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert list(sections) == [place.label for place in mailflow.PLACES.values()]
    for start, end, what in mailflow.ARROWS:
        assert re.search(rf"^\* To .*: {re.escape(what)}$", sections[mailflow.PLACES[start].label], re.MULTILINE)
        assert re.search(rf"^\* From .*: {re.escape(what)}$", sections[mailflow.PLACES[end].label], re.MULTILINE)
    for place, station in mailflow.PLACES.items():
        for entry in ENTRIES:
            linked = f"* {entry.issue.severity.word}: [{entry.title}](i/{entry.id}.md)" in sections[station.label]
            assert linked == any(place in other.issue.bites for other in ENTRIES if other.id == entry.id)


def test_an_issue_that_bites_at_no_place_is_named_below_the_map():
    text = flow.page([biting(REAL[0])], True)
    assert f"(i/{REAL[0].id}.md)" in text.partition("## Not on the map")[2]
    assert "Not on the map" not in flow.page([biting(REAL[0], "queue")], True)


def test_an_issue_at_an_unknown_place_is_refused():
    with pytest.raises(KeyError, match="moon"):
        flow.page([biting(REAL[0], "moon")], True)


def test_the_overview_counts_and_leads_to_the_sections():
    entries = [biting(REAL[0], "queue", severity=severity) for severity in (Severity.CRITICAL, Severity.LOW)]
    links = list(drawing(flow.overview(entries, lambda place: f"map/#{place}")).iter(f"{SVG}a"))
    said = {link.get("href"): link.get("aria-label") for link in links}
    assert len(said) == len(mailflow.PLACES)
    assert said["map/#queue"] == "Queue: 2 problems, 1 critical"
    assert said["map/#imapd-and-pop3d"] == "imapd and pop3d: no known problem"
