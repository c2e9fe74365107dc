"""The delivery problems on booted hosts: made for real, shown to hurt, found, repaired, gone by the same message."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, BOB, Machine

from courierlib.settings import assign

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]

CAROL = "carol@virt.example.test"
"""A virtual user for whom authdaemon knows no Maildir; the passwd home of her user ID does not exist."""

MAILDROP_ISSUES = ("maildrop-home-directory", "maildrop-bounces-virtual-users", "maildrop-spool-delivery")
MAILDROP = "| /usr/bin/maildrop"
RECOMMENDED = '|/usr/bin/maildrop -w 90 -V 1 -d "${RECIPIENT}"'


@pytest.fixture
def host(managed, release) -> Managed:
    """A host with a system user, and two virtual users."""
    host = managed(release)
    machine = host.machine
    machine.add_virtual_users()
    machine.run(
        f"""set -e
        userdb {CAROL} set uid=900 gid=900 home=/srv/mail/carol
        makeuserdb
        install -d -o vmail -g vmail -m 750 /srv/mail/carol
        cd /srv/mail/carol
        setpriv --reuid vmail --regid vmail --clear-groups maildirmake.courier Maildir
        """
    )
    return host


def set_delivery(machine: Machine, line: str, file: str = "courierd") -> None:
    path = f"/etc/courier/{file}"
    machine.write(path, assign(machine.read(path), "DEFAULTDELIVERY", line))
    machine.run("systemctl reset-failed; systemctl restart courier; systemctl start courier-mta")
    machine.wait_ready()


def findings(host: Managed, *ids: str) -> dict[str, str]:
    """What the audit finds of these problems: detail by id."""
    report = host.audit(issues=",".join(ids))
    assert report["unknown"] == []
    return {finding["id"]: finding["detail"] for finding in report["findings"]}


def enforce(host: Managed, strategy: str, *allow: str) -> None:
    """Repair by highstate: there are changes, and then there are none."""
    host.machine.run("systemctl reset-failed")
    pillar = {"issues": list(MAILDROP_ISSUES), "options": {"strategy": strategy}, "allow": list(allow)}
    for changes in (True, False):
        applied = host.highstate(**pillar)
        assert set(applied.results) == {True}, applied.comments
        assert bool(applied.changes) is changes
    host.machine.wait_ready()
    # What failed before is remembered for up to two hours, and refused meanwhile.
    host.machine.run("courier clear all")


def log(machine: Machine, since: float, words: str, timeout: float = 10) -> str:
    """The line of courierlocal with these words, once it is there."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for line in machine.journal("courierlocal", since=since):
            if words in line:
                return line
        time.sleep(0.1)
    raise AssertionError(f"courierlocal did not say {words!r}: {machine.journal('courierlocal', since=since)}")


def delivered(machine: Machine, marker: str, folder: str, timeout: float = 10) -> str:
    """The file with the message, once it is in this folder."""
    deadline = time.monotonic() + timeout
    while not (found := machine.run(["grep", "-rlF", marker, folder], check=False).stdout):
        assert time.monotonic() < deadline, f"{marker} not in {folder}: {machine.journal('courierlocal')[-5:]}"
        time.sleep(0.1)
    return found.splitlines()[0]


