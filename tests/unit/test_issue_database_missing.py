"""database-missing is advice where only shipped content is not in force, and grave where it is the operator's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import action_facts
from tablehost import RELAY, table_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import database_missing as issue


def found(host: Host) -> dict[str, Severity | None]:
    return {finding.where.rpartition("/")[2]: finding.severity for finding in issue.check(host)}


def plan(host: Host):
    return action_facts(issue.fix(host, [finding for finding in issue.check(host) if finding.fixable]))


def test_a_fresh_host_gets_advice_and_nothing_is_built_without_leave(tmp_path: Path) -> None:
    host = table_host(tmp_path)
    assert found(host) == {"smtpaccess.dat": Severity.LOW, "aliases.dat": Severity.LOW}
    (fact,) = plan(host)
    assert (fact.command, fact.allow) == (("/usr/sbin/makesmtpaccess",), "relay-private-networks")
    assert fact.restarts == ("smtp", "msa", "smtps")


@pytest.mark.parametrize(
    ("source", "content", "database"),
    [
        ("aliases/own", "postmaster: alice\n", "aliases.dat"),
        ("smtpaccess/own", "203.0.113.9\tdeny\n", "smtpaccess.dat"),
        ("smtpaccess/own", "203.0.113.0/27\tdeny\n", "smtpaccess.dat"),
        ("hosteddomains/own", "a.example\n", "hosteddomains.dat"),
        ("esmtpacceptmailfor.dir/own", "a.example\n", "esmtpacceptmailfor.dat"),
    ],
)
def test_content_of_ones_own_is_grave(tmp_path: Path, source: str, content: str, database: str) -> None:
    assert found(table_host(tmp_path, {source: content}))[database] is None


def test_rules_without_private_networks_are_built_without_leave(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"smtpaccess/default": "127.0.0.1\tallow,RELAYCLIENT\n"})
    assert [fact.allow for fact in plan(host)] == [""]


@pytest.mark.parametrize("content", ["", "# nothing\n", "\n\n"])
def test_a_source_without_entries_needs_no_database(tmp_path: Path, content: str) -> None:
    host = table_host(tmp_path, {"hosteddomains/own": content})
    assert "hosteddomains.dat" not in found(host)


def test_clear_where_there_is_a_database(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"aliases/own": "sales: alice\n"}, {"smtpaccess": RELAY, "aliases": {"a@b": "c@d"}})
    assert found(host) == {}


def test_clear_without_the_mail_server(tmp_path: Path) -> None:
    host = table_host(tmp_path)
    host.__dict__["components"] = frozenset({"imap"})
    assert found(host) == {}
