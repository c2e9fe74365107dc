"""Inotify instances are counted for each user that runs imapd, over all of that user's processes."""

from __future__ import annotations

import ctypes
import dataclasses
import os

import pytest
from spoolhost import COURIERD, spool_host

from courierlib.issue import Severity
from courierlib.issues import inotify_limits
from courierlib.issues.inotify_limits import check


@pytest.fixture
def host(tmp_path):
    imapd = dataclasses.replace(COURIERD, pid=os.getpid(), name="imapd", exe="/usr/bin/imapd", uid=os.geteuid())
    host = spool_host(tmp_path, processes=(imapd,))
    host.__dict__["components"] = frozenset({"imap"})
    (tmp_path / "usr/bin").mkdir(parents=True, exist_ok=True)
    (tmp_path / "usr/bin/imapd").write_bytes(b"\0inotify_init\0")
    return host


def test_a_user_near_the_limit_is_found_and_others_are_not(host, tmp_path, monkeypatch):
    instances = [ctypes.CDLL(None).inotify_init() for _ in range(5)]
    try:
        # Other processes of this user have some too, and come and go.
        half = max(1, inotify_limits._instances({os.geteuid()})[os.geteuid()] // 2)
        monkeypatch.setattr(inotify_limits, "_limit", lambda: half)
        (finding,) = check(host)
        assert int(finding.detail.split()[0]) >= half
        assert finding.severity is None
        (tmp_path / "usr/bin/imapd").write_bytes(b"\0inotify_init\0inotity_init() failed\0")
        (finding,) = check(host)
        assert finding.severity == Severity.HIGH
        monkeypatch.setattr(inotify_limits, "_limit", lambda: 1_000_000)
        assert list(check(host)) == []
    finally:
        for instance in filter(lambda descriptor: descriptor >= 0, instances):
            os.close(instance)


def test_a_host_on_which_nobody_reads_mail_is_clear(host):
    host.__dict__["processes"] = ()
    assert list(check(host)) == []


def test_a_server_that_does_not_use_inotify_is_clear(host, tmp_path, monkeypatch):
    (tmp_path / "usr/bin/imapd").write_bytes(b"before 1.1")
    monkeypatch.setattr(inotify_limits, "_limit", lambda: 0)
    assert list(check(host)) == []
