r"""
"mail loops back to myself (MX problem)": a domain is accepted, and not delivered here

## What you see

Mail for one of your domains is accepted and then bounces. The log says:

```text
configuration error: mail loops back to myself (MX problem).
```

## What it breaks

All mail for that domain. The sender gets a bounce; where that cannot be delivered, the message is lost.

## Check by hand

Take the domain from the line in the log: it is behind the `@` of `addr=`. Port 25 accepts it by
`esmtpacceptmailfor.dir` or, without the file `esmtpacceptmailfor`, because it is in `me`. It must also be in `locals`,
in `hosteddomains`, or have a route in `esmtproutes`.

## Fix by hand

What is right depends on what the domain is for. One of these:

1. Its addresses are the users of this host, `alice@example.test` is the user alice. Add it to `locals`:

    ```console
    # echo example.test >>/etc/courier/locals
    # systemctl restart courier
    ```

    Without the file, `me` was local. If there was none, put the name in `me` into it too, or its mail stops.

2. It has accounts of its own, such as virtual users with `alice@example.test` as their name:

    ```console
    # echo example.test >>/etc/courier/hosteddomains/local
    # makehosteddomains
    # systemctl restart courier
    ```

    Do not put a domain into both: then addresses change, from `alice@example.test` to `alice`.

3. Another server has the mailboxes, and this one only passes mail on. Name that server in `/etc/courier/esmtproutes`,
    as `example.test:inside.example.test`, and restart nothing: it is read for each message.

4. This host has nothing to do with the domain. Take it out of `esmtpacceptmailfor.dir`, run `makeacceptmailfor`, and
    change the MX record.

The restart closes SMTP for about a second.

No function does this for you, because only you know which of the four it is.

## Undo

Take the line out again, and do the same once more.

## How to see that it worked

A message to the domain arrives, and the line does not come back.

## Why it happens

Mail for a domain that is not local is sent to the domain's MX. If the best MX is this host, it would talk to itself for
ever, so courieresmtp gives up at once. A backup MX is no mistake: it accepts domains that are not local, and its own MX
record is not the best.
"""

from collections.abc import Iterator

from courierlib import domains
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature

ISSUE = Issue(
    id="accepted-domain-not-local",
    component="mta",
    logged=True,
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="SMTP, for the second in which courierd is restarted",
    look=(
        "cd /etc/courier; grep -H -v -e '^#' -e '^$' me locals hosteddomains/* esmtproutes",
        "cd /etc/courier; grep -H -v -e '^#' -e '^$' esmtpacceptmailfor esmtpacceptmailfor.dir/*",
    ),
    tell="The log says `mail loops back to myself`, and the domain is neither in `locals` nor in `hosteddomains`.",
    bites=("courierd", "courieresmtp"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: the domain of `me` taken out of locals, with an MX record "
        "for this host",
        "read: courier/module.esmtp/libesmtp.c, courier/libs/islocal.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("courieresmtp",),
            pattern=r">: configuration error: mail loops back to myself \(MX problem\)\.$",
            sample="id=000000000029C295.000000006B03728A.00000263,from=<>,addr=<alice@mx14.example.test>: "
            "configuration error: mail loops back to myself (MX problem).",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
    references=("https://www.courier-mta.org/FAQ.html",),
)


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if the host's own mail name is accepted and not delivered here.

    Of other domains the files alone tell nothing: a backup MX accepts what is not local. There the log does.
    """
    if "mta" not in host.components:
        return
    known = host.once(domains.read)
    domain = known.me
    if "." in domain and known.is_accepted(domain) and not known.is_local(domain) and not known.is_routed(domain):
        yield Finding(
            where=host.conffile("me"),
            detail=f"{domain}: accepted by SMTP, and neither in locals nor hosted here nor routed elsewhere; "
            "if its MX or address is this host, mail for it bounces",
            severity=Severity.MEDIUM,
        )
