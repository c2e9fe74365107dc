"""Limits of connections, mail filters, and flaws of versions, on booted hosts."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from fleet import Managed
from lab import ALICE, ALICE_PASSWORD, Machine
from problems import assert_diagnosed, places, repair, wait_for_log, whole_second

SPOOL = "/var/lib/courier"
IVY = 4711
"""A user ID of its own: the kernel counts inotify instances by user ID, over all containers of a machine."""

Shared = Callable[[str], Managed]
Shown = Callable[[str, str, Machine], None]
Recorded = Callable[..., None]


@contextmanager
def connections(machine: Machine, port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that do nothing, and that the server knows of."""
    with ExitStack() as life:
        yield [life.enter_context(socket.create_connection((machine.address, port), timeout=10)) for _ in range(count)]


def greeting(connection: socket.socket, seconds: float = 3) -> bytes | None:
    """What the server says first; nothing if it closes the connection, None if it keeps silent."""
    connection.settimeout(seconds)
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""
    except TimeoutError:
        return None


def set_limits(machine: Machine, **limits: str) -> None:
    machine.configure("imapd", **limits)
    machine.run("systemctl restart courier-imap courier-imap-ssl")
    machine.wait_ready(143)
    # The one that saw that it is ready.
    machine.run("while pgrep -x imaplogin; do sleep 0.1; done")


