"""Messages that wait, seen in the queue's files: ``mailq`` lists ``msgs`` alone, and nothing of what is in ``tmp``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from courierlib.host import Host
    from courierlib.tree import FileStat

MAX_FILES = 20_000
"""Files looked at; a larger queue is reported as at least what was seen."""

PURGED_AFTER = 48 * 3600
"""Age in seconds at which courierd deletes what waits below ``tmp``, accepted messages too
(read: courier/cdmsgq.C, msgq::tmpscan, 1.4.1; run: bookworm, trixie, forky)."""

_WITH_COURIERD = frozenset({"authdaemon", "scheduler", "smtp", "msa", "smtps"})
"""On Debian courierd restarts with these: it requires courier-authdaemon, and is part of courier-mta (run: bookworm,
trixie, forky)."""


@dataclass(frozen=True)
class Taken:
    """A message that courierd has taken from ``tmp``.

    Args:
        path: of its envelope, below ``msgs``.
        number: in the envelope's name.
        arrived: seconds since the epoch.
        written: when courierd last wrote to the envelope.
    """

    path: str
    number: int
    arrived: float
    written: float


@dataclass(frozen=True)
class Queue:
    """What waits.

    Args:
        messages: control files below ``tmp`` and ``msgs``; a message with many recipients has several.
        oldest: when the oldest of them arrived, seconds since the epoch; None if nothing waits.
        bounded: the queue is larger than MAX_FILES: ``messages`` is a minimum, ``oldest`` may be older.
        perishable: messages that courierd deletes, undelivered, if it is started within the next hour.
        taken: those in ``msgs``.
    """

    messages: int
    oldest: float | None
    bounded: bool
    perishable: int = 0
    taken: tuple[Taken, ...] = ()


def read(host: Host) -> Queue:
    """Look at the queue.

    A new message lies in ``tmp/N/`` as ``Cid`` (envelope) and ``Did`` (text) until courierd moves both to ``msgs``;
    ``msgq`` has only further links to what is in ``msgs`` (read: courier/cdmsgq.C, courier/libs/comqueuename.c, 1.4.1).

    Raises:
        Unreadable: a directory may not be read.
    """
    seen = messages = perishable = 0
    oldest: float | None = None
    taken: list[Taken] = []
    files = host.once(entries)
    for area, directory, names in _directories(host):
        for control in _controls(area, names):
            if seen >= MAX_FILES:
                return Queue(messages, oldest, True, perishable, tuple(taken))
            seen += 2
            envelope, text = (files.get(f"{directory}/{name}") for name in (control, f"D{control[1:]}"))
            if envelope is None:
                # courierd took it away meanwhile.
                continue
            messages += 1
            # The text is written once; courierd goes on writing to the envelope.
            arrived = min(found.mtime for found in (envelope, text) if found)
            oldest = arrived if oldest is None else min(oldest, arrived)
            if area == "msgs" and control[1:].isdecimal():
                taken.append(Taken(f"{directory}/{control}", int(control[1:]), arrived, envelope.mtime))
            perishable += area == "tmp" and envelope.mtime < time.time() - PURGED_AFTER + 3600
    return Queue(messages, oldest, False, perishable, tuple(taken))


def entries(host: Host) -> Mapping[str, FileStat]:
    """Envelopes and texts below ``tmp`` and ``msgs``, MAX_FILES at most; by path, with what lstat tells of them.

    Raises:
        Unreadable: a directory may not be read.
    """
    paths = (f"{directory}/{name}" for _, directory, names in _directories(host) for name in names if name[0] in "CD")
    stats = ((path, host.stat(path, follow=False)) for path in islice(paths, MAX_FILES))
    # courierd takes messages away meanwhile.
    return {path: found for path, found in stats if found}


def schedule(host: Host) -> Mapping[int, float]:
    """When courierd tries messages next, by the number of the envelope.

    ``msgq/SLOT/Cnumber.time`` are further names of envelopes in ``msgs`` (read: courier/libs/comqueuename.c, 1.4.1).

    Raises:
        Unreadable: a directory may not be read.
    """
    area = f"{host.layout.localstatedir}/msgq"
    times: dict[int, float] = {}
    for slot in host.listdir(area):
        if not slot.isdecimal():
            continue
        for name in host.listdir(f"{area}/{slot}"):
            number, _, due = name[1:].partition(".")
            if name[0] == "C" and number.isdecimal() and due.isdecimal():
                times[int(number)] = max(float(due), times.get(int(number), 0))
    return times


def expires(host: Host, path: str) -> float | None:
    """When a message is returned to its sender, as its envelope says; None if it does not.

    Raises:
        Unreadable: the envelope cannot be read.
    """
    # COMCTLFILE_EXPIRES (read: courier/libs/comctlfile.h, submit2.C, 1.4.1).
    found = re.search(rb"^E([0-9]+)$", host.read(path), re.MULTILINE)
    return float(found[1]) if found else None


def allow_start(queue: Queue) -> str:
    """What the operator must name before courierd is started, or restarted with what requires it; empty if nothing."""
    return "delete-expired-mail" if queue.perishable else ""


def allow_restart(host: Host, roles: Iterable[str]) -> str:
    """What the operator must name before daemons of these roles are restarted; empty if nothing."""
    concerned = "mta" in host.components and not _WITH_COURIERD.isdisjoint(roles)
    return allow_start(host.queue) if concerned else ""


def _directories(host: Host) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for area in ("tmp", "msgs"):
        for name in host.listdir(f"{host.layout.localstatedir}/{area}"):
            directory = f"{host.layout.localstatedir}/{area}/{name}"
            found = host.stat(directory, follow=False)
            # courierd looks at directories of digits below tmp, and at nothing else there.
            if found and found.kind == "dir" and (area == "msgs" or name.isdecimal()):
                yield area, directory, host.listdir(directory)


def _controls(area: str, names: tuple[str, ...]) -> Iterator[str]:
    """Envelopes that courierd would take; ``Cid.1`` marks a message whose submission never ended."""
    present = set(names)
    for name in names:
        first = f"{name.partition('.')[0]}.1"
        if name.startswith("C") and not (area == "tmp" and "." in name and first in present):
            yield name
