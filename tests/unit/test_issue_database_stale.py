"""database-stale is found where source and database differ, not where only a time does."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import gdbmfiles
import pytest
from spoolhost import COURIERD, ESMTPD, action_facts, spool_host
from tablehost import ALIASES, RELAY, WITH_ACCESS, YOUNG, table_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import database_stale as issue

HOSTED = {"a.example": "1"}


def details(host: Host) -> dict[str, str]:
    return {finding.where.rpartition("/")[2]: finding.detail for finding in issue.check(host)}


def plan(host: Host):
    return action_facts(issue.fix(host, [finding for finding in issue.check(host) if finding.fixable]))


def test_clear_on_a_fresh_host_without_databases(tmp_path: Path) -> None:
    assert details(table_host(tmp_path)) == {}


def test_a_domain_that_is_not_built_is_found_and_built(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"hosteddomains/x": "a.example\nb.example\n"}, {"hosteddomains": HOSTED})
    assert details(host) == {
        "hosteddomains.dat": "b.example is in /etc/courier/hosteddomains only, and not in force",
    }
    (fact,) = plan(host)
    assert (fact.command, fact.makes) == (
        ("/usr/sbin/makehosteddomains",),
        ("/etc/courier/hosteddomains.dat",),
    )
    assert (fact.restarts, fact.allow) == (("scheduler",), "")


def test_what_was_only_touched_is_clear(tmp_path: Path) -> None:
    host = table_host(
        tmp_path,
        {"hosteddomains/x": "a.example\n"},
        {
            "hosteddomains": HOSTED,
            "aliases": {
                f"{name}@mx1.example.test": "postmaster@mx1.example.test\n"
                for name in ("root", "mailer-daemon", "MAILER-DAEMON", "uucp")
            },
        },
    )
    for path in (tmp_path / "etc/courier").rglob("*"):
        if not path.name.endswith(".dat"):
            os.utime(path, (time.time() + 60, time.time() + 60))
    assert details(host) == {}


@pytest.mark.parametrize("name", ["x~", "x.dpkg-old", "x.dpkg-dist"])
def test_leftovers_that_makedat_ignores_are_clear(tmp_path: Path, name: str) -> None:
    sources = {"hosteddomains/x": "a.example\n", f"hosteddomains/{name}": "old.example\n"}
    assert details(table_host(tmp_path, sources, {"hosteddomains": HOSTED})) == {}


def test_entries_that_only_the_database_has_need_leave(tmp_path: Path) -> None:
    host = table_host(tmp_path, {}, {"hosteddomains": HOSTED, "esmtpacceptmailfor": {"a.example": "1"}})
    assert details(host)["esmtpacceptmailfor.dat"] == "a.example is not in the source any more, and still in force"
    assert {fact.allow for fact in plan(host)} == {"drop-entries"}


def test_rules_that_open_private_networks_need_leave(tmp_path: Path) -> None:
    closed = {key: value for key, value in RELAY.items() if key not in ("10", "192.168")}
    host = table_host(tmp_path, {}, {"smtpaccess": closed})
    assert details(host)["smtpaccess.dat"].endswith("built now, it lets 10.0.0.0/8 and 192.168.0.0/16 relay")
    (fact,) = plan(host)
    assert (fact.allow, fact.restarts) == ("relay-private-networks", ("smtp", "msa", "smtps"))


def test_a_rule_that_changed_is_found(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"smtpaccess/own": "203.0.113.9\tdeny\n"}, {"smtpaccess": RELAY | {"203.0.113.9": "1"}})
    assert details(host) == {"smtpaccess.dat": "203.0.113.9 is otherwise than in the source"}


def test_what_cannot_be_compared_is_judged_by_time(tmp_path: Path) -> None:
    sources = {"smtpaccess/own": "203.0.113.0/27\tdeny\n"}
    processes = (YOUNG, dataclasses.replace(ESMTPD, arguments=WITH_ACCESS))
    host = table_host(tmp_path, sources, {"smtpaccess": RELAY}, processes=processes)
    for path in (tmp_path / "etc/courier/smtpaccess", *(tmp_path / "etc/courier/smtpaccess").iterdir()):
        os.utime(path, (time.time() - 60, time.time() - 60))
    assert details(host) == {}
    os.utime(tmp_path / "etc/courier/smtpaccess/own", (time.time() + 60, time.time() + 60))
    (finding,) = issue.check(spool_host(tmp_path, processes=processes))
    assert finding.severity == Severity.MEDIUM
    assert "older than" in finding.detail


@pytest.mark.parametrize(
    ("source", "compiled", "found"),
    [
        ("sales: alice", {"sales@mx1.example.test": "alice@mx1.example.test\n"}, False),
        (
            "Sales: Alice, bob@other.example # two",
            {"Sales@mx1.example.test": "Alice@mx1.example.test\nbob@other.example\n"},
            False,
        ),
        ("sales: alice,\n  bob", {"sales@mx1.example.test": "alice@mx1.example.test\nbob@mx1.example.test\n"}, False),
        ("x@y.example: alice", {"x@y.example": "alice@mx1.example.test\n"}, False),
        ("@v.example: vuser", {"@v.example": "vuser\n"}, False),
        ("prog: | /bin/cat", {"prog@mx1.example.test": '".xalias/prog@mx1"@mx1.example.test\n'}, False),
        (
            "sales: all\nall: alice",
            {"sales@mx1.example.test": "alice@mx1.example.test\n", "all@mx1.example.test": "alice@mx1.example.test\n"},
            False,
        ),
        ("sales: bob", {"sales@mx1.example.test": "alice@mx1.example.test\n"}, True),
        ("sales: alice", {}, True),
        ("", {"sales@mx1.example.test": "alice@mx1.example.test\n"}, True),
        ("sales: alice", {"sales@": "alice@\n"}, True),
    ],
)
def test_aliases_are_compared_as_aliascreate_stores_them(tmp_path: Path, source, compiled, found) -> None:
    shipped = {
        f"{line.split(':')[0]}@mx1.example.test": "postmaster@mx1.example.test\n" for line in ALIASES.splitlines()[:-1]
    }
    host = table_host(tmp_path, {"aliases/own": f"{source}\n"}, {"aliases": shipped | compiled})
    assert bool(details(host)) is found


def test_a_listener_that_goes_without_the_database_is_found(tmp_path: Path) -> None:
    assert "1 of 1 SMTP listeners" in details(table_host(tmp_path, {}, {"smtpaccess": RELAY}))["smtpaccess.dat"]


def test_a_listener_that_is_to_have_none_is_clear(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"esmtpd-msa": "ACCESSFILE=\n"}, {"smtpaccess": RELAY})
    assert details(host) == {}


def test_courierd_that_is_older_than_its_database_is_found(tmp_path: Path) -> None:
    old = dataclasses.replace(COURIERD, pid=os.getpid(), started=1)
    host = table_host(tmp_path, {"hosteddomains/x": "a.example\n"}, {"hosteddomains": HOSTED}, processes=(old,))
    assert "courierd runs since before it was built" in details(host)["hosteddomains.dat"]


@pytest.mark.parametrize("known", [HOSTED, {"old.example": "1"}])
def test_courierd_is_judged_by_the_database_that_it_has_open(tmp_path: Path, known) -> None:
    host = table_host(
        tmp_path,
        {"hosteddomains/x": "a.example\n"},
        {"hosteddomains": known},
        processes=(dataclasses.replace(COURIERD, pid=os.getpid(), started=1),),
    )
    path = tmp_path / "etc/courier/hosteddomains.dat"
    with path.open("rb"):
        gdbmfiles.write(tmp_path / "new", HOSTED)
        (tmp_path / "new").replace(path)
        assert bool(details(host)) is (known != HOSTED)


def test_a_tree_of_files_is_judged_without_its_daemons(tmp_path: Path) -> None:
    table_host(tmp_path, {"hosteddomains/x": "a.example\nb.example\n"}, {"hosteddomains": HOSTED, "smtpaccess": RELAY})
    assert set(details(Host(str(tmp_path)))) == {"hosteddomains.dat"}
