r"""
Mail is refused or waits because a file system is full

## What you see

It depends on what is full. Each of these was seen on a file system that was filled up:

| Full | What happens | In the log |
| --- | --- | --- |
| the spool, no block left | `432 Service temporarily unavailable.` | `submit: No space left on device` |
| the spool, about 100 blocks (440 KiB) left | `431 Mail system full.` | `…: 431 Mail system full.` |
| the spool, less than 150 inodes left | `431 Mail system full.` | `…: 431 Mail system full.` |
| Maildirs | mail is accepted, and waits | `maildir.close: ./Maildir: No space left on device` |

`sendmail` says `Unable to submit message.` and ends with status 75.

## What it breaks

Mail is refused with a temporary error, so other servers try again for some days. Programs on this host that call
`sendmail` may lose what they send: cron and scripts do not try again. Mail that is accepted already waits. When it has
waited for a week it is returned to its sender.

IMAP clients cannot store messages: sent mail and drafts are missing.

## Check by hand

The first `df` counts bytes, the second one inodes: one is used up by each file, so by each message. `Avail` and `IFree`
are what is left; a file system with `-` there has no such limit. What is reserved for root is not counted, and not for
Courier either.

## Fix by hand

Find out what is large:

```console
# du -xh --max-depth=2 /var | sort -h | tail
```

What may go:

* old logs and the journal: `journalctl --vacuum-size=200M`; packages that were downloaded: `apt-get clean`;
* in the Trash of users, what they have deleted. Courier does it by itself where `IMAP_EMPTYTRASH` is set in
  `/etc/courier/imapd`;
* single messages of the queue, with `cancelmsg` and the number that `mailq` prints. This returns them to their senders.

What must never be deleted by hand: **anything below `/var/lib/courier/msgs`, `msgq` and `tmp`**. Each file there is
somebody's mail or its envelope. No file in `cur` and `new` of a Maildir is superfluous either.

Then mail flows again without a restart. What waits is tried again at its time; `courier flush` does it at once.

## Undo

Nothing brings back a log, a message or a file that was deleted. Take a copy to another disk first if you may need it.

## How to see that it worked

A message to this host arrives, and the log has:

```text
courierlocal: …,success: Message delivered.
```

## Why it happens

Courier stops before everything is used up. `submit` wants 150 free inodes (50 more for every ten `MAXSUBMITTERS` above
ten), and courierd puts off what waits when less than 900 are left: 100, and two for each of the 400 messages that it
holds in memory (`queuehi`). Of blocks, `submit` looks for 100 to 109 free ones only: with less it accepts mail, until
the file system is full to the last one.
"""

from collections.abc import Iterator

from courierlib import space
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown

ISSUE = Issue(
    id="spool-full",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing",
    look=(
        "df -h /var/lib/courier /run/courier /home",
        "df -i /var/lib/courier /run/courier /home",
    ),
    tell="`df` or `df -i` shows that next to nothing is left.",
    bites=("submit", "queue", "courierlocal", "maildir"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a spool of 2 MiB without a free block, with 109 of them, and "
        "with 140 inodes; a Maildir without a free block",
        "run: trixie 1.4.1: with 12 free blocks mail is accepted",
        "read: libs/imap/imapd.c, 1.4.1: `Cannot create message - no write permission or out of disk space.`",
        "read: checkfreespace() in courier/submit.C, diskspacelow() in courier/courierd.C, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("submit",),
            pattern=r"^No space left on device$",
            sample="No space left on device",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r"^submitclient: EOF from submit\.$",
            sample="submitclient: EOF from submit.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r"^error,relay=[^=,]*,port=[^=,]*,from=<[^<>]*>,to=<[^<>]*>: 431 Mail system full\.$",
            sample="error,relay=::ffff:192.0.2.7,port=34708,from=<>,to=<alice@mx.example.test>: 431 Mail system full.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"^id=[^=,]*,from=<[^<>]*>,addr=<[^<>]*>: maildir\.close: [^:]*: No space left on device: ",
            sample="id=00000000002AC4D5.000000006B0379D9.0000025F,from=<>,addr=<alice@mx.example.test>: maildir.close: "
            "./Maildir: No space left on device: No such file or directory",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierd",),
            pattern=r"^Low on disk space\.$",
            sample="Low on disk space.",
            known="read: courier/courierd.C, 1.4.1",
        ),
    ),
)

SUBMIT_BLOCKS = 110
"""Free blocks from which on submit accepts mail for certain (read: courier/submit.C, 1.4.1; run: trixie)."""

SUBMIT_INODES = 150
"""Free inodes that submit wants, with up to ten MAXSUBMITTERS (read: courier/submit.C, 1.4.1; run: trixie)."""

FEW_BYTES = 64 << 20
FEW_INODES = 1000
"""Below that a day's mail fills the rest; courierd puts off what waits below 900 inodes, with its usual queue of 400
messages in memory (read: diskspacelow() in courier/courierd.C, cddrvinfo.C, 1.4.1)."""

SMALL = 20
"""On a small file system, such as one for the queue alone, this part of it is enough."""

_HOLDS = {"spool": "the spool", "maildirs": "Maildirs", "run": "PID files and sockets"}
_BREAKS = {
    "spool": "SMTP answers 431 or 432, and local programs cannot send",
    "maildirs": "mail is not delivered, it waits",
    "run": "daemons that are restarted may not come back",
}


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every file system of Courier's with next to nothing left for others than root."""
    directories = list(space.own(host))
    try:
        directories += space.maildirs(host)
    except Unknown as unknown:
        yield unknown
    for system in space.read(host, directories):
        need_blocks, need_inodes = (SUBMIT_BLOCKS, SUBMIT_INODES) if system.use == "spool" else (1, 1)
        few_blocks = min(FEW_BYTES // system.block, system.size // SMALL)
        few_inodes = min(FEW_INODES, system.all_inodes // SMALL)
        limited = system.all_inodes > 0
        stopped = system.blocks < need_blocks or (limited and system.inodes < need_inodes)
        if not stopped and system.blocks >= few_blocks and not (limited and system.inodes < few_inodes):
            continue
        left = f"{system.blocks * system.block >> 10} KiB"
        if limited:
            left += f" and {system.inodes} inodes"
        breaks = f": {_BREAKS[system.use]}" if stopped else ""
        yield Finding(
            where=system.path,
            detail=f"{left} left for {_HOLDS[system.use]}{breaks}",
            severity=None if stopped else Severity.MEDIUM,
            fixable=False,
        )
