"""defaultdelivery-in-wrong-file: the dead line is found in every file but courierd's, and made a comment."""

from __future__ import annotations

from pathlib import Path

import pytest
from installation import install

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import defaultdelivery_in_wrong_file as issue


def test_stock_files_are_clear(tmp_path: Path) -> None:
    assert list(issue.check(Host(str(install(tmp_path))))) == []


@pytest.mark.parametrize("name", ["esmtpd", "esmtpd-msa", "esmtpd-ssl", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl"])
def test_dead_line_is_found_once_and_becomes_a_comment(tmp_path: Path, name: str) -> None:
    path = install(tmp_path) / "etc/courier" / name
    before = path.read_text()
    path.write_text(before + 'DEFAULTDELIVERY="| maildrop"\n')
    host = Host(str(tmp_path))
    (finding,) = issue.check(host)
    assert finding.where == f"/etc/courier/{name}"
    assert f"in line {before.count(chr(10)) + 1} has no effect" in finding.detail
    (action,) = issue.fix(host, [finding])
    assert action.restarts == ()
    path.write_bytes(action.edit(path.read_bytes()))
    assert path.read_text() == before + '#DEFAULTDELIVERY="| maildrop"\n'
    assert list(issue.check(Host(str(tmp_path)))) == []


def test_line_in_courierd_is_the_right_place(tmp_path: Path) -> None:
    (install(tmp_path) / "etc/courier/courierd").write_text("DEFAULTDELIVERY='| maildrop'\n")
    assert list(issue.check(Host(str(tmp_path)))) == []


def test_file_that_cannot_be_read_leaves_the_others_looked_at(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "etc/courier/imapd").unlink()
    (tmp_path / "etc/courier/imapd").mkdir()
    (tmp_path / "etc/courier/pop3d").write_text("DEFAULTDELIVERY=x\n")
    found = list(issue.check(Host(str(tmp_path))))
    assert [each.reason for each in found if isinstance(each, Unknown)]
    assert [each.where for each in found if not isinstance(each, Unknown)] == ["/etc/courier/pop3d"]
