"""The reference: what the docstrings of the Salt modules and the files of the formula say."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from courierlib.catalogue import Entry
from pages.addresses import slug
from pages.results import REPOSITORY

MODULE = "_modules/courier.py"
STATES = "_states/courier.py"

_ARTICLES = re.compile(r"Articles?: ``")


def anchor(function: str) -> str:
    """The id of a function's heading in the reference.

    Args:
        function: such as ``courier.fix_dh``.
    """
    return slug(function)


def functions(path: str) -> tuple[str, ...]:
    """Names of the public functions of a Salt module, such as ``courier.fix_dh``.

    Args:
        path: ``MODULE`` or ``STATES``.
    """
    return tuple(f"courier.{node.name}" for node in _public(path))


def modules_page(entries: Iterable[Entry]) -> str:
    """The reference of the execution module."""
    return _module_page(MODULE, "Execution module", entries)


def states_page(entries: Iterable[Entry]) -> str:
    """The reference of the state module."""
    return _module_page(STATES, "State module", entries)


def formula_page(entries: Iterable[Entry]) -> str:
    """The reference of the formula: its keys, an example of pillar, and what it can repair."""
    folder = REPOSITORY / "courier"
    about = re.match(r"\{#-\s*(.*?)\s*-#\}", (folder / "init.sls").read_text(), re.DOTALL)
    parts = [
        "# Formula",
        f"`state.apply courier`. {about[1]}",
        "A key that does not exist fails the highstate, and the message names it.",
        "## Keys of pillar `courier:`",
    ]
    for name, default, comment in _keys((folder / "defaults.yaml").read_text()):
        parts += [f"### `{name}`", comment, f"Default: `{default}`"]
    parts += [
        "### `kb_url`",
        "Address of a knowledge base of one's own; the reports then name its pages. It may stand in the minion's "
        "configuration too.",
        "## Example",
        f"```yaml\n{(folder / 'pillar.example').read_text().strip()}\n```",
        "## Ids of `issues`",
        "\n".join(
            f"* `{entry.id}`: [{entry.title}](../i/{entry.id}.md){_needs(entry)}" for entry in entries if entry.fix
        ),
        "## The state",
        f"```jinja\n{(folder / 'init.sls').read_text().strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _needs(entry: Entry) -> str:
    """What `options` may choose and `allow` may name for an issue."""
    options = [f"`{name}` ({', '.join(values)})" for name, values in entry.issue.choices.items()]
    allowed = [f"`{word}`" for word in entry.issue.allows]
    said = [f"{key}: {', '.join(words)}" for key, words in (("options", options), ("allow", allowed)) if words]
    return "".join(f"; {each}" for each in said)


def markdown(docstring: str) -> str:
    """Markdown of a docstring in Salt's dialect of reStructuredText.

    Args:
        docstring: paragraphs, definition lists, field lists, literals and code blocks; without indentation.
    """
    parts: list[str] = []
    in_list = False
    for block in _blocks(docstring):
        text = _block(block)
        # Items of one list stand together; anything else is a paragraph of its own.
        if in_list and text.startswith("* "):
            parts[-1] += f"\n{text}"
        else:
            parts.append(text)
        in_list = text.startswith("* ")
    return "\n\n".join(parts)


def issues_of(function: str, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Ids of the issues that a function is named for: it looks for them, or is what repairs them.

    Args:
        function: of the execution or the state module, such as ``courier.check_dh``.
        entries: gravest first.
    """
    named = _named().get(function.removeprefix("courier."), ())
    return tuple(entry.id for entry in entries if entry.id in named or (entry.fixed_by or "").split(" ")[0] == function)


def _module_page(path: str, heading: str, entries: Iterable[Entry]) -> str:
    entries = list(entries)
    title, _, about = ast.get_docstring(_tree(path)).split("\n", 2)
    parts = [f"# {heading} `courier`", f"{title}.", markdown(about.strip())]
    for node in _public(path):
        name = f"courier.{node.name}"
        # What the docstring says in a terminal, the page says with links.
        said = [block for block in _blocks(ast.get_docstring(node)) if not _ARTICLES.match(block)]
        parts += [f"## `{name}`", f"```python\n{name}({ast.unparse(node.args)})\n```", markdown("\n\n".join(said))]
        if found := issues_of(name, entries):
            links = ", ".join(f"[{issue}](../i/{issue}.md)" for issue in found)
            parts.append(f"{'Article' if len(found) == 1 else 'Articles'}: {links}.")
    return "\n\n".join(parts) + "\n"


def _blocks(docstring: str) -> Iterator[str]:
    """The parts of a docstring: a line that is not indented after an empty one begins the next."""
    return (block.strip("\n") for block in re.split(r"\n\n(?=\S)", docstring.strip("\n")))


def _block(block: str) -> str:
    if code := re.match(r"\.\. code-block:: (\w+)\n\n(.*)", block, re.DOTALL):
        return f"```{code[1]}\n{textwrap.dedent(code[2])}\n```"
    if fields := re.findall(r"^:(\w+): (.+)$", block, re.MULTILINE):
        return "\n".join(f"* {name}: {_inline(value)}" for name, value in fields)
    if definition := re.match(r"(\w+)\n( +\S.*)", block, re.DOTALL):
        return f"* `{definition[1]}`: {_inline(' '.join(definition[2].split()))}"
    return _inline(" ".join(block.split()))


def _inline(text: str) -> str:
    return text.replace("``", "`")


def _keys(yaml: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and comment of the keys of a flat YAML file in which each has its comment above it."""
    for comment, name, default in re.findall(r"((?:^#.*\n)+)^(\w+): *(.*)$", yaml, re.MULTILINE):
        yield name, default, " ".join(line.lstrip("# ") for line in comment.splitlines())


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse((REPOSITORY / path).read_text())


def _public(path: str) -> Iterator[ast.FunctionDef]:
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@cache
def _named() -> Mapping[str, tuple[str, ...]]:
    """The issues that the functions of the execution module name, by function: ``_DH = ("dh-params-weak", …)``."""
    tuples = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in _tree(MODULE).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Tuple)
    }
    return {
        function.name: tuple(
            issue
            for name in ast.walk(function)
            if isinstance(name, ast.Name) and name.id in tuples
            for issue in tuples[name.id]
        )
        for function in _public(MODULE)
    }
