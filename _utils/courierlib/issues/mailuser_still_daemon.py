"""
SMTP answers 432 Service temporarily unavailable: MAILUSER is still daemon

## What you see

Every message is refused after `MAIL FROM` with `432 Service temporarily unavailable.` `EHLO` no longer offers
`STARTTLS` either. For each attempt the log has lines of submit, `Permission denied`, which do not say on what, and
nearly always this one:

```text
courieresmtpd: submitclient: EOF from submit.
```

## What it breaks

No mail comes in on ports 25, 465 and 587. Other servers try again for some days, then return it to its sender. Users
cannot send. Delivery of what is queued, IMAP and POP go on.

## Check by hand

The listeners run as `MAILUSER:MAILGROUP`, and must be able to write to `tmp`. A healthy host says `courier` in the
first two commands, and the third one counts three listeners of that user, one for each port.

The names themselves do not matter: `daemon:courier` and `courier:daemon` both work, a user of your own in the group
`courier` as well, and so do empty values. If it is `tmp` that belongs to `daemon`, see `spool-wrong-owner`. If
listeners run as `daemon` although the settings say `courier`, see `stale-daemon-processes`.

## Fix by hand

```console
# cp -p /etc/courier/esmtpd /root/esmtpd.before
# sed -i -e 's/^MAILUSER=.*/MAILUSER="courier"/' -e 's/^MAILGROUP=.*/MAILGROUP="courier"/' /etc/courier/esmtpd
# systemctl restart courier-mta courier-msa courier-mta-ssl
```

`esmtpd-msa` and `esmtpd-ssl` read `esmtpd` first, and then their own file: change a line there too if there is one.
`esmtpd restart` is not enough, the settings are read at start only. Ports 25, 465 and 587 are closed for about a
second; systemd restarts courierd and courierfilter along with them.

If courierd was down for two days, first save what waits from being deleted: see `courierd-not-running`. Until then
`courier.fix mailuser-still-daemon` does this only with `allow=delete-expired-mail`.

## Undo

```console
# cp -p /root/esmtpd.before /etc/courier/esmtpd
# systemctl restart courier-mta courier-msa courier-mta-ssl
```

## How to see that it worked

```console
# ps -o user,args -C couriertcpd | grep smtp | cut -c1-60
courier  /usr/sbin/couriertcpd -stderrlogger=/usr/sbin/couri
courier  /usr/sbin/couriertcpd -stderrlogger=/usr/sbin/couri
courier  /usr/sbin/couriertcpd -stderrlogger=/usr/sbin/couri
```

A message to port 25 gets `250 Ok.` and arrives.

## Why it happens

Debian's Courier ran as `daemon` up to 0.75, and runs as `courier` since 0.76. The upgrade gave the spool to
`courier`, but `/etc/courier/esmtpd` is a configuration file: whoever had changed it kept the old one, and with it
`MAILUSER=daemon`. The listener then starts `submit` as `daemon`, and `submit` may not enter `/var/lib/courier/tmp`.
It cannot read `esmtpd.pem` as `daemon` either, so it stops offering STARTTLS.
"""

from collections.abc import Iterator
from functools import partial

from courierlib import settings, spool
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action, EditFile
from courierlib.queue import allow_start

