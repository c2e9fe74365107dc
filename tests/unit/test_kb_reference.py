"""The reference has every public function, whole, and links to the articles of what it looks for or repairs."""

from __future__ import annotations

import ast
import re

import pytest

from courierlib import catalogue
from pages import reference
from pages.addresses import slug

ENTRIES = list(catalogue.load().values())
PAGES = {
    reference.MODULE: reference.modules_page(ENTRIES),
    reference.STATES: reference.states_page(ENTRIES),
}


def sections(page):
    return dict(zip(*[iter(re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:])] * 2, strict=True))


def docstrings(path):
    tree = ast.parse((reference.REPOSITORY / path).read_text())
    return {
        node.name: ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


@pytest.mark.parametrize("path", PAGES)
def test_every_public_function_has_a_section_with_its_signature(path):
    found = sections(PAGES[path])
    assert [heading.strip("`") for heading in found] == list(reference.functions(path))
    assert len(found) == len(docstrings(path)) > 10
    for heading, text in found.items():
        assert f"```python\n{heading.strip('`')}(" in text


@pytest.mark.parametrize("path", PAGES)
def test_no_word_of_a_docstring_is_lost(path):
    for name, docstring in docstrings(path).items():
        text = sections(PAGES[path])[f"`courier.{name}`"]
        spoken = re.sub(r"\.\. code-block:: \w+|``|^Articles?: .*$", " ", docstring, flags=re.MULTILINE)
        shown = iter(re.sub(r"[`*]|```\w*", " ", text).replace(": ", " ").split())
        for word in re.sub(r"[`*]", " ", spoken).replace(": ", " ").split():
            assert any(word.rstrip(":") == each.rstrip(":") for each in shown), f"{name}: {word}"


@pytest.mark.parametrize("path", PAGES)
def test_nothing_of_restructuredtext_is_left(path):
    text = re.sub(r"^```.*?^```", "", PAGES[path], flags=re.MULTILINE | re.DOTALL)
    assert "``" not in text and ".. " not in text and "====" not in text
    assert not re.search(r"^:\w+:", text, re.MULTILINE)


def test_parts_of_a_docstring_become_markdown():
    text = reference.markdown(
        "One ``word``\nhere.\n\nname\n    What it\n    is.\n\nother\n    Else.\n\nCLI Example:\n\n"
        ".. code-block:: bash\n\n    salt '*' test.ping\n\n      indented\n\nLast."
    )
    assert text == (
        "One `word` here.\n\n* `name`: What it is.\n* `other`: Else.\n\nCLI Example:\n\n"
        "```bash\nsalt '*' test.ping\n\n  indented\n```\n\nLast."
    )


def test_a_function_links_to_the_articles_of_what_it_names():
    found = sections(PAGES[reference.MODULE])
    for name in ("check_dh", "fix_dh"):
        assert "[dh-params-weak](../i/dh-params-weak.md)" in found[f"`courier.{name}`"]
    assert "[dh-params-weak](../i/dh-params-weak.md)" in sections(PAGES[reference.STATES])["`courier.fix_dh`"]
    assert "Article" not in found["`courier.history`"]


def test_every_repair_links_back():
    for entry in ENTRIES:
        if entry.fixed_by:
            section = sections(PAGES[reference.MODULE])[f"`{entry.fixed_by.split()[0]}`"]
            assert f"(../i/{entry.id}.md)" in section


def test_the_articles_that_a_docstring_names_are_those_that_its_page_links():
    for name, docstring in docstrings(reference.MODULE).items():
        if named := re.search(r"^Articles?: (.+?)\.$", docstring, re.MULTILINE | re.DOTALL):
            linked = reference.issues_of(f"courier.{name}", ENTRIES)
            assert set(re.findall(r"``(.+?)``", named[1])) == set(linked), name


def test_anchors_are_those_of_mkdocs():
    # markdown 3.11: slugify("courier.fix_dh", "-"), slugify("imapd and pop3d", "-")
    assert reference.anchor("courier.fix_dh") == "courierfix_dh"
    assert slug("imapd and pop3d") == "imapd-and-pop3d"
    assert slug("What it breaks – now?") == "what-it-breaks-now"


def test_the_formula_page_has_every_key_with_its_default():
    page = reference.formula_page(ENTRIES)
    keys = re.findall(r"^(\w+): *(.*)$", (reference.REPOSITORY / "courier/defaults.yaml").read_text(), re.MULTILINE)
    assert keys
    for key, default in keys:
        assert re.search(rf"^### `{key}`\n\n.+\n\nDefault: `{re.escape(default)}`$", page, re.MULTILINE)
    assert (reference.REPOSITORY / "courier/pillar.example").read_text().strip() in page


def test_the_formula_page_leads_to_the_article_of_each_repair_with_its_choices():
    page = reference.formula_page(ENTRIES)
    for entry in ENTRIES:
        line = re.search(rf"^\* `{entry.id}`: .*\(\.\./i/{entry.id}\.md\).*$", page, re.MULTILINE)
        assert bool(line) == bool(entry.fix), entry.id
        for word in (*entry.issue.choices, *entry.issue.allows) if entry.fix else ():
            assert f"`{word}`" in line[0]
