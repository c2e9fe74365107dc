"""smtpaccess-relays-private-networks is found where whole networks may relay, and grave where the host is in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import action_facts
from tablehost import RELAY, table_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import smtpaccess_relays_private_networks as issue

LOOPBACK = {key: value for key, value in RELAY.items() if key not in ("10", "192.168")}


def with_addresses(root: Path, host: Host, *addresses: str) -> Host:
    table = "".join(f"           |-- {address}\n              /32 host LOCAL\n" for address in addresses)
    (root / "proc/net").mkdir(parents=True)
    (root / "proc/net/fib_trie").write_text(
        f"Main:\n{table}           |-- 10.0.0.255\n              /32 link BROADCAST\n"
    )
    return host


def test_clear_where_the_database_was_never_built(tmp_path: Path) -> None:
    assert not list(issue.check(table_host(tmp_path)))


@pytest.mark.parametrize("rule", ["deny", "allow", 'allow,BLOCK="550 no"', "allow,NOTRELAYCLIENT"])
def test_clear_where_the_networks_may_not_relay(tmp_path: Path, rule: str) -> None:
    assert not list(issue.check(table_host(tmp_path, {}, {"smtpaccess": LOOPBACK | {"10": rule}})))


def test_clear_where_only_a_part_of_a_network_may(tmp_path: Path) -> None:
    host = table_host(tmp_path, {}, {"smtpaccess": LOOPBACK | {"192.168.7": "allow,RELAYCLIENT"}})
    assert not list(issue.check(host))


@pytest.mark.parametrize(
    ("addresses", "severity"),
    [(("127.0.0.1", "203.0.113.9"), Severity.LOW), (("10.77.0.11",), None), (("192.168.1.2", "203.0.113.9"), None)],
)
def test_weight_is_that_of_the_hosts_own_addresses(tmp_path: Path, addresses, severity) -> None:
    host = with_addresses(tmp_path, table_host(tmp_path, {}, {"smtpaccess": RELAY}), *addresses)
    (finding,) = issue.check(host)
    assert finding.severity == severity


def test_a_tree_of_files_does_not_tell_the_addresses(tmp_path: Path) -> None:
    table_host(tmp_path, {}, {"smtpaccess": RELAY})
    (finding,) = issue.check(Host(str(tmp_path)))
    assert finding.severity == Severity.MEDIUM


def test_the_rules_become_comments_and_the_database_is_built(tmp_path: Path) -> None:
    host = table_host(tmp_path, {}, {"smtpaccess": RELAY})
    edit, build = action_facts(issue.fix(host, list(issue.check(host))))
    assert (edit.path, edit.allow, build.allow) == (
        "/etc/courier/smtpaccess/default",
        "end-private-relay",
        "end-private-relay",
    )
    before = (tmp_path / "etc/courier/smtpaccess/default").read_bytes()
    after = edit.edit(before)
    assert after == before.replace(b"\n10\t", b"\n# 10\t").replace(b"\n192.168\t", b"\n# 192.168\t")
    assert edit.edit(after) == after


def test_rules_that_are_gone_from_the_source_are_only_built(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"smtpaccess/default": "127.0.0.1\tallow\n"}, {"smtpaccess": RELAY})
    (build,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert build.command == ("/usr/sbin/makesmtpaccess",)
    assert build.allow == "end-private-relay,drop-entries"


def test_a_netblock_that_cannot_be_edited_is_only_reported(tmp_path: Path) -> None:
    host = table_host(tmp_path, {"smtpaccess/default": "10.0.0.0/8\tallow,RELAYCLIENT\n"}, {"smtpaccess": RELAY})
    (finding,) = issue.check(host)
    assert not finding.fixable
