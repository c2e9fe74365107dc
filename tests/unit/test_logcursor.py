"""What is new in a log is delivered once, whatever happens to the log between two readings."""

from __future__ import annotations

import gzip
import json
import os
import stat
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import journals
import pytest

from courierlib import replace
from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.logcursor import Cursors
from courierlib.logsources import Block, Source, sources

UTC = timezone.utc


def text(*words: str, ago: timedelta = timedelta(minutes=1)) -> bytes:
    return b"".join(
        f"{(datetime.now(UTC) - ago).isoformat(timespec='seconds')} mx1 imapd: {word}\n".encode() for word in words
    )


def words(data: bytes) -> list[str]:
    return [line.rpartition(b": ")[2].decode() for line in data.splitlines()]


class Reader:
    """A host below a directory, and a reader that comes again and again."""

    def __init__(self, root: Path):
        self.root, self.log, self.path = root, root / "var/log/mail.log", root / "state/log.json"
        self.log.parent.mkdir(parents=True)
        self.unknown: list[str] = []

    def write(self, *new: str, end: str = "") -> None:
        with self.log.open("ab") as file:
            file.write(text(*new) + end.encode())

    def rotate(self) -> None:
        for number in range(8, 0, -1):
            for suffix in ("", ".gz"):
                if (part := self.part(number, suffix)).exists():
                    part.rename(self.part(number + 1, suffix))
        self.log.rename(self.part(1))

    def part(self, number: int, suffix: str = "") -> Path:
        return self.log.with_name(f"mail.log.{number}{suffix}")

    def compress(self, number: int) -> None:
        plain = self.part(number)
        self.part(number, ".gz").write_bytes(gzip.compress(plain.read_bytes()))
        os.utime(self.part(number, ".gz"), (plain.stat().st_mtime,) * 2)
        plain.unlink()

    def sources(self) -> list[Source | Unknown]:
        return sources(Host(str(self.root)))

    def blocks(self, cursors: Cursors, **options) -> list[Block]:
        found = list(cursors.new(self.sources(), **options))
        self.unknown = [each.reason for each in found if isinstance(each, Unknown)]
        return [each for each in found if isinstance(each, Block)]

    def new(self, **options) -> list[str]:
        """Read and save."""
        cursors = Cursors.load(str(self.path))
        found = words(b"".join(block.data for block in self.blocks(cursors, **options)))
        cursors.save()
        return found


@pytest.fixture
def reader(tmp_path) -> Reader:
    return Reader(tmp_path)


def test_what_is_new_is_delivered_once(reader):
    reader.write("one", "two")
    assert reader.new() == ["one", "two"]
    assert reader.new() == []
    reader.write("three")
    assert reader.new() == ["three"]
    assert reader.unknown == []


def test_nothing_has_been_read_before_it_is_saved(reader):
    reader.write("one")
    for _ in range(2):
        assert len(reader.blocks(Cursors.load(str(reader.path)))) == 1
    assert not reader.path.exists()


def test_a_reader_that_goes_on_without_saving_reads_on(reader):
    cursors = Cursors.load(str(reader.path))
    reader.write("one")
    reader.blocks(cursors)
    cursors.save()
    reader.write("two")
    (block,) = reader.blocks(cursors)
    assert words(block.data) == ["two"]


def test_an_incomplete_line_is_delivered_when_it_is_complete(reader):
    reader.write("one", end="half")
    assert reader.new() == ["one"]
    assert reader.new() == []
    reader.write(end=" done: whole\n")
    assert reader.new() == ["whole"]


def test_a_reader_that_stops_early_has_read_the_blocks_before(reader):
    reader.write(*(f"{number:0100}" for number in range(30_000)))
    cursors = Cursors.load(str(reader.path))
    reading = cursors.new(reader.sources())
    first, _ = next(reading), next(reading)
    reading.close()
    cursors.save()
    assert len(reader.new()) == 30_000 - first.data.count(b"\n")


# Rotation and truncation


