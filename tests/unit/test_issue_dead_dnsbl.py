"""dead-dnsbl is found where a listener asks a zone that nobody runs any more."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import action_facts, spool_host

from courierlib.issues import dead_dnsbl as issue


def host_with(root: Path, value: str, file: str = "esmtpd"):
    spool_host(root)
    with open(root / "etc/courier" / file, "a", encoding="utf-8") as conffile:
        conffile.write(f"BLACKLISTS={value}\n")
    return spool_host(root)


@pytest.mark.parametrize(
    "value",
    [
        '""',
        "-block=bl.spamcop.net",
        "'-block=zen.spamhaus.org,BLOCK -allow=list.dnswl.org'",
        "-allow=dnsbl.sorbs.net",
        "-block=mysorbs.net",
        "-block=sorbs.net.example.org",
    ],
)
def test_lists_that_live_are_clear(tmp_path: Path, value: str) -> None:
    assert not list(issue.check(host_with(tmp_path, value)))


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("-block=dnsbl.njabl.org", ""),
        ("'-block=relays.ordb.org,BLOCK -block=bl.spamcop.net'", "-block=bl.spamcop.net"),
        ('"-block=bl.spamcop.net,BLOCK2 -block=DUL.dnsbl.SORBS.net./127.0.0.10"', "-block=bl.spamcop.net,BLOCK2"),
        ("-block=ix.dnsbl.manitu.net=nixspam,BLOCK", ""),
    ],
)
def test_dead_lists_are_found_and_taken_out(tmp_path: Path, value: str, left: str) -> None:
    host = host_with(tmp_path, value)
    (finding,) = issue.check(host)
    (fact,) = action_facts(issue.fix(host, [finding]))
    assert (fact.path, fact.restarts) == ("/etc/courier/esmtpd", ("smtp", "msa", "smtps"))
    (tmp_path / "etc/courier/esmtpd").write_bytes(fact.edit((tmp_path / "etc/courier/esmtpd").read_bytes()))
    assert spool_host(tmp_path).settings("esmtpd").get("BLACKLISTS") == left
    assert not list(issue.check(spool_host(tmp_path)))


def test_each_file_that_sets_it_is_named(tmp_path: Path) -> None:
    host_with(tmp_path, "-block=dnsbl.njabl.org")
    host = host_with(tmp_path, "-block=dnsbl.ahbl.org", "esmtpd-msa")
    assert [finding.where for finding in issue.check(host)] == ["/etc/courier/esmtpd", "/etc/courier/esmtpd-msa"]


def test_a_message_in_quotes_is_left_to_the_operator(tmp_path: Path) -> None:
    host = host_with(tmp_path, "'-block=dnsbl.njabl.org,BLOCK,\"550 go away\"'")
    (finding,) = issue.check(host)
    assert not finding.fixable


def test_every_zone_has_evidence() -> None:
    said = " ".join(issue.ISSUE.known)
    assert all(zone in said for zone in issue.DEAD)
    assert all(f"`{zone}`" in issue.__doc__ for zone in issue.DEAD)
