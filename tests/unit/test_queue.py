"""The queue is read from its files, so that it is known while courierd is down."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from spoolhost import queue_message, spool_host

from courierlib import queue

HOUR = 3600


def test_an_empty_queue_is_empty(tmp_path: Path) -> None:
    assert spool_host(tmp_path).queue == queue.Queue(0, None, False, 0)


def test_messages_in_tmp_and_msgs_are_counted_once_each(tmp_path: Path) -> None:
    queue_message(tmp_path, 1630342, 60)
    queue_message(tmp_path, 1630257, 2 * HOUR, area="msgs")
    found = spool_host(tmp_path).queue
    assert found.messages == 2, "the further name in msgq is no further message"
    assert found.oldest == pytest.approx(time.time() - 2 * HOUR, abs=5)


def test_only_what_courierd_would_delete_is_perishable(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 46 * HOUR)
    queue_message(tmp_path, 2, 47.5 * HOUR)
    queue_message(tmp_path, 3, 72 * HOUR)
    queue_message(tmp_path, 4, 72 * HOUR, area="msgs")
    assert spool_host(tmp_path).queue.perishable == 2


def test_what_courierd_does_not_take_is_no_message(tmp_path: Path) -> None:
    spool_host(tmp_path)
    tmp = tmp_path / "var/lib/courier/tmp"
    (tmp / "broken").mkdir(parents=True)
    (tmp / "broken/C1").write_text("")
    (tmp / "courierd.lock").write_text("")
    queue_message(tmp_path, 7, name="C7.1", text=False)
    queue_message(tmp_path, 7, name="C7.2", text=False)
    assert spool_host(tmp_path).queue.messages == 0


def test_further_envelopes_of_a_finished_submission_count(tmp_path: Path) -> None:
    queue_message(tmp_path, 7)
    queue_message(tmp_path, 7, name="C7.2", text=False)
    assert spool_host(tmp_path).queue.messages == 2


def test_a_huge_queue_is_counted_to_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_FILES", 4)
    for number in range(5):
        queue_message(tmp_path, number)
    found = spool_host(tmp_path).queue
    assert (found.messages, found.bounded) == (2, True)
