"""
Each problem that logs, on hosts that keep their log in the journal and on hosts with rsyslog: the log names every
issue that shares the line, and the audit singles out the one that it is.
"""

from __future__ import annotations

import imaplib
import json
import math
import re
import smtplib
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from lab import ALICE, ALICE_PASSWORD, BOB, Machine
from problems import whole_second
from roots import OPENSSL

from courierlib import catalogue, maillog
from courierlib.settings import assign

CAROL = "carol@virt.example.test"
"""A virtual user whose mail is left to DEFAULTDELIVERY, and whose user ID has a passwd home that does not exist."""
DHPARAMS = "/etc/courier/dhparams.pem"
IMAPD = "/etc/courier/imapd.pem"
MAIL_LOG = "/var/log/mail.log"
MAILDROP = "| /usr/bin/maildrop"
RECOMMENDED = '|/usr/bin/maildrop -w 90 -V 1 -d "${RECIPIENT}"'
SMTP = "courier-mta courier-msa courier-mta-ssl"
SPOOL = "/var/lib/courier"

KNOWN = catalogue.load()
LOGGING = [
    pytest.param((), id="journal"),
    pytest.param(("rsyslog",), id="rsyslog", marks=pytest.mark.hosts_all),
]


def said_by(line: str) -> list[str]:
    """Ids of the issues that are known to log a line."""
    return [entry.id for entry, _ in maillog.matching(line, KNOWN.values())]


@dataclass(frozen=True)
class Log:
    """Where a machine keeps its mail log, read by other means than those that are tested."""

    machine: Machine

    @property
    def name(self) -> str:
        return MAIL_LOG if self.machine.exists("/usr/sbin/rsyslogd") else "journal"

    def lines(self, since: float, until: float | None = None) -> list[str]:
        """Lines between two points in time, with what syslog puts before them."""
        if self.name == "journal":
            span = f"--since=@{since:.6f}" + (f" --until=@{until:.6f}" if until else "")
            text = self.machine.run(f"journalctl -q --no-pager -o short-iso-precise {span}", check=False).stdout
        else:
            text = self.machine.run(["cat", MAIL_LOG], check=False).stdout
        stamped = [(line.split(" ", 1)[0], line) for line in text.splitlines() if line[:1].isdigit()]
        return [
            line for stamp, line in stamped if since <= datetime.fromisoformat(stamp).timestamp() <= (until or math.inf)
        ]

    def counts(self, since: float, until: float | None = None) -> Counter[str]:
        """Lines of each issue."""
        return Counter(issue for line in self.lines(since, until) for issue in said_by(line))

    def wait(self, words: str, since: float, timeout: float = 15) -> None:
        deadline = time.monotonic() + timeout
        while not any(words in line for line in self.lines(since)):
            assert time.monotonic() < deadline, "\n".join([f"{words!r} is not in the log:", *self.lines(since)])
            time.sleep(0.2)


@dataclass(frozen=True)
class Problem:
    """A problem that is made and speaks.

    Args:
        issue: its id.
        shares: ids of all issues that log what it logs.
        words: what it logs.
        make: break the machine, and have it speak.
        mend: undo that.
    """

    issue: str
    shares: set[str]
    words: str
    make: Callable[[Machine], object]
    mend: Callable[[Machine], object]


def call(machine: Machine, function: str, *args: Any, **kwargs: Any) -> Any:
    answer = machine.salt_call(function, *args, **kwargs)
    assert answer.value is not None, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    return answer.value


def ids(report: dict[str, Any], part: str) -> set[str]:
    return {row["id"] for row in report[part]}


def assert_names_all_that_share(machine: Machine, log: Log, problem: Problem, since: int) -> None:
    until = whole_second()
    report = call(machine, "courier.diagnose", since=since, until=until)
    lines, counts = log.lines(since, until), log.counts(since, until)
    context = json.dumps(report, indent=1) + "\n" + "\n".join(lines)
    assert ids(report, "issues") == problem.shares, context
    assert {row["id"]: row["count"] for row in report["issues"]} == counts, context
    assert (report["read"], report["unknown"]) == ([log.name], [])
    assert report["unexplained"] == [], context
    for row in report["issues"]:
        assert set(row["shared_with"]) <= problem.shares - {row["id"]}
        assert bool(row["tell"]) == bool(row["shared_with"])
        assert since <= datetime.fromisoformat(row["first"]).timestamp()
        assert row["first"] <= row["last"]
        last = [line for line in lines if row["id"] in said_by(line)][-1]
        # Up to the process; what follows may be cut down.
        assert row["sample"].startswith(last.partition(": ")[0])
        assert_discreet(row["sample"])


