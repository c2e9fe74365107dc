"""Where rsyslog writes what Courier logs: its rules are followed for a line of each of Courier's processes."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from courierlib.host import Host
from courierlib.maillog import PROCESSES
from courierlib.tree import Unreadable

CONFIGURATION = "/etc/rsyslog.conf"

_MAX_DEPTH = 16
_MAX_STEPS = 10_000  # A ruleset can call itself.
_SHOWN = 80
_PRIORITIES = {
    "emerg": 0, "panic": 0, "alert": 1, "crit": 2, "err": 3, "error": 3,
    "warning": 4, "warn": 4, "notice": 5, "info": 6, "debug": 7, "*": 7,
}  # fmt: skip
_SEVERITIES = {6: "info", 4: "warning", 3: "err"}
"""What Courier logs at; a file that has all three has everything."""
_OTHERS = ("auth", "authpriv", "cron", "daemon", "kern", "user")
_SELECTOR = re.compile(r"[\w*,]+\.[!=\w*]+(?:;[\w*,]+\.[!=\w*]+)*;?(?=[\s])")
_TOKEN = re.compile(
    r"""\s*(?:("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(\$[\w!.$-]+)|([0-9]+)|(==|!=|<>|<=|>=|[<>()+&,\[\]])|([A-Za-z_]\w*))"""
)
_COMPARISONS = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "contains": lambda left, right: right in left,
    "contains_i": lambda left, right: right.lower() in left.lower(),
    "startswith": lambda left, right: left.startswith(right),
    "startswith_i": lambda left, right: left.lower().startswith(right.lower()),
    "isequal": lambda left, right: left == right,
}


@dataclass(frozen=True)
class Line:
    """A line that a program logs, as far as rules can tell before it is written."""

    facility: str
    program: str
    severity: int

    def get(self, name: str) -> str | int | None:
        """A property; None if it cannot be told."""
        return {
            "programname": self.program,
            "app-name": self.program,
            "syslogfacility-text": self.facility,
            "syslogfacility": 2 if self.facility == "mail" else 9,
            "syslogseverity": self.severity,
            "syslogpriority": self.severity,
            "syslogseverity-text": _SEVERITIES[self.severity],
            "syslogpriority-text": _SEVERITIES[self.severity],
        }.get(name.lower())


@dataclass(frozen=True)
class Logs:
    """Where the lines go.

    Args:
        files: static files that together get all of Courier's lines, as far as files do.
        doubts: what keeps lines from them, or cannot be told; a sentence each.
    """

    files: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rule:
    """A condition and what is done where it holds; ``orelse`` where it does not."""

    where: str
    kind: str  # selector, property, expression, always, again
    condition: str
    then: tuple[_Rule | _Action, ...]
    orelse: tuple[_Rule | _Action, ...] = ()


@dataclass(frozen=True)
class _Action:
    where: str
    kind: str  # file, dynamic, remote, stop, call, other
    target: str = ""


@dataclass
class _Way:
    """What has become of a line so far."""

    files: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    stopped: bool = False
    steps: int = 0


class _Damaged(Exception):
    """The configuration cannot be followed from here on."""


def logs(host: Host) -> Logs:
    """Follow the rules.

    Raises:
        Unreadable: a configuration file is there and cannot be read; ``missing`` if there is no configuration.
    """
    rules, doubts = _parsed(host, CONFIGURATION, {CONFIGURATION})
    named = {rule.condition: rule.then for rule in rules if isinstance(rule, _Rule) and rule.kind == "ruleset"}
    ways: dict[tuple[str, int], _Way] = {}
    for program in PROCESSES:
        for severity in _SEVERITIES:
            ways[program, severity] = _run(rules, Line("mail", program, severity), named)
    foreign = [file for other in _OTHERS for file in _run(rules, Line(other, "other", 6), named).files]
    doubts += [doubt for way in ways.values() for doubt in way.doubts]
    chosen: list[str] = []
    lost = {line for line, way in ways.items() if not way.files}
    left = {line: set(way.files) for line, way in ways.items() if way.files}
    while left:
        candidates = dict.fromkeys(file for way in ways.values() for file in way.files)
        # The file that has most of the lines, and of those the one with the least of others' lines.
        best = max(candidates, key=lambda file: (sum(file in files for files in left.values()), -foreign.count(file)))
        chosen.append(best)
        left = {line: files for line, files in left.items() if best not in files}
    if lost and not doubts:
        programs = sorted({program for program, _ in lost})
        whose = "Courier" if len(programs) == len(PROCESSES) else ", ".join(programs)
        what = "no line" if len(lost) == len(ways) else "only a part"
        doubts.append(f"{CONFIGURATION}: rsyslog writes {what} of what {whose} logs to a file")
    return Logs(tuple(chosen), tuple(dict.fromkeys(doubts)))


