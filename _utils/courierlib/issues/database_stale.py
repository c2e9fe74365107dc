r"""
A changed file has no effect: its database was not built again

## What you see

You changed a file in `/etc/courier`, and Courier goes on as before. Nothing is logged. For example:

* a new domain is in `hosteddomains` and `esmtpacceptmailfor.dir`, and port 25 says `513 Relaying denied.`
* an alias was changed, and mail still goes to the old address
* an address was blocked in `smtpaccess`, and it still gets in

## What it breaks

Whatever the change was for. Mail for a new domain is refused; mail for an alias of a colleague who left still goes to
that colleague; an address that was shut out is not.

## Check by hand

Courier does not read these files. It reads a database, `NAME.dat`, that a program makes of them:

| You edit | This makes the database | Who reads it |
| --- | --- | --- |
| `smtpaccess/*` | `makesmtpaccess` | esmtpd, when it starts or is told to |
| `imapaccess/*` | `makeimapaccess` | imapd, when it starts or is told to |
| `hosteddomains/*` | `makehosteddomains` | submit for each message; courierd once, when it starts |
| `esmtpacceptmailfor.dir/*` | `makeacceptmailfor` | submit, for each message |
| `esmtppercentrelay.dir/*` | `makepercentrelay` | submit, for each message |
| `aliases/*` | `makealiases` | submit, for each message |

The `find` command lists what was changed after its database was built. A healthy host prints nothing. A file that was
only touched is listed too; it does no harm.

## Fix by hand

**First look whether the source is whole.** Where files have disappeared from it, the database is the only copy of
what was in them, and building it anew removes that from service:

```console
# ls -l /etc/courier/hosteddomains /etc/courier/esmtpacceptmailfor.dir /etc/courier/aliases /etc/courier/smtpaccess
```

Then build, and keep a copy of the old database. For hosted domains:

```console
# cp -p /etc/courier/hosteddomains.dat /root/hosteddomains.dat.before
# makehosteddomains
# systemctl restart courier
```

courierd opens `hosteddomains.dat` once, so it needs the restart. SMTP is closed for about a second. After
`makesmtpaccess` restart `courier-msa` and `courier-mta-ssl` as well; the program tells only `esmtpd`. The others need
no restart.

A program that finds a mistake says so, and leaves the old database in place:

```text
aliasexp: ERR: /etc/courier/aliases/own: syntax error, line 0
```

This one means the last line of the file *before* `own`: where a mistake ends a file, makealiases names the next one.

```text
Cannot store record for 127.0.0.1 - duplicate or out of disk space.
```

`courier.fix database-stale` runs the same programs. It needs `allow=drop-entries` where entries of the database are no
longer in its source, and `allow=relay-private-networks` where the shipped rules for 10.0.0.0/8 and 192.168.0.0/16
would start to let these networks relay: see `smtpaccess-relays-private-networks`.

## Undo

```console
# cp -p /root/hosteddomains.dat.before /etc/courier/hosteddomains.dat
# systemctl restart courier
```

## How to see that it worked

The `find` command prints nothing, and a message to the new domain, or to the changed alias, arrives.

## Why it happens

Courier looks up one key among thousands for every message, so it keeps these tables in GDBM databases. Nothing
rebuilds them: not a restart, not an upgrade. Somebody edits the file, restarts Courier, and has changed nothing.
courierd and couriertcpd also keep a database open; a new one has a new file, which they do not see.
"""

from collections.abc import Iterator

from courierlib import databases
from courierlib.databases import Database
from courierlib.host import Host, Process
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action

