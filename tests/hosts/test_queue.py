"""The queue on booted hosts: emptied at boot, stuck, without room; made wrong for real, shown to hurt, and found."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lab import ALICE, NAMES, Machine
from problems import places, repair

SPOOL = "/var/lib/courier"
OWN_FILES = {
    "/etc/courier/aliases/own": "postmaster: alice\n",
    "/etc/courier/aliasdir/.courier-list": "./Maildir\n",
    "/etc/courier/hosteddomains/own": "hosted.example.test\n",
    "/etc/courier/esmtpacceptmailfor.dir/own": "accepted.example.test\n",
    "/etc/courier/imapaccess/own": "192.0.2.7\tallow\n",
}

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]


def defer(machine: Machine, marker: str) -> None:
    """A message for alice, whose delivery is put off until her .courier is gone."""
    machine.run(f"find {SPOOL}/track -type f -delete")
    machine.write("/home/alice/.courier", "| exit 75\n", owner="alice", mode=0o600)
    assert machine.send(ALICE, marker).startswith("250 ")
    wait_until(lambda: marker in queued(machine, "msgs"), lambda: f"{marker} is not deferred")


def queued(machine: Machine, area: str) -> str:
    """The texts that wait in an area of the spool."""
    return machine.run(f"find {SPOOL}/{area} -name 'D*' -exec cat {{}} +").stdout


def wait_until(condition: Callable[[], object], complaint: Callable[[], str], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.1)


def fill(machine: Machine) -> None:
    """Mail that is deferred, mail that courierd has not taken, and files of one's own in each directory."""
    defer(machine, "deferred")
    for path, content in OWN_FILES.items():
        machine.write(path, content)
    machine.run("systemctl kill --signal=KILL courier; while pgrep -x courierd; do sleep 0.1; done")
    # Without this, SMTP remembers that mail to alice is put off: "456 Address temporarily unavailable."
    machine.run(f"find {SPOOL}/track -type f -delete")
    assert machine.send(ALICE, "not-yet-taken").startswith("250 ")


def left(machine: Machine) -> list[str]:
    """What of it is there."""
    waits = queued(machine, "msgs") + queued(machine, "tmp")
    found = [marker for marker in ("deferred", "not-yet-taken") if marker in waits]
    return found + [path for path in OWN_FILES if machine.exists(path)]


def reboot(host) -> None:
    host.machine.reboot()
    host.machine.wait_minion(host.master)


@pytest.mark.parametrize(
    "base", [pytest.param(base, marks=[pytest.mark.hosts_all] * (base != "forky")) for base in NAMES]
)
def test_boot_empties_queue_and_configuration_until_the_lines_are_overridden(
    managed, base: str, shown: Shown, recorded: Recorded
) -> None:
    host, issue = managed(base), "tmpfiles-wipes-queue-at-boot"
    machine = host.machine
    everything = ["deferred", "not-yet-taken", *OWN_FILES]
    fill(machine)
    assert left(machine) == everything
    reboot(host)
    if base != "forky":
        assert left(machine) == everything
        assert host.audit(issues=issue)["clear"] == [issue]
        shown(issue, "cannot occur", machine)
        return
    assert left(machine) == [], "lost, all of it"
    packaged = {f"/usr/lib/tmpfiles.d/courier-{part}.conf" for part in ("base", "imap", "mta")}
    assert set(places(host, issue)) == packaged
    recorded(issue, "broken", machine)
    changes = repair(host, issue)
    assert set(changes) == {path.replace("/usr/lib", "/etc") for path in packaged}
    recorded(issue, "healthy", machine)
    fill(machine)
    reboot(host)
    assert left(machine) == everything
    machine.run("rm /home/alice/.courier; courier flush")
    assert machine.arrived("deferred")
    assert machine.arrived("not-yet-taken")

    machine.run("echo '# newer' >>/usr/lib/tmpfiles.d/courier-mta.conf")
    assert set(places(host, issue)) == {"/etc/tmpfiles.d/courier-mta.conf"}
    repair(host, issue)
    assert machine.read("/etc/tmpfiles.d/courier-mta.conf").endswith(b"# newer\n")
    machine.run("sed -i 's/^ *D /d /' /usr/lib/tmpfiles.d/courier-imap.conf")
    repair(host, issue)
    assert not machine.exists("/etc/tmpfiles.d/courier-imap.conf")
    shown(issue, "repaired", machine)
