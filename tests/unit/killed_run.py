"""A run to be killed: ``killed_run.py DIRECTORY repair|rollback|undo``; what it repairs is in ``plan``."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "_utils")]

from workbench import NEW, OLD, Services, entry, host, service, workspace  # noqa: E402

from courierlib import execution  # noqa: E402
from courierlib.apply import carry_out, history, undo  # noqa: E402
from courierlib.issue import Finding  # noqa: E402
from courierlib.plan import (  # noqa: E402
    EditFile,
    MakeDirectory,
    MakeLink,
    NewFile,
    RemoveFile,
    RunProgram,
    SetOwnership,
)
from courierlib.services import Completed  # noqa: E402

execution.SETTLE = execution.STEADY = 0.0


def prepare(directory: Path) -> None:
    """The files as they are before the repair."""
    (directory / "etc").mkdir()
    for name in ("esmtpd", "imapd"):
        (directory / "etc" / name).write_bytes(OLD)
        (directory / "etc" / name).chmod(0o640)
        os.chown(directory / "etc" / name, 1, 2)
    for name in ("left", "database"):
        (directory / name).write_bytes(OLD)
        (directory / name).chmod(0o640)
        os.chown(directory / name, 1, 2)
    (directory / "link").symlink_to("etc/esmtpd")


def make_database(command) -> Completed:
    """A program that refuses to write over a file, in this process, so that it is killed with it."""
    database = Path(command[1])
    if database.exists():
        return Completed(1, "", f"{database} already exists")
    new = database.with_suffix(".tmp")
    new.write_bytes(NEW)
    new.chmod(0o640)
    os.chown(new, 1, 2)
    new.rename(database)
    return Completed(0, "", "")


def plan(directory: Path):
    """Two files, one of them behind a link, a new file in a new directory, a mode, a file that goes, a new link, and a
    file that a program makes."""

    def more(content):
        return content.replace(OLD, NEW)

    made, database = directory / "made", str(directory / "database")
    words = {"old": "old", "new": "new"}
    actions = (
        EditFile(path=str(directory / "link"), edit=more, restarts=("smtp",), **words),
        EditFile(path=str(directory / "etc" / "imapd"), edit=more, **words),
        SetOwnership(path=str(directory / "etc"), uid=1, mode=0o750, **words),
        MakeDirectory(path=str(made), uid=1, gid=2, mode=0o750, **words),
        EditFile(path=str(made / "new"), edit=lambda _: NEW, new_file=NewFile("daemon", "bin", 0o600), **words),
        RemoveFile(path=str(directory / "left"), **words),
        MakeLink(path=str(directory / "second"), target="etc/imapd", **words),
        RunProgram(command=("/bin/true", database), makes=(database,), replaces=True, **words),
    )
    return entry(*actions, found=lambda: [] if repaired(directory) else [Finding(where="here", detail="wrong")])


def repaired(directory: Path) -> bool:
    return state(directory) == {
        "esmtpd": (NEW, 1, 2, 0o640),
        "imapd": (NEW, 1, 2, 0o640),
        "etc": (b"", 1, 0, 0o750),
        "made": (b"", 1, 2, 0o750),
        "new": (NEW, 1, 2, 0o600),
        "left": None,
        "database": (NEW, 1, 2, 0o640),
        "link": "etc/esmtpd",
        "second": "etc/imapd",
    }


def untouched(directory: Path) -> bool:
    return state(directory) == {
        "esmtpd": (OLD, 1, 2, 0o640),
        "imapd": (OLD, 1, 2, 0o640),
        "etc": (b"", 0, 0, 0o755),
        "made": None,
        "new": None,
        "left": (OLD, 1, 2, 0o640),
        "database": (OLD, 1, 2, 0o640),
        "link": "etc/esmtpd",
        "second": None,
    }


def state(directory: Path) -> dict:
    """Content, owner, group and mode of everything that the plan touches."""
    files = {name: directory / "etc" / name for name in ("esmtpd", "imapd")}
    files |= {"etc": directory / "etc", "made": directory / "made", "new": directory / "made" / "new"}
    files |= {name: directory / name for name in ("left", "database")}
    seen: dict = {name: _look(path) for name, path in files.items()}
    links = {name: directory / name for name in ("link", "second")}
    return seen | {name: os.readlink(path) if path.is_symlink() else None for name, path in links.items()}


def _look(path: Path):
    if not path.exists():
        return None
    status = path.lstat()
    return path.read_bytes() if path.is_file() else b"", status.st_uid, status.st_gid, status.st_mode & 0o7777


def main(directory: Path, what: str) -> None:
    here = workspace(directory)

    def comes_up() -> bool:
        (directory / "down").touch()
        return what == "repair" or (directory / "etc" / "esmtpd").read_bytes() == OLD

    services = Services(service("courier-mta", "smtp"), accepts={} if what == "undo" else {"courier-mta": comes_up})
    if what == "undo":
        undo(host(services, run=make_database), history(here)[-1]["run"], workspace=here)
    else:
        carry_out(host(services, run=make_database), [plan(directory)], workspace=here)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
