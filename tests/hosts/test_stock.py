"""A stock host audits clean: what is found there is a true defect of the stock host, listed here with its proof."""

from __future__ import annotations

import pytest
import realistic
from lab import ALICE, BOB, NAMES
from problems import LEFT_TO_THE_OPERATOR

_BY_AN_INSTALLATION_WITHOUT_QUESTIONS = {"defaultdomain-empty": "test_queue: mail of a local user is lost"}

TRUE_DEFECTS: dict[str, dict[str, str]] = {name: dict(_BY_AN_INSTALLATION_WITHOUT_QUESTIONS) for name in NAMES}
"""Findings of stock hosts, by base and id, each with the proof that it is one."""

TRUE_ON_A_REAL_HOST: dict[str, dict[str, str]] = {}
"""The same of the host that ``realistic.furnish`` makes, by release."""

for _found in (TRUE_DEFECTS["forky"], TRUE_ON_A_REAL_HOST.setdefault("forky", {})):
    _found["tmpfiles-wipes-queue-at-boot"] = "test_queue: booted again, the queue is empty"

for _base in ("bookworm", "trixie", "trixie-openssl"):
    for _found in (TRUE_DEFECTS[_base], TRUE_ON_A_REAL_HOST.setdefault(_base, {})):
        _found["imap-search-depth"] = "test_limits: a deep search resets the connection"
for _found in (TRUE_DEFECTS["bookworm"], TRUE_ON_A_REAL_HOST["bookworm"]):
    _found["pop3-stls-injection"] = "test_limits: a command from before the handshake is answered after it"
for _found in TRUE_DEFECTS.values():
    _found["certificate-default"] = "test_certificates: a client that checks certificates refuses it"
    # As upstream and Debian ship it: IMAP_TLS_REQUIRED=0, POP3_TLS_REQUIRED=0.
    _found["plain-auth-without-tls"] = "test_tls_settings: alice logs in on ports 143 and 110 without TLS"
    _found["database-missing"] = "test_databases: aliases and rules that came with Courier are not in force"

UNKNOWN: dict[str, dict[str, str]] = {name: {} for name in NAMES}
"""What cannot be looked at on a stock host, by base and id, each with the reason why not."""


@pytest.mark.parametrize("base", NAMES)
def test_a_stock_host_has_no_finding_but_true_ones(managed, recorded, base):
    host = managed(base)
    report = host.audit()
    assert {finding["id"]: finding for finding in report["findings"]}.keys() == TRUE_DEFECTS[base].keys(), report
    assert {unknown["id"] for unknown in report["unknown"]} == UNKNOWN[base].keys(), report
    assert (
        set(report["clear"]) == set(host.call("courier.list_issues")) - TRUE_DEFECTS[base].keys() - UNKNOWN[base].keys()
    )
    assert report["courier"]["installed"]
    for issue in report["clear"]:
        recorded(issue, "healthy", host.machine)
    applied = host.highstate()
    assert set(applied.results) == {True}, applied.comments
    assert bool(applied.changes) == bool(TRUE_DEFECTS[base].keys() - LEFT_TO_THE_OPERATOR), applied.changes
    assert host.found() == TRUE_DEFECTS[base].keys() & LEFT_TO_THE_OPERATOR
    again = host.highstate()
    assert (set(again.results), again.changes) == ({True}, {}), again.comments
    assert host.machine.send(ALICE, "still-delivers").startswith("250 ")
    assert host.machine.arrived("still-delivers")


def test_a_host_as_somebody_runs_it_audits_clean(managed, release):
    """Virtual users, hosted domains, aliases, certificates of an ACME client for two names, rsyslog, quotas."""
    host = managed(release, packages=realistic.PACKAGES)
    machine = host.machine
    realistic.furnish(machine)
    for user in (ALICE, BOB, "info@virt.example.test"):
        assert machine.send(user, f"to-{user}").startswith("250 ")
    assert machine.arrived(f"to-{ALICE}")
    assert machine.arrived(f"to-{BOB}")
    for name in (machine.fqdn, "mail.virt.example.test"):
        client = (
            f"openssl s_client -connect localhost:993 -servername {name} -verify_hostname {name} -CAfile {realistic.CA}"
        )
        assert "Verify return code: 0 (ok)" in machine.run(f"{client} </dev/null 2>&1").stdout
    report = host.audit()
    findings = {finding["id"]: finding for finding in report["findings"]}
    assert findings.keys() == TRUE_ON_A_REAL_HOST.get(release, {}).keys(), report
    assert report["unknown"] == []
    assert report["log"]["read"] == ["/var/log/mail.log"]


def test_a_host_without_courier_is_no_error(managed):
    host = managed("trixie")
    host.machine.run("apt-get -y purge 'courier-*' && rm -rf /etc/courier /usr/lib/courier")
    answer = host.master.salt(host.machine.name, "courier.audit")
    assert answer.retcode == 0
    assert answer.value["courier"]["installed"] is False
    assert [answer.value[part] for part in ("findings", "unknown", "clear")] == [[], [], []]
    assert set(host.highstate().results) == {True}
