"""A run that is killed at any of its file-system calls leaves whole files, and the next run works."""

import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import killed_run
import pytest
from killed_run import make_database, plan, prepare, repaired, state, untouched
from workbench import NEW, OLD, Services, backups, host, leftovers, service, workspace

from courierlib.apply import carry_out, history, undo

pytestmark = pytest.mark.privileged

CALLS = (
    "openat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,write,pwrite64,ftruncate,fsync,"
    "chmod,fchmod,fchmodat,chown,fchown,fchownat,fsetxattr,fremovexattr"
)
"""Everything that can change what is on disk; openat only where it creates."""


def strace(directory: Path, what: str, *options: str) -> subprocess.CompletedProcess:
    if not shutil.which("strace"):
        pytest.fail("strace is missing: apt-get install strace", pytrace=False)
    run = (sys.executable, "-I", "-B", killed_run.__file__, str(directory), what)
    trace = ("strace", "-f", "-y", "-e", f"trace={CALLS}", "-o", str(directory / "trace"))
    return subprocess.run([*trace, *options, *run], capture_output=True, text=True)


def calls(directory: Path, begins: str) -> list[tuple[str, int]]:
    """Each call from the first that names ``begins``, as (name, how many-th of that name)."""
    found, counted, begun = [], {}, False
    for line in (directory / "trace").read_text().splitlines():
        if not (call := re.match(r"\d+ +(\w+)\((.*)", line)):
            continue
        name = call[1]
        counted[name] = counted.get(name, 0) + 1
        begun = begun or begins in call[2]
        if begun and (name != "openat" or "O_CREAT" in call[2]):
            found.append((name, counted[name]))
    return found


def fresh(tmp_path: Path, number: int, what: str) -> Path:
    directory = tmp_path / str(number)
    directory.mkdir()
    prepare(directory)
    if what == "undo":
        killed_run.main(directory, "repair")
    return directory


def is_whole(directory: Path) -> None:
    """Every file is the old or the new one, with owner and mode; what is live has a copy of what it has replaced."""
    seen = state(directory)
    for name in ("esmtpd", "imapd"):
        assert seen[name] in ((OLD, 1, 2, 0o640), (NEW, 1, 2, 0o640))
        if seen[name][0] == NEW:
            assert OLD in copies(directory, name)
    assert seen["made"] in (None, (b"", 1, 2, 0o750))
    assert seen["new"] in (None, (NEW, 1, 2, 0o600))
    assert seen["link"] == "etc/esmtpd"
    assert seen["second"] in (None, "etc/imapd")
    for name in ("left", "database"):
        assert (seen[name] or [None])[0] in (OLD, NEW, None)
        assert seen[name] == (OLD, 1, 2, 0o640) or OLD in copies(directory, name)
    for path in backups(directory):
        assert path.name.startswith(".saltext-courier-") or path.read_bytes() in (OLD, NEW)


def copies(directory: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in backups(directory) if path.name.startswith(name)]


def next_run_works(directory: Path) -> None:
    manager = Services(service("courier-mta", "smtp"))
    outcome = carry_out(host(manager, run=make_database), [plan(directory)], workspace=workspace(directory))
    assert (outcome.failed, outcome.refused, outcome.findings_after) == ("", (), 0)
    assert repaired(directory)
    assert not leftovers(directory)


def undoing_works(directory: Path) -> None:
    told = history(workspace(directory))
    if told and told[-1]["state"] == "rolled back":
        assert untouched(directory)
    elif told:
        manager = Services(service("courier-mta", "smtp"))
        outcome = undo(host(manager, run=make_database), told[-1]["run"], workspace=workspace(directory))
        assert outcome.failed == ""
        # Killed before it could note what the program had made, it cannot tell whose that is, and leaves it.
        assert all("database: was changed since" in refused for refused in outcome.refused)
        assert untouched(directory) if not outcome.refused else state(directory)["database"] == (NEW, 1, 2, 0o640)
        assert not leftovers(directory)


def killed_at(tmp_path: Path, what: str, number: int, name: str, nth: int) -> None:
    directory = fresh(tmp_path, number, what)
    strace(directory, what, "-e", f"inject={name}:signal=KILL:when={nth}")
    assert "killed by SIGKILL" in (directory / "trace").read_text()
    is_whole(directory)
    # Both ways on from here are shown, each after every other call.
    if what != "undo" and number % 2:
        undoing_works(directory)
    next_run_works(directory)
    shutil.rmtree(directory)


@pytest.mark.parametrize("what", ["repair", "rollback", "undo"])
def test_killed_at_any_call(tmp_path, what):
    """``rollback`` is killed while it takes a repair back, the other two from their first call on."""
    whole = fresh(tmp_path, 0, what)
    assert strace(whole, what).returncode == 0
    listed = calls(whole, begins=str(whole / "down" if what == "rollback" else whole))
    assert len(listed) > 30
    # Not threads: while one of them starts a process, that process holds the lock of the other for a moment.
    with ProcessPoolExecutor(2) as pool:
        kills = [pool.submit(killed_at, tmp_path, what, n, *call) for n, call in enumerate(listed, start=1)]
        for kill in kills:
            kill.result()
