"""Courier's two settings grammars: read them without running anything, edit one value in place.

``esmtpd``, ``imapd``, ``courierd`` and their like are POSIX shell that the start scripts source (read:
courierctl.start, esmtpd.in, imapd.rc.in, 1.4.1). What a shell would compute is never executed here: it is unknown, and
so is everything that depends on it. ``authdaemonrc`` is parsed by authdaemond itself, in a grammar of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from courierlib import shell
from courierlib.issue import Unknown
from courierlib.plan import Refused

_MAY_SET_ANYTHING = re.compile(r"(?:^|[\s;&|(!])(?:\.|eval|source|alias)\s")
_BARE = re.compile(r"[A-Za-z0-9_./:@%+,-]*")

_COMPUTED_BY_SHELL = shell.words(
    "LINENO PPID OPTIND OPTERR OPTARG PWD OLDPWD UID EUID GROUPS RANDOM SECONDS _ FUNCNAME SRANDOM "
    "DIRSTACK EPOCHSECONDS EPOCHREALTIME HISTCMD COMP_WORDBREAKS"
)
"""Variables whose value is the shell's whatever a file assigns."""

_SET_BY_SHELL = shell.words("PATH IFS PS1 PS2 PS4 SHELL TERM SHLVL HOSTNAME HOSTTYPE MACHTYPE OSTYPE SHELLOPTS")
"""Variables that some ``/bin/sh`` has even in an empty environment."""

_MAX_SOURCED = 20
_MAX_VALUE = 1 << 17  # the kernel takes no longer string into an environment (MAX_ARG_STRLEN)


