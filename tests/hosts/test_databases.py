"""Compiled tables, relaying and domains on booted hosts: broken for real, shown to hurt, found, repaired, and gone."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from lab import ALICE, Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]

ABROAD = "somebody@elsewhere.example"
DENIED = "513 Relaying denied."
HOSTED = "hosted.example.test"
OWN = "/etc/courier/aliases/own /etc/courier/esmtpacceptmailfor.dir/own /etc/courier/hosteddomains/own"
LISTENERS = "courier-mta courier-msa courier-mta-ssl"


@pytest.fixture(autouse=True)
def _default_domain(shared, release: str) -> Iterator[None]:
    """The laboratory's own hosts have an empty one, with which no alias works."""
    machine = shared(release).machine
    before = machine.read("/etc/courier/defaultdomain")
    machine.write("/etc/courier/defaultdomain", f"{machine.fqdn}\n")
    yield
    machine.write("/etc/courier/defaultdomain", before)


def list_domain(machine: Machine) -> None:
    """Write a hosted domain and aliases into their sources; nothing is built."""
    machine.write("/etc/courier/aliases/own", f"sales: {ALICE}\n{ALICE}@{HOSTED}: {ALICE}\n")
    machine.write("/etc/courier/esmtpacceptmailfor.dir/own", f"{HOSTED}\n")
    machine.write("/etc/courier/hosteddomains/own", f"{HOSTED}\n")


def remove(machine: Machine, *tables: str) -> None:
    """Take databases away, and let the daemons forget them: as it is on a fresh host."""
    machine.run(["rm", "-f", *(f"/etc/courier/{table}.dat" for table in tables)])
    machine.run(f"systemctl restart courier {LISTENERS}")
    machine.wait_ready()


