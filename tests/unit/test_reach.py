"""Who can open a file is told by directories, modes, groups and ACLs, as the kernel tells it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from courierlib.host import Host
from courierlib.reach import ANYBODY, READ, ROOT, WRITE, Account, obstacles

COURIER = Account("courier", 107, frozenset({113, 114}))
_NONE = 0xFFFFFFFF


def blocked(host: Host, path: Path, account: Account, need: int = READ) -> list[tuple[str, int]]:
    return [(each.path, each.lacks) for each in obstacles(host, str(path), account, need)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Everything above it is open to all, as on a host."""
    for directory in (tmp_path, *tmp_path.parents):
        if "pytest-" in str(directory):
            directory.chmod(0o755)
    made = tmp_path / "directory/file"
    made.parent.mkdir()
    made.touch()
    return made


def test_the_file_and_each_directory_on_the_way_count(file: Path) -> None:
    host = Host("/")
    file.chmod(0o644)
    assert blocked(host, file, ANYBODY) == []
    file.chmod(0o640)
    file.parent.chmod(0o700)
    assert blocked(host, file, ANYBODY) == [(str(file.parent), 1), (str(file), 4)]
    assert blocked(host, file, ROOT) == []
    link = file.parent.parent / "link"
    link.symlink_to("directory/file")
    assert blocked(host, link, ANYBODY) == [(str(file.parent), 1), (str(file), 4)]


def test_reading_and_writing_are_two(file: Path) -> None:
    file.chmod(0o644)
    assert blocked(Host("/"), file, ANYBODY, READ | WRITE) == [(str(file), WRITE)]


def acl(path: Path, *entries: tuple[int, int, int]) -> None:
    """Give a file an ACL: tag, bits and id of each entry."""
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)


@pytest.mark.privileged
@pytest.mark.parametrize(
    ("entry", "mask", "readable"),
    [((0x02, 4, 107), 4, True), ((0x02, 4, 107), 0, False), ((0x08, 4, 114), 4, True), ((0x08, 4, 115), 4, False)],
    ids=["user", "user, masked", "group", "another group"],
)
def test_an_acl_counts(file: Path, entry, mask: int, readable: bool) -> None:
    acl(
        file,
        (0x01, 6, _NONE),
        *([entry] if entry[0] == 0x02 else []),
        (0x04, 0, _NONE),
        *([entry] if entry[0] == 0x08 else []),
        (0x10, mask, _NONE),
        (0x20, 0, _NONE),
    )
    assert (blocked(Host("/"), file, COURIER) == []) == readable


@pytest.mark.privileged
def test_the_groups_own_entry_counts_and_not_the_mask_that_the_mode_shows(file: Path) -> None:
    os.chown(file, 0, 113)
    acl(file, (0x01, 6, _NONE), (0x02, 6, 33), (0x04, 0, _NONE), (0x10, 6, _NONE), (0x20, 0, _NONE))
    assert file.stat().st_mode & 0o070 == 0o060
    assert blocked(Host("/"), file, COURIER) == [(str(file), 4)]
