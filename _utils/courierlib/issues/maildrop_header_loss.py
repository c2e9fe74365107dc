r"""
Mail loops are not noticed: maildrop is not told the Delivered-To header

## What you see

Messages in the Maildir begin with `Received:`. On a healthy host two lines stand above it:

```text
Delivered-To: alice@mx1.example.test
Return-Path: <x@client.example.test>
```

When a filter sends a message back to its own account, directly or by way of another one, it goes round a hundred
times. Then the log says:

```text
courierlocal: id=…,addr=<alice@mx1.example.test>: 546 Routing loop detected -- too many Received: headers.
```

## What it breaks

The brake for mail loops. Each round takes a delivery and a place in the queue, and where a filter keeps a copy (`cc`),
the mailbox gets a hundred. Filters and mail programs cannot see who really sent the message either.

## Check by hand

The problem is there if DEFAULTDELIVERY runs maildrop with any argument, and neither `-A` nor `preline` is in the line.
Exactly `| /usr/bin/maildrop` is healthy: Courier adds the headers by itself then.

## Fix by hand

Tell maildrop the headers, which Courier has put into the environment. Keep a copy, and look at the whole value:

```console
# cp -p /etc/courier/courierd /root/courierd.before
# grep -n -A2 '^DEFAULTDELIVERY' /etc/courier/courierd
135:DEFAULTDELIVERY='| /usr/bin/maildrop -V 1'
136-
137-##NAME: MAILDROPDEFAULT:0
```

Put `-A "$DTLINE" -A "$RPLINE" -f "$SENDER"` directly after `maildrop`, with the whole value in single quotes:

```console
# sed -i '/^DEFAULTDELIVERY=/s,/maildrop,& -A "$DTLINE" -A "$RPLINE" -f "$SENDER",' /etc/courier/courierd
# grep '^DEFAULTDELIVERY' /etc/courier/courierd
DEFAULTDELIVERY='| /usr/bin/maildrop -A "$DTLINE" -A "$RPLINE" -f "$SENDER" -V 1'
# sh -n /etc/courier/courierd
# systemctl restart courier
```

`| preline /usr/bin/maildrop -V 1` works too, but each message in the Maildir then begins with a `From ` line that does
not belong there.

`courier.fix maildrop-header-loss` does not edit the line. It replaces it by one of the strategies of
`courier.ensure_maildrop`, all of which keep the headers: `strategy=mailfilter` keeps `/etc/maildroprc` and the filters
of the accounts. The article `maildrop-home-directory` describes them.

## Undo

```console
# cp -p /root/courierd.before /etc/courier/courierd
# systemctl restart courier
```

## How to see that it worked

The next message begins with the two lines:

```console
# head -n 2 /home/alice/Maildir/new/*
Delivered-To: alice@mx11.example.test
Return-Path: <x@client.example.test>
```

## Why it happens

courierdeliver gives maildrop the headers only if the command is exactly the path that was compiled in, or the first
line of `/etc/courier/maildrop`. With any argument more, the line is run by a shell, and maildrop hears nothing of them.
Without them nobody can see that the account has had the message before, until submit counts the `Received:` headers.
"""

from collections.abc import Iterator

from courierlib import delivery
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature
from courierlib.plan import Action

ISSUE = Issue(
    id="maildrop-header-loss",
    component="delivery",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="delivery, for the second in which courierd is restarted; mail that arrives meanwhile waits",
    choices={"strategy": delivery.STRATEGIES},
    allows=(delivery.OPEN_SOCKET, delivery.NO_MAILDIR),
    look=(
        "grep -n -A2 '^ *DEFAULTDELIVERY' /etc/courier/courierd",
        "grep -L '^Delivered-To:' /home/*/Maildir/new/* /srv/mail/*/Maildir/new/* 2>/dev/null | tail -3",
    ),
    tell="Messages that were delivered lately have no `Delivered-To:` header.",
    bites=("maildrop",),
    known=(
        "run: trixie 1.4.1, maildrop 3.1.8; bookworm 1.0.16, maildrop 2.9.3; forky 2.0.6, maildrop 4.0.4: a loop of a "
        "hundred rounds",
        "run: trixie 1.4.1: exactly `| /usr/bin/maildrop`, with preline, and with -A: the loop ends at once",
        "read: docommand() in courier/module.local/deliver.c, courier/libs/cmaildropmda.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("courierlocal",),
            pattern=r": 546 Routing loop detected -- too many Received: headers\.$",
            sample="id=000000000029C276.000000006B03731B.0000030A,from=<>,addr=<alice@mx1.example.test>: "
            "546 Routing loop detected -- too many Received: headers.",
            known="run: trixie 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/preline.html",),
)


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if DEFAULTDELIVERY runs maildrop without the headers, for some account."""
    if not delivery.maildrop_runs(host):
        return
    own = _own_command(host)
    lines = [line for line in delivery.parse(host.default_delivery) if line.text != own]
    if all(run.headers for line in lines for run in line.runs):
        return
    concerned = delivery.concerned(host)
    if concerned:
        yield Finding(
            where=delivery.where(host),
            detail=f"{host.default_delivery}: no Delivered-To header, so mail loops are not noticed, for "
            f"{delivery.listed(concerned)}",
        )
    else:
        delivery.require_all_accounts(host)


def fix(host: Host, findings: list[Finding], *, strategy: str = "") -> Iterator[Action]:
    """Yield what replaces DEFAULTDELIVERY, the same as for the other problems with maildrop.

    Args:
        strategy: ``maildir``, ``mailfilter`` or ``authdaemon``; there is no default.

    Raises:
        ValueError: another strategy.
    """
    del findings
    yield from delivery.repair(host, strategy)


def _own_command(host: Host) -> str:
    """The command that courierdeliver runs itself, with the headers (read: courier/libs/cmaildropmda.c, 1.4.1)."""
    path = host.conffile("maildrop")
    if host.exists(path):
        return host.read(path).decode("utf-8", "replace").partition("\n")[0].strip()
    return host.maildrop.path
