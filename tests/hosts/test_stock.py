"""A stock host audits clean: what is found there is a true defect of the stock host, listed here with its proof."""

from __future__ import annotations

import pytest
from lab import ALICE, NAMES

TRUE_DEFECTS: dict[str, dict[str, str]] = {name: {} for name in NAMES}
"""Findings of stock hosts, by base and id, each with the proof that it is one."""

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
    assert (set(applied.results), applied.changes) == ({True}, {})
    assert host.machine.send(ALICE, "still-delivers").startswith("250 ")
    assert host.machine.arrived("still-delivers")


def test_a_host_without_courier_is_no_error(managed):
    host = managed("trixie")
    host.machine.run("apt-get -y purge 'courier-*' && rm -rf /etc/courier /usr/lib/courier")
    answer = host.master.salt(host.machine.name, "courier.audit")
    assert answer.retcode == 0
    assert answer.value["courier"]["installed"] is False
    assert [answer.value[part] for part in ("findings", "unknown", "clear")] == [[], [], []]
    assert set(host.highstate().results) == {True}
