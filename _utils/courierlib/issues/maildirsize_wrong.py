r"""
"Maildir over quota", and the mailbox is not full: maildirsize is wrong

## What you see

Mail for one account waits:

```text
courierlocal: id=…,addr=<bob@virt.example.test>: Maildir over quota.
```

Most often that is simply true. It is this problem if the messages are smaller than the limit, or gone.

The other way round, a limit has no effect, and the log may say why:

```text
courierlocal: id=…,addr=<bob@virt.example.test>: WARN: quota string '10M' not parseable
```

## What it breaks

Mail for the account is deferred, and after a week it bounces. Other servers are told `456 Address temporarily
unavailable.` meanwhile. A quota that cannot be read is no quota: nothing breaks until the disk is full.

## Check by hand

The command prints the files. The first line is the limit, bytes with an `S` and messages with a `C`. Each further line
is a change in bytes and messages; their sum is what Courier believes to be in the Maildir. Compare it with the size of
the files in `cur` and `new`, without the folder Trash.

Courier counts anew when the sum is over the limit, but not if the file has just one such line and is younger than 15
minutes. So a date **in the future** keeps a wrong sum for as long as that lies ahead.

A file that does not belong to the account, or whose first line has no number followed by `S` or `C`, is ignored.

## Fix by hand

Have Courier count anew. A sum below zero makes it do so at the next delivery; the limit stays as it is:

```console
# cd /srv/mail/bob/Maildir
# sed -i -e '2,$d' maildirsize
# echo '-1 0' >>maildirsize
# chown --reference=. maildirsize
# courier clear all
# courier flush
```

A file of another owner: `chown --reference=. maildirsize`. One without a limit that can be read: remove it; if authlib
gives the account a quota, it comes back with the next message. If it is authlib's quota that says `10M`, write
`10000000S` there: the file is not the cause.

`courier.fix maildirsize-wrong` does the same. It leaves a mailbox alone that really is full. A quota that you have
taken out of authlib stays in force by this file: remove the file yourself.

## Undo

The file is a copy of what can be counted. `courier.undo` brings the old one back all the same.

## How to see that it worked

The message arrives, and the file has been written anew:

```console
# cat /srv/mail/bob/Maildir/maildirsize
6000S
           0            0
         318            1
```

## Why it happens

Courier does not count the messages for each delivery; it adds up what it knows to have changed. Messages that were
removed with `rm` are not known to it. It notices when the sum passes the limit, unless the date of the file makes it
believe that it has counted just now: the clock was wrong for a while, or the Maildir was copied from a host where it
was. `maildirmake -q` as root leaves a file that the account may not write to.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from courierlib import maildirs
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.maildirs import Mailbox
from courierlib.plan import Action, EditFile, Refused, RemoveFile, SetOwnership
from courierlib.tree import FileStat, Unreadable

ISSUE = Issue(
    id="maildirsize-wrong",
    component="delivery",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="nothing",
    look=(
        "head -n 3 /home/*/Maildir/maildirsize /srv/mail/*/Maildir/maildirsize 2>/dev/null",
        "stat -c '%U:%G %y %n' /home/*/Maildir/maildirsize /srv/mail/*/Maildir/maildirsize 2>/dev/null; date",
    ),
    tell="The messages in the Maildir are smaller than the first line of `maildirsize` allows.",
    bites=("maildir",),
    known=(
        "run: trixie 1.4.1, bookworm 1.0.16, forky 2.0.6: a sum over the limit with a date in the future, no message "
        "there: deferred; with a sum below zero: counted anew",
        "run: trixie 1.4.1: `10M` as a limit, a file of root's: the limit has no effect",
        "run: trixie 1.4.1: another limit in authlib: cannot occur, the next delivery writes the file anew",
        "read: docheckquota() and do_maildir_openquotafile() in libs/maildir/maildirquota.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("courierlocal",),
            pattern=r": Maildir over quota\.$",
            sample="id=000000000029C240.000000006B0373CB.00000984,from=<x@client.example.test>,"
            "addr=<bob@virt.example.test>: Maildir over quota.",
            known="run: trixie 1.4.1",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r": WARN: quota string '[^']*' not parseable$",
            sample="id=000000000029C255.000000006B0373D5.000009E5,from=<x@client.example.test>,"
            "addr=<bob@virt.example.test>: WARN: quota string '10M' not parseable",
            known="run: trixie 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/maildirquota.html",),
)

MAX_MESSAGES = 20_000
"""Messages of one Maildir that are counted."""
_READ = 5120
"""Bytes of the file that Courier reads; a longer one is counted anew (read: libs/maildir/maildirquota.c, 1.4.1)."""
_FRESH = 15 * 60
_LIMIT = re.compile(rb"(\d+)([SC])")
_CHANGE = re.compile(rb"\s*(-?\d+)\s*(-?\d+)")
_SIZE = re.compile(r",S=(\d+)")
_TRASHED = re.compile(r":2,[A-Z]*T")


@dataclass(frozen=True)
class _Limit:
    """The limit in bytes and in messages; 0 is none."""

    size: int
    number: int

    def is_passed(self, size: int, number: int) -> bool:
        """Whether this is more than the limit allows."""
        return 0 < self.size < size or 0 < self.number < number


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every maildirsize that Courier cannot use, or believes although it is wrong."""
    survey = host.once(maildirs.survey)
    for box in survey.distinct:
        if "maildirsize" in box.names:
            try:
                yield from _findings(host, box)
            except Unreadable as unreadable:
                yield unreadable
    yield from survey.unknown()


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield what has Courier count anew, or take the file for the account's."""
    del host
    for finding in findings:
        box, found, believed = finding.subject
        if found.uid != box.account.uid:
            uid, gid = box.owner
            yield SetOwnership(
                path=finding.where,
                uid=uid,
                gid=gid,
                inode=found.inode,
                old=f"{found.uid}:{found.gid}",
                new=f"{uid}:{gid}",
            )
        elif believed is None:
            yield RemoveFile(path=finding.where, old="no limit that can be read", new="absent")
        else:
            yield EditFile(
                path=finding.where,
                edit=_counted_anew,
                old=f"{believed[0]} bytes, {believed[1]} messages",
                new="counted anew at the next delivery",
            )


