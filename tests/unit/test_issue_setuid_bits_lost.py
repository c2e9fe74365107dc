"""setuid-bits-lost compares programs with what the host's own package manager recorded, and restores only that."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from spoolhost import action_facts, spool_host

from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import setuid_bits_lost as issue

SENDMAIL = "/usr/sbin/sendmail"
STATOVERRIDE = f"""root courier 750 /etc/courier/filters
root messagebus 4754 /usr/lib/dbus-1.0/dbus-daemon-launch-helper
root courier 2755 {SENDMAIL}
root courier 4755 /usr/sbin/rmail
courier courier 2755 /usr/bin/mailq
courier courier 4755 /usr/lib/courier/courier/submitmkdir
"""
TMPFILES = f"    z  {SENDMAIL}  2755  root  courier  -  -\n    D  /var/lib/courier/tmp/  2770  courier  courier\n"
STOCK = {
    SENDMAIL: (0, 113, 0o2755),
    "/usr/bin/mailq": (107, 113, 0o2755),
    "/usr/lib/courier/courier/submitmkdir": (107, 113, 0o4755),
}


def host(root: Path, *, statoverride: str = STATOVERRIDE, sums: bool = True, **programs: tuple[int, int, int]) -> Host:
    owners = STOCK | {path: programs[path.rpartition("/")[2]] for path in STOCK if path.rpartition("/")[2] in programs}
    spool_host(root)
    for path in owners:
        (root / path[1:]).write_bytes(b"\x7fELF " + path.encode())
    (root / "usr/sbin/rmail").symlink_to("sendmail")
    found = spool_host(root, {path: ((uid, gid), mode) for path, (uid, gid, mode) in owners.items()})
    dpkg = root / "var/lib/dpkg"
    (dpkg / "info").mkdir(parents=True)
    if statoverride:
        (dpkg / "statoverride").write_text(statoverride)
    lines = [f"{hashlib.md5((root / path[1:]).read_bytes()).hexdigest()}  {path[1:]}\n" for path in owners]
    (dpkg / "info/courier-mta.md5sums").write_text("".join(lines) if sums else "")
    return found


def test_clear_as_recorded_and_a_link_has_no_mode_of_its_own(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path)))


def test_a_lost_bit_is_found_and_given_back_as_recorded_only_with_leave(tmp_path: Path) -> None:
    found = host(tmp_path, sendmail=(0, 0, 0o755))
    (finding,) = issue.check(found)
    assert (finding.where, finding.severity, finding.fixable) == (SENDMAIL, None, True)
    assert finding.detail == "root:root 0755, but /var/lib/dpkg/statoverride says root:courier 2755"
    (action,) = action_facts(issue.fix(found, [finding]))
    assert (action.kind, action.uid, action.gid, action.mode) == ("SetOwnership", 0, 113, 0o2755)
    assert action.allow == "restore-set-id"


@pytest.mark.parametrize(
    ("program", "owner", "severity"),
    [("mailq", (107, 1, 0o2755), Severity.MEDIUM), ("submitmkdir", (0, 113, 0o4755), Severity.LOW)],
)
def test_another_owner_is_found_too(tmp_path: Path, program: str, owner: tuple, severity: Severity) -> None:
    (finding,) = issue.check(host(tmp_path, **{program: owner}))
    assert finding.severity is severity


def test_an_owner_without_a_set_id_bit_and_other_bits_are_the_operators_own_affair(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, sendmail=(5, 113, 0o2750))))


def test_an_override_of_the_operators_own_counts(tmp_path: Path) -> None:
    own = STATOVERRIDE.replace("root courier 2755", "root courier 750")
    assert not list(issue.check(host(tmp_path, statoverride=own, sendmail=(0, 0, 0o750))))


def test_a_changed_program_gets_no_rights(tmp_path: Path) -> None:
    found = host(tmp_path, sendmail=(0, 0, 0o755))
    (tmp_path / SENDMAIL[1:]).write_bytes(b"\x7fELF and more")
    (finding,) = issue.check(found)
    assert not finding.fixable
    assert "install the package again" in finding.detail


def test_a_program_without_a_checksum_gets_no_rights(tmp_path: Path) -> None:
    (finding,) = issue.check(host(tmp_path, sums=False, sendmail=(0, 0, 0o755)))
    assert not finding.fixable


def test_tmpfiles_say_it_where_dpkg_does_not_and_the_administrators_copy_wins(tmp_path: Path) -> None:
    found = host(tmp_path, statoverride="", sendmail=(0, 0, 0o755))
    for directory, text in (("usr/lib", TMPFILES), ("etc", TMPFILES.replace("2755", "~2750"))):
        (tmp_path / directory / "tmpfiles.d").mkdir(parents=True)
        (tmp_path / directory / "tmpfiles.d/courier-mta.conf").write_text(text)
    (finding,) = issue.check(found)
    assert finding.detail == "root:root 0755, but /etc/tmpfiles.d/courier-mta.conf says root:courier 2750"


def test_without_any_record_a_sendmail_with_no_bit_at_all_is_found_and_left(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path / "a", statoverride="")))
    (finding,) = issue.check(host(tmp_path / "b", statoverride="", sendmail=(0, 0, 0o755)))
    assert not finding.fixable


def test_an_account_that_does_not_exist_is_unknown(tmp_path: Path) -> None:
    (unknown,) = issue.check(host(tmp_path, statoverride=f"mailer courier 6755 {SENDMAIL}\n"))
    assert isinstance(unknown, Unknown)


@pytest.mark.parametrize(
    ("mounts", "where"),
    [
        ("/dev/a / ext4 rw 0 0\n/dev/b /usr ext4 rw,nosuid 0 0\n", "/usr"),
        ("/dev/a / ext4 rw,nosuid 0 0\n/dev/b /usr ext4 rw 0 0\n", None),
        ("/dev/b /usr ext4 rw,nosuid 0 0\n/dev/c /usr ext4 rw 0 0\n", None),
        ("/dev/b /usr/sb ext4 rw,nosuid 0 0\ntmpfs /run tmpfs rw,nosuid 0 0\nshort\n", None),
    ],
)
def test_the_mount_that_counts_is_the_deepest_and_latest(tmp_path: Path, mounts: str, where: str | None) -> None:
    found = host(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text(mounts)
    assert [(finding.where, finding.fixable) for finding in issue.check(found)] == ([(where, False)] if where else [])


def test_a_tree_has_no_mounts(tmp_path: Path) -> None:
    host(tmp_path)
    assert json.loads((tmp_path / ".courier-host.json").read_text())
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text("/dev/a / ext4 rw,nosuid 0 0\n")
    assert not list(issue.check(Host(str(tmp_path))))
