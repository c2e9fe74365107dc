r"""
Port 25 hangs, or refuses every sender: Courier has no name server

## What you see

Clients wait for the greeting of port 25 and give up. Where one gets further, `MAIL FROM` is answered after minutes:

```text
417 DNS lookup failure: client.example.test.  Try again later.
```

Mail to other servers waits too. Nothing is logged while a client waits.

## What it breaks

Mail from outside does not come in. It is not lost yet: other servers try again for some days.

## Check by hand

`grep` prints no `nameserver` line, or only one for the host itself, and nothing listens on port 53. `testmxlookup` is
Courier's own way of asking; on a healthy host it answers at once:

```console
# testmxlookup gmail.com
```

A name server that is down, or that a firewall hides, looks the same to clients. The audit does not see that: it only
looks at the files and at this host's own ports.

## Fix by hand

Name a name server that works, in place of 192.0.2.53 below. How that is done for good depends on what writes the file:
systemd-resolved, a DHCP client, ifupdown, a container's manager. See what it is first, and keep a copy if there is
anything:

```console
# ls -l /etc/resolv.conf
# cp /etc/resolv.conf /root/resolv.conf.before
# printf 'nameserver 192.0.2.53\n' >/etc/resolv.conf
```

Nothing is restarted; each process reads the file when it asks.

If the line is there, and is for the host itself, start what should listen there: `systemctl start systemd-resolved`,
`unbound` or `named`.

As a stopgap while there is no DNS, set `BOFHCHECKDNS=0` and add `-nodnslookup` to `TCPDOPTS` in `/etc/courier/esmtpd`,
and restart `courier-mta`. Then mail comes in unchecked. Take it back afterwards.

No function does this for you: which name server is right, only you know.

## Undo

```console
# cat /root/resolv.conf.before >/etc/resolv.conf
```

## How to see that it worked

`testmxlookup` answers within a second, port 25 greets at once, and mail from outside arrives.

## Why it happens

Courier does not use the system's resolver. It reads the `nameserver` lines of `/etc/resolv.conf` itself and looks at
nothing else, not at `/etc/hosts` and not at `/etc/nsswitch.conf`. Without such a line it asks the IPv6 address `::1`,
and not 127.0.0.1 as other programs do, so a local name server that listens on 127.0.0.1 only must be named.
couriertcpd asks for the client's name before the greeting, and with `BOFHCHECKDNS=1`, the default, submit asks for the
sender's domain.
"""

import re
from collections.abc import Iterator

from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.tree import Unreadable

ISSUE = Issue(
    id="bofh-without-dns",
    component="mta",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing",
    look=(
        "ls -l /etc/resolv.conf; grep -n '^nameserver' /etc/resolv.conf",
        "ss -H -l -n -t -u 'sport = :53'",
        "grep -n -E '^(BOFHCHECKDNS|TCPDOPTS)=' /etc/courier/esmtpd",
    ),
    tell="`/etc/resolv.conf` has no `nameserver` line, or one for this host where nothing listens on port 53.",
    bites=("esmtpd", "submit", "courieresmtp"),
    known=(
        "run: trixie 1.4.1: an empty resolv.conf: no greeting within a minute; with -nodnslookup 417 after 155 seconds",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a name server on 127.0.0.53 that is not there: no greeting",
        "read: rfc1035_init_resolv in libs/rfc1035/rfc1035.c, courier/submit.C, 1.4.1",
    ),
    references=("https://www.courier-mta.org/FAQ.html",),
)

RESOLV_CONF = "/etc/resolv.conf"


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if SMTP asks DNS, and files and ports of this host say that nobody can answer."""
    if "mta" not in host.components or not host.exists(host.conffile("esmtpd")):
        return
    asks = _asks(host)
    if not asks:
        return
    servers = _nameservers(host)
    reason = _nobody(host, servers)
    if reason:
        yield Finding(where=RESOLV_CONF, detail=f"{reason}; {asks}")


def _asks(host: Host) -> str:
    """What SMTP asks DNS for before it accepts mail; empty if nothing."""
    known = host.settings("esmtpd")
    asked = []
    if "-nodnslookup" not in known.get("TCPDOPTS").split():
        asked.append("couriertcpd asks for each client's name before it greets")
    # Anything but nothing and a leading 0 switches it on (read: courier/submit.C, 1.4.1).
    if (value := known.get("BOFHCHECKDNS")) and not value.startswith("0"):
        asked.append("submit asks for each sender's domain")
    return ", and ".join(asked)


def _nameservers(host: Host) -> list[str]:
    """Addresses as Courier reads them: at most MAXNS of them, and what is no address is passed over."""
    try:
        text = host.read(RESOLV_CONF).decode("utf-8", "replace")
    except Unreadable as failed:
        if failed.missing:
            return []
        raise
    return re.findall(r"^nameserver\s+([0-9a-f.:]*[.:][0-9a-f.:]*)(?:%\S+)?\s*$", text, re.MULTILINE | re.IGNORECASE)


def _nobody(host: Host, servers: list[str]) -> str:
    """Why no answer can come; empty if one may."""
    asked = servers or ["::1"]
    if not all(address.startswith("127.") or address == "::1" for address in asked):
        return ""
    said = "no nameserver in it, so Courier asks ::1" if not servers else f"nameserver {', '.join(servers)}"
    if host.system is None:
        # Whether one runs there, a tree of files does not tell.
        raise Unknown(f"{RESOLV_CONF}: {said}; needs the running host")
    bound = _bound(host)
    if any(_hears(bound, address) for address in asked):
        return ""
    return f"{said}, where nobody listens on port 53"


def _bound(host: Host) -> set[str]:
    """Addresses whose port 53 somebody has, by UDP, which Courier uses first; as the kernel writes them."""
    found = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            text = host.read(table, 64 << 20).decode("ascii", "replace")
        except Unreadable as failed:
            if failed.missing:
                continue
            raise
        found |= set(re.findall(r"^\s*\d+: ([0-9A-F]+):0035 ", text, re.MULTILINE))
    return found


def _hears(bound: set[str], address: str) -> bool:
    if address == "::1":
        return bool(bound & {"0" * 32, "00000000000000000000000001000000", "0" * 31 + "1"})
    octets = [f"{int(part):02X}" for part in address.split(".") if part.isdigit()]
    written = {"".join(octets), "".join(reversed(octets))}
    return bool(bound & (written | {"0" * 8, "0" * 32}))