def test_virtual_user_whose_home_maildrop_cannot_find(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    set_delivery(machine, MAILDROP)
    since = time.time() - 1
    assert machine.send(CAROL, "stranded").startswith("250 ")
    assert "maildrop: Unable to change to home directory." in log(machine, since, "Unable to change")
    log(machine, since, "status: deferred")

    found = findings(host, "maildrop-home-directory", "maildrop-bounces-virtual-users")
    assert list(found) == ["maildrop-home-directory"]
    assert CAROL in found["maildrop-home-directory"]
    recorded("maildrop-home-directory", "broken", machine, "strategy=maildir")

    enforce(host, "mailfilter")
    machine.run("courier flush")
    assert machine.arrived("stranded").startswith("/srv/mail/carol/Maildir/new/")
    assert findings(host, "maildrop-home-directory") == {}
    shown("maildrop-home-directory", "repaired", machine)


def test_recommended_maildrop_line_bounces_mail(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    set_delivery(machine, RECOMMENDED)
    since = time.time() - 1
    for number, recipient in enumerate((ALICE, CAROL)):
        assert machine.send(recipient, f"bounced-{number}", sender=BOB).startswith("250 ")
        notice = machine.arrived(f"bounced-{number}")
        assert notice.startswith("/srv/mail/bob/Maildir/new/"), "the sender is told that it could not be delivered"
        assert b"Invalid user specified." in machine.read(notice)
    log(machine, since, f"addr=<{CAROL}>,status: failure")
    assert CAROL in machine.run("courier show all").stdout, "the next message would be refused with 556"

    found = findings(host, "maildrop-home-directory", "maildrop-bounces-virtual-users")
    assert list(found) == ["maildrop-bounces-virtual-users"]
    assert "mail bounces at once" in found["maildrop-bounces-virtual-users"]
    recorded("maildrop-bounces-virtual-users", "broken", machine, "strategy=maildir")

    enforce(host, "authdaemon", "open-authdaemon-socket")
    machine.run("systemd-tmpfiles --create", check=False)
    assert machine.run("stat -c %a /run/courier/authdaemon").stdout == "751\n"
    for recipient, home in ((ALICE, f"/home/{ALICE}"), (CAROL, "/srv/mail/carol")):
        assert machine.send(recipient, f"again-{recipient}", sender=BOB).startswith("250 ")
        path = machine.arrived(f"again-{recipient}")
        assert path.startswith(f"{home}/Maildir/new/")
        assert machine.read(path).startswith(b"Delivered-To: ")
    assert findings(host, "maildrop-bounces-virtual-users", "maildrop-spool-delivery") == {}
    shown("maildrop-bounces-virtual-users", "repaired", machine)


def test_mail_that_maildrop_puts_where_nobody_looks(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    set_delivery(machine, MAILDROP)
    since = time.time() - 1
    assert machine.send(ALICE, "unseen").startswith("250 ")
    log(machine, since, "success: Message delivered.")
    assert machine.mbox("unseen") == f"/var/mail/{ALICE}"
    assert machine.login(ALICE, ALICE_PASSWORD) == []

    found = findings(host, "maildrop-spool-delivery")
    assert f"bytes in /var/mail/{ALICE}" in found["maildrop-spool-delivery"]
    recorded("maildrop-spool-delivery", "broken", machine, "strategy=maildir")

    enforce(host, "maildir")
    machine.send(ALICE, "seen")
    assert machine.arrived("seen").startswith(f"/home/{ALICE}/Maildir/new/")
    assert machine.login(ALICE, ALICE_PASSWORD) == ["seen"]
    assert findings(host, "maildrop-spool-delivery") == {}

    import_command = 'cd; umask 077; reformail -s sh -c "reformail -f0 | deliverquota ./Maildir" < /var/mail/alice'
    machine.run(["su", ALICE, "-s", "/bin/sh", "-c", import_command])
    assert sorted(machine.login(ALICE, ALICE_PASSWORD)) == ["seen", "unseen"]
    shown("maildrop-spool-delivery", "repaired", machine)


def test_defaultdelivery_that_nobody_reads(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    set_delivery(machine, MAILDROP, file="esmtpd")
    assert machine.send(ALICE, "dead-setting").startswith("250 ")
    assert machine.arrived("dead-setting").startswith(f"/home/{ALICE}/Maildir/new/")

    found = findings(host, "defaultdelivery-in-wrong-file")
    assert "has no effect" in found["defaultdelivery-in-wrong-file"]
    recorded("defaultdelivery-in-wrong-file", "broken", machine)

    before = machine.run("pgrep -x courierd").stdout
    for changes in (True, False):
        applied = host.highstate(issues=["defaultdelivery-in-wrong-file"])
        assert (set(applied.results), bool(applied.changes)) == ({True}, changes)
    assert machine.run("pgrep -x courierd").stdout == before, "nothing needs a restart"
    assert f"\n#DEFAULTDELIVERY='{MAILDROP}'\n".encode() in machine.read("/etc/courier/esmtpd")
    assert machine.send(ALICE, "still-there").startswith("250 ")
    assert machine.arrived("still-there")
    shown("defaultdelivery-in-wrong-file", "repaired", machine)


@pytest.mark.hosts_all
def test_mailfilter_serves_system_and_virtual_users_with_and_without_a_filter(host: Managed) -> None:
    machine = host.machine
    set_delivery(machine, MAILDROP)
    enforce(host, "mailfilter")
    for recipient, home in ((ALICE, f"/home/{ALICE}"), (CAROL, "/srv/mail/carol")):
        machine.send(recipient, f"plain-{recipient}")
        assert machine.arrived(f"plain-{recipient}").startswith(f"{home}/Maildir/new/")
        machine.write(f"{home}/.mailfilter", 'if (/^Subject: sorted/)\n  to "$HOME/Maildir/.Sorted"\n', mode=0o600)
        sorted_mail = f"{home}/Maildir/.Sorted"
        machine.run(f"mkdir -p {sorted_mail}/cur {sorted_mail}/new {sorted_mail}/tmp")
        machine.run(f"chown -R --reference={home} {sorted_mail} {home}/.mailfilter")
        for subject, folder in (
            (f"sorted-{recipient}", f"{sorted_mail}/new"),
            (f"other-{recipient}", f"{home}/Maildir/new"),
        ):
            assert machine.send(recipient, subject, sender="x@client.example.test").startswith("250 ")
            headers = machine.read(delivered(machine, subject, folder)).split(b"\n\n")[0]
            assert b"Delivered-To: " in headers
            assert b"Return-Path: <x@client.example.test>" in headers


@pytest.mark.hosts_all
def test_mail_loop_through_a_filter_is_still_seen(host: Managed) -> None:
    machine = host.machine
    set_delivery(machine, MAILDROP)
    enforce(host, "mailfilter")
    machine.write("/srv/mail/carol/.mailfilter", f'to "! {CAROL}"\n', mode=0o600, owner="vmail:vmail")
    since = time.time() - 1
    machine.send(CAROL, "looping")
    log(machine, since, "Mail loop - already have my Delivered-To: header.")


@pytest.mark.hosts_all
def test_authdaemon_without_leave_to_open_the_socket_defers_instead_of_bouncing(host: Managed) -> None:
    machine = host.machine
    set_delivery(machine, RECOMMENDED)
    report = machine.salt_call("courier.ensure_maildrop", strategy="authdaemon").value
    assert any("allow=open-authdaemon-socket" in held for held in report["withheld"])
    machine.wait_ready()
    since = time.time() - 1
    machine.send(CAROL, "waiting", sender=BOB)
    assert "maildrop: Temporary authentication failure." in log(machine, since, "Temporary authentication")
    log(machine, since, "status: deferred")
    assert "waits" in findings(host, "maildrop-bounces-virtual-users")["maildrop-bounces-virtual-users"]
    enforce(host, "authdaemon", "open-authdaemon-socket")
    machine.run("courier flush")
    assert machine.arrived("waiting").startswith("/srv/mail/carol/Maildir/new/")


@pytest.mark.hosts_all
def test_undo_brings_the_line_back_and_takes_the_script_away(host: Managed) -> None:
    machine = host.machine
    set_delivery(machine, MAILDROP)
    before = machine.read("/etc/courier/courierd")
    machine.run("systemctl reset-failed")
    run = machine.salt_call("courier.ensure_maildrop", strategy="mailfilter").value["run"]
    assert machine.exists("/etc/courier/deliver-mailfilter")
    machine.salt_call("courier.undo", run)
    assert machine.read("/etc/courier/courierd") == before
    assert not machine.exists("/etc/courier/deliver-mailfilter")
    assert "maildrop-home-directory" in findings(host, "maildrop-home-directory")
