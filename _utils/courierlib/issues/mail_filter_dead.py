"""
Mail is refused with 432 Mail filters temporarily unavailable, or passes unfiltered: a mail filter is dead

## What you see

Every message from other hosts is refused for the moment. The log names the filter's socket:

```text
submit: Connection refused
submit: Failed to connect to: /var/lib/courier/allfilters/spamfilter
courieresmtpd: error,relay=::ffff:192.0.2.7,port=47232,from=<>: 432 Mail filters temporarily unavailable.
```

Or hardly anything: with a socket in `filters`, not in `allfilters`, only recipients who have asked for filters are
concerned. A filter that is switched on and not installed any more is silent: mail passes without it.

## What it breaks

With a dead socket, or any other file, in `allfilters`: all mail that is filtered. `/etc/courier/enablefiltering` says
which that is: `esmtp` for mail that comes in by SMTP, `local` for what programs here give to sendmail. Debian ships
`esmtp`. Other servers try again for days; sendmail gives the error to the program that called it. Without that file no
filter is asked, and a dead one does no harm.

With a dead socket in `filters`: the same, but only for recipients whose `rcptfilter` ends with 99.

courierfilter starts each filter once. It does not notice when one dies, and its service stays `active`.

## Check by hand

The first command shows which mail is filtered, and lists the sockets; the second shows those at which somebody
listens; its names may have a dot before them, because filters rename their sockets. A name that is only in the first
list is dead. The third shows the filters that are switched on; a link in it that leads nowhere is a filter that was
uninstalled.

## Fix by hand

```console
# systemctl restart courierfilter
```

It starts every filter that is switched on, and removes sockets that belong to none. Debian's units restart the SMTP
listeners and courierd along with it: a few seconds without SMTP, and other servers try again. But courierd deletes mail
that has waited for more than two days below `/var/lib/courier/tmp` when it starts. If
`find /var/lib/courier/tmp/[0-9]* -type f -mmin +2820` prints anything, give those files a new date first, `C` and `D`:

```console
# find /var/lib/courier/tmp/[0-9]* -type f -exec touch {} +
```

If a filter dies again at once, look in the log for `courierfilter` lines, and switch it off until it is repaired:

```console
# rm /etc/courier/filters/active/spamfilter
# systemctl restart courierfilter
```

## Undo

Switch the filter on again: `filterctl start spamfilter`.

## How to see that it worked

```console
# ss -xl | grep /var/lib/courier/
```

has a line for each filter that is switched on (its name may have a dot before it), and a message gets `250 Ok.`

## Why it happens

A filter is a program of its own that listens at a socket. `submit` connects to every file in `allfilters` whose name
does not begin with a dot. If nobody answers there, it refuses the message rather than let it pass unfiltered. A filter
that crashes, or is killed for want of memory, leaves its socket behind; so do a package that was removed and a restored
backup.
"""

import socket
from collections.abc import Iterator

from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.plan import Action, StartService
from courierlib.queue import allow_start

ISSUE = Issue(
    id="mail-filter-dead",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="SMTP and delivery for some seconds: courierfilter is restarted, and systemd restarts what requires it",
    allows=("delete-expired-mail",),
    look=(
        "head -n 1 /etc/courier/enablefiltering; ls -A /var/lib/courier/allfilters /var/lib/courier/filters",
        "ss -Hxl | grep -o '/var/lib/courier/[^ ]*'",
        "ls -l /etc/courier/filters/active",
    ),
    bites=("courierfilter", "submit"),
    known=(
        "run: trixie 1.4.1: a socket without a listener in allfilters: 432 for all mail; courierfilter stays active",
        "run: trixie 1.4.1: the same without enablefiltering: mail passes; with `esmtp local` sendmail gets 432 too",
        "run: trixie 1.4.1: dupfilter killed, its socket in filters: mail is accepted, for nobody has an rcptfilter",
        "run: trixie 1.4.1: a link in active to a filter that is gone: `exec: No such file or directory`, mail passes",
        "read: courier/cdfilters.C, courier/submit.C and courier/filters/courierfilter.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("submit",),
            pattern=r"^Failed to connect to: /[^ ]+$",
            sample="Failed to connect to: /var/lib/courier/allfilters/spamfilter",
            known="run: trixie 1.4.1",
        ),
    ),
)

_PATIENCE = 1.0
"""Seconds to wait for an answer at a socket."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every socket of a filter at which nobody listens, and every filter that is gone."""
    if "mta" not in host.components:
        return
    layout = host.layout
    active = f"{layout.sysconfdir}/filters/active"
    for name in host.listdir(active):
        if not name.startswith(".") and not host.exists(f"{active}/{name}"):
            yield Finding(
                where=f"{active}/{name}",
                detail=f"switched on, but {host.resolve(f'{active}/{name}')} does not exist; remove the link",
                severity=Severity.MEDIUM,
                fixable=False,
            )
    sources = _filtered(host)
    paths = [
        f"{layout.localstatedir}/{kind}/{name}"
        for kind in ("allfilters", "filters")
        for name in host.listdir(f"{layout.localstatedir}/{kind}")
        if sources and not name.startswith(".")
    ]
    if paths and host.system is None:
        raise Unknown(f"needs the running host: whether somebody listens at {paths[0]}")
    for path in paths:
        if not _answers(path):
            blocks = "/allfilters/" in path
            yield Finding(
                where=path,
                detail="nobody listens there: "
                + ("all mail" if blocks else "mail for recipients whose rcptfilter asks for filters")
                + f" is refused with 432 (enablefiltering: {', '.join(sources)})",
                severity=None if blocks else Severity.MEDIUM,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield a restart of courierfilter, which starts its filters and removes sockets that belong to none."""
    service = host.service("filter")
    if service:
        yield StartService(
            service=service.name,
            restart=True,
            enable=False,
            allow=allow_start(host.queue),
            old=f"{service.state}, {len(findings)} dead socket{'' if len(findings) == 1 else 's'}",
            new="restarted",
        )


def _filtered(host: Host) -> tuple[str, ...]:
    """The modules whose mail is filtered; without the file no filter is asked (read: main() in courier/submit.C, 1.4.1;
    run: trixie, 1.4.1)."""
    path = host.conffile("enablefiltering")
    if not host.exists(path):
        return ()
    return tuple(host.read(path).decode("utf-8", "replace").partition("\n")[0].split())


def _answers(path: str) -> bool:
    """Whether somebody accepts connections there, as submit finds out (read: courier/cdfilters.C, 1.4.1).

    The kernel's table does not tell: filters bind to another name, and rename the socket (run: trixie, 1.4.1).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PATIENCE)
        try:
            client.connect(path)
        except (TimeoutError, BlockingIOError):
            return True  # Its queue is full: it is there.
        except OSError:
            return False
    return True
