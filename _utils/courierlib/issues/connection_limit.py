"""
Clients are cut off without a greeting: too many connections from one address

## What you see

A mail program opens a few folders and works, then some of its connections fail at once, without an error that says
why. It hits offices behind one address, mail programs with many folders, monitoring, and other mail servers that send
a lot. The log has

```text
imapd: Maximum connection limit reached for ::ffff:192.0.2.7
```

and so for `imapd-ssl`, `pop3d`, `pop3d-ssl`, `esmtpd-ssl`; for port 25 and 587 the name is `courieresmtpd`. A limit for
a whole network (`MAXPERC`) closes connections too, and says nothing at all.

## What it breaks

The connections above the limit: couriertcpd accepts them and closes them without a word. What is open stays open. No
mail is lost: other servers try again.

It is no fault of the host by itself: the limit is there for strangers who open hundreds of connections. Look whose
address it is.

## Check by hand

The first command counts the connections of each address to each of the mail ports, the second shows the limits. Debian
allows 20 from one address for IMAP, 4 for POP3 and 5 for SMTP; without a setting it is 4.

## Fix by hand

If the address is a stranger's, leave it so. If it is yours (an office, a webmail server, a relay), raise `MAXPERIP`
(one address) and `MAXPERC` (a network, SMTP only) in the file that the second command names:

```console
# sed -i 's/^MAXPERIP=.*/MAXPERIP=50/' /etc/courier/imapd
# systemctl restart courier-imap courier-imap-ssl
```

That ends open IMAP sessions; mail programs log in again. For `pop3d` restart `courier-pop courier-pop-ssl`; for
`esmtpd`, `esmtpd-msa` and `esmtpd-ssl` restart `courier-mta`, which restarts delivery too.

One address alone can have a limit of its own, without a restart: `192.0.2.7<TAB>allow,MAXCPERIP=50` in a file below
`/etc/courier/imapaccess` (then `makeimapaccess`) or `/etc/courier/smtpaccess` (then `makesmtpaccess`). The new line
stands instead of the one for its network: if that address may relay, write `allow,RELAYCLIENT,MAXCPERIP=50`.

Is there no `/etc/courier/smtpaccess.dat` yet? Then read `/etc/courier/smtpaccess/default` first: with `makesmtpaccess`
its lines count, and as shipped they let 10.0.0.0/8 and 192.168.0.0/16 relay.

## Undo

Put the old number back, and restart the same services.

## How to see that it worked

No new line with `Maximum connection limit reached` for that address while its users work.

## Why it happens

couriertcpd keeps a list of what it has started. It counts those of the same address, and closes a connection that would
be one too many (`MAXPERIP`, or `MAXPERC` for addresses that differ in the last byte alone). A mail program opens a
connection for each folder that it watches, and an office behind NAT is one address.
"""

from courierlib import limits
from courierlib.issue import Affects, Finding, Issue, Severity, Signature

ISSUE = Issue(
    id="connection-limit",
    component="services",
    severity=Severity.LOW,
    affects=Affects(),
    interrupts="restarting IMAP, POP3 or SMTP to raise a limit ends their open sessions",
    look=(
        "ss -Htn state established '( sport = :25 or sport = :465 or sport = :587 or sport = :143 or sport = :993 or "
        "sport = :110 or sport = :995 )' | sed -E 's/:[0-9]+ *$//' | awk '{print $3, $4}' | sort | uniq -c | head -20",
        "grep -E '^(MAXPERIP|MAXPERC)=' /etc/courier/esmtpd /etc/courier/esmtpd-* /etc/courier/imapd "
        "/etc/courier/pop3d",
    ),
    bites=("smtp-ports", "imap-ports"),
    alike=("max-daemons",),
    logged=True,
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1: 24 connections from one address: 4 closed by IMAP, 20 by POP3 and port 25",
        "read: run() in libs/tcpd/tcpd.c, 1.4.1: MAXPERC closes connections without a line",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "esmtpd-ssl", "courieresmtpd", "esmtpd"),
            pattern=r"^(ALERT: )?Maximum connection limit reached for [0-9A-Fa-f:.]+$",
            sample="Maximum connection limit reached for ::ffff:192.0.2.7",
            known="run: bookworm 1.0.16, trixie 1.4.1",
        ),
    ),
)


def check(host):
    """Yield a finding for every address or network from which no more connections are let in now."""
    for listener, detail in limits.crowded(host):
        yield Finding(where=listener.name, detail=detail)