def _run(rules: Sequence[_Rule | _Action], line: Line, named: dict[str, tuple]) -> _Way:
    way = _Way()
    _follow(rules, line, named, way, 0)
    return way


def _follow(rules: Sequence[_Rule | _Action], line: Line, named: dict[str, tuple], way: _Way, depth: int) -> None:
    held: bool | None = False
    for rule in rules:
        way.steps += 1
        if way.stopped or way.steps > _MAX_STEPS:
            return
        if isinstance(rule, _Action):
            _act(rule, line, named, way, depth)
            continue
        if rule.kind == "ruleset":
            continue
        if rule.kind != "again":
            held = _holds(rule, line)
        if held is None:
            if line.facility == "mail" and _concerns(rule):
                way.doubts.append(
                    f"{rule.where}: whether Courier's lines meet {rule.condition[:_SHOWN]!r} cannot be told"
                )
        else:
            _follow(rule.then if held else rule.orelse, line, named, way, depth)


def _act(action: _Action, line: Line, named: dict[str, tuple], way: _Way, depth: int) -> None:
    if action.kind == "file":
        way.files.append(action.target)
    elif action.kind == "stop":
        way.stopped = True
    elif action.kind == "dynamic":
        way.doubts.append(f"{action.where}: the name of the file is made for each line (template {action.target})")
    elif action.kind == "call" and depth < _MAX_DEPTH:
        _follow(named.get(action.target, ()), line, named, way, depth + 1)


def _concerns(rule: _Rule) -> bool:
    """Whether a rule that cannot be judged could move lines: it writes to files or stops."""
    for each in (*rule.then, *rule.orelse):
        if _concerns(each) if isinstance(each, _Rule) else each.kind in ("file", "dynamic", "stop", "call"):
            return True
    return False


def _holds(rule: _Rule, line: Line) -> bool | None:
    if rule.kind == "always":
        return True
    if rule.kind == "selector":
        return _selected(rule.condition, line)
    if rule.kind == "property":
        return _property(rule.condition, line)
    try:
        return _Expression(rule.condition, line).value()
    except (_Damaged, RecursionError):
        return None


def _selected(selector: str, line: Line) -> bool:
    selected: set[int] = set()
    for element in selector.strip(";").split(";"):
        facilities, _, priority = element.rpartition(".")
        if not {"*", line.facility} & set(facilities.lower().split(",")):
            continue
        excluded, single = priority.startswith("!"), "=" in priority[:2]
        word = priority.lstrip("!=").lower()
        if word == "none":
            selected = set()
            continue
        level = _PRIORITIES.get(word, int(word) if word.isdigit() and len(word) == 1 else -1)
        meant = {level} if single and word != "*" else set(range(level + 1))
        selected = selected - meant if excluded else selected | meant
    return line.severity in selected


def _property(condition: str, line: Line) -> bool | None:
    """``:programname, startswith, "courier"``, without the first colon."""
    parts = re.fullmatch(r'\s*([\w!.$-]+)\s*,\s*(!?)(\w+)\s*,\s*"((?:\\.|[^"\\])*)"\s*', condition)
    if not parts:
        return None
    name, negated, operation, value = parts.groups()
    value = re.sub(r"\\(.)", r"\1", value)
    have = f"{line.program}:" if name.lower() == "syslogtag" else line.get(name)
    if have is None:
        return None if _about_courier(value) else False
    found: bool | None = None
    if operation in ("isequal", "contains", "contains_i", "startswith", "startswith_i"):
        found = _COMPARISONS[operation](str(have), value)
    elif operation in ("regex", "ereregex"):
        try:
            found = re.search(value, str(have)) is not None
        except re.error:
            return None
    return found if found is None or not negated else not found


def _about_courier(value: str) -> bool:
    """Whether a rule on the message could be meant for Courier's; others, for kernel messages say, are not followed."""
    return any(word in value.lower() for word in ("courier", "imap", "pop3", "esmtp", "authdaemon", "couriertls"))


