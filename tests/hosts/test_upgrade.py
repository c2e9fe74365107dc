"""What an upgrade leaves behind, on booted hosts; and real upgrades, from one Debian release to the next."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second
from test_stock import TRUE_DEFECTS

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]

KEPT = ("esmtpd", "imapd", "pop3d")
"""Settings files that the upgrade to Debian 13 replaces, unless somebody has changed them."""

LISTENERS = {
    25: "courier-mta",
    465: "courier-mta-ssl",
    587: "courier-msa",
    143: "courier-imap",
    993: "courier-imap-ssl",
    110: "courier-pop",
    995: "courier-pop-ssl",
}


def listening(machine: Machine) -> set[int]:
    return {port for port in LISTENERS if machine.listens(port)}


def restart(machine: Machine) -> None:
    """Restart every listener, and go on where that fails: that is what a broken host does."""
    machine.run(f"systemctl reset-failed 'courier*'; systemctl restart {' '.join(LISTENERS.values())}", check=False)
    machine.wait_ready(port=None)


def assert_serves(machine: Machine, marker: str) -> None:
    """All seven ports are open, TLS works, a message arrives, and its reader sees it."""
    assert listening(machine) == set(LISTENERS)
    assert all(machine.handshake(port).ok for port in (465, 993, 995))
    assert machine.handshake(25, starttls="smtp").ok
    assert machine.send(ALICE, marker).startswith("250 ")
    assert machine.arrived(marker)
    assert marker in machine.login(ALICE, ALICE_PASSWORD)


def test_word_that_couriertcpd_no_longer_knows_keeps_every_listener_down(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "tcpd-noidentlookup-removed"
    host: Managed = shared(release)
    machine = host.machine
    stock = {name: machine.read(f"/etc/courier/{name}").decode() for name in KEPT}
    if release == "bookworm":
        assert all("noidentlookup" in text for text in stock.values())
        assert_serves(machine, "it-knows-the-word")
        assert host.audit(issues=issue)["clear"] == [issue]
        shown(issue, "cannot occur", machine)
        return
    since = whole_second()
    machine.configure("esmtpd", TCPDOPTS="-stderrlogger=/usr/sbin/courierlogger -noidentlookup")
    machine.configure("imapd", TCPDOPTS="-nodnslookup -noidentlookup")
    machine.configure("pop3d", TCPDOPTS="-nodnslookup -noidentlookup")
    restart(machine)
    assert listening(machine) == set()
    for tag in ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "esmtpd-ssl"):
        assert any("Invalid option: -noidentlookup" in line for line in machine.journal(tag, since=since)), tag
    wait_for_log(machine, "courier-msa.service: Can't open PID file", since)
    assert_diagnosed(host, issue, since)
    assert set(places(host, issue)) == {f"/etc/courier/{name} TCPDOPTS" for name in stock}
    recorded(issue, "broken", machine)
    changes = repair(host, issue)
    assert {f"service {unit}" for unit in LISTENERS.values()} < set(changes)
    assert {name: machine.read(f"/etc/courier/{name}").decode() for name in stock} == stock
    assert_serves(machine, "word-gone")
    shown(issue, "repaired", machine)


def test_units_and_jobs_that_call_a_path_that_is_gone(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    issue = "imapd-sbin-path-gone"
    host: Managed = shared(release)
    machine = host.machine
    unit, job = "/etc/systemd/system/courier-imap.service", "/etc/cron.d/renewed"
    # As `systemctl edit --full courier-imap` has copied it on bookworm.
    copied = machine.read("/lib/systemd/system/courier-imap.service").decode()
    machine.write(unit, copied.replace("/usr/lib/courier/imapd ", "/usr/sbin/imapd "))
    machine.write(job, "0 3 * * * root test ! -s /etc/courier/imapd.pem || /usr/sbin/imapd-ssl restart\n")
    since = whole_second()
    machine.run("systemctl daemon-reload; systemctl restart courier-imap", check=False)
    ran = machine.run("/usr/sbin/imapd-ssl restart", check=False)
    if release == "bookworm":
        assert ran.returncode == 0
        assert_serves(machine, "both-paths-work")
        assert host.audit(issues=issue)["clear"] == [issue]
        shown(issue, "cannot occur", machine)
    else:
        assert "not found" in ran.stderr
        assert not machine.listens(143)
        wait_for_log(machine, "Failed at step EXEC spawning /usr/sbin/imapd", since)
        found = places(host, issue)
        assert sorted(where.partition(":")[0] for where in found) == [job, unit, unit]
        recorded(issue, "broken", machine)
        machine.run(["rm", job])
        assert set(repair(host, issue)) == {unit, "service courier-imap"}
        assert_serves(machine, "unit-has-the-path")
        shown(issue, "repaired", machine)
    machine.run(f"rm -f {unit} {job}; systemctl daemon-reload; systemctl restart courier-imap")
    machine.wait_ready()


def test_backup_copies_in_directories_that_are_read_whole(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    issue = "conffile-leftovers"
    host: Managed = shared(release)
    machine = host.machine
    directory = "/etc/courier"
    # An alias was taken out, and the editor kept what was there before; a domain's file was replaced by dpkg.
    machine.write(f"{directory}/aliases/office", f"info: {ALICE}@{machine.fqdn}\n")
    machine.write(f"{directory}/aliases/office~", f"info: {ALICE}@{machine.fqdn}\nboss: {ALICE}@{machine.fqdn}\n")
    machine.write(f"{directory}/hosteddomains/local", "hosted.example.test\n")
    machine.write(f"{directory}/hosteddomains/local.dpkg-old", "former.example.test\n")
    newer = machine.read(f"{directory}/imapd").decode().replace("MAXPERIP=", "MAXPERIP=1")
    machine.write(f"{directory}/imapd.dpkg-dist", newer)
    machine.run("makealiases")
    assert machine.send("boss", "to-a-former-alias").startswith("250 ")
    assert machine.arrived("to-a-former-alias")
    built = machine.run("makehosteddomains", check=False)
    found = places(host, issue)
    assert found[f"{directory}/aliases/office~"].startswith("makealiases reads it")
    assert found[f"{directory}/imapd.dpkg-dist"].endswith("it differs in MAXPERIP")
    refused = found.get(f"{directory}/hosteddomains/local.dpkg-old", "")
    assert (built.returncode != 0) == ("stops at it" in refused) == (release == "forky")
    assert len(found) == 2 + bool(refused)
    recorded(issue, "broken", machine)

    leftovers = "aliases/office~ hosteddomains/local.dpkg-old imapd.dpkg-dist"
    machine.run(f"cd {directory}; rm {leftovers}; makealiases; makehosteddomains")
    assert host.audit(issues=issue)["clear"] == [issue]
    assert machine.send("boss", "nobody-any-more").startswith("550 ")
    shown(issue, "found", machine)
    machine.run(f"cd {directory}; rm aliases/office hosteddomains/local hosteddomains.dat; makealiases")


def upgrade(machine: Machine) -> None:
    """Upgrade to the next release with apt, keeping every changed conffile, without a network."""
    options = "-o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io"
    machine.run(f"DEBIAN_FRONTEND=noninteractive apt-get -qqy --no-download {options} dist-upgrade", timeout=600)


def release_of(machine: Machine) -> str:
    return machine.run(". /etc/os-release; echo $VERSION_CODENAME").stdout.strip()


def severe(host: Managed) -> set[str]:
    """What an audit finds that is not mere advice, and that a stock host of this release has not."""
    findings = host.audit(severity="high")["findings"]
    return {finding["id"] for finding in findings} - TRUE_DEFECTS[release_of(host.machine)].keys()


def enforce(host: Managed) -> None:
    """A highstate mends what it can without leave, and finds nothing more to do the second time."""
    done = host.highstate()
    assert set(done.results) == {True}, done.comments
    again = host.highstate()
    assert (set(again.results), again.changes) == ({True}, {}), again.comments


@pytest.mark.hosts_all
def test_upgrade_from_bookworm_to_trixie_closes_every_port_until_the_highstate(managed) -> None:
    host: Managed = managed("bookworm-to-trixie")
    machine = host.machine
    for name in KEPT:
        machine.configure(name, MAXDAEMONS="41")
    restart(machine)
    assert_serves(machine, "on-bookworm")
    assert severe(host) == set()

    upgrade(machine)
    assert release_of(machine) == "trixie"
    machine.reboot(port=None)
    machine.wait_minion(host.master)
    assert listening(machine) == set()
    assert severe(host) == {"tcpd-noidentlookup-removed"}
    assert {f"/etc/courier/{name}.dpkg-dist" for name in KEPT} <= set(places(host, "conffile-leftovers"))

    enforce(host)
    machine.wait_ready()
    assert_serves(machine, "on-trixie")
    assert severe(host) == set()
    assert all('MAXDAEMONS="41"' in machine.read(f"/etc/courier/{name}").decode() for name in KEPT)


@pytest.mark.hosts_all
def test_upgrade_from_trixie_to_forky_loses_no_mail_if_the_highstate_comes_before_the_boot(managed) -> None:
    host: Managed = managed("trixie-to-forky")
    machine = host.machine
    # With an empty one, as stock hosts have it, the upgrade writes it, and aliases that were built before are stale.
    machine.write("/etc/courier/defaultdomain", f"{machine.fqdn}\n")
    machine.write("/etc/courier/aliases/office", f"info: {ALICE}@{machine.fqdn}\n")
    machine.run("makealiases")
    machine.write("/home/alice/.courier", "| exit 75\n", owner=ALICE, mode=0o600)
    assert machine.send("info", "waits-since-trixie").startswith("250 ")
    wait_for_log(machine, "status: deferred", 0)

    upgrade(machine)
    assert release_of(machine) == "forky"
    machine.wait_ready()
    assert places(host, "tmpfiles-wipes-queue-at-boot")
    assert severe(host) == set()
    enforce(host)
    machine.reboot()
    machine.wait_minion(host.master)

    since = time.time()
    machine.run("rm /home/alice/.courier; courier flush")
    assert machine.arrived("waits-since-trixie")
    # Until courierd has noted that, an address that was deferred is refused for some hours.
    wait_for_log(machine, "completed,id=", since)
    machine.run("makealiases")
    assert machine.send("info", "the-alias-is-still-there").startswith("250 ")
    assert machine.arrived("the-alias-is-still-there")
    assert_serves(machine, "on-forky")
    assert severe(host) == set()
