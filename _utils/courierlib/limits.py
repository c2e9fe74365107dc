"""How close couriertcpd's listeners are to their limits: connections in all, from one address, from one network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from courierlib.host import Host, Process

_SCRIPTS = {
    "courieresmtpd": ("esmtpd", "courier-mta"),
    "imaplogin": ("imapd", "courier-imap"),
    "pop3login": ("pop3d", "courier-pop"),
    "courierpop3login": ("pop3d", "courier-pop"),
}


@dataclass(frozen=True)
class Listener:
    """A running couriertcpd.

    Args:
        pid: of couriertcpd.
        conffile: name of the configuration file that sets its limits.
        ports: on which it listens.
        most: MAXDAEMONS, connections in all.
        most_per_address: MAXPERIP.
        most_per_network: MAXPERC; as large as ``most`` where it is not set.
        children: connections that it serves now.
    """

    pid: int
    conffile: str
    ports: tuple[int, ...]
    most: int
    most_per_address: int
    most_per_network: int
    children: int

    @property
    def name(self) -> str:
        return f"{self.conffile} (port {', '.join(map(str, self.ports)) or 'unknown'})"


def running(host: Host) -> tuple[Listener, ...]:
    """Every couriertcpd that runs, with its limits as it was started.

    Raises:
        Unknown: under a root, or without a readable /proc.
    """
    ports: dict[int, list[int]] = {}
    for socket in host.listeners:
        if socket.pid is not None and socket.port not in ports.setdefault(socket.pid, []):
            ports[socket.pid].append(socket.port)
    children = Counter(
        process.ppid for process in host.processes if process.name not in ("courierlogger", "couriertcpd")
    )
    return tuple(
        _listener(process, ports.get(process.pid, []), children[process.pid])
        for process in host.processes
        if process.name == "couriertcpd"
    )


def _listener(process: Process, ports: list[int], children: int) -> Listener:
    """Defaults as couriertcpd has them (read: initialize_tcpd() in libs/tcpd/tcpd.c, 1.4.1)."""
    given = dict(re.findall(r"(?:^|\0)-(maxprocs|maxperip|maxperc)=(\d+)", "\0".join(process.arguments)))
    most = int(given.get("maxprocs", 40))
    program = next((name for word in process.arguments if (name := word.rsplit("/", 1)[-1]) in _SCRIPTS), "")
    base = _SCRIPTS[program][0] if program else "couriertcpd"
    # esmtpd-msa reads esmtpd first, and TLS listeners start couriertls before their server.
    encrypted = any(word.endswith("/couriertls") for word in process.arguments)
    named = f"{base}-ssl" if encrypted else "esmtpd-msa" if 587 in ports else base
    return Listener(
        pid=process.pid,
        conffile=named,
        ports=tuple(sorted(ports)),
        most=most,
        most_per_address=int(given.get("maxperip", 4)),
        most_per_network=int(given.get("maxperc", most)),
        children=children,
    )


def crowded(host: Host) -> Iterator[tuple[Listener, str]]:
    """Listeners that let no more connections in from an address or a network, and which that is.

    couriertcpd takes as one network what differs in the last byte of the address alone; the limit for a network
    is never logged (read: run() in libs/tcpd/tcpd.c, 1.4.1).

    Raises:
        Unknown: under a root, or without a readable /proc.
    """
    connections = host.sockets.connections
    for listener in host.once(running):
        addresses: Counter[str] = Counter()
        for port in listener.ports:
            addresses.update(connections.get(port, {}))
        for address, count in addresses.most_common():
            if count >= listener.most_per_address:
                yield listener, f"{count} connections from {address}, and MAXPERIP is {listener.most_per_address}"
        networks: Counter[str] = Counter()
        for address, count in addresses.items():
            networks[_network(address)] += count
        for network, count in networks.most_common():
            if count >= listener.most_per_network and listener.most_per_network < listener.most:
                yield listener, f"{count} connections from {network}, and MAXPERC is {listener.most_per_network}"


def _network(address: str) -> str:
    bits = 24 if ip_address(address).version == 4 else 120
    return str(ip_network(f"{address}/{bits}", strict=False))
