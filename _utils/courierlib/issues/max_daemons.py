"""
Nobody gets in any more: all connections of a listener are in use

## What you see

New connections to one port hang: they open, and no greeting comes. Those that are open work. The log has

```text
imapd: 40 maximum active connections.
```

with the number of `MAXDAEMONS`, at most once a minute; for port 25 and 587 the name is `courieresmtpd`. `active
connections` with a smaller number is the warning before.

## What it breaks

Everything that comes to this port: logins, or mail from other servers. They wait until somebody leaves. Other servers
try again, so mail comes late. The other ports have a limit of their own.

## Check by hand

The first command counts what each listener serves now, with its limit and its PID file, which tells the listeners
apart. The second shows the limits that are set.

## Fix by hand

See who holds the connections: `ss -tn state established '( sport = :143 or sport = :993 )'`. If it is a few addresses
with many connections each, block those, or lower `MAXPERIP`. If it is your users, raise `MAXDAEMONS` in the file of the
listener (`imapd`, `pop3d`, `esmtpd`, `esmtpd-msa` or `esmtpd-ssl`; the TLS ports of IMAP and POP3 use that of `imapd`
and `pop3d`):

```console
# sed -i 's/^MAXDAEMONS=.*/MAXDAEMONS=200/' /etc/courier/imapd
# systemctl restart courier-imap courier-imap-ssl
```

That ends open IMAP sessions; mail programs log in again.

## Undo

Put the old number back, and restart the same services.

## How to see that it worked

A new connection is greeted at once: `echo 'a LOGOUT' | openssl s_client -quiet -connect localhost:993` prints `* OK`
and ends.

## Why it happens

couriertcpd starts one process for each connection, and no more than `MAXDAEMONS`. When that number is reached it does
not accept a connection until one of them ends; the kernel lets clients wait in its queue. Mail programs that watch
folders keep their connections for hours, so a host with more users reaches 40 some day.
"""

from courierlib import limits
from courierlib.issue import Affects, Finding, Issue, Severity, Signature

ISSUE = Issue(
    id="max-daemons",
    component="services",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="restarting IMAP, POP3 or SMTP to raise the limit ends their open sessions",
    look=(
        'for pid in $(pgrep -x couriertcpd); do echo "$(pgrep -c -P $pid) in use: '
        "$(tr '\\0' '\\n' </proc/$pid/cmdline | grep -E '^-(maxprocs|pid)=' | paste -s -d ' ')\"; done",
        "grep '^MAXDAEMONS=' /etc/courier/esmtpd /etc/courier/esmtpd-* /etc/courier/imapd /etc/courier/pop3d",
    ),
    bites=("smtp-ports", "imap-ports"),
    alike=("connection-limit",),
    logged=True,
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1: MAXDAEMONS=3: the fourth connection gets no greeting, on 143 and on 25",
        "read: accepted() in libs/tcpd/tcpd.c, 1.4.1; courierlogger takes the word ALERT for the priority and drops it",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "esmtpd"),
            pattern=r"^(ALERT: )?[0-9]+ maximum active connections\.$",
            sample="40 maximum active connections.",
            known="run: bookworm 1.0.16, trixie 1.4.1",
        ),
    ),
)


def check(host):
    """Yield a finding for every listener that serves as many connections as it may."""
    for listener in host.once(limits.running):
        if listener.children >= listener.most:
            detail = f"{listener.children} connections, and MAXDAEMONS is {listener.most}: nobody else gets in"
            yield Finding(where=listener.name, detail=detail)