def assert_discreet(sample: str) -> None:
    assert sample
    for address in (ALICE + "@", BOB, CAROL, "10.77.0.1]", "s@client.example.test"):
        assert address not in sample


def audit_of_log(machine: Machine, log: Log, issue: str, stock: set[str], began: int) -> dict[str, int]:
    """Audit; of the problems that log what was logged it finds this one alone, and what it says of the log is so.

    Args:
        stock: ids of what is found on the host without the problem.

    Returns:
        The counts.
    """
    before = log.counts(began)
    report = call(machine, "courier.audit")
    after = log.counts(began)
    assert report["log"] == {"read": [log.name] * bool(report["log"]["read"]), "unknown": []}
    # Other problems may come with it that log nothing, such as headers that a delivery line leaves out.
    found = [finding for finding in report["findings"] if finding["id"] not in stock and "log" in finding]
    assert {finding["id"] for finding in found} == {issue}, json.dumps(report, indent=1)
    for finding in found:
        assert 1 <= before[issue] <= finding["log"]["count"] <= after[issue]
        assert_discreet(finding["log"]["sample"])
    return {finding["id"]: finding["log"]["count"] for finding in found}


def assert_told_apart(machine: Machine, problems: Sequence[Problem]) -> None:
    """Make one problem after the other on one machine, and ask of each."""
    stock = ids(call(machine, "courier.audit", log=False), "findings")
    log, began = Log(machine), whole_second()
    for problem in problems:
        since = whole_second()
        problem.make(machine)
        log.wait(problem.words, since)
        assert_names_all_that_share(machine, log, problem, since)
        audit_of_log(machine, log, problem.issue, stock, began)
        if problem is problems[-1]:
            said = log.counts(began)
            counted = audit_of_log(machine, log, problem.issue, stock, began)
            if log.counts(began) == said:
                assert counted == {problem.issue: said[problem.issue]}, "a line was counted twice, or not"
        problem.mend(machine)


# TLS


def handshake_in_vain(machine: Machine, **options: Any) -> None:
    assert not machine.handshake(993, **options).ok


def of_certificate(issue: str, shares: set[str], words: str, damage: Callable[[bytes], bytes]) -> Problem:
    """Damage to imapd's certificate; mended by writing back what was there."""
    kept: list[bytes] = []

    def make(machine: Machine) -> None:
        kept[:] = [machine.read(IMAPD)]
        machine.write(IMAPD, damage(kept[0]))
        handshake_in_vain(machine)

    return Problem(issue, shares, words, make, lambda machine: machine.write(IMAPD, kept[0]))


def of_parameters(issue: str, shares: set[str], words: str, command: str) -> Problem:
    """Damage to the DH parameters, that only a client without elliptic curves meets."""
    kept = "/root/dhparams.pem"

    def make(machine: Machine) -> None:
        machine.run(f"cp -p {DHPARAMS} {kept}; {command}", timeout=120)
        handshake_in_vain(machine, tls12_dhe_only=True)

    return Problem(issue, shares, words, make, lambda machine: machine.run(f"cp -p {kept} {DHPARAMS}"))


