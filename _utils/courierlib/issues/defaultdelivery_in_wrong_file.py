"""
DEFAULTDELIVERY in esmtpd, imapd or pop3d has no effect

## What you see

You changed DEFAULTDELIVERY, restarted everything, and mail is still delivered as before. There is no message about
it.

## What it breaks

Nothing by itself: the line is dead text. It misleads whoever reads it, and it makes one believe that mail is
filtered.

## Check by hand

The first command lists the lines that nobody reads. A healthy host prints nothing.

The second command shows what courierd really uses. Compare that with the line in `/etc/courier/courierd`: if they
differ, courierd has not been restarted since that line was changed.

## Fix by hand

Put a `#` in front of the line, or of each of its lines if the value has several. Nothing needs a restart. For a value
of one line:

```console
# sed -i 's/^DEFAULTDELIVERY=/#&/' /etc/courier/esmtpd
```

`courier.fix defaultdelivery-in-wrong-file` does the same, for a value of several lines too. It does not move the
value to courierd: mail is delivered in the way courierd says now, and a line that nobody has ever tried is no
improvement on that. The line that was recommended most often, `maildrop … -d "${RECIPIENT}"`, makes mail bounce
(article `maildrop-bounces-virtual-users`). If you want another delivery, set DEFAULTDELIVERY in
`/etc/courier/courierd` yourself, `systemctl restart courier`, and send a test message.

## Undo

Take the `#` away.

## How to see that it worked

```console
# grep '^#*DEFAULTDELIVERY' /etc/courier/esmtpd
#DEFAULTDELIVERY='| /usr/bin/maildrop'
```

Mail is delivered as before.

## Why it happens

Local delivery is done by courierdeliver, a child of courierd. It reads DEFAULTDELIVERY from its environment, and
courierd's start script sources `courierd` and no other file. An article of 2017 about the upgrade to 0.76 names
`/etc/courier/esmtpd`, and many have followed it.
"""

from collections.abc import Iterator
from functools import partial

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade
from courierlib.plan import Action, EditFile

ISSUE = Issue(
    id="defaultdelivery-in-wrong-file",
    component="delivery",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="nothing: no program reads the setting there",
    look=(
        "grep -n '^ *DEFAULTDELIVERY' /etc/courier/esmtpd* /etc/courier/imapd* /etc/courier/pop3d*",
        "tr '\\0' '\\n' < /proc/$(pgrep -x courierd | head -1)/environ | grep DEFAULTDELIVERY",
    ),
    tell="`grep` finds DEFAULTDELIVERY in a file other than `/etc/courier/courierd`; a line in that file that has no "
    "effect only waits for `systemctl restart courier`.",
    alike=("maildrop-spool-delivery", "stale-daemon-processes"),
    bites=("courierlocal",),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="Set DEFAULTDELIVERY in `/etc/courier/courierd`, and not in `/etc/courier/esmtpd`, as a much-followed "
            "article about this upgrade says.",
        ),
    ),
    known=(
        "run: trixie, Courier 1.4.1: has no effect in esmtpd, has one in courierd",
        "run: bookworm, Courier 1.0.16: the same",
        "run: forky, Courier 2.0.6: the same",
        "reported: https://georgik.sinusgear.com/tag/courier/ (names esmtpd)",
        "read: courier/libs/cdefaultdelivery.c, courier/module.local/deliver.c, courierctl.start, 1.4.1",
    ),
    references=("https://georgik.sinusgear.com/tag/courier/",),
)

_FILES = ("esmtpd", "esmtpd-msa", "esmtpd-ssl", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every file but courierd's that sets DEFAULTDELIVERY."""
    if not host.installed:
        return
    for name in _FILES:
        path = host.conffile(name)
        try:
            found = host.settings(name)
        except Unknown as unknown:
            yield unknown
            continue
        lines = [str(location.line) for location in found.all("DEFAULTDELIVERY") if location.path == path]
        if lines:
            yield Finding(
                where=path,
                detail=f"DEFAULTDELIVERY in line {', '.join(lines)} has no effect: only courierd reads it",
                subject=path,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the edits that make the dead lines comments; the value in courierd stays what it is."""
    for finding in findings:
        yield EditFile(
            path=str(finding.subject),
            setting="DEFAULTDELIVERY",
            edit=partial(settings.comment_out, name="DEFAULTDELIVERY"),
            old=finding.detail.partition(" has")[0],
            new="commented out",
        )
