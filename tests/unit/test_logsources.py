"""A host's mail log is found where it is written, and read in whole lines, whatever state it is in."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import journals
import pytest

from courierlib import journald, logsources, logstream
from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.logsources import Block, Source, given, read, sources

UTC = timezone.utc
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
DEBIAN = "*.*;auth,authpriv.none\t-/var/log/syslog\nmail.*\t-/var/log/mail.log\n"

needs_journald = pytest.mark.privileged


def line(time: datetime, text: str = "LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[1], protocol=IMAP") -> bytes:
    return f"{time.isoformat(timespec='seconds')} mx1 imapd: {text}\n".encode()


def lines(begin: datetime, number: int, seconds: float = 1) -> bytes:
    return b"".join(line(begin + timedelta(seconds=seconds * each), f"LOGIN {each}") for each in range(number))


def host(root: Path, rsyslog: str | None = DEBIAN, **files: bytes) -> Host:
    """A tree with rsyslog and files below /var/log."""
    (root / "var/log").mkdir(parents=True)
    if rsyslog is not None:
        (root / "usr/sbin").mkdir(parents=True)
        (root / "usr/sbin/rsyslogd").write_bytes(b"\x7fELF")
        (root / "etc").mkdir()
        (root / "etc/rsyslog.conf").write_text(rsyslog)
    for name, content in files.items():
        path = root / "var/log" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return Host(str(root))


def names(found: list) -> list[str]:
    return [each.name if isinstance(each, Source) else f"unknown: {each.reason}" for each in found]


def one(path: Path, **options) -> Source:
    (source,) = given(str(path))
    return Source(**{**source.__dict__, **options}) if options else source


def living(path: Path) -> Source:
    return one(path, log=str(path), living=True)


def content(source: Source, **options) -> bytes:
    return b"".join(block.data for block in read(source, **options))


def told(source: Source, **options) -> tuple[bytes, str]:
    """What was delivered, and why no more."""
    got = b""
    with pytest.raises(Unknown) as unknown:
        for block in read(source, **options):
            got += block.data
    return got, unknown.value.reason


# Where it is


def test_the_file_that_rsyslog_writes_is_the_log(tmp_path):
    root = host(tmp_path, "mail.* /var/log/own.log\n", **{"own.log": b"", "mail.log": b"", "syslog": b""})
    assert names(sources(root)) == ["/var/log/own.log"]


@pytest.mark.parametrize(
    "there", [["mail.log", "mail.err", "mail.warn", "syslog"], ["maillog", "messages"], ["messages"]]
)
def test_without_rsyslog_the_first_well_known_path_is_the_log(tmp_path, there):
    assert names(sources(host(tmp_path, None, **dict.fromkeys(there, b"")))) == [f"/var/log/{there[0]}"]


def test_rsyslogs_rules_do_not_count_where_only_they_are_left(tmp_path):
    root = host(tmp_path, "mail.* /var/log/own.log\n", **{"own.log": b"", "maillog": b""})
    (tmp_path / "usr/sbin/rsyslogd").unlink()
    assert names(sources(root)) == ["/var/log/maillog"]


def test_a_log_of_errors_alone_is_better_than_none_and_no_whole_one(tmp_path):
    found = names(sources(host(tmp_path, None, **{"mail.err": b""})))
    assert found[0] == "/var/log/mail.err"
    assert "only what is at warning or above" in found[1]


def test_a_directory_of_logs_is_looked_into(tmp_path):
    root = host(tmp_path, None)
    (tmp_path / "var/log/mail").mkdir()
    (tmp_path / "var/log/mail/mail.log").write_bytes(b"")
    assert names(sources(root)) == ["/var/log/mail/mail.log"]


def test_rotated_parts_come_oldest_first(tmp_path):
    there = ["mail.log", "mail.log.10.gz", "mail.log.2.gz", "mail.log.1", "mail.log.3.xz", "mail.log.bak", "mail.err.1"]
    found = names(sources(host(tmp_path, **dict.fromkeys(there, b""))))
    assert [name.removeprefix("/var/log/") for name in found] == [
        "mail.log.10.gz",
        "mail.log.3.xz",
        "mail.log.2.gz",
        "mail.log.1",
        "mail.log",
    ]


@pytest.mark.parametrize(
    "there",
    [
        ["mail.log-20261101.gz", "mail.log-20261108", "mail.log"],
        ["mail.log.2026-11-01", "mail.log.2026-11-08.bz2", "mail.log"],
        ["mail-20261101.log.gz", "mail-20261108.log", "mail.log"],
        ["mail.2.log.gz", "mail.1.log", "mail.log"],
        ["mail.log.old", "mail.log.0", "mail.log"],
    ],
)
def test_every_way_to_name_a_rotated_part_is_known(tmp_path, there):
    found = names(sources(host(tmp_path, **dict.fromkeys(sorted(there), b""))))
    assert found == [f"/var/log/{name}" for name in there]


def test_parts_that_are_named_in_two_ways_are_ordered_by_time(tmp_path):
    there = ["mail.log.1", "mail.log-20261101", "mail.log"]
    root = host(tmp_path, **dict.fromkeys(there, b""))
    os.utime(tmp_path / "var/log/mail.log.1", (1, 1))
    assert names(sources(root)) == ["/var/log/mail.log.1", "/var/log/mail.log-20261101", "/var/log/mail.log"]


def test_a_part_that_is_there_plain_and_compressed_is_read_once(tmp_path):
    root = host(tmp_path, **dict.fromkeys(["mail.log.1", "mail.log.1.gz", "mail.log"], b""))
    assert names(sources(root)) == ["/var/log/mail.log.1", "/var/log/mail.log"]


def test_a_link_is_followed_inside_the_root(tmp_path):
    root = host(tmp_path, None, **{"real": b"one\n"})
    (tmp_path / "var/log/mail.log").symlink_to("/var/log/real")
    (source,) = sources(root)
    assert source.name == "/var/log/mail.log"
    assert content(source) == b"one\n"


def test_a_host_without_a_log_is_told_what_to_do(tmp_path):
    (only,) = sources(host(tmp_path, None))
    assert "no mail log" in only.reason and "source=/path" in only.reason


def test_a_file_name_that_is_made_for_each_line_is_unknown(tmp_path):
    found = sources(host(tmp_path, '$template M,"/var/log/%HOSTNAME%/mail"\nmail.* ?M\n'))
    assert [type(each) for each in found] == [Unknown]
    assert "/etc/rsyslog.conf:2" in found[0].reason and "source=/path" in found[0].reason


# Named by the operator


@pytest.mark.parametrize("path", ["mail.log", "./mail.log", "", "a\0b", "/a\0b", None, 7])
def test_what_is_not_an_absolute_path_is_refused(path):
    with pytest.raises(ValueError, match="absolute path, for instance /var/log/mail.log"):
        given(path)


def test_special_files_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, kind in ((str(tmp_path / "fifo"), "fifo"), ("/dev/zero", "device")):
        (only,) = given(path)
        assert only.reason == f"{path}: not a file that can be read as a log, but a {kind}"


def test_what_is_missing_or_forbidden_is_unknown_with_its_path(tmp_path):
    (only,) = given(str(tmp_path / "none"))
    assert only.reason == f"{tmp_path}/none: no such file or directory"
    (tmp_path / "closed").write_bytes(b"")
    (tmp_path / "closed").chmod(0)
    if os.geteuid():
        (only,) = given(str(tmp_path / "closed"))
        assert only.reason == f"{tmp_path}/closed: permission denied"


def test_a_directory_gives_its_logs_oldest_first_and_no_copies(tmp_path):
    for name in ("mail.log", "mail.log.1", "mail.log.2.gz", "mail.err", "imap.log", ".hidden", "wtmp"):
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    found = [Path(source.name).name for source in given(str(tmp_path))]
    assert found == ["imap.log", "mail.log.2.gz", "mail.log.1", "mail.log"]


def test_an_empty_directory_is_unknown(tmp_path):
    (only,) = given(str(tmp_path))
    assert only.reason == f"{tmp_path}: no log in this directory"


# Reading


def test_blocks_are_whole_lines_and_together_the_file(tmp_path):
    text = lines(NOW, 100_000)
    (tmp_path / "log").write_bytes(text)
    found = list(read(one(tmp_path / "log")))
    assert len(found) > 3
    assert all(isinstance(block, Block) and block.data.endswith(b"\n") for block in found)
    assert b"".join(block.data for block in found) == text
    assert found[-1].end == len(text)


def test_an_incomplete_last_line_waits_only_while_it_can_be_completed(tmp_path):
    (tmp_path / "log").write_bytes(b"one\ntwo\nthr")
    assert content(one(tmp_path / "log")) == b"one\ntwo\nthr"
    (block,) = read(living(tmp_path / "log"))
    assert (block.data, block.end) == (b"one\ntwo\n", 8)
    (tmp_path / "log").write_bytes(b"thr")
    assert content(living(tmp_path / "log")) == b""


def test_bytes_that_are_no_text_are_delivered_as_they_are(tmp_path):
    text = b"\x00\xff\r\x1b[31m\x85\xe2\x80\xa8\nnext\n"
    (tmp_path / "log").write_bytes(text)
    assert content(one(tmp_path / "log"), since=NOW, now=NOW) == text


@pytest.mark.parametrize("before", [0, 10, logstream.BLOCK - 5, logstream.BLOCK])
@pytest.mark.parametrize("long", [logstream.LINE - 1, logstream.LINE, logstream.LINE + 1, 3 * logstream.LINE + 7])
def test_a_line_is_cut_at_the_limit_wherever_it_stands(tmp_path, before, long):
    head = b"h" * (before - 1) + b"\n" if before else b""
    (tmp_path / "log").write_bytes(head + b"x" * long + b"\nafter\n")
    expected = head + b"x" * min(long, logstream.LINE) + b"\nafter\n"
    assert content(one(tmp_path / "log")) == expected
    assert content(living(tmp_path / "log")) == expected


def test_a_long_line_that_is_not_complete_yet_waits(tmp_path):
    (tmp_path / "log").write_bytes(b"one\n" + b"x" * (3 << 20))
    (block,) = read(living(tmp_path / "log"))
    assert (block.data, block.end) == (b"one\n", 4)


def test_a_file_that_shrinks_while_it_is_read_ends(tmp_path):
    (tmp_path / "log").write_bytes(lines(NOW, 60_000))
    reading = read(living(tmp_path / "log"))
    next(reading)
    os.truncate(tmp_path / "log", 0)
    assert sum(len(block.data) for block in reading) < 1 << 20


def test_a_file_that_is_rotated_before_it_is_opened_is_the_one_that_is_read(tmp_path):
    (tmp_path / "mail.log").write_bytes(b"old\n")
    source = living(tmp_path / "mail.log")
    (tmp_path / "mail.log").rename(tmp_path / "mail.log.1")
    (tmp_path / "mail.log").write_bytes(b"new\n")
    assert content(source) == b"old\n"


def test_a_file_that_is_rotated_while_it_is_read_is_finished(tmp_path):
    text = lines(NOW, 60_000)
    (tmp_path / "mail.log").write_bytes(text)
    reading = read(living(tmp_path / "mail.log"))
    got = next(reading).data
    (tmp_path / "mail.log").unlink()
    assert got + b"".join(block.data for block in reading) == text


def test_a_file_that_vanishes_before_it_is_opened_is_unknown(tmp_path):
    (tmp_path / "mail.log").write_bytes(b"old\n")
    source = living(tmp_path / "mail.log")
    (tmp_path / "mail.log").unlink()
    assert told(source) == (b"", f"{tmp_path}/mail.log: rotated away or removed while it was to be read; ask again")
    os.mkfifo(tmp_path / "mail.log")
    assert "not a regular file any more" in told(source)[1]


# Compressed


PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_compressed_file_is_known_by_its_content(tmp_path, pack):
    text = lines(NOW, 30_000)
    (tmp_path / "log").write_bytes(pack(text[:1000]) + pack(text[1000:]))
    assert content(one(tmp_path / "log")) == text
    assert (
        content(one(tmp_path / "log"), start=text.index(b"\n", 1_000_000) + 1)
        == text[text.index(b"\n", 1_000_000) + 1 :]
    )


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_compressed_file_that_is_cut_off_gives_what_it_has(tmp_path, pack):
    text = bytes(random.Random(4).choices(b"abcdefgh\n", k=2_500_000))
    packed = pack(text)
    (tmp_path / "log").write_bytes(packed[: len(packed) // 2])
    got, why = told(one(tmp_path / "log"))
    assert len(got) > 100_000 and text.startswith(got)
    assert why.startswith(f"{tmp_path}/log: cut off after ")


def test_a_damaged_gzip_gives_what_it_has(tmp_path):
    packed = bytearray(gzip.compress(bytes(random.Random(4).choices(b"abcdefgh\n", k=800_000))))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = b"\xff" * 64
    (tmp_path / "log").write_bytes(packed)
    got, why = told(one(tmp_path / "log"))
    assert len(got) > 100_000
    assert ": damaged after " in why


def test_padding_after_a_gzip_is_no_damage_and_garbage_is(tmp_path):
    (tmp_path / "log").write_bytes(gzip.compress(b"one\n") + bytes(1000))
    assert content(one(tmp_path / "log")) == b"one\n"
    (tmp_path / "log").write_bytes(gzip.compress(b"one\n") + b"garbage")
    got, why = told(one(tmp_path / "log"))
    assert got == b"one\n" and ": damaged after 4 bytes" in why


def test_a_compression_that_python_lacks_is_unknown_with_the_tool(tmp_path, monkeypatch):
    monkeypatch.delitem(logstream._DECODERS, "zstd", raising=False)
    (tmp_path / "log").write_bytes(b"\x28\xb5\x2f\xfd\x04\x00")
    assert told(one(tmp_path / "log")) == (
        b"",
        f"{tmp_path}/log: this Python cannot expand zstd; unpack it first (zstd -d)",
    )


def test_a_bomb_is_stopped_at_the_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(logstream, "RATIO_FREE", 1 << 20)
    (tmp_path / "log").write_bytes(gzip.compress(bytes(40 << 20)))
    got, why = told(one(tmp_path / "log"))
    assert len(got) < 2 << 20
    assert "the file expands to more than 300 times its size" in why and "stopped after" in why


def test_a_bomb_is_stopped_at_the_total(tmp_path, monkeypatch):
    monkeypatch.setattr(logstream, "EXPANDED", 1 << 20)
    (tmp_path / "log").write_bytes(gzip.compress(lines(NOW, 100_000)))
    got, why = told(one(tmp_path / "log"))
    assert len(got) < 2 << 20
    assert f"the file expands to more than {1 << 20} bytes" in why


_MEMORY = """
import resource, sys
from courierlib.issue import Unknown
from courierlib.logsources import given, read
warm, measured = sys.argv[1:]
for path in (warm, measured):
    total = 0
    try:
        for block in read(given(path)[0]):
            total += len(block.data)
    except Unknown as unknown:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak, total)
