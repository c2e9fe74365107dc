"""The service manager: which services run Courier, and how to start, stop and restart them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

ROLES = (
    "authdaemon",
    "scheduler",
    "filter",
    "smtp",
    "msa",
    "smtps",
    "imap",
    "imaps",
    "pop3",
    "pop3s",
)
"""What a service does: ``scheduler`` is courierd, ``smtp`` listens on 25, ``msa`` on 587, ``smtps`` on 465."""

LISTENERS = ROLES[3:]

_PROGRAM_ROLES: Mapping[str, tuple[str, ...]] = {
    "authdaemond": ("authdaemon",),
    "courier-authlib": ("authdaemon",),
    "courier": ("scheduler",),
    "courierfilter": ("filter",),
    "esmtpd": ("smtp",),
    "esmtpd-msa": ("msa",),
    "esmtpd-ssl": ("smtps",),
    "imapd": ("imap",),
    "imapd-ssl": ("imaps",),
    "pop3d": ("pop3",),
    "pop3d-ssl": ("pop3s",),
    # One script starts everything that is configured: upstream's unit and init script
    # (read: courier.service.in, courier.sysvinit.in, 1.4.1).
    "courier.sysvinit": tuple(role for role in ROLES if role != "authdaemon"),
    "courier-imap.sysvinit": ("imap", "imaps", "pop3", "pop3s"),
}

_DEBIAN_SCRIPTS: Mapping[str, str] = {
    "courier-authdaemon": "authdaemond",
    "courier": "courier",
    "courierfilter": "courierfilter",
    "courier-mta": "esmtpd",
    "courier-msa": "esmtpd-msa",
    "courier-mta-ssl": "esmtpd-ssl",
    "courier-imap": "imapd",
    "courier-imap-ssl": "imapd-ssl",
    "courier-pop": "pop3d",
    "courier-pop-ssl": "pop3d-ssl",
}
"""Init scripts and units of Debian's packages, by the program they start (read: debian/*.init, *.service, 1.4.1-3)."""


class ServiceFailed(Exception):
    """The service manager refused or failed; the message names the service, the request and its answer."""


@dataclass(frozen=True)
class Service:
    """One service of the host that runs a part of Courier.

    Args:
        name: as the service manager knows it, without ``.service``.
        roles: what it does, of ROLES.
        active: it counts as running for the service manager.
        state: in the service manager's own words, for instance ``failed``.
        enabled: starts at boot; None where that cannot be told.
        masked: cannot be started by anybody.
        remains: active even without a process (systemd's RemainAfterExit): says nothing about processes.
    """

    name: str
    roles: tuple[str, ...]
    active: bool
    state: str
    enabled: bool | None
    masked: bool = False
    remains: bool = False