def test_connections_above_the_limit_for_one_address_are_closed(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine, since = host.machine, whole_second()
    set_limits(machine, MAXPERIP="3")
    with connections(machine, 143, 3) as others:
        assert all(greeting(other) for other in others)
        with connections(machine, 143, 1) as (further,):
            assert greeting(further) == b""
        wait_for_log(machine, "Maximum connection limit reached for ::ffff:10.77.0.1", since)
        assert "3 connections from 10.77.0.1, and MAXPERIP is 3" in places(host, "connection-limit")["imapd (port 143)"]
        recorded("connection-limit", "broken", machine)
    assert_diagnosed(host, "connection-limit", since)
    # The connections are gone, and the log still tells.
    time.sleep(0.5)
    (finding,) = [row for row in host.audit()["findings"] if row["id"] == "connection-limit"]
    assert (finding["where"], finding["fix"], finding["log"]["count"]) == ("mail log", None, 1)
    set_limits(machine, MAXPERIP="20")
    with connections(machine, 143, 4) as allowed:
        assert all(greeting(connection) for connection in allowed)
    shown("connection-limit", "found", machine)


def test_nobody_gets_in_when_all_connections_are_in_use(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine, since = host.machine, whole_second()
    set_limits(machine, MAXDAEMONS="3")
    with connections(machine, 143, 3) as others:
        assert all(greeting(other) for other in others)
        with connections(machine, 143, 1) as (further,):
            assert greeting(further) is None
            wait_for_log(machine, "3 maximum active connections.", since)
            assert "nobody else gets in" in places(host, "max-daemons")["imapd (port 143)"]
            recorded("max-daemons", "broken", machine)
            others.pop().close()
            assert greeting(further)
    assert_diagnosed(host, "max-daemons", since)
    set_limits(machine, MAXDAEMONS="40")
    shown("max-daemons", "found", machine)


def test_sessions_without_inotify_are_told_so(shared: Shared, release: str, shown: Shown, recorded: Recorded) -> None:
    host = shared(release)
    machine = host.machine
    machine.run(
        f"""useradd -u {IVY} -m ivy
        echo 'ivy:plenty of watches' | chpasswd
        cd ~ivy && setpriv --reuid {IVY} --regid {IVY} --clear-groups maildirmake.courier Maildir
        systemctl restart courier-authdaemon"""
    )
    machine.wait_ready(143)

    def session() -> tuple[ExitStack, bytes, BinaryIO]:
        """A session that stays open, the lines of its login, and its connection."""
        life = ExitStack()
        stream = life.enter_context(socket.create_connection((machine.address, 143), timeout=20)).makefile("rwb")
        stream.readline()
        stream.write(b'1 LOGIN ivy "plenty of watches"\r\n')
        stream.flush()
        said = b""
        while not said.endswith((b"LOGIN Ok.\r\n", b"failed.\r\n")):
            said += stream.readline()
        return life, said, stream

    life, said, _ = session()
    assert b"Inotify" not in said
    since = whole_second()
    # inotify_init1(2) on x86-64, until there is no more.
    hold = "perl -e 'while (($fd = syscall(294, 0)) >= 0) {} sleep 60'"
    machine.run(f"systemd-run -q --unit=holder --uid={IVY} {hold}")
    with life:
        time.sleep(1)
        second, said, stream = session()
        with second:
            assert (b"* OK [ALERT] Inotify initialization error" in said) == release.startswith("trixie")
            if release == "forky":
                stream.write(b"2 SELECT INBOX\r\n3 IDLE\r\n")
                stream.flush()
                assert stream.read().endswith(b"2 OK [READ-WRITE] Ok\r\n"), "the session ends"
                wait_for_log(machine, "inotity_init() failed", since)
                assert_diagnosed(host, "inotify-limits", since)
            if release == "bookworm":
                assert host.audit(issues="inotify-limits")["clear"] == ["inotify-limits"]
            else:
                assert "inotify instances in use" in places(host, "inotify-limits")["user ivy"]
                recorded("inotify-limits", "broken", machine)
    machine.run("systemctl stop holder; userdel -r ivy; systemctl restart courier-authdaemon", check=False)
    shown("inotify-limits", "cannot occur" if release == "bookworm" else "found", machine)


def test_a_dead_filter_stops_all_mail_until_courierfilter_is_restarted(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine, since = host.machine, whole_second()
    machine.run("filterctl start dupfilter; sleep 1; pkill -KILL -x dupfilter")
    assert machine.send(ALICE, "past-a-dead-filter").startswith("250 ")
    bind = f'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("{SPOOL}/allfilters/spamfilter")) or die $!'
    machine.run(["perl", "-MSocket", "-e", bind])
    machine.run(f"chown courier:courier {SPOOL}/allfilters/spamfilter")
    assert machine.send(ALICE, "refused-by-a-filter") == "432 Mail filters temporarily unavailable."
    wait_for_log(machine, f"Failed to connect to: {SPOOL}/allfilters/spamfilter", since)
    assert_diagnosed(host, "mail-filter-dead", since)
    assert places(host, "mail-filter-dead") == {
        f"{SPOOL}/allfilters/spamfilter": "nobody listens there: all mail is refused with 432 (enablefiltering: esmtp)",
        f"{SPOOL}/filters/dupfilter": "nobody listens there: mail for recipients whose rcptfilter asks for "
        "filters is refused with 432 (enablefiltering: esmtp)",
    }
    recorded("mail-filter-dead", "broken", machine)
    assert set(repair(host, "mail-filter-dead")) == {"service courierfilter"}
    machine.wait_ready()
    assert machine.send(ALICE, "accepted-again").startswith("250 ")
    assert machine.arrived("accepted-again")
    assert machine.run("pgrep -x dupfilter").stdout
    machine.run("filterctl stop dupfilter; ln -s /usr/lib/courier/filters/gone /etc/courier/filters/active/gone")
    assert "remove the link" in places(host, "mail-filter-dead")["/etc/courier/filters/active/gone"]
    machine.run("rm /etc/courier/filters/active/gone")
    assert host.audit(issues="mail-filter-dead")["clear"] == ["mail-filter-dead"]
    shown("mail-filter-dead", "repaired", machine)


def after_stls(machine: Machine) -> bytes:
    """What the server says inside TLS to a command that was sent before, in one packet with STLS."""
    plain = socket.create_connection((machine.address, 110), timeout=20)
    plain.recv(200)
    plain.sendall(b"STLS\r\nCAPA\r\n")
    answer = plain.recv(200)
    if not answer.startswith(b"+OK"):
        return answer
    with ssl._create_unverified_context().wrap_socket(plain) as encrypted:
        return greeting(encrypted, 2) or b""


def test_commands_from_before_the_handshake_are_obeyed_by_old_pop3_servers(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    if release != "bookworm":
        assert after_stls(machine) == b""
        assert host.audit(issues="pop3-stls-injection")["clear"] == ["pop3-stls-injection"]
        shown("pop3-stls-injection", "cannot occur", machine)
        return
    assert b"Here's what I can do" in after_stls(machine)
    assert "CVE-2021-38084" in places(host, "pop3-stls-injection")["/etc/courier/pop3d-ssl"]
    recorded("pop3-stls-injection", "broken", machine)
    before = machine.read("/etc/courier/pop3d-ssl")
    assert set(repair(host, "pop3-stls-injection", "end-pop3-starttls")) == {"/etc/courier/pop3d-ssl POP3_STARTTLS"}
    assert after_stls(machine).startswith(b"-ERR")
    assert machine.handshake(995).ok
    recorded("pop3-stls-injection", "healthy", machine)
    machine.write("/etc/courier/pop3d-ssl", before)
    machine.run("systemctl restart courier-pop")
    shown("pop3-stls-injection", "repaired", machine)


def test_a_search_without_end_ends_the_session_of_old_servers(
    shared: Shared, release: str, shown: Shown, recorded: Recorded
) -> None:
    host = shared(release)
    machine = host.machine
    with socket.create_connection((machine.address, 143), timeout=20) as client, client.makefile("rwb") as stream:
        stream.readline()
        for line in (f'1 LOGIN {ALICE} "{ALICE_PASSWORD}"', "2 SELECT INBOX"):
            stream.write(line.encode() + b"\r\n")
            stream.flush()
            while not stream.readline().startswith(line[:2].encode()):
                pass
        try:
            stream.write(b"3 SEARCH " + b"(" * 200_000 + b"ALL" + b")" * 200_000 + b"\r\n")
            stream.flush()
            answer = stream.readline()
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    if release == "forky":
        assert answer.startswith(b"3 NO ")
        assert host.audit(issues="imap-search-depth")["clear"] == ["imap-search-depth"]
        recorded("imap-search-depth", "healthy", machine, base="forky")
        shown("imap-search-depth", "cannot occur", machine)
        return
    assert answer == b""
    assert machine.login(ALICE, ALICE_PASSWORD) is not None
    assert "no limit for the depth" in places(host, "imap-search-depth")["imapd"]
    recorded("imap-search-depth", "broken", machine)
    shown("imap-search-depth", "found", machine)