GNUTLS_SAYS = "No supported cipher suites have been found."
TLS_OF_GNUTLS = [
    of_certificate(
        "pem-unreadable",
        {"pem-unreadable", "dh-params-unusable"},
        GNUTLS_SAYS,
        lambda content: content[:-200],
    ),
    of_parameters("dh-params-unusable", {"pem-unreadable", "dh-params-unusable"}, GNUTLS_SAYS, f"rm {DHPARAMS}"),
]
TLS_OF_OPENSSL = [
    of_certificate(
        "pem-line-ends",
        {"pem-line-ends", "pem-unreadable"},
        "error:0480006C:PEM routines::no start line",
        lambda content: content.replace(b"\n", b"\r"),
    ),
    of_certificate(
        "pem-unreadable",
        {"pem-unreadable"},
        "couriertls: /etc/courier/imapd.pem: error:",
        lambda content: content[:-200],
    ),
    of_parameters(
        "dh-params-weak",
        # couriertls looks for DH parameters in the certificate, too, and says that it finds none.
        {"dh-params-weak", "dh-params-unusable", "pem-unreadable"},
        "error:0A0000C1:SSL routines::no shared cipher",
        f"openssl dhparam -out {DHPARAMS} 1024",
    ),
    of_parameters(
        "dh-params-unusable",
        {"dh-params-unusable", "dh-params-weak", "pem-unreadable"},
        "couriertls: /etc/courier/dhparams.pem: error:",
        f"rm {DHPARAMS}",
    ),
]


@pytest.mark.parametrize("packages", LOGGING)
def test_tls_problems_of_gnutls_are_told_apart(machine_of, packages) -> None:
    assert_told_apart(machine_of(packages=packages), TLS_OF_GNUTLS)


@pytest.mark.hosts_all
@pytest.mark.parametrize("packages", LOGGING)
def test_tls_problems_of_openssl_are_told_apart(machine_of, packages) -> None:
    assert_told_apart(machine_of(OPENSSL, packages=packages), TLS_OF_OPENSSL)


# Delivery


def set_delivery(machine: Machine, line: str) -> None:
    path = "/etc/courier/courierd"
    machine.write(path, assign(machine.read(path), "DEFAULTDELIVERY", line))
    machine.run("systemctl reset-failed; systemctl restart courier; systemctl start courier-mta")
    machine.wait_ready()
    # What failed before is remembered for up to two hours, and refused meanwhile.
    machine.run("courier clear all")


def of_delivery(issue: str, words: str, line: str, recipient: str, before: str, after: str) -> Problem:
    """A DEFAULTDELIVERY with which mail does not arrive.

    Args:
        before, after: commands that make and undo what the problem needs besides the line.
    """

    def make(machine: Machine) -> None:
        machine.run(before)
        set_delivery(machine, line)
        assert machine.send(recipient, issue, sender=BOB).startswith("250 ")

    def mend(machine: Machine) -> None:
        machine.run(after)
        set_delivery(machine, "./Maildir")
        machine.run("courier flush")
        # The message itself, or the notice that it bounced.
        assert machine.arrived(issue)

    return Problem(issue, {issue}, words, make, mend)


# Without it, where maildrop delivers to is one more problem.
TO_MAILDIR = "cp -p /etc/maildroprc /root; echo 'DEFAULT=\"$HOME/Maildir\"' >>/etc/maildroprc"
STOCK = "cp -p /root/maildroprc /etc"
DELIVERY = [
    of_delivery("maildrop-bounces-virtual-users", ": Invalid user specified.", RECOMMENDED, CAROL, TO_MAILDIR, STOCK),
    of_delivery(
        "maildrop-home-directory",
        "maildrop: Unable to change to home directory.",
        MAILDROP,
        CAROL,
        TO_MAILDIR,
        STOCK,
    ),
    of_delivery(
        "maildrop-spool-delivery",
        "maildrop: Unable to create a dot-lock at /var/mail/",
        '|/usr/bin/maildrop -a -d "$USER"',
        CAROL,
        "chmod 751 /run/courier/authdaemon",
        "chmod 750 /run/courier/authdaemon",
    ),
]


@pytest.mark.parametrize("packages", LOGGING)
def test_delivery_problems_are_told_apart(machine_of, packages) -> None:
    machine = machine_of(packages=packages)
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
    assert_told_apart(machine, DELIVERY)


# Services

REFUSE = {"mailuser-still-daemon", "spool-full", "spool-wrong-owner", "stale-daemon-processes"}


def restart(machine: Machine, units: str = SMTP) -> None:
    """Restart, and go on where that fails: that is what a broken host does."""
    machine.run(f"systemctl reset-failed 'courier*'; systemctl restart {units}", check=False)


