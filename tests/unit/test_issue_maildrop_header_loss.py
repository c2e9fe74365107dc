"""maildrop-header-loss is found where maildrop is run without the headers by which loops are noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailboxes import found, mailbox_host
from mailhost import BOB

from courierlib import delivery
from courierlib.issues import maildrop_header_loss as issue
from courierlib.issues import maildrop_spool_delivery
from courierlib.plan import Choose

WHERE = "/etc/courier/courierd DEFAULTDELIVERY"


@pytest.mark.parametrize(
    "line",
    [
        "| /usr/bin/maildrop -V 1",
        '|/usr/bin/maildrop -w 90 -V 1 -d "${RECIPIENT}"',
        "| maildrop",
        "| /usr/bin/maildrop .mailfilter",
        '| /usr/bin/maildrop -A "X-Seen: 1"',
        "|| /usr/local/bin/prepare; /usr/bin/maildrop -V 1",
    ],
)
def test_line_that_a_shell_runs_is_found(tmp_path: Path, line: str) -> None:
    assert list(found(issue, mailbox_host(tmp_path, line=line))) == [WHERE]


@pytest.mark.parametrize(
    "line",
    [
        "| /usr/bin/maildrop",
        "|/usr/bin/maildrop",
        "| preline /usr/bin/maildrop -V 1",
        "| /usr/bin/preline /usr/bin/maildrop",
        '| /usr/bin/maildrop -A "$DTLINE" -A "$RPLINE" -f "$SENDER" -V 1',
        '| /usr/bin/maildrop -A"$DTLINE"',
        '| /usr/bin/maildrop -A "Delivered-To: $RECIPIENT"',
        "./Maildir",
        "| /usr/bin/procmail",
        "",
    ],
)
def test_line_that_keeps_the_headers_is_clear(tmp_path: Path, line: str) -> None:
    assert found(issue, mailbox_host(tmp_path, line=line)) == {}


def test_maildrop_file_names_the_command_that_courier_runs_itself(tmp_path: Path) -> None:
    host = mailbox_host(
        tmp_path,
        lambda root: (root / "etc/courier/maildrop").write_text("/opt/maildrop\n"),
        line="| /usr/bin/maildrop",
    )
    assert list(found(issue, host)) == [WHERE]


def test_nobody_concerned_is_clear(tmp_path: Path) -> None:
    assert found(issue, mailbox_host(tmp_path, line="| /usr/bin/maildrop -V 1", accounts=BOB)) == {}


@pytest.mark.parametrize("strategy", delivery.STRATEGIES)
def test_repair_is_that_of_the_other_problems_with_maildrop(tmp_path: Path, strategy: str) -> None:
    host = mailbox_host(tmp_path, line="| /usr/bin/maildrop -V 1")
    ours = list(issue.fix(host, [], strategy=strategy))
    theirs = list(maildrop_spool_delivery.fix(host, [], strategy=strategy))
    assert [(action.subject, action.new) for action in ours] == [(action.subject, action.new) for action in theirs]


def test_without_a_strategy_the_operator_chooses(tmp_path: Path) -> None:
    host = mailbox_host(tmp_path, line="| /usr/bin/maildrop -V 1")
    assert [type(action) for action in issue.fix(host, [])] == [Choose]


@pytest.mark.parametrize("strategy", delivery.STRATEGIES)
def test_every_strategy_keeps_the_headers(tmp_path: Path, strategy: str) -> None:
    host = mailbox_host(tmp_path, line="| /usr/bin/maildrop -V 1")
    line = list(issue.fix(host, [], strategy=strategy))[-1].new
    assert found(issue, mailbox_host(tmp_path / "after", line=line)) == {}
