"""Mailboxes that Courier cannot use, on booted hosts: made for real, shown to hurt, found, repaired, gone."""

from __future__ import annotations

import imaplib
import time
from collections.abc import Callable

import pytest
from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second

from courierlib.settings import assign

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]

MAILDIR = "/srv/mail/bob/Maildir"
LOOPS = "| /usr/bin/maildrop -V 1"


@pytest.fixture
def host(shared, release) -> Managed:
    """A host with a system user, and a virtual user whom authlib gives a Maildir."""
    host = shared(release)
    if not host.machine.exists("/srv/mail/bob"):
        host.machine.add_virtual_users()
        host.machine.write("/etc/maildroprc", 'DEFAULT="$HOME/Maildir"\n')
        # A home with nothing but the Maildir in it could be one that is not mounted.
        host.machine.write("/srv/mail/bob/notes", "", owner="vmail:vmail")
    # What failed before is remembered for up to two hours, and refused meanwhile.
    host.machine.run("courier clear all")
    return host


def set_delivery(machine: Machine, line: str) -> None:
    path = "/etc/courier/courierd"
    machine.write(path, assign(machine.read(path), "DEFAULTDELIVERY", line))
    machine.run("systemctl reset-failed; systemctl restart courier; systemctl start courier-mta")
    machine.wait_ready()


def deliver_now(machine: Machine, marker: str) -> None:
    """What waits is delivered, once nothing keeps it any more."""
    machine.run("courier clear all; courier flush")
    assert machine.arrived(marker), machine.journal("courierlocal")[-5:]


def repair_again(host: Managed, issue: str) -> set[str]:
    """Repair another form of the same problem, and return what was changed."""
    done = host.call("courier.fix", issue)
    assert (done["findings_before"], done["findings_after"]) == (1, 0), done
    return set(done["changes"])


def assert_refused(machine: Machine, words: str) -> None:
    with pytest.raises(imaplib.IMAP4.error, match=words):
        machine.login(BOB, BOB_PASSWORD)


