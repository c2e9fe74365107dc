"""What an operator types, through Salt's loader."""

from __future__ import annotations

import datetime

import pytest
import salt.exceptions

SHOWN = ("courier", "findings", "unknown", "clear")


def public(modules):
    return sorted(name for name in modules if name.startswith("courier."))


def test_only_the_documented_functions_are_public(modules):
    assert public(modules) == [
        "courier.audit",
        "courier.check",
        "courier.check_dh",
        "courier.check_maildrop",
        "courier.check_pem_eol",
        "courier.check_processes",
        "courier.check_services",
        "courier.diagnose",
        "courier.ensure_maildrop",
        "courier.ensure_services",
        "courier.explain",
        "courier.fix",
        "courier.fix_dh",
        "courier.fix_pem_eol",
        "courier.fix_processes",
        "courier.history",
        "courier.info",
        "courier.list_issues",
        "courier.undo",
    ]


def test_every_function_shows_an_example(modules):
    for name in public(modules):
        documented = modules["sys.doc"](name)[name]
        assert "CLI Example:" in documented, name
        assert f"{name}" in documented.split("CLI Example:")[1], name


def test_an_audit_has_its_stable_shape(modules, installation):
    report = modules["courier.audit"](root=str(installation))
    assert tuple(report) == SHOWN
    assert report["courier"] == {"installed": True, "version": "1.4.1", "tls": "gnutls", "root": str(installation)}
    seen = {row["id"] for part in ("findings", "unknown") for row in report[part]} | set(report["clear"])
    assert seen == set(modules["courier.list_issues"]())


def test_a_machine_without_courier_audits_as_such(modules, context, tmp_path):
    (tmp_path / "empty").mkdir()
    report = modules["courier.audit"](root=str(tmp_path / "empty"))
    assert report["courier"]["installed"] is False
    assert [report[part] for part in SHOWN[1:]] == [[], [], []]
    assert "retcode" not in context


def test_a_grave_finding_sets_the_return_code(modules, context, installation):
    # A key file that is not one stops TLS with every library.
    (installation / "etc/courier/imapd.pem").write_bytes(b"nonsense\n")
    report = modules["courier.audit"](root=str(installation), issues="pem-unreadable")
    assert {finding["id"] for finding in report["findings"]} == {"pem-unreadable"}
    assert context["retcode"] == 2


def test_advice_alone_leaves_the_return_code(modules, context, installation):
    (installation / "etc/courier/esmtpd").write_text("DEFAULTDELIVERY=./Maildir\n")
    report = modules["courier.check"]("defaultdelivery-in-wrong-file", root=str(installation))
    assert [finding["where"] for finding in report["findings"]]
    assert "retcode" not in context


@pytest.mark.parametrize("issues", ["dh-params-weak,pem-unreadable", ["dh-params-weak", "pem-unreadable"]])
def test_ids_come_as_a_list_or_separated_by_commas(modules, installation, issues):
    report = modules["courier.audit"](issues=issues, root=str(installation))
    seen = {row["id"] for part in ("findings", "unknown") for row in report[part]} | set(report["clear"])
    assert seen == {"dh-params-weak", "pem-unreadable"}


def test_components_and_severities_name_issues_too(modules, installation):
    catalogue = modules["courier.list_issues"]()

    def seen(**arguments):
        report = modules["courier.audit"](root=str(installation), **arguments)
        return {row["id"] for part in ("findings", "unknown") for row in report[part]} | set(report["clear"])

    tls = {issue for issue, told in catalogue.items() if told["component"] == "tls"}
    assert seen(issues="tls") == tls
    assert seen(skip="tls") == set(catalogue) - tls
    graves = modules["courier.audit"](root=str(installation), issues="critical")["findings"]
    assert {row["severity"] for row in graves} <= {"critical"}