class _Expression:
    """A RainerScript condition, judged in three values: None is "cannot be told"."""

    def __init__(self, text: str, line: Line):
        self._tokens = list(_tokens(text))
        self._line = line
        self._at = 0

    def value(self) -> bool | None:
        found = self._either()
        if self._at != len(self._tokens):
            raise _Damaged
        return None if found is None else bool(found)

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        if not token:
            raise _Damaged
        self._at += 1
        return token

    def _either(self) -> bool | None:
        found = self._both()
        while self._next().lower() == "or":
            self._at += 1
            other = self._both()
            found = True if found or other else None if None in (found, other) else False
        return found

    def _both(self) -> bool | None:
        found = self._not()
        while self._next().lower() == "and":
            self._at += 1
            other = self._not()
            found = False if False in (found, other) else None if None in (found, other) else True
        return found

    def _not(self) -> bool | None:
        if self._next().lower() == "not":
            self._at += 1
            found = self._not()
            return None if found is None else not found
        if self._next() == "(":
            self._at += 1
            found = self._either()
            if self._take() != ")":
                raise _Damaged
            return found
        return self._comparison()

    def _comparison(self) -> bool | None:
        left, operation, right = self._take(), self._take().lower(), self._take()
        if right == "[":
            several = []
            while (token := self._take()) != "]":
                several += [token] if token != "," else []
            found = [self._compare(left, operation, each) for each in several]
            return True if True in found else None if None in found else False
        return self._compare(left, operation, right)

    def _compare(self, left: str, operation: str, right: str) -> bool | None:
        have, wanted = self._operand(left), self._operand(right)
        if operation not in _COMPARISONS:
            raise _Damaged
        if wanted is None or have is None:
            return None if wanted is None or _about_courier(str(wanted)) else False
        if isinstance(have, int) and str(wanted).isdigit():
            return _COMPARISONS[operation](have, int(wanted))
        return _COMPARISONS[operation](str(have), str(wanted))

    def _operand(self, token: str) -> str | int | None:
        if token[:1] in "'\"":
            return token[1:-1]
        if token.isdigit():
            return int(token)
        if token.lower() == "$syslogtag":
            return f"{self._line.program}:"
        return self._line.get(token[1:]) if token.startswith("$") else None


def _tokens(text: str) -> Iterator[str]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise _Damaged
        yield found[0].strip()
        at = found.end()


def _parsed(host: Host, path: str, seen: set[str]) -> tuple[list[_Rule | _Action], list[str]]:
    text = host.read(path).decode("utf-8", "replace").replace("\\\n", "")
    parser = _Parser(host, path, text, seen)
    try:
        return parser.rules(), parser.doubts
    except (_Damaged, RecursionError):
        return parser.read, [*parser.doubts, f"{parser.where()}: cannot be followed from here on"]


