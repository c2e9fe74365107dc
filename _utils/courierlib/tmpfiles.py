"""What systemd-tmpfiles does to Courier's directories at boot: tmpfiles.d, read as systemd reads it.

The rules were tried with ``systemd-tmpfiles --root`` below a scratch directory (run: systemd 262).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host

OVERRIDES = "/etc/tmpfiles.d"
DIRECTORIES = (OVERRIDES, "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d")
"""A file hides those of its name in the directories after its own."""

PROGRAMS = ("/usr/bin/systemd-tmpfiles", "/bin/systemd-tmpfiles")

_SPECIFIERS: Mapping[str, str] = {
    "%%": "%",
    "%S": "/var/lib",
    "%C": "/var/cache",
    "%L": "/var/log",
    "%T": "/tmp",
    "%V": "/var/tmp",
    "%t": "/run",
    "%h": "/root",
    "%u": "root",
    "%g": "root",
    "%U": "0",
    "%G": "0",
}
"""What specifiers stand for wherever the system's own files are read; others differ from host to host, and stay."""

_OWNING = frozenset("fFdDvqQpLcbCwexXrR")
"""Types of which only the first for a path counts, unless a later one has the same mode, owner and age."""

_AGEING = frozenset("dDevqQC")
"""Types whose age has what is older deleted."""