def test_what_is_skipped_is_in_no_list(modules, installation):
    report = modules["courier.audit"](skip="dh-params-weak", root=str(installation))
    assert "dh-params-weak" not in str(report)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("courier.audit", {"issues": "no-such-issue"}, "no issue 'no-such-issue'"),
        ("courier.audit", {"issues": 7}, "issues: expected words"),
        ("courier.audit", {"issues": ","}, "names no issue"),
        ("courier.audit", {"skip": "no-such-issue"}, "skip: no issue 'no-such-issue'"),
        ("courier.audit", {"skip": "high"}, "skip: 'high' is a severity; severity=high leaves out"),
        ("courier.audit", {"severity": "grave"}, "severity: 'grave' is none of"),
        ("courier.audit", {"root": "relative"}, "root: expected an absolute path"),
        ("courier.audit", {"root": "/does/not/exist"}, "no such directory"),
        ("courier.explain", {"issue": "no-such-issue"}, "no issue 'no-such-issue'"),
        ("courier.fix", {"issues": "dh-params-weak", "root": "/srv"}, "root: a tree is only audited"),
        ("courier.fix", {"issues": "dh-params-weak", "colour": "red"}, "colour: not an option"),
        ("courier.fix", {"issues": "dh-params-weak", "allow": {"a": 1}}, "allow: expected words"),
        ("courier.fix", {"issues": "dh-params-weak", "allow": "old_queue"}, "allow: 'old_queue' is none of"),
        ("courier.fix", {"issues": None}, "issues: names no issue"),
        ("courier.fix", {"issues": "dh-params-weak", "test": "maybe"}, "test: expected True or False"),
        ("courier.fix", {"issues": "all", "strategy": "Maildir"}, "strategy: 'Maildir' is none of maildir"),
        ("courier.fix_dh", {"group": 4096}, "group: 4096 is none of ffdhe2048"),
        ("courier.check", {"issues": None}, "issues: names no issue"),
        ("courier.audit", {"severity": 0}, "severity: 0 is none of"),
        ("courier.audit", {"log": "no"}, "log: expected True or False"),
        ("courier.diagnose", {"source": "mail.log"}, "source: 'mail.log': name the log by its absolute path"),
        ("courier.diagnose", {"since": "soon"}, "since: 'soon': not a time; write an ISO date"),
        ("courier.diagnose", {"until": "later"}, "until: 'later': not a time"),
        ("courier.diagnose", {"issues": "no-such-issue"}, "no issue 'no-such-issue'"),
        ("courier.explain", {"issue": 1}, "issue: no issue '1'"),
    ],
)
def test_a_wrong_argument_is_named(modules, function, arguments, message):
    with pytest.raises(salt.exceptions.SaltInvocationError, match=message):
        modules[function](**arguments)


def test_all_and_nothing_named_are_the_same_audit(modules, installation):
    root = str(installation)
    assert modules["courier.audit"](root=root) == modules["courier.audit"]("all", root=root)
    assert modules["courier.audit"](root=root, severity="HIGH") == modules["courier.audit"](root=root, severity="high")


def test_what_a_file_says_cannot_act_on_the_terminal(modules, installation, show):
    (installation / "etc/courier/imapd-ssl").write_bytes(b"TLS_CERTFILE='/etc/\x1b[31mred.pem'\r\n")
    text = show({"mx1": modules["courier.audit"](root=str(installation))})
    assert "\x1b" not in text
    assert "\r" not in text
    assert "/etc/\\x1b[31mred.pem\\r" in text


def test_a_damaged_manifest_fails_the_audit_in_one_line(modules, installation):
    (installation / ".courier-host.json").write_text("{")
    with pytest.raises(salt.exceptions.CommandExecutionError, match="record the host again"):
        modules["courier.audit"](root=str(installation))


LINE = "ip=[192.0.2.7], couriertls: connect: error:0A000076:SSL routines::no suitable signature algorithm"


def test_a_log_line_is_explained_as_salts_command_line_hands_it_over(modules):
    article = modules["courier.explain"]("pem-unreadable")
    assert modules["courier.explain"](LINE) == article
    # What salt-call makes of the same line: an argument called ip.
    name, _, value = LINE.partition("=")
    assert modules["courier.explain"](**{name: value}) == article
    assert modules["courier.explain"](*LINE.split()) == article


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "mail.log"
    path.write_text(
        f"Nov 22 18:00:01 mx1 imapd-ssl: {LINE}\n"
        "Nov 22 18:00:02 mx1 courierd: Cannot allocate 17 bytes\n"
        f"Nov 22 19:00:01 mx1 imapd-ssl: {LINE}\n"
    )
    return path


def test_a_log_is_diagnosed_and_shown(modules, show, log):
    report = modules["courier.diagnose"](source=str(log))
    assert [(row["id"], row["count"]) for row in report["issues"]] == [("pem-unreadable", 2)]
    assert report["unexplained_lines"] == 1
    text = show({"mx1": report})
    assert f"mx1: 1 known problem in the log (read: {log})" in " ".join(text.split())
    assert "192.0.2.7" not in text
    assert "look like errors, and belong to no known problem: 1 line" in text


def test_a_diagnosis_keeps_to_the_time_that_is_asked_for(modules, log):
    year = datetime.datetime.fromisoformat(modules["courier.diagnose"](source=str(log))["issues"][0]["last"]).year
    report = modules["courier.diagnose"](source=str(log), since=f"{year}-11-22 18:30")
    assert report["issues"][0]["count"] == 1
    assert report["unexplained_lines"] == 0