@dataclass(frozen=True)
class Location:
    """Where an assignment stands.

    Args:
        path: as given to ``evaluate``.
        line: counted from 1.
    """

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class _Unknowable:
    """A value that only a shell could tell, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Settings:
    """What several files, read in order, leave the variables at; frozen."""

    _values: Mapping[str, str | _Unknowable | None]  # None: unset
    _locations: Mapping[str, tuple[Location, ...]]
    _wild: _Unknowable | None = None

    def get(self, name: str, default: str = "") -> str:
        """The value of a variable.

        Args:
            name: the variable.
            default: for a variable that is not set.

        Raises:
            Unknown: only a shell could tell.
        """
        value = self._values.get(name, self._wild)
        if isinstance(value, _Unknowable):
            raise Unknown(f"{value.where}: {name} is computed by the shell: {value.reason}")
        return default if value is None else value

    def where(self, name: str) -> Location | None:
        """The assignment that counts: the last; None if there is none."""
        return self._locations[name][-1] if name in self._locations else None

    def names(self) -> tuple[str, ...]:
        """Every variable that the files assign."""
        return tuple(self._locations)

    def all(self, name: str) -> tuple[Location, ...]:
        """Every assignment, in order."""
        return self._locations.get(name, ())


def evaluate(
    files: Sequence[tuple[str, bytes]],
    variables: Mapping[str, str],
    read: Callable[[str], bytes] | None = None,
) -> Settings:
    """Evaluate files as ``set -a; . file; . file`` would, without running anything.

    Args:
        files: path and content, in sourcing order.
        variables: what the start script has set before (``prefix``, ``sysconfdir``, …).
        read: content of a file that a ``. file`` line names; None, or a failing read (Unknown, OSError), makes
            unknowable what is not assigned later.

    Returns:
        The variables. A value is what sh would have, or raises Unknown; it is never a different one.
    """
    state = _State(dict(variables), read)
    for path, content in files:
        state.run(path, content)
    return Settings(
        MappingProxyType(state.values),
        MappingProxyType({name: tuple(places) for name, places in state.locations.items()}),
        state.wild,
    )


def assign(content: bytes | None, name: str, value: str) -> bytes:
    """Set a variable: edit the assignment that counts in place, or append one. Every other byte stays.

    The line that is written ends with a bare line feed, in a file with CRLF too: to sh a carriage return would be a
    part of the value (run: dash 0.5.12).

    Raises:
        Refused: it is not certain that sh would then see this value, and every other variable unchanged.
    """
    content = _editable(content)
    if not shell.NAME.fullmatch(name):
        raise ValueError(f"name: {name!r} is not the name of a variable")
    if "\0" in value:
        raise Refused(f"{name}: a value cannot hold a NUL byte")
    if _view(evaluate((("", content),), {})).get(name) == value:
        return content
    script = shell.Script("", content)
    spans = list(_straight(script, name))
    if spans:
        last = spans[-1]
        old = script.text[last.start : last.end]
        edited = script.text[: last.start] + _quoted(value, like=old[:1]) + script.text[last.end :]
    else:
        gap = "" if not script.text or script.text.endswith("\n") else "\n"
        edited = f"{script.text}{gap}{name}={_quoted(value)}\n"
    return _verified(content, edited, name, value)


def drop_word(content: bytes | None, name: str, word: str) -> bytes:
    """Take a word out of every assignment of a variable that sh splits into words. Every other byte stays.

    Raises:
        Refused: it is not certain that sh would then see all other words, and every other variable unchanged.
    """
    content = _editable(content)
    script = shell.Script("", content)
    edited = script.text
    for span in reversed(list(_straight(script, name))):
        edited = edited[: span.start] + _without(edited[span.start : span.end], word) + edited[span.end :]
    if edited == script.text:
        return content
    before, after = (_view(evaluate((("", text),), {})).get(name) for text in (content, _encoded(edited)))
    if not isinstance(before, str) or not isinstance(after, str):
        raise Refused(f"{name} is computed by the shell; edit it by hand")
    if after.split() != [each for each in before.split() if each != word]:
        raise Refused(f"{name} is written in a way that could be misread; edit it by hand")
    return _verified(content, edited, name, after)


def comment_out(content: bytes | None, name: str) -> bytes:
    """Turn every assignment of a variable into a comment, with its continuation lines. Every other byte stays.

    Raises:
        Refused: an assignment shares its line with something else, or sh might then see another variable changed.
    """
    content = _editable(content)
    script = shell.Script("", content)
    marks = set()
    for span in _straight(script, name):
        first = script.text.rfind("\n", 0, span.statement_start) + 1
        last = script.text.find("\n", span.statement_end)
        last = len(script.text) if last < 0 else last
        after = script.text[span.statement_end : last].strip()
        if script.text[first : span.statement_start].strip() or (after and not after.startswith("#")):
            raise Refused(f"line {script.line(first)}: {name} shares its line with other commands; edit it by hand")
        marks |= {first, *(at + 1 for at in range(first, last) if script.text[at] == "\n")}
    pieces, done = [], 0
    for mark in sorted(marks):
        pieces += [script.text[done:mark], "#"]
        done = mark
    return _verified(content, "".join(pieces) + script.text[done:], name, None)


def _editable(content: bytes | None) -> bytes:
    if content is None:
        raise Refused("no such file")
    if b"\0" in content:
        raise Refused("the file holds NUL bytes; sh would not read it as it stands")
    return content


def _quoted(value: str, like: str = "") -> str:
    """The value as a shell word, in the quotes of the old one if they can carry it."""
    if like == '"' and not re.search(r'["$`\\]', value):
        return f'"{value}"'
    if like != "'" and value and _BARE.fullmatch(value):
        return value
    return "'" + value.replace("'", "'\\''") + "'"


def _without(value: str, word: str) -> str:
    """A value as it is written, without a word and the blanks on one side of it."""
    here = rf"{re.escape(word)}(?=[\s\"'\\;&|]|$)"
    return re.sub(rf"[ \t]+{here}|(?<![^\s\"']){here}[ \t]*", "", value)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _verified(content: bytes, edited: str, name: str, wanted: str | None) -> bytes:
    """The edited text, if sh would see in it what is wanted, and nothing else changed."""
    result = _encoded(edited)
    before, after = (_view(evaluate((("", text),), {})) for text in (content, result))
    if after.pop(name, None) != wanted:
        raise Refused(f"{name} may also be set by a sourced file or a command; edit it by hand")
    before.pop(name, None)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if changed:
        raise Refused(f"changing {name} would also change {', '.join(changed)}; edit it by hand")
    return result


def _view(settings: Settings) -> dict[str, object]:
    """What two versions of a file are compared by: every value, and for what only a shell could tell, that."""
    found = {name: value for name, value in settings._values.items() if value is not None}
    told = {name: value if isinstance(value, str) else _Unknowable for name, value in found.items()}
    # Whether unset variables are really unset must not change either; no variable has an empty name.
    return told | {"": settings._wild is None}


@dataclass(frozen=True)
class _Span:
    """One assignment in a text: of its value, and of the statement it is."""

    start: int
    end: int
    statement_start: int
    statement_end: int


def _straight(script: shell.Script, name: str) -> Iterator[_Span]:
    """The assignments of a variable that sh carries out for certain, in order.

    Raises:
        Refused: there is also one that it may not carry out, or the file cannot be parsed.
    """
    for statement in script.statements():
        if isinstance(statement, shell.Stop):
            raise Refused(f"line {statement.line}: {statement.reason}; edit it by hand")
        if name in statement.may_assign:
            raise Refused(f"line {statement.line}: {name} is set {statement.reason}; edit it by hand")
        for assignment in statement.assignments:
            if assignment.name == name:
                if assignment.word is None:
                    raise Refused(f"line {statement.line}: {name} is set by a command; edit it by hand")
                yield _Span(
                    assignment.value_start,
                    assignment.word.end,
                    statement.start,
                    max(statement.end, assignment.word.end),
                )


# --- what the statements leave behind -------------------------------------------------------------------------------


@dataclass
class _State:
    """The variables while files are evaluated."""

    values: dict[str, str | _Unknowable | None]
    read: Callable[[str], bytes] | None
    locations: dict[str, list[Location]] = field(default_factory=dict)
    readonly: set[str] = field(default_factory=set)
    wild: _Unknowable | None = None
    doubt: _Unknowable | None = None
    functions: dict[str, list[shell.Statement]] = field(default_factory=dict)
    over: bool = False
    sourced: int = 0

    def run(self, path: str, content: bytes) -> None:
        """Evaluate one file in the present state."""
        script = shell.Script(path, content, functions=self.functions)
        if self.over:
            self._remainder(script, 0, self.wild)
            return
        for statement in script.statements():
            if isinstance(statement, shell.Stop):
                reason = _Unknowable(f"{path}:{statement.line}", f"sh stops reading there: {statement.reason}")
                self._remainder(script, statement.at, reason)
                return
            self._apply(script, statement)
            if statement.gives_up:
                reason = _Unknowable(f"{path}:{statement.line}", statement.reason)
                self._forget_everything(reason)
                self._remainder(script, statement.end, reason)
                return
            if self.over:
                self._remainder(script, statement.end, self.wild)
                return

    def _remainder(self, script: shell.Script, at: int, reason: _Unknowable | None) -> None:
        """What can no longer be parsed: every name that occurs there is unknown, and every variable that is not set."""
        self.over = True
        self.wild = self.wild or reason
        rest = script.text[at:]
        if _MAY_SET_ANYTHING.search(rest):
            self._forget_everything(self.wild)
        self.values.update(dict.fromkeys(shell.NAME.findall(rest), self.wild))
        for match in re.finditer(r"\b([A-Za-z_]\w*)=", rest, re.ASCII):
            self._locate(match[1], Location(script.path, script.line(at + match.start())))

    def _forget_everything(self, reason: _Unknowable) -> None:
        self.wild = reason
        self.values.update(dict.fromkeys(self.values, reason))

    def _locate(self, name: str, location: Location) -> None:
        self.locations.setdefault(name, []).append(location)

    def _apply(self, script: shell.Script, statement: shell.Statement) -> None:
        where = Location(script.path, statement.line)
        for name in statement.may_assign:
            self._set(name, _Unknowable(str(where), f"it is set {statement.reason}"), where)
        if statement.any_assign:
            self._forget_everything(_Unknowable(str(where), f"it may be set {statement.reason}"))
        # export and readonly get all their words expanded first; plain assignments take effect in turn.
        declared = {id(each): self._expand(each, where) for each in statement.assignments if each.declared}
        for assignment in statement.assignments:
            at = Location(script.path, script.line(assignment.word.start) if assignment.word else statement.line)
            if assignment.word is None:
                self._unset(assignment.name, at)
            else:
                value = declared[id(assignment)] if assignment.declared else self._expand(assignment, at)
                self._set(assignment.name, value, at)
        self.readonly |= statement.readonly
        if statement.leaves:
            self.doubt = self.doubt or _Unknowable(str(where), f"it is set {statement.reason}")
        if statement.source:
            self._source(statement.source, where)

    def _set(self, name: str, value: str | _Unknowable, at: Location) -> None:
        if name in self.readonly:
            self.doubt = self.doubt or _Unknowable(str(at), f"{name} is readonly, sh stops there")
        if name in _COMPUTED_BY_SHELL:
            value = _Unknowable(str(at), "the shell itself sets it")
        self.values[name] = self.doubt or value
        self._locate(name, at)

    def _unset(self, name: str, at: Location) -> None:
        if self.doubt or name in self.readonly or name in _COMPUTED_BY_SHELL:
            self._set(name, _Unknowable(str(at), "it may be unset there"), at)
        else:
            # The variable exists no more, whatever the start script had set.
            self.values[name] = None
            self.locations.pop(name, None)

    def _expand(self, assignment: shell.Assignment, at: Location) -> str | _Unknowable:
        pieces, total = [], 0
        for part in assignment.word.parts:
            value: str | _Unknowable = part.text
            if part.kind == "computed":
                value = _Unknowable(str(at), part.text)
            elif part.kind == "variable":
                value = self._value_of(part.text, at)
            if isinstance(value, _Unknowable):
                return value
            pieces.append(value)
            total += len(value)
            if total > _MAX_VALUE:
                return _Unknowable(str(at), "it is longer than the environment can carry")
        whole = "".join(pieces)
        if _has_tilde(assignment.word.parts):
            return _Unknowable(str(at), "~ is a home directory only the shell knows")
        unquoted = "".join(piece for piece, part in zip(pieces, assignment.word.parts, strict=True) if not part.quoted)
        if assignment.declared and not _BARE.fullmatch(unquoted):
            return _Unknowable(str(at), "shells differ in how export and readonly split unquoted text")
        return whole

    def _value_of(self, name: str, at: Location) -> str | _Unknowable:
        if name in _COMPUTED_BY_SHELL or (name in _SET_BY_SHELL and name not in self.values):
            return _Unknowable(str(at), f"${name} is the shell's own")
        value = self.values.get(name, self.wild)
        if isinstance(value, _Unknowable):
            return _Unknowable(str(at), f"${name}: {value.where}: {value.reason}")
        return value or ""

    def _source(self, word: shell.Word, at: Location) -> None:
        path = self._expand(shell.Assignment("", word, 0), at)
        content = None
        failed = "it is computed"
        if isinstance(path, str) and not path.startswith("/"):
            failed = "sh looks for it in its search path"
        elif isinstance(path, str) and re.search(r"[*?\[]", path):
            failed = "its name is a pattern"
        elif isinstance(path, str) and self.sourced >= _MAX_SOURCED:
            failed = "too many files are sourced"
        elif isinstance(path, str) and self.read is not None:
            self.sourced += 1
            try:
                content = self.read(path)
            except (Unknown, OSError) as error:
                failed = str(error)
        else:
            failed = "sourced files are not read here"
        if content is None:
            self._forget_everything(_Unknowable(str(at), f". {path if isinstance(path, str) else ''}: {failed}"))
        else:
            self.run(str(path), content)


def _has_tilde(parts: Sequence[shell.Part]) -> bool:
    """Whether an unquoted tilde begins the value or follows an unquoted colon."""
    before = ":"
    for part in parts:
        if part.kind == "text" and not part.quoted:
            text = before[-1:] + part.text
            if re.search(r":~", text):
                return True
            before = text or before
        elif part.kind != "text" or part.text:
            before = "x"
    return False


# --- authdaemonrc ---------------------------------------------------------------------------------------------------

_LINE_LIMIT = 8191  # fgets with glibc's BUFSIZ; what is longer is cut off (read: authdaemond.c, authlib 0.73.1)
_C_SPACE = " \t\n\v\f\r"


def parse_authdaemonrc(content: bytes) -> Mapping[str, str]:
    """authdaemonrc as authdaemond reads it: ``authmodulelist`` and ``daemons`` count, the last of each.

    A ``#`` ends a line even inside quotes; there is no continuation and no white space before the name or the ``=``; a
    value that begins with a double quote ends at the next one, any other at the end of its line (read: readconfig in
    authdaemond.c, authlib 0.73.1). The start script sources the same file for everything else (read: authdaemond.in),
    so what is written keeps to values that both read alike.

    Raises:
        Unknown: a line that makes authdaemond reject the whole file.
    """
    found = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        parsed = _authdaemonrc_line(line, number)
        if parsed:
            found[parsed[0]] = parsed[1]
    return MappingProxyType(found)


def _authdaemonrc_line(line: bytes, number: int) -> tuple[str, str] | None:
    if b"\0" in line:
        raise Unknown(f"authdaemonrc:{number}: a NUL byte; authdaemond loses its place there")
    text = line[:_LINE_LIMIT].decode("utf-8", "surrogateescape").split("#", 1)[0]
    if not text.strip(_C_SPACE):
        return None
    name, equals, value = text.partition("=")
    if not equals:
        raise Unknown(f"authdaemonrc:{number}: no '=' in it; authdaemond rejects the whole file")
    value = value.lstrip(_C_SPACE)
    return name, value[1:].split('"', 1)[0] if value.startswith('"') else value


def assign_authdaemonrc(content: bytes | None, name: str, value: str) -> bytes:
    """Set a name in authdaemonrc: edit the line that counts, or append one. Every other byte stays.

    Raises:
        Refused: authdaemond or the start script would read another value.
    """
    content = _editable(content)
    if re.search(r'["#$`\\\n\r]', value):
        raise Refused(f"{name}: authdaemond and sh would read {value!r} differently")
    lines = content.split(b"\n")
    wanted = f'{name}="{value}"'.encode("utf-8", "surrogateescape")
    try:
        before = parse_authdaemonrc(content)
        places = [at for at, line in enumerate(lines) if (_authdaemonrc_line(line, at + 1) or ("",))[0] == name]
    except Unknown as unknown:
        raise Refused(unknown.reason) from unknown
    if places:
        rest = re.search(rb"[ \t]+#.*$", lines[places[-1]])
        lines[places[-1]] = wanted + (rest[0] if rest else b"")
    else:
        lines[-1:] = [wanted, b""] if not lines[-1] else [lines[-1], wanted, b""]
    result = b"\n".join(lines)
    after = parse_authdaemonrc(result)
    by_shell = _view(evaluate((("", result),), {})).get(name)
    if after.get(name) != value or by_shell != value or dict(before) | {name: value} != dict(after):
        raise Refused(f"{name}: authdaemond and sh would read the edited file differently; edit it by hand")
    return result
