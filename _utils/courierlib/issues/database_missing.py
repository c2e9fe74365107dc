r"""
Aliases, hosted domains or relay rules have no effect: their database was never built

## What you see

On a new host, or after somebody removed the `.dat` files:

* a domain is in `hosteddomains` and `esmtpacceptmailfor.dir`, and port 25 says `513 Relaying denied.`
* mail to an alias, to `postmaster` or `root` for instance, is refused: `550 User <postmaster> unknown`
* a machine that may relay by `smtpaccess` gets `513 Relaying denied.`; one that was shut out gets in

Nothing is logged when Courier starts.

## What it breaks

What the missing database is for, and nothing else. As long as only the files that came with Courier are affected, that
is little: programs on the host itself cannot relay through port 25 (`sendmail` works), and mail to `postmaster` finds
nobody, as it would after building too, until you name somebody. That is advice, severity low. With files of your own,
mail is refused: severity high.

## Check by hand

`ls` lists the sources that have something in them and no database. A healthy host prints nothing. An empty directory
needs none, and `imapaccess.dat` is made when imapd starts.

## Fix by hand

Look at each source, above all at `smtpaccess`, **before** you build:

```console
# grep -v -e '^#' -e '^$' /etc/courier/smtpaccess/*
127.0.0.1	allow,RELAYCLIENT
:0000:0000:0000:0000:0000:0000:0000:0001	allow,RELAYCLIENT
10	allow,RELAYCLIENT
192.168	allow,RELAYCLIENT
```

The last two lines come with Courier. With them in the database, whoever reaches port 25 from 10.0.0.0/8 or
192.168.0.0/16 may send to the whole world. Behind a NAT, a load balancer or in a container, that can be everybody. Put
a `#` before them unless you want just that.

Then build what is missing:

```console
# makesmtpaccess
# makehosteddomains
# makeacceptmailfor
# makealiases
# systemctl restart courier courier-mta courier-msa courier-mta-ssl
```

esmtpd looks for `smtpaccess.dat` when it starts, and courierd for `hosteddomains.dat`, so both need the restart. SMTP
is closed for about a second.

`courier.fix database-missing` builds them too; `smtpaccess` only with `allow=relay-private-networks` as long as the two
lines are in it, and `aliases` only if there is one of your own, such as `postmaster: alice`.

## Undo

```console
# rm /etc/courier/smtpaccess.dat
# systemctl restart courier-mta courier-msa courier-mta-ssl
```

The same for another database, with a restart of `courier` for `hosteddomains.dat`.

## How to see that it worked

The `ls` command prints nothing. A message to the new domain, or to the alias, is accepted and arrives.

## Why it happens

Courier reads databases, not the files you edit: see `database-stale`. Debian's packages used to build them when they
were installed; since 1.0.16-3 they leave that to you. Without `smtpaccess.dat` the start script of esmtpd leaves the
option `-access` away, and says nothing.
"""

from collections.abc import Iterator

from courierlib import databases
from courierlib.databases import Database
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action

ISSUE = Issue(
    id="database-missing",
    component="mta",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="SMTP, for the second of a restart, for `smtpaccess` and `hosteddomains`; nothing for the others",
    allows=(databases.OPEN_RELAY, "delete-expired-mail"),
    look=(
        "cd /etc/courier; for t in smtpaccess hosteddomains esmtpacceptmailfor.dir aliases; do "
        "test -e ${t%.dir}.dat || ls -d $t/* 2>/dev/null; done",
        "ps -ww -o args= -C couriertcpd | grep courieresmtpd | grep -c -- -access=",
    ),
    tell="A source in `/etc/courier` has files in it, and there is no `.dat` beside it.",
    alike=("database-stale", "local-domain-not-accepted"),
    bites=("esmtpd", "submit", "courierd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a fresh host has none but imapaccess.dat",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: domains and aliases of one's own, not built: 513 and 550",
        "read: esmtpd.in, esmtpd-ssl.in, 1.4.1: no -access without the database",
        "read: debian/changelog, 1.0.16-3: smtpaccess.dat and imapaccess.dat are not generated at installation",
    ),
    references=("https://www.courier-mta.org/makesmtpaccess.html", "https://www.courier-mta.org/makealiases.html"),
)

_MADE_BY_START = ("imapaccess",)
"""imapd's start script builds it where it is missing (read: imapd.rc.in, 1.4.1)."""

_SHOWN = 3


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every source that has entries and no database; advice if nobody changed what is shipped."""
    for database in host.once(databases.read):
        if database.present or database.name in _MADE_BY_START or database.entries == {}:
            continue
        own = database.entries is None or bool(database.own)
        yield Finding(
            where=database.path,
            detail=_detail(database),
            severity=None if own else Severity.LOW,
            subject=database,
            # The shipped aliases lead to a postmaster whom somebody has to name first.
            fixable=bool(database.program) and (own or database.name != "aliases"),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the run of the program that builds it, and the restart of what looks for it only once."""
    for finding in findings:
        yield databases.build(host, finding.subject, old="missing")


def _detail(database: Database) -> str:
    said = f"missing, so {database.source} ({database.serves}) has no effect"
    if database.own:
        names = ", ".join(database.own[:_SHOWN])
        rest = len(database.own) - _SHOWN
        said += f", such as {names}{f' and {rest} more' if rest > 0 else ''}"
    elif database.entries is not None:
        said += "; only what came with Courier is in it"
    if database.opens:
        said += f"; built now, it lets {' and '.join(map(databases.PRIVATE_BLOCKS.get, database.opens))} relay"
    return said