_PLAIN = re.compile(r"\S+")
_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'\\])+""")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|(.))")
_ESCAPES = {"n": "\n", "t": "\t", "s": " "}
_HEADER = re.compile(rb"^# Made from (\S+) with SHA-256 ([0-9a-f]{64})", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """One line.

    Args:
        number: in its file, from 1.
        kind: its type, one letter.
        path: without specifiers and superfluous slashes.
        attributes: mode, user, group and age; ``-`` where they are left out.
        spans: where the type and the age stand in the line; None where there is no age.
    """

    number: int
    kind: str
    path: str
    attributes: tuple[str, ...]
    spans: tuple[tuple[int, int], tuple[int, int] | None]

    @property
    def age(self) -> str:
        """Age at which contents are deleted; ``-`` for never."""
        return self.attributes[3] if self.kind in _AGEING else "-"


@dataclass(frozen=True)
class File:
    """A file of tmpfiles.d that counts, because none of its name is in a higher directory.

    Args:
        below: path of the file that it hides; empty if it hides none.
        made_from: path and SHA-256 of the file that it says it was made from; None if it does not.
    """

    path: str
    name: str
    content: bytes
    lines: tuple[Line, ...]
    below: str
    made_from: tuple[str, str] | None


def read(host: Host) -> tuple[File, ...]:
    """The files that count, in the order in which systemd reads them.

    Raises:
        Unreadable: a directory or file cannot be read.
    """
    places: dict[str, list[str]] = {}
    for directory in DIRECTORIES:
        for name in host.listdir(directory):
            if name.endswith(".conf"):
                places.setdefault(name, []).append(f"{directory}/{name}")
    return tuple(_file(host, name, paths) for name, paths in sorted(places.items()))


def _file(host: Host, name: str, paths: Sequence[str]) -> File:
    # A link to /dev/null hides all others of the name.
    content = b"" if host.resolve(paths[0]) == "/dev/null" else host.read(paths[0])
    return File(
        path=paths[0],
        name=name,
        content=content,
        lines=tuple(_lines(content)),
        below=paths[1] if len(paths) > 1 else "",
        made_from=made_from(content),
    )


def made_from(content: bytes) -> tuple[str, str] | None:
    """Path and SHA-256 of the file that an override of ours was made from; None if it is none of ours."""
    header = _HEADER.search(content)
    return (header[1].decode("utf-8", "replace"), header[2].decode()) if header else None


def _lines(content: bytes) -> Iterator[Line]:
    for number, text in enumerate(_split(content), 1):
        quoted = any(mark in text for mark in "\"'\\")
        words = [] if text.lstrip().startswith("#") else list((_WORD if quoted else _PLAIN).finditer(text))
        if len(words) < 2:
            continue
        kind, path, *rest = (_unquoted(word[0]) if quoted else word[0] for word in words[:6])
        path = re.sub(r"%.", lambda found: _SPECIFIERS.get(found[0], found[0]), path) if "%" in path else path
        path = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
        yield Line(
            number=number,
            kind=kind[:1],
            path=path,
            attributes=(rest[0].lstrip("0") if rest else "-", *(*rest[1:], "-", "-", "-")[:3]),
            spans=(words[0].span(), words[5].span() if len(words) > 5 else None),
        )


def _split(content: bytes) -> list[str]:
    return content.decode("utf-8", "surrogateescape").split("\n")


def _unquoted(word: str) -> str:
    def plain(text: str) -> str:
        return _ESCAPE.sub(lambda e: chr(int(e[1], 16) if e[1] else int(e[2], 8)) if not e[3] else _escaped(e[3]), text)

    parts = re.findall(r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|((?:\\.|[^\s"'\\])+)""", word)
    return "".join(plain(part) for found in parts for part in found)


def _escaped(letter: str) -> str:
    return _ESCAPES.get(letter, letter)


def losses(host: Host) -> dict[File, tuple[Line, ...]]:
    """The lines that delete mail or configuration of Courier, by file; files without such lines are left out.

    Raises:
        Unreadable: a file cannot be read.
    """
    if not any(host.exists(program) for program in PROGRAMS):
        return {}
    found: dict[File, tuple[Line, ...]] = {}
    taken: dict[str, list[Line]] = {}
    for file in host.once(read):
        bad = []
        for line in file.lines:
            if line.kind in _OWNING:
                earlier = taken.setdefault(line.path, [])
                if earlier and any(other.attributes != line.attributes for other in earlier):
                    # systemd says "Duplicate line for path" and ignores it.
                    continue
                earlier.append(line)
            if deletes(host, line):
                bad.append(line)
        if bad:
            found[file] = tuple(bad)
    return found


def deletes(host: Host, line: Line) -> bool:
    """Whether a line deletes something of the spool or of the configuration."""
    if line.kind == "r":
        return _removes_a_file(host, line)
    if line.kind not in "DR" and line.age == "-":
        return False
    return any(_meets(line, directory) for directory in _kept(host))


def _kept(host: Host) -> tuple[str, ...]:
    return host.layout.localstatedir, host.layout.sysconfdir


def _meets(line: Line, directory: str) -> bool:
    """Whether the directory is the line's path, or lies above or below it."""
    # Only the types that remove take patterns.
    match = fnmatchcase if line.kind in "eR" else str.__eq__
    pairs = zip(directory.split("/"), line.path.split("/"), strict=False)
    return line.path == "/" or all(match(part, pattern) for part, pattern in pairs)


def _removes_a_file(host: Host, line: Line) -> bool:
    """``r`` removes single files: a message, or a file of the configuration that is there now."""
    parent, _, name = line.path.rpartition("/")
    queue = [f"{host.layout.localstatedir}/{area}" for area in ("msgs", "msgq", "tmp")]
    parts = parent.split("/")
    for directory in queue:
        wanted = directory.split("/")
        deep_enough = len(parts) == len(wanted) + 1 and all(map(fnmatchcase, wanted, parts))
        if deep_enough and any(fnmatchcase(example, name) for example in ("C1", "D1", "C1.1795365921")):
            return True
    below = f"{host.layout.sysconfdir}/"
    try:
        return f"{parent}/".startswith(below) and any(fnmatchcase(entry, name) for entry in host.listdir(parent))
    except Unreadable:
        return True


def harmless(host: Host, source: str) -> bytes | None:
    """A packaged file that deletes nothing of Courier's, all else as it was; None if it deletes nothing anyway.

    Raises:
        Unreadable: it cannot be read.
    """
    content = host.read(source)
    bad = [line for line in _lines(content) if deletes(host, line)]
    if not bad:
        return None
    texts = _split(content)
    for line in bad:
        text = texts[line.number - 1]
        (start, end), age = line.spans
        if line.kind in "rR":
            texts[line.number - 1] = f"# {text}"
            continue
        if age and line.age != "-":
            text = f"{text[: age[0]]}-{text[age[1] :]}"
        texts[line.number - 1] = text[:start] + text[start:end].replace("D", "d") + text[end:]
    digest = hashlib.sha256(content).hexdigest()
    head = (
        f"# Made from {source} with SHA-256 {digest}\n"
        "# so that systemd-tmpfiles deletes none of Courier's mail and configuration at boot. All other lines are the\n"
        "# package's. Made anew by: salt-call courier.fix tmpfiles-wipes-queue-at-boot\n"
    )
    return head.encode() + "\n".join(texts).encode("utf-8", "surrogateescape")


def sha256(host: Host, path: str) -> str:
    """Of a file's content.

    Raises:
        Unreadable: it cannot be read.
    """
    return hashlib.sha256(host.read(path)).hexdigest()