"""


def _peak_growth(tmp_path: Path, path: Path) -> int:
    """KiB by which reading a file raises the peak of a process that has read a small log."""
    (tmp_path / "warm").write_bytes(gzip.compress(lines(NOW, 30_000)))
    environment = os.environ | {"PYTHONPATH": str(Path(logsources.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path / "warm"), str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = (int(each.split()[0]) for each in done.stdout.splitlines())
    return after - before


def test_memory_is_flat_with_a_line_of_100_mb(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n")
    assert _peak_growth(tmp_path, tmp_path / "log") < 10_000


@pytest.mark.parametrize("fill", [b"\0", b"imapd: bomb\n"])
def test_memory_is_flat_with_a_bomb(tmp_path, fill):
    with gzip.open(tmp_path / "log", "wb", compresslevel=1) as file:
        for _ in range(150):
            file.write(fill * ((1 << 20) // len(fill)))
    assert _peak_growth(tmp_path, tmp_path / "log") < 10_000


def test_a_decoder_that_wants_gigabytes_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 512 << 20}]
    # The header alone asks for the memory; a small content is written with little of it.
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    (tmp_path / "log").write_bytes(compressor.compress(b"one\n") + compressor.flush())
    got, why = told(one(tmp_path / "log"))
    assert got == b"" and "emory" in why


# since and until


def between(path: Path, since: datetime | None, until: datetime | None = None) -> bytes:
    return content(living(path), since=since, until=until, now=NOW)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_borders_are_exact(tmp_path, pack):
    begin = NOW - timedelta(hours=30)
    text = lines(begin, 100_000)
    (tmp_path / "log").write_bytes(pack(text))
    since, until = begin + timedelta(seconds=40_000), begin + timedelta(seconds=60_000)
    found = between(tmp_path / "log", since, until).splitlines()
    assert [found[0], found[-1], len(found)] == [*text.splitlines()[40_000:60_001:20_000], 20_001]
    assert between(tmp_path / "log", since) == b"".join(text.splitlines(True)[40_000:])
    assert between(tmp_path / "log", None, until) == b"".join(text.splitlines(True)[:60_001])
    assert between(tmp_path / "log", NOW) == b""


def test_a_border_within_a_second_is_exact(tmp_path):
    stamps = [NOW - timedelta(seconds=60 - each / 10) for each in range(20)]
    text = [f"{stamp.isoformat(timespec='microseconds')} mx1 imapd: x\n".encode() for stamp in stamps]
    (tmp_path / "log").write_bytes(b"".join(text))
    assert between(tmp_path / "log", stamps[3], stamps[14]) == b"".join(text[3:15])


def test_little_of_a_large_file_is_read_for_a_short_time(tmp_path, monkeypatch):
    begin = NOW - timedelta(days=10)
    (tmp_path / "log").write_bytes(lines(begin, 400_000, 2))
    parsed = []
    monkeypatch.setattr(logsources.Window, "stamp", _counting(logsources.Window.stamp, parsed))
    before = _bytes_read()
    between(tmp_path / "log", begin + timedelta(days=5), begin + timedelta(days=5, minutes=5))
    assert _bytes_read() - before < (tmp_path / "log").stat().st_size / 5
    assert len(parsed) < 200


def _counting(function, calls: list):
    def counted(*arguments):
        calls.append(1)
        return function(*arguments)

    return counted


def _bytes_read() -> int:
    """What this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("odd", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("at", range(0, 100, 7))
def test_one_odd_stamp_costs_no_other_line(tmp_path, odd, at):
    begin = NOW - timedelta(hours=27)
    text = lines(begin, 20_000, 4).splitlines(True)
    # Where a piece begins, for it is there that stamps are looked at.
    place = (
        next((number for number, end in enumerate(_ends(text)) if end > at % 5 * (1 << 18)), len(text) - 1) + at // 5
    )
    text.insert(min(place, len(text)), line(odd, "odd"))
    (tmp_path / "log").write_bytes(b"".join(text))
    since = begin + timedelta(seconds=40_000)
    expected = {each for each in text if b"odd" not in each and each >= line(since)[:19]}
    assert expected <= set(between(tmp_path / "log", since).splitlines(True))


def _ends(text: list[bytes]):
    end = 0
    for each in text:
        end += len(each)
        yield end


def test_a_line_without_a_time_belongs_to_the_one_before(tmp_path):
    early, late = line(NOW - timedelta(hours=3)), line(NOW - timedelta(hours=1))
    (tmp_path / "log").write_bytes(early + b"  of early\n" + late + b"  of late\n")
    assert between(tmp_path / "log", NOW - timedelta(hours=2)) == late + b"  of late\n"


def test_a_carriage_return_begins_no_line(tmp_path):
    forged = line(NOW - timedelta(minutes=5), "x\r1999-01-01T00:00:00Z mx1 imapd: y")
    (tmp_path / "log").write_bytes(forged + b"of forged\n")
    assert between(tmp_path / "log", NOW - timedelta(hours=1)) == forged + b"of forged\n"


def test_the_year_of_an_old_part_is_that_of_its_last_change(tmp_path):
    (tmp_path / "log").write_bytes(b"Dec 31 23:00:00 mx1 imapd: old\n")
    changed = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    os.utime(tmp_path / "log", (changed, changed))
    source = one(tmp_path / "log", zone=UTC)
    year = datetime(2024, 12, 31, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    assert content(source, since=year[0], until=year[1], now=NOW) == b"Dec 31 23:00:00 mx1 imapd: old\n"
    assert content(source, since=year[1], now=NOW) == b""


def test_a_rotated_part_that_ended_long_ago_is_not_opened(tmp_path):
    root = host(tmp_path, **{"mail.log": line(NOW), "mail.log.1": line(NOW - timedelta(days=9))})
    old, _ = sources(root)
    changed = (NOW - timedelta(days=9)).timestamp()
    os.utime(old.path, (changed, changed))
    assert content(old, since=NOW - timedelta(days=7), now=NOW) == b""
    assert content(old, since=NOW - timedelta(days=9, hours=1), now=NOW) == line(NOW - timedelta(days=9))


# Exported journals


def _json_entries(*messages: object) -> bytes:
    entry = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1795370464000000", "_HOSTNAME": "mx1", "_PID": "7"}
    return b"".join(
        json.dumps(entry | {"SYSLOG_IDENTIFIER": "imapd", "MESSAGE": message}).encode() + b"\n" for message in messages
    )


def _export_entry(message: bytes, tag: bytes = b"imapd") -> bytes:
    fields = b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795370464000000\n_HOSTNAME=mx1\n_PID=7\nSYSLOG_IDENTIFIER=%s\n" % tag
    if b"\n" in message:
        return fields + b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n"
    return fields + b"MESSAGE=" + message + b"\n\n"


AS_LINE = b"2026-11-22T18:01:04.000000+00:00 mx1 imapd[7]: "


def exported(path: Path, text: bytes) -> Source:
    path.write_bytes(text)
    return one(path, zone=UTC)


def test_an_exported_journal_is_read_as_lines(tmp_path):
    messages = [b"one", b"two\nNov 22 18:00:00 mx1 imapd: forged"]
    expected = AS_LINE + b"one\n" + AS_LINE + b"two#012Nov 22 18:00:00 mx1 imapd: forged\n"
    assert content(exported(tmp_path / "a", b"".join(map(_export_entry, messages)))) == expected
    assert content(exported(tmp_path / "b", _json_entries(*(each.decode() for each in messages)))) == expected
    assert content(exported(tmp_path / "c", gzip.compress(_json_entries("one")))) == AS_LINE + b"one\n"


def test_a_message_that_is_no_text_is_read_from_json(tmp_path):
    text = _json_entries([105, 255, 10], ["first", "second"], None)
    assert content(exported(tmp_path / "a", text)) == AS_LINE + b"i\xff#012\n" + AS_LINE + b"first\n" + AS_LINE + b"\n"


def test_a_forged_identifier_is_no_line(tmp_path):
    entry = _json_entries("x").replace(b'"imapd"', b'"a b: c\\nNov 22 18:00:00 mx1 imapd"')
    assert content(exported(tmp_path / "a", entry)).count(b"\n") == 1


def test_damaged_entries_are_counted_and_the_others_read(tmp_path):
    damaged = b"{not json\n" + b"[" * 100_000 + b"\n[1]\n" + b'{"MESSAGE": "' + b"x" * (5 << 20) + b'"}\n'
    got, why = told(exported(tmp_path / "a", _json_entries("one") + damaged + _json_entries("two")))
    assert got == AS_LINE + b"one\n" + AS_LINE + b"two\n"
    assert "4 entries are damaged" in why


def test_an_export_that_is_cut_off_or_lies_about_a_size_ends(tmp_path):
    lie = b"__CURSOR=s=1\nMESSAGE\n" + b"\xff" * 8 + b"short"
    got, why = told(exported(tmp_path / "a", _export_entry(b"one") + lie))
    assert got == AS_LINE + b"one\n"
    assert "1 entries are damaged" in why


# The journal


def test_a_message_of_several_lines_is_one_line_however_it_arrives():
    text = (
        b"2026-11-22T18:01:04.1+0000 mx1 imapd[7]: one\n    Nov 22 mx1 imapd: forged\n    \n    \n"
        b"2026-11-22T18:01:05.1+0000 mx1 imapd[7]: two \n            \n\n-- cursor: s=1\n"
    )
    expected = (
        b"2026-11-22T18:01:04.1+0000 mx1 imapd[7]: one#012Nov 22 mx1 imapd: forged#012#012\n"
        b"2026-11-22T18:01:05.1+0000 mx1 imapd[7]: two #012\n\n-- cursor: s=1\n"
    )
    for size in range(1, len(text) + 1):
        joined = journald.Joined()
        pieces = [joined.feed(text[at : at + size]) for at in range(0, len(text), size)]
        assert b"".join(pieces) + joined.rest() == expected, size


def _fake_journalctl(directory: Path, script: str, monkeypatch) -> Source:
    (directory / "journalctl").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return Source("journal", "journal")


def test_a_journalctl_that_fails_is_unknown_with_its_words(tmp_path, monkeypatch):
    script = "echo 2026-11-22T18:01:04.1+0000 mx1 imapd: one; echo 'Input/output error' >&2; exit 1"
    got, why = told(_fake_journalctl(tmp_path, script, monkeypatch))
    assert got == b"2026-11-22T18:01:04.1+0000 mx1 imapd: one\n"
    assert why == "journal: journalctl: Input/output error"


def test_a_journalctl_that_is_killed_is_unknown(tmp_path, monkeypatch):
    assert told(_fake_journalctl(tmp_path, "kill -9 $$", monkeypatch))[1] == "journal: journalctl: ended by SIGKILL"


def test_a_journalctl_that_hangs_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(journald, "PATIENCE", 0.2)
    got, why = told(_fake_journalctl(tmp_path, "echo x; exec sleep 60", monkeypatch))
    assert got == b"x\n" and "said nothing for 0 seconds and was stopped" in why


def test_journalctl_ends_with_its_reader(tmp_path, monkeypatch):
    script = f"echo $$ > {tmp_path}/pid; while :; do echo 2026-11-22T18:01:04.1+0000 mx1 imapd: one; done"
    reading = read(_fake_journalctl(tmp_path, script, monkeypatch))
    next(reading)
    reading.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_without_journalctl_the_journal_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(Source("journal", "journal")) == (b"", "journal: journalctl is not installed here")


def _with_journal(root: Path, *messages: str, rotate: bool = False) -> Path:
    directory = root / "var/log/journal"
    directory.mkdir(parents=True, exist_ok=True)
    journals.log(directory, messages, rotate)
    return directory


class TestWithJournald:
    pytestmark = needs_journald

    def test_the_journal_of_a_tree_is_read_and_no_other_process(self, tmp_path):
        _with_journal(
            tmp_path, "<22>imapd[7]: one\nNov 22 18:00:00 mx1 pop3d: forged", "<22>sshd[8]: other", "<22>submit: two"
        )
        (source,) = sources(Host(str(tmp_path)))
        assert (source.kind, source.name) == ("journal", "/var/log/journal")
        first, second = content(source).splitlines()
        assert b" imapd[" in first and first.endswith(b": one#012Nov 22 18:00:00 mx1 pop3d: forged")
        assert b" submit[" in second and second.endswith(b": two")

    def test_since_and_until_are_journalctls(self, tmp_path):
        _with_journal(tmp_path, "<22>imapd[7]: one")
        (source,) = sources(Host(str(tmp_path)))
        hour, now = timedelta(hours=1), datetime.now(UTC)
        assert content(source, since=now - hour, until=now + hour)
        assert not content(source, since=now + hour)
        assert not content(source, until=now - hour)

    def test_a_file_that_is_still_written_to_comes_before_the_journal(self, tmp_path):
        root = host(tmp_path, **{"mail.log": b"x\n"})
        _with_journal(tmp_path, "<22>imapd[7]: one")
        assert names(sources(root)) == ["/var/log/mail.log"]

    def test_a_file_that_nobody_writes_to_any_more_comes_after_the_journal(self, tmp_path):
        root = host(tmp_path, **{"mail.log": b"", "mail.log.1": b"x\n"})
        os.utime(tmp_path / "var/log/mail.log.1", (1e9, 1e9))
        _with_journal(tmp_path, "<22>imapd[7]: one")
        assert names(sources(root)) == ["/var/log/journal"]

    def test_a_journal_without_couriers_lines_does_not_replace_a_file(self, tmp_path):
        root = host(tmp_path, **{"mail.log": b"x\n"})
        os.utime(tmp_path / "var/log/mail.log", (1e9, 1e9))
        _with_journal(tmp_path, "<22>sshd[7]: one")
        assert names(sources(root)) == ["/var/log/mail.log"]

    def test_doubts_about_files_do_not_matter_where_the_journal_has_the_lines(self, tmp_path):
        root = host(tmp_path, "*.* @@loghost\n")
        _with_journal(tmp_path, "<22>imapd[7]: one")
        assert names(sources(root)) == ["/var/log/journal"]

    def test_a_journal_can_be_named_as_a_directory_or_a_file(self, tmp_path):
        directory = _with_journal(tmp_path, "<22>imapd[7]: one")
        (file,) = directory.rglob("system.journal")
        for path in (directory, file.parent, file):
            (source,) = given(str(path))
            assert content(source).endswith(b": one\n")

    def test_a_damaged_journal_is_unknown(self, tmp_path):
        directory = _with_journal(tmp_path, "<22>imapd[7]: one")
        (file,) = directory.rglob("system.journal")
        os.truncate(file, 1000)
        (source,) = given(str(file))
        assert told(source)[1].startswith(f"{file}: journalctl: ")