def test_aliases_and_domains_without_a_database_are_found_and_built(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    assert {f["severity"] for f in host.audit(issues="database-missing")["findings"]} == {"low"}, "a fresh host's"
    list_domain(machine)
    assert machine.send("sales", "no-alias").startswith("550 ")
    assert machine.send(f"{ALICE}@{HOSTED}", "no-domain") == DENIED
    found = places(host, "database-missing")
    assert set(found) == {
        f"/etc/courier/{table}.dat" for table in ("smtpaccess", "hosteddomains", "esmtpacceptmailfor", "aliases")
    }
    assert "such as sales@" in found["/etc/courier/aliases.dat"]
    assert f"such as {HOSTED}" in found["/etc/courier/hosteddomains.dat"]
    recorded("database-missing", "broken", machine)
    withheld = host.call("courier.fix", "database-missing", test=True)
    assert "only with allow=relay-private-networks" in withheld["comment"]
    machine.run("cp -p /etc/courier/smtpaccess/default /root/default")
    machine.run("sed -i -E 's/^(10|192.168)\t/# &/' /etc/courier/smtpaccess/default")
    repair(host, "database-missing")
    assert machine.send("sales", "alias-works").startswith("250 ")
    assert machine.arrived("alias-works")
    assert machine.send(f"{ALICE}@{HOSTED}", "domain-works").startswith("250 ")
    assert machine.arrived("domain-works")
    assert machine.send(ABROAD, "no-relay") == DENIED
    recorded("database-missing", "healthy", machine)
    shown("database-missing", "repaired", machine)
    machine.run(f"rm {OWN}")
    machine.run("mv /root/default /etc/courier/smtpaccess/default")
    remove(machine, "smtpaccess", "hosteddomains", "esmtpacceptmailfor", "aliases")


def test_a_domain_and_an_alias_that_were_not_built_are_found_and_built(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    machine.run("makealiases; makehosteddomains; makeacceptmailfor; systemctl restart courier")
    machine.wait_ready()
    assert host.audit(issues="database-stale")["clear"] == ["database-stale"]
    # courierd opens hosteddomains.dat with its first message.
    assert machine.send(ALICE, "opens-the-database").startswith("250 ") and machine.arrived("opens-the-database")
    machine.run("touch /etc/courier/aliases/system /etc/courier/hosteddomains /etc/courier/smtpaccess/default")
    assert host.audit(issues="database-stale")["clear"] == ["database-stale"], "a file that was only touched"
    list_domain(machine)
    assert machine.send("sales", "no-alias").startswith("550 ")
    assert machine.send(f"{ALICE}@{HOSTED}", "no-domain") == DENIED
    found = places(host, "database-stale")
    assert set(found) == {f"/etc/courier/{table}.dat" for table in ("hosteddomains", "esmtpacceptmailfor", "aliases")}
    recorded("database-stale", "broken", machine)
    repair(host, "database-stale")
    assert machine.send("sales", "alias-works").startswith("250 ")
    assert machine.arrived("alias-works")
    assert machine.send(f"{ALICE}@{HOSTED}", "domain-works").startswith("250 ")
    assert machine.arrived("domain-works")
    machine.run(f"rm {OWN}")
    withheld = host.call("courier.fix", "database-stale", test=True)
    assert "only with allow=drop-entries" in withheld["comment"], "the database is the only copy"
    host.call("courier.fix", "database-stale", allow="drop-entries")
    assert machine.send("sales", "alias-gone").startswith("550 ")
    shown("database-stale", "repaired", machine)
    remove(machine, "hosteddomains", "esmtpacceptmailfor", "aliases")


def test_daemons_that_go_on_without_a_new_database_are_found_and_restarted(shared, release: str) -> None:
    host = shared(release)
    machine = host.machine
    machine.run("sed -i.before -E 's/^(10|192.168)\t/# &/' /etc/courier/smtpaccess/default")
    machine.run("mv /etc/courier/smtpaccess/default.before /root/default")
    machine.write("/etc/courier/hosteddomains/own", f"{HOSTED}\n")
    machine.run("sleep 3; makesmtpaccess; makehosteddomains")
    found = places(host, "database-stale")
    assert "3 of 3 SMTP listeners" in found["/etc/courier/smtpaccess.dat"]
    assert "courierd runs since before" in found["/etc/courier/hosteddomains.dat"]
    repair(host, "database-stale")
    machine.run("rm /etc/courier/hosteddomains/own; mv /root/default /etc/courier/smtpaccess/default")
    remove(machine, "smtpaccess", "hosteddomains")


def test_private_networks_relay_by_the_shipped_rules_until_these_are_taken_out(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    assert machine.send(ABROAD, "not-yet") == DENIED
    machine.run("cp -p /etc/courier/smtpaccess/default /root/default; makesmtpaccess")
    machine.run(f"systemctl restart {LISTENERS}")
    machine.wait_ready()
    assert machine.send(ABROAD, "relayed").startswith("250 ")
    detail = places(host, "smtpaccess-relays-private-networks")["/etc/courier/smtpaccess.dat"]
    assert detail.startswith("10.0.0.0/8 and 192.168.0.0/16 may relay")
    assert machine.address in detail
    recorded("smtpaccess-relays-private-networks", "broken", machine)
    repair(host, "smtpaccess-relays-private-networks", "end-private-relay")
    assert machine.send(ABROAD, "no-longer") == DENIED
    assert machine.run("diff /root/default /etc/courier/smtpaccess/default", check=False).stdout.count("> # ") == 2
    shown("smtpaccess-relays-private-networks", "repaired", machine)
    machine.run("mv /root/default /etc/courier/smtpaccess/default")
    remove(machine, "smtpaccess")


def test_a_hosted_domain_that_smtp_refuses_is_found_and_accepted(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    assert host.audit(issues="local-domain-not-accepted")["clear"] == ["local-domain-not-accepted"]
    list_domain(machine)
    machine.run("rm /etc/courier/esmtpacceptmailfor.dir/own; makehosteddomains; makealiases; systemctl restart courier")
    machine.wait_ready()
    assert machine.send(f"{ALICE}@{HOSTED}", "refused") == DENIED
    assert HOSTED in places(host, "local-domain-not-accepted")["/etc/courier/hosteddomains.dat"]
    recorded("local-domain-not-accepted", "broken", machine)
    repair(host, "local-domain-not-accepted", "accept-domains")
    assert machine.send(f"{ALICE}@{HOSTED}", "accepted").startswith("250 ")
    assert machine.arrived("accepted")
    shown("local-domain-not-accepted", "repaired", machine)
    machine.run("rm /etc/courier/esmtpacceptmailfor.dir/local /etc/courier/aliases/own /etc/courier/hosteddomains/own")
    remove(machine, "hosteddomains", "esmtpacceptmailfor", "aliases")


_ANSWERS = """
import socket, struct, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(4096)
    end = 12
    while query[end]:
        end += query[end] + 1
    kind = int.from_bytes(query[end + 1 : end + 3], "big")
    known = kind == 1
    record = bytes((0xC0, 12)) + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(sys.argv[1]) if known else b""
    head = query[:2] + bytes((0x81, 0x80, 0, 1, 0, known, 0, 0, 0, 0))
    server.sendto(head + query[12 : end + 5] + record, client)
"""


@contextmanager
def every_name_is(machine: Machine, address: str) -> Iterator[None]:
    """A name server inside that knows every name, and no MX record."""
    machine.write("/root/answers.py", _ANSWERS)
    before = machine.read("/etc/resolv.conf")
    machine.run(f"systemd-run -q --unit=answers {machine.salt.venv}/bin/python /root/answers.py {address}")
    machine.run("until ss -H -l -n -u 'sport = :53' | grep -q .; do sleep 0.1; done")
    machine.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    try:
        yield
    finally:
        machine.write("/etc/resolv.conf", before)
        machine.run("systemctl stop answers; rm /root/answers.py")


def test_mail_for_a_name_that_is_accepted_and_not_local_loops(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    assert host.audit(issues="accepted-domain-not-local")["clear"] == ["accepted-domain-not-local"]
    before = machine.read("/etc/courier/locals")
    machine.write("/etc/courier/locals", "localhost\n")
    machine.run("systemctl restart courier")
    machine.wait_ready()
    since = whole_second()
    with every_name_is(machine, machine.address):
        # courierd remembers for hours who could not be reached; alice is needed again.
        assert machine.send("loops", "loops").startswith("250 ")
        wait_for_log(machine, "mail loops back to myself (MX problem).", since)
    assert_diagnosed(host, "accepted-domain-not-local", since)
    assert places(host, "accepted-domain-not-local")["/etc/courier/me"].startswith(f"{machine.fqdn}: accepted")
    recorded("accepted-domain-not-local", "broken", machine)
    shown("accepted-domain-not-local", "found", machine)
    machine.write("/etc/courier/locals", before)
    machine.run("systemctl restart courier")
    machine.wait_ready()
    assert machine.send(ALICE, "local-again").startswith("250 ")
    assert machine.arrived("local-again")


def test_a_block_list_that_lists_everything_is_found_and_taken_out(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    before = machine.read("/etc/courier/esmtpd")
    machine.configure("esmtpd", BLACKLISTS="-block=dnsbl.njabl.org,BLOCK,listed -block=bl.example.org,BLOCK2")
    machine.run(f"systemctl restart {LISTENERS}")
    machine.wait_ready()
    with every_name_is(machine, "127.0.0.2"):
        assert machine.send(ALICE, "listed").startswith("511 ")
        assert "dnsbl.njabl.org (ended in 2013)" in places(host, "dead-dnsbl")["/etc/courier/esmtpd"]
        recorded("dead-dnsbl", "broken", machine)
        repair(host, "dead-dnsbl")
        assert (
            machine.run("grep ^BLACKLISTS /etc/courier/esmtpd").stdout == 'BLACKLISTS="-block=bl.example.org,BLOCK2"\n'
        )
        assert machine.send(ALICE, "not-listed").startswith("250 ")
        assert machine.arrived("not-listed")
    shown("dead-dnsbl", "repaired", machine)
    machine.write("/etc/courier/esmtpd", before)
    machine.run(f"systemctl restart {LISTENERS}")
    machine.wait_ready()


def test_without_a_name_server_port_25_does_not_even_greet(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    before = machine.read("/etc/resolv.conf")
    machine.configure("esmtpd", BOFHCHECKDNS="1")
    for content, said in (
        ("# nothing\n", "no nameserver in it, so Courier asks ::1, where nobody listens on port 53"),
        ("nameserver 127.0.0.53\n", "nameserver 127.0.0.53, where nobody listens on port 53"),
    ):
        machine.write("/etc/resolv.conf", content)
        assert said in places(host, "bofh-without-dns")["/etc/resolv.conf"]
    with pytest.raises(smtplib.SMTPServerDisconnected), smtplib.SMTP(machine.address, 25, timeout=10):
        pass
    recorded("bofh-without-dns", "broken", machine)
    shown("bofh-without-dns", "found", machine)
    machine.write("/etc/resolv.conf", before)
    machine.configure("esmtpd", BOFHCHECKDNS="0")
    assert machine.send(ALICE, "greeted").startswith("250 ")
    assert machine.arrived("greeted")
