r"""
"Message delivered", and the message is gone: DEFAULTDELIVERY is empty

## What you see

The log says that all is well, and the message is nowhere: not in the Maildir, not in `/var/mail`, not in the queue.

```text
courierlocal: id=…,from=<x@client.example.test>,addr=<alice@mx1.example.test>,size=247,success: Message delivered.
```

## What it breaks

**Mail is lost, and nobody is told.** It concerns every account for which authlib gives no Maildir, and that has no
`.courier` with instructions: with `authpam` all of them. What is gone cannot be brought back.

## Check by hand

The first command shows the setting, the second what courierd has really been started with. A healthy host has
`./Maildir` there, or a command. Nothing between the quotes, blanks, or a line that begins with `#`, all mean: no
delivery. A missing line is healthy: `./Maildir` is the default.

## Fix by hand

```console
# cp -p /etc/courier/courierd /root/courierd.before
# sed -i 's,^DEFAULTDELIVERY=.*,DEFAULTDELIVERY=./Maildir,' /etc/courier/courierd
# sh -n /etc/courier/courierd
# systemctl restart courier
```

If the value's closing quote is on another line, edit the file by hand. `sh -n` prints nothing if the file is sound.

Until you have decided on the setting, `systemctl stop courier` stops the loss: port 25 closes with it, and other
servers keep their mail and try again. Afterwards start `courier`, `courier-mta`, `courier-msa` and `courier-mta-ssl`.

`courier.fix defaultdelivery-empty` sets `./Maildir`. It needs `allow=no-maildir` if an account that reads its mail in
`/var/mail` has no Maildir: Courier would make a file of that name. If you want one account's mail to be thrown away,
give that account a `.courier` that says so, with a comment as its only line.

## Undo

```console
# cp -p /root/courierd.before /etc/courier/courierd
# systemctl restart courier
```

Mail is lost again from then on.

## How to see that it worked

```console
# grep '^DEFAULTDELIVERY' /etc/courier/courierd
DEFAULTDELIVERY=./Maildir
```

A test message is in `Maildir/new`.

## Why it happens

courierdeliver works through the lines of its instructions. When there are none it has nothing to do, nothing fails,
and that is a success. Only if the variable is not set at all, `./Maildir` takes its place. The value becomes empty
when somebody "switches maildrop off" by deleting what is between the quotes, or by putting a `#` inside them.
"""

from collections.abc import Iterator

from courierlib import delivery
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity
from courierlib.plan import Action

ISSUE = Issue(
    id="defaultdelivery-empty",
    component="delivery",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="delivery, for the second in which courierd is restarted; mail that arrives meanwhile waits",
    allows=(delivery.NO_MAILDIR,),
    look=(
        "grep -n -A2 '^ *DEFAULTDELIVERY' /etc/courier/courierd",
        "tr '\\0' '\\n' < /proc/$(pgrep -x courierd | head -1)/environ | grep DEFAULTDELIVERY",
    ),
    tell="There is nothing in DEFAULTDELIVERY, and `/var/mail` stays empty too, unlike with `maildrop-spool-delivery`.",
    alike=("maildrop-spool-delivery",),
    bites=("courierlocal",),
    known=(
        "run: trixie 1.4.1, bookworm 1.0.16, forky 2.0.6: empty: delivered to nowhere",
        "run: trixie 1.4.1: a blank, a comment: the same",
        "read: dodel() in courier/module.local/deliver.c, courier/libs/cdefaultdelivery.c, 1.4.1",
    ),
    references=("https://www.courier-mta.org/courier.html",),
)


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding if DEFAULTDELIVERY has no instruction, and some account's mail is delivered by it."""
    if "mta" not in host.components or delivery.parse(host.default_delivery):
        return
    lost = delivery.concerned(host)
    if lost:
        yield Finding(
            where=delivery.where(host),
            detail=f"{host.default_delivery.strip() or 'empty'}: mail is thrown away for {delivery.listed(lost)}",
        )
    else:
        delivery.require_all_accounts(host)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the setting with Courier's own default."""
    del findings
    yield from delivery.repair(host, "maildir")
