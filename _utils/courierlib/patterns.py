"""What can be said of a signature's pattern before it meets a line: what its matches contain, and what it may cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import NamedTuple

try:
    from re import _constants as sre
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_constants as sre
    import sre_parse as parser

SHORTEST = 4
"""Characters in a row that every match must contain, so that the log reader need not try a pattern on each line."""

_BOUNDED = 32
"""A character that may be repeated more often counts as repeated without end."""
_WAYS = 64
"""Ways of matching that one pattern may have, by its alternatives and optional groups."""

_OTHER = -1
"""Stands for all characters beyond ASCII."""
_ALL = frozenset({_OTHER, *range(128)})
_ONE_CHARACTER = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
_CLASSES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}


class Unclear(Exception):
    """A pattern is not understood; the message says which part of it."""


class _Characters(NamedTuple):
    """One character of a class, perhaps optional, perhaps repeated."""

    of: frozenset[int]
    needed: bool = True
    endless: bool = False


class _Start(NamedTuple):
    """The beginning of the message."""


_Way = tuple[str | _Characters | _Start, ...]


@cache
def texts(pattern: str) -> tuple[tuple[str, ...], ...]:
    """For each way in which a pattern can match, the ASCII texts that such a match contains.

    Raises:
        Unclear: the pattern is not understood.
    """
    return tuple(
        tuple(text for item in way if isinstance(item, str) for text in re.findall(r"[\x00-\x7f]+", item))
        for way in _ways(pattern)
    )


def objection(pattern: str) -> str | None:
    """Why the log reader does not take a pattern; None if it does.

    It takes what it can look for by a fixed text, and what costs time in proportion to the length of a line, whatever
    the line is: a repetition without end must follow something that it cannot run across itself, or the beginning.
    """
    try:
        for way in _ways(pattern):
            if _tried_anew(way):
                return (
                    "a repetition can be tried anew all along a line: begin with ^, or put before it what it excludes"
                )
        for found in texts(pattern):
            if max(map(len, found), default=0) < SHORTEST:
                return f"it has no fixed text of {SHORTEST} characters that every match contains"
    except Unclear as failed:
        return str(failed)
    return None


def _tried_anew(way: _Way) -> bool:
    """Whether a repetition may run over the same characters from many beginnings.

    Beginnings are apart, but for a constant, if between them stands a character that ends the repetition's run.
    """
    single = way[:1] == (_Start(),)
    before: list[frozenset[int]] = []
    for item in way:
        if isinstance(item, str):
            before += [frozenset({ord(character) if character < "\x80" else _OTHER}) for character in item]
        elif isinstance(item, _Characters) and item.endless:
            if not single and all(item.of & each for each in before):
                return True
            single, before = False, [item.of] if item.needed else []
        elif isinstance(item, _Characters) and item.needed:
            before.append(item.of)
    return False


def _ways(pattern: str) -> list[_Way]:
    parsed = parser.parse(pattern)
    if parsed.state.flags & ~re.UNICODE:
        raise Unclear("flags inside a pattern are not understood")
    return [_joined(way) for way in _expanded(parsed)]


def _joined(way: _Way) -> _Way:
    """Neighbouring texts made one."""
    joined: list = []
    for item in way:
        if joined and isinstance(item, str) and isinstance(joined[-1], str):
            joined[-1] += item
        else:
            joined.append(item)
    return tuple(joined)


def _expanded(items: Iterable) -> list[_Way]:
    ways: list[_Way] = [()]
    for is_text, group in groupby(items, lambda item: item[0] is sre.LITERAL):
        if is_text:
            text = "".join(chr(value) for _, value in group)
            ways = [(*way, text) for way in ways]
            continue
        for operation, value in group:
            following = list(_following(operation, value))
            ways = [way + tail for way in ways for tail in following]
            if len(ways) > _WAYS:
                raise Unclear(f"it can match in more than {_WAYS} ways")
    return ways


def _following(operation: object, value: object) -> Iterator[_Way]:
    """What one element of a pattern adds to a way, in each way of its own."""
    if operation in _ONE_CHARACTER:
        yield (_Characters(_characters(operation, value)),)
    elif operation is sre.AT:
        yield (_Start(),) if value in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING) else ()
    elif operation is sre.SUBPATTERN and not value[1] and not value[2]:
        yield from _expanded(value[3])
    elif operation is sre.BRANCH:
        for alternative in value[1]:
            yield from _expanded(alternative)
    elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        yield from _repeated(*value)
    else:
        raise Unclear(f"{str(operation).lower()} is not understood")


def _repeated(least: int, most: int, body: Iterable) -> Iterator[_Way]:
    items = list(body)
    if len(items) == 1 and items[0][0] in _ONE_CHARACTER:
        yield (_Characters(_characters(*items[0]), least > 0, most > _BOUNDED),)
    elif most == 1:
        yield from _expanded(items)
        if not least:
            yield ()
    else:
        raise Unclear("it repeats more than one character")


@cache
def _category(category: object) -> frozenset[int]:
    matching = re.compile(_CLASSES[category])
    return frozenset({_OTHER, *(code for code in range(128) if matching.match(chr(code)))})


def _characters(operation: object, value: object) -> frozenset[int]:
    """The characters that an element for one character stands for, at least."""
    if operation is sre.ANY:
        return _ALL
    if operation is not sre.IN:
        one = frozenset({value if value < 128 else _OTHER})
        return one if operation is sre.LITERAL else _ALL - one | {_OTHER}
    found: set[int] = set()
    negated = False
    for kind, detail in value:
        if kind is sre.NEGATE:
            negated = True
        elif kind is sre.LITERAL:
            found.add(detail if detail < 128 else _OTHER)
        elif kind is sre.RANGE:
            found.update(range(detail[0], min(detail[1], 127) + 1), [_OTHER] * (detail[1] > 127))
        elif kind is sre.CATEGORY:
            found |= _category(detail)
        else:
            raise Unclear(f"{str(kind).lower()} is not understood")
    return _ALL - found | {_OTHER} if negated else frozenset(found)