def refused(machine: Machine) -> None:
    """Both lines that go with a refusal are in the log: the second one is missing now and then."""
    since, deadline = time.time(), time.monotonic() + 20
    while any(
        not any(words in line for line in Log(machine).lines(since))
        for words in ("submit", "submitclient: EOF from submit.")
    ):
        assert time.monotonic() < deadline, "\n".join(Log(machine).lines(since))
        assert machine.send(ALICE, "refused").startswith("432 ")
        time.sleep(0.3)


def listener_as_daemon(machine: Machine) -> None:
    machine.configure("esmtpd", MAILUSER="daemon", MAILGROUP="daemon")
    restart(machine)
    refused(machine)


def listener_as_courier(machine: Machine) -> None:
    machine.configure("esmtpd", MAILUSER="courier", MAILGROUP="courier")
    restart(machine)
    machine.wait_ready()


def old_listener(machine: Machine) -> None:
    listener = "/usr/sbin/couriertcpd -stderrlogger=/usr/sbin/courierlogger -user=daemon -group=daemon -maxprocs=40"
    old = f"{listener} -pid=/run/courier/old.pid smtp /usr/sbin/courieresmtpd"
    machine.run(f"systemctl stop courier-mta; systemd-run -q --scope {old} >/dev/null 2>&1 </dev/null")
    restart(machine)
    refused(machine)


def no_old_listener(machine: Machine) -> None:
    machine.run("pkill -u daemon couriertcpd; while pgrep -u daemon couriertcpd; do sleep 0.1; done")
    restart(machine)
    machine.wait_ready()


def spool_of_daemon(machine: Machine) -> None:
    machine.run(f"chown daemon:daemon {SPOOL}/tmp")
    refused(machine)


def track_of_daemon(machine: Machine) -> None:
    machine.run(f"chown daemon:daemon {SPOOL}/track")
    restart(machine, "courier")


def own(area: str) -> Callable[[Machine], None]:
    def give_back(machine: Machine) -> None:
        machine.run(f"chown courier:courier {SPOOL}/{area}")
        restart(machine, f"courier {SMTP}")
        machine.wait_ready()

    return give_back


SERVICES = [
    Problem("mailuser-still-daemon", REFUSE, "Permission denied", listener_as_daemon, listener_as_courier),
    Problem("stale-daemon-processes", REFUSE, "Permission denied", old_listener, no_old_listener),
    Problem("spool-wrong-owner", REFUSE, "Permission denied", spool_of_daemon, own("tmp")),
    Problem(
        "spool-wrong-owner",
        {"spool-wrong-owner"},
        "track is not owned by the correct uid",
        track_of_daemon,
        own("track"),
    ),
]


@pytest.mark.parametrize("packages", LOGGING)
def test_problems_of_services_are_told_apart(machine_of, packages) -> None:
    assert_told_apart(machine_of(packages=packages), SERVICES)


def test_every_issue_that_logs_is_provoked_on_a_host() -> None:
    made = {problem.issue for problem in (*TLS_OF_GNUTLS, *TLS_OF_OPENSSL, *DELIVERY, *SERVICES)}
    for path in Path(__file__).parent.glob("test_*.py"):
        functions = re.split(r"^(?=def )", path.read_text(), flags=re.MULTILINE)
        for asserting in (text for text in functions if "assert_diagnosed(" in text):
            made |= set(re.findall(r'"([a-z0-9-]+)"', asserting))
    assert {entry.id for entry in KNOWN.values() if entry.issue.signatures} - made == set()


# What is no known problem


STARTED_SIDE_BY_SIDE = {"imapd", "imapd-ssl", "pop3d", "pop3d-ssl"}
"""At boot, start scripts of these make the same files at the same time, and some complain."""


