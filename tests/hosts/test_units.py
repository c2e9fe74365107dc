"""Units, ports and programs on booted hosts: made wrong for real, shown to hurt, found, repaired, and gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab import ALICE, ALICE_PASSWORD, Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second

SMTP = ("courier-mta", "courier-msa", "courier-mta-ssl")
DROPINS = "/etc/systemd/system/courier-msa.service.d"
SENDMAIL = "/usr/sbin/sendmail"
OTHER = """#!/usr/bin/perl
use IO::Socket::INET;
my @sockets = map { IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => $_) or die } @ARGV;
sleep 600;
"""

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]


def restart(machine: Machine, *units: str) -> None:
    """Restart, and go on where that fails: that is what a broken host does."""
    machine.run(f"systemctl reset-failed 'courier*'; systemctl restart {' '.join(units)}", check=False)


def assert_delivers(machine: Machine, marker: str) -> None:
    machine.wait_ready()
    assert machine.send(ALICE, marker).startswith("250 ")
    assert machine.arrived(marker)


def test_listener_with_another_pid_file_than_its_units_is_found_and_repaired(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    stock = machine.read("/etc/courier/esmtpd-msa").decode()
    # As systemd's 90 seconds, but short.
    machine.write(f"{DROPINS}/limit.conf", "[Service]\nTimeoutStartSec=3\n")
    machine.run("systemctl daemon-reload; sed -i '/^PIDFILE=/d' /etc/courier/esmtpd-msa")
    restart(machine, "courier-msa")
    assert not machine.listens(587)
    assert not machine.listens(25), "stopping the MSA stops port 25 too"
    (detail,) = places(host, "msa-pidfile-collision").values()
    assert detail.startswith("PIDFILE is /run/courier/esmtpd.pid, which is that of esmtpd;")
    recorded("msa-pidfile-collision", "broken", machine)
    changes = repair(host, "msa-pidfile-collision")
    assert set(changes) == {"/etc/courier/esmtpd-msa PIDFILE", "service courier-msa", "service courier-mta"}
    assert_delivers(machine, "through-25-again")
    assert machine.listens(587)
    shown("msa-pidfile-collision", "repaired", machine)
    machine.write("/etc/courier/esmtpd-msa", stock)
    remove_dropins(machine)


@pytest.mark.hosts_all
def test_pid_file_of_the_operators_own_is_told_to_systemd(shared, release: str) -> None:
    host = shared(release)
    machine = host.machine
    stock = machine.read("/etc/courier/esmtpd-msa").decode()
    machine.write(f"{DROPINS}/limit.conf", "[Service]\nTimeoutStartSec=3\n")
    machine.run("systemctl daemon-reload")
    machine.configure("esmtpd-msa", PIDFILE="/run/courier/msa.pid")
    restart(machine, "courier-msa")
    assert not machine.listens(587)
    (detail,) = places(host, "msa-pidfile-collision").values()
    assert detail.startswith("systemd waits for /run/courier/esmtpd-msa.pid; PIDFILE in /etc/courier/esmtpd-msa is")
    repair(host, "msa-pidfile-collision")
    assert machine.listens(587)
    restart(machine, "courier-msa")
    assert machine.listens(587)
    assert_delivers(machine, "with-another-pid-file")
    machine.run("systemctl stop courier-msa")
    machine.write("/etc/courier/esmtpd-msa", stock)
    remove_dropins(machine)


def remove_dropins(machine: Machine) -> None:
    machine.run(f"rm -r {DROPINS}; systemctl daemon-reload")
    restart(machine, "courier-msa")
    machine.wait_ready(587)


def test_port_that_is_open_or_closed_against_a_changed_setting_follows_it(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    stock = {name: machine.read(f"/etc/courier/{name}") for name in ("imapd", "esmtpd-msa")}
    machine.configure("imapd", IMAPDSTART="NO")
    machine.configure("esmtpd-msa", ESMTPDSTART="YES")
    machine.run("systemctl restart courier-imap; systemctl disable --now courier-msa; systemctl mask courier-msa")
    machine.wait_ready()
    assert machine.listens(143), "the setting says NO"
    assert not machine.listens(587), "the setting says YES"
    assert set(places(host, "start-flag-ignored")) == {"service courier-imap", "service courier-msa"}
    recorded("start-flag-ignored", "broken", machine)
    repair(host, "start-flag-ignored", "close-port", "open-port", "unmask-service")
    assert not machine.listens(143)
    assert machine.listens(587)
    assert_delivers(machine, "ports-as-wished")
    shown("start-flag-ignored", "repaired", machine)

    for name, content in stock.items():
        machine.write(f"/etc/courier/{name}", content)
    machine.run("systemctl enable --now courier-imap")


@pytest.mark.hosts_all
def test_shipped_settings_are_nobodys_wish_and_nothing_is_opened_or_closed_without_leave(shared, release: str) -> None:
    host = shared(release)
    machine = host.machine
    stock = {name: machine.read(f"/etc/courier/{name}") for name in ("imapd", "esmtpd-msa")}
    machine.configure("esmtpd-msa", COMMENT="changed, but not the flag")
    machine.run("systemctl disable --now courier-pop")
    assert host.audit(issues="start-flag-ignored")["clear"] == ["start-flag-ignored"]
    machine.configure("imapd", IMAPDSTART="NO")
    assert machine.salt_call("courier.fix", "start-flag-ignored").value["changes"] == {}
    for name, content in stock.items():
        machine.write(f"/etc/courier/{name}", content)
    machine.run("systemctl enable --now courier-pop")


def test_imap_without_its_access_rules_does_not_start_until_repaired(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    since = whole_second()
    machine.run("rm -rf /etc/courier/imapaccess /etc/courier/imapaccess.dat")
    restart(machine, "courier-imap", "courier-imap-ssl")
    if release == "bookworm":
        assert machine.login(ALICE, ALICE_PASSWORD, port=143) == machine.login(ALICE, ALICE_PASSWORD)
        assert host.audit(issues="imapaccessfile-missing")["clear"] == ["imapaccessfile-missing"]
        machine.run("install -d -o root -g courier -m 750 /etc/courier/imapaccess; makeimapaccess")
        shown("imapaccessfile-missing", "cannot occur", machine)
        return
    assert not machine.listens(143)
    assert not machine.listens(993)
    wait_for_log(machine, "IMAPACCESSFILE is missing.", since)
    assert_diagnosed(host, "imapaccessfile-missing", since)
    assert set(places(host, "imapaccessfile-missing")) == {"/etc/courier/imapaccess"}
    recorded("imapaccessfile-missing", "broken", machine)
    repair(host, "imapaccessfile-missing")
    machine.wait_ready(143)
    assert machine.login(ALICE, ALICE_PASSWORD, port=143) == machine.login(ALICE, ALICE_PASSWORD)
    assert machine.run("stat -c '%U:%G %a' /etc/courier/imapaccess").stdout == "root:courier 750\n"
    shown("imapaccessfile-missing", "repaired", machine)


@pytest.mark.hosts_all
def test_missing_rules_of_the_operators_own_are_given_up_only_with_leave(shared, release: str) -> None:
    if release == "bookworm":
        return
    host = shared(release)
    machine = host.machine
    stock = machine.read("/etc/courier/imapd")
    machine.configure("imapd", IMAPACCESSFILE="/etc/courier/myaccess")
    restart(machine, "courier-imap", "courier-imap-ssl")
    assert not machine.listens(143)
    assert machine.salt_call("courier.fix", "imapaccessfile-missing").value["changes"] == {}
    repair(host, "imapaccessfile-missing", "without-access-rules")
    assert machine.listens(143)
    assert b'IMAPACCESSFILE="/etc/courier/imapaccess"' in machine.read("/etc/courier/imapd").splitlines()
    machine.write("/etc/courier/imapd", stock)


def send_as_alice(machine: Machine, marker: str) -> int:
    me = f"{ALICE}@{machine.fqdn}"
    message = f"From: {me}\nSubject: {marker}\n\n{marker}\n"
    command = f"setpriv --reuid {ALICE} --regid {ALICE} --init-groups sendmail -f {me} {me}"
    return machine.run(command, input=message, check=False).returncode


def test_sendmail_without_its_set_id_bit_is_found_and_given_back_what_was_recorded(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    stock = machine.run(f"stat -c '%U:%G %a' {SENDMAIL} /usr/bin/mailq").stdout
    assert send_as_alice(machine, "with-its-bit") == 0
    assert machine.arrived("with-its-bit")
    machine.run(f"chown root:root {SENDMAIL}; chmod 755 {SENDMAIL} /usr/bin/mailq")
    assert send_as_alice(machine, "without-its-bit") == 77
    assert set(places(host, "setuid-bits-lost")) == {SENDMAIL, "/usr/bin/mailq"}
    recorded("setuid-bits-lost", "broken", machine)
    repair(host, "setuid-bits-lost", "restore-set-id")
    assert machine.run(f"stat -c '%U:%G %a' {SENDMAIL} /usr/bin/mailq").stdout == stock
    assert send_as_alice(machine, "with-its-bit-again") == 0
    assert machine.arrived("with-its-bit-again")
    shown("setuid-bits-lost", "repaired", machine)


@pytest.mark.hosts_all
def test_changed_program_gets_no_set_id_bit_and_a_nosuid_mount_is_named(shared, release: str) -> None:
    host = shared(release)
    machine = host.machine
    machine.run(f"cp -p {SENDMAIL} /root/sendmail; chmod 755 {SENDMAIL}; printf x >> {SENDMAIL}")
    assert "not the program that the package brought" in places(host, "setuid-bits-lost")[SENDMAIL]
    assert machine.salt_call("courier.fix", "setuid-bits-lost").value["changes"] == {}
    machine.salt_call("courier.fix", "setuid-bits-lost", allow="restore-set-id")
    assert machine.run(f"stat -c %a {SENDMAIL}").stdout == "755\n"
    machine.run(f"cp -p /root/sendmail {SENDMAIL}; chown root:courier {SENDMAIL}; chmod 2755 {SENDMAIL}")
    # The minion has the mounts of the machine: systemd gives no mount namespace to its unit.
    machine.run("mount --bind /usr/sbin /usr/sbin; mount -o remount,bind,nosuid /usr/sbin")
    assert send_as_alice(machine, "nosuid") == 77
    assert set(places(host, "setuid-bits-lost")) == {"/usr/sbin"}
    machine.run("umount /usr/sbin")
    assert host.audit(issues="setuid-bits-lost")["clear"] == ["setuid-bits-lost"]


def test_program_that_has_couriers_port_is_named(shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host = shared(release)
    machine = host.machine
    machine.write("/usr/local/sbin/other-mta", OTHER, mode=0o755)
    machine.run("systemctl stop courier-mta courier-imap; systemd-run -q --unit=other-mta other-mta 25 143")
    machine.run("until test $(ss -Hltn '( sport = :25 or sport = :143 )' | wc -l) = 2; do sleep 0.1; done")
    since = whole_second()
    restart(machine, "courier-mta", "courier-imap")
    assert not machine.listens(25)
    wait_for_log(machine, "bind: Address already in use", since)
    assert_diagnosed(host, "port-taken", since)
    found = places(host, "port-taken")
    assert set(found) == {"port 25", "port 143"}
    assert found["port 25"].startswith("other-mta (process ")
    recorded("port-taken", "broken", machine)
    shown("port-taken", "found", machine)
    machine.run("systemctl stop other-mta")
    restart(machine, "courier", "courierfilter", *SMTP, "courier-imap")
    assert_delivers(machine, "the-port-is-free")


def test_ports_by_name_without_etc_services_are_found_and_given_their_lines(
    shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    stock = machine.read("/etc/courier/pop3d")
    machine.configure("pop3d", PORT="pop3")
    machine.run("mv /etc/services /root/services")
    since = whole_second()
    restart(machine, "courier-mta", "courier-pop")
    assert not machine.listens(25)
    assert not machine.listens(110)
    wait_for_log(machine, "Invalid port: pop3", since)
    assert_diagnosed(host, "services-file-missing", since)
    assert set(places(host, "services-file-missing")) == {"/etc/services smtp/tcp", "/etc/services pop3/tcp"}
    recorded("services-file-missing", "broken", machine)
    repair(host, "services-file-missing")
    assert machine.read("/etc/services").decode() == "smtp\t\t25/tcp\npop3\t\t110/tcp\n"
    assert machine.listens(110)
    assert_delivers(machine, "by-its-name")
    shown("services-file-missing", "repaired", machine)
    machine.run("mv /root/services /etc/services")
    machine.write("/etc/courier/pop3d", stock)
    restart(machine, "courier-pop", *SMTP)
    assert_delivers(machine, "with-the-file-of-the-package")
