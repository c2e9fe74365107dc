r"""
Messages stay in the queue for ever: courierd does not know of them, or does not try them

## What you see

`mailq` lists messages that are never tried, or that are older than a week. For a message that courierd does not know
of, the log has its `newmsg` line and the attempts of before, and then nothing more, not even after a restart or
`courier flush`.

## What it breaks

The message is neither delivered nor returned: its sender waits. Nothing is lost while its two files below `msgs` are
there.

## Check by hand

Each message has an envelope `msgs/…/C1234`, its text `D1234`, and a second name of the envelope,
`msgq/…/C1234.1795365921`. The number at the end is the time of the next attempt, in seconds: `date -d @1795365921`. The
first command counts envelopes, the second one the names in `msgq`. On a healthy host both numbers are the same, but for
messages that come and go meanwhile.

Deferred mail of some days is no problem: Courier tries it for a week.

## Fix by hand

Where names in `msgq` are missing, give each envelope its own again, due now. **A backup of `msgs` that was restored
without `msgq` may hold mail that was delivered long ago; move such files away first, or it is sent again.**

```console
# cd /var/lib/courier
# now=$(date +%s); slot=msgq/${now%????}
# install -d -o courier -g courier $slot
# for c in msgs/*/C*; do n=${c##*/C}; ls msgq/*/C$n.* >/dev/null 2>&1 || ln "$c" "$slot/C$n.$now"; done
# systemctl restart courier
```

A restart interrupts delivery for about a second, and SMTP with it.

Where messages are late, look for the reason: is courierd stopped (state `T` in `ps`), is the disk slow, are all its
processes busy with hosts that do not answer? Where it did nothing for two days, save what came in meanwhile before it
goes on: **then courierd deletes what is older than 48 hours below `tmp`.**

```console
# find /var/lib/courier/tmp/[0-9]* -type f -exec touch {} +
```

`systemctl restart courier`, and then `courier flush`, try everything now.

A message that nobody wants any more is returned to its sender by `cancelmsg` and the number that `mailq` prints. Never
delete files of the queue by hand.

## Undo

There is nothing to undo: what was delivered stays delivered.

## How to see that it worked

The log has `started,id=…` for each message, and `mailq` lists those that are deferred again.

## Why it happens

courierd learns of messages from `msgq` alone. It never looks through `msgs` again, not even when it starts. Names are
missing after a backup that did not keep hard links or left out `msgq`, after a crash of the file system, and after
somebody has cleaned up in `msgq`.
"""

import os
import time
from collections.abc import Iterator

from courierlib import queue
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.queue import Taken
from courierlib.tree import Unreadable

ISSUE = Issue(
    id="queue-stuck",
    component="mta",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="nothing",
    look=(
        "find /var/lib/courier/msgs -name 'C[0-9]*' | wc -l",
        "find /var/lib/courier/msgq -name 'C[0-9]*' | wc -l",
        "mailq",
    ),
    tell="`find` counts more envelopes below `msgs` than names below `msgq`, or `mailq` lists mail older than a week.",
    bites=("queue", "courierd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: the name in msgq of a deferred message removed: not tried "
        "after a restart of courierd nor by courier flush; delivered after the name was made anew",
        "read: msgq::queuescan() in courier/cdmsgq.C, cdmsgq3.C, 1.4.1: courierd reads msgq only, and returns what has "
        "expired at its next attempt",
    ),
)

SETTLED = 3600
"""Seconds in which a message may be between tmp and msgq, or its envelope about to be removed."""

LATE = 6 * 3600
"""Seconds by which a message may miss its time while courierd is busy with others."""

EXPIRED = 24 * 3600
"""Seconds by which a message may outlive its time in the queue: courierd looks at it at its next attempt."""

MAX_READ = 200
"""Envelopes of old messages that are read."""

_WEEK = 7 * 24 * 3600


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for messages without a name in msgq, and one for those that are not tried at their time."""
    if "mta" not in host.components or not host.queue.taken:
        return
    schedule, now = host.once(queue.schedule), time.time()
    unscheduled = [taken for taken in host.queue.taken if taken.number not in schedule]
    # courierd has taken them away, or written their names, since the queue was read.
    lost = [taken for taken in unscheduled if taken.written < now - SETTLED and host.exists(taken.path)]
    state = host.layout.localstatedir
    if lost:
        yield _finding(host, f"{state}/msgs", lost, "have no name in msgq, so courierd never tries them")
    due = [(taken, schedule[taken.number]) for taken in host.queue.taken if taken.number in schedule]
    late = [taken for taken, at in due if at < now - LATE]
    if late:
        try:
            running = _courierd_runs_for(host)
        except Unknown as unknown:
            yield unknown
            running = 0
        late = late if running > LATE else []
    late += _expired(host, [taken for taken, _ in due if taken not in late], now)
    if late:
        yield _finding(host, f"{state}/msgq", late, "should have been tried, or returned to their senders, long ago")


def _finding(host: Host, where: str, messages: list[Taken], what: str) -> Finding:
    oldest = min(messages, key=lambda taken: taken.arrived)
    days = (time.time() - oldest.arrived) / 86400
    more = " or more" if host.queue.bounded else ""
    detail = f"{len(messages)}{more} message(s) {what}; the oldest is {oldest.path}, of {days:.1f} days ago"
    return Finding(where=where, detail=detail, fixable=False)


def _courierd_runs_for(host: Host) -> float:
    """Seconds; 0 if it does not run, which is another problem.

    Raises:
        Unknown: processes cannot be seen.
    """
    started = [process.started for process in host.processes if process.name == "courierd"]
    if not started:
        return 0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - max(started) / os.sysconf("SC_CLK_TCK")


def _expired(host: Host, messages: list[Taken], now: float) -> list[Taken]:
    """Messages whose envelope says that they should have been returned; envelopes of older than a week are read."""
    old = sorted((taken for taken in messages if taken.arrived < now - _WEEK), key=lambda taken: taken.arrived)
    expired = []
    for taken in old[:MAX_READ]:
        try:
            at = queue.expires(host, taken.path)
        except Unreadable:
            continue
        if at is not None and at < now - EXPIRED:
            expired.append(taken)
    return expired
