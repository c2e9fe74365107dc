"""Every issue file is consistent, and an inconsistent one is refused by name."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import types

import pytest

from courierlib import catalogue
from courierlib.issue import Affects, Issue, Severity, Signature, Upgrade

ARTICLE = "Mail stops\n\n" + "\n\n".join(f"## {heading}\n\nText." for heading in catalogue.HEADINGS)
SIGNATURE = Signature(("imapd",), r"no start line", "PEM routines::no start line", "run: trixie")
ISSUE = Issue("some-issue", "tls", Severity.HIGH, Affects(), "nothing", ("run: trixie",), (SIGNATURE,), look=("ls",))


def module(doc=ARTICLE, issue=ISSUE, name="some_issue", **more):
    made = types.ModuleType(f"courierlib.issues.{name}", doc)
    made.ISSUE, made.check = issue, lambda host: iter(())
    for attribute, value in more.items():
        setattr(made, attribute, value)
    return made


def test_a_sound_issue_file_is_taken():
    (entry,) = catalogue.collect([module()]).values()
    assert (entry.id, entry.title, entry.fix, entry.fixed_by) == ("some-issue", "Mail stops", None, None)
    assert entry.article.startswith("## What you see")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (module(doc="Title\n\n## What you see\n"), "headings"),
        (module(doc=None), "headings"),
        (module(name="another_name"), "its name says 'another-name'"),
        (module(issue="nonsense"), "has ISSUE and check"),
        (module(issue=dataclasses.replace(ISSUE, component="moon")), "component 'moon'"),
        (
            module(issue=dataclasses.replace(ISSUE, signatures=(dataclasses.replace(SIGNATURE, pattern="end line"),))),
            "misses its own sample",
        ),
        (
            module(issue=dataclasses.replace(ISSUE, signatures=(dataclasses.replace(SIGNATURE, pattern="no ("),))),
            "pattern 'no \\('",
        ),
        (
            module(issue=dataclasses.replace(ISSUE, signatures=(dataclasses.replace(SIGNATURE, pattern="(?i)no"),))),
            "JavaScript or RE2",
        ),
        (
            module(
                issue=dataclasses.replace(
                    ISSUE, signatures=(dataclasses.replace(SIGNATURE, pattern=r"\S+ routines::no start line"),)
                )
            ),
            "tried anew",
        ),
        (
            module(issue=dataclasses.replace(ISSUE, signatures=(dataclasses.replace(SIGNATURE, tls="LibreSSL"),))),
            "tls 'LibreSSL' of a signature is none of OpenSSL 1.0",
        ),
        (module(issue=dataclasses.replace(ISSUE, look=())), "look is empty"),
        (module(issue=dataclasses.replace(ISSUE, bites=("letterbox",))), "bites 'letterbox' is none of smtp-ports"),
        (module(doc=ARTICLE.replace("Text.", "1. Do:\n\n   ```console\n   # ls\n   ```", 1)), "by four spaces"),
        (
            module(issue=dataclasses.replace(ISSUE, upgrades=(Upgrade("0.76", "during", "Wait."),))),
            "upgrade to 0.76: act 'during' is not before or after",
        ),
        (module(issue=dataclasses.replace(ISSUE, alike=("no-such-issue",))), "alike 'no-such-issue'"),
        (module(issue=dataclasses.replace(ISSUE, alike=("some-issue",))), "alike 'some-issue'"),
        (module(issue=dataclasses.replace(ISSUE, formerly=("some-issue",))), "formerly 'some-issue'"),
        (module(issue=dataclasses.replace(ISSUE, formerly=("old-issue", "old-issue"))), "formerly 'old-issue'"),
    ],
)
def test_an_inconsistent_issue_file_is_refused_by_name(broken, message):
    with pytest.raises(catalogue.Inconsistent, match=message) as raised:
        catalogue.collect([broken])
    assert "_utils/courierlib/issues/" in str(raised.value)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?=no) start",
        r"no(?! stop)",
        r"no(?<=no)",
        r"(?P<a>no)",
        r"(n)o\1",
        r"\bno",
        r"\w+",
        r"\d",
        r"no{,3}",
        r"n++",
        r"\Ano",
    ],
)
def test_a_pattern_that_not_every_engine_reads_alike_is_refused(pattern):
    signature = dataclasses.replace(SIGNATURE, pattern=pattern)
    with pytest.raises(catalogue.Inconsistent, match="JavaScript or RE2"):
        catalogue.collect([module(issue=dataclasses.replace(ISSUE, signatures=(signature,)))])


def test_an_id_is_used_once():
    with pytest.raises(catalogue.Inconsistent, match="already that of"):
        catalogue.collect([module(), module()])


def other_module(**changes):
    issue = dataclasses.replace(ISSUE, id="other-issue", **changes)
    return module(issue=issue, name="other_issue")


def test_a_former_id_belongs_to_one_issue_and_to_no_living_one():
    renamed = module(issue=dataclasses.replace(ISSUE, formerly=("old-issue",), signatures=()))
    assert list(catalogue.collect([renamed, other_module(formerly=("older-issue",))])) == ["other-issue", "some-issue"]
    for taken in ("old-issue", "some-issue"):
        with pytest.raises(
            catalogue.Inconsistent, match=rf"other_issue.py: formerly '{taken}' is an id of .*some_issue"
        ):
            catalogue.collect([renamed, other_module(formerly=(taken,))])


def test_issues_that_share_a_log_line_say_how_to_tell_them_apart():
    telling = dataclasses.replace(ISSUE, tell="The file has carriage returns.")
    wider = (Signature(("esmtpd",), r"(no start|a bad end) line$", "a bad end line", "run: trixie"),)
    for silent in (other_module(), other_module(signatures=wider)):
        for modules in ([module(issue=telling), silent], [silent, module(issue=telling)]):
            with pytest.raises(catalogue.Inconsistent, match="other_issue.py: shares a log line with some-issue"):
                catalogue.collect(modules)
    assert catalogue.collect([module(issue=telling), other_module(signatures=wider, tell="It has none.")])
    assert catalogue.collect([module(), other_module(signatures=())])


def test_lines_that_are_a_finding_by_themselves_belong_to_one_issue():
    logged = module(issue=dataclasses.replace(ISSUE, logged=True, tell="The file has carriage returns."))
    with pytest.raises(catalogue.Inconsistent, match="its lines alone prove nothing"):
        catalogue.collect([logged, other_module(tell="It has none.")])
    assert catalogue.collect([logged, other_module(signatures=())])


def test_an_id_is_no_word_for_a_group():
    for word in ("all", "tls", "critical"):
        with pytest.raises(catalogue.Inconsistent, match="names a group"):
            catalogue.collect([module(issue=dataclasses.replace(ISSUE, id=word), name=word)])


def test_words_select_ids_components_and_severities():
    entries = catalogue.collect([module(), other_module(component="auth", signatures=())])
    low, high = Severity.LOW, Severity.HIGH
    assert catalogue.select(["all"], entries) == {"some-issue": low, "other-issue": low}
    assert catalogue.select(["other-issue"], entries) == {"other-issue": low}
    assert catalogue.select(["auth"], entries) == {"other-issue": low}
    assert catalogue.select(["high"], entries) == {"some-issue": high, "other-issue": high}
    assert catalogue.select(["auth", "high"], entries) == {"some-issue": high, "other-issue": low}
    with pytest.raises(KeyError, match="grave"):
        catalogue.select(["grave"], entries)


def test_issues_that_look_alike_may_name_each_other():
    one = module(issue=dataclasses.replace(ISSUE, alike=("other-issue",)))
    entries = catalogue.collect([one, other_module(signatures=(), alike=("some-issue",))])
    assert [entry.issue.alike for entry in entries.values()] == [("some-issue",), ("other-issue",)]


def test_choices_of_an_issue_are_the_keyword_arguments_of_its_fix():
    choosing = dataclasses.replace(ISSUE, choices={"group": ("ffdhe3072",)})
    (entry,) = catalogue.collect([module(issue=choosing, fix=lambda host, findings, *, group="": ())]).values()
    assert entry.fixed_by == "courier.fix some-issue"
    for broken in (module(issue=choosing), module(fix=lambda host, findings, *, group="": ())):
        with pytest.raises(catalogue.Inconsistent, match="are not the options of its fix"):
            catalogue.collect([broken])


@pytest.mark.parametrize("entry", catalogue.load().values(), ids=lambda entry: entry.id)
def test_every_article_is_plain_markdown_with_evidence(entry):
    text = entry.article
    outside = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert not re.search(r"^!!!|\t|\{:|<[a-z]+[ >]", outside, re.MULTILINE), "admonitions, tabs, attributes or HTML"
    assert text.count("```") % 2 == 0, "a fence is not closed"
    assert not re.search(r"^## .+\n+(## |\Z)", text, re.MULTILINE), "an empty section"
    assert entry.issue.known, "no evidence"
    kinds = r"(run|read|reported): \S"
    assert all(re.match(kinds, known) for known in entry.issue.known), entry.issue.known
    assert all(re.match(kinds, signature.known) for signature in entry.issue.signatures)


@pytest.mark.parametrize("entry", catalogue.load().values(), ids=lambda entry: entry.id)
def test_what_to_look_at_is_a_few_commands_that_a_shell_understands(entry):
    assert 1 <= len(entry.issue.look) <= 3
    before_the_repair = entry.article.partition("## Fix by hand")[0]
    for command in entry.issue.look:
        assert "\n" not in command
        subprocess.run(["bash", "-n", "-c", command], check=True)
        assert f"# {command}\n" not in before_the_repair, "the page shows it already"


@pytest.mark.parametrize("entry", catalogue.load().values(), ids=lambda entry: entry.id)
def test_every_signature_matches_whole_lines_in_linear_time(entry):
    for signature in entry.issue.signatures:
        assert "\n" not in signature.sample
        assert signature.process
        assert not re.search(r"\([^)]*[*+]\)[*+]", signature.pattern), "a repeated repetition"
