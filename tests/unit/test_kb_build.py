"""The knowledge base hangs together: every page is made, and every link inside it leads somewhere."""

from __future__ import annotations

import html
import posixpath
import re
import subprocess
import sys

import pytest

import export
from courierlib import KB_URL, catalogue
from courierlib.issue import Severity
from pages import build, results
from pages.addresses import address, slug

DOCS = results.REPOSITORY / "kb/docs"
PAGES = build.pages()
WRITTEN = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
ALL = {**{path: build.filled(path, text) for path, text in WRITTEN.items()}, **PAGES}

FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2`*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def prose(text):
    """A page without what its fences hold, and without code in a line."""
    return re.sub(r"`[^`\n]*`", "code", FENCE.sub("", text))


def headings(text):
    """Ids of a page's headings, as MkDocs gives them: the second of the same text ends in _1."""
    seen, ids = {}, set()
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text), re.MULTILINE):
        plain = slug(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading))
        ids.add(f"{plain}_{seen[plain]}" if plain in seen else plain)
        seen[plain] = seen.get(plain, 0) + 1
    return ids


def test_every_issue_has_its_article_and_its_program():
    for issue in catalogue.load():
        assert f"i/{issue}.md" in PAGES and f"source/{issue}.md" in PAGES
    assert {"i/index.md", "map.md", "matrix.md", "upgrade.md", "issues.json", "assets/catalogue.js"} <= set(PAGES)
    assert {"reference/modules.md", "reference/states.md", "reference/formula.md"} <= set(PAGES)


def test_the_start_page_leads_to_every_grave_problem():
    for entry in catalogue.load().values():
        if entry.issue.severity >= Severity.HIGH:
            assert f"(i/{entry.id}.md)" in WRITTEN["index.md"], entry.id


def test_the_start_page_names_every_problem_that_answers_432():
    items = [item for item in re.split(r"^\* ", WRITTEN["index.md"], flags=re.MULTILINE) if "`432 " in item]
    answering = [
        entry.id for entry in catalogue.load().values() if "`432" in entry.article.partition("## What it breaks")[0]
    ]
    assert len(answering) > 2
    for issue in answering:
        assert any(f"(i/{issue}.md)" in item for item in items), issue


def test_no_generated_page_hides_a_written_one():
    assert not set(PAGES) & set(WRITTEN)


@pytest.mark.parametrize("path", [path for path in ALL if path.endswith(".md")])
def test_links_lead_to_a_page_and_a_heading(path):
    for target in LINK.findall(prose(ALL[path])):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        # The copy without network is packed when the site is built.
        if name.endswith(".zip"):
            continue
        page = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
        assert page in ALL, target
        assert not anchor or anchor in headings(ALL[page]), target


@pytest.mark.parametrize("directory", [True, False])
@pytest.mark.parametrize("path", ["map.md", "index.md"])
def test_links_of_the_drawing_lead_to_pages(path, directory):
    text = build.pages(directory)[path] if path in PAGES else build.filled(path, build.MAP, directory)
    links = [html.unescape(link) for link in re.findall(r'<a href="([^"]+)"', text)]
    targets = {address(path, page, directory): page for page in ALL if page.endswith(".md")}
    for link in links:
        place, _, anchor = link.partition("#")
        assert place in targets
        assert not anchor or anchor in headings(ALL[targets[place]])
    assert links or path == "map.md"


@pytest.mark.parametrize(
    ("page", "target", "directory", "expected"),
    [
        ("map.md", "i/x.md", True, "../i/x/"),
        ("map.md", "i/x.md", False, "i/x.html"),
        ("index.md", "map.md#queue", True, "map/#queue"),
        ("index.md", "map.md#queue", False, "map.html#queue"),
        ("map.md", "index.md", True, "../"),
        ("i/index.md", "index.md", False, "../index.html"),
        ("i/x.md", "i/index.md", True, "../"),
        ("i/old.md", "i/new.md", True, "../new/"),
    ],
)
def test_addresses_are_relative_to_the_published_page(page, target, directory, expected):
    assert address(page, target, directory) == expected


def test_generated_markdown_is_plain():
    for path, text in PAGES.items():
        if path.endswith(".md"):
            outside = re.sub(r"<div.*</div>", "", prose(text), flags=re.DOTALL)
            assert "\t" not in outside and "!!!" not in outside and "{:" not in outside, path
            assert not re.search(r"^<(?!https?:)|<[a-z]+[ >]", outside, re.MULTILINE), path


@pytest.mark.parametrize("issue", catalogue.load())
def test_an_article_leads_to_the_formula_if_the_formula_repairs_it(issue):
    linked = "(../reference/formula.md)" in PAGES[f"i/{issue}.md"]
    assert linked == bool(catalogue.load()[issue].fix)


@pytest.mark.parametrize("issue", catalogue.load())
def test_a_program_is_shown_without_its_article_and_kept_out_of_the_search(issue):
    text = PAGES[f"source/{issue}.md"]
    assert text.startswith("---\nsearch:\n  exclude: true\n---\n")
    program = re.search(r"^(`{3,})python\n(.*)\n\1$", text, re.MULTILINE | re.DOTALL)[2]
    compile(program, issue, "exec")
    assert "ISSUE = Issue(" in program and "## What you see" not in program


def exporting(*arguments):
    return subprocess.run([sys.executable, str(export.__file__), *map(str, arguments)], capture_output=True, text=True)


def test_an_export_writes_everything_and_can_be_repeated(tmp_path):
    target = tmp_path / "new" / "pages"
    assert exporting(target).returncode == 0
    for path, text in ALL.items():
        assert (target / path).read_text() == text
    assert all((target / path.relative_to(DOCS)).is_file() for path in DOCS.rglob("*") if path.is_file())
    (target / "own.txt").write_text("mine")
    (target / "gone.md").write_text("an issue that is no more")
    with (target / export.MARK).open("a") as mark:
        mark.write("gone.md\n")
    assert exporting(target).returncode == 0
    assert (target / "own.txt").read_text() == "mine"
    assert not (target / "gone.md").exists()


def test_the_base_address_stands_in_no_written_page_and_is_filled_in_everywhere():
    asking = [path for path, text in WRITTEN.items() if build.BASE in text]
    assert {"offline.md", "data.md"} <= set(asking)
    assert not [path for path, text in WRITTEN.items() if KB_URL in text]
    assert all(KB_URL in ALL[path] and build.BASE not in ALL[path] for path in asking)


def test_an_export_refuses_what_it_did_not_make(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    refused = exporting(tmp_path)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1 and str(tmp_path) in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert exporting("--force", tmp_path).returncode == 0
    assert (tmp_path / "mine.txt").read_text() == "mine" and (tmp_path / "map.md").is_file()


def test_an_export_says_which_scripts_its_pages_need():
    scripts = re.findall(r"assets/\w+\.js", exporting("--help").stdout)
    assert scripts == ["assets/catalogue.js", "assets/reader.js", "assets/page.js"]
    assert all(name in PAGES or (DOCS / name).is_file() for name in scripts)


def test_an_export_onto_a_file_fails_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    failed = exporting(tmp_path / "file")
    assert failed.returncode == 1 and len(failed.stderr.splitlines()) == 1 and "Traceback" not in failed.stderr


def test_an_export_needs_no_mkdocs():
    script = "import sys; sys.path[:0] = sys.argv[1:]; import export; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(results.REPOSITORY / "kb")], capture_output=True, text=True, check=True
    )
    assert "'pages.build'" in done.stdout
    assert not re.search(r"'(mkdocs|markdown|material|salt)['.]", done.stdout)
