"""The machines are what the other tests take them for: real, reachable, delivering, and apart from one another."""

from __future__ import annotations

import pytest
from lab import ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, NAMES


@pytest.mark.parametrize("base", NAMES)
def test_stock_machine_delivers_and_speaks_tls(machine_of, base):
    machine = machine_of(base)
    assert machine.run("systemctl --failed --no-legend").stdout == ""
    assert machine.send(ALICE, "stock-delivery").startswith("250 ")
    assert machine.arrived("stock-delivery")
    assert machine.handshake(993).ok
    assert machine.handshake(25, starttls="smtp").ok
    assert machine.login(ALICE, ALICE_PASSWORD) == ["stock-delivery"]


def test_virtual_user_gets_mail_and_can_log_in(machine_of, release):
    machine = machine_of(release)
    machine.add_virtual_users()
    machine.configure("courierd", DEFAULTDELIVERY="./Maildir")
    machine.run("systemctl restart courier")
    machine.wait_ready()
    assert machine.send(BOB, "virtual-delivery").startswith("250 ")
    assert machine.arrived("virtual-delivery").startswith("/srv/mail/bob/Maildir/")
    assert machine.login(BOB, BOB_PASSWORD) == ["virtual-delivery"]


def test_openssl_root_differs_from_trixie_in_the_library_of_couriertls(machine_of):
    linked = machine_of("trixie-openssl").run("ldd /usr/bin/couriertls").stdout
    assert "libssl" in linked
    assert "gnutls" not in linked
    assert "gnutls" in machine_of("trixie").run("ldd /usr/bin/couriertls").stdout


def test_short_dh_parameters_break_a_client_that_offers_nothing_else(machine_of):
    machine = machine_of("trixie-openssl")
    assert machine.handshake(993, tls12_dhe_only=True).ok
    machine.run("openssl dhparam -out /etc/courier/dhparams.pem 1024", timeout=120)
    assert "handshake failure" in machine.handshake(993, tls12_dhe_only=True).error
    assert machine.handshake(993).ok


def test_machine_survives_a_reboot_and_keeps_its_files(machine_of):
    machine = machine_of()
    before = machine.pid
    machine.write("/etc/courier/kept", "yes", mode=0o640, owner="courier:courier")
    machine.reboot()
    assert machine.pid != before
    assert machine.run("stat -c '%a %U' /etc/courier/kept").stdout == "640 courier\n"
    assert machine.send(ALICE, "after-reboot").startswith("250 ")
    assert machine.arrived("after-reboot")


def test_two_machines_share_nothing(machine_of):
    one, other = machine_of(), machine_of()
    one.run("touch /etc/courier/only-here; systemctl stop courier-mta")
    assert not other.exists("/etc/courier/only-here")
    assert other.listens(25)
    assert not one.listens(25)


def test_salt_call_runs_inside_and_minion_answers_the_master(machine_of, master):
    machine = machine_of()
    assert machine.salt_call("grains.get", "id").value == machine.name
    machine.start_minion(master)
    running = master.salt(machine.name, "service.status", "courier")
    assert (running.value, running.retcode) == (True, 0)
    (master.states / "broken.sls").write_text("a missing binary:\n  cmd.run:\n    - name: /does/not/exist\n")
    assert master.salt(machine.name, "state.apply", "broken").retcode != 0


def test_a_later_machine_of_the_same_name_is_a_minion_too(lab, master):
    for base in ("trixie", "bookworm"):
        with lab.machine(base, name="again") as machine:
            machine.start_minion(master)
            assert master.salt("again", "grains.get", "oscodename").value == base