def test_a_log_that_is_rotated_by_renaming_is_finished_before_the_new_one(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    reader.write("two")
    reader.rotate()
    reader.write("three")
    assert reader.new() == ["two", "three"]
    assert reader.new() == []
    assert reader.unknown == []


def test_several_rotations_between_two_readings_are_followed(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    for word in ("two", "three", "four"):
        reader.write(word)
        reader.rotate()
    reader.compress(2)
    reader.write("five")
    assert reader.new() == ["two", "three", "four", "five"]
    assert reader.unknown == []


def test_a_log_that_is_rotated_and_compressed_is_read_from_where_it_was(reader):
    reader.write(*(f"old {number}" for number in range(1000)))
    assert len(reader.new()) == 1000
    reader.write("two")
    reader.rotate()
    reader.compress(1)
    reader.write("three")
    assert reader.new() == ["two", "three"]
    assert reader.unknown == []


def test_a_daemon_that_still_writes_to_the_renamed_file_is_read(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    daemon = reader.log.open("ab", buffering=0)
    reader.rotate()
    reader.log.write_bytes(b"")
    assert reader.new() == []
    daemon.write(text("two"))
    assert reader.new() == ["two"]
    daemon.close()
    reader.write("three")
    assert reader.new() == ["three"]


def test_a_log_without_a_living_file_is_read(reader):
    reader.write("one")
    reader.rotate()
    assert reader.new() == ["one"]
    reader.write("two")
    assert reader.new() == ["two"]


def test_a_log_that_is_copied_and_truncated_is_finished_in_the_copy(reader):
    reader.write("one", "two")
    assert reader.new() == ["one", "two"]
    reader.write("three")
    reader.part(1).write_bytes(reader.log.read_bytes())
    os.truncate(reader.log, 0)
    reader.write("four")
    assert reader.new() == ["three", "four"]
    assert reader.unknown == []


@pytest.mark.parametrize("after", [["b"], [f"much more than before {number}" for number in range(100)]])
def test_a_log_that_is_truncated_is_read_from_the_start(reader, after):
    reader.write("one", "two")
    assert reader.new() == ["one", "two"]
    os.truncate(reader.log, 0)
    reader.write(*after)
    assert reader.new() == after
    assert len(reader.unknown) == 1 and reader.unknown[0].startswith("/var/log/mail.log: what was read last, up to ")
    assert reader.new() == []
    assert reader.unknown == []


def test_a_log_that_is_rewritten_to_the_same_size_is_read_from_the_start(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    content = reader.log.read_bytes().replace(b"one", b"two")
    reader.log.write_bytes(content)
    assert reader.new() == ["two"]
    assert len(reader.unknown) == 1


def test_an_inode_that_comes_back_is_another_file(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    state = json.loads(reader.path.read_text())
    reader.log.unlink()
    reader.write("new one", "two")
    cursor = state["logs"]["/var/log/mail.log"]
    status = reader.log.stat()
    cursor["device"], cursor["inode"] = status.st_dev, status.st_ino
    reader.path.write_text(json.dumps(state))
    assert reader.new() == ["new one", "two"]


def test_of_parts_that_outlived_the_last_reading_only_what_came_after_it_is_read(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    reader.log.unlink()
    reader.log.write_bytes(text("read then", ago=timedelta(hours=3)) + text("after", ago=timedelta(minutes=-2)))
    reader.rotate()
    reader.write("two")
    assert reader.new(now=datetime.now(UTC) + timedelta(minutes=5)) == ["after", "two"]
    assert len(reader.unknown) == 1


def test_an_empty_log_that_was_read_and_rotated_is_finished(reader):
    reader.log.write_bytes(b"")
    assert reader.new() == []
    reader.write("one")
    reader.rotate()
    reader.write("two")
    assert reader.new() == ["one", "two"]
    assert reader.unknown == []


def test_a_clock_that_was_ahead_hides_nothing(reader):
    reader.write("one")
    assert reader.new(now=datetime.now(UTC) + timedelta(days=1000), look_back=timedelta(days=2000)) == ["one"]
    reader.log.unlink()
    reader.write("two")
    assert reader.new() == ["two"]


# The first reading


def test_the_first_reading_looks_back_a_bounded_time(reader):
    old, older = timedelta(hours=20), timedelta(hours=30)
    reader.log.write_bytes(text("older", ago=older) + text("old", ago=old))
    reader.rotate()
    reader.write("one")
    assert reader.new() == ["old", "one"]
    reader.path.unlink()
    assert reader.new(look_back=timedelta(hours=1)) == ["one"]
    assert reader.new(look_back=timedelta(days=9)) == []


def test_the_first_reading_takes_a_bounded_number_of_bytes(reader):
    reader.write(*(f"{number:0100}" for number in range(1000)))
    reader.rotate()
    reader.write("one", "two")
    assert reader.new(limit=1) == []
    reader.path.unlink()
    assert reader.new(limit=reader.log.stat().st_size - 1) == ["two"]
    reader.path.unlink()
    assert len(reader.new(limit=10_000)) in range(60, 80)
    assert reader.new() == []


def test_lines_that_the_first_reading_left_out_are_not_new_later(reader):
    reader.log.write_bytes(text("old", ago=timedelta(days=3)))
    assert reader.new() == []
    reader.write("one")
    assert reader.new() == ["one"]


def test_a_log_that_takes_the_place_of_another_is_read_from_where_that_was(reader):
    reader.write("one")
    assert reader.new() == ["one"]
    reader.log.unlink()
    reader.log.with_name("maillog").write_bytes(text("one") + text("two", ago=timedelta(minutes=-2)))
    assert reader.new(now=datetime.now(UTC) + timedelta(minutes=5)) == ["two"]


# The file of cursors


def test_cursors_are_for_their_owner_only(reader):
    reader.write("one")
    reader.new()
    assert stat.S_IMODE(reader.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(reader.path.parent.stat().st_mode) == 0o700
    assert os.listdir(reader.path.parent) == [reader.path.name]


GOOD = {"device": 1, "inode": 2, "offset": 3, "head": "", "tail": "", "read": 1.0}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[" * 100_000,
        b"null",
        b"{}",
        b'{"format": 2, "logs": {}}',
        b'{"format": 1, "logs": []}',
        *(
            json.dumps({"format": 1, "logs": {"/var/log/mail.log": entry}}).encode()
            for entry in (
                None,
                GOOD | {"offset": "3"},
                GOOD | {"offset": -1},
                GOOD | {"offset": 1 << 80},
                GOOD | {"offset": True},
                GOOD | {"read": 1e300},
                GOOD | {"read": None},
                GOOD | {"more": 1},
                {"cursor": "--help", "entry": "", "read": 1.0},
            )
        ),
        b'{"format": 1, "logs": {"/var/log/mail.log": ' + json.dumps(GOOD | {"read": float("nan")}).encode() + b"}}",
    ],
)
def test_a_damaged_file_of_cursors_counts_as_none_and_says_so(reader, content):
    reader.path.parent.mkdir(mode=0o700)
    reader.path.write_bytes(content)
    reader.write("one")
    assert reader.new() == ["one"]
    assert reader.unknown == [f"{reader.path}: not a file of cursors; reading starts anew"]
    assert reader.new() == []
    assert reader.unknown == []


def test_a_cursor_of_another_kind_counts_as_none(reader):
    reader.path.parent.mkdir(mode=0o700)
    entry = {"cursor": "s=1", "entry": "", "read": 1.0}
    reader.path.write_text(json.dumps({"format": 1, "logs": {"/var/log/mail.log": entry}}))
    reader.write("one")
    assert reader.new() == ["one"]


def test_a_file_of_cursors_that_is_a_link_or_a_fifo_is_not_followed(reader):
    reader.path.parent.mkdir(mode=0o700)
    reader.write("one")
    reader.path.symlink_to(reader.root / "elsewhere")
    assert reader.new() == ["one"]
    assert len(reader.unknown) == 1 and not (reader.root / "elsewhere").exists()
    reader.path.unlink()
    os.mkfifo(reader.path)
    Cursors.load(str(reader.path))


def test_a_directory_that_cannot_be_written_to_is_said_with_its_path(reader):
    reader.path.parent.write_bytes(b"")
    reader.write("one")
    with pytest.raises(replace.NotWritten, match=str(reader.path.parent)):
        reader.new()


def test_two_readers_at_once_do_no_damage(reader):
    reader.write("one")
    failed: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                cursors = Cursors.load(str(reader.path))
                list(cursors.new(reader.sources()))
                cursors.save()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert reader.new() == []
    assert reader.unknown == []


def test_a_reader_of_one_log_keeps_the_cursors_of_the_others(reader):
    reader.write("one")
    mine, theirs = Cursors.load(str(reader.path)), Cursors.load(str(reader.path))
    list(mine.new(reader.sources()))
    (source,) = reader.sources()
    other = Source(**{**source.__dict__, "log": "other"})
    list(theirs.new([other]))
    mine.save()
    theirs.save()
    assert set(json.loads(reader.path.read_text())["logs"]) == {"/var/log/mail.log", "other"}


def test_unknown_among_the_sources_is_passed_on(reader):
    reader.write("one")
    found = list(Cursors.load(str(reader.path)).new([Unknown("why"), *reader.sources()]))
    assert [type(each) for each in found] == [Unknown, Block]


def test_a_source_that_vanished_is_unknown_and_its_cursor_stays(reader):
    reader.write("one")
    reader.new()
    before = reader.path.read_bytes()
    gone = reader.sources()
    reader.log.unlink()
    cursors = Cursors.load(str(reader.path))
    (unknown,) = cursors.new(gone)
    assert "rotated away or removed" in unknown.reason
    cursors.save()
    assert reader.path.read_bytes() == before


# Cost


def test_what_is_old_is_not_read_again(reader):
    with reader.log.open("wb") as file:
        file.write(text("begin"))
        # A hole costs no disk, and would be read like anything else.
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n")
    assert len(reader.new(limit=1000)) <= 1
    reader.write(*(f"{number:0200}" for number in range(8000)))
    before = _bytes_read()
    assert len(reader.new()) == 8000
    assert _bytes_read() - before < 3 << 20


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


# The journal


@pytest.mark.privileged
class TestWithJournald:
    def test_what_is_new_in_the_journal_is_delivered_once(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, ["<22>imapd[7]: one", "<22>sshd[7]: other"])
        assert reader.new() == ["one"]
        assert reader.new() == []
        journals.log(directory, ["<22>imapd[7]: two", "<22>imapd[7]: two"], rotate=True)
        journals.log(directory, ["<22>sshd[7]: other", "<22>pop3d[7]: three\nmore"])
        assert reader.new() == ["two", "two", "three#012more"]
        assert reader.new() == []
        assert reader.unknown == []

    def test_the_first_reading_of_the_journal_is_bounded(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, [f"<22>imapd[7]: {number}" for number in range(100)])
        time.sleep(1)
        journals.log(directory, [f"<22>imapd[7]: {number}" for number in range(100, 110)])
        # To the second, as journalctl takes it.
        assert reader.new(limit=2500) == [str(number) for number in range(100, 110)]
        reader.path.unlink()
        assert reader.new(now=datetime.now(UTC) + timedelta(days=2)) == []

    def test_a_journal_without_a_line_yet_is_read_from_there(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, ["<22>sshd[7]: other"])
        assert reader.new() == []
        journals.log(directory, ["<22>imapd[7]: one"])
        assert reader.new() == ["one"]
        assert reader.new() == []

    def test_a_vacuumed_journal_is_read_from_its_oldest_entry_and_said(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, ["<22>imapd[7]: one", "<22>imapd[7]: two"], rotate=True)
        assert reader.new() == ["one", "two"]
        journals.log(directory, ["<22>imapd[7]: two", "<22>imapd[7]: three"])
        for file in journals.archived(directory):
            file.unlink()
        assert reader.new() == ["two", "three"]
        assert len(reader.unknown) == 1 and "journald has removed the entry that was read last" in reader.unknown[0]
        assert reader.new() == []
        assert reader.unknown == []

    def test_a_journal_that_was_begun_anew_is_read(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, ["<22>imapd[7]: one"])
        assert reader.new() == ["one"]
        for file in directory.rglob("*.journal"):
            file.unlink()
        journals.log(directory, ["<22>imapd[7]: two"])
        assert reader.new() == ["two"]

    def test_a_cursor_that_journald_refuses_is_said_and_given_up(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, ["<22>imapd[7]: one"])
        assert reader.new() == ["one"]
        state = json.loads(reader.path.read_text())
        state["logs"]["journal"]["cursor"] = "s=1"
        reader.path.write_text(json.dumps(state))
        journals.log(directory, ["<22>imapd[7]: two"])
        reader.new()
        assert "Failed to seek to cursor" in reader.unknown[0]
        assert reader.new()[-1:] == ["two"]
        assert reader.new() == []

    def test_a_reader_that_stops_early_has_read_nothing_of_the_journal(self, reader):
        directory = reader.log.parent / "journal"
        journals.log(directory, ["<22>imapd[7]: one"])
        cursors = Cursors.load(str(reader.path))
        reading = cursors.new(reader.sources())
        next(reading)
        reading.close()
        cursors.save()
        assert reader.new() == ["one"]
