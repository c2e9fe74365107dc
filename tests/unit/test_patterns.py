"""What every match of a pattern contains is known before a line is read, and a pattern that could hang is refused."""

from __future__ import annotations

import random
import re
import time

import pytest

from courierlib import catalogue, patterns

SIGNATURES = {each.pattern: each for entry in catalogue.load().values() for each in entry.issue.signatures}


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [
        (r"no start line", [("no start line",)]),
        (r"^Permission denied$", [("Permission denied",)]),
        (r"couriertls: \S+: error:[0-9A-F]+:PEM", [("couriertls: ", ": error:", ":PEM")]),
        (r"^Cannot (read|open) /", [("Cannot read /",), ("Cannot open /",)]),
        (r"dhparams?\.pem", [("dhparam", ".pem")]),
        (r"(?:/usr/bin/)?maildrop: ", [("/usr/bin/maildrop: ",), ("maildrop: ",)]),
        (r"one(two|)three\b four", [("onetwothree four",), ("onethree four",)]),
        (r"[ab]c{3}d", [("d",)]),
        (r"quöta full", [("qu", "ta full")]),
        (r"\d+", [()]),
    ],
)
def test_a_match_contains_these_texts(pattern, ways):
    assert list(patterns.texts(pattern)) == ways


@pytest.mark.parametrize("pattern", SIGNATURES)
def test_whatever_else_a_line_says_a_match_contains_the_texts(pattern):
    dice = random.Random(pattern)
    sample, matched = SIGNATURES[pattern].sample, 0
    for _ in range(2000):
        message = list(sample)
        for _ in range(dice.randint(1, 4)):
            message[dice.randrange(len(message))] = dice.choice(["", "", "x", "0", "A", "/", " ", "öß"])
        if re.search(pattern, "".join(message)):
            matched += 1
            assert any(all(text in "".join(message) for text in way) for way in patterns.texts(pattern))
    assert matched


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"addr=<[^>]*>: Invalid user", "tried anew"),
        (r"couriertls: .*no start line", "tried anew"),
        (r"\S+: Permission denied", "tried anew"),
        (r"^\S*\S*: Permission denied", "tried anew"),
        (r"^error: \w+\d*: denied", "tried anew"),
        (r"(x|\S+)(y|\S+): Permission denied", "tried anew"),
        (r"maildrop: [a-z]{1,500}[a-z]{1,500}: denied", "tried anew"),
        (r"(a+)+ denied", "repeats more than one"),
        (r"(?:ab|a){2,9} denied", "repeats more than one"),
        (r"denied(?= by)", "assert"),
        (r"(d)enied \1", "groupref"),
        (r"(?i)denied", "flags"),
        (r"(?i:denied)", "subpattern"),
        (r"(a|b|cd)(a|b|cd)(a|b|cd)(a|b|cd)(a|b|cd)(a|b|cd)(a|b|cd) denied".replace("a|b", "ab|ef"), "ways"),
        (r"^\d+$", "no fixed text"),
        (r"(denied|no)", "no fixed text"),
    ],
)
def test_a_pattern_that_could_hang_or_cannot_be_looked_for_is_refused(pattern, reason):
    assert reason in patterns.objection(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"addr=<[^<>]*>: Invalid user",
        r"^\S+: Permission denied$",
        r"couriertls: \S+: error:[0-9A-F]+:PEM routines:[A-Za-z_]*:(no start line|bad end line)",
        r"^/\S+/(\.lock|courierfilter\.pid): Permission denied$",
        r"size [0-9]+[a-z]* too big",
    ],
)
def test_a_pattern_that_costs_linear_time_is_taken(pattern):
    if pattern.startswith("size"):
        assert "tried anew" not in (patterns.objection(pattern) or "")
    else:
        assert patterns.objection(pattern) is None


@pytest.mark.parametrize("pattern", SIGNATURES)
def test_a_hostile_line_of_a_megabyte_costs_time_that_grows_with_it(pattern):
    assert patterns.objection(pattern) is None
    sample = SIGNATURES[pattern].sample
    heads = [sample[: found.end()] for found in re.finditer(r"\w+\W*", sample)][::2]
    search = re.compile(pattern).search
    for hostile in [*(head * (1_000_000 // len(head)) for head in heads), *(head + "0" * 1_000_000 for head in heads)]:
        started = time.process_time()
        search(hostile)
        # Quadratic time would be a minute and more.
        assert time.process_time() - started < 1, hostile[:80]