@dataclass(frozen=True)
class Completed:
    """A finished command: exit status and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[[Sequence[str]], Completed]
"""Runs a command without a shell, with a time limit."""


class ServiceManager(Protocol):
    """What the audit and the repair ask of a service manager."""

    def services(self) -> tuple[Service, ...]:
        """All services of this host that run a part of Courier."""

    def start(self, name: str) -> None: ...

    def stop(self, name: str) -> None: ...

    def restart(self, names: Sequence[str]) -> None:
        """Restart each of them once, those that depend on one another included."""

    def enable(self, name: str) -> None: ...

    def disable(self, name: str) -> None: ...

    def mask(self, name: str) -> None: ...

    def unmask(self, name: str) -> None: ...

    def reload(self) -> None:
        """Read the definitions of services anew."""


class Systemd:
    """systemd, through systemctl."""

    _PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,RemainAfterExit,ExecStart"

    def __init__(self, run: Run):
        self._run = run

    def services(self) -> tuple[Service, ...]:
        """All loaded or installed units that start a part of Courier, known by the program of their ExecStart.

        Raises:
            ServiceFailed: systemctl failed.
        """
        asked = ("systemctl", "list-unit-files", "--no-legend", "--plain", "--type=service", "courier*", "sqwebmail*")
        done = self._run(asked)
        # No such unit is exit status 1 without a message (run: systemd 252, 257 and 262).
        if done.returncode and (said := done.stderr.strip()):
            raise ServiceFailed(f"systemctl list-unit-files: {said}")
        units = sorted({line.split()[0] for line in done.stdout.splitlines() if line.strip()})
        if not units:
            return ()
        shown = self._systemctl("show", "--property", self._PROPERTIES, *units)
        return tuple(service for block in shown.split("\n\n") if (service := _systemd_service(block)))

    def start(self, name: str) -> None:
        self._forgive()
        self._systemctl("start", f"{name}.service")

    def stop(self, name: str) -> None:
        self._systemctl("stop", f"{name}.service")

    def restart(self, names: Sequence[str]) -> None:
        self._forgive()
        # One transaction: a unit that is PartOf another of them is restarted once, not twice.
        self._systemctl("restart", *(f"{name}.service" for name in names))

    def enable(self, name: str) -> None:
        self._systemctl("enable", f"{name}.service")

    def disable(self, name: str) -> None:
        self._systemctl("disable", f"{name}.service")

    def mask(self, name: str) -> None:
        self._systemctl("mask", f"{name}.service")

    def unmask(self, name: str) -> None:
        self._systemctl("unmask", f"{name}.service")

    def reload(self) -> None:
        self._systemctl("daemon-reload")

    def _forgive(self) -> None:
        """Forget failed starts: after five in ten seconds there is only ``start-limit-hit``, whatever was repaired.

        All of Courier's units, because starting courier-mta starts those it requires (run: trixie, systemd 257).
        """
        self._systemctl("reset-failed", "courier*")

    def _systemctl(self, *arguments: str) -> str:
        done = self._run(("systemctl", *arguments))
        if done.returncode:
            said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
            raise ServiceFailed(f"systemctl {' '.join(arguments)}: {said}")
        return done.stdout


def _systemd_service(block: str) -> Service | None:
    """A unit from the ``systemctl show`` block of its properties; None if it starts nothing of Courier."""
    shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    name = shown.get("Id", "").removesuffix(".service")
    program = re.search(r"argv\[\]=(\S+)", shown.get("ExecStart", ""))
    masked = "masked" in shown.get("LoadState", "") or shown.get("UnitFileState", "").startswith("masked")
    script = program[1].rsplit("/", 1)[-1] if program else ""
    # A masked unit has no ExecStart; its name is all that is left of it.
    roles = _PROGRAM_ROLES.get(script) or (_PROGRAM_ROLES[_DEBIAN_SCRIPTS[name]] if name in _DEBIAN_SCRIPTS else ())
    if not roles or (shown.get("LoadState") == "not-found"):
        return None
    return Service(
        name=name,
        roles=roles,
        active=shown.get("ActiveState") in ("active", "reloading"),
        state=f"{shown.get('ActiveState', '?')} ({shown.get('SubState', '?')})",
        enabled=shown.get("UnitFileState", "").startswith(("enabled", "alias", "linked", "generated", "static")),
        masked=masked,
        remains=shown.get("RemainAfterExit") == "yes",
    )


@dataclass(frozen=True)
class InitScripts:
    """Init scripts, through the functions of a service module such as Salt's.

    Args:
        functions: ``get_all``, ``status``, ``enabled``, ``start``, ``stop``, ``restart``, ``enable``, ``disable``.
    """

    functions: Mapping[str, Callable]

    def services(self) -> tuple[Service, ...]:
        """Every init script of Debian's packages or of upstream that is there."""
        present = set(self.functions["get_all"]())
        found = []
        for name in sorted(present & {*_DEBIAN_SCRIPTS, "courier-imap", "courier-authlib"}):
            # Their own ``status`` says 3, not running, whatever courierd and courierfilter do: the init scripts name no
            # PID file (run: trixie without systemd, 1.4.1).
            daemon = {"courier": "courierd", "courierfilter": "courierfilter"}.get(name)
            active = _has_process(daemon) if daemon else bool(self.functions["status"](name))
            roles = _PROGRAM_ROLES[_DEBIAN_SCRIPTS.get(name, name)]
            enabled = bool(self.functions["enabled"](name))
            found.append(Service(name, roles, active, "running" if active else "stopped", enabled))
        return tuple(found)

    def start(self, name: str) -> None:
        self._call("start", name)

    def stop(self, name: str) -> None:
        self._call("stop", name)

    def restart(self, names: Sequence[str]) -> None:
        for name in names:
            # A restart keeps esmtpd's old settings; only stop and start reads them again (read: esmtpd.in, 1.4.1).
            self._call("stop", name)
            self._call("start", name)

    def enable(self, name: str) -> None:
        self._call("enable", name)

    def disable(self, name: str) -> None:
        self._call("disable", name)

    def mask(self, name: str) -> None:
        raise ServiceFailed(f"{name}: init scripts cannot be masked")

    def unmask(self, name: str) -> None:
        raise ServiceFailed(f"{name}: init scripts cannot be masked")

    def reload(self) -> None:
        """Nothing to do: an init script is read whenever it is called."""

    def _call(self, function: str, name: str) -> None:
        if self.functions[function](name) is False:
            raise ServiceFailed(
                f"service {name} {function}: failed; see the mail log and the output of the init script"
            )


def _has_process(name: str) -> bool:
    """Whether a process of this name runs here, containers not counted."""
    here = os.readlink("/proc/self/ns/mnt")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                if file.read().rstrip("\n") == name[:15] and os.readlink(f"/proc/{pid}/ns/mnt") == here:
                    return True
        except OSError:
            continue  # It ended while it was looked at.
    return False
