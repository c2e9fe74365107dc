"""The shell's grammar, as far as the files that Courier's start scripts source need it: parsed, never executed.

The parser knows what each command means for the variables: which it sets for certain, and which it may set. Where it,
or the shells among themselves, could disagree about the text, it stops and says so. Judged against dash 0.5.12 and
bash 5.2.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_OPERATORS = ("&&", "||", ";;", "<<-", "<<", ">>", "<&", ">&", "<>", ">|", "&", "|", ";", "(", ")", "<", ">", "\n")
_PLAIN_RUN = re.compile(r"[^ \t\n&|;<>()\\'\"$`\0]+")
_QUOTED_RUN = re.compile(r'[^"\\$`]+')
_BRACED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MAX_DEPTH = 40


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


_REDIRECTIONS = frozenset({"<<-", "<<", ">>", "<&", ">&", "<>", ">|", "<", ">"})
_RESERVED = words("if then else elif fi case esac for while until do done { } ! in")
_SPECIAL_BUILTINS = words(". : break continue eval exec exit export readonly return set shift source times trap unset")
_MAY_ASSIGN = frozenset(
    {"read", "getopts", "declare", "typeset", "let", "local", "printf", "mapfile", "readarray", "wait", "unset"}
)


@dataclass(frozen=True)
class Part:
    """A piece of a word: text, a variable, or something that is never evaluated.

    Args:
        kind: ``text``, ``variable`` or ``computed``.
        text: the text, the name of the variable, or the reason.
    """

    kind: str
    text: str
    quoted: bool


@dataclass(frozen=True)
class Word:
    """A word, before its expansion.

    Args:
        literal: the text if nothing in it is quoted or expanded, else None.
        assigns: variables that its expansions may set, such as ``${A:=b}``.
    """

    parts: tuple[Part, ...]
    start: int
    end: int
    literal: str | None
    assigns: frozenset[str] = frozenset()

    @property
    def text(self) -> str | None:
        """The word if it can be told without any variable."""
        return "".join(part.text for part in self.parts) if all(part.kind == "text" for part in self.parts) else None


@dataclass(frozen=True)
class Assignment:
    """``NAME=word``; without a word: the variable is unset (``unset NAME``)."""

    name: str
    word: Word | None
    value_start: int
    declared: bool = False  # by export or readonly, whose words some shells split


@dataclass(frozen=True)
class Statement:
    """What one command means for the variables.

    Args:
        assignments: carried out for certain, in order.
        may_assign: variables that it may set or not, or to something unknown.
        any_assign: it may set any variable.
        source: the file of a ``. file`` line.
        readonly: variables that cannot be set afterwards.
        leaves: what comes after it may not be carried out.
        gives_up: nothing can be told from here on, of anything.
        reason: of the doubt.
        end: of the command, its last word included.
    """

    line: int
    start: int
    end: int
    assignments: tuple[Assignment, ...] = ()
    may_assign: frozenset[str] = frozenset()
    any_assign: bool = False
    source: Word | None = None
    readonly: frozenset[str] = frozenset()
    leaves: bool = False
    gives_up: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Stop:
    """sh stops reading here, or would have to be asked how it goes on."""

    line: int
    at: int
    reason: str


class _SyntaxError(Exception):
    """The text is not what sh accepts, or shells differ in how they take it."""

    def __init__(self, at: int, reason: str):
        super().__init__(reason)
        self.at = at
        self.reason = reason


@dataclass
class _HereDocument:
    delimiter: str
    strip_tabs: bool
    expands: bool


@dataclass
class Script:
    """A parser for the shell's grammar: one pass, no backtracking, nothing executed."""

    path: str
    content: bytes
    text: str = field(init=False)
    pos: int = 0
    depth: int = 0
    documents: list[_HereDocument] = field(default_factory=list)
    document_assigns: set[str] = field(default_factory=set)
    functions: dict[str, list[Statement]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.text = self.content.decode("utf-8", "surrogateescape")
        self._lines = [match.start() for match in re.finditer("\n", self.text)]
        self._nul = self.text.find("\0")
        self._peeked: tuple[str | Word | None, int] | None = None
        self._token_start = 0

    def line(self, at: int) -> int:
        """The number of the line at an offset."""
        return bisect.bisect_left(self._lines, at) + 1

    def statements(self) -> Iterator[Statement | Stop]:
        """Statements in order; a Stop is the last."""
        while True:
            start = self.pos
            try:
                start = self._skip_newlines()
                if start >= len(self.text):
                    return
                found = self._complete_line()
            except _SyntaxError as error:
                # sh carries out nothing of a line that it cannot parse (run: dash 0.5.12).
                yield Stop(self.line(error.at), start, error.reason)
                return
            except RecursionError:
                yield Stop(self.line(start), start, "it is nested too deeply")
                return
            if 0 <= self._nul < self.pos:
                yield Stop(self.line(self._nul), start, "there is a NUL byte")
                return
            for statement in found:
                yield statement
                if statement.gives_up:
                    return

    # -- tokens

    def _skip_newlines(self) -> int:
        while self._peek() == "\n":
            self._next()
        self._peek()
        return self._token_start

    def _skip_blanks(self) -> None:
        text, length = self.text, len(self.text)
        while self.pos < length:
            char = text[self.pos]
            if char in " \t":
                self.pos += 1
            elif text.startswith("\\\n", self.pos):
                self.pos += 2
            elif char == "#":
                end = text.find("\n", self.pos)
                self.pos = length if end < 0 else end
            else:
                return

    def _peek(self) -> str | Word | None:
        """The next token: an operator (str), a word, or None at the end."""
        if self._peeked is None:
            before = self.pos
            self._skip_blanks()
            start = self.pos
            token = self._token()
            self._peeked = (token, self.pos)
            self.pos, self._token_start = before, start
        return self._peeked[0]

    def _next(self) -> str | Word | None:
        token = self._peek()
        self.pos = self._peeked[1]
        self._peeked = None
        if token == "\n" and self.documents:
            self._read_documents()
        return token

    def _token(self) -> str | Word | None:
        if self.pos >= len(self.text):
            return None
        for operator in _OPERATORS:
            if self.text.startswith(operator, self.pos):
                self.pos += len(operator)
                if re.compile(r"(\\\n)+[&|;<>-]").match(self.text, self.pos):
                    raise _SyntaxError(self.pos, "an operator is continued on the next line")
                return operator
        return self._word()

    def _word(self, stop: str = "") -> Word:
        """A word; with ``stop`` the inside of ``${…}`` up to that character."""
        start, parts, assigns, plain = self.pos, [], set(), True
        text, length = self.text, len(self.text)
        while self.pos < length:
            char = text[self.pos]
            if char == stop or (not stop and char in " \t\n&|;<>()"):
                break
            if char == "\\":
                if self.pos + 1 >= length:
                    raise _SyntaxError(self.pos, "a backslash is the last character of the file")
                escaped = text[self.pos + 1]
                self.pos += 2
                if escaped != "\n":
                    parts.append(Part("text", escaped, True))
                    plain = False
            elif char == "'":
                end = text.find("'", self.pos + 1)
                if end < 0:
                    raise _SyntaxError(start, "a single quote is never closed")
                parts.append(Part("text", text[self.pos + 1 : end], True))
                self.pos, plain = end + 1, False
            elif char == '"':
                self._double_quoted(parts, assigns)
                plain = False
            elif char in "$`":
                self._expansion(parts, assigns, quoted=False)
                plain = False
            else:
                run = _PLAIN_RUN.match(text, self.pos)
                chunk = run[0] if run and not stop else char
                parts.append(Part("text", chunk, False))
                self.pos += len(chunk)
        literal = "".join(part.text for part in parts) if plain else None
        return Word(tuple(parts), start, self.pos, literal, frozenset(assigns))

    def _double_quoted(self, parts: list[Part], assigns: set[str]) -> None:
        opening = self.pos
        self.pos += 1
        parts.append(Part("text", "", True))
        text, length = self.text, len(self.text)
        while self.pos < length:
            char = text[self.pos]
            if char == '"':
                self.pos += 1
                return
            if char == "\\" and self.pos + 1 < length:
                escaped = text[self.pos + 1]
                self.pos += 2
                if escaped in '$`"\\':
                    parts.append(Part("text", escaped, True))
                elif escaped != "\n":
                    parts.append(Part("text", "\\" + escaped, True))
            elif char in "$`":
                self._expansion(parts, assigns, quoted=True)
            else:
                run = _QUOTED_RUN.match(text, self.pos)
                parts.append(Part("text", run[0] if run else char, True))
                self.pos += len(run[0]) if run else 1
        raise _SyntaxError(opening, "a double quote is never closed")

    def _expansion(self, parts: list[Part], assigns: set[str], quoted: bool) -> None:
        """What begins with a dollar sign or a backquote."""
        text, start = self.text, self.pos
        if text[start] == "`":
            self._backquoted()
            parts.append(Part("computed", f"`{_short(text[start + 1 : self.pos - 1])}` is never executed", quoted))
            return
        if text.startswith("$\\\n", start):
            raise _SyntaxError(start, "a dollar sign is continued on the next line")
        self.pos += 1
        following = text[self.pos : self.pos + 1]
        name = NAME.match(text, self.pos)
        if name:
            self.pos = name.end()
            if text.startswith("\\\n", self.pos):
                raise _SyntaxError(self.pos, "the name of a variable is continued on the next line")
            parts.append(Part("variable", name[0], quoted))
        elif following == "{":
            self._braced(parts, assigns, quoted)
        elif text.startswith("((", self.pos):
            self._arithmetic(assigns)
            parts.append(Part("computed", f"{_short(text[start : self.pos])} is arithmetic", quoted))
        elif following == "(":
            self._substitution()
            parts.append(Part("computed", f"{_short(text[start : self.pos])} is never executed", quoted))
        elif following and following in "@*#?-$!0123456789":
            self.pos += 1
            parts.append(Part("computed", f"${following} is a parameter of the shell", quoted))
        elif following and following in "['" or (following == '"' and not quoted):
            if not (quoted and following == "'"):
                raise _SyntaxError(start, f"shells differ in ${following}")
            parts.append(Part("text", "$", True))
        else:
            parts.append(Part("text", "$", quoted))

    def _backquoted(self) -> None:
        opening = self.pos
        self.pos += 1
        while self.pos < len(self.text):
            char = self.text[self.pos]
            self.pos += 2 if char == "\\" else 1
            if char == "`":
                return
        raise _SyntaxError(opening, "a backquote is never closed")

    def _braced(self, parts: list[Part], assigns: set[str], quoted: bool) -> None:
        """``${…}``, the opening brace being next."""
        text, opening = self.text, self.pos - 1
        simple = _BRACED.match(text, opening)
        if simple:
            self.pos = simple.end()
            parts.append(Part("variable", simple[1], quoted))
            return
        self.pos += 1
        with _Deeper(self, opening):
            inside = self._word(stop="}")
        if self.pos >= len(text):
            raise _SyntaxError(opening, "a brace is never closed")
        self.pos += 1
        whole = text[opening : self.pos]
        # Shells differ in what a quote means inside quoted braces, so in where the braces end.
        if quoted and re.search(r"['\"\\]", whole):
            raise _SyntaxError(opening, f"shells differ in {_short(whole)}")
        assigns |= inside.assigns
        target = re.match(r"\$\{([A-Za-z_]\w*):?=", whole)
        if target:
            assigns.add(target[1])
        parts.append(Part("computed", f"{_short(whole)} is an expansion", quoted))

    def _arithmetic(self, assigns: set[str]) -> None:
        opening, depth = self.pos, 0
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if char in "'\"`\\$":
                # Only the end matters, and these could hide it.
                if char == "$" and NAME.match(self.text, self.pos + 1):
                    self.pos += 1
                    continue
                raise _SyntaxError(opening, "an arithmetic expansion holds quotes or commands")
            depth += (char == "(") - (char == ")")
            self.pos += 1
            if depth == 0:
                break
        inside = self.text[opening : self.pos]
        if depth or not inside.endswith("))"):
            raise _SyntaxError(opening, "an arithmetic expansion is never closed")
        assigns.update(NAME.findall(inside))

    def _substitution(self) -> None:
        """``$(…)``, the opening parenthesis being next: only its end matters."""
        opening = self.pos
        self.pos += 1
        waiting, self.documents = self.documents, []
        with _Deeper(self, opening):
            self._list(frozenset({")"}), ends=")")
        if self._next() != ")":
            raise _SyntaxError(opening, "$( is never closed")
        if self.documents:
            raise _SyntaxError(opening, "a here-document is inside $(")
        self.documents = waiting

    def _read_documents(self) -> None:
        """Skip the here-documents that begin on the line just ended."""
        while self.documents:
            document = self.documents.pop(0)
            start = self.pos
            while True:
                if self.pos >= len(self.text):
                    # dash takes the end of the file for the delimiter; another shell may not.
                    raise _SyntaxError(start, f"the here-document {document.delimiter!r} has no end")
                end = self.text.find("\n", self.pos)
                end = len(self.text) if end < 0 else end
                line = self.text[self.pos : end]
                begin, self.pos = self.pos, min(end + 1, len(self.text))
                if (line.lstrip("\t") if document.strip_tabs else line) == document.delimiter:
                    break
            body = self.text[start:begin]
            if document.expands and "\\\n" in body:
                raise _SyntaxError(start, "a here-document holds continued lines")
            if document.expands and re.search(r"[$`]", body):
                self.document_assigns |= set(NAME.findall(body))

    # -- commands

    def _complete_line(self) -> list[Statement]:
        """Statements up to the end of a line, the way sh reads before it carries anything out."""
        found: list[Statement] = []
        while True:
            listed = self._and_or()
            token = self._peek()
            found += [_doubtful(each, "in the background") for each in listed] if token == "&" else listed
            ended = token not in (";", "&")
            if not ended:
                self._next()
                token = self._peek()
            if token is None or token == "\n":
                self._next()
                break
            if ended:
                raise _SyntaxError(self._token_start, "sh expects the command to end here")
        if self.document_assigns:
            last = found[-1]
            found.append(
                Statement(
                    last.line,
                    last.start,
                    last.end,
                    may_assign=frozenset(self.document_assigns),
                    reason="in a here-document",
                )
            )
            self.document_assigns = set()
        return found

    def _list(self, terminators: frozenset[str], ends: str) -> list[Statement]:
        """The commands inside a compound one, up to a terminator, which is left to be read."""
        found: list[Statement] = []
        while True:
            self._skip_newlines()
            if self._at(terminators):
                return found
            if self._peek() is None:
                raise _SyntaxError(self._token_start, f"{ends!r} is missing")
            found += self._and_or()
            token = self._peek()
            if token in (";", "&", "\n"):
                self._next()
            elif not self._at(terminators):
                raise _SyntaxError(self._token_start, f"{ends!r} is missing")

    def _at(self, terminators: frozenset[str]) -> bool:
        token = self._peek()
        return (token.literal if isinstance(token, Word) else token) in terminators

    def _and_or(self) -> list[Statement]:
        """Pipelines joined by ``&&`` and ``||``: only the first is carried out for certain."""
        found = self._pipeline()
        while self._peek() in ("&&", "||"):
            self._next()
            self._skip_newlines()
            found += [_doubtful(each, "only if a command before it succeeds or fails") for each in self._pipeline()]
        return found

    def _pipeline(self) -> list[Statement]:
        negated = False
        while self._at(frozenset({"!"})):
            self._next()
            negated = True
        found = [self._command()]
        while self._peek() == "|":
            self._next()
            self._skip_newlines()
            found.append(self._command())
        if len(found) > 1:
            return [_doubtful(each, "in a pipeline") for each in found]
        return [_doubtful(found[0], "after !")] if negated else found

    def _command(self) -> Statement:
        token = self._peek()
        start = self._token_start
        if token == "(":
            self._next()
            if self._peek() == "(" and self.text[start : start + 2] == "((":
                raise _SyntaxError(start, "shells differ in ((")
            return self._compound(start, "(", ")", "in a subshell")
        if token is None or (isinstance(token, str) and token not in _REDIRECTIONS):
            raise _SyntaxError(start, f"{'the end of the file' if token is None else repr(token)} is not expected here")
        word = token.literal if isinstance(token, Word) else None
        if word in ("function", "select", "coproc"):
            raise _SyntaxError(start, f"shells differ in {word!r}")
        if word in _RESERVED:
            return self._reserved(start, word)
        return self._simple(start)

    def _reserved(self, start: int, word: str) -> Statement:
        if word == "case":
            return self._case(start)
        if word == "for":
            return self._for(start)
        end = {"if": "fi", "while": "done", "until": "done", "{": "}"}.get(word)
        if end is None:
            raise _SyntaxError(start, f"{word!r} is not expected here")
        self._next()
        if word == "if":
            return self._if(start)
        if word == "{":
            return self._compound(start, "{", "}", "inside { }")
        with _Deeper(self, start):
            inside = self._list(frozenset({"do"}), ends="do")
        self._expect("do")
        return self._compound(start, word, "done", f"in a {word} loop", inside)

    def _expect(self, word: str) -> None:
        if not self._at(frozenset({word})):
            raise _SyntaxError(self._token_start, f"{word!r} is missing")
        self._next()

    def _if(self, start: int) -> Statement:
        with _Deeper(self, start):
            inside = self._list(frozenset({"then"}), ends="then")
            self._expect("then")
            while True:
                inside += self._list(frozenset({"elif", "else", "fi"}), ends="fi")
                if self._at(frozenset({"elif"})):
                    self._next()
                    inside += self._list(frozenset({"then"}), ends="then")
                    self._expect("then")
                    continue
                break
        if self._at(frozenset({"else"})):
            self._next()
        return self._compound(start, "if", "fi", "inside an if", inside)

    def _for(self, start: int) -> Statement:
        self._next()
        variable = self._next()
        name = variable.literal if isinstance(variable, Word) else None
        if name is None or not NAME.fullmatch(name):
            raise _SyntaxError(start, "'for' lacks the name of a variable")
        assigned = {name}
        self._skip_newlines()
        if self._at(frozenset({"in"})):
            self._next()
            while isinstance(word := self._peek(), Word):
                self._next()
                assigned |= word.assigns
        if self._peek() == ";":
            self._next()
        self._skip_newlines()
        self._expect("do")
        loop = self._compound(start, "for", "done", "in a for loop")
        return replace(loop, may_assign=loop.may_assign | assigned)

    def _case(self, start: int) -> Statement:
        self._next()
        subject = self._next()
        if not isinstance(subject, Word):
            raise _SyntaxError(start, "'case' lacks a word")
        assigned = set(subject.assigns)
        self._skip_newlines()
        self._expect("in")
        inside: list[Statement] = []
        with _Deeper(self, start):
            while True:
                self._skip_newlines()
                if self._at(frozenset({"esac"})):
                    break
                assigned |= self._pattern()
                inside += self._list(frozenset({";;", "esac"}), ends="esac")
                if self._peek() == ";;":
                    self._next()
        self._next()
        whole = _merged(self, start, inside, "in a case")
        whole = replace(whole, may_assign=whole.may_assign | assigned)
        self._redirections()
        return whole

    def _pattern(self) -> set[str]:
        assigned: set[str] = set()
        if self._peek() == "(":
            self._next()
        while True:
            word = self._next()
            if not isinstance(word, Word):
                raise _SyntaxError(self._token_start, "a case pattern is missing")
            assigned |= word.assigns
            token = self._next()
            if token == ")":
                return assigned
            if token != "|":
                raise _SyntaxError(self._token_start, "')' is missing after a case pattern")

    def _compound(
        self, start: int, opening: str, closing: str, reason: str, inside: list[Statement] | None = None
    ) -> Statement:
        """The rest of a compound command from its body on, and what all of it may do."""
        with _Deeper(self, start):
            found = (inside or []) + self._list(frozenset({closing}), ends=closing)
        self._next()
        whole = _merged(self, start, found, reason)
        assigned = self._redirections()
        return replace(whole, may_assign=whole.may_assign | assigned)

    def _redirections(self) -> frozenset[str]:
        assigned: set[str] = set()
        while True:
            token = self._peek()
            if isinstance(token, str) and token in _REDIRECTIONS:
                assigned |= self._redirection()
            elif self._is_io_number(token):
                self._next()
            else:
                return frozenset(assigned)

    def _is_io_number(self, token: object) -> bool:
        return (
            isinstance(token, Word)
            and bool(token.literal)
            and token.literal.isdecimal()
            and self.text[token.end : token.end + 1] in ("<", ">")
        )

    def _redirection(self) -> frozenset[str]:
        operator = self._next()
        target = self._next()
        if not isinstance(target, Word):
            raise _SyntaxError(self._token_start, f"{operator!r} lacks a file")
        if operator in ("<<", "<<-"):
            if any(part.kind != "text" for part in target.parts) or "\n" in (target.text or ""):
                raise _SyntaxError(target.start, "the delimiter of a here-document is computed")
            self.documents.append(_HereDocument(target.text or "", operator == "<<-", target.literal is not None))
        return target.assigns

    def _simple(self, start: int) -> Statement:
        """Assignments, then a command with its words and redirections."""
        prefix: list[Assignment] = []
        words: list[Word] = []
        assigned: set[str] = set()
        redirected, end = False, start
        while True:
            token = self._peek()
            if isinstance(token, str) and token in _REDIRECTIONS:
                assigned |= self._redirection()
                redirected = True
            elif self._is_io_number(token):
                self._next()
            elif isinstance(token, Word):
                self._next()
                assigned |= token.assigns
                assignment = None if words else _as_assignment(self.text, token)
                if assignment:
                    prefix.append(assignment)
                else:
                    words.append(token)
                end = token.end
            elif token == "(" and len(words) == 1 and not prefix and not redirected:
                return self._function(start, words[0])
            elif token == "(":
                raise _SyntaxError(self._token_start, "'(' is not expected here")
            else:
                break
        meaning = _meaning(self, Statement(self.line(start), start, end), prefix, words, redirected)
        return replace(meaning, may_assign=meaning.may_assign | assigned, reason=meaning.reason or "by an expansion")

    def _function(self, start: int, name: Word) -> Statement:
        self._next()
        if self._next() != ")" or not name.literal or not NAME.fullmatch(name.literal):
            raise _SyntaxError(start, "'(' is not expected here")
        self._skip_newlines()
        with _Deeper(self, start):
            body = _merged(self, start, [self._command()], f"in the function {name.literal}")
        # It may call the others, and may be one of several of that name.
        self.functions.setdefault(name.literal, []).append(body)
        return body


@dataclass
class _Deeper:
    """One level of nesting more, up to what a settings file can need."""

    script: Script
    at: int

    def __enter__(self) -> None:
        self.script.depth += 1
        if self.script.depth > _MAX_DEPTH:
            raise _SyntaxError(self.at, "it is nested too deeply")

    def __exit__(self, *_: object) -> None:
        self.script.depth -= 1


def _short(text: str, limit: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _as_assignment(text: str, word: Word, declared: bool = False) -> Assignment | None:
    """The word as ``NAME=value``; None if it is not one."""
    if not word.parts or word.parts[0].kind != "text" or word.parts[0].quoted:
        return None
    # A line continuation inside the name splits it into several parts.
    head = ""
    for index, part in enumerate(word.parts):
        if part.kind != "text" or part.quoted:
            return None
        head += part.text
        match = _ASSIGNMENT.match(head)
        if match:
            rest = Part("text", head[match.end() :], False)
            value = replace(word, parts=(rest, *word.parts[index + 1 :]), literal=None)
            at = text.index("=", word.start) + 1
            return Assignment(match[1], value, at, declared)
        if not re.fullmatch(r"[A-Za-z0-9_]*", head):
            return None
    return None


def _doubtful(statement: Statement, reason: str) -> Statement:
    """The same command, where it may or may not be carried out."""
    return replace(
        statement,
        assignments=(),
        may_assign=statement.may_assign | {each.name for each in statement.assignments} | statement.readonly,
        any_assign=statement.any_assign or statement.source is not None,
        source=None,
        readonly=frozenset(),
        reason=reason,
    )


def _merged(script: Script, start: int, inside: Iterable[Statement], reason: str) -> Statement:
    """A compound command, from the commands in it."""
    parts = [_doubtful(each, reason) for each in inside]
    return Statement(
        line=script.line(start),
        start=start,
        end=script.pos,
        may_assign=frozenset().union(*(each.may_assign for each in parts)),
        any_assign=any(each.any_assign for each in parts),
        leaves=any(each.leaves for each in parts),
        gives_up=any(each.gives_up for each in parts),
        reason=reason,
    )


def _meaning(
    script: Script, plain: Statement, prefix: list[Assignment], words: list[Word], redirected: bool
) -> Statement:
    """What a simple command does to the variables."""
    names = frozenset(each.name for each in prefix)
    if not words:
        if redirected:
            return replace(plain, may_assign=names, reason="with a redirection")
        return replace(plain, assignments=tuple(prefix))
    command = words[0].text
    if command in ("command", "builtin") and len(words) > 1:
        inner = _meaning(script, plain, [], words[1:], redirected)
        return _doubtful(replace(inner, may_assign=inner.may_assign | names), f"by {command}")
    if command is None or command in ("eval", "alias"):
        what = f"{command} may set anything" if command else "the command is computed"
        return replace(plain, gives_up=True, any_assign=True, reason=what)
    odd = re.match(r"([A-Za-z_][A-Za-z0-9_]*)(\+=|\[)", command)
    if odd:
        return replace(plain, may_assign=names | {odd[1]}, reason="in a way that shells differ in")
    if command in script.functions:
        bodies = [body for each in script.functions.values() for body in each]
        called = _merged(script, plain.start, bodies, f"by the function {command}")
        return replace(called, end=plain.end, may_assign=called.may_assign | names)
    if command in _MAY_ASSIGN:
        return _may_assign(script, plain, command, words[1:], names)
    if command not in _SPECIAL_BUILTINS:
        return plain
    return _special(script, plain, command, words[1:], names, redirected)


def _may_assign(script: Script, plain: Statement, command: str, words: list[Word], names: frozenset[str]) -> Statement:
    """``read``, ``unset`` and their like: every name in their words may be set."""
    literals = [word.literal for word in words]
    if command == "unset" and not names and all(each and NAME.fullmatch(each) for each in literals):
        return replace(plain, assignments=tuple(Assignment(each or "", None, 0) for each in literals))
    if any(word.text is None for word in words):
        return replace(plain, any_assign=True, reason=f"by {command}")
    mentioned = names.union(*(NAME.findall(word.text or "") for word in words)) | {"REPLY"}
    return replace(plain, may_assign=mentioned, reason=f"by {command}")


def _special(
    script: Script, plain: Statement, command: str, words: list[Word], names: frozenset[str], redirected: bool
) -> Statement:
    """POSIX's special built-in commands: assignments before them may stay."""
    doubt = replace(plain, may_assign=names, reason=f"in front of {command}" if names else "")
    if command in (":", "trap", "times"):
        return doubt
    if command in ("export", "readonly"):
        return _declaration(script, doubt, command, words, redirected)
    if command == "." and len(words) == 1 and not names and not redirected:
        return replace(plain, source=words[0])
    if command in (".", "source"):
        return replace(doubt, any_assign=True, reason="by a sourced file")
    if command == "set" and all(re.fullmatch(r"[-+][axv]+", word.literal or "") for word in words):
        return doubt
    return replace(doubt, leaves=True, reason=f"after {command}")


def _declaration(script: Script, doubt: Statement, command: str, words: list[Word], redirected: bool) -> Statement:
    """``export A=b``, ``readonly A=b``."""
    assignments = []
    for word in words:
        assignment = _as_assignment(script.text, word, declared=True)
        if assignment:
            assignments.append(assignment)
        elif not re.fullmatch(r"-p|[A-Za-z_][A-Za-z0-9_]*", word.text or ""):
            return replace(doubt, leaves=True, any_assign=True, reason=f"by {command}")
    locked: frozenset[str] = frozenset()
    if command == "readonly":
        bare = {word.literal for word in words if word.literal and NAME.fullmatch(word.literal)}
        locked = frozenset({each.name for each in assignments} | bare)
    stated = replace(doubt, assignments=tuple(assignments), readonly=locked, reason=f"by {command}")
    return _doubtful(stated, "with a redirection") if redirected else stated
