"""The beacon on booted hosts: a problem is made, the master hears of it once, and its reactor says what to change."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tether
from lab import ALICE, Lab, Machine, Master
from machine import REPOSITORY
from test_delivery import CAROL

from courierlib.settings import assign

INTERVAL = 4
ISSUE = "maildrop-home-directory"


@dataclass(frozen=True)
class Bus:
    """What has been on the master's event bus since it was opened."""

    path: Path

    def events(self, part: str, **data: Any) -> list[tuple[str, dict[str, Any]]]:
        """Tag and data of those that have ``part`` in their tag, and all of ``data``."""
        # The last line may be incomplete.
        lines = self.path.read_text().split("\n")[:-1]
        split = (line.partition("\t") for line in lines if "\t" in line)
        found = [(tag, json.loads(text)) for tag, _, text in split if part in tag]
        return [(tag, event) for tag, event in found if all(event.get(key) == value for key, value in data.items())]

    def wait(self, part: str, count: int = 1, **data: Any) -> list[tuple[str, dict[str, Any]]]:
        deadline = time.monotonic() + 60
        while len(found := self.events(part, **data)) < count:
            assert time.monotonic() < deadline, f"{part}: {len(found)} of {count} events\n{self.path.read_text()}"
            time.sleep(0.2)
        return found


@contextmanager
def listening(master: Master, path: Path) -> Iterator[Bus]:
    command = [str(master.venv / "bin/python"), str(master.venv / "bin/salt-run"), "-c", str(master.directory)]
    with path.open("wb") as output:
        process = tether.start([*command, "state.event", "salt/*", "count=-1", "quiet=False"], output=output)
    try:
        bus = Bus(path)
        deadline = time.monotonic() + 60
        while not bus.events("test/heard"):
            assert time.monotonic() < deadline, path.read_text()
            subprocess.run([*command, "event.send", "salt/test/heard"], check=True, capture_output=True, timeout=60)
        yield bus
    finally:
        tether.end(process)


@pytest.fixture
def served(lab: Lab, tmp_path: Path) -> Path:
    served = tmp_path / "served"
    served.mkdir()
    for name in ("_beacons", "_modules", "_states", "_utils", "courier", "examples"):
        (served / name).symlink_to(lab.repository / name)
    return served


@pytest.fixture
def reacting(lab: Lab, served: Path) -> Iterator[Master]:
    """A master with the configuration of examples/reactor."""
    import yaml

    settings = yaml.safe_load((lab.repository / "examples/reactor/master.conf").read_text())
    with lab.master(file_roots=[served], settings=settings) as master:
        yield master


def watched(machine: Machine, master: Master, **settings: object) -> None:
    """Start a minion that has the beacon, and wait until the beacon has made its first look."""
    beacon = [{"interval": INTERVAL}, *({name: value} for name, value in settings.items())]
    machine.start_minion(master)
    synced = master.salt(machine.name, "saltutil.sync_all").value
    assert "beacons.courier" in synced["beacons"]
    machine.write("/etc/salt/minion.d/beacons.conf", json.dumps({"beacons": {"courier": beacon}}))
    machine.run("systemctl restart salt-minion")
    machine.wait_minion(master)
    deadline = time.monotonic() + 60
    while not machine.exists("/var/cache/salt/minion/courier/beacon.json"):
        assert time.monotonic() < deadline, "\n".join(machine.journal()[-20:])
        time.sleep(0.5)


def break_delivery(machine: Machine) -> None:
    """As of 2014: maildrop looks for the home of a virtual user in passwd."""
    machine.add_virtual_users()
    machine.run(f"userdb {CAROL} set uid=900 gid=900 home=/srv/mail/carol; makeuserdb")
    machine.run("install -d -o vmail -g vmail -m 750 /srv/mail/carol")
    path = "/etc/courier/courierd"
    machine.write(path, assign(machine.read(path), "DEFAULTDELIVERY", "| /usr/bin/maildrop"))
    machine.run("systemctl restart courier")
    machine.wait_ready()


def logged(machine: Machine) -> int:
    """How often the problem has spoken."""
    return sum("Unable to change to home directory" in line for line in machine.journal("courierlocal"))


def fail(machine: Machine, times: int = 1) -> None:
    """Send messages that cannot be delivered, and wait until the log says so of each."""
    for number in range(times):
        before = logged(machine)
        # What failed before is remembered, and deferred without another try.
        machine.run("courier clear all")
        assert machine.send(CAROL, f"lost-{number}").startswith("250 ")
        deadline = time.monotonic() + 20
        while logged(machine) == before:
            assert time.monotonic() < deadline, machine.journal("courierd", "courierlocal")
            time.sleep(0.1)