def _counted_anew(content: bytes | None) -> bytes:
    """The limit, and a sum below zero: Courier then counts (read: do_maildir_openquotafile() in
    libs/maildir/maildirquota.c, 1.4.1; run: trixie, 1.4.1).

    Raises:
        Refused: the file is empty.
    """
    limit = (content or b"").partition(b"\n")[0]
    if not limit:
        raise Refused("maildirsize: is empty by now")
    return limit + b"\n-1 0\n"


def _findings(host: Host, box: Mailbox) -> Iterator[Finding]:
    path = f"{box.path}/maildirsize"
    found = host.stat(path, follow=False)
    if found is None or found.kind != "file" or found.links != 1:
        return
    if found.uid != box.account.uid:
        # A wrong owner of the whole Maildir is an issue of its own.
        if box.found and box.found.uid == box.account.uid:
            detail = f"belongs to uid {found.uid}, not to {box.account.name} (uid {box.account.uid}): has no effect"
            yield Finding(path, detail, severity=Severity.LOW, subject=(box, found, None))
        return
    # A longer one is counted anew each time.
    first, *changes = host.read(path).split(b"\n") if found.size < _READ else [b"1S"]
    limits = {kind: int(number) for number, kind in _LIMIT.findall(first)}
    limit = _Limit(limits.get(b"S", 0), limits.get(b"C", 0))
    if limit == _Limit(0, 0):
        detail = "its first line has no limit that Courier can read, such as 10000000S: there is no quota"
        yield Finding(path, detail, severity=Severity.LOW, subject=(box, found, None))
    elif time.time() < found.mtime + _FRESH and len(changes := [line for line in changes if line]) == 1:
        yield from _believed(host, box, found, limit, changes[0])


def _believed(host: Host, box: Mailbox, found: FileStat, limit: _Limit, change: bytes) -> Iterator[Finding]:
    """The finding for a sum over the limit that Courier takes to be counted just now, and that is wrong."""
    match = _CHANGE.match(change)
    believed = (int(match[1]), int(match[2])) if match else (0, 0)
    actual = _count(host, box) if limit.is_passed(*believed) else None
    if actual is None or limit.is_passed(*actual):
        return
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.mtime + _FRESH))
    detail = (
        f"says {believed[0]} bytes and {believed[1]} messages, over the limit; there are {actual[0]} and {actual[1]}: "
        f"mail for {box.account.name} is refused until {until} UTC"
    )
    yield Finding(f"{box.path}/maildirsize", detail, subject=(box, found, believed))


def _count(host: Host, box: Mailbox) -> tuple[int, int] | None:
    """Bytes and messages that are really there, Trash apart; None if they are too many to look at."""
    size = number = 0
    folders = [box.path, *(f"{box.path}/{name}" for name in box.names if name[0] == "." and name != ".Trash")]
    for directory in (f"{folder}/{part}" for folder in folders for part in ("new", "cur")):
        for name in host.listdir(directory):
            if name[0] == "." or _TRASHED.search(name):
                continue
            number += 1
            if number > MAX_MESSAGES:
                return None
            told = _SIZE.search(name)
            size += int(told[1]) if told else _size(host.stat(f"{directory}/{name}"))
    return size, number


def _size(found: FileStat | None) -> int:
    return found.size if found else 0
