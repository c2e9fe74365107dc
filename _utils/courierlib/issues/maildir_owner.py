r"""
IMAP login fails: the Maildir is not owned by the correct uid or gid

## What you see

The client is told:

```text
* BYE [ALERT] Fatal error: Account's mailbox directory is not owned by the correct uid or gid:
```

The log says the same after the account's name. If the **user** is wrong, it usually comes to nothing even before:
`chdir Maildir: Permission denied`, and mail for the account waits with `maildir.open: ./Maildir: Permission denied`.

## What it breaks

IMAP for this account. With only the **group** wrong, POP3 and delivery go on working. With the user wrong, POP3 fails
and new mail waits. Nothing is lost.

## Check by hand

The first command says who each account is: name, uid, gid, Maildir. The second shows to whom the Maildirs belong. Both
numbers must be the same, the group's too.

If the third prints a line, somebody has switched IMAP's test off. Then a wrong group does no harm, and it is reported
as low.

## Fix by hand

Give back what has the wrong owner, and nothing else. Here the account is 900:900, and its Maildir belongs to 0:0:

```console
# find -P /srv/mail/bob/Maildir \( -uid 0 -o -gid 0 \) -printf '%u:%g %p\n' >/root/owners.before
# find -P /srv/mail/bob/Maildir -uid 0 -exec chown -h 900 {} +
# find -P /srv/mail/bob/Maildir -gid 0 -exec chgrp -h 900 {} +
```

It works at once. Have what waits delivered: `courier clear all`, `courier flush`.

`courier.fix maildir-owner` does the same, one recorded change for each path, for what in the Maildir has the same
wrong owner as the Maildir itself, which comes last. In one run it gives back 10,000 entries: run it until it finds
nothing. It leaves alone: links, files with a second name, a Maildir that accounts with other numbers use too, and one
whose home does not belong to the account either. There it is not certain who is right: look whether the number in
authlib is the wrong one.

`IMAP_MAILBOX_SANITY_CHECK=0` in `/etc/courier/imapd` is no repair: where the user is wrong, the kernel refuses anyway.

## Undo

```console
# while read -r owner path; do chown -h "$owner" "$path"; done </root/owners.before
```

## How to see that it worked

```console
# stat -c '%u:%g %n' /srv/mail/bob/Maildir
900:900 /srv/mail/bob/Maildir
```

The user can log in. The log says `LOGIN, user=bob@virt.example.test`.

## Why it happens

imapd takes the uid and the gid that authlib gives, changes to them, enters the Maildir, and compares both with the
directory's owner. It has done so since 0.58. A Maildir gets another owner when root makes it, when a backup is
restored or copied by root or with other numbers, after `chown alice` without `:alice`, and when the account's number
or group was changed in the database.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from courierlib import maildirs, spool
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.maildirs import PARTS, Mailbox
from courierlib.plan import Action, SetOwnership
from courierlib.tree import FileStat, Unreadable

ISSUE = Issue(
    id="maildir-owner",
    component="delivery",
    severity=Severity.HIGH,
    affects=Affects(since="0.58"),
    interrupts="nothing",
    look=(
        "authenumerate | awk -F'\\t' '$5 != \"\" || $2 >= 1000 && $2 < 65534 "
        '{print $1, $2 ":" $3, $5 ? $5 : $4 "/Maildir"}\'',
        "authenumerate | awk -F'\\t' '$5 != \"\" || $2 >= 1000 && $2 < 65534 {print $5 ? $5 : $4 \"/Maildir\"}' | "
        "xargs stat -c '%u:%g %a %n'",
        "grep -n '^IMAP_MAILBOX_SANITY_CHECK=.*0' /etc/courier/imapd",
    ),
    tell="`stat` shows another uid or gid for the Maildir than `authenumerate` for its account.",
    alike=("maildir-missing",),
    bites=("maildir", "imapd"),
    known=(
        "run: trixie 1.4.1, bookworm 1.0.16, forky 2.0.6: wrong group, wrong user",
        "read: main() in libs/imap/imapd.c, 1.4.1: uid and gid are both compared",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl"),
            pattern=r"^[^ :]+: Account's mailbox directory is not owned by the correct uid or gid$",
            sample="bob@virt.example.test: Account's mailbox directory is not owned by the correct uid or gid",
            known="run: trixie 1.4.1",
        ),
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl"),
            pattern=r"^chdir [^:]*: Permission denied$",
            sample="chdir Maildir: Permission denied",
            known="run: trixie 1.4.1",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"maildir\.(open|close): [^:]*: Permission denied: Permission denied$",
            sample="id=000000000029C289.000000006B0372EB.000001AA,from=<>,addr=<bob@virt.example.test>: "
            "maildir.open: ./Maildir: Permission denied: Permission denied",
            known="run: trixie 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/imap/",),
)

MAX_ENTRIES = 10_000
"""Entries of Maildirs with a wrong owner that are given back in one run."""


@dataclass(frozen=True)
class _Wrong:
    """An entry, and the ids it should have; None leaves one as it is."""

    path: str
    found: FileStat
    uid: int | None
    gid: int | None


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every Maildir with another user or group than its account."""
    survey = host.once(maildirs.survey)
    budget = MAX_ENTRIES
    for box in survey.distinct:
        if not box.is_maildir or (box.found.uid, box.found.gid) == box.owner or survey.is_disputed(box):
            continue
        reason = _why_not(host, box)
        wrong = () if reason else tuple(islice(_wrong(host, box, box.path), budget))
        budget -= len(wrong)
        yield Finding(
            where=box.path,
            detail=_detail(host, box, reason, budget <= 0 and not reason),
            severity=None if _refused(host, box) else Severity.LOW,
            fixable=not reason,
            subject=(box, wrong),
        )
    yield from survey.unknown()


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield one change of owner for each entry of the Maildir with the same wrong owner, and for itself."""
    del host
    for finding in findings:
        for wrong in finding.subject[1]:
            yield SetOwnership(
                path=wrong.path,
                uid=wrong.uid,
                gid=wrong.gid,
                inode=wrong.found.inode,
                old=f"{wrong.found.uid}:{wrong.found.gid}",
                new=f"{wrong.found.uid if wrong.uid is None else wrong.uid}:"
                f"{wrong.found.gid if wrong.gid is None else wrong.gid}",
            )


def _refused(host: Host, box: Mailbox) -> bool:
    """Whether a server or a delivery refuses this Maildir."""
    uid, gid = box.owner
    if spool.bits(box.found, uid, (gid,)) != 7:
        return True
    return "imap" in host.components and _compares(host.settings("imapd").get("IMAP_MAILBOX_SANITY_CHECK"))


def _compares(setting: str) -> bool:
    """Whether imapd compares the owners: unless the setting is a number that is zero, or no number."""
    digits = setting.strip()
    return not digits or digits.isdecimal() and int(digits) != 0


def _detail(host: Host, box: Mailbox, reason: str, bounded: bool) -> str:
    uid, gid = box.owner
    text = f"belongs to {box.found.uid}:{box.found.gid}, and {box.account.name} is {uid}:{gid}"
    if box.found.uid == uid:
        text += ": IMAP logins fail" if _refused(host, box) else ": IMAP works only because its test is switched off"
    elif _refused(host, box):
        text += ": logins fail, and mail waits"
    if bounded:
        text += f"; only {MAX_ENTRIES} entries are given back at once, so run this again afterwards"
    return f"{text}; {reason}" if reason else text


def _why_not(host: Host, box: Mailbox) -> str:
    """Why it is not certain whose the Maildir should be; empty if it is."""
    try:
        itself, home = host.stat(box.path, follow=False), host.stat(box.account.home)
    except Unreadable as failed:
        return failed.reason
    if itself is None or itself.kind != "dir":
        return "it is a link, so change the owner of what that points to by hand"
    if home is None or home.uid != box.account.uid:
        return "the home is not the account's either, so look which number is right"
    return ""


def _wrong(host: Host, box: Mailbox, path: str) -> Iterator[_Wrong]:
    """What in the Maildir has the same wrong owner, and the Maildir itself last; not through links.

    As long as the Maildir itself is wrong it is found again, and with it what one run has left.
    """
    found = host.stat(path, follow=False)
    if found is None or found.kind not in ("file", "dir"):
        return
    if found.kind == "dir" and _is_part(box, path):
        for name in host.listdir(path):
            yield from _wrong(host, box, f"{path}/{name}")
    uid, gid = box.owner
    strange_uid = found.uid == box.found.uid != uid
    strange_gid = found.gid == box.found.gid != gid
    if (strange_uid or strange_gid) and (found.kind == "dir" or found.links == 1):
        yield _Wrong(path, found, uid if strange_uid else None, gid if strange_gid else None)


def _is_part(box: Mailbox, path: str) -> bool:
    """Whether a directory belongs to the Maildir: itself, a folder, their parts and Courier's own files."""
    below = path[len(box.path) :].strip("/").split("/")
    name = below[-1]
    return len(below) <= 3 and (not name or name[0] == "." or name in PARTS or name.startswith("courier"))
