"""An audit ends each issue as found, clear or unknown, and counts as clear only what was looked at."""

from __future__ import annotations

import pytest
from installation import install

from courierlib import audit
from courierlib.catalogue import Entry
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown


def entry(issue_id, *results, severity=Severity.HIGH, fix=None):
    def check(host):
        for result in results:
            if callable(result):
                result(host)
            else:
                yield result

    issue = Issue(issue_id, "tls", severity, Affects(), "nothing", ("run: here",))
    return Entry(issue, f"Title of {issue_id}", "", check, fix, "")


@pytest.fixture
def host(tmp_path):
    return Host(str(install(tmp_path)))


def test_a_report_has_its_stable_shape(host):
    found = entry("a", Finding("/etc/courier/imapd.pem", "short"), fix=lambda host, findings: ())
    report = audit.report(host, [found, entry("b")], "https://kb.example.com/")
    assert report == {
        "courier": {"installed": True, "version": "1.4.1", "tls": "gnutls", "root": host.root},
        "findings": [
            {
                "id": "a",
                "severity": "high",
                "title": "Title of a",
                "where": "/etc/courier/imapd.pem",
                "detail": "short",
                "fix": "courier.fix a",
                "article": "https://kb.example.com/i/a/",
            }
        ],
        "unknown": [],
        "clear": ["b"],
    }


def test_a_fact_that_cannot_be_read_leaves_the_issue_unknown(host):
    report = audit.report(host, [entry("a", lambda host: host.services)], "")
    assert report["clear"] == []
    assert report["unknown"][0]["id"] == "a"
    assert "needs the running host" in report["unknown"][0]["reason"]


def test_what_was_found_before_a_fact_failed_is_kept(host):
    report = audit.report(host, [entry("a", Finding("x", "y"), lambda host: host.services)], "")
    assert [finding["where"] for finding in report["findings"]] == ["x"]
    assert [unknown["id"] for unknown in report["unknown"]] == ["a"]


def test_one_of_several_things_unknown_is_not_clear(host):
    report = audit.report(host, [entry("a", Unknown("/x: permission denied"))], "")
    assert (report["unknown"], report["clear"]) == ([{"id": "a", "reason": "/x: permission denied"}], [])


def test_the_same_damage_a_thousand_times_is_one_finding(host):
    report = audit.report(host, [entry("a", *[Finding("x", "damaged")] * 1000, Finding("x", "short"))], "")
    assert [finding["detail"] for finding in report["findings"]] == ["damaged", "short"]


def test_the_gravest_finding_is_first(host):
    entries = [
        entry("low", Finding("x", ""), severity=Severity.LOW),
        entry("critical", Finding("x", ""), severity=Severity.CRITICAL),
        entry("advice", Finding("x", "", severity=Severity.MEDIUM)),
    ]
    assert [f["severity"] for f in audit.report(host, entries, "")["findings"]] == ["critical", "medium", "low"]


def test_a_threshold_hides_what_is_less_grave(host):
    entries = [entry("low", Finding("x", ""), severity=Severity.LOW), entry("high", Finding("x", ""))]
    report = audit.report(host, entries, "", Severity.MEDIUM)
    assert [finding["id"] for finding in report["findings"]] == ["high"]
    assert report["clear"] == []


def test_what_no_fix_can_repair_names_none(host):
    found = entry("a", Finding("x", "", fixable=False), fix=lambda host, findings: ())
    assert audit.report(host, [found], "")["findings"][0]["fix"] is None


def test_without_courier_the_three_lists_are_empty(tmp_path):
    report = audit.report(Host(str(tmp_path)), [entry("a", Finding("x", ""))], "")
    assert report["courier"]["installed"] is False
    assert (report["findings"], report["unknown"], report["clear"]) == ([], [], [])


def test_what_is_known_of_a_host_says_how_it_is_known(host):
    facts = audit.describe(host)
    assert facts["version"] == "1.4.1"
    assert facts["tls_known"] == "/usr/bin/couriertls needs libgnutls.so.30"
    assert facts["layout_known"] == "read: /usr/lib/courier/courierctl.start"
    assert facts["services"].startswith("unknown: needs the running host")


def test_findings_of_an_issue_can_be_asked_for_from_a_severity_up(host):
    entries = [
        entry("a", Finding("x", "y"), Finding("z", "y", severity=Severity.LOW)),
        entry("b", Finding("x", "y", severity=Severity.MEDIUM)),
    ]
    report = audit.report(host, entries, "", least={"a": Severity.HIGH, "b": Severity.LOW})
    assert [(row["id"], row["where"]) for row in report["findings"]] == [("a", "x"), ("b", "x")]
    assert report["clear"] == []


def test_what_the_log_proves_is_added_where_it_belongs(host):
    logged, clear = entry("log", severity=Severity.MEDIUM), entry("z")
    found = [entry("a", Finding("x", "y")), entry("b", Finding("x", "y"), severity=Severity.LOW), logged, clear]
    report = audit.report(host, found, "https://kb.example.com")
    audit.add(report, [(logged, Finding("mail log", "3 lines", fixable=False)), (found[0], Finding("p", "q"))], "")
    assert [(row["id"], row["where"], row["fix"]) for row in report["findings"]] == [
        ("a", "x", None),
        ("log", "mail log", None),
        ("b", "x", None),
    ]
    assert report["clear"] == ["z"]
