"""start-flag-ignored believes a START setting only if somebody has changed it, and only against its unit."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from spoolhost import SERVICES, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import start_flag_ignored as issue
from courierlib.services import InitScripts, Service

OFF = {"active": False, "enabled": False, "state": "inactive (dead)"}


def host(root: Path, services=SERVICES, packaged: str = "", **settings: str) -> Host:
    """Settings by file, underscores for dashes; ``packaged`` names a file that is as the package ships it."""
    found = spool_host(root, services=services)
    stock = {"esmtpd": "ESMTPDSTART=YES\n", "esmtpd_msa": "ESMTPDSTART=NO\n", "imapd": "IMAPDSTART=YES\n"}
    sums = []
    for name, text in (stock | settings).items():
        path = root / "etc/courier" / name.replace("_", "-")
        path.write_text(text)
        if name.replace("_", "-") == packaged:
            sums.append(f" /etc/courier/{packaged} {hashlib.md5(text.encode()).hexdigest()}\n")
    (root / "var/lib/dpkg").mkdir(parents=True)
    status = "Package: courier-mta\nStatus: install ok installed\nVersion: 1\nConffiles:\n" + "".join(sums)
    (root / "var/lib/dpkg/status").write_text(status)
    return found


def test_stock_settings_are_nobodys_wish(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, packaged="esmtpd-msa")))
    assert not list(issue.check(host(tmp_path / "b"))), "nor in a file that was changed elsewhere"


def test_a_service_that_was_disabled_with_its_stock_yes_is_no_finding(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, changed("courier-imap", **OFF))))


@pytest.mark.parametrize("value", ["NO", "no", '"No"'])
def test_an_open_port_against_no_is_found_and_closed_only_with_leave(tmp_path: Path, value: str) -> None:
    found = host(tmp_path, imapd=f"IMAPDSTART={value}\n")
    (finding,) = issue.check(found)
    assert finding.where == "service courier-imap"
    assert finding.detail == "IMAPDSTART in /etc/courier/imapd says NO, but courier-imap is active (running)"
    (action,) = action_facts(issue.fix(found, [finding]))
    assert (action.kind, action.service, action.allow) == ("StopService", "courier-imap", "close-port")


def test_a_packaged_no_is_no_wish_even_where_releases_differ(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, packaged="imapd", imapd="IMAPDSTART=NO\n")))


def test_the_packages_own_copy_beside_a_changed_file_says_what_is_shipped(tmp_path: Path) -> None:
    found = host(tmp_path, imapd="IMAPDSTART=NO\n# mine\n")
    (tmp_path / "etc/courier/imapd.dpkg-dist").write_text("IMAPDSTART=NO\n")
    assert not list(issue.check(found))


def test_a_closed_port_against_a_changed_yes_is_found_and_opened_only_with_leave(tmp_path: Path) -> None:
    found = host(tmp_path, changed("courier-msa", **OFF, masked=True), esmtpd_msa="ESMTPDSTART=YES\n")
    (finding,) = issue.check(found)
    assert finding.detail.endswith("says YES, but courier-msa is masked, inactive (dead)")
    (action,) = action_facts(issue.fix(found, [finding]))
    assert (action.kind, action.unmask, action.allow) == ("StartService", True, "open-port,unmask-service")


def test_starting_the_msa_may_start_courierd_and_asks_for_its_leave(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 72 * 3600)
    found = host(tmp_path, changed("courier-msa", **OFF), esmtpd_msa="ESMTPDSTART=YES\n")
    (action,) = issue.fix(found, list(issue.check(found)))
    assert action.allow == "open-port,delete-expired-mail"


def test_a_service_that_has_failed_is_not_off(tmp_path: Path) -> None:
    services = changed("courier-msa", active=False, state="failed (failed)")
    assert not list(issue.check(host(tmp_path, services, esmtpd_msa="ESMTPDSTART=YES\n")))


def test_port_25_is_left_to_the_operator(tmp_path: Path) -> None:
    (finding,) = issue.check(host(tmp_path, esmtpd="ESMTPDSTART=NO\n"))
    assert not finding.fixable


def test_neither_yes_nor_no_says_nothing(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, imapd="IMAPDSTART=\n")))
    assert not list(issue.check(host(tmp_path / "b", imapd="IMAPDSTART=maybe\n")))


def test_upstreams_script_asks_for_the_settings_itself(tmp_path: Path) -> None:
    whole = Service("courier", ("scheduler", "smtp", "imap"), True, "active (exited)", True, remains=True)
    assert not list(issue.check(host(tmp_path, (whole,), imapd="IMAPDSTART=NO\n")))


def test_so_do_init_scripts(tmp_path: Path) -> None:
    found = host(tmp_path, imapd="IMAPDSTART=NO\n")
    found.system = dataclasses.replace(found.system, services=InitScripts({}))
    assert not list(issue.check(found))


def test_a_setting_computed_by_the_shell_is_unknown(tmp_path: Path) -> None:
    (unknown,) = issue.check(host(tmp_path, imapd="IMAPDSTART=$(cat wish)\n"))
    assert isinstance(unknown, Unknown)


def test_unknown_in_a_tree_of_files(tmp_path: Path) -> None:
    host(tmp_path, imapd="IMAPDSTART=NO\n")
    with pytest.raises(Unknown, match="needs the running host"):
        list(issue.check(Host(str(tmp_path))))
