"""The queue on booted hosts: emptied at boot, stuck, without room; made wrong for real, shown to hurt, and found."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lab import ALICE, NAMES, Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second

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


def on_a_small_spool(machine: Machine, options: str) -> None:
    """Put the spool on a file system of its own, and start Courier on it."""
    machine.run("systemctl stop courier courierfilter")
    machine.run(f"cp -a {SPOOL} /root/spool; mount -t tmpfs -o mode=755,{options} tmpfs {SPOOL}")
    machine.run(f"cp -a /root/spool/. {SPOOL}; rm -r /root/spool")
    start(machine)


def off_the_small_spool(machine: Machine) -> None:
    machine.run(f"systemctl stop courier courierfilter; umount {SPOOL}")
    start(machine)


def start(machine: Machine) -> None:
    machine.run("systemctl start courierfilter courier courier-mta courier-msa courier-mta-ssl")
    machine.wait_ready()


def leave_blocks(machine: Machine, directory: str, blocks: int) -> None:
    """Fill a file system of 4 KiB blocks up to so many."""
    machine.run(
        f"cd {directory}; rm -f filler; left=$(df -k --output=avail . | tail -n 1);"
        f"head -c $((left * 1024 - {blocks} * 4096)) /dev/zero >filler"
    )


def test_mail_is_refused_when_the_spool_is_full_and_waits_when_maildirs_are(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host, issue = shared(release), "spool-full"
    machine = host.machine
    since = whole_second()
    on_a_small_spool(machine, "size=2m")
    assert machine.send(ALICE, "with-room").startswith("250 ")
    assert machine.arrived("with-room")
    leave_blocks(machine, SPOOL, 109)
    assert machine.send(ALICE, "109-blocks") == "431 Mail system full."
    leave_blocks(machine, SPOOL, 0)
    assert machine.send(ALICE, "no-block") == "432 Service temporarily unavailable."
    wait_for_log(machine, "submitclient: EOF from submit.", since)
    assert_diagnosed(host, issue, since, "mailuser-still-daemon", "spool-wrong-owner", "stale-daemon-processes")
    assert "0 KiB and" in places(host, issue)[SPOOL]
    recorded(issue, "broken", machine)
    off_the_small_spool(machine)

    on_a_small_spool(machine, "size=2m,nr_inodes=140")
    assert machine.send(ALICE, "no-inodes") == "431 Mail system full."
    assert "inodes left for the spool: SMTP answers 431" in places(host, issue)[SPOOL]
    off_the_small_spool(machine)

    maildir = "/home/alice/Maildir"
    machine.run(f"mount -t tmpfs -o size=64k,uid=$(id -u alice),gid=$(id -g alice) tmpfs {maildir}")
    machine.run(f"cd {maildir}; mkdir tmp new cur; chown alice:alice *")
    leave_blocks(machine, maildir, 0)
    since = whole_second()
    assert machine.send(ALICE, "waits-for-room").startswith("250 ")
    wait_for_log(machine, "maildir.close: ./Maildir: No space left on device", since)
    assert_diagnosed(host, issue, since)
    assert set(places(host, issue)) == {maildir}
    machine.run(f"umount {maildir}; find {SPOOL}/track -type f -delete; courier flush")
    assert machine.arrived("waits-for-room")
    assert host.audit(issues=issue)["clear"] == [issue]
    shown(issue, "found", machine)


def test_local_mail_is_lost_with_an_empty_default_domain(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host, issue = shared(release), "defaultdomain-empty"
    machine = host.machine
    as_alice = "setpriv --reuid alice --regid alice --init-groups sendmail"
    machine.write("/etc/courier/aliases/own", "sales: alice\n")
    machine.run("makealiases")
    since = whole_second()
    machine.run(f"{as_alice} alice", input="Subject: lost-mail\n\nlost-mail\n")
    wait_for_log(machine, "553 Syntax error: alice@", since)
    wait_for_log(machine, "from=<#@[]>,addr=<postmaster@>: No such domain.", since)
    assert_diagnosed(host, issue, since)
    assert machine.arrived("lost-mail", timeout=0) is None
    assert "lost-mail" not in queued(machine, "msgs") + queued(machine, "tmp")
    assert set(places(host, issue)) == {"/etc/courier/defaultdomain"}
    recorded(issue, "broken", machine)
    repair(host, issue)
    recorded(issue, "healthy", machine)
    machine.wait_ready()
    machine.run(f"{as_alice} alice", input="Subject: kept-mail\n\nkept-mail\n")
    assert machine.arrived("kept-mail")
    assert machine.send("sales", "by-an-alias").startswith("250 ")
    assert machine.arrived("by-an-alias")
    shown(issue, "repaired", machine)
    machine.run("rm /etc/courier/aliases/own /etc/courier/aliases.dat; echo >/etc/courier/defaultdomain")
    machine.run("systemctl restart courier")
    machine.wait_ready()


def test_a_message_without_its_name_in_msgq_is_never_tried(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host, issue = shared(release), "queue-stuck"
    machine = host.machine
    defer(machine, "stuck")
    machine.run(f"systemctl stop courier; find {SPOOL}/msgs -type f -exec touch -d '-2 days' {{}} +")
    start(machine)
    assert host.audit(issues=issue)["clear"] == [issue], "deferred for two days, and nothing is wrong"
    machine.run(f"systemctl stop courier; find {SPOOL}/msgq -type f -delete")
    machine.run(f"rm /home/alice/.courier; find {SPOOL}/track -type f -delete")
    start(machine)
    machine.run("courier flush")
    assert machine.arrived("stuck", timeout=2) is None
    assert "stuck" in queued(machine, "msgs")
    assert "1 message(s) have no name in msgq" in places(host, issue)[f"{SPOOL}/msgs"]
    recorded(issue, "broken", machine)
    machine.run(
        f"""set -e; cd {SPOOL}
        now=$(date +%s); slot=msgq/${{now%????}}
        install -d -o courier -g courier $slot
        for c in msgs/*/C*; do n=${{c##*/C}}; ls msgq/*/C$n.* >/dev/null 2>&1 || ln "$c" "$slot/C$n.$now"; done
        systemctl restart courier"""
    )
    assert machine.arrived("stuck")
    assert host.audit(issues=issue)["clear"] == [issue]
    shown(issue, "found", machine)
