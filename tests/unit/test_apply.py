"""Carrying plans out: what is done, what is withheld, what is taken back, what is remembered."""

import dataclasses
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from workbench import NEW, OLD, Services, backups, entry, host, leftovers, service, workspace

from courierlib import execution
from courierlib.apply import ApplyFailed, UnknownRun, carry_out, history, undo
from courierlib.issue import Finding, Unknown
from courierlib.plan import (
    Choose,
    EditFile,
    EndProcess,
    MakeDirectory,
    MakeLink,
    NewFile,
    Refused,
    RemoveFile,
    RunProgram,
    SetOwnership,
    StartService,
    StopService,
)
from courierlib.services import ServiceFailed


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Services of these tests are up or down at once."""
    monkeypatch.setattr(execution, "SETTLE", 0.05)
    monkeypatch.setattr(execution, "STEADY", 0.01)


@pytest.fixture
def here(tmp_path):
    return workspace(tmp_path)


@pytest.fixture
def esmtpd(tmp_path):
    path = tmp_path / "etc" / "esmtpd"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def edit(path: Path, old: bytes = b"40", new: bytes = b"80", **more) -> EditFile:
    def change(content):
        if content is not None and old not in content and new not in content:
            raise Refused(f"{path}: neither {old!r} nor {new!r} stands there")
        return (content or b"").replace(old, new)

    more = {"old": old.decode(), "new": new.decode(), "setting": "MAXDAEMONS", **more}
    return EditFile(path=str(path), edit=change, **more)


def create(path: Path, content: bytes = NEW, **more) -> EditFile:
    me = NewFile(str(os.geteuid()), str(os.getegid()), 0o600)
    return EditFile(path=str(path), edit=lambda old: content, new_file=me, old="absent", new="written", **more)


def wrong_while(path: Path, old: bytes = OLD):
    """A check that finds something as long as the file is the old one."""
    return lambda: [Finding(where=str(path), detail="too few")] if path.read_bytes() == old else []


def everything(directory: Path) -> dict:
    """All that can be seen of a tree, so that any touch shows."""
    seen = {}
    for path in [directory, *directory.rglob("*")]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        seen[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, status.st_ctime_ns, content)
    return seen


# Files


def test_a_file_is_edited_backed_up_and_checked_again(esmtpd, here, tmp_path):
    outcome = carry_out(host(), [entry(edit(esmtpd), found=wrong_while(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == NEW
    assert stat.S_IMODE(esmtpd.stat().st_mode) == 0o640
    assert outcome.changes == {f"{esmtpd} MAXDAEMONS": {"old": "40", "new": "80"}}
    assert (outcome.findings_before, outcome.findings_after, outcome.failed) == (1, 0, "")
    assert [path.read_bytes() for path in backups(tmp_path)] == [OLD]
    assert outcome.run in outcome.comment
    assert not leftovers(tmp_path)


def test_a_second_run_changes_nothing_and_leaves_no_record(esmtpd, here):
    problem = entry(edit(esmtpd), found=wrong_while(esmtpd))
    carry_out(host(), [problem], workspace=here)
    again = carry_out(host(), [problem], workspace=here)
    assert (again.changes, again.run, again.comment) == ({}, None, "Nothing to change.")
    assert len(history(here)) == 1


def test_an_edit_that_changes_nothing_is_no_change(esmtpd, here, tmp_path):
    esmtpd.write_bytes(NEW)
    services = Services(service("courier-mta", "smtp"))
    outcome = carry_out(host(services), [entry(edit(esmtpd, restarts=("smtp",)))], workspace=here)
    assert (outcome.changes, services.calls, backups(tmp_path)) == ({}, [], [])


def test_edits_of_one_file_are_one_replacement_with_one_backup(esmtpd, here, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(esmtpd)
    second = edit(link, b"MAX", b"MIN", setting="PREFIX")
    outcome = carry_out(host(), [entry(edit(esmtpd), second)], workspace=here)
    assert esmtpd.read_bytes() == b"MINDAEMONS=80\n"
    assert [*outcome.changes] == [f"{esmtpd} MAXDAEMONS", f"{link} PREFIX"]
    assert len(backups(tmp_path)) == 1


def test_what_two_fixes_ask_for_is_done_once(esmtpd, here):
    services = Services(service("courier-mta", "smtp"), service("courier-msa", "msa"))
    both = [entry(edit(esmtpd, restarts=("smtp",))), entry(edit(esmtpd, restarts=("msa",)), name="other")]
    carry_out(host(services), both, workspace=here)
    assert services.calls == [("restart", "courier-msa", "courier-mta")]


def test_a_file_is_made_in_a_directory_that_is_made(tmp_path, here):
    made = tmp_path / "etc" / "courier"
    (tmp_path / "etc").mkdir()
    directory = MakeDirectory(
        path=str(made), uid=os.geteuid(), gid=os.getegid(), mode=0o750, old="missing", new="there"
    )
    problem = entry(directory, create(made / "dhparams.pem"))
    announced = carry_out(host(), [problem], workspace=here, test=True)
    outcome = carry_out(host(), [problem], workspace=here)
    assert outcome.changes == announced.changes
    assert (made / "dhparams.pem").read_bytes() == NEW
    assert stat.S_IMODE(made.stat().st_mode) == 0o750


def test_what_one_file_refuses_does_not_hold_back_the_others(esmtpd, here, tmp_path):
    other = tmp_path / "etc" / "imapd"
    other.write_bytes(b"nothing of the kind\n")
    outcome = carry_out(host(), [entry(edit(other), edit(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == NEW
    assert other.read_bytes() == b"nothing of the kind\n"
    assert len(outcome.refused) == 1 and str(other) in outcome.refused[0] and str(other) in outcome.comment


def test_a_file_that_is_missing_is_refused_unless_it_may_be_made(tmp_path, here):
    outcome = carry_out(host(), [entry(edit(tmp_path / "esmtpd"))], workspace=here)
    assert outcome.refused == (f"{tmp_path / 'esmtpd'}: no such file",)


@pytest.mark.parametrize("path", ["esmtpd", "", "/etc/\0", "/etc/passwd/x"])
@pytest.mark.parametrize("kind", ["edit", "create", "own", "make"])
def test_a_path_that_is_none_is_refused(here, path, kind):
    action = {
        "edit": edit(path),
        "create": create(path),
        "own": SetOwnership(path=path, mode=0o600, old="", new=""),
        "make": MakeDirectory(path=path, uid=0, gid=0, mode=0o755, old="", new=""),
    }[kind]
    outcome = carry_out(host(), [entry(action)], workspace=here)
    assert len(outcome.refused) == 1 and outcome.changes == {}


def test_an_account_that_does_not_exist_is_refused(tmp_path, here):
    action = dataclasses.replace(create(tmp_path / "new"), new_file=NewFile("no-such-user", "root"))
    outcome = carry_out(host(), [entry(action)], workspace=here)
    assert "no-such-user" in outcome.refused[0]


# Test mode


def test_test_mode_announces_the_same_changes_and_touches_nothing(esmtpd, here, tmp_path):
    services = Services(service("courier-mta", "smtp"), service("courier", "scheduler", active=False))
    actions = (
        edit(esmtpd, restarts=("smtp",)),
        edit(esmtpd, b"MAX", b"MIN", setting="PREFIX"),
        create(tmp_path / "etc" / "dhparams.pem"),
        SetOwnership(path=str(esmtpd.parent), mode=0o700, old="0755", new="0700"),
        StartService(service="courier", old="dead", new="running"),
        Choose(about="maildrop", option="strategy=maildir|mailfilter", old="", new=""),
    )
    before = everything(tmp_path)
    announced = carry_out(host(services), [entry(*actions)], workspace=here, test=True)
    assert everything(tmp_path) == before
    assert services.calls == []
    assert (announced.run, announced.findings_before, announced.findings_after) == (None, 1, 1)
    assert "Would restart courier-mta." in announced.comment
    done = carry_out(host(services), [entry(*actions)], workspace=here)
    assert done.changes == announced.changes and len(done.changes) == 5
    assert done.withheld == announced.withheld


# What needs the operator


def test_what_was_not_allowed_is_withheld_and_the_rest_is_done(esmtpd, here):
    risky = edit(esmtpd, b"MAX", b"MIN", setting="RELAY", allow="open-relay")
    outcome = carry_out(host(), [entry(risky, edit(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == NEW
    assert outcome.withheld == (f"{esmtpd} RELAY: MAX -> MIN: only with allow=open-relay",)
    assert outcome.withheld[0] in outcome.comment
    carry_out(host(), [entry(risky)], workspace=here, allow=frozenset({"open-relay"}))
    assert esmtpd.read_bytes() == b"MINDAEMONS=80\n"


def test_a_choice_is_never_made_for_the_operator(here):
    choice = Choose(about="maildrop", option="strategy=maildir|mailfilter", old="", new="", allow="all")
    outcome = carry_out(host(), [entry(choice)], workspace=here, allow=frozenset({"all", ""}))
    assert outcome.withheld == ("maildrop: choose strategy=maildir|mailfilter",)
    assert (outcome.changes, outcome.run) == ({}, None)


def test_a_fix_gets_the_options_that_it_takes_and_the_fixable_findings(esmtpd, here):
    got = []

    def fix(host, findings, *, group="ffdhe3072"):
        got.append((group, [finding.where for finding in findings]))
        return iter(())

    found = [Finding(where="a", detail=""), Finding(where="b", detail="", fixable=False)]
    problem = entry(fix=fix, found=lambda: found, choices={"group": ("ffdhe2048",)})
    outcome = carry_out(host(), [problem], workspace=here, options={"group": "ffdhe2048", "strategy": "maildir"})
    assert got == [("ffdhe2048", ["a"])]
    assert outcome.findings_after == 2


def test_what_could_not_be_looked_at_is_told(here):
    def sees_half():
        yield Finding(where="a", detail="wrong")
        raise Unknown("no permission")

    outcome = carry_out(host(), [entry(found=sees_half)], workspace=here)
    assert outcome.unknown == ({"id": "too-few-daemons", "reason": "no permission"},)
    assert outcome.findings_before == 1


def test_a_tree_of_files_is_never_repaired(esmtpd, here):
    with pytest.raises(ApplyFailed, match="only a running host can be repaired"):
        carry_out(host(root="/srv/image"), [entry(edit(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == OLD


# One at a time


def test_a_second_run_at_once_gets_one_error_that_names_the_lock_and_its_holder(esmtpd, here):
    with open(here.lock, "w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        holder.write("4711\n")
        holder.flush()
        with pytest.raises(ApplyFailed, match=rf"{here.lock}: held by another run, process 4711"):
            carry_out(host(), [entry(edit(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == OLD


def test_the_lock_tells_who_holds_it_and_is_released(esmtpd, here):
    seen = []

    def found():
        seen.append(Path(here.lock).read_text())
        return []

    carry_out(host(), [entry(found=found)], workspace=here)
    assert seen == [f"{os.getpid()}\n"]
    with open(here.lock) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("make", [lambda lock: os.symlink("/etc/passwd", lock), os.mkfifo, os.mkdir])
def test_a_lock_that_is_no_file_is_refused_and_never_waited_for(here, make):
    make(here.lock)
    with pytest.raises(ApplyFailed, match=here.lock):
        carry_out(host(), [], workspace=here)


# Services


def test_only_services_that_run_are_restarted_and_all_in_one_go(esmtpd, here):
    services = Services(
        service("courier-mta", "smtp"),
        service("courier-msa", "msa", active=False),
        service("courier-imap", "imap"),
        service("courier-mta-ssl", "smtps"),
    )
    outcome = carry_out(
        host(services), [entry(edit(esmtpd, restarts=("smtp", "msa", "smtps", "imaps")))], workspace=here
    )
    assert services.calls == [("restart", "courier-mta", "courier-mta-ssl")]
    assert "Not restarted, because not running: courier-msa." in outcome.comment


def test_a_plan_without_restarts_never_asks_the_service_manager(esmtpd, here):
    services = Services()
    services.services = None
    assert carry_out(host(services), [entry(edit(esmtpd))], workspace=here).changes


def test_without_a_service_manager_the_operator_is_told_what_to_restart(esmtpd, here):
    unmanaged = host(Services())
    unmanaged().system.services = None
    start = StartService(service="courier", old="dead", new="running")
    outcome = carry_out(unmanaged, [entry(edit(esmtpd, restarts=("smtp",)), start)], workspace=here)
    assert esmtpd.read_bytes() == NEW
    assert "No service manager known here: restart yourself smtp." in outcome.comment
    assert len(outcome.refused) == 1


def test_nothing_is_changed_if_it_cannot_be_told_what_runs(esmtpd, here):
    class Silent(Services):
        def services(self):
            raise ServiceFailed("systemctl list-unit-files: connection refused")

    with pytest.raises(ApplyFailed, match="cannot tell which services run"):
        carry_out(host(Silent()), [entry(edit(esmtpd, restarts=("smtp",)))], workspace=here)
    assert esmtpd.read_bytes() == OLD


def test_a_service_is_unmasked_and_enabled_before_the_restarts_and_started_after_them(esmtpd, here):
    services = Services(
        service("courier", "scheduler", active=False, enabled=False, masked=True), service("courier-mta", "smtp")
    )
    start = StartService(service="courier", unmask=True, old="masked", new="running")
    outcome = carry_out(host(services), [entry(start, edit(esmtpd, restarts=("smtp",)))], workspace=here)
    assert services.calls == [
        ("unmask", "courier"),
        ("enable", "courier"),
        ("restart", "courier-mta"),
        ("start", "courier"),
    ]
    assert outcome.changes["service courier"] == {"old": "masked", "new": "running"}
    again = carry_out(host(services), [entry(start)], workspace=here)
    assert again.changes == {}


def test_a_masked_service_is_not_started_without_being_asked_to_unmask_it(here):
    services = Services(service("courier", "scheduler", active=False, masked=True))
    outcome = carry_out(host(services), [entry(StartService(service="courier", old="", new=""))], workspace=here)
    assert "masked" in outcome.refused[0]
    assert services.calls == []


def test_a_service_nobody_knows_is_refused(here):
    outcome = carry_out(host(), [entry(StartService(service="courier", old="", new=""))], workspace=here)
    assert outcome.refused == ("service courier: the service manager does not know it",)


def test_a_service_that_counts_as_active_without_a_process_is_restarted(here):
    whole = dataclasses.replace(service("courier", "scheduler", "smtp"), remains=True)
    services = Services(whole)
    carry_out(host(services), [entry(StartService(service="courier", old="no process", new="running"))], workspace=here)
    assert services.calls == [("restart", "courier")]


def test_everything_is_taken_back_if_a_service_that_was_up_is_down_afterwards(esmtpd, here, tmp_path):
    services = Services(service("courier-mta", "smtp"), accepts={"courier-mta": lambda: esmtpd.read_bytes() == OLD})
    esmtpd.parent.chmod(0o755)
    actions = (
        edit(esmtpd, restarts=("smtp",)),
        create(tmp_path / "etc" / "new"),
        SetOwnership(path=str(esmtpd.parent), mode=0o700, old="0755", new="0700"),
    )
    outcome = carry_out(host(services), [entry(*actions, found=wrong_while(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == OLD
    assert not (tmp_path / "etc" / "new").exists()
    assert stat.S_IMODE(esmtpd.parent.stat().st_mode) == 0o755
    assert services.now["courier-mta"].active
    assert services.calls == [("restart", "courier-mta")] * 2
    assert outcome.changes == {} and outcome.findings_after == 1
    assert "courier-mta: was running before and is not now" in outcome.failed
    assert history(here)[0]["state"] == "rolled back"
    assert not leftovers(tmp_path)


def test_a_restart_that_fails_takes_everything_back(esmtpd, here):
    class Stubborn(Services):
        def restart(self, names):
            super().restart(names)
            if esmtpd.read_bytes() == NEW:
                raise ServiceFailed("systemctl restart courier-mta.service: timed out")

    services = Stubborn(service("courier-mta", "smtp"))
    outcome = carry_out(host(services), [entry(edit(esmtpd, restarts=("smtp",)))], workspace=here)
    assert esmtpd.read_bytes() == OLD
    assert "timed out" in outcome.failed and services.now["courier-mta"].active


def test_a_service_that_was_down_already_keeps_the_change(esmtpd, here):
    services = Services(
        service("courier-mta", "smtp"),
        service("courier", "scheduler", active=False, enabled=False),
        accepts={"courier": lambda: False},
    )
    start = StartService(service="courier", old="dead", new="running")
    outcome = carry_out(host(services), [entry(edit(esmtpd, restarts=("smtp",)), start)], workspace=here)
    assert esmtpd.read_bytes() == NEW
    assert [*outcome.changes] == [f"{esmtpd} MAXDAEMONS"]
    assert "courier: started, but does not stay up" in outcome.failed
    assert services.now["courier"].enabled is False
    assert [*history(here)[0]["changes"]] == [f"{esmtpd} MAXDAEMONS"]


def test_a_service_that_cannot_be_enabled_is_given_up_alone(esmtpd, here):
    class Generated(Services):
        def enable(self, name):
            raise ServiceFailed(f"systemctl enable {name}: unit is\n transient or generated.")

    services = Generated(service("courier", "scheduler", active=False, enabled=False))
    start = StartService(service="courier", old="dead", new="running")
    outcome = carry_out(host(services), [entry(edit(esmtpd), start)], workspace=here)
    assert esmtpd.read_bytes() == NEW and not services.now["courier"].active
    assert outcome.failed == "systemctl enable courier: unit is transient or generated"
    assert [*outcome.changes] == [f"{esmtpd} MAXDAEMONS"]


def test_a_failure_between_two_files_takes_the_first_one_back(esmtpd, here, tmp_path, monkeypatch):
    other = tmp_path / "etc" / "imapd"
    other.write_bytes(OLD)
    commit = execution.replace.commit

    def disturbed(staged):
        if staged.replacement.target == str(other):
            other.write_bytes(b"somebody else\n")
        commit(staged)

    monkeypatch.setattr(execution.replace, "commit", disturbed)
    outcome = carry_out(host(), [entry(edit(esmtpd), edit(other))], workspace=here)
    assert (esmtpd.read_bytes(), other.read_bytes()) == (OLD, b"somebody else\n")
    assert outcome.changes == {} and str(other) in outcome.failed
    assert "everything else was taken back" in outcome.failed
    assert not leftovers(tmp_path)


def test_a_disk_that_fills_up_changes_no_file_at_all(esmtpd, here, tmp_path):
    big = tmp_path / "etc" / "big"
    big.write_bytes(OLD)
    grow = EditFile(path=str(big), edit=lambda content: content + 200_000 * b"x", old="small", new="big")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        outcome = carry_out(host(), [entry(edit(esmtpd), grow)], workspace=here)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (esmtpd.read_bytes(), big.read_bytes()) == (OLD, OLD)
    assert outcome.failed.startswith(f"{big}: ")
    assert not leftovers(tmp_path)


def test_a_record_that_cannot_be_begun_stops_the_run(esmtpd, here, tmp_path):
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(ApplyFailed, match="state"):
        carry_out(host(), [entry(edit(esmtpd))], workspace=here)
    assert esmtpd.read_bytes() == OLD


# Owners


def test_a_mode_is_set_and_given_back(esmtpd, here):
    inode = (esmtpd.stat().st_dev, esmtpd.stat().st_ino)
    action = SetOwnership(path=str(esmtpd), mode=0o600, inode=inode, old="0640", new="0600")
    outcome = carry_out(host(), [entry(action)], workspace=here)
    assert stat.S_IMODE(esmtpd.stat().st_mode) == 0o600
    assert carry_out(host(), [entry(action)], workspace=here).changes == {}
    undo(host(), outcome.run, workspace=here)
    assert stat.S_IMODE(esmtpd.stat().st_mode) == 0o640


def test_owner_and_content_of_one_file_change_together(esmtpd, here):
    inode = (esmtpd.stat().st_dev, esmtpd.stat().st_ino)
    mode = SetOwnership(path=str(esmtpd), mode=0o600, inode=inode, old="0640", new="0600")
    outcome = carry_out(host(), [entry(edit(esmtpd), mode)], workspace=here)
    assert (esmtpd.read_bytes(), stat.S_IMODE(esmtpd.stat().st_mode)) == (NEW, 0o600)
    undo(host(), outcome.run, workspace=here)
    assert (esmtpd.read_bytes(), stat.S_IMODE(esmtpd.stat().st_mode)) == (OLD, 0o640)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
        (lambda path: os.link(path.parent / "esmtpd", path), "2 hard links"),
        (lambda path: path.write_bytes(b""), "no longer the one"),
        (lambda path: None, "No such file"),
    ],
)
def test_an_owner_is_never_given_to_something_else(esmtpd, here, make, says):
    path = esmtpd.parent / "thing"
    make(path)
    action = SetOwnership(path=str(path), mode=0o777, inode=(1, 1) if says[0] == "n" else None, old="", new="")
    outcome = carry_out(host(), [entry(action)], workspace=here)
    assert says in outcome.refused[0] and outcome.changes == {}


def test_a_file_whose_names_are_all_known_is_set_once_and_given_back(esmtpd, here):
    second = esmtpd.parent / "second"
    os.link(esmtpd, second)
    both = [SetOwnership(path=str(path), mode=0o600, links=2, old="0640", new="0600") for path in (esmtpd, second)]
    outcome = carry_out(host(), [entry(*both)], workspace=here)
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    assert [*outcome.changes] == [str(esmtpd)]
    os.link(esmtpd, esmtpd.parent / "third")
    assert "3 hard links" in undo(host(), outcome.run, workspace=here).refused[0]
    (esmtpd.parent / "third").unlink()
    undo(host(), outcome.run, workspace=here)
    assert stat.S_IMODE(second.stat().st_mode) == 0o640


@pytest.mark.privileged
def test_an_owner_is_set_and_given_back(esmtpd, here):
    action = SetOwnership(path=str(esmtpd), uid=1, gid=2, old="root:root", new="daemon:bin")
    outcome = carry_out(host(), [entry(action)], workspace=here)
    assert (esmtpd.stat().st_uid, esmtpd.stat().st_gid, stat.S_IMODE(esmtpd.stat().st_mode)) == (1, 2, 0o640)
    undo(host(), outcome.run, workspace=here)
    assert (esmtpd.stat().st_uid, esmtpd.stat().st_gid) == (0, 0)


# Processes


@pytest.fixture
def process():
    """Start a process that may ignore SIGTERM; the action that ends it."""
    started = []

    def start(script: str = "import time; time.sleep(60)", **more) -> EndProcess:
        ready = "print('ready', flush=True);"
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ready + script], stdout=subprocess.PIPE)
        started.append(child)
        child.stdout.readline()
        ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        exe = os.readlink(f"/proc/{child.pid}/exe")
        return EndProcess(pid=child.pid, **{"started": ticks, "exe": exe, "old": "stale", "new": "ended", **more})

    start.children = started
    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_process_is_ended_with_sigterm_and_its_service_restarted(process, here):
    services = Services(service("courier", "scheduler"))
    action = process(restarts=("scheduler",))
    outcome = carry_out(host(services), [entry(action)], workspace=here)
    assert process.children[0].wait(5) == -signal.SIGTERM
    assert outcome.changes == {action.subject: {"old": "stale", "new": "ended"}}
    assert services.calls == [("restart", "courier")]
    assert carry_out(host(), [entry(action)], workspace=here).changes == {}


def test_a_process_that_ignores_sigterm_is_killed_when_its_grace_has_passed(process, here):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    action = process(deaf, grace=0.2)
    process.children[0].stdout.readline()
    carry_out(host(), [entry(action)], workspace=here)
    assert process.children[0].wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("other", [{"started": 1}, {"exe": "/usr/lib/courier/courierd"}])
def test_another_process_with_the_same_pid_is_left_alone(process, here, other):
    outcome = carry_out(host(), [entry(process(**other))], workspace=here)
    assert outcome.changes == {}
    assert process.children[0].poll() is None


def test_undoing_says_that_a_process_cannot_be_brought_back(process, here):
    action = process()
    run = carry_out(host(), [entry(action)], workspace=here).run
    assert "cannot be brought back" in undo(host(), run, workspace=here).comment


@pytest.mark.privileged
def test_a_process_in_a_container_is_left_alone(here):
    with subprocess.Popen(["unshare", "--mount", "sleep", "60"]) as child:
        while "sleep" not in os.readlink(f"/proc/{child.pid}/exe"):
            pass
        ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        exe = os.readlink(f"/proc/{child.pid}/exe")
        action = EndProcess(pid=child.pid, started=ticks, exe=exe, old="stale", new="ended")
        outcome = carry_out(host(), [entry(action)], workspace=here)
        assert child.poll() is None
        assert "container" in outcome.refused[0]
        child.kill()


# The record, and undoing


def test_history_tells_runs_newest_first(esmtpd, here):
    first = carry_out(host(), [entry(edit(esmtpd))], workspace=here)
    second = carry_out(host(), [entry(edit(esmtpd, b"80", b"90"), name="other")], workspace=here)
    told = history(here)
    assert [run["run"] for run in told] == [second.run, first.run]
    assert told[1]["changes"] == {f"{esmtpd} MAXDAEMONS": {"old": "40", "new": "80"}}
    assert (told[1]["issues"], told[1]["state"]) == (["too-few-daemons"], "done")


def test_there_is_no_history_before_the_first_run(here):
    assert history(here) == []


def test_the_record_holds_no_content_and_is_for_its_owner_alone(esmtpd, here):
    esmtpd.write_bytes(b"40 -----BEGIN PRIVATE KEY-----\n")
    outcome = carry_out(host(), [entry(edit(esmtpd))], workspace=here)
    record = Path(here.state_dir) / "runs" / f"{outcome.run}.json"
    assert "PRIVATE" not in record.read_text()
    assert "PRIVATE" not in repr(outcome)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (record, *record.parents[:2])] == [0o600, 0o700, 0o700]


def test_a_damaged_record_is_told_and_stops_nothing(esmtpd, here):
    run = carry_out(host(), [entry(edit(esmtpd))], workspace=here).run
    record = Path(here.state_dir) / "runs" / f"{run}.json"
    whole = json.loads(record.read_text())
    for garbage in (b"{", b"[]", b"\xff", json.dumps({"run": run}).encode()):
        record.write_bytes(garbage)
        assert [told["state"] for told in history(here)] == ["unreadable"]
        with pytest.raises(ApplyFailed, match=str(record)):
            undo(host(), run, workspace=here)
    cut = {**whole, "state": "running", "steps": [{}], "pid_started": 1}
    record.write_text(json.dumps(cut))
    assert carry_out(host(), [entry(edit(esmtpd, b"80", b"90"))], workspace=here).changes
    with pytest.raises(ApplyFailed, match=f"{run}: its record .* is damaged"):
        undo(host(), run, workspace=here)


def test_undo_brings_files_services_and_directories_back(esmtpd, here, tmp_path):
    services = Services(service("courier-mta", "smtp"), service("courier", "scheduler", active=False, enabled=False))
    made = tmp_path / "etc" / "made"
    actions = (
        edit(esmtpd, restarts=("smtp",)),
        edit(esmtpd, b"MAX", b"MIN", setting="PREFIX"),
        MakeDirectory(path=str(made), uid=os.geteuid(), gid=os.getegid(), mode=0o700, old="missing", new="there"),
        create(made / "new"),
        StartService(service="courier", old="dead", new="running"),
    )
    outcome = carry_out(host(services), [entry(*actions)], workspace=here)
    services.calls.clear()
    announced = undo(host(services), outcome.run, workspace=here, test=True)
    assert services.calls == []
    undone = undo(host(services), outcome.run, workspace=here)
    assert esmtpd.read_bytes() == OLD and stat.S_IMODE(esmtpd.stat().st_mode) == 0o640
    assert not made.exists()
    assert services.calls == [("stop", "courier"), ("disable", "courier"), ("restart", "courier-mta")]
    assert undone.changes == announced.changes
    assert undone.changes[str(esmtpd)] == {"old": "80; MIN", "new": "40; MAX"}
    assert [run["state"] for run in history(here)] == ["done", "undone"]
    assert history(here)[0]["undoes"] == outcome.run
    with pytest.raises(ApplyFailed, match=f"undone already by run {undone.run}"):
        undo(host(services), outcome.run, workspace=here)


def test_an_undoing_can_be_undone(esmtpd, here, tmp_path):
    made = tmp_path / "etc" / "made"
    directory = MakeDirectory(
        path=str(made), uid=os.geteuid(), gid=os.getegid(), mode=0o700, old="missing", new="there"
    )
    outcome = carry_out(host(), [entry(edit(esmtpd), directory, create(made / "new"))], workspace=here)
    undone = undo(host(), outcome.run, workspace=here)
    undo(host(), undone.run, workspace=here)
    assert (esmtpd.read_bytes(), (made / "new").read_bytes()) == (NEW, NEW)
    assert [run["state"] for run in history(here)] == ["done", "undone", "done"]


def test_services_that_went_down_along_with_a_stopped_one_are_started_again(here):
    class PartOf(Services):
        """As systemd does with courier.service, which is PartOf courier-mta.service."""

        def stop(self, name):
            super().stop(name)
            if name == "courier-mta":
                self._set("courier", active=False)

    services = PartOf(service("courier-mta", "smtp", active=False), service("courier", "scheduler"))
    start = StartService(service="courier-mta", old="dead", new="running")
    run = carry_out(host(services), [entry(start)], workspace=here).run
    assert undo(host(services), run, workspace=here).failed == ""
    assert not services.now["courier-mta"].active and services.now["courier"].active


def test_undo_leaves_a_file_alone_that_was_changed_since(esmtpd, here, tmp_path):
    other = tmp_path / "etc" / "imapd"
    other.write_bytes(OLD)
    new = tmp_path / "etc" / "new"
    run = carry_out(host(), [entry(edit(esmtpd), edit(other), create(new))], workspace=here).run
    esmtpd.write_bytes(b"by hand\n")
    new.write_bytes(b"by hand\n")
    outcome = undo(host(), run, workspace=here)
    assert (esmtpd.read_bytes(), other.read_bytes(), new.read_bytes()) == (b"by hand\n", OLD, b"by hand\n")
    [backup] = [path for path in backups(tmp_path) if path.name.startswith("esmtpd")]
    assert any(str(esmtpd) in refused and str(backup) in refused for refused in outcome.refused)
    assert any(str(new) in refused for refused in outcome.refused)
    assert history(here)[1]["state"] == "done"


def test_undo_does_not_restore_from_a_damaged_backup(esmtpd, here, tmp_path):
    run = carry_out(host(), [entry(edit(esmtpd))], workspace=here).run
    backups(tmp_path)[0].write_bytes(b"")
    outcome = undo(host(), run, workspace=here)
    assert esmtpd.read_bytes() == NEW
    assert "is not what that run replaced" in outcome.refused[0]


def test_an_undoing_is_taken_back_if_it_takes_a_service_down(esmtpd, here):
    services = Services(service("courier-mta", "smtp"))
    run = carry_out(host(services), [entry(edit(esmtpd, restarts=("smtp",)))], workspace=here).run
    services.accepts = {"courier-mta": lambda: esmtpd.read_bytes() == NEW}
    outcome = undo(host(services), run, workspace=here)
    assert esmtpd.read_bytes() == NEW and services.now["courier-mta"].active
    assert "courier-mta" in outcome.failed
    assert [told["state"] for told in history(here)] == ["rolled back", "done"]


@pytest.mark.parametrize("run", ["20260101T000000Z-00000", "../../etc/passwd", "", None, 7])
def test_an_unknown_run_gets_one_error_that_lists_the_known_ones(esmtpd, here, run):
    known = carry_out(host(), [entry(edit(esmtpd))], workspace=here).run
    with pytest.raises(UnknownRun, match=f"no such run; known are: {known}"):
        undo(host(), run, workspace=here)


def test_what_a_killed_run_has_changed_is_restarted_by_the_next_one(esmtpd, here):
    """The child is killed after the file went live, before anything was restarted."""
    services = Services(service("courier-mta", "smtp"))
    services.restart = lambda names: os.kill(os.getpid(), signal.SIGKILL)
    problem = entry(edit(esmtpd, restarts=("smtp",)), found=wrong_while(esmtpd))
    child = os.fork()
    if not child:
        carry_out(host(services), [problem], workspace=here)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert esmtpd.read_bytes() == NEW
    assert [run["state"] for run in history(here)] == ["interrupted"]
    services = Services(service("courier-mta", "smtp"))
    announced = carry_out(host(services), [problem], workspace=here, test=True)
    assert "Would restart courier-mta." in announced.comment
    outcome = carry_out(host(services), [problem], workspace=here)
    assert services.calls == [("restart", "courier-mta")]
    assert (outcome.changes, outcome.failed) == ({}, "")
    assert carry_out(host(services), [problem], workspace=here).run is None
    assert len(services.calls) == 1
    killed = history(here)[-1]
    undo(host(services), killed["run"], workspace=here)
    assert esmtpd.read_bytes() == OLD


# What goes, links, programs, services that stop


WORDS = {"old": "old", "new": "new"}


def carried(here, *actions, services=None, found=None, **more):
    """Carry actions out; unless told otherwise they are wanted once."""
    looks = iter([[Finding(where="here", detail="wrong")]])
    checked = entry(*actions, found=found or (lambda: next(looks, [])))
    return carry_out(host(services), [checked], workspace=here, **more)


def program(path: Path, script: str, **more) -> RunProgram:
    return RunProgram(command=("/bin/sh", "-euc", script), makes=(str(path),), **WORDS, **more)


def test_a_file_that_goes_is_kept_and_comes_back(here, esmtpd, tmp_path):
    outcome = carried(here, RemoveFile(path=str(esmtpd), **WORDS))
    assert (outcome.failed, outcome.refused, esmtpd.exists()) == ("", (), False)
    assert [copy.read_bytes() for copy in backups(tmp_path)] == [OLD]
    undo(host(), outcome.run, workspace=here)
    assert (esmtpd.read_bytes(), stat.S_IMODE(esmtpd.stat().st_mode)) == (OLD, 0o640)


def test_only_a_file_of_its_own_is_removed(here, esmtpd, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(esmtpd)
    assert "a symbolic link" in carried(here, RemoveFile(path=str(link), **WORDS)).refused[0]
    both = carried(here, edit(esmtpd), RemoveFile(path=str(esmtpd), **WORDS))
    assert "another repair of this run writes it" in both.refused[0]
    assert (link.is_symlink(), esmtpd.read_bytes()) == (True, NEW)


def test_a_link_is_made_and_taken_back_only_if_it_is_still_that_one(here, esmtpd, tmp_path):
    link = tmp_path / "imapd.pem"
    made = MakeLink(path=str(link), target="imapd.pem.mail.example.com", **WORDS)
    outcome = carried(here, made)
    assert os.readlink(link) == "imapd.pem.mail.example.com"
    assert carried(here, made).changes == {}
    assert "something is there already" in carried(here, MakeLink(path=str(esmtpd), target="x", **WORDS)).refused[0]
    link.unlink()
    link.symlink_to("another")
    assert "no longer the link" in undo(host(), outcome.run, workspace=here).refused[0]
    link.unlink()
    link.symlink_to("imapd.pem.mail.example.com")
    undo(host(), outcome.run, workspace=here)
    assert not link.is_symlink()


def test_a_program_runs_when_files_are_in_place_and_before_services_restart(here, esmtpd, tmp_path):
    database = tmp_path / "esmtpd.dat"
    seen = []
    services = Services(
        service("courier-mta", "smtp"),
        accepts={"courier-mta": lambda: not seen.append(database.exists() and database.read_bytes())},
    )
    outcome = carried(
        here, program(database, f"cat {esmtpd} > {database}"), edit(esmtpd, restarts=("smtp",)), services=services
    )
    assert (outcome.failed, seen) == ("", [NEW])
    undo(host(services), outcome.run, workspace=here)
    assert (database.exists(), esmtpd.read_bytes(), seen) == (False, OLD, [NEW, False])


def test_the_same_program_of_two_problems_runs_once_and_not_in_test_mode(here, tmp_path):
    database = tmp_path / "database"
    first = program(database, f"echo run >> {database}")
    assert carried(here, first, test=True).changes == {str(database): {"old": "old", "new": "new"}}
    assert not database.exists()
    carried(here, first, dataclasses.replace(first, restarts=("smtp",)))
    assert database.read_text() == "run\n"


@pytest.mark.parametrize(
    ("script", "said"), [("echo half > {0}; echo bad line >&2; exit 3", "bad line"), ("rm {0}", "has not made")]
)
@pytest.mark.parametrize("replaces", [True, False])
def test_a_program_that_fails_leaves_nothing(here, esmtpd, tmp_path, script, said, replaces):
    database = tmp_path / "database"
    database.write_bytes(OLD)
    database.chmod(0o640)
    script = script.format(database).replace("rm ", "rm -f ")
    outcome = carried(here, edit(esmtpd), program(database, script, replaces=replaces))
    assert said in outcome.failed
    assert (database.read_bytes(), stat.S_IMODE(database.stat().st_mode), esmtpd.read_bytes()) == (OLD, 0o640, OLD)
    assert history(here)[0]["state"] == "rolled back"
    assert not leftovers(tmp_path)


def test_what_a_program_made_is_taken_back_only_if_it_is_still_that(here, tmp_path):
    database = tmp_path / "database"
    database.write_bytes(OLD)
    outcome = carried(here, program(database, f"test ! -e {database}; echo new > {database}", replaces=True))
    assert (outcome.failed, database.read_text()) == ("", "new\n")
    database.write_text("by somebody else")
    assert "was changed since" in undo(host(), outcome.run, workspace=here).refused[0]
    database.write_text("new\n")
    undo(host(), outcome.run, workspace=here)
    assert database.read_bytes() == OLD


def test_repairs_that_want_different_values_of_a_setting_are_not_both_made(here, esmtpd):
    other = edit(esmtpd, old=b"80", new=b"20")
    outcome = carried(here, edit(esmtpd), other, edit(esmtpd, setting="MAXPERIP", new=b"80"))
    assert esmtpd.read_bytes() == NEW
    (refused,) = outcome.refused
    assert "one repair wants 80, another 20" in refused


def test_a_repair_that_is_withheld_does_not_hold_back_another_of_the_same_setting(here, esmtpd):
    outcome = carried(here, edit(esmtpd, new=b"20", allow="fewer"), edit(esmtpd))
    assert (esmtpd.read_bytes(), outcome.refused) == (NEW, ())


def test_repairs_that_leave_each_other_nothing_to_do_are_both_made(here, esmtpd):
    longer = edit(esmtpd, old=b"MAXDAEMONS=80", new=b"MAXDAEMONS=80 # as advised")
    assert not carried(here, edit(esmtpd), longer).refused
    assert b"80 # as advised" in esmtpd.read_bytes()


def test_what_takes_the_place_of_a_file_gets_its_mode(here, tmp_path):
    database = tmp_path / "database"
    database.write_bytes(OLD)
    database.chmod(0o640)
    outcome = carried(here, program(database, f"umask 077; echo new > {database}", replaces=True))
    assert (outcome.failed, stat.S_IMODE(database.stat().st_mode)) == ("", 0o640)
    undo(host(), outcome.run, workspace=here)
    assert (database.read_bytes(), stat.S_IMODE(database.stat().st_mode)) == (OLD, 0o640)


def test_a_program_that_is_not_there_is_refused(here, tmp_path):
    missing = RunProgram(command=(str(tmp_path / "makealiases"),), makes=(str(tmp_path / "aliases.dat"),), **WORDS)
    assert "no such program" in carried(here, missing).refused[0]


def test_a_service_is_stopped_and_disabled_and_comes_back(here):
    services = Services(service("courier-msa", "msa"), service("courier-mta", "smtp"))
    outcome = carried(here, StopService(service="courier-msa", **WORDS), services=services)
    assert (services.now["courier-msa"].active, services.now["courier-msa"].enabled) == (False, False)
    assert services.now["courier-mta"].active
    undo(host(services), outcome.run, workspace=here)
    assert (services.now["courier-msa"].active, services.now["courier-msa"].enabled) == (True, True)


def test_units_are_read_anew_before_they_are_restarted(here, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "_UNITS", str(tmp_path))
    services = Services(service("courier-msa", "msa"))
    outcome = carried(here, create(tmp_path / "pidfile.conf", restarts=("msa",)), services=services)
    assert services.calls == [("reload",), ("restart", "courier-msa")]
    undo(host(services), outcome.run, workspace=here)
    assert services.calls[2:] == [("reload",), ("restart", "courier-msa")]


def test_units_are_read_anew_when_they_are_brought_back(here, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "_UNITS", str(tmp_path))
    monkeypatch.setattr(execution, "SETTLE", 0.1)
    unit = tmp_path / "pidfile.conf"
    services = Services(service("courier-msa", "msa"), accepts={"courier-msa": lambda: not unit.exists()})
    assert carried(here, create(unit, restarts=("msa",)), services=services).failed
    assert services.calls == [("reload",), ("restart", "courier-msa")] * 2
    assert services.now["courier-msa"].active


def test_a_program_that_is_refused_for_one_file_has_taken_none_away(here, esmtpd, tmp_path):
    first, second = tmp_path / "key", tmp_path / "certificate"
    first.write_bytes(OLD)
    second.write_bytes(OLD)
    # The step before changes what the program should replace, as somebody else might.
    meddling = RunProgram(command=("/bin/sh", "-euc", f"echo meanwhile > {second}"), **WORDS)
    both = dataclasses.replace(program(first, "false", replaces=True), makes=(str(first), str(second)))
    outcome = carried(here, meddling, both)
    assert "changed while it was being repaired" in outcome.failed
    assert first.read_bytes() == OLD


def test_a_file_is_for_one_repair_of_a_run_where_a_second_would_not_find_it_as_it_was(here, esmtpd, tmp_path):
    other = {"old": "old", "new": "other"}
    making = dataclasses.replace(program(esmtpd, f"echo made > {esmtpd}", replaces=True), new="made")
    removing = RemoveFile(path=str(esmtpd), old="old", new="gone")
    pairs = [
        (edit(esmtpd), making),
        (making, edit(esmtpd)),
        (making, dataclasses.replace(making, new="other")),
        (removing, edit(esmtpd)),
        (removing, making),
    ]
    for first, second in pairs:
        outcome = carried(here, first, second)
        assert outcome.failed == ""
        assert "another repair of this run writes it" in outcome.refused[0]
        assert len(outcome.changes) == 1
        undo(host(), outcome.run, workspace=here)
        assert esmtpd.read_bytes() == OLD
    link = MakeLink(path=str(tmp_path / "link"), target="x", **WORDS)
    for again in (
        (removing, RemoveFile(path=str(esmtpd), **other)),
        (link, MakeLink(path=str(tmp_path / "link"), target="x", **other)),
    ):
        outcome = carried(here, *again)
        assert (outcome.failed, outcome.refused, len(outcome.changes)) == ("", (), 1)
        undo(host(), outcome.run, workspace=here)
    outcome = carried(here, link, MakeLink(path=str(tmp_path / "link"), target="y", **other))
    assert "links it elsewhere" in outcome.refused[0]


def test_what_takes_the_place_of_a_file_gets_the_mode_that_the_same_run_has_set(here, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(OLD)
    key.chmod(0o644)
    closing = SetOwnership(path=str(key), mode=0o600, **WORDS)
    making = dataclasses.replace(program(key, f"echo new > {key}", replaces=True), new="made")
    for actions in ((closing, making), (making, closing)):
        outcome = carried(here, *actions)
        assert (outcome.failed, key.read_text(), stat.S_IMODE(key.stat().st_mode)) == ("", "new\n", 0o600)
        undo(host(), outcome.run, workspace=here)
        assert (key.read_bytes(), stat.S_IMODE(key.stat().st_mode)) == (OLD, 0o644)
