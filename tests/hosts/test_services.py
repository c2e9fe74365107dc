"""Services, users and the spool on booted hosts: made wrong for real, shown to hurt, found, repaired, and gone."""

from __future__ import annotations

import imaplib
import ssl
import time
from collections.abc import Callable, Collection

import pytest
from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, SUITES, Machine

ISSUES = ("courierd-not-running", "mailuser-still-daemon", "spool-wrong-owner", "stale-daemon-processes")
SPOOL = "/var/lib/courier"
SMTP = "courier-mta courier-msa courier-mta-ssl"
REFUSED = "432 Service temporarily unavailable."
NOBODY_LISTENS = "nobody listens"

Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]


def findings(host: Managed) -> dict[str, dict[str, str]]:
    """What the audit finds of these problems: detail by place, by id."""
    report = host.audit(issues=",".join(ISSUES))
    assert report["unknown"] == []
    found: dict[str, dict[str, str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["id"], {})[finding["where"]] = finding["detail"]
    return found


def repair(host: Managed, issue: str, *allow: str) -> dict[str, dict[str, str]]:
    """Repair by highstate; what was announced is done, and the second time there is nothing left to do."""
    pillar = {"issues": [issue], "allow": list(allow)}
    announced = host.highstate(test=True, **pillar)
    done = host.highstate(**pillar)
    assert announced.changes == done.changes != {}, done.comments
    assert set(done.results) == {True}, done.comments
    again = host.highstate(**pillar)
    assert (set(again.results), again.changes) == ({True}, {})
    return done.changes


def offer(machine: Machine, marker: str) -> str:
    try:
        return machine.send(ALICE, marker)
    except ConnectionRefusedError:
        return NOBODY_LISTENS


def assert_delivers(machine: Machine, marker: str) -> None:
    assert offer(machine, marker).startswith("250 ")
    assert machine.arrived(marker)


def restart(machine: Machine, units: str = SMTP) -> None:
    """Restart, and go on where that fails: that is what a broken host does."""
    machine.run(f"systemctl reset-failed 'courier*'; systemctl restart {units}", check=False)


def wait_for_log(machine: Machine, tag: str, words: str, since: float) -> None:
    deadline = time.monotonic() + 10
    while not any(words in line for line in machine.journal(tag, since=since)):
        assert time.monotonic() < deadline, (words, machine.journal(since=since))
        time.sleep(0.1)


def assert_refuses(machine: Machine) -> None:
    """Mail is refused, and the log has both lines that go with it: the second one is missing now and then."""
    since, deadline = time.time(), time.monotonic() + 20
    wanted = {"submit": "Permission denied", "courieresmtpd": "submitclient: EOF from submit."}
    while not all(any(wanted[tag] in line for line in machine.journal(tag, since=since)) for tag in wanted):
        assert time.monotonic() < deadline, machine.journal(since=since)
        assert offer(machine, "refused") == REFUSED
        time.sleep(0.3)


def kill_courierd(machine: Machine) -> None:
    machine.run("systemctl kill --signal=KILL courier; while pgrep -x courierd; do sleep 0.1; done")


def waiting(machine: Machine) -> list[str]:
    return machine.run(f"find {SPOOL}/tmp/[0-9]* -name 'C*'").stdout.split()


@pytest.mark.parametrize(
    "base", [pytest.param(base, marks=[pytest.mark.hosts_all] * (base != "trixie")) for base in SUITES]
)
def test_services_of_a_stock_host_have_their_roles_and_are_up(machine_of, base: str) -> None:
    services = machine_of(base).salt_call("courier.info").value["services"]
    assert services == {
        name: {"state": "active (running)", "enabled": True, "roles": [role]}
        for name, role in {
            "courier-authdaemon": "authdaemon",
            "courier": "scheduler",
            "courierfilter": "filter",
            "courier-mta": "smtp",
            "courier-msa": "msa",
            "courier-mta-ssl": "smtps",
            "courier-imap": "imap",
            "courier-imap-ssl": "imaps",
            "courier-pop": "pop3",
            "courier-pop-ssl": "pop3s",
        }.items()
    }


def test_mail_that_waits_for_courierd_is_found_and_delivered(
    managed, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = managed(release)
    machine = host.machine
    kill_courierd(machine)
    assert offer(machine, "waits-for-courierd").startswith("250 ")
    assert machine.arrived("waits-for-courierd", timeout=2) is None
    assert "0 messages." in machine.run("mailq").stdout
    detail = findings(host)["courierd-not-running"]["service courier"]
    assert "no courierd process; courier is failed" in detail
    assert "1 message waiting" in detail
    recorded("courierd-not-running", "broken", machine)
    assert set(repair(host, "courierd-not-running")) == {"service courier"}
    assert machine.arrived("waits-for-courierd")
    assert findings(host) == {}
    shown("courierd-not-running", "repaired", machine)


@pytest.mark.hosts_all
def test_masked_courierd_comes_back_only_with_leave(managed, release: str) -> None:
    host = managed(release)
    machine = host.machine
    machine.run("systemctl mask courier; systemctl stop courier-mta courierfilter")
    kill_courierd(machine)
    assert offer(machine, "masked") == NOBODY_LISTENS
    withheld = machine.salt_call("courier.fix", "courierd-not-running").value
    assert (withheld["changes"], withheld["findings_after"]) == ({}, 1)
    assert "only with allow=unmask-service" in withheld["comment"]
    repair(host, "courierd-not-running", "unmask-service")
    assert_delivers(machine, "unmasked")


def test_courierd_deletes_what_waited_two_days_so_it_is_started_only_with_leave(managed, release: str) -> None:
    host = managed(release)
    machine = host.machine
    for marker in ("kept-by-a-new-date", "deleted-by-courierd"):
        kill_courierd(machine)
        assert offer(machine, marker).startswith("250 ")
        machine.run(f"find {SPOOL}/tmp/[0-9]* -type f -exec touch -d '-49 hours' {{}} +")
        assert "courierd deletes 1 of them when it starts" in findings(host)["courierd-not-running"]["service courier"]
        withheld = machine.salt_call("courier.ensure_services", allow="old-queue").value
        assert withheld["changes"] == {}
        assert "only with allow=delete-expired-mail" in withheld["comment"]
        if marker == "kept-by-a-new-date":
            machine.run(f"find {SPOOL}/tmp/[0-9]* -type f -exec touch {{}} +")
            repair(host, "courierd-not-running")
            assert machine.arrived(marker)
    repair(host, "courierd-not-running", "delete-expired-mail")
    assert machine.arrived("deleted-by-courierd", timeout=3) is None
    assert waiting(machine) == []


@pytest.mark.hosts_all
def test_mail_of_yesterday_is_sent_only_with_leave(managed, release: str) -> None:
    host = managed(release)
    machine = host.machine
    kill_courierd(machine)
    assert offer(machine, "of-yesterday").startswith("250 ")
    machine.run(f"find {SPOOL}/tmp/[0-9]* -type f -exec touch -d '-30 hours' {{}} +")
    assert "only with allow=old-queue" in machine.salt_call("courier.ensure_services").value["comment"]
    repair(host, "courierd-not-running", "old-queue")
    assert machine.arrived("of-yesterday")


def test_listener_that_runs_as_daemon_refuses_mail_until_repaired(
    managed, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = managed(release)
    machine = host.machine
    assert machine.handshake(25, starttls="smtp").ok
    machine.configure("esmtpd", MAILUSER="daemon", MAILGROUP="daemon")
    restart(machine)
    assert_refuses(machine)
    before = machine.read("/etc/courier/esmtpd").decode()
    assert set(findings(host)) == {"mailuser-still-daemon"}
    recorded("mailuser-still-daemon", "broken", machine)
    changes = repair(host, "mailuser-still-daemon")
    assert set(changes) == {"/etc/courier/esmtpd MAILUSER", "/etc/courier/esmtpd MAILGROUP"}
    assert machine.read("/etc/courier/esmtpd").decode() == before.replace('"daemon"', '"courier"')
    assert_delivers(machine, "accepted-again")
    assert machine.handshake(25, starttls="smtp").ok
    assert findings(host) == {}
    shown("mailuser-still-daemon", "repaired", machine)


@pytest.mark.hosts_all
@pytest.mark.parametrize(("user", "group"), [("daemon", "courier"), ("courier", "daemon"), ("", ""), ("courier", "")])
def test_other_users_that_work_are_no_finding(managed, release: str, user: str, group: str) -> None:
    host = managed(release)
    machine = host.machine
    machine.configure("esmtpd", MAILUSER=user, MAILGROUP=group)
    restart(machine)
    assert_delivers(machine, "works-all-the-same")
    assert findings(host) == {}


def test_spool_of_daemon_is_given_back_without_taking_mail_from_its_senders(
    managed, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = managed(release)
    machine = host.machine
    machine.run("hostname -f > /etc/courier/defaultdomain; systemctl restart courier")
    machine.wait_ready()
    machine.write("/home/alice/.courier", "| exit 75\n", owner="alice", mode=0o600)
    assert offer(machine, "from-outside").startswith("250 ")
    message = f"From: alice@{machine.fqdn}\nSubject: from-alice\n\nfrom-alice\n"
    machine.run(f"setpriv --reuid alice --regid alice --init-groups sendmail {ALICE}@{machine.fqdn}", input=message)
    envelopes = f"find {SPOOL}/msgs -name 'C*' -printf '%u:%g %n\\n' | sort"
    deadline = time.monotonic() + 10
    while machine.run(envelopes).stdout != "alice:courier 2\ncourier:courier 2\n":
        assert time.monotonic() < deadline, machine.run(envelopes).stdout
        time.sleep(0.1)

    since = time.time()
    machine.run(f"systemctl stop courier; chown -R --from=courier daemon {SPOOL}/tmp {SPOOL}/msgs {SPOOL}/msgq")
    machine.run(f"chgrp -R daemon {SPOOL}/tmp {SPOOL}/msgs {SPOOL}/msgq; rm /home/alice/.courier")
    restart(machine)
    assert_refuses(machine)
    wait_for_log(machine, "courierd", "ABNORMAL TERMINATION, exit status: 1", since)
    places = findings(host)["spool-wrong-owner"]
    assert {f"{SPOOL}/{area}{entries}" for area in ("tmp", "msgs", "msgq") for entries in ("", "/*")} == set(places)
    recorded("spool-wrong-owner", "broken", machine)
    assert repair(host, "spool-wrong-owner")
    machine.wait_ready()
    assert (
        machine.run(f"stat -c '%U:%G %a' {SPOOL}/tmp {SPOOL}/msgs").stdout
        == "courier:courier 770\ncourier:courier 750\n"
    )
    machine.run("courier flush")
    assert machine.arrived("from-outside")
    assert "alice" in (machine.arrived("from-alice") or "")
    assert_delivers(machine, "accepted-again")
    assert findings(host) == {}
    shown("spool-wrong-owner", "repaired", machine)


@pytest.mark.hosts_all
@pytest.mark.parametrize(
    ("path", "answers", "tag", "words"),
    [
        (f"{SPOOL}/tmp", (REFUSED,), "submit", "Permission denied"),
        (f"{SPOOL}/msgs", ("250 ",), "courierd", "ABNORMAL TERMINATION, exit status: 1"),
        (f"{SPOOL}/track", ("250 ",), "courierd", "track is not owned by the correct uid"),
        (f"{SPOOL}/filters", (NOBODY_LISTENS,), "courierfilter", "/.lock: Permission denied"),
        ("/run/courier", (NOBODY_LISTENS,), "systemd", "courierfilter.service: Failed with result 'exit-code'"),
        ("/run/courier/authdaemon", ("450 ",), "courieresmtpd", "authdaemon: s_connect() failed: Permission denied"),
    ],
)
def test_each_directory_of_daemon_is_found_and_given_back(
    managed, release: str, path: str, answers: Collection[str], tag: str, words: str
) -> None:
    host = managed(release)
    machine = host.machine
    stock = machine.run(f"stat -c '%U:%G %a' {path}").stdout
    since = time.time()
    machine.run(f"chown daemon:daemon {path}; systemctl kill --signal=KILL courierfilter")
    restart(machine)
    assert offer(machine, "while-broken").startswith(tuple(answers))
    wait_for_log(machine, tag, words, since)
    assert set(findings(host)["spool-wrong-owner"]) == {path}
    repair(host, "spool-wrong-owner")
    assert machine.run(f"stat -c '%U:%G %a' {path}").stdout == stock
    machine.wait_ready()
    assert_delivers(machine, "accepted-again")
    if answers == ("250 ",):
        assert machine.arrived("while-broken")
    assert findings(host) == {}


def test_repair_of_the_spool_can_be_taken_back(machine_of) -> None:
    machine = machine_of()
    machine.run(f"chown daemon:daemon {SPOOL}/track")
    run = machine.salt_call("courier.fix", "spool-wrong-owner").value["run"]
    machine.salt_call("courier.undo", run)
    assert machine.run(f"stat -c %U:%G {SPOOL}/track").stdout == "daemon:daemon\n"


def test_old_listener_that_holds_the_port_is_ended_and_esmtpd_started(
    managed, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = managed(release)
    machine = host.machine
    session = imaplib.IMAP4_SSL(machine.address, 993, ssl_context=_trusting(), timeout=30)
    session.login(ALICE, ALICE_PASSWORD)
    listener = "/usr/sbin/couriertcpd -stderrlogger=/usr/sbin/courierlogger -user=daemon -group=daemon -maxprocs=40"
    old = f"{listener} -pid=/run/courier/old.pid smtp /usr/sbin/courieresmtpd"
    machine.run(f"systemctl stop courier-mta; systemd-run -q --scope {old} >/dev/null 2>&1 </dev/null")
    restart(machine)
    assert machine.run("systemctl is-active courier-mta", check=False).stdout == "failed\n"
    assert_refuses(machine)
    (pid,) = machine.run("pgrep -u daemon couriertcpd").stdout.split()
    detail = findings(host)["stale-daemon-processes"][f"process {pid} /usr/sbin/couriertcpd"]
    assert "run as daemon, not as courier" in detail
    recorded("stale-daemon-processes", "broken", machine)
    changes = repair(host, "stale-daemon-processes")
    assert {"service courier-mta", f"process {pid} /usr/sbin/couriertcpd"} <= set(changes)
    assert machine.run("pgrep -u daemon courier", check=False).stdout == ""
    assert_delivers(machine, "accepted-again")
    assert session.noop()[0] == "OK", "a session of another service stays open"
    assert findings(host) == {}
    shown("stale-daemon-processes", "repaired", machine)


@pytest.mark.hosts_all
def test_replaced_programs_are_found_and_their_services_restarted(managed, release: str) -> None:
    host = managed(release)
    machine = host.machine
    daemons = "/usr/lib/courier/courier/courierd /usr/sbin/couriertcpd"
    machine.run(f"for daemon in {daemons}; do cp -p $daemon /root/new; mv /root/new $daemon; done")
    places = findings(host)["stale-daemon-processes"]
    assert {"service courier", "service courier-mta", "service courier-imap"} <= set(places)
    repair(host, "stale-daemon-processes")
    assert "(deleted)" not in machine.run("ls -l /proc/[0-9]*/exe", check=False).stdout
    assert_delivers(machine, "after-the-restart")
    assert findings(host) == {}


@pytest.mark.hosts_all
def test_listener_started_by_hand_and_adopted_by_its_unit_goes_back_into_it(managed, release: str) -> None:
    host = managed(release)
    machine = host.machine
    machine.run("systemctl stop courier-mta; systemd-run -q --scope /usr/sbin/esmtpd start")
    machine.wait_ready()
    restart(machine, "courierfilter courier")
    machine.run("systemctl start courier-mta", check=False)
    assert "outside all services" in "".join(findings(host)["stale-daemon-processes"].values())
    repair(host, "stale-daemon-processes")
    machine.wait_ready()
    assert_delivers(machine, "from-the-unit")
    assert findings(host) == {}


@pytest.mark.hosts_all
def test_killing_by_name_ends_far_more_than_old_daemons(machine_of) -> None:
    machine = machine_of()
    session = imaplib.IMAP4_SSL(machine.address, 993, ssl_context=_trusting(), timeout=30)
    session.login(ALICE, ALICE_PASSWORD)
    machine.run("setsid tail -f /etc/courier/esmtpd >/dev/null 2>&1 </dev/null &")
    machine.run(["pkill", "-9", "-f", "courier"], check=False)
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        session.noop()
    active = "systemctl list-units --no-legend --plain --state=active 'courier*'"
    deadline = time.monotonic() + 10
    while left := machine.run(f"pgrep -x tail; {active}").stdout:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _trusting() -> ssl.SSLContext:
    """The stock certificates are self-signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
