"""
Real Debian machines with Courier, for tests that break, observe and repair them.

``python tests/hosts/lab.py prepare [root…]`` installs what is needed and builds the base roots;
``python tests/hosts/lab.py shell [root]`` boots a machine and opens a shell in it. Both need root.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nameserver
import roots
from machine import BOB, BOB_PASSWORD, BRIDGE, BRIDGE_ADDRESS, Answer, CommandFailed, Handshake, Machine, Salt, discard
from roots import ALICE, ALICE_PASSWORD, NAMES, SUITES, Base, LabError, prepare
from saltmaster import Master

__all__ = [
    "ALICE",
    "ALICE_PASSWORD",
    "Answer",
    "BOB",
    "BOB_PASSWORD",
    "Base",
    "CommandFailed",
    "Handshake",
    "Lab",
    "LabError",
    "Machine",
    "Master",
    "NAMES",
    "SUITES",
    "prepare",
]

_STATE = Path("/run/courier-lab")
_NUMBERS = range(11, 250)


class Lab:
    """
    The bridge, the addresses and what all machines of one test run share; a context manager.

    ``repository``, by default the one this file is in, is mounted read-only in every machine. ``venv`` is the
    environment that contains Salt: by default ``$COURIER_LAB_VENV``, else the one that runs this. ``constraints``
    is a pip constraints file, read only where Salt must be installed in the machine's root instead.
    """

    def __init__(
        self,
        *,
        repository: Path | None = None,
        venv: Path | None = None,
        constraints: Path | None = None,
    ) -> None:
        self.repository = repository or Path(__file__).resolve().parents[2]
        self.venv = venv or Path(os.environ.get("COURIER_LAB_VENV", sys.prefix))
        self.constraints = constraints
        self._held = ExitStack()

    def __enter__(self) -> Lab:
        if os.geteuid() != 0:
            raise LabError("booting machines needs root: run the tests in tests/hosts as root")
        roots.install_tools()
        _STATE.mkdir(exist_ok=True)
        self._bridge = self._held.enter_context((_STATE / "bridge").open("w"))
        fcntl.flock(self._bridge, fcntl.LOCK_SH)
        _sweep()
        _raise_bridge()
        self._nameserver = nameserver.serve(BRIDGE_ADDRESS)
        return self

    def __exit__(self, *_: object) -> None:
        nameserver.close(self._nameserver)
        try:
            # Refused while another test run holds it: then the bridge is still in use.
            fcntl.flock(self._bridge, fcntl.LOCK_EX | fcntl.LOCK_NB)
            subprocess.run(["ip", "link", "delete", BRIDGE], check=False, stderr=subprocess.DEVNULL)
        except BlockingIOError:
            pass
        self._held.close()

    @contextmanager
    def machine(self, base: str = "trixie", *, name: str = "", packages: Sequence[str] = ()) -> Iterator[Machine]:
        """
        A booted, ready machine for the length of the ``with`` block.

        ``base`` is one of NAMES, built now if need be; ``packages`` are Debian packages it has on top. The name is
        its host name and its minion's id.
        """
        below = roots.base(base)
        if packages:
            below = roots.with_packages(below, packages)
        below, salt = self._salt(below)
        with _claim() as number:
            directory = roots.cache() / "machines" / str(number)
            with Machine(below, name or f"mx{number}", number, directory, self.repository, salt) as machine:
                yield machine

    @contextmanager
    def master(self, *, file_roots: Sequence[Path] = (), settings: dict[str, Any] | None = None) -> Iterator[Master]:
        """
        A running Salt master for the length of the ``with`` block.

        It serves ``file_roots``, by default the repository; ``settings`` are further master settings.
        """
        roots_served = file_roots or (self.repository,)
        with _claim() as number:
            directory = _STATE / f"master-{number}"
            with Master(directory, roots_served, venv=self.venv, settings=settings) as running:
                yield running

    def _salt(self, below: Base) -> tuple[Base, Salt]:
        """Lend the machine this interpreter and its Salt, or install Salt where the interpreter is the system's."""
        interpreter = (self.venv / "bin/python").resolve()
        prefix = interpreter.parents[1]
        if prefix.is_relative_to("/usr"):
            version = subprocess.run(
                [self.venv / "bin/python", "-c", "import salt.version; print(salt.version.__version__)"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            return roots.with_salt(below, version, self.constraints), Salt(Path("/opt/salt"))
        return below, Salt(self.venv, tuple(dict.fromkeys((prefix, self.venv))))


@contextmanager
def _claim() -> Iterator[int]:
    """A number no other machine or master has, in this test run or in another."""
    for number in _NUMBERS:
        with _held(number) as held:
            if held:
                yield number
                return
    raise LabError("no free address on the bridge: too many machines")


@contextmanager
def _held(number: int) -> Iterator[bool]:
    """Whether we hold ``number`` within the block; the kernel lets go of it when the test run dies."""
    with (_STATE / str(number)).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _sweep() -> None:
    """Remove the files of test runs that were killed; their processes and mounts ended with them."""
    machines = roots.cache() / "machines"
    machines.mkdir(parents=True, exist_ok=True)
    for directory in (*machines.iterdir(), *_STATE.glob("master-*")):
        number = int(directory.name.removeprefix("master-"))
        with _held(number) as held:
            if held:
                discard(directory, number)


def _raise_bridge() -> None:
    # Both fail, and may, where another test run has raised it already.
    for arguments in (
        ["link", "add", BRIDGE, "type", "bridge"],
        ["addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE],
    ):
        subprocess.run(["ip", *arguments], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare").add_argument("root", nargs="*", metavar="|".join(NAMES))
    commands.add_parser("shell").add_argument("root", nargs="?", choices=NAMES, default="trixie")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("building and booting machines needs root")
    if arguments.command == "prepare":
        for name, base in prepare(arguments.root or NAMES).items():
            print(name, *base.layers)
        return
    with Lab() as lab, lab.machine(arguments.root) as machine:
        subprocess.run(["nsenter", "-t", str(machine.pid), "-a", "/bin/sh", "-l"], check=False)


if __name__ == "__main__":
    try:
        _main()
    except LabError as error:
        sys.exit(str(error))
