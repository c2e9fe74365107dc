"""Processes that cannot outlive the test run, together with all they start and mount."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

# The shell is PID 1 of its namespace: when it ends, the kernel kills what is left in there and the mounts go with
# the last process. Its standard input is a pipe that only the test run holds open, so even a SIGKILL of the test
# run ends the shell. (PR_SET_PDEATHSIG would follow the thread that started it, not the process.)
_SCRIPT = """
exec 3<&0 </dev/null
{setup}
"$@" 3<&- &
main=$!
{{ cat <&3 >/dev/null; kill -KILL $main; }} &
wait $main
"""
_NAMESPACES = ("--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc")


def start(
    argv: Sequence[str | Path],
    *,
    output: IO[bytes],
    setup: str = "",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """
    Start ``argv`` in a mount and a PID namespace of its own, after the shell commands ``setup`` ran in there.

    Killing the returned process kills everything.
    """
    return subprocess.Popen(
        ["unshare", *_NAMESPACES, "sh", "-euc", _SCRIPT.format(setup=setup), "tether", *argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill at once what :func:`start` started."""
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()


def children(pid: int) -> list[int]:
    """The processes whose parent is ``pid``; none if it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def name(pid: int) -> str:
    """The process's name as the kernel has it; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