def test_a_log_that_is_not_there_is_unknown(modules, tmp_path):
    report = modules["courier.diagnose"](source=str(tmp_path / "none"))
    assert report["unknown"] == [f"{tmp_path}/none: no such file or directory"]
    assert (report["issues"], report["read"]) == ([], [])


def test_an_article_is_explained_with_its_address(modules):
    text = modules["courier.explain"]("dh-params-weak")
    assert text.startswith("# ")
    assert "/i/dh-params-weak/" in text
    assert "## Fix by hand" in text


def test_the_address_of_the_knowledge_base_has_one_home(modules, opts):
    opts["courier"] = {"kb_url": "https://kb.example.com"}
    assert modules["courier.list_issues"]()["dh-params-weak"]["article"] == "https://kb.example.com/i/dh-params-weak/"
    assert modules["courier.info"]()["kb_url"] == "https://kb.example.com"


def test_a_report_is_readable_in_a_terminal(modules, installation, show):
    (installation / "etc/courier/imapd.pem").write_bytes(b"nonsense\n")
    text = show({"mx1": modules["courier.audit"](root=str(installation))})
    assert text.startswith("mx1: Courier 1.4.1, TLS by gnutls")
    assert "HIGH" in text
    assert "/etc/courier/imapd.pem" in text
    assert "/i/pem-unreadable/" in text
    # A path or an address is for copying, and is not broken.
    assert all(len(line) <= 100 or " " not in line.strip()[40:] for line in text.splitlines()[1:]), text


def test_a_master_without_the_outputter_shows_salts_own(modules, installation, show):
    text = show({"mx1": modules["courier.audit"](root=str(installation))}, "an-outputter-it-never-synced")
    assert "dh-params-weak" in text


def test_an_error_and_an_empty_return_are_shown_as_they_are(show):
    assert "Minion did not return" in show({"mx1": "Minion did not return. [Not connected]"})
    assert show({"mx1": []}).startswith("mx1")


def test_what_was_not_looked_at_for_the_same_reason_is_told_together(show):
    unknown = [
        {"id": name, "reason": reason} for name, reason in (("a", "no root"), ("b", "no socket"), ("c", "no root"))
    ]
    courier = {"installed": True, "version": "1.4.1", "tls": "gnutls", "root": "/"}
    report = {"courier": courier, "findings": [], "unknown": unknown, "clear": []}
    lines = show({"mx1": report}).splitlines()
    assert lines[2:] == ["  not looked at", "    no root:", "        a, c", "    no socket:", "        b"]


def test_a_repair_says_what_changed_what_was_not_looked_at_and_how_to_take_it_back(show):
    outcome = {
        "changes": {"service courier": {"old": "failed (failed)", "new": "enabled and running"}},
        "comment": "1 change made, run R. Withheld: x: only with allow=old-queue.",
        "findings_before": 2,
        "findings_after": 1,
        "withheld": ["x: only with allow=old-queue"],
        "unknown": [{"id": "maildrop-home-directory", "reason": "is authdaemon running?"}],
        "run": "R",
    }
    assert show({"mx1": outcome}).splitlines() == [
        "mx1: 2 found before, 1 after",
        "  service courier",
        "    old      failed (failed)",
        "    new      enabled and running",
        "  not looked at: maildrop-home-directory: is authdaemon running?",
        "  1 change made, run R. Withheld: x: only with allow=old-queue.",
        "  take it back: courier.undo R",
    ]


def test_the_history_is_a_table(show):
    changes = {"/etc/courier/dhparams.pem": {"old": "1024 bits", "new": "ffdhe3072 (RFC 7919)"}}
    run = {"run": "20261122T181449Z-90b7d", "time": "2026-11-22 18:14:49 UTC", "state": "done", "changes": changes}
    assert show({"mx1": [run]}).splitlines() == [
        "mx1: 1 repair, the newest first",
        "",
        "  20261122T181449Z-90b7d  2026-11-22 18:14:49 UTC  done",
        "    /etc/courier/dhparams.pem: 1024 bits -> ffdhe3072 (RFC 7919)",
    ]


def test_a_host_without_courier_is_said_in_one_line(modules, show, tmp_path):
    (tmp_path / "empty").mkdir()
    shown = show({"mx1": modules["courier.audit"](root=str(tmp_path / "empty"))})
    assert shown == f"mx1: Courier is not installed below {tmp_path}/empty"


def test_both_ways_of_shipping_at_once_are_told_apart(modules, opts, monkeypatch):
    module = next(f for name, f in modules.items() if name == "courier.audit").__globals__
    module["courierlib"].__version__ = "0.0.1"
    loaded, reason = module["__virtual__"]()
    assert not loaded
    assert "both installed with pip and synced" in reason
