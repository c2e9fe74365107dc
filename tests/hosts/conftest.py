"""Fixtures that boot real machines. They fail, and do not skip, where machines cannot be had."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fleet import Managed
from lab import NAMES, SUITES, Lab, Machine, Master, prepare


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hosts-all",
        action="store_true",
        help="run the tests that take a `release` on every Debian release, not on trixie alone",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "release" in metafunc.fixturenames:
        every = metafunc.config.getoption("--hosts-all", default=False)
        metafunc.parametrize("release", SUITES if every else ["trixie"])


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Tools, base roots and bridge."""
    if os.geteuid() != 0:
        pytest.fail("tests/hosts boots machines and needs root: run it with sudo", pytrace=False)
    prepare(NAMES)
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture
def machine_of(lab: Lab) -> Iterator[Callable[..., Machine]]:
    """``machine_of("trixie")`` boots a machine that lives as long as the test; arguments as for Lab.machine."""
    with ExitStack() as machines:
        yield lambda base="trixie", **options: machines.enter_context(lab.machine(base, **options))


@pytest.fixture(scope="session")
def master(lab: Lab) -> Iterator[Master]:
    """A Salt master serving the repository, and what a test writes into ``master.states`` and ``master.pillar``."""
    with lab.master() as running:
        yield running


@pytest.fixture
def managed(machine_of: Callable[..., Machine], master: Master) -> Callable[..., Managed]:
    """``managed("trixie")`` boots a machine whose minion answers the master and has synced the repository's modules."""

    def managed(base: str = "trixie", **options: object) -> Managed:
        machine = machine_of(base, **options)
        machine.start_minion(master)
        master.salt(machine.name, "saltutil.sync_all")
        return Managed(machine, master)

    return managed
