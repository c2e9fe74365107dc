r"""
Mail from this host's own programs is lost: defaultdomain is an empty line

## What you see

What cron, scripts and users of this host send with `sendmail` never arrives, and nobody is told. The log has:

```text
courierd: id=…,from=<alice@>,addr=<alice@>: 553 Syntax error: alice@
courieresmtp: id=…,from=<>,addr=<alice@>: No such domain.
courieresmtp: id=…,from=<#@[]>,addr=<postmaster@>: No such domain.
```

The first line is the message, the second one the bounce to its sender, the third one the report to the postmaster: all
three are gone. Other servers that write to `<postmaster>` without a domain get `513 Syntax error.`

Bounces are `From: mailer-daemon@`.

## What it breaks

Every address without a domain gets an `@` and nothing after it: senders and recipients of local mail, entries of
`/etc/courier/aliases`, the postmaster. Mail to and from addresses with a domain is delivered as usual, so on many hosts
nobody notices.

## Check by hand

`od` shows what is in the file: `\n` alone is the problem. The name of a domain is right, and so is no such file at all.
`me` and the host's name are what Courier takes then; it must be one of `locals`.

## Fix by hand

Write the domain that addresses of this host should have. It must be listed in `/etc/courier/locals`:

```console
# echo mx.example.com >/etc/courier/defaultdomain
# systemctl restart courier
```

If you have aliases, build them again: they were stored with an empty domain.

```console
# makealiases
```

Debian's package writes the file anew at each upgrade, and takes the domain from debconf. So tell debconf too:

```console
# echo courier-mta courier-mta/defaultdomain string mx.example.com | debconf-set-selections
```

`courier.fix defaultdomain-empty` removes the empty file, so that `me` or the host's name counts, where that is one of
`locals`, and builds the aliases again. Where it is not, it changes nothing, and you write the file. It needs
`allow=drop-entries` where `aliases.dat` has entries that `/etc/courier/aliases` has not any more: they would be gone.
It needs `allow=delete-expired-mail` where courierd would delete mail as it starts: see `courierd-not-running`.
Delivery is interrupted for about a second.

## Undo

```console
# echo >/etc/courier/defaultdomain
# systemctl restart courier
```

## How to see that it worked

```console
# echo 'Subject: it works' | sendmail alice
# journalctl -q -t courierlocal -n 1 -o cat | grep -o 'success.*'
success: Message delivered.
```

## Why it happens

Courier reads the first line of the file. It takes the name of the host only if there is no such file. An installation
that asks no questions has no answer for Debian's question about the domain, and the package writes the empty answer
into the file.
"""

from collections.abc import Iterator

from courierlib import databases
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature
from courierlib.plan import Action, RemoveFile
from courierlib.queue import allow_start

ISSUE = Issue(
    id="defaultdomain-empty",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="delivery, for the second in which courierd is restarted",
    allows=("delete-expired-mail", "drop-entries"),
    look=(
        "od -c /etc/courier/defaultdomain",
        "head -n 5 /etc/courier/me /etc/courier/locals",
    ),
    tell="`/etc/courier/defaultdomain` exists, and its first line is empty.",
    bites=("submit", "courierd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: the file that an installation without questions has written: "
        "mail of a local user to a local user, the bounce and the report to the postmaster, all gone",
        "run: trixie 1.4.1: `RCPT TO:<postmaster>` is answered by `513 Syntax error.`",
        "run: forky 2.0.6: makealiases stores `root@: postmaster@`",
        "read: courier/libs/cdefaultdomain.c, cread1l.c, cme.c, 1.4.1",
        "read: debian/courier-mta.postinst, 1.4.1-3: writes the file at each configuration",
    ),
    signatures=(
        Signature(
            process=("courierd",),
            pattern=r"^id=[^=,]*,from=<[^<>]*>,addr=<[^<>]*>: 553 Syntax error: [^ @]*@$",
            sample="id=00000000002AC0A8.000000006B037BF1.00000308,from=<alice@>,addr=<alice@>: 553 Syntax error: "
            "alice@",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courieresmtp",),
            pattern=r"^id=[^=,]*,from=<[^<>]*>,addr=<[^<>@]*@>: No such domain\.$",
            sample="id=00000000002AC0A9.000000006B037BF1.0000030E,from=<>,addr=<alice@>: No such domain.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if the file is there, and its first line, the only one that is read, says nothing."""
    path = host.conffile("defaultdomain")
    if "mta" not in host.components or not host.exists(path) or _first_line(host, path):
        return
    instead = _without_the_file(host)
    fits = instead.lower() in _locals(host, instead)
    advice = "" if fits else f"; without the file it would be {instead or 'empty'}, which is not in locals: write it"
    yield Finding(
        where=path,
        detail=f"empty, so addresses without a domain end in @ and their mail is lost{advice}",
        fixable=fits,
        subject=instead,
    )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the end of the file, so that Courier takes the name of the host, and aliases with that domain."""
    aliases = databases.named(host, "aliases")
    built = aliases is not None and aliases.present and aliases.program
    build = databases.build(host, aliases, old="addresses with an empty domain") if aliases and built else None
    # Without their new domain, aliases would stop: both are done, or neither.
    allow = ",".join(filter(None, (allow_start(host.queue), build.allow if build else "")))
    for finding in findings:
        new = f"none: {finding.subject} counts"
        yield RemoveFile(path=finding.where, restarts=("scheduler",), allow=allow, old="empty", new=new)
        if build:
            yield build


def _first_line(host: Host, path: str) -> str:
    return host.read(path).partition(b"\n")[0].decode("utf-8", "replace").strip()


def _without_the_file(host: Host) -> str:
    """The first line of ``me``, or the host's name (read: courier/libs/cme.c, 1.4.1)."""
    me = host.conffile("me")
    if host.exists(me):
        return _first_line(host, me)
    return _first_line(host, "/etc/hostname") if host.exists("/etc/hostname") else ""


def _locals(host: Host, instead: str) -> set[str]:
    """Domains that are delivered here; without the file, ``me`` (read: courier/libs/islocal.c, 1.4.1)."""
    path = host.conffile("locals")
    if not host.exists(path):
        return {instead.lower()} - {""}
    lines = host.read(path).decode("utf-8", "replace").splitlines()
    return {line.partition("#")[0].strip().lower() for line in lines} - {""}