class _Parser:
    """The rules of one configuration file and of those it includes; both grammars, which files mix."""

    def __init__(self, host: Host, path: str, text: str, seen: set[str]):
        self._host, self._path, self._text, self._seen = host, path, text, seen
        self._at = 0
        self.doubts: list[str] = []
        self.read: list[_Rule | _Action] = []

    def where(self) -> str:
        return f"{self._path}:{self._text.count(chr(10), 0, self._at) + 1}"

    def rules(self) -> list[_Rule | _Action]:
        while self._blank():
            self.read += self._statement()
        return self.read

    def _blank(self) -> str:
        """Skip white space and comments; the rest begins with what is returned."""
        while found := re.compile(r"\s+|#[^\n]*|/\*.*?\*/", re.DOTALL).match(self._text, self._at):
            self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _match(self, pattern: str) -> re.Match[str] | None:
        found = re.compile(pattern, re.IGNORECASE | re.DOTALL).match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _statement(self) -> list[_Rule | _Action]:
        where = self.where()
        if found := self._match(r"\$includeconfig[ \t]+([^\n]+)"):
            return self._include(found[1].strip())
        if self._match(r"\$[^\n]*"):
            return []
        if self._match(r"include\s*\("):
            return self._include(_parameter(self._parenthesis(), "file"))
        if found := self._match(r"if\b(?=[\s(])"):
            return [self._if(where)]
        if found := self._match(r"ruleset\s*\("):
            name = _parameter(self._parenthesis(), "name")
            return [_Rule(where, "ruleset", name, tuple(self._body()))]
        if self._match(r"action\s*\("):
            return [_object(where, self._parenthesis())]
        if found := self._match(
            r"(?:module|input|global|template|main_queue|parser|timezone|lookup_table|dyn_stats)\s*\("
        ):
            self._parenthesis()
            # A list template has its parts in braces.
            if self._blank() == "{":
                self._block()
            return []
        if found := self._match(r"call\s+([\w.-]+)"):
            return [_Action(where, "call", found[1])]
        if self._match(r"(?:stop|~)(?![\w.])"):
            return [_Action(where, "stop")]
        if self._match(r"(?:set|unset|reset)\s[^\n;]*;"):
            return []
        if self._match(r"continue(?![\w.])"):
            return []
        if self._match(r"&[ \t]*"):
            return [_Rule(where, "again", "", tuple(self._body()))]
        if found := self._match(r':((?:[^"\n{/]|"(?:\\.|[^"\\\n])*")*?"(?:\\.|[^"\\\n])*")[ \t]*'):
            return [_Rule(where, "property", found[1], tuple(self._body()))]
        if _SELECTOR.match(self._text, self._at):
            found = self._match(r"(\S+)\s+")
            return [_Rule(where, "selector", found[1], tuple(self._body()))]
        return self._legacy_action(where)

    def _body(self) -> list[_Rule | _Action]:
        """What a condition guards: a block, a statement, or an action in the old syntax."""
        if self._blank() == "{":
            return self._block()
        return self._statement()

    def _block(self) -> list[_Rule | _Action]:
        self._at += 1
        inside: list[_Rule | _Action] = []
        while (begin := self._blank()) != "}":
            if not begin:
                raise _Damaged
            inside += self._statement()
        self._at += 1
        return inside

    def _if(self, where: str) -> _Rule:
        found = self._match(r"""((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'])*?)(?<=[\s)"'])then\b""")
        if not found:
            raise _Damaged
        condition = " ".join(found[1].split())
        then = tuple(self._body())
        self._blank()
        orelse = tuple(self._body()) if self._match(r"else\b") else ()
        return _Rule(where, "expression", condition, then, orelse)

    def _parenthesis(self) -> str:
        """What stands between a parenthesis that was just read and its partner."""
        found = self._match(r"""((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'()]|\([^()]*\))*)\)""")
        if not found:
            raise _Damaged
        return found[1]

    def _legacy_action(self, where: str) -> list[_Rule | _Action]:
        found = self._match(r"([^\n}#]+)")
        if not found:
            raise _Damaged
        text = found[1].strip()
        if text.startswith(("/", "-/")):
            return [_Action(where, "file", text.lstrip("-").split(";")[0].split()[0])]
        if text.startswith(("?", "-?")):
            return [_Action(where, "dynamic", text.lstrip("-?").split(";")[0].strip())]
        if text in ("~", "stop"):
            return [_Action(where, "stop")]
        if re.match(r"[!+-][\w*]", text):
            self.doubts.append(f"{where}: the block of a program or host ({text}) is not followed")
        return [_Action(where, "other", text)]

    def _include(self, pattern: str) -> list[_Rule | _Action]:
        found: list[_Rule | _Action] = []
        for path in _glob(self._host, pattern) if pattern else ():
            if path in self._seen:
                continue
            self._seen.add(path)
            try:
                rules, doubts = _parsed(self._host, path, self._seen)
            except Unreadable as failed:
                if not failed.missing:
                    self.doubts.append(failed.reason)
                continue
            found += rules
            self.doubts += doubts
        return found


def _object(where: str, parameters: str) -> _Action:
    """``action(type="omfile" …)``"""
    kind = _parameter(parameters, "type").lower()
    if kind != "omfile":
        return _Action(where, "other", kind)
    if dynamic := _parameter(parameters, "dynafile"):
        return _Action(where, "dynamic", dynamic)
    return _Action(where, "file", _parameter(parameters, "file"))


def _parameter(parameters: str, name: str) -> str:
    found = re.search(rf"""(?<![\w.]){name}\s*=\s*(?:"((?:\\.|[^"\\])*)"|'([^']*)')""", parameters, re.IGNORECASE)
    return (found[1] or found[2] or "") if found else ""


def _glob(host: Host, pattern: str) -> list[str]:
    """Files that an include names: wildcards in the last part, and a directory means all in it."""
    directory, name = posixpath.split(pattern)
    if not name:
        name = "*"
    if not re.search(r"[*?\[]", name):
        return [pattern]
    names = [each for each in host.listdir(directory) if fnmatch.fnmatchcase(each, name) and not each.startswith(".")]
    return [f"{directory}/{each}" for each in names]
