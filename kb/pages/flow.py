"""The map of the mail flow: where each issue bites, as a drawing and as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

from courierlib.catalogue import Entry
from courierlib.issue import Severity
from courierlib.mailflow import ARROWS, PLACES
from pages.addresses import address, slug

# The way of a message goes down the left side; who is only asked, or serves one step, stands indented below the asker.
_SPINE = (
    "smtp-ports",
    "esmtpd",
    "submit",
    "queue",
    "courierd",
    "courierlocal",
    "maildir",
    "imapd",
    "imap-ports",
)

# Arrows between places that do not stand together run in lanes on the right. The order keeps crossings few.
_RIGHT, _WIDTH = 352, 400
_LANES = {"authdaemond": 364, "couriertls": 378, "imapd": 392}
_UPPER, _LOWER = 16, 34

_INDENT, _PADDING = 52, 12
_LINE, _ROW, _LEADING = 18, 28, 32
_GAP = 38

_STYLE = """
.courier-map { max-width: 24rem; margin: 1em auto; }
.courier-map svg { display: block; width: 100%; height: auto; color: var(--md-default-fg-color, CanvasText); }
.courier-map text { fill: currentColor; font-size: 14px; }
.courier-map .box { fill: var(--md-default-bg-color, Canvas); stroke: currentColor; stroke-width: 1.5; }
.courier-map .socket { stroke-dasharray: 5 3; }
.courier-map .label { font-size: 17px; font-weight: 700; }
.courier-map .arrow path { fill: none; stroke: currentColor; stroke-width: 2; }
.courier-map .question path { stroke-width: 1.5; stroke-dasharray: 4 3; }
.courier-map marker path { fill: currentColor; }
.courier-map a text { fill: var(--md-typeset-a-color, LinkText); font-size: 15px; text-decoration: underline; }
.courier-map a .hit { fill: transparent; }
.courier-map a:hover .hit { fill: currentColor; fill-opacity: 0.08; }
.courier-map a:focus { outline: none; }
.courier-map a:focus-visible .hit { stroke: currentColor; stroke-width: 2; }
.courier-map .badge { fill: none; stroke: currentColor; }
.courier-map .badge.high { stroke-width: 2.5; }
.courier-map .badge.critical { fill: currentColor; }
.courier-map .before { text-anchor: end; }
.courier-map .letter { font-weight: 700; text-anchor: middle; }
.courier-map .critical + .letter { fill: var(--md-default-bg-color, Canvas); }
@media print { .courier-map { max-width: 11cm; } }
"""


@dataclass(frozen=True)
class _Box:
    """A place in the drawing: a rectangle, and the lines in it."""

    place: str
    x: int
    y: int
    about: tuple[str, ...]
    rows: tuple[tuple[Entry, tuple[str, ...]], ...] = ()
    summary: str = ""

    @property
    def head(self) -> int:
        """Height of the part above the issues."""
        return _LEADING + _LINE * (len(self.about) + bool(self.summary))

    @property
    def height(self) -> int:
        return self.head + sum(_ROW + _LINE * (len(lines) - 1) for _, lines in self.rows) + 6

    @property
    def bottom(self) -> int:
        return self.y + self.height


def svg(entries: Iterable[Entry], link: Callable[[str], str]) -> str:
    """The map with all issues.

    Args:
        entries: gravest first.
        link: address of an issue's article, as seen from the page that the map stands on.
    """
    biting = _biting(entries)
    boxes = {
        place: replace(box, rows=tuple((entry, _fold(entry.id, box, 15, 26)) for entry in biting[place]))
        for place, box in _bare().items()
    }
    parts = [_issues(box, link) for box in boxes.values()]
    return _drawing(boxes, parts, "How mail flows through Courier, and the known problems of each step")


def overview(entries: Iterable[Entry], link: Callable[[str], str]) -> str:
    """The map with the number of issues at each place.

    Args:
        entries: gravest first.
        link: address of a place's section on the page of the map, as seen from the page that this one stands on.
    """
    biting = _biting(entries)
    boxes = {place: replace(box, summary=_count(biting[place])) for place, box in _bare().items()}
    parts = [
        f"<a href={quoteattr(link(slug(PLACES[place].label)))} aria-label={quoteattr(_named(box))}>"
        f'<rect class="hit" x="{box.x + 3}" y="{box.y + 3}" width="{_RIGHT - box.x - 6}" height="{box.height - 6}"/>'
        f"{_text(box.x + _PADDING, box.y + box.head - 4, box.summary)}</a>"
        for place, box in boxes.items()
    ]
    return _drawing(boxes, parts, "How mail flows through Courier, and how many problems are known at each step")


def page(entries: Iterable[Entry], directory: bool) -> str:
    """The page of the map: the drawing, and all that it says as text.

    Args:
        directory: pages are ``name/``, not ``name.html``.
    """
    entries = list(entries)
    biting = _biting(entries)
    letters = ", ".join(f"{word.word[0].upper()} {word.word}" for word in sorted(Severity, reverse=True))
    parts = [
        "# Map of the mail flow",
        "Where mail stops, and what is known to stop it there. Courier 0.76 and later.",
        "Round boxes are ports, plain ones programs, dashed ones programs that others ask over a socket, double ones "
        "files. A solid arrow is mail or a connection, a dashed one a question. The letter before a problem is its "
        f"severity: {letters}. Below the drawing the same [in words](#{slug(PLACES['smtp-ports'].label)}).",
        svg(entries, lambda issue: address("map.md", f"i/{issue}.md", directory)),
        *(_section(place, biting[place]) for place in PLACES),
    ]
    if nowhere := [entry for entry in entries if not entry.issue.bites]:
        parts.append(f"## Not on the map\n\nThey bite at no single place:\n\n{_list(nowhere)}")
    return "\n\n".join(parts) + "\n"


def _section(place: str, entries: list[Entry]) -> str:
    station = PLACES[place]
    passes = [f"* From {_anchor(start)}: {what}" for start, end, what in ARROWS if end == place]
    passes += [f"* To {_anchor(end)}: {what}" for start, end, what in ARROWS if start == place]
    return "\n\n".join(
        [
            f"## {station.label}",
            f"{station.about} ({station.evidence})",
            "\n".join(passes),
            f"What bites here:\n\n{_list(entries)}" if entries else "No known problem bites here.",
        ]
    )


def _anchor(place: str) -> str:
    return f"[{PLACES[place].label}](#{slug(PLACES[place].label)})"


def _list(entries: Iterable[Entry]) -> str:
    return "\n".join(f"* {entry.issue.severity.word}: [{entry.title}](i/{entry.id}.md)" for entry in entries)


def _biting(entries: Iterable[Entry]) -> Mapping[str, list[Entry]]:
    """The issues by place.

    Raises:
        KeyError: an issue bites at a place that does not exist.
    """
    biting: dict[str, list[Entry]] = {place: [] for place in PLACES}
    for entry in entries:
        for place in entry.issue.bites:
            biting[place].append(entry)
    return biting


def _count(entries: list[Entry]) -> str:
    if not entries:
        return "no known problem"
    grave = Counter(entry.issue.severity.word for entry in entries)
    words = [f"{grave[word]} {word}" for word in ("critical", "high") if grave[word]]
    return f"{len(entries)} {'problem' if len(entries) == 1 else 'problems'}{', ' if words else ''}{', '.join(words)}"


def _named(box: _Box) -> str:
    return f"{PLACES[box.place].label}: {box.summary}"


def _bare() -> Mapping[str, _Box]:
    """Boxes without issues, not yet in their places."""
    boxes = {}
    for place, station in PLACES.items():
        box = _Box(place, 1 if place in _SPINE else _INDENT, 0, ())
        boxes[place] = replace(box, about=_fold(station.about, box, 14, 0))
    return boxes


def _fold(text: str, box: _Box, size: int, before: int) -> tuple[str, ...]:
    """A text in lines that fit a box in any font: 0.56 of its size is the average letter of a wide one."""
    room = _RIGHT - box.x - 2 * _PADDING - before
    return tuple(textwrap.wrap(text, int(room / (0.56 * size))))


def _drawing(boxes: Mapping[str, _Box], parts: list[str], title: str) -> str:
    """The drawing.

    Args:
        boxes: not yet in their places.
        parts: drawn at y = 0, box by box; moved with the boxes.
    """
    placed, below = _stacked(boxes)
    # An empty line would end the block of HTML for a reader of Markdown.
    body = [
        drawn
        for box, part in zip(placed.values(), parts, strict=True)
        for drawn in (_rectangle(box), _moved(part, box))
        if drawn
    ]
    arrows = [_arrow(placed, start, end, what) for start, end, what in ARROWS]
    return "\n".join(
        [
            '<div class="courier-map">',
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {below}" role="group" '
            'data-search-exclude="" aria-labelledby="courier-map-title courier-map-description">',
            f'<title id="courier-map-title">{escape(title)}</title>',
            '<desc id="courier-map-description">Boxes from the SMTP ports down to the Maildir, and from the IMAP and '
            "POP3 ports up to it, with arrows between them. The page of the map says the same in words.</desc>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="courier-map-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="10" '
            'markerHeight="10" markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
            '<path d="M0 1 L10 5 L0 9 Z"/></marker></defs>',
            *arrows,
            *body,
            "</svg>",
            "</div>",
        ]
    )


def _stacked(boxes: Mapping[str, _Box]) -> tuple[Mapping[str, _Box], int]:
    """The boxes one below the other, and the height of it all."""
    placed, y = {}, 1
    for place, box in boxes.items():
        placed[place] = replace(box, y=y)
        y = placed[place].bottom + _GAP
    return placed, y - _GAP + 1


def _moved(part: str, box: _Box) -> str:
    return f'<g transform="translate(0 {box.y})">\n{part}\n</g>' if part else ""


def _rectangle(box: _Box) -> str:
    station = PLACES[box.place]
    width = _RIGHT - box.x
    radius = 20 if station.kind == "port" else 3
    size = f'width="{width}" height="{box.height}"'
    lines = [f'<rect class="box {station.kind}" x="{box.x}" y="{box.y}" {size} rx="{radius}"/>']
    if station.kind == "store":
        lines.append(
            f'<rect class="box" x="{box.x + 4}" y="{box.y + 4}" width="{width - 8}" height="{box.height - 8}"/>'
        )
    lines.append(_text(box.x + _PADDING, box.y + 22, station.label, "label"))
    lines += [_text(box.x + _PADDING, box.y + 41 + _LINE * row, text) for row, text in enumerate(box.about)]
    return "\n".join(lines)


def _issues(box: _Box, link: Callable[[str], str]) -> str:
    lines, y = [], box.head
    for entry, texts in box.rows:
        lines.append(_issue(box.x + _PADDING, y, entry, texts, link(entry.id)))
        y += _ROW + _LINE * (len(texts) - 1)
    return "\n".join(lines)


def _issue(x: int, y: int, entry: Entry, texts: tuple[str, ...], target: str) -> str:
    word = entry.issue.severity.word
    title = entry.title.replace("`", "")
    size = f'width="{_RIGHT - x - 28}" height="{_ROW + _LINE * (len(texts) - 1) - 2}"'
    lines = "".join(_text(x + 26, y + 19 + _LINE * row, text) for row, text in enumerate(texts))
    return (
        f'<g aria-hidden="true"><rect class="badge {word}" x="{x}" y="{y + 4}" width="20" height="20"/>'
        f"{_text(x + 10, y + 19, word[0].upper(), 'letter')}</g>"
        f"<a href={quoteattr(target)} aria-label={quoteattr(f'{entry.id}, {word}: {title}')}>"
        f"<title>{escape(f'{word}: {title}')}</title>"
        f'<rect class="hit" x="{x + 22}" y="{y + 1}" {size} rx="2"/>{lines}</a>'
    )


def _text(x: int, y: int, text: str, style: str = "") -> str:
    return f'<text{f" class={quoteattr(style)}" if style else ""} x="{x}" y="{y}">{escape(text)}</text>'


def _arrow(boxes: Mapping[str, _Box], start: str, end: str, what: str) -> str:
    """An arrow, and beside it what passes where there is room for it; the text of the page has it for all."""
    source, target = boxes[start], boxes[end]
    order = list(boxes)
    next_box = order.index(end) == order.index(start) + 1
    head, label = "end", ""
    if {start, end} <= set(_SPINE) and abs(_SPINE.index(start) - _SPINE.index(end)) == 1:
        down = source.y < target.y
        path = f"M16 {source.bottom} V{target.y}" if down else f"M16 {source.y} V{target.bottom}"
        label = _text(28, max(source.y, target.y) - 13, what)
    elif end not in _SPINE and next_box:
        path = f"M34 {source.bottom} V{target.y + _UPPER} H{target.x}"
        label = _text(_INDENT, target.y - 13, what)
    elif start not in _SPINE and next_box:
        path = f"M{_RIGHT - 20} {source.bottom} V{target.y}"
        label = _text(_RIGHT - 32, target.y - 13, what, "before")
    else:
        # Drawn from its head, so that the dashes of questions that share a lane fall on each other.
        head, path = "start", _lane(source, target)
    question = " question" if PLACES[end].kind == "socket" else ""
    return (
        f'<g class="arrow{question}"><title>{escape(f"{PLACES[start].label} to {PLACES[end].label}: {what}")}</title>'
        f'<path d="{path}" marker-{head}="url(#courier-map-head)"/>{label}</g>'
    )


def _lane(source: _Box, target: _Box) -> str:
    leaves = source.y + (_LOWER if target.place == "couriertls" else _UPPER)
    enters = target.y + (_UPPER if target.place == "authdaemond" else _LOWER)
    return f"M{_RIGHT} {enters} H{_LANES[target.place]} V{leaves} H{_RIGHT}"
