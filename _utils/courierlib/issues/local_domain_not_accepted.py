r"""
Mail for one of this host's own domains is refused: Relaying denied

## What you see

Mail from outside for one of your domains bounces, or a mail program that sends without a password says:

```text
513 Relaying denied.
```

Mail that is sent on the host itself, or after a login, arrives. For another domain everything works.

## What it breaks

All mail from outside for that domain. The senders get a bounce at once; nothing is lost without a word.

## Check by hand

Two lists must both have the domain. One says that it is delivered here: `locals` and `hosteddomains`. The other says
that port 25 takes mail for it from strangers: `esmtpacceptmailfor.dir`. Compare what the commands print. A name that
begins with a dot stands for everything below it. `localhost` and names without a dot need not be in the second list.

Look for a missing database too: see `database-missing`.

## Fix by hand

Add the domain to the list, and build the database. Nothing is restarted:

```console
# echo hosted.example.test >>/etc/courier/esmtpacceptmailfor.dir/local
# makeacceptmailfor
```

Do not list domains that are not delivered here, unless the host is a backup MX for them.

There are hosts where nothing is wrong: a gateway in front of them takes the mail, and they let only that relay.

`courier.fix local-domain-not-accepted` writes the domains into `esmtpacceptmailfor.dir/local`. It needs
`allow=accept-domains`, because mail will then come in that was refused before.

## Undo

Take the line out of the file, and run `makeacceptmailfor` again.

## How to see that it worked

A message from outside is accepted and arrives.

## Why it happens

Courier keeps apart what it accepts and what it delivers. Without the file `esmtpacceptmailfor` it accepts mail for one
domain only, the one in `/etc/courier/me`. Whoever adds a second one to `hosteddomains` or `locals` needs the other list
as well.
"""

from collections.abc import Iterator
from functools import partial

from courierlib import databases, domains
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile, NewFile

ACCEPT = "accept-domains"

ISSUE = Issue(
    id="local-domain-not-accepted",
    component="mta",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: the database is read for every message",
    allows=(ACCEPT, databases.DROP_ENTRIES),
    look=(
        "cd /etc/courier; grep -H -v -e '^#' -e '^$' me locals hosteddomains/*",
        "cd /etc/courier; grep -H -v -e '^#' -e '^$' esmtpacceptmailfor esmtpacceptmailfor.dir/*; ls esmtpaccept*.dat",
    ),
    tell="The domain is in `locals` or `hosteddomains`, and in no file of `esmtpacceptmailfor.dir`.",
    alike=("database-missing", "database-stale"),
    bites=("esmtpd", "submit"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a hosted domain that is not accepted: 513",
        "read: acceptdomain in module.esmtp/esmtp.c, courier/libs/islocal.c, 1.4.1",
    ),
    references=(
        "https://www.courier-mta.org/makeacceptmailfor.html",
        "https://www.courier-mta.org/makehosteddomains.html",
    ),
)

_SHOWN = 3
_NEVER_MAIL = (".localdomain", ".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Endings of names that nobody outside can send to."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for the hosted domains, and one for the local names, that SMTP refuses."""
    if "mta" not in host.components:
        return
    known = host.once(domains.read)
    machine = databases.kernel_name(host).split(".")[0]
    for path, names, severity in (
        (host.conffile("hosteddomains.dat"), known.hosted, None),
        # They may be for mail from within; the name of the machine itself nearly always is.
        (host.conffile("locals"), [name for name in known.locals if name.split(".")[0] != machine], Severity.MEDIUM),
    ):
        refused = [name for name in dict.fromkeys(names) if _refused(known, name)]
        if refused:
            said = ", ".join(refused[:_SHOWN]) + (f" and {len(refused) - _SHOWN} more" if refused[_SHOWN:] else "")
            yield Finding(
                where=path,
                detail=f"{said}: delivered here, and refused by SMTP",
                severity=severity,
                subject=tuple(refused),
                fixable=_table(host) is not None,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the domains' entry into the list of those that SMTP accepts, and the building of its database."""
    table = _table(host)
    names = [name for finding in findings for name in finding.subject]
    if table is None:
        return
    yield EditFile(
        path=f"{table.source}/local",
        edit=partial(_with, names=names),
        new_file=NewFile(group=host.layout.mailgroup, mode=0o640),
        allow=ACCEPT,
        old="not listed",
        new=", ".join(names),
    )
    yield databases.build(host, table, old=f"without {', '.join(names)}", leave=ACCEPT)


def _refused(known: domains.Domains, name: str) -> bool:
    if name.startswith(("!", "*")) or "." not in name.lstrip(".") or name.endswith(_NEVER_MAIL):
        return False
    return not known.is_accepted(name) and not domains.covers(known.pending_accepted, name)


def _table(host: Host) -> databases.Database | None:
    """The list of accepted domains, if it is a directory and its program is installed."""
    table = databases.named(host, "esmtpacceptmailfor")
    found = host.stat(table.source) if table else None
    return table if table and table.program and found and found.kind == "dir" else None


def _with(content: bytes | None, names: list[str]) -> bytes:
    lines = (content or b"").decode("utf-8", "surrogateescape").splitlines()
    more = [name for name in names if name not in lines]
    return "".join(f"{line}\n" for line in (*lines, *more)).encode("utf-8", "surrogateescape")
