"""A host with a spool, services and processes, in a directory: what the checks of the services look at."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from installation import install

from courierlib.host import Host, Process, System
from courierlib.services import Completed, Service, Systemd

COURIER, DAEMON, ALICE = (107, 113), (1, 1), (1000, 113)

SERVICES = tuple(
    Service(name, (role,), active=True, state="active (running)", enabled=True)
    for name, role in {
        "courier-authdaemon": "authdaemon",
        "courier": "scheduler",
        "courierfilter": "filter",
        "courier-mta": "smtp",
        "courier-msa": "msa",
        "courier-mta-ssl": "smtps",
        "courier-imap": "imap",
    }.items()
)

COURIERD = Process(
    pid=112,
    name="courierd",
    exe="/usr/lib/courier/courier/courierd",
    deleted=False,
    uid=0,
    started=4711,
    ppid=1,
    cgroup="/system.slice/courier.service",
    arguments=("/usr/lib/courier/courier/courierd",),
)
ESMTPD = dataclasses.replace(
    COURIERD,
    pid=210,
    name="couriertcpd",
    exe="/usr/sbin/couriertcpd",
    uid=COURIER[0],
    cgroup="/system.slice/courier-mta.service",
    arguments=("/usr/sbin/couriertcpd", "-user=courier", "smtp", "/usr/sbin/courieresmtpd"),
)
IMAPD = dataclasses.replace(
    COURIERD,
    pid=176,
    name="couriertcpd",
    exe="/usr/sbin/couriertcpd",
    cgroup="/system.slice/courier-imap.service",
    arguments=("/usr/sbin/couriertcpd", "143", "/usr/lib/courier/courier/imaplogin", "/usr/bin/imapd", "Maildir"),
)

_SPOOL = {
    "/var/lib/courier": ((0, 0), 0o755),
    "/var/lib/courier/tmp": (COURIER, 0o770),
    "/var/lib/courier/msgs": (COURIER, 0o750),
    "/var/lib/courier/msgq": (COURIER, 0o750),
    "/var/lib/courier/track": (COURIER, 0o750),
    "/var/lib/courier/filters": (COURIER, 0o750),
    "/var/lib/courier/filters/.lock": (COURIER, 0o600),
    "/var/lib/courier/allfilters": (COURIER, 0o750),
    "/run/courier": ((0, COURIER[1]), 0o775),
    "/run/courier/authdaemon": (COURIER, 0o750),
}


def spool_host(
    root: Path,
    owners: Mapping[str, tuple[tuple[int, int], int]] | None = None,
    *,
    services: Sequence[Service] = SERVICES,
    processes: Sequence[Process] = (COURIERD, ESMTPD, IMAPD),
) -> Host:
    """A running Debian host.

    Args:
        owners: ids and mode of paths, over those of a stock host; of queue entries too.
        services: what systemd says.
        processes: what runs.
    """
    _lay_out(root)
    wanted = _SPOOL | _entries(root) | dict(owners or {})
    files = {path: _recorded(root / path[1:], *owner) for path, owner in wanted.items()}
    (root / ".courier-host.json").write_text(json.dumps({"format": 1, "files": files}))
    manager = Systemd(lambda command: Completed(0, "", ""))
    host = Host(str(root), System(run=lambda command: Completed(0, "", ""), services=manager))
    # systemd and processes of other users cannot be had in a directory.
    host.__dict__.update(services=tuple(services), processes=tuple(processes))
    return host


def queue_message(
    root: Path, number: int, age: float = 0, *, area: str = "tmp", name: str = "", text: bool = True
) -> None:
    """Lay a message into the queue as ``submit`` or courierd would.

    Args:
        age: seconds since it arrived.
        name: of the envelope, if it is not ``C`` and the number.
    """
    _lay_out(root)
    directory = root / "var/lib/courier" / area / ("179536" if area == "tmp" else str(number % 100))
    directory.mkdir(parents=True, exist_ok=True)
    names = [name or f"C{number}", *([f"D{number}"] if text else [])]
    for path in (directory / entry for entry in names):
        path.write_text("x\n")
        os.utime(path, (time.time() - age, time.time() - age))
    if area == "msgs":
        slot = root / "var/lib/courier/msgq/179536"
        slot.mkdir(parents=True, exist_ok=True)
        os.link(directory / names[0], slot / f"{names[0]}.1795365921")


def _lay_out(root: Path) -> None:
    if (root / "etc/courier").exists():
        return
    install(root)
    (root / "etc/courier/authdaemonrc").write_text('authmodulelist="authpam"\n')
    for path in _SPOOL:
        real = root / path[1:]
        if path.endswith(".lock"):
            real.touch()
        else:
            real.mkdir(parents=True, exist_ok=True)


def changed(service: str, **more: object) -> tuple[Service, ...]:
    """The services with one of them changed."""
    return tuple(dataclasses.replace(s, **more) if s.name == service else s for s in SERVICES)


def action_facts(actions: object) -> list[SimpleNamespace]:
    """Actions by what a test compares."""
    return [SimpleNamespace(kind=type(action).__name__, **vars(action)) for action in actions]


def _entries(root: Path) -> dict[str, tuple[tuple[int, int], int]]:
    spool = root / "var/lib/courier"
    found = [path for area in ("tmp", "msgs", "msgq") for path in (spool / area).rglob("*")]
    return {f"/{path.relative_to(root)}": (COURIER, 0o770 if path.is_dir() else 0o660) for path in found}


def _recorded(real: Path, ids: tuple[int, int], mode: int) -> dict:
    kind = "dir" if real.is_dir() else "file"
    return {"uid": ids[0], "gid": ids[1], "mode": f"{mode:o}", "kind": kind, "mtime": real.stat().st_mtime, "size": 0}
