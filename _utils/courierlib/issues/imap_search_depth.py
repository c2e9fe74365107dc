"""
A search with very many parentheses ends an IMAP session: versions before 2.0.2

## What you see

Hardly ever anything. Somebody who can log in, and sends a `SEARCH` with some hundred thousand parentheses, loses his
session; the log has his `LOGIN` and no `LOGOUT` or `DISCONNECTED`.

## What it breaks

The session of whoever does it, for each session is a process of its own. Other users and mail are not concerned. The
memory that it takes is bounded by `IMAP_ULIMITD`.

## Check by hand

The command prints the version: before 2.0.2 (Courier IMAP alone: 6.0.1) there is no limit.

## Fix by hand

Upgrade when your distribution has 2.0.2. Nothing else needs to be done for a host whose users you know. Leave
`IMAP_ULIMITD` in `/etc/courier/imapd` as it is, for it is what bounds the memory.

## Undo

Nothing was changed.

## How to see that it worked

Since 2.0.2 such a search is answered with `NO Error in IMAP command received by server.`

## Why it happens

Up to 2.0.1 the IMAP server reads a search by calling itself for each parenthesis, without a limit, until its stack is
full. Since 2.0.2 it stops and answers with an error.
"""

from collections.abc import Iterator

from courierlib import changes
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown

ISSUE = Issue(
    id="imap-search-depth",
    component="services",
    severity=Severity.LOW,
    affects=Affects(until="2.0.2"),
    interrupts="nothing",
    look=("dpkg-query -W courier-imap", "grep '^IMAP_ULIMITD=' /etc/courier/imapd"),
    bites=("imapd",),
    known=(
        "run: trixie 1.4.1: SEARCH with 200,000 parentheses: the connection is reset; with 30,000 it is answered",
        "run: forky 2.0.6: SEARCH with 10,000 parentheses: NO Error in IMAP command received by server",
        "read: ChangeLog, 2.0.2: hard cap on limit-less IMAP constructs",
    ),
)

_LACKING = ("1.0.16-3", "1.0.16-3+b6", "1.4.1-3", "1.4.1-3+deb13u1", "1.4.1-3+deb13u2")
"""Debian versions that were looked at, and do not have the limit; a later one of the same release may."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield advice for an IMAP server without the limit."""
    if "imap" not in host.components:
        return
    if "mta" not in host.components:
        yield Unknown("Courier IMAP alone has other version numbers")
        return
    if not changes.older(host.version, "2.0.2"):
        return
    package = host.packages.get("courier-imap")
    debian = package.version.rpartition("+1.")[2] if package else ""
    if package and f"1.{debian}" not in _LACKING:
        yield Unknown(f"courier-imap {package.version}: whether Debian has added the limit of 2.0.2 cannot be told")
        return
    yield Finding(where="imapd", detail=f"version {host.version} has no limit for the depth of a search")
