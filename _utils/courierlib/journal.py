"""Records of what runs have changed: written before the change, and completed after it.

A record holds paths, hashes, owners, modes, names of backups and states of services; never content.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from typing import Any

from courierlib import replace

Record = dict[str, Any]

_RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{5}")
_LIMIT = 64 << 20
_KEYS = {"run", "started", "pid", "pid_started", "state", "issues", "undone_by", "steps", "reverted", "restarted"}


class Damaged(Exception):
    """A record cannot be read; the message names it."""


def new(state_dir: str, issues: list[str], undoes: str = "") -> Record:
    """A record that is not yet written; its name sorts by time."""
    while True:
        now = time.time_ns()
        seconds, rest = divmod(now, 1_000_000_000)
        run = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)) + f"-{rest * 0x100000 // 1_000_000_000:05x}"
        if not os.path.lexists(_path(state_dir, run)):
            break
    return {
        "run": run,
        "started": now / 1e9,
        "pid": os.getpid(),
        "pid_started": _started(os.getpid()),
        "state": "running",
        "issues": issues,
        "undoes": undoes,
        "undone_by": "",
        "steps": [],
        "reverted": [],
        "restarted": False,
        "failed": "",
    }


def is_run(name: object) -> bool:
    """Whether this can be the name of a run at all."""
    return isinstance(name, str) and _RUN.fullmatch(name) is not None


def state(record: Record) -> str:
    """``running``, ``done``, ``interrupted``, ``rolled back`` or ``undone``."""
    if record["state"] == "running" and _started(record["pid"]) != record["pid_started"]:
        return "interrupted"
    return record["state"]


def write(state_dir: str, record: Record) -> None:
    """Write a record, onto the disk.

    Raises:
        NotWritten: the system refused.
    """
    replace.make_private(state_dir)
    replace.make_private(_runs(state_dir))
    content = json.dumps(record, indent=1).encode()
    replace.write_private(_path(state_dir, record["run"]), content, f"{replace.MARK}{record['run']}")


def read(state_dir: str, run: str) -> Record:
    """One record.

    Raises:
        FileNotFoundError: there is no such run.
        Damaged: it cannot be read.
    """
    path = _path(state_dir, run)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            record = json.loads(file.read(_LIMIT))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not a record of a run"
        raise Damaged(f"{path}: {reason}") from None
    if not isinstance(record, dict) or _KEYS - record.keys():
        raise Damaged(f"{path}: not a record of a run")
    return record


def runs(state_dir: str) -> list[str]:
    """Names of all runs, newest first.

    Raises:
        Damaged: the directory cannot be read.
    """
    try:
        names = os.listdir(_runs(state_dir))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Damaged(f"{_runs(state_dir)}: {os.strerror(error.errno or 0)}") from None
    return sorted((name[:-5] for name in names if name.endswith(".json") and is_run(name[:-5])), reverse=True)


def discard_leftovers(state_dir: str) -> None:
    """Remove half-written records that a killed run has left; nobody may be writing.

    Raises:
        NotWritten: the system refused.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(_runs(state_dir)):
            replace.discard(os.path.join(_runs(state_dir), "_"), name)


def _runs(state_dir: str) -> str:
    return os.path.join(state_dir, "runs")


def _path(state_dir: str, run: str) -> str:
    return os.path.join(_runs(state_dir), f"{run}.json")


def _started(pid: int) -> int:
    """Start time in clock ticks since boot, which tells a process from a later one with its PID; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
