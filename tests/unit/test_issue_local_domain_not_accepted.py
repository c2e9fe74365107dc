"""local-domain-not-accepted is found where SMTP refuses what is delivered here."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import action_facts
from tablehost import table_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import local_domain_not_accepted as issue

ETC = "/etc/courier"


def host_named(root: Path, name: str, *arguments: object) -> Host:
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/hostname").write_text(f"{name}\n")
    return table_host(root, *arguments)


def details(host: Host) -> dict[str, str]:
    return {finding.where: finding.detail for finding in issue.check(host)}


def test_clear_on_a_stock_host(tmp_path: Path) -> None:
    assert details(host_named(tmp_path, "mx1")) == {}


def test_a_hosted_domain_that_is_refused_is_found_and_listed(tmp_path: Path) -> None:
    host = host_named(tmp_path, "mx1", {"hosteddomains/x": "A.example\n"}, {"hosteddomains": {"a.example": "1"}})
    assert details(host) == {f"{ETC}/hosteddomains.dat": "a.example: delivered here, and refused by SMTP"}
    edit, build = action_facts(issue.fix(host, list(issue.check(host))))
    assert (edit.path, edit.allow) == (f"{ETC}/esmtpacceptmailfor.dir/local", "accept-domains")
    assert edit.edit(None) == b"a.example\n"
    assert edit.edit(b"b.example") == b"b.example\na.example\n"
    assert (build.command, build.allow) == (("/usr/sbin/makeacceptmailfor",), "accept-domains")


@pytest.mark.parametrize(
    ("hosted", "accepted"),
    [
        ("a.example", "a.example"),
        ("a.example", "A.Example"),
        ("a.b.example", ".b.example"),
        (".b.example", ".b.example"),
        ("mx1.example.test", "other.example"),
        ("*.example", "other.example"),
    ],
)
def test_what_smtp_accepts_is_clear(tmp_path: Path, hosted: str, accepted: str) -> None:
    databases = {"hosteddomains": {hosted: "1"}, "esmtpacceptmailfor": {accepted: "1"}}
    assert details(host_named(tmp_path, "mx1", {}, databases)) == {}


def test_a_list_that_was_only_not_built_is_another_problem(tmp_path: Path) -> None:
    sources = {"esmtpacceptmailfor.dir/x": "a.example\n"}
    assert details(host_named(tmp_path, "mx1", sources, {"hosteddomains": {"a.example": "1"}})) == {}


def test_without_me_in_the_file_it_is_not_accepted(tmp_path: Path) -> None:
    host = host_named(tmp_path, "other", {"esmtpacceptmailfor": "a.example # ours\n"})
    (finding,) = issue.check(host)
    assert (finding.where, finding.severity) == (f"{ETC}/locals", Severity.MEDIUM)
    assert finding.detail.startswith("mx1.example.test: ")


@pytest.mark.parametrize(
    "name", ["localhost", "mx1.inside.example", "mail.local", "!no.example", "# old.example", "mail"]
)
def test_local_names_that_nobody_writes_to_are_clear(tmp_path: Path, name: str) -> None:
    assert details(host_named(tmp_path, "mx1", {"locals": f"mx1.example.test\n{name}\n"})) == {}


def test_a_further_local_domain_is_found(tmp_path: Path) -> None:
    assert details(host_named(tmp_path, "mx1", {"locals": "mx1.example.test\na.example\n"}))


def test_a_line_with_white_space_is_for_no_domain(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"locals": "localhost\nmx1.example.test\nother.example.test \n"})
    assert not list(issue.check(host))
