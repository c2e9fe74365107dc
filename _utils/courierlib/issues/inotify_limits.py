"""
IMAP says "Inotify initialization error", or sessions end as soon as they wait for mail

## What you see

Mail programs show an alert when they log in:

```text
* OK [ALERT] Inotify initialization error
```

Some show it each time, others never. Nothing is in the log. New mail appears only after a minute or on "get mail".

Courier 2.0 says nothing at login. The session ends as soon as the mail program waits for new mail (`IDLE`), and the log
has

```text
imapd: terminate called after throwing an instance of 'std::runtime_error'
imapd: what():  inotity_init() failed
```

## What it breaks

IMAP IDLE for the sessions above the limit. Up to 1.4 they look for new mail once a minute instead of being told; 2.0
cuts them off. Nothing is lost.

It hits hosts where all virtual users share one user ID: the kernel counts what that one ID uses.

## Check by hand

The first command counts the inotify instances of each user ID, the second shows the limit for one user ID.

## Fix by hand

```console
# echo 'fs.inotify.max_user_instances = 4096' > /etc/sysctl.d/60-courier-inotify.conf
# echo 'fs.inotify.max_user_watches = 524288' >> /etc/sysctl.d/60-courier-inotify.conf
# sysctl -p /etc/sysctl.d/60-courier-inotify.conf
```

Nothing is interrupted. These commands were not run in the tests, whose machines are containers. Courier's own advice is
four instances for each session of one user ID, and five times as many watches. In a container the limits are those of
the host: set them there.

## Undo

```console
# rm /etc/sysctl.d/60-courier-inotify.conf
```

The old limits are back after a reboot.

## How to see that it worked

Log in once more; the alert is gone.

## Why it happens

Since 1.1 the IMAP server asks the kernel to tell it of changes in a Maildir. Linux allows
128 instances for each user ID, and Courier counts on four for each session: enough for about 30.
"""

import os
from collections import Counter

from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.listeners import descriptors

ISSUE = Issue(
    id="inotify-limits",
    component="services",
    severity=Severity.MEDIUM,
    affects=Affects(since="1.1"),
    interrupts="nothing",
    look=(
        "find /proc/[0-9]*/fd -lname 'anon_inode:inotify' -printf '%h\\n' 2>/dev/null | while read fd; do "
        "stat -c %u ${fd%/fd}; done | sort | uniq -c | sort -rn | head -5",
        "cat /proc/sys/fs/inotify/max_user_instances",
    ),
    bites=("imapd",),
    known=(
        "run: trixie 1.4.1: all instances of a user ID in use: the alert at login",
        "run: forky 2.0.6: the same: no alert, IDLE ends the session",
        "read: strings of imapd, bookworm 1.0.16: no inotify_init; trixie 1.4.1, forky 2.0.6: there",
        "read: libs/imap/imapd.c, libs/maildir/maildirwatch.c and INSTALL, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl"),
            pattern=r"^ *what\(\): +inotity_init\(\) failed$",
            sample="what():  inotity_init() failed",
            known="run: forky 2.0.6",
        ),
    ),
)

_LIMIT = "/proc/sys/fs/inotify/max_user_instances"
_NEARLY = 0.9
_SERVERS = frozenset({"imapd"})


def check(host):
    """Yield a finding for every user ID that runs imapd and has used up its inotify instances, or nearly so."""
    owners = {process.uid for process in host.processes if process.name in _SERVERS}
    if "imap" not in host.components or not owners or not host.contains(f"{host.layout.bindir}/imapd", b"inotify_init"):
        return
    # 2.0 says so, with its own spelling, and ends.
    severity = Severity.HIGH if host.contains(f"{host.layout.bindir}/imapd", b"inotity_init") else None
    limit = _limit()
    for uid, used in _instances(owners).items():
        if used >= limit * _NEARLY:
            account = host.user(uid)
            yield Finding(
                where=f"user {account.name if account else uid}",
                detail=f"{used} of {limit} inotify instances in use (fs.inotify.max_user_instances)",
                severity=severity,
            )


def _limit() -> int:
    try:
        with open(_LIMIT, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError) as failed:
        raise Unknown(f"{_LIMIT}: {failed}") from None


def _instances(owners: set[int]) -> Counter:
    """Inotify instances of all processes of these users."""
    found: Counter = Counter()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
            if uid in owners:
                found[uid] += sum(opened == "anon_inode:inotify" for opened in descriptors(pid))
        except OSError:
            continue  # It ended meanwhile.
    return found
