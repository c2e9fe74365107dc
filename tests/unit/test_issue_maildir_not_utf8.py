"""maildir-not-utf8 is found where a folder's name is certainly in modified UTF-7."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailboxes import ALICES, found, mailbox_host

from courierlib.issues import maildir_not_utf8 as issue


def folders(*names: str):
    def make(root: Path) -> None:
        for name in names:
            (root / ALICES[1:] / name).mkdir()

    return make


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        (".Entw&APw-rfe", "Entwürfe"),
        (".&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-", "Отправленные"),
        (".Work.R&-D &APw-ber", "Work.R&D über"),
        (".&2D3eAA-", "😀"),
    ],
)
def test_name_in_modified_utf7_is_found(tmp_path: Path, name: str, meant: str) -> None:
    host = mailbox_host(tmp_path, folders(name))
    assert found(issue, host) == {ALICES: f"folders with names of before 1.0: {name[1:]} for {meant}"}


@pytest.mark.parametrize(
    "name",
    [
        ".A&-B",  # an escaped ampersand, or a folder of that name
        ".P&D-plan",  # one letter is no text
        ".R&DAB-x",  # left-over bits
        ".A&AEE-",  # ASCII is never encoded
        ".Entwürfe &APw-",  # UTF-8 already
        ".Q&A &APw-",  # an ampersand that nothing escapes
        ".&2D0-",  # half a character
        ".&AAE-",  # a control character
        ".Sent",
        "Entw&APw-rfe",  # not a folder
    ],
)
def test_name_that_means_itself_is_clear(tmp_path: Path, name: str) -> None:
    assert found(issue, mailbox_host(tmp_path, folders(name))) == {}


def test_many_folders_are_summed_up(tmp_path: Path) -> None:
    names = [f".{letter}&APw-" for letter in "abcde"]
    (detail,) = found(issue, mailbox_host(tmp_path, folders(*names))).values()
    assert detail.endswith("c&APw- for cü and 2 more")
