"""maildirsize-wrong is found where Courier believes a wrong sum, or cannot use the file; a full mailbox is none."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from mailboxes import BOBS, found, mailbox_host

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import maildirsize_wrong as issue
from courierlib.plan import EditFile, Refused, RemoveFile, SetOwnership

FILE = f"{BOBS}/maildirsize"
LATER = 2 * 86400


def host_with(
    root: Path, content: str, *, age: float = -LATER, messages: dict[str, int] | None = None, **more: object
) -> Host:
    """A host whose bob has this maildirsize, ``age`` seconds old, and messages of these sizes."""

    def change(root: Path) -> None:
        file = root / FILE[1:]
        file.write_text(content)
        os.utime(file, (time.time() - age,) * 2)
        for name, size in (messages or {}).items():
            path = root / BOBS[1:] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)

    return mailbox_host(root, change, **more)


def test_future_date_keeps_a_wrong_sum(tmp_path: Path) -> None:
    host = host_with(tmp_path, "6000S\n 7000 2\n", messages={"new/1": 300, "cur/2,S=400:2,S": 1})
    (finding,) = issue.check(host)
    assert finding.where == FILE
    assert "says 7000 bytes and 2 messages, over the limit; there are 700 and 2" in finding.detail
    (action,) = issue.fix(host, [finding])
    assert isinstance(action, EditFile)
    assert action.edit(b"6000S,10C\n 7000 2\n") == b"6000S,10C\n-1 0\n"
    with pytest.raises(Refused):
        action.edit(b"")


def test_sum_of_messages_counts_too(tmp_path: Path) -> None:
    assert len(found(issue, host_with(tmp_path, "5C\n 1 6\n", age=60))) == 1


@pytest.mark.parametrize(
    ("content", "age"),
    [
        ("6000S\n 7000 2\n", 16 * 60),  # old enough to be counted anew
        ("6000S\n 7000 2\n 1 1\n", -LATER),  # two lines are counted anew
        ("6000S\n -7000 2\n", -LATER),
        ("6000S\n 5000 2\n", -LATER),
        ("6000S\n", -LATER),
        ("6000S,5C\n 5000 5\n", 60),
        ("6000S\n" + 600 * "     7000     2\n", -LATER),  # longer than Courier reads
    ],
)
def test_what_courier_notices_by_itself_is_clear(tmp_path: Path, content: str, age: float) -> None:
    assert found(issue, host_with(tmp_path, content, age=age)) == {}


def test_full_mailbox_is_no_error(tmp_path: Path) -> None:
    host = host_with(tmp_path, "600S\n 700 2\n", messages={"new/1": 300, ".Sent/cur/2": 400})
    assert found(issue, host) == {}


def test_trash_does_not_count(tmp_path: Path) -> None:
    messages = {"new/1": 300, ".Trash/cur/2": 400, "cur/3,S=400:2,ST": 1}
    assert "there are 300 and 1" in found(issue, host_with(tmp_path, "600S\n 700 2\n", messages=messages))[FILE]


def test_too_many_messages_to_count_are_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "MAX_MESSAGES", 1)
    assert found(issue, host_with(tmp_path, "600S\n 700 2\n", messages={"new/1": 1, "new/2": 1})) == {}


def test_limit_that_cannot_be_read_is_removed(tmp_path: Path) -> None:
    host = host_with(tmp_path, "10M\n 7 1\n", age=LATER)
    (finding,) = issue.check(host)
    assert finding.severity == Severity.LOW
    assert [type(action) for action in issue.fix(host, [finding])] == [RemoveFile]


def test_file_of_another_owner_is_given_back(tmp_path: Path) -> None:
    host = host_with(tmp_path, "6000S\n 7 1\n", owners={FILE: (0, 0, 0o644)})
    (finding,) = issue.check(host)
    (action,) = issue.fix(host, [finding])
    assert isinstance(action, SetOwnership)
    assert (action.uid, action.gid) == (900, 900)


def test_wrong_owner_of_the_whole_maildir_is_another_issue(tmp_path: Path) -> None:
    host = host_with(tmp_path, "6000S\n 7 1\n", owners={FILE: (0, 0, 0o644), BOBS: (0, 0, 0o700)})
    assert found(issue, host) == {}


def test_link_is_not_followed(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (root / "etc/secret").write_text("no limit\n")
        (root / FILE[1:]).symlink_to("/etc/secret")

    assert found(issue, mailbox_host(tmp_path, change)) == {}
