"""Fixtures that boot real machines. They fail, and do not skip, where machines cannot be had."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_utils"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "kb"))

from fleet import Managed
from lab import NAMES, SUITES, Lab, Machine, Master, prepare
from machine import REPOSITORY
from roots import OPENSSL

from courierlib import catalogue
from courierlib.issue import Affects
from pages import results
from pages.versions import RELEASES, key


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hosts-all",
        action="store_true",
        help="run the tests that take a `release` on every Debian release, not on trixie alone, those that show an "
        "issue on every kind of host, and keep what they show in tests/hosts/results",
    )


_OUTCOME = pytest.StashKey[bool]()
_RESULTS = pytest.StashKey[dict]()
"""What was shown and recorded: by path of the file that keeps it, and by issue or state."""


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
    # Test runs side by side write to the same files.
    with _locked(results.RESULTS):
        for path, shown in session.config.stash[_RESULTS].items():
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps(kept | shown, indent=1, sort_keys=True) + "\n")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


Keep = Callable[[Path, str, dict], None]


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Iterator[Keep]:
    """``keep(path, key, facts)`` puts facts into a file of results, if the test passes."""
    noted: list[tuple[Path, str, dict]] = []
    yield lambda path, key, facts: noted.append((path, key, facts))
    if request.node.stash.get(_OUTCOME, False):
        for path, key, facts in noted:
            request.config.stash[_RESULTS].setdefault(path, {})[key] = facts


def _host_facts(machine: Machine, issue: str) -> dict[str, str]:
    report = machine.salt_call("courier.info").value
    return {"courier": report["version"], "tls": report["tls"], "fingerprint": results.issue_fingerprint(issue)}


@pytest.fixture
def shown(request: pytest.FixtureRequest, keep: Keep) -> Callable[[str, str, Machine], None]:
    """
    ``shown(issue, outcome, machine)`` notes what a test proves, and is kept if the test passes.

    ``outcome`` is ``repaired`` (it occurs here, was found, repaired, and gone), ``found`` (it occurs and is found, and
    nothing repairs it) or ``cannot occur`` (the same breakage was made here, and mail and TLS still worked).
    """

    def note(issue: str, outcome: str, machine: Machine) -> None:
        if outcome not in ("repaired", "found", "cannot occur"):
            raise ValueError(f"outcome {outcome!r}")
        facts = _host_facts(machine, issue) | {"outcome": outcome, "test": request.node.name}
        keep(results.RESULTS / f"{machine.base.name}.json", issue, facts)

    return note


def _recording_base(affects: Affects) -> str:
    if affects.tls == "openssl":
        return OPENSSL
    courier = {release.codename: key(release.courier) for release in RELEASES}
    since, until = key(affects.since or "0"), key(affects.until or "999")
    return next((name for name in ("trixie", "forky", "bookworm") if since <= courier[name] < until), "trixie")


@pytest.fixture
def recorded(request: pytest.FixtureRequest, keep: Keep) -> Callable[..., None]:
    """
    ``recorded(issue, state, machine, *choices)`` keeps what the issue's article shows of a machine, if the test passes.

    ``base`` is for an issue that no host of the usual kind is without.

    ``state`` is ``healthy`` or ``broken``; ``choices`` are words such as ``strategy=maildir`` for the announced repair
    of the broken one. Only ``--hosts-all`` records, and each issue on one kind of host: Debian 13 where it can occur
    there, else the same with OpenSSL, or the Debian whose Courier can have it.
    """

    def record(issue: str, state: str, machine: Machine, *choices: str, base: str = "") -> None:
        if state not in ("healthy", "broken"):
            raise ValueError(f"state {state!r}")
        entry = catalogue.load()[issue]
        base = base or _recording_base(entry.issue.affects)
        if machine.base.name != base or not request.config.getoption("--hosts-all"):
            return
        salt = [f"salt-call courier.check {issue}"]
        if state == "broken" and entry.fixed_by:
            salt.append(" ".join(["salt-call", entry.fixed_by, *choices, "test=True"]))
        facts = _host_facts(machine, issue) | {
            "base": base,
            "salt": [{"command": command, "text": machine.salt_shown(command)} for command in salt],
            "shell": [{"command": command, "text": machine.shell_shown(command)} for command in entry.issue.look],
        }
        for trace in (machine.salt.venv, machine.repository, REPOSITORY):
            assert str(trace) not in json.dumps(facts), f"{trace} is not on an administrator's host"
        keep(results.RESULTS / "outputs" / f"{issue}.json", state, facts)

    return record


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "release" in metafunc.fixturenames:
        every = NAMES if "shown" in metafunc.fixturenames else SUITES
        metafunc.parametrize(
            "release", every if metafunc.config.getoption("--hosts-all", default=False) else ["trixie"]
        )


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
    for name in ("_beacons", "_modules", "_output", "_states", "_utils", "courier"):
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


@pytest.fixture(scope="module")
def _shared() -> Iterator[dict[str, tuple[ExitStack, Managed]]]:
    machines: dict[str, tuple[ExitStack, Managed]] = {}
    yield machines
    for life, _ in machines.values():
        life.close()


@pytest.fixture
def shared(
    request: pytest.FixtureRequest,
    _shared: dict[str, tuple[ExitStack, Managed]],
    lab: Lab,
    master: Master,
) -> Iterator[Callable[[str], Managed]]:
    """
    ``shared("trixie")`` is the managed machine that all tests of a module have together; each leaves it as it was.

    A test that fails takes its machine with it, and the next one gets a fresh machine.
    """
    used: set[str] = set()

    def shared(base: str = "trixie") -> Managed:
        used.add(base)
        if base not in _shared:
            life = ExitStack()
            machine = life.enter_context(lab.machine(base))
            _shared[base] = life, Managed(machine, master)
            machine.start_minion(master)
            master.salt(machine.name, "saltutil.sync_all")
        return _shared[base][1]

    yield shared
    if not request.node.stash.get(_OUTCOME, False):
        for base in used & _shared.keys():
            _shared.pop(base)[0].close()
