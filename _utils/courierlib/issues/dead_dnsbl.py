r"""
A block list that no longer exists is still asked about every client

## What you see

Port 25 greets clients late, sometimes only after a minute. Or, from one day to the next, **all** mail from outside is
refused, with the name of a block list in the reply:

```text
511 Blacklisted by dnsbl.njabl.org
```

Before 1.1.3 only a list that the setting gives a message of its own for, `-block=ZONE,BLOCK,message`, refuses mail;
the others cost time. The log has the same words behind `error,relay=` and the sender's and recipient's addresses.

## What it breaks

A list whose name servers are gone costs time for every connection. A list whose domain answers every question with an
address, on purpose or because somebody else has bought the domain, has everybody listed: then all mail is refused.
Neither keeps spam out.

## Check by hand

Look at the zones that `grep` prints. A list must say no to 127.0.0.1 and yes to 127.0.0.2; the addresses are asked for
backwards:

```console
# getent ahostsv4 1.0.0.127.dnsbl.example.org
# getent ahostsv4 2.0.0.127.dnsbl.example.org
```

If the first prints an address, or the second prints none, take the list out. Some lists do not answer to the name
servers of large providers; ask from the mail server itself.

## Fix by hand

Take the word `-block=…` of the dead list out of the value, and leave the others. Keep a copy:

```console
# cp -p /etc/courier/esmtpd /root/esmtpd.before
# sed -i -E '/^BLACKLISTS=/s/-block=dnsbl\.njabl\.org[^ "'\'']* ?//' /etc/courier/esmtpd
# grep -n '^BLACKLISTS' /etc/courier/esmtpd
# systemctl restart courier-mta courier-msa courier-mta-ssl
```

Where the dead list has a message with spaces, `sed` leaves the rest of the message: take that out by hand before the
restart. `esmtpd-msa` and `esmtpd-ssl` may set BLACKLISTS too. SMTP is closed for about a second.

`courier.fix dead-dnsbl` does the same, in each file that sets it; a value with a message in quotes it leaves to you.

## Undo

```console
# cp -p /root/esmtpd.before /etc/courier/esmtpd
# systemctl restart courier-mta courier-msa courier-mta-ssl
```

## How to see that it worked

Port 25 greets at once, and mail from outside arrives.

## Why it happens

Block lists are run by volunteers and companies, and they end. Some leave quietly. Others, tired of being asked for
years, list the whole world so that their last users notice. A name in a configuration file stays. This problem knows
these zones, and everything below them:

| Zone | Ended |
| --- | --- |
| `ahbl.org` | 2014; since 1 January 2015 it lists everything |
| `dsbl.org` | 2008; its name servers went in March 2009 |
| `inps.de` | May 2020 |
| `ix.dnsbl.manitu.net` (NiX Spam) | January 2025 |
| `njabl.org` | 2013; listed everything in 2019 |
| `ordb.org` | 2006 |
| `rfc-ignorant.org` | November 2012 |
| `sorbs.net` | 5 June 2024 |
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile
from courierlib.queue import allow_start

ISSUE = Issue(
    id="dead-dnsbl",
    component="mta",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="SMTP, for the second of a restart",
    allows=("delete-expired-mail",),
    look=("grep -n '^BLACKLISTS' /etc/courier/esmtpd /etc/courier/esmtpd-msa /etc/courier/esmtpd-ssl",),
    tell="`BLACKLISTS` names a zone that the article lists.",
    bites=("esmtpd", "submit"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a zone that lists everything: mail is refused; on bookworm "
        "only with a message in the setting",
        "read: docheckblocklist in libs/tcpd/tcpd.c, 1.4.1",
        "reported: https://github.com/jjmartres/Zabbix/issues/78 (ahbl.org)",
        "reported: https://vamsoft.com/company/news/dsbl-shutdown (dsbl.org)",
        "reported: https://www.dnsbl.com/search?max-results=47&reverse-paginate=true&updated-max=2024-06-08T12%3A02%3A00"
        "-07%3A00 (inps.de)",
        "reported: https://reviewmyemails.com/emailalmanac/spam-filters-and-blocklists/major-blocklists-services/"
        "which-blocklists-have-shut-down-or-are-defunct (ix.dnsbl.manitu.net, ordb.org)",
        "reported: https://github.com/sovereign/sovereign/issues/750 (njabl.org)",
        "reported: https://www.rollernet.us/2012/09/dnsbl-rfc-ignorant-org-shutting-down-2/ (rfc-ignorant.org)",
        "reported: https://github.com/MailCleaner/MailCleaner/issues/614 (sorbs.net)",
    ),
    references=("https://www.courier-mta.org/couriertcpd.html",),
)

DEAD: Mapping[str, str] = {
    "ahbl.org": "ended in 2014, lists everything since 2015",
    "dsbl.org": "ended in 2008",
    "inps.de": "ended in 2020",
    "ix.dnsbl.manitu.net": "ended in 2025",
    "njabl.org": "ended in 2013",
    "ordb.org": "ended in 2006",
    "rfc-ignorant.org": "ended in 2012",
    "sorbs.net": "ended in 2024",
}
"""Zones that nobody runs any more, with those below them; evidence is in ISSUE.known."""

_LISTENERS = ("esmtpd", "esmtpd-msa", "esmtpd-ssl")
_PLAIN = re.compile(r"""[^"'\\$`]*""")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every file whose BLACKLISTS asks a list that is dead."""
    seen = set()
    for name in _LISTENERS if "mta" in host.components else ():
        if not host.exists(host.conffile(name)):
            continue
        known = host.settings(name)
        value = known.get("BLACKLISTS")
        where = known.where("BLACKLISTS")
        dead = [(zone, why) for word in value.split() if (zone := _zone(word)) and (why := _dead(zone))]
        if dead and where and where.path not in seen:
            seen.add(where.path)
            yield Finding(
                where=where.path,
                detail="BLACKLISTS asks " + ", ".join(f"{zone} ({why})" for zone, why in dead),
                subject=" ".join(word for word in value.split() if not _dead(_zone(word))),
                # A message in quotes may have spaces in it.
                fixable=_PLAIN.fullmatch(value) is not None,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the edit that takes the dead lists out of the value."""
    for finding in findings:
        yield EditFile(
            path=finding.where,
            setting="BLACKLISTS",
            edit=partial(settings.assign, name="BLACKLISTS", value=finding.subject),
            old=finding.detail,
            new=f"BLACKLISTS={finding.subject or 'none'}",
            # Restarting a listener starts courierd too, which it requires.
            allow=allow_start(host.queue),
            restarts=("smtp", "msa", "smtps"),
        )


def _zone(word: str) -> str:
    """The zone of an option of couriertcpd: ``-block=zone[=shown][/address][,variable…]`` (read: libs/tcpd/tcpd.c,
    1.4.1)."""
    found = re.match(r"-block=([^=,/\s]+)", word)
    return found[1].lower().rstrip(".") if found else ""


def _dead(zone: str) -> str:
    return next((why for dead, why in DEAD.items() if zone == dead or zone.endswith(f".{dead}")), "")