ISSUE = Issue(
    id="mailuser-still-daemon",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="SMTP, for the second in which esmtpd is restarted",
    allows=("delete-expired-mail",),
    look=(
        "grep -n '^MAIL' /etc/courier/esmtpd /etc/courier/esmtpd-msa /etc/courier/esmtpd-ssl",
        "stat -c '%U:%G %a %n' /var/lib/courier/tmp",
        "ps -ww -o user= -o args= -C couriertcpd | awk '/courieresmtpd/ {print $1}' | sort | uniq -c",
    ),
    tell="`/etc/courier/esmtpd` says `MAILUSER=daemon` while `/var/lib/courier/tmp` belongs to `courier`.",
    bites=("esmtpd", "submit"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="If you kept your own `/etc/courier/esmtpd`, set `MAILUSER` and `MAILGROUP` in it to `courier`.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: daemon:daemon; 432, submit: Permission denied",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: daemon:courier, courier:daemon, courier: and : work",
        "run: trixie 1.4.1: a user that does not exist: the unit's start times out",
        "reported: https://github.com/oerdnj/deb.sury.org/issues/203",
    ),
    signatures=(
        Signature(
            process=("submit",),
            pattern=r"^Permission denied$",
            sample="Permission denied",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r"^submitclient: EOF from submit\.$",
            sample="submitclient: EOF from submit.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
    references=("https://github.com/oerdnj/deb.sury.org/issues/203",),
)

_CONFFILES = ("esmtpd", "esmtpd-msa", "esmtpd-ssl")
_NAMES = ("MAILUSER", "MAILGROUP")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every assignment that makes an SMTP listener run as somebody who cannot queue mail."""
    if "mta" not in host.components:
        return
    wanted = (host.layout.mailuser, host.layout.mailgroup)
    reported = set()
    for conffile in _CONFFILES:
        if not host.exists(host.conffile(conffile)):
            continue
        try:
            found = host.settings(conffile)
            values = tuple(found.get(name) for name in _NAMES)
            if values == wanted or not (reason := _cannot_queue(host, *values)):
                continue
        except Unknown as unknown:
            yield unknown
            continue
        for name, value, right in zip(_NAMES, values, wanted, strict=True):
            location = found.where(name)
            if value != right and location and (location.path, name) not in reported:
                reported.add((location.path, name))
                yield Finding(
                    where=f"{location.path}:{location.line}",
                    detail=f"{name}={value}, but the mail user of this build is {':'.join(wanted)}; {reason}",
                    subject=(location.path, name, right),
                )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the edit of each assignment, in its place."""
    # Restarting a listener starts courierd too, which it requires.
    allow = allow_start(host.queue)
    for finding in findings:
        path, name, right = finding.subject
        yield EditFile(
            path=path,
            setting=name,
            edit=partial(settings.assign, name=name, value=right),
            old=finding.detail.partition(",")[0],
            new=f"{name}={right}",
            allow=allow,
            restarts=("smtp", "msa", "smtps"),
        )


def _cannot_queue(host: Host, user: str, group: str) -> str:
    """Why a listener that runs as this user and group cannot queue mail; empty if it can."""
    if not user:
        # couriertcpd stays root, and submit takes the mail user's ids by itself (run: trixie, 1.4.1).
        return ""
    account = host.user(int(user)) if user.isdigit() else host.named_user(user)
    gid = int(group) if group.isdigit() else host.gid(group) if group else account and account.gid
    if account is None or gid is None:
        return f"there is no {f'user {user}' if account is None else f'group {group}'}, so the listener does not start"
    mail = spool.mail_ids(host)
    # Judged by what the directory should be: it may have the same problem.
    if mail is None or account.uid in (0, mail[0]) or mail[1] in (gid, *_further_groups(host, account.name)):
        return ""
    directory = f"{host.layout.localstatedir}/tmp"
    found = host.stat(directory)
    if found is None:
        return ""
    owner = spool.owner_name(host, found)
    if spool.bits(found, account.uid, (gid,)) != 7:
        return f"{user} cannot write to {directory} ({owner})"
    if spool.bits(found, mail[0], mail[1:]) != 7:
        return f"{user} can write to {directory} ({owner}), but {host.layout.mailuser}, as whom courierd runs, cannot"
    return ""


def _further_groups(host: Host, user: str) -> Iterator[int]:
    """couriertcpd takes the user's further groups along (read: libs/numlib/changeuidgid.c, 1.4.1)."""
    for line in host.read("/etc/group", 16 << 20).decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and fields[2].isdigit() and user in fields[3].split(","):
            yield int(fields[2])
