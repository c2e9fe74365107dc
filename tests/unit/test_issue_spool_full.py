"""spool-full is found where next to nothing is left for others than root, and nowhere else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from spoolhost import spool_host

from courierlib.host import Account, Host
from courierlib.issue import Finding, Severity, Unknown
from courierlib.issues import spool_full as issue

SPOOL = "/var/lib/courier"
GIB = 1 << 30


def host_with(root: Path, monkeypatch: pytest.MonkeyPatch, *, accounts: object = (), **left: int) -> Host:
    """A host on one file system of blocks of 4 KiB; what a test can hardly have is a full one."""
    found = {
        "blocks": GIB // 4096,
        "size": 10 * GIB // 4096,
        "inodes": 100_000,
        "all_inodes": 655_360,
        "flag": 0,
    } | left
    answer = SimpleNamespace(
        f_frsize=4096,
        f_bavail=found["blocks"],
        f_blocks=found["size"],
        f_favail=found["inodes"],
        f_files=found["all_inodes"],
        f_flag=found["flag"],
    )
    monkeypatch.setattr(os, "statvfs", lambda path: answer)
    host = spool_host(root)
    host.__dict__["accounts"] = tuple(accounts)
    return host


def only(host: Host) -> tuple[str, str, Severity | None]:
    (finding,) = issue.check(host)
    assert isinstance(finding, Finding)
    return finding.where, finding.detail, finding.severity


def test_a_host_with_room_is_clear(tmp_path: Path, monkeypatch) -> None:
    assert not list(issue.check(host_with(tmp_path, monkeypatch)))


@pytest.mark.parametrize("blocks", [0, 109])
def test_too_few_blocks_for_submit_stop_mail(tmp_path: Path, monkeypatch, blocks: int) -> None:
    where, detail, severity = only(host_with(tmp_path, monkeypatch, blocks=blocks))
    assert (where, severity) == (SPOOL, None)
    assert detail == f"{blocks * 4} KiB and 100000 inodes left for the spool: {issue._BREAKS['spool']}"


def test_too_few_inodes_for_submit_stop_mail(tmp_path: Path, monkeypatch) -> None:
    assert only(host_with(tmp_path, monkeypatch, inodes=149))[2] is None
    assert only(host_with(tmp_path, monkeypatch, inodes=150))[2] is Severity.MEDIUM


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch) -> None:
    found = only(host_with(tmp_path, monkeypatch, blocks=(63 << 20) // 4096))
    assert found == (SPOOL, "64512 KiB and 100000 inodes left for the spool", Severity.MEDIUM)


def test_a_large_disk_with_less_than_a_hundredth_left_is_clear(tmp_path: Path, monkeypatch) -> None:
    host = host_with(tmp_path, monkeypatch, blocks=(1 << 30) // 4096, size=(4 << 40) // 4096)
    assert not list(issue.check(host))


def test_a_small_file_system_for_the_queue_alone_is_clear_while_it_is_not_nearly_full(tmp_path, monkeypatch) -> None:
    host = host_with(
        tmp_path, monkeypatch, blocks=(40 << 20) // 4096, size=(50 << 20) // 4096, all_inodes=2000, inodes=900
    )
    assert not list(issue.check(host))


def test_file_systems_without_a_number_of_inodes_are_judged_by_blocks(tmp_path: Path, monkeypatch) -> None:
    assert not list(issue.check(host_with(tmp_path, monkeypatch, inodes=0, all_inodes=0)))
    assert only(host_with(tmp_path, monkeypatch, blocks=0, inodes=0, all_inodes=0))[1].startswith("0 KiB left for")


def test_a_read_only_image_is_no_full_disk(tmp_path: Path, monkeypatch) -> None:
    assert not list(issue.check(host_with(tmp_path, monkeypatch, blocks=0, flag=os.ST_RDONLY)))


def test_the_file_system_of_maildirs_counts_on_a_host_with_imap_alone(tmp_path: Path, monkeypatch) -> None:
    alice = Account("alice", 1000, 1000, "/home/alice", "", "authdaemon")
    (tmp_path / "home/alice/Maildir").mkdir(parents=True)
    host = host_with(tmp_path, monkeypatch, accounts=[alice], blocks=0)
    host.__dict__["components"] = frozenset({"imap"})
    host.__dict__["_layout"] = dataclasses.replace(host.layout, piddir="/run/none")
    assert only(host)[0] == "/home/alice/Maildir"


def test_accounts_without_a_maildir_say_nothing_of_their_file_system(tmp_path: Path, monkeypatch) -> None:
    daemon = Account("daemon", 1, 1, "/usr/sbin", "", "authdaemon")
    host = host_with(tmp_path, monkeypatch, accounts=[daemon], blocks=0)
    assert only(host)[0] == SPOOL


def test_unknown_accounts_do_not_hide_a_full_spool(tmp_path: Path, monkeypatch) -> None:
    host = host_with(tmp_path, monkeypatch, blocks=0)
    del host.__dict__["accounts"]
    unknown, finding = issue.check(host)
    assert isinstance(unknown, Unknown)
    assert finding.where == SPOOL


def test_a_maildir_whose_links_loop_does_not_hide_a_full_spool(tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "home/alice"
    home.mkdir(parents=True)
    (home / "Maildir").symlink_to("Maildir")
    alice = Account("alice", 1000, 1000, "/home/alice", "", "authdaemon")
    assert only(host_with(tmp_path, monkeypatch, blocks=0, accounts=[alice]))[0] == SPOOL


def test_a_tree_says_nothing_of_the_hosts_disks(tmp_path: Path) -> None:
    spool_host(tmp_path)
    with pytest.raises(Unknown, match="tree of files"):
        [item for item in issue.check(Host(str(tmp_path))) if not isinstance(item, Unknown)]
