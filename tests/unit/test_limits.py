"""Limits of couriertcpd: which listener serves how many connections, and from where."""

from __future__ import annotations

import dataclasses
import socket
from collections import Counter

import pytest
from spoolhost import IMAPD, spool_host

from courierlib import limits, listeners
from courierlib.issue import Severity
from courierlib.issues import connection_limit, max_daemons

TCPD = dataclasses.replace(
    IMAPD,
    pid=300,
    arguments=("/usr/sbin/couriertcpd", "-address=0", "-maxprocs=3", "-maxperip=2", "143", "/usr/lib/x/imaplogin"),
)
SMTP = dataclasses.replace(
    IMAPD,
    pid=400,
    arguments=("/usr/sbin/couriertcpd", "-maxprocs=40", "-maxperc=3", "-maxperip=9", "587", "/usr/sbin/courieresmtpd"),
)


def child(pid, ppid):
    return dataclasses.replace(IMAPD, pid=pid, ppid=ppid, name="imaplogin", arguments=("imaplogin",))


@pytest.fixture
def host(tmp_path):
    def host(children=0, connected=None):
        processes = [TCPD, SMTP, *(child(500 + number, TCPD.pid) for number in range(children))]
        host = spool_host(tmp_path, processes=processes)
        listening = (
            listeners.Listener(143, "::", TCPD.pid, "couriertcpd"),
            listeners.Listener(143, "0.0.0.0", TCPD.pid, "couriertcpd"),
            listeners.Listener(587, "::", SMTP.pid, "couriertcpd"),
        )
        host.__dict__["sockets"] = listeners.Sockets(listening, connected or {})
        return host

    return host


def test_a_listener_has_the_limits_that_it_was_started_with(host):
    imap, msa = limits.running(host(children=2))
    assert (imap.name, imap.most, imap.most_per_address, imap.most_per_network) == ("imapd (port 143)", 3, 2, 3)
    assert (imap.children, msa.children) == (2, 0)
    assert (msa.name, msa.most_per_network) == ("esmtpd-msa (port 587)", 3)


def test_a_listener_without_a_free_place_is_found(host):
    assert list(max_daemons.check(host(children=2))) == []
    (finding,) = max_daemons.check(host(children=3))
    assert (finding.where, finding.severity) == ("imapd (port 143)", None)


def test_an_address_that_has_reached_its_limit_is_found(host):
    assert not list(connection_limit.check(host(connected={143: Counter({"192.0.2.7": 1}), 25: Counter(x=99)})))
    (finding,) = connection_limit.check(host(connected={143: Counter({"192.0.2.7": 2})}))
    assert finding.detail == "2 connections from 192.0.2.7, and MAXPERIP is 2"
    assert connection_limit.ISSUE.severity == Severity.LOW


def test_a_network_that_has_reached_its_limit_is_found_where_there_is_one(host):
    neighbours = Counter({"192.0.2.7": 1, "192.0.2.8": 1, "192.0.2.9": 1})
    assert not list(connection_limit.check(host(connected={143: neighbours})))
    (finding,) = connection_limit.check(host(connected={587: neighbours + Counter({"2001:db8::1": 1})}))
    assert finding.detail == "3 connections from 192.0.2.0/24, and MAXPERC is 3"


def test_listeners_and_connections_are_read_from_the_kernel():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = server.getsockname()[1]
        sockets = listeners.read()
        (found,) = [listener for listener in sockets.listeners if listener.port == port]
        assert found.address == "127.0.0.1"
        assert found.pid
        assert sockets.connections[port]["127.0.0.1"] == 1
        assert client.getpeername()[1] == port


def test_an_address_of_ipv6_is_read():
    if not socket.has_ipv6:
        pytest.fail("this kernel has no IPv6")
    assert listeners._address("00000000000000000000000001000000") == "::1"
    assert listeners._address("0000000000000000FFFF0000070200C0") == "::ffff:192.0.2.7"