@pytest.mark.parametrize("packages", [[], ["rsyslog"]], ids=["journal", "rsyslog"])
def test_the_master_hears_of_a_problem_once_an_interval_and_its_reactor_says_what_would_change(
    machine_of: Callable[..., Machine], reacting: Master, tmp_path: Path, packages: list[str]
) -> None:
    machine = machine_of(packages=packages)
    break_delivery(machine)
    (reacting.pillar / "top.sls").write_text("base:\n  '*':\n    - courier\n")
    (reacting.pillar / "courier.sls").write_text('{"courier": {"options": {"strategy": "maildir"}}}')
    state_of = "cat /etc/courier/courierd; systemctl show -p ActiveEnterTimestamp courier"
    before = machine.run(state_of).stdout
    with listening(reacting, tmp_path / "bus") as bus:
        watched(machine, reacting)
        assert bus.events("/beacon/") == []
        fail(machine, 3)
        (tag, first), *_ = bus.wait("/beacon/")
        assert tag == f"salt/beacon/{machine.name}/courier/{ISSUE}"
        assert (first["id"], first["issue"], first["severity"]) == (machine.name, ISSUE, "critical")
        assert first["shared_with"] == []
        assert "maildrop: Unable to change to home directory." in first["sample"]
        assert CAROL not in first["sample"]

        answer = bus.wait(f"/ret/{machine.name}", fun="state.apply")[0][1]
        assert any(isinstance(each, dict) and each.get("test") is True for each in answer["fun_args"]), answer
        (state,) = answer["return"].values()
        assert state["result"] is None, state
        assert state["changes"]["/etc/courier/courierd DEFAULTDELIVERY"]["new"] == "./Maildir"

        time.sleep(3 * INTERVAL)
        events = bus.events("/beacon/")
        assert {tag for tag, _ in events} == {tag}
        assert sum(data["count"] for _, data in events) == logged(machine) >= 3
        # They were made within two intervals.
        assert 1 <= len(events) <= 3
    assert machine.run(state_of).stdout == before
    source = json.loads(machine.read("/var/cache/salt/minion/courier/beacon.json"))["logs"]
    assert list(source) == (["/var/log/mail.log"] if packages else ["journal"])
    assert "Traceback" not in machine.run("journalctl -u salt-minion --no-pager; cat /var/log/salt/minion").stdout


def test_a_restart_of_the_minion_loses_nothing_and_repeats_nothing(
    machine_of: Callable[..., Machine], reacting: Master, tmp_path: Path
) -> None:
    machine = machine_of()
    break_delivery(machine)
    with listening(reacting, tmp_path / "bus") as bus:
        watched(machine, reacting)
        fail(machine)
        bus.wait("/beacon/")
        time.sleep(2 * INTERVAL)
        machine.run("systemctl stop salt-minion")
        fail(machine)
        machine.run("systemctl start salt-minion")
        machine.wait_minion(reacting)
        bus.wait("/beacon/", 2)
        time.sleep(3 * INTERVAL)
        assert [data["count"] for _, data in bus.events("/beacon/")] == [1, logged(machine) - 1]


IDLE = """
import json, sys, time
sys.path.insert(0, "/srv/saltext-courier/_utils")
from courierlib import catalogue, watch
events, listening = [], False
sys.addaudithook(lambda event, arguments: listening and events.append(f"{event} {arguments[0]}"[:80]) if event in
    ("open", "os.listdir", "os.scandir", "subprocess.Popen", "import") else None)
watched = watch.Watch("/root/beacon.json", catalogue.load().values())
watched.news(), watched.news()
costs, told = [], []
for _ in range(100):
    time.sleep(0.02)
    look, events[:], listening = watched._look, [], True
    began = time.thread_time()
    news = watched.news()
    cost, listening = time.thread_time() - began, False
    told += [*news.issues, *news.troubles]
    if watched._look is look:
        costs.append((cost, list(events)))
print(json.dumps([costs, told]))
"""


@pytest.mark.parametrize("packages", [[], ["rsyslog"]], ids=["journal", "rsyslog"])
def test_an_idle_look_at_a_real_log_opens_and_runs_nothing(
    machine_of: Callable[..., Machine], packages: list[str]
) -> None:
    machine = machine_of(packages=packages)
    machine.send(ALICE, "some-line")
    machine.arrived("some-line")
    time.sleep(1)
    done = machine.run([f"{machine.salt.venv}/bin/python", "-c", IDLE], timeout=120).stdout
    costs, told = json.loads(done)
    assert told == []
    assert len(costs) > 50
    assert [events for _, events in costs[1:] if events] == []
    print(f"an idle look: {sorted(cost for cost, _ in costs)[len(costs) // 2] * 1e6:.0f} µs")


def test_journald_touches_its_file_at_each_line(machine_of: Callable[..., Machine]) -> None:
    """On this the beacon relies: it asks the journal only if one of its files has changed."""
    machine = machine_of()
    stamp = "stat -c %.9Y $(ls /var/log/journal/*/system.journal /run/log/journal/*/system.journal 2>/dev/null)"
    for number in range(5):
        before = machine.run(stamp).stdout
        machine.run(f"logger -t imapd line {number}; journalctl --sync; sleep 0.4")
        assert machine.run(stamp).stdout != before


def test_the_example_is_one_that_salt_accepts(lab: Lab, machine_of: Callable[..., Machine], reacting: Master) -> None:
    machine = machine_of()
    watched(machine, reacting)
    machine.run(f"cp {REPOSITORY}/examples/reactor/beacon.conf /etc/salt/minion.d/beacons.conf")
    machine.run("systemctl restart salt-minion")
    machine.wait_minion(reacting)
    shown = reacting.salt(machine.name, "beacons.list", return_yaml=False).value
    assert shown["courier"] == [{"interval": 60}]
    said = machine.run("journalctl -u salt-minion --no-pager; cat /var/log/salt/minion").stdout
    assert "configuration invalid" not in said
