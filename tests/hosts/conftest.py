"""Fixtures that boot real machines. They fail, and do not skip, where machines cannot be had."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_utils"))

from fleet import Managed
from lab import NAMES, SUITES, Lab, Machine, Master, prepare


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hosts-all",
        action="store_true",
        help="run the tests that take a `release` on every Debian release, not on trixie alone",
    )


RESULTS = Path(__file__).resolve().parent / "results"
_OUTCOME = pytest.StashKey[bool]()
_RESULTS = pytest.StashKey[dict]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:
    report = yield
    if report.when == "call":
        item.stash[_OUTCOME] = report.passed
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """``--hosts-all`` writes what was shown on which host; a partial run keeps the results of the other tests."""
    if not session.config.getoption("--hosts-all", default=False):
        return
    for base, shown in session.config.stash[_RESULTS].items():
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{base}.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(kept | shown, indent=1, sort_keys=True) + "\n")


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str, Machine], None]]:
    """
    ``shown(issue, outcome, machine)`` notes what a test proves, and is kept if the test passes.

    ``outcome`` is ``repaired`` (it occurs here, was found, repaired, and gone), ``found`` (it occurs and is found, and
    nothing repairs it) or ``cannot occur`` (the same breakage was made here, and mail and TLS still worked).
    """
    noted: list[tuple[str, str, dict[str, str]]] = []

    def note(issue: str, outcome: str, machine: Machine) -> None:
        if outcome not in ("repaired", "found", "cannot occur"):
            raise ValueError(f"outcome {outcome!r}")
        report = machine.salt_call("courier.info").value
        facts = {"courier": report["version"], "tls": report["tls"], "outcome": outcome, "test": request.node.name}
        noted.append((machine.base.name, issue, facts))

    yield note
    if request.node.stash.get(_OUTCOME, False):
        for base, issue, facts in noted:
            request.config.stash[_RESULTS].setdefault(base, {})[issue] = facts


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
def master(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A Salt master serving what is shipped, and what a test writes into ``master.states`` and ``master.pillar``."""
    # Not the repository itself: the environments that make has put there are ten thousands of files to walk.
    served = tmp_path_factory.mktemp("served")
    for name in ("_modules", "_output", "_states", "_utils", "courier"):
        (served / name).symlink_to(lab.repository / name)
    with lab.master(file_roots=[served]) as running:
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
