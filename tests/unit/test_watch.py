"""A watch tells each issue that speaks in the log once a call, loses nothing, and costs nothing while nobody writes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import journals
import pytest

from courierlib import catalogue, watch
from courierlib.watch import News, Watch

ENTRIES = catalogue.load()
SPOOL = "submit", "Permission denied"
HOME = "courierlocal", ENTRIES["maildrop-home-directory"].issue.signatures[0].sample
SHARED = {"mailuser-still-daemon", "spool-wrong-owner", "stale-daemon-processes"}

_events: list[str] = []
_listening = False


def _hook(event: str, arguments: tuple) -> None:
    if _listening and event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "os.posix_spawn", "import"):
        _events.append(f"{event} {arguments[0]}")


sys.addaudithook(_hook)


class Log:
    """A host below a directory, with a log and a watch."""

    def __init__(self, root: Path, **options: str):
        self.root, self.path, self.options = root, root / "var/log/mail.log", options
        self.state = root / "state/beacon.json"
        self.path.parent.mkdir(parents=True)
        self.watch = self.start()

    def start(self) -> Watch:
        self.watch = Watch(str(self.state), ENTRIES.values(), root=str(self.root), **self.options)
        return self.watch

    def write(self, tag: str, message: str, ago: timedelta = timedelta(0), times: int = 1) -> None:
        line = f"{(datetime.now(timezone.utc) - ago).isoformat()} mx1 {tag}: {message}\n"
        with self.path.open("a") as file:
            file.write(line * times)

    def told(self) -> dict[str, int]:
        news = self.watch.news()
        assert news.troubles == []
        return {issue: speaking.count for issue, speaking in news.issues.items()}


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path)
    log.write("imapd", "LOGIN, user=bob, ip=[::ffff:192.0.2.7], port=[1], protocol=IMAP")
    assert log.told() == {}
    return log


def noticed(watch: Watch) -> tuple[News, list[str]]:
    """What a call tells, and what it opened, listed, imported or ran."""
    global _listening
    _events.clear()
    _listening = True
    try:
        news = watch.news()
    finally:
        _listening = False
    return news, list(_events)


def test_each_issue_is_told_once_a_call_with_its_lines_counted(log):
    for _ in range(3):
        log.write(*HOME)
    log.write("imapd", "LOGOUT, user=bob")
    assert log.told() == {"maildrop-home-directory": 3}
    assert log.told() == {}
    log.write(*HOME)
    assert log.told() == {"maildrop-home-directory": 1}


def test_a_line_of_several_issues_is_told_of_each_with_the_others_named(log):
    log.write(*SPOOL)
    issues = log.watch.news().issues
    assert set(issues) == SHARED
    assert all(speaking.shares == SHARED - {issue} for issue, speaking in issues.items())
    assert {(speaking.first, speaking.last) for speaking in issues.values()} == {
        (next(iter(issues.values())).first,) * 2
    }


def test_the_sample_names_no_account(log):
    log.write("courierlocal", HOME[1].replace("carol@", "carol.secret@"))
    assert "secret" not in log.watch.news().issues["maildrop-home-directory"].sample


def test_what_was_told_counts_as_read_when_the_next_call_begins(log):
    log.write(*HOME)
    assert log.told() == {"maildrop-home-directory": 1}
    log.start()
    assert log.told() == {"maildrop-home-directory": 1}, "nobody knows whether it has arrived"
    assert log.told() == {}
    log.start()
    assert log.told() == {}


def test_the_state_is_a_private_file_of_its_own(log):
    log.told()
    assert log.state.stat().st_mode & 0o777 == 0o600
    assert log.state.parent.stat().st_mode & 0o777 == 0o700


def test_the_first_call_ever_leaves_out_what_is_old(tmp_path):
    log = Log(tmp_path)
    log.write(*SPOOL, ago=timedelta(hours=2), times=1000)
    log.write(*HOME, ago=timedelta(minutes=2))
    assert log.told() == {"maildrop-home-directory": 1}


def test_what_is_logged_while_the_minion_is_down_is_told_afterwards(log):
    log.told()
    log.write(*HOME, ago=timedelta(hours=10))
    log.start()
    assert log.told() == {"maildrop-home-directory": 1}


@pytest.mark.parametrize("copied", [False, True], ids=["renamed", "copied and cut off"])
def test_nothing_is_lost_over_a_rotation(log, copied):
    log.write(*HOME)
    rotated = log.path.with_name("mail.log.1")
    if copied:
        rotated.write_bytes(log.path.read_bytes())
        log.path.write_text("")
    else:
        log.path.rename(rotated)
    log.write(*SPOOL, times=30)
    assert log.told() == {"maildrop-home-directory": 1} | dict.fromkeys(SHARED, 30)
    log.write(*HOME)
    assert log.told() == {"maildrop-home-directory": 1}


def test_a_log_that_was_cut_off_is_read_from_its_beginning(log):
    log.write(*SPOOL)
    log.told()
    log.path.write_text("")
    log.write(*HOME)
    news = log.watch.news()
    assert list(news.issues) == ["maildrop-home-directory"]
    assert "never read" in news.troubles[0]


def test_a_call_opens_lists_and_runs_nothing_while_nobody_writes(log):
    log.told()
    log.write(*HOME)
    assert noticed(log.watch)[1] != []
    log.told()
    assert noticed(log.watch) == (News(), [])


def test_an_unfinished_line_waits_for_its_end_and_costs_nothing_meanwhile(log):
    log.write(*HOME)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    log.told()
    log.told()
    assert noticed(log.watch) == (News(), [])
    log.path.write_bytes(whole)
    assert log.told() == {"maildrop-home-directory": 1}


def test_a_log_that_appears_is_found_and_its_absence_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "FIND_AGAIN_SECONDS", 0.0)
    log = Log(tmp_path)
    (trouble,) = log.watch.news().troubles
    assert trouble.startswith("no mail log")
    assert log.watch.news() == News()
    log.write(*HOME)
    assert log.told() == {"maildrop-home-directory": 1}
    log.path.unlink()
    assert log.watch.news().troubles == [trouble]


def test_without_a_log_it_is_not_looked_for_at_every_call(tmp_path):
    log = Log(tmp_path)
    log.watch.news()
    assert noticed(log.watch) == (News(), [])


def test_a_long_absence_is_made_up_for_in_steps(log, monkeypatch):
    log.told()
    log.write("imapd", "LOGIN, user=bob", times=100_000)
    log.write(*HOME, times=7)
    log.write("imapd", "LOGIN, user=bob", times=100_000)
    log.write(*SPOOL, times=5)
    monkeypatch.setattr(watch, "STEP", 3 << 20)
    steps = [log.told() for _ in range(10)]
    assert sum(map(bool, steps)) == 2
    assert steps[0] == {}
    assert {issue: count for step in steps for issue, count in step.items()} == {
        "maildrop-home-directory": 7,
        **dict.fromkeys(SHARED, 5),
    }
    assert noticed(log.watch) == (News(), [])


def test_a_disk_that_takes_nothing_is_told_once_and_repeats_no_event(log):
    log.told()
    log.state.unlink()
    log.state.mkdir()
    log.write(*HOME)
    assert log.told() == {"maildrop-home-directory": 1}
    news = log.watch.news()
    assert (news.issues, len(news.troubles)) == ({}, 1)
    assert str(log.state) in news.troubles[0]
    log.write(*HOME)
    assert log.told() == {"maildrop-home-directory": 1}
    log.state.rmdir()
    assert log.told() == {}
    log.start()
    assert log.told() == {}


def test_a_log_that_is_named_is_followed_over_its_rotation(tmp_path):
    log = Log(tmp_path, source=str(tmp_path / "var/log/mail.log"))
    log.write("imapd", "LOGIN, user=bob")
    log.told()
    log.write(*HOME)
    log.path.rename(log.path.with_name("mail.log.1"))
    log.write(*SPOOL)
    assert log.told() == {"maildrop-home-directory": 1} | dict.fromkeys(SHARED, 1)


@pytest.mark.parametrize(("name", "reason"), [("missing", "no such file"), ("", "a directory")])
def test_a_name_that_is_no_log_is_told_of_once(tmp_path, name, reason):
    log = Log(tmp_path, source=str(tmp_path / "var/log" / name).rstrip("/"))
    log.write(*HOME)
    assert [reason in trouble for trouble in log.watch.news().troubles] == [True]
    assert log.watch.news() == News()


@pytest.mark.privileged
def test_a_journal_costs_no_journalctl_while_nobody_writes(tmp_path):
    log = Log(tmp_path)
    directory = tmp_path / "var/log/journal"
    journals.log(directory, ["<22>imapd[7]: LOGIN, user=bob"])
    log.told()
    log.told()
    assert noticed(log.watch) == (News(), [])
    journals.log(directory, [f"<22>courierlocal[8]: {HOME[1]}"], rotate=True)
    news, events = noticed(log.watch)
    assert (list(news.issues), news.troubles) == (["maildrop-home-directory"], [])
    assert any(event.startswith("subprocess.Popen") for event in events)
    log.told()
    assert noticed(log.watch) == (News(), [])
    journals.log(directory, [f"<22>submit[9]: {SPOOL[1]}"])
    assert set(log.told()) == SHARED


def test_courierlib_needs_no_salt_for_it():
    command = "import courierlib.watch, sys; sys.exit('salt' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(watch.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", command], env=environment, check=False).returncode == 0