def test_account_without_a_maildir(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    assert machine.login(BOB, BOB_PASSWORD) == []
    machine.run(f"mv {MAILDIR} {MAILDIR}.kept")
    since = whole_second()
    assert_refused(machine, "Fatal error: No such file or directory")
    wait_for_log(machine, f"chdir {MAILDIR}: No such file or directory", since)
    assert_diagnosed(host, "maildir-missing", since)
    assert "every login of bob@virt.example.test fails" in places(host, "maildir-missing")[MAILDIR]
    recorded("maildir-missing", "broken", machine)

    repair(host, "maildir-missing")
    assert machine.login(BOB, BOB_PASSWORD) == []
    machine.run(f"rmdir {MAILDIR}/new")
    since = time.time() - 1
    assert machine.send(BOB, "waits-for-new").startswith("250 ")
    wait_for_log(machine, f"maildir.close: {MAILDIR}: No such file or directory", since)
    assert repair_again(host, "maildir-missing") == {f"{MAILDIR}/new"}
    deliver_now(machine, "waits-for-new")
    assert machine.login(BOB, BOB_PASSWORD) == ["waits-for-new"]
    shown("maildir-missing", "repaired", machine)
    machine.run(f"rm -rf {MAILDIR}; mv {MAILDIR}.kept {MAILDIR}")


@pytest.mark.hosts_all
def test_system_user_who_never_had_a_maildir(host: Managed) -> None:
    machine = host.machine
    machine.run("useradd --create-home --shell /bin/sh dora")
    report = host.audit(issues="maildir-missing")
    assert [(found["where"], found["severity"]) for found in report["findings"]] == [("/home/dora/Maildir", "low")]

    assert machine.send("dora", "into-a-file").startswith("250 ")
    wait = "grep -F into-a-file /home/dora/Maildir"
    machine.run(f"for try in 1 2 3 4 5 6 7 8 9 10; do {wait} && exit; sleep 0.3; done; exit 1")
    (detail,) = places(host, "maildir-missing").values()
    assert "is a file of" in detail
    assert set(host.highstate(issues=["maildir-missing"]).changes) == set(), "a file with mail is nobody's to move"
    machine.run("userdel -r dora")


def test_maildir_of_another_owner(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    machine.run(f"chgrp -R root {MAILDIR}")
    since = whole_second()
    assert_refused(machine, "not owned by the correct uid or gid")
    wait_for_log(machine, f"{BOB}: Account's mailbox directory is not owned by the correct uid or gid", since)
    assert machine.send(BOB, "group-does-not-matter").startswith("250 ")
    assert machine.arrived("group-does-not-matter")
    assert_diagnosed(host, "maildir-owner", since)
    assert MAILDIR in repair_again(host, "maildir-owner")
    assert machine.login(BOB, BOB_PASSWORD) == ["group-does-not-matter"]

    machine.run(f"chown -R root:root {MAILDIR}")
    since = time.time() - 1
    assert_refused(machine, "Permission denied")
    assert machine.send(BOB, "waits-for-owner").startswith("250 ")
    wait_for_log(machine, "status: deferred", since)
    assert "logins fail, and mail waits" in places(host, "maildir-owner")[MAILDIR]
    recorded("maildir-owner", "broken", machine)
    repair(host, "maildir-owner")
    assert machine.run(f"find {MAILDIR} ! -user vmail -o ! -group vmail").stdout == ""
    deliver_now(machine, "waits-for-owner")
    assert sorted(machine.login(BOB, BOB_PASSWORD)) == ["group-does-not-matter", "waits-for-owner"]
    shown("maildir-owner", "repaired", machine)
    machine.run(f"rm -f {MAILDIR}/cur/* {MAILDIR}/new/*")


def folders(machine: Machine) -> list[str]:
    """The names that IMAP lists, as they come over the wire."""
    with imaplib.IMAP4(machine.address, 143, timeout=30) as client:
        client.login(ALICE, ALICE_PASSWORD)
        return sorted(line.decode().split(' "." ')[1].strip('"') for line in client.list()[1])


def test_folder_with_a_name_of_before_utf8(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    maildir = f"/home/{ALICE}/Maildir"
    script = """set -e; cd ~/Maildir
    for name in '.Entw&APw-rfe' '.R&-D' '.P&D-plan'; do mkdir -p -m 700 "$name/cur" "$name/new" "$name/tmp"; done
    for name in '.Entw&APw-rfe' '.R&-D' '.P&D-plan'; do touch "$name/maildirfolder"; done
    printf 'INBOX.Entw&APw-rfe\\n' >courierimapsubscribed"""
    machine.run(["su", ALICE, "-s", "/bin/sh", "-c", script])
    assert "INBOX.Entw&-APw-rfe" in folders(machine), "the name is taken for a text with an ampersand"
    assert places(host, "maildir-not-utf8") == {maildir: "folders with names of before 1.0: Entw&APw-rfe for Entwürfe"}
    recorded("maildir-not-utf8", "broken", machine)
    machine.run(["rm", "-r", f"{maildir}/.P&D-plan"])

    convert = f"su {ALICE} -s /bin/sh -c 'cd; maildirmake.courier --{{}} Maildir'"
    assert "Rename INBOX.Entw&APw-rfe to INBOX.Entwürfe" in machine.run(convert.format("checkutf8")).stdout
    machine.run(convert.format("convutf8"))
    assert "INBOX.Entw&APw-rfe" in folders(machine)
    assert machine.read(f"{maildir}/courierimapsubscribed").decode() == "INBOX.Entwürfe\n"
    assert host.audit(issues="maildir-not-utf8")["clear"] == ["maildir-not-utf8"]
    shown("maildir-not-utf8", "found", machine)
    machine.run(f"rm -rf {maildir}/.[A-Z]* {maildir}/courierimap*")


def test_maildirsize_that_is_believed_to_be_over_the_limit(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    size = f"{MAILDIR}/maildirsize"
    machine.write(size, f"6000S\n{7000:12} {2:12}\n", mode=0o644, owner="vmail:vmail")
    machine.run(["touch", "-d", "2 days", size])
    since = whole_second()
    assert machine.send(BOB, "not-over").startswith("250 ")
    wait_for_log(machine, "Maildir over quota.", since)
    wait_for_log(machine, "status: deferred", since)
    assert_diagnosed(host, "maildirsize-wrong", since)
    assert "7000 bytes and 2 messages, over the limit; there are 0 and 0" in places(host, "maildirsize-wrong")[size]
    recorded("maildirsize-wrong", "broken", machine)
    repair(host, "maildirsize-wrong")
    deliver_now(machine, "not-over")
    assert machine.read(size).startswith(b"6000S\n"), "the limit is still the same"
    assert b"-1" not in machine.read(size)

    machine.run(f"chown root:root {size}")
    assert repair_again(host, "maildirsize-wrong") == {size}
    assert machine.run(["stat", "-c", "%U:%G", size]).stdout == "vmail:vmail\n"
    machine.write(size, "10M\n")
    since = time.time() - 1
    assert machine.send(BOB, "no-quota").startswith("250 ")
    wait_for_log(machine, "WARN: quota string '10M' not parseable", since)
    assert repair_again(host, "maildirsize-wrong") == {size}
    assert not machine.exists(size)
    assert machine.arrived("no-quota")
    shown("maildirsize-wrong", "repaired", machine)
    machine.run(f"rm -f {MAILDIR}/cur/* {MAILDIR}/new/*")


def test_instructions_that_everybody_may_write(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    path = f"/home/{ALICE}/.courier"
    machine.write(path, "./Maildir\n", mode=0o666, owner=f"{ALICE}:{ALICE}")
    since = whole_second()
    assert machine.send(ALICE, "waits-for-mode").startswith("250 ")
    wait_for_log(machine, ".courier file is globally writeable.", since)
    wait_for_log(machine, "status: deferred", since)
    assert_diagnosed(host, "dotcourier-world-writable", since)
    assert places(host, "dotcourier-world-writable") == {path: "mode 0666: mail that it is for waits"}
    recorded("dotcourier-world-writable", "broken", machine)
    repair(host, "dotcourier-world-writable")
    deliver_now(machine, "waits-for-mode")
    shown("dotcourier-world-writable", "repaired", machine)
    machine.run(f"rm {path} /home/{ALICE}/Maildir/new/*")


def test_delivery_to_nowhere(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    set_delivery(machine, "")
    since = time.time() - 1
    assert machine.send(ALICE, "into-the-void").startswith("250 ")
    wait_for_log(machine, "success: Message delivered.", since)
    assert machine.arrived("into-the-void", timeout=0.5) is None
    assert machine.mbox("into-the-void") is None
    assert machine.run("mailq").stdout.strip().endswith("0 messages.")
    (detail,) = places(host, "defaultdelivery-empty").values()
    assert detail.startswith("empty: mail is thrown away for alice")
    recorded("defaultdelivery-empty", "broken", machine)

    machine.run("systemctl reset-failed")
    repair(host, "defaultdelivery-empty")
    machine.wait_ready()
    assert machine.send(ALICE, "into-the-maildir").startswith("250 ")
    assert machine.arrived("into-the-maildir")
    shown("defaultdelivery-empty", "repaired", machine)
    machine.run(f"rm /home/{ALICE}/Maildir/new/*")


def test_loop_that_maildrop_cannot_see(host: Managed, shown: Shown, recorded: Recorded) -> None:
    machine = host.machine
    # What bounces then has a sender, and is not lost for another reason.
    before = machine.read("/etc/courier/defaultdomain")
    machine.write("/etc/courier/defaultdomain", f"{machine.fqdn}\n")
    set_delivery(machine, LOOPS)
    assert machine.send(ALICE, "without-headers").startswith("250 ")
    assert machine.read(machine.arrived("without-headers")).startswith(b"Received: ")

    machine.write(f"/home/{ALICE}/.mailfilter", f'to "! {ALICE}@{machine.fqdn}"\n', mode=0o600, owner=ALICE)
    machine.run(["chgrp", ALICE, f"/home/{ALICE}/.mailfilter"])
    since = whole_second()
    assert machine.send(ALICE, "goes-round").startswith("250 ")
    wait_for_log(machine, "546 Routing loop detected -- too many Received: headers.", since, timeout=45)
    rounds = [line for line in machine.journal("courierlocal", since=since) if "success: Message delivered." in line]
    assert len(rounds) > 90
    assert_diagnosed(host, "maildrop-header-loss", since)
    (detail,) = places(host, "maildrop-header-loss").values()
    assert detail.startswith(f"{LOOPS}: no Delivered-To header")
    recorded("maildrop-header-loss", "broken", machine, "strategy=mailfilter")

    machine.run("systemctl reset-failed")
    repair(host, "maildrop-header-loss", strategy="mailfilter")
    machine.wait_ready()
    machine.run("courier clear all")
    since = time.time() - 1
    assert machine.send(ALICE, "stops-at-once").startswith("250 ")
    wait_for_log(machine, "Mail loop - already have my Delivered-To: header.", since)
    machine.run(f"rm /home/{ALICE}/.mailfilter")
    assert machine.send(ALICE, "with-headers").startswith("250 ")
    assert machine.read(machine.arrived("with-headers")).startswith(b"Delivered-To: alice@")
    machine.write("/etc/courier/defaultdomain", before)
    shown("maildrop-header-loss", "repaired", machine)
    set_delivery(machine, "./Maildir")
    machine.run(f"rm /home/{ALICE}/Maildir/new/*")
