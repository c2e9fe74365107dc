"""defaultdomain-empty is found where the file is there and says nothing, and removed where another name then holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import action_facts, queue_message, spool_host

from courierlib import databases
from courierlib.issues import defaultdomain_empty as issue

PATH = "/etc/courier/defaultdomain"


def host_with(root: Path, files: dict[str, str]):
    spool_host(root)
    for name, text in {"me": "mx.example.test\n", "locals": "localhost\nmx.example.test\n"}.items():
        (root / "etc/courier" / name).write_text(text)
    for name, text in files.items():
        (root / "etc/courier" / name).write_text(text)
    return spool_host(root)


@pytest.mark.parametrize("content", ["mx.example.test\n", "mx.example.test", "mx.example.test\n\n"])
def test_clear_with_a_domain(tmp_path: Path, content: str) -> None:
    assert not list(issue.check(host_with(tmp_path, {"defaultdomain": content})))


def test_clear_without_the_file(tmp_path: Path) -> None:
    assert not list(issue.check(host_with(tmp_path, {})))


def test_clear_where_nothing_sends_mail(tmp_path: Path) -> None:
    host = host_with(tmp_path, {"defaultdomain": "\n"})
    host.__dict__["components"] = frozenset({"imap"})
    assert not list(issue.check(host))


@pytest.mark.parametrize("content", ["", "\n", " \n", "\r\n", "\nmx.example.test\n"])
def test_an_empty_first_line_is_found_and_the_file_removed(tmp_path: Path, content: str) -> None:
    host = host_with(tmp_path, {"defaultdomain": content})
    (finding,) = issue.check(host)
    assert (finding.where, finding.severity, finding.fixable) == (PATH, None, True)
    (fact,) = action_facts(issue.fix(host, [finding]))
    assert (fact.kind, fact.path, fact.restarts, fact.allow) == ("RemoveFile", PATH, ("scheduler",), "")
    assert fact.new == "none: mx.example.test counts"


def aliases(root: Path, database: str) -> None:
    """A source, what compiles it, and what it was compiled to."""
    (root / "etc/courier/aliases").mkdir()
    (root / "etc/courier/aliases/own").write_text("sales: alice\n")
    (root / "usr/sbin/makealiases").touch()
    (root / "etc/courier/aliases.dat").write_text(database)


def test_aliases_are_built_again_where_they_are_used(tmp_path: Path) -> None:
    host = host_with(tmp_path, {"defaultdomain": "\n"})
    aliases(tmp_path, "")
    facts = action_facts(issue.fix(host, list(issue.check(host))))
    assert [fact.kind for fact in facts] == ["RemoveFile", "RunProgram"]
    assert (facts[1].command, facts[1].makes) == (("/usr/sbin/makealiases",), ("/etc/courier/aliases.dat",))


def test_a_database_with_the_last_copy_of_an_alias_is_kept_without_leave(tmp_path: Path, monkeypatch) -> None:
    host = host_with(tmp_path, {"defaultdomain": "\n"})
    aliases(tmp_path, "")
    monkeypatch.setattr(databases.gdbm, "parse", lambda content, path: {"gone@": "alice@", "sales@": "alice@"})
    assert {fact.allow for fact in action_facts(issue.fix(host, list(issue.check(host))))} == {"drop-entries"}


@pytest.mark.parametrize(
    "files",
    [{"me": "\n"}, {"me": "other.example.test\n"}, {"locals": "localhost\n\n"}, {"locals": "#mx.example.test\n"}],
)
def test_nothing_is_done_where_the_name_would_not_be_local(tmp_path: Path, files: dict[str, str]) -> None:
    (finding,) = issue.check(host_with(tmp_path, {"defaultdomain": "\n"} | files))
    assert not finding.fixable
    assert "not in locals: write it" in finding.detail


def test_the_host_name_holds_without_me_and_is_local_without_locals(tmp_path: Path) -> None:
    host = host_with(tmp_path, {"defaultdomain": "\n"})
    (tmp_path / "etc/courier/me").unlink()
    (tmp_path / "etc/hostname").write_text("mx1\n")
    assert [finding.fixable for finding in issue.check(host)] == [False]
    (tmp_path / "etc/courier/locals").unlink()
    assert [finding.subject for finding in issue.check(host) if finding.fixable] == ["mx1"]


def test_a_restart_that_would_delete_mail_needs_leave(tmp_path: Path) -> None:
    host_with(tmp_path, {"defaultdomain": "\n"})
    queue_message(tmp_path, 1, 72 * 3600)
    host = spool_host(tmp_path)
    assert {fact.allow for fact in action_facts(issue.fix(host, list(issue.check(host))))} == {"delete-expired-mail"}