ISSUE = Issue(
    id="database-stale",
    component="mta",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="SMTP, for the second of a restart, for `smtpaccess` and `hosteddomains`; nothing for the others",
    allows=(databases.OPEN_RELAY, databases.DROP_ENTRIES, "delete-expired-mail"),
    look=(
        "cd /etc/courier; for t in smtpaccess imapaccess hosteddomains esmtpacceptmailfor.dir aliases; do "
        "d=${t%.dir}.dat; test ! -e $d || find $t -newer $d; done",
        "ls -l --time-style=long-iso /etc/courier/*.dat",
    ),
    tell="`find` lists files that are newer than their database.",
    alike=("database-missing", "local-domain-not-accepted"),
    bites=("esmtpd", "submit", "courierd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a hosted domain and an alias changed and not built",
        "run: trixie 1.4.1: courierd keeps the old hosteddomains.dat open, and makealiases keeps the old aliases.dat "
        "when a line is wrong",
        "read: courier/libs/islocal.c, libs/tcpd/tcpd.c, courier/module.esmtp/esmtp.c, 1.4.1",
    ),
    references=("https://www.courier-mta.org/makehosteddomains.html", "https://www.courier-mta.org/makealiases.html"),
)

_SHOWN = 3
_GRACE = 2.0
"""Seconds by which the kernel's start times and file times may differ."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every database that does not say what its source does, or that a daemon does not use."""
    for database in host.once(databases.read):
        if not database.present:
            continue
        if database.added or database.dropped or database.changed:
            yield _finding(database, _difference(database))
        elif database.older and not database.comparable:
            detail = f"older than {database.source}; what has changed since has no effect"
            yield _finding(database, detail, Severity.MEDIUM)
        else:
            yield from _unused(host, database)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the run of the program that builds it, and the restart of what keeps the old one open."""
    for finding in findings:
        yield databases.build(host, finding.subject, old=finding.detail)


def _finding(database: Database, detail: str, severity: Severity | None = None) -> Finding:
    return Finding(
        where=database.path, detail=detail, severity=severity, subject=database, fixable=bool(database.program)
    )


def _difference(database: Database) -> str:
    parts = [
        f"{_listed(keys)} {'is' if len(keys) == 1 else 'are'} {how}"
        for keys, how in (
            (database.added, f"in {database.source} only, and not in force"),
            (database.changed, "otherwise than in the source"),
            (database.dropped, "not in the source any more, and still in force"),
        )
        if keys
    ]
    if database.opens:
        parts.append(f"built now, it lets {' and '.join(map(databases.PRIVATE_BLOCKS.get, database.opens))} relay")
    return "; ".join(parts)


def _listed(keys: list[str]) -> str:
    names = ", ".join(keys[:_SHOWN])
    return f"{names} and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else names


def _unused(host: Host, database: Database) -> Iterator[Finding | Unknown]:
    """A finding if the database is right, and a daemon goes on without it."""
    if host.system is None or not database.entries:
        return
    try:
        if database.name == "hosteddomains":
            reason = _courierd_without(host, database)
        elif database.name == "smtpaccess":
            reason = _listener_without(host)
        else:
            reason = ""
    except Unknown as unknown:
        yield unknown
        return
    if reason:
        yield _finding(database, reason)


def _courierd_without(host: Host, database: Database) -> str:
    known = databases.courierd_has(host)
    if known is not None:
        return "" if known == database.compiled else "courierd still has the one before it open; restart it"
    running = [databases.started(process) for process in host.processes if process.name == "courierd"]
    # courierd starts itself anew every hour; what counts is the youngest.
    found = host.stat(database.path)
    if running and found and max(running) + _GRACE < found.mtime:
        return "courierd runs since before it was built, and looks for it only once; restart it"
    return ""


def _listener_without(host: Host) -> str:
    conffiles = [name for name in ("esmtpd", "esmtpd-msa", "esmtpd-ssl") if host.exists(host.conffile(name))]
    if not all(host.settings(name).get("ACCESSFILE") for name in conffiles):
        # One of them is to have none.
        return ""
    listeners = [process for process in host.processes if _speaks_smtp(process)]
    without = [p for p in listeners if not any(word.startswith("-access=") for word in p.arguments)]
    if not without:
        return ""
    return f"{len(without)} of {len(listeners)} SMTP listeners were started before it was built, and go without it"


def _speaks_smtp(process: Process) -> bool:
    return process.name == "couriertcpd" and any(word.endswith("/courieresmtpd") for word in process.arguments)
