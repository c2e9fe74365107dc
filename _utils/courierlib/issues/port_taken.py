"""
A listener does not start: another program has its port

## What you see

A service of Courier's is `failed` or `inactive` and does not start. Its port answers all the same, but somebody else
answers. IMAP, POP3 and the SMTP service on port 465 log one line at each attempt:

```text
imapd[1855]: bind: Address already in use
```

The services on ports 25 and 587 log nothing: their start script throws the message away.

## What it breaks

On port 25: mail for this host reaches the other program, which refuses it, or takes it and delivers it elsewhere. On
the other ports mail programs get no answer, or a wrong one. What Courier already has it still delivers, if courierd
runs.

## Check by hand

The first command lists who listens. A healthy host has `couriertcpd` on all of Courier's ports; any other name is the
program to look at. `docker-proxy` is a container with a published port, `systemd` a socket unit. The second lists
Courier's services that should run and do not.

## Fix by hand

Decide which of the two should have the port.

If Courier: stop the other program for good, and start what is down. `systemctl status NUMBER`, with the number of the
process, tells the unit that it belongs to:

```console
# systemctl disable --now UNIT
# systemctl reset-failed 'courier*'
# systemctl start courier-mta courier-msa courier-mta-ssl
```

For a container, publish another port. For a socket unit, disable `NAME.socket`.

If the other program: disable Courier's service, for instance `systemctl disable courier-imap`, or give it another
`PORT` or `ADDRESS` in `/etc/courier`. With `ADDRESS=0` it wants the port on every address, so that a program on
127.0.0.1 alone is in the way too.

Nothing repairs this by itself: only you know which program should stay.

## Undo

Enable and start what you have stopped.

## How to see that it worked

```console
# systemctl is-active courier-mta
active
# ss -Hltnp 'sport = :25'
```

The last command names `couriertcpd`.

## Why it happens

A package pulled in another mail server, a container publishes a mail port, or the old mail server was never removed.
It may have been so for months: whoever starts first at boot gets the port.
"""

from collections.abc import Iterator

from courierlib import units
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.listeners import Listener as Socket
from courierlib.services import LISTENERS, Service
from courierlib.startup import kept_down
from courierlib.units import Listener, Wanted

ISSUE = Issue(
    id="port-taken",
    component="services",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing is done",
    look=(
        "ss -Hltnp | grep -E ':(25|465|587|143|993|110|995) '",
        "systemctl list-units --all --no-legend --plain 'courier*' | awk '$3 != \"active\" {print $1, $3, $4}'",
    ),
    tell="`ss` names another program than `couriertcpd` at the port of a service that is down; a `couriertcpd` there "
    "is `stale-daemon-processes`.",
    alike=("stale-daemon-processes",),
    bites=("smtp-ports", "imap-ports"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a program on ports 25, 465, 587, 143, 993 and 110",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a program on 127.0.0.1 alone, ADDRESS=0: the same",
        "read: mksocket() in libs/tcpd/tcpd.c, 1.4.1",
        "read: esmtpd.in, 1.4.1: couriertcpd's messages go to /dev/null",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "esmtpd-ssl"),
            pattern=r"^bind: Address already in use$",
            sample="bind: Address already in use",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

_ANY = frozenset({"0.0.0.0", "::"})


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every port of a service that should run and does not, if another program listens there."""
    down = {role: service for service in kept_down(host, LISTENERS) for role in service.roles}
    for listener in units.listeners(host) if down else ():
        if service := down.get(listener.role):
            try:
                wanted = units.wanted(host, listener)
            except Unknown as unknown:
                yield unknown
                continue
            for port in wanted:
                yield from _taken(host, listener, service, port)


def _taken(host: Host, listener: Listener, service: Service, port: Wanted) -> Iterator[Finding]:
    for socket in host.listeners:
        if socket.port == port.number and _collide(port.address, socket.address) and _foreign(host, service, socket):
            yield Finding(
                where=f"port {port.number}",
                detail=f"{_holder(socket)} listens on {socket.address}; {service.name} is {service.state}",
                severity=None if listener.mail else Severity.HIGH,
                fixable=False,
            )
            return


def _collide(wanted: str, held: str) -> bool:
    """Whether the kernel gives the port to only one of them; couriertcpd takes IPv4 and IPv6 by one socket."""
    return not wanted or held in _ANY or held.removeprefix("::ffff:") == wanted.removeprefix("::ffff:")


def _foreign(host: Host, service: Service, socket: Socket) -> bool:
    """Whether it is no old listener of this very service: those are stale-daemon-processes."""
    if socket.program != "couriertcpd":
        return True
    held = next((process for process in host.processes if process.pid == socket.pid), None)
    unit = held.cgroup.rpartition("/")[2].removesuffix(".service") if held else ""
    return unit != service.name and any(unit == other.name for other in host.services)


def _holder(socket: Socket) -> str:
    return f"{socket.program} (process {socket.pid})" if socket.pid else "a process that cannot be seen from here"
