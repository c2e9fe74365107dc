"""tcpd-noidentlookup-removed is found where couriertcpd does not know the word, and only the word is taken out."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import SERVICES, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Finding, Severity, Unknown
from courierlib.issues import tcpd_noidentlookup_removed as issue
from courierlib.services import Service

STOCK = '# -noidentlookup\nTCPDOPTS="-nodnslookup -noidentlookup" # as shipped\nMAXDAEMONS=40\n'
POP = tuple(
    Service(name, (role,), active=False, state="failed (failed)", enabled=True)
    for name, role in {"courier-imap-ssl": "imaps", "courier-pop": "pop3", "courier-pop-ssl": "pop3s"}.items()
)


def host_with(root: Path, knows: bool = False, services=(*SERVICES, *POP), **files: str) -> Host:
    spool_host(root)
    (root / "usr/sbin/couriertcpd").write_bytes(b"\x7fELF\0nodnslookup\0" + b"noidentlookup\0" * knows)
    for name, content in files.items():
        (root / "etc/courier" / name.replace("_", "-")).write_text(content)
    return spool_host(root, services=services)


def findings(host: Host) -> dict[str, Finding]:
    return {finding.where: finding for finding in issue.check(host)}


def test_each_file_with_the_word_is_found_and_says_which_listeners_it_stops(tmp_path: Path) -> None:
    found = findings(host_with(tmp_path, esmtpd=STOCK, imapd=STOCK, pop3d=STOCK))
    assert {where: finding.detail.partition(": ")[2] for where, finding in found.items()} == {
        "/etc/courier/esmtpd TCPDOPTS": "esmtpd, esmtpd-msa and esmtpd-ssl do not start",
        "/etc/courier/imapd TCPDOPTS": "imapd and imapd-ssl do not start",
        "/etc/courier/pop3d TCPDOPTS": "pop3d and pop3d-ssl do not start",
    }
    assert {finding.severity for finding in found.values()} == {None}


def test_clear_where_couriertcpd_knows_the_word(tmp_path: Path) -> None:
    assert not findings(host_with(tmp_path, knows=True, esmtpd=STOCK, imapd=STOCK, pop3d=STOCK))


@pytest.mark.parametrize("content", ["# TCPDOPTS=-noidentlookup\n", "TCPDOPTS=-noidentlookups\n", "X=-noidentlookup\n"])
def test_clear_where_the_word_is_no_word_of_the_setting(tmp_path: Path, content: str) -> None:
    assert not findings(host_with(tmp_path, esmtpd=content, imapd=content, pop3d=content))


def test_a_later_file_that_sets_the_option_anew_is_not_stopped(tmp_path: Path) -> None:
    found = findings(host_with(tmp_path, esmtpd=STOCK, esmtpd_msa="TCPDOPTS=-nodnslookup\n"))
    assert "esmtpd and esmtpd-ssl do not start" in found["/etc/courier/esmtpd TCPDOPTS"].detail


def test_a_later_file_that_only_adds_to_it_is_not_where_the_word_stands(tmp_path: Path) -> None:
    host = host_with(tmp_path, esmtpd=STOCK, esmtpd_msa='TCPDOPTS="$TCPDOPTS -stderr=x"\n')
    assert list(findings(host)) == ["/etc/courier/esmtpd TCPDOPTS"]


def test_the_word_counts_in_other_settings_that_esmtpd_takes_as_options(tmp_path: Path) -> None:
    content = "BLACKLISTS='-block=dnsbl.example.com,BLOCK -noidentlookup'\nDROP=-drop\n"
    assert list(findings(host_with(tmp_path, esmtpd=content, imapd=content))) == ["/etc/courier/esmtpd BLACKLISTS"]


def test_a_removed_package_that_left_its_settings_is_clear(tmp_path: Path) -> None:
    host_with(tmp_path, pop3d=STOCK)
    for name in ("pop3d", "pop3d-ssl"):
        (tmp_path / "usr/lib/courier" / name).unlink()
    assert not findings(spool_host(tmp_path))


def test_a_host_without_listeners_is_clear(tmp_path: Path) -> None:
    host = host_with(tmp_path)
    (tmp_path / "usr/sbin/couriertcpd").unlink()
    host.__dict__["components"] = frozenset({"maildrop"})
    assert not findings(host)


def test_listeners_that_are_off_on_purpose_make_it_advice(tmp_path: Path) -> None:
    off = tuple(Service(each.name, each.roles, False, "inactive (dead)", False) for each in POP)
    (finding,) = findings(host_with(tmp_path, pop3d=STOCK, services=(*SERVICES, *off))).values()
    assert finding.severity is Severity.LOW


def test_a_tree_is_judged_without_services(tmp_path: Path) -> None:
    host_with(tmp_path, imapd=STOCK)
    (finding,) = issue.check(Host(str(tmp_path)))
    assert finding.severity is None


def test_a_value_that_the_shell_computes_is_unknown(tmp_path: Path) -> None:
    results = list(issue.check(host_with(tmp_path, pop3d="TCPDOPTS=`cat /etc/tcpd-options`\n")))
    assert results
    assert all(isinstance(result, Unknown) for result in results)


def test_the_word_in_another_variable_is_found_and_left(tmp_path: Path) -> None:
    host = host_with(tmp_path, imapd='QUICK=-noidentlookup\nTCPDOPTS="-nodnslookup $QUICK"\n')
    (finding,) = issue.check(host)
    assert (finding.where, finding.fixable) == ("/etc/courier/imapd TCPDOPTS", False)


def test_the_fix_takes_out_the_word_and_no_other_byte(tmp_path: Path) -> None:
    host = host_with(tmp_path, imapd=STOCK, services=SERVICES)
    (fact,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (fact.path, fact.setting, fact.restarts) == ("/etc/courier/imapd", "TCPDOPTS", ("imap", "imaps"))
    assert (fact.old, fact.new) == ("TCPDOPTS=-nodnslookup -noidentlookup", "TCPDOPTS=-nodnslookup")
    assert fact.edit(STOCK.encode()) == STOCK.replace(' -noidentlookup"', '"').encode()


def test_listeners_that_it_keeps_down_are_started_and_no_others(tmp_path: Path) -> None:
    host = host_with(tmp_path, pop3d=STOCK, services=(*changed("courier-msa", active=False), *POP))
    facts = action_facts(issue.fix(host, list(issue.check(host))))
    assert [fact.service for fact in facts if fact.kind == "StartService"] == ["courier-pop", "courier-pop-ssl"]


def test_mail_that_courierd_would_delete_holds_back_the_listeners_for_smtp_alone(tmp_path: Path) -> None:
    host_with(tmp_path, esmtpd=STOCK, pop3d=STOCK)
    queue_message(tmp_path, 1, 72 * 3600)
    host = host_with(tmp_path, services=(*changed("courier-mta", active=False), *POP))
    facts = action_facts(issue.fix(host, list(issue.check(host))))
    allowed = {getattr(fact, "service", None) or fact.path: fact.allow for fact in facts}
    assert allowed == {
        "/etc/courier/esmtpd": "delete-expired-mail",
        "/etc/courier/pop3d": "",
        "courier-mta": "delete-expired-mail",
        "courier-pop": "",
        "courier-pop-ssl": "",
    }
