"""A host to repair: real files below a directory, and services that read their files when they start."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from courierlib.apply import Workspace
from courierlib.catalogue import Entry
from courierlib.issue import Affects, Finding, Issue, Severity
from courierlib.plan import Action
from courierlib.services import Completed, Service, ServiceFailed

OLD, NEW = b"MAXDAEMONS=40\n", b"MAXDAEMONS=80\n"


class Services:
    """A service manager whose services go down when what they read at a start is not to their taste.

    Args:
        services: by name.
        accepts: for names of services, whether they would come up now.
    """

    def __init__(self, *services: Service, accepts: Mapping[str, Callable[[], bool]] | None = None):
        self.now = {service.name: service for service in services}
        self.accepts = accepts or {}
        self.calls: list[tuple[str, ...]] = []

    def services(self) -> tuple[Service, ...]:
        return tuple(self.now.values())

    def start(self, name: str) -> None:
        self.calls.append(("start", name))
        if self.now[name].masked:
            raise ServiceFailed(f"systemctl start {name}: unit is masked")
        self._set(name, active=self.accepts.get(name, lambda: True)())

    def stop(self, name: str) -> None:
        self.calls.append(("stop", name))
        self._set(name, active=False)

    def restart(self, names: Sequence[str]) -> None:
        self.calls.append(("restart", *names))
        for name in names:
            self._set(name, active=self.accepts.get(name, lambda: True)())

    def enable(self, name: str) -> None:
        self.calls.append(("enable", name))
        self._set(name, enabled=True)

    def disable(self, name: str) -> None:
        self.calls.append(("disable", name))
        self._set(name, enabled=False)

    def mask(self, name: str) -> None:
        self.calls.append(("mask", name))
        self._set(name, masked=True)

    def unmask(self, name: str) -> None:
        self.calls.append(("unmask", name))
        self._set(name, masked=False)

    def reload(self) -> None:
        self.calls.append(("reload",))

    def _set(self, name: str, **condition: bool) -> None:
        self.now[name] = dataclasses.replace(self.now[name], **condition)


def service(name: str, *roles: str, active: bool = True, enabled: bool = True, masked: bool = False) -> Service:
    return Service(name, roles, active, "running" if active else "dead", enabled, masked)


def run(command: Sequence[str]) -> Completed:
    """A real program, without a shell."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Completed(done.returncode, done.stdout, done.stderr)


def host(
    services: Services | None = None, root: str = "/", run: Callable[[Sequence[str]], Completed] = run
) -> Callable[[], SimpleNamespace]:
    system = SimpleNamespace(services=services or Services(), run=run)
    return lambda: SimpleNamespace(root=root, installed=True, system=system if root == "/" else None)


def entry(
    *actions: Action,
    found: Callable[[], Iterable[Finding]] = lambda: [Finding(where="here", detail="wrong")],
    fix: Callable | None = None,
    name: str = "too-few-daemons",
    **more: object,
) -> Entry:
    """A known problem whose fix asks for the given actions."""
    issue = Issue(id=name, component="mta", severity=Severity.LOW, affects=Affects(), interrupts="", known=(), **more)

    def asks(host, findings):
        yield from actions

    return Entry(issue, name, "", lambda host: found(), fix or asks, f"{name}.py")


def workspace(directory: Path) -> Workspace:
    return Workspace(str(directory / "file_backup"), str(directory / "state"), str(directory / "lock"))


def leftovers(directory: Path) -> list[str]:
    """Temporary files anywhere below the directory."""
    return [str(path) for path in directory.rglob(".saltext-courier-*")]


def backups(directory: Path) -> list[Path]:
    return [path for path in (directory / "file_backup").rglob("*") if path.is_file()]
