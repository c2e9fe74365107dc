"""Ending processes: exactly those that were meant, and no other that has got the same PID since."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack

from courierlib.plan import EndProcess, Refused

KILLED_WITHIN = 5.0
"""Seconds; a process that SIGKILL has not ended by then hangs in the kernel."""


class NotEnded(Exception):
    """A process is still there; the message names it and what to do."""


def present(action: EndProcess) -> bool:
    """Whether that very process still runs.

    Raises:
        Refused: it runs in another PID or mount namespace, in a container for instance: it is somebody else's.
    """
    try:
        with open(f"/proc/{action.pid}/stat", "rb") as file:
            # The name in parentheses may itself contain spaces and parentheses; state is field 3.
            fields = file.read().rpartition(b")")[2].split()
        exe = os.readlink(f"/proc/{action.pid}/exe")
        namespaces = {name: os.readlink(f"/proc/{action.pid}/ns/{name}") for name in ("pid", "mnt")}
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        raise Refused(f"process {action.pid}: may not be looked at; run this as root") from None
    if int(fields[19]) != action.started or exe.removesuffix(" (deleted)") != action.exe.removesuffix(" (deleted)"):
        return False
    if any(os.readlink(f"/proc/self/ns/{name}") != namespace for name, namespace in namespaces.items()):
        raise Refused(f"process {action.pid} {action.exe}: runs in a container of its own; repair that from inside")
    return True


def end(actions: Sequence[EndProcess]) -> None:
    """SIGTERM to all of them, and SIGKILL to those that are still there when their grace has passed.

    Raises:
        NotEnded: the system refused a signal, or a process survives SIGKILL.
        Refused: see ``present``.
    """
    with ExitStack() as stack:
        running: dict[int, EndProcess] = {}
        for action in actions:
            if (descriptor := _open(action)) is not None:
                stack.callback(os.close, descriptor)
                running[descriptor] = action
        for number, seconds in ((signal.SIGTERM, None), (signal.SIGKILL, KILLED_WITHIN)):
            for descriptor, action in running.items():
                _send(descriptor, action, number)
            running = _wait(running, seconds)
        if running:
            names = ", ".join(f"{action.pid} {action.exe}" for action in running.values())
            raise NotEnded(f"process {names}: still there after SIGKILL, so it hangs in the kernel; restart the host")


def _open(action: EndProcess) -> int | None:
    try:
        descriptor = os.pidfd_open(action.pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        raise NotEnded(f"process {action.pid}: {os.strerror(error.errno or 0)}") from None
    # The descriptor stays that of one process: if this is the right one now, no signal can reach another.
    try:
        meant = present(action)
    except Refused:
        os.close(descriptor)
        raise
    if meant:
        return descriptor
    os.close(descriptor)
    return None


def _send(descriptor: int, action: EndProcess, number: int) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    except OSError as error:
        raise NotEnded(
            f"process {action.pid} {action.exe}: {os.strerror(error.errno or 0)}; run this as root"
        ) from None


def _wait(running: dict[int, EndProcess], seconds: float | None) -> dict[int, EndProcess]:
    """Those that are still there when ``seconds`` (each one's grace, if None) have passed."""
    begun = time.monotonic()
    left = dict(running)
    for descriptor, action in running.items():
        rest = begun + (action.grace if seconds is None else seconds) - time.monotonic()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(max(0, rest) * 1000):
            del left[descriptor]
    return left