@pytest.mark.parametrize("packages", LOGGING)
def test_healthy_host_says_nothing_and_a_failure_that_nobody_knows_is_grouped(machine_of, packages) -> None:
    machine = machine_of(packages=packages)
    log = Log(machine)
    for group in call(machine, "courier.diagnose")["unexplained"]:
        assert group["process"] in STARTED_SIDE_BY_SIDE, group
    since = whole_second()
    assert machine.send(ALICE, "healthy").startswith("250 ")
    assert machine.arrived("healthy")
    assert machine.login(ALICE, ALICE_PASSWORD) == ["healthy"]
    for port, starttls in ((465, None), (993, None), (995, None), (25, "smtp"), (143, "imap"), (110, "pop3")):
        assert machine.handshake(port, starttls=starttls).ok
    with pytest.raises(imaplib.IMAP4.error):
        machine.login(ALICE, "wrong")
    whole_second()
    assert log.lines(since)
    report = call(machine, "courier.diagnose", since=since)
    assert report["issues"] == report["unexplained"] == report["unknown"] == [], json.dumps(report, indent=1)
    assert report["read"] == [log.name]

    for number in (17, 18, 19):
        machine.run(["logger", "-p", "mail.err", "-t", "courierd", f"Cannot count message {number} of alice@a.test"])
    log.wait("message 19", since)
    report = call(machine, "courier.diagnose", since=since)
    (group,) = report["unexplained"]
    assert (group["process"], group["count"], report["unexplained_lines"]) == ("courierd", 3, 3)
    assert maillog.split(group["sample"]) == ("courierd", "Cannot count message 19 of a…@a.test")
    assert report["issues"] == []


def login_with_literal(machine: Machine, user: str) -> bytes:
    """Log in over IMAP with a name that may have any characters, such as ends of lines; what the server answers."""
    with socket.create_connection((machine.address, 143), timeout=30) as client, client.makefile("rwb") as stream:
        stream.readline()
        stream.write(b"1 LOGIN {%d}\r\n" % len(user.encode()))
        stream.flush()
        answer = stream.readline()
        stream.write(user.encode() + b' "wrong"\r\n2 LOGOUT\r\n')
        stream.flush()
        return answer + stream.read()


@pytest.mark.parametrize("packages", LOGGING)
def test_what_a_stranger_sends_does_not_count(machine_of, packages) -> None:
    """Senders, recipients, greetings, subjects and user names that imitate lines of the log."""
    machine = machine_of(packages=packages)
    log, since = Log(machine), whole_second()
    home = "maildrop: Unable to change to home directory."
    tls = "couriertls: connect: error:0A0000C1:SSL routines::no shared cipher"
    # A session each: after a fault the server lets its client wait, mostly for eight seconds.
    with smtplib.SMTP(machine.address, 25, timeout=90) as client:
        client.ehlo()
        assert client.docmd(f'MAIL FROM:<"{home}"@client.example.test>') == (517, b"Syntax error.")
    with smtplib.SMTP(machine.address, 25, timeout=90) as client:
        client.ehlo()
        client.mail("")
        refusal = f"User <{home}> unknown".encode()
        assert client.docmd(f'RCPT TO:<"{home}"@{machine.fqdn}>') == (550, refusal)
    message = f"Subject: {tls}\r\nFrom: {home}\r\n\r\n{home}\r\n"
    with smtplib.SMTP(machine.address, 25, timeout=90) as client:
        client.ehlo(home)
        client.mail("")
        client.rcpt(f"{ALICE}@{machine.fqdn}")
        assert client.data(message)[0] == 250
    assert machine.arrived(tls)
    for text in (home, f"x\nip=[192.0.2.7], {tls}\n{GNUTLS_SAYS}\n"):
        assert b"1 NO Login failed." in login_with_literal(machine, text)
    # Ends of lines in the name are not the log's.
    log.wait("LOGIN FAILED, user=x.ip=[192.0.2.7], couriertls:", since)
    until = whole_second()
    lines = log.lines(since, until)
    report = call(machine, "courier.diagnose", since=since, until=until)
    assert any(home in line for line in lines)
    assert any(tls in line for line in lines)
    assert report["issues"] == report["unexplained"] == [], json.dumps(report, indent=1)


def test_line_of_the_log_is_explained_as_typed(machine_of) -> None:
    machine = machine_of()
    line = "ip=[192.0.2.7], couriertls: connect: error:0A0000C1:SSL routines::no shared cipher"
    pages = call(machine, "courier.explain", line)
    for issue in ("dh-params-weak", "dh-params-unusable"):
        assert KNOWN[issue].title in pages
    assert KNOWN["pem-unreadable"].title not in pages.split("\n# ")[0]
