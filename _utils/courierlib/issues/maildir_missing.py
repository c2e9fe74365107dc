r"""
Logins fail or mail waits: an account's Maildir is missing, incomplete, or a file

## What you see

It depends on what is missing. Each of these was seen:

| Missing | IMAP | POP3 | New mail |
| --- | --- | --- | --- |
| the Maildir | login ends in `BYE` | `-ERR chdir Maildir failed` | makes **a file** named Maildir |
| `cur` | inbox is empty | `-ERR Maildir invalid (no 'cur' directory)` | is delivered |
| `new` | works | works | waits |
| `tmp` | `NO Unable to open this mailbox.` | works | waits |
| the home too | login fails | login fails | waits |

The client is told `Fatal error: No such file or directory`, or `Not a directory` once the first message has made a
file of it. The sender sees nothing: `success: Message delivered.`

## What it breaks

The mailbox of this account. No mail is lost: what waits is tried again for a week, and what has gone into the file
is in there, one message after the other.

An account of the system that has never had a Maildir is reported as low: nothing is broken before its first message.

## Check by hand

The first command lists every mail account with the ids and the Maildir that authlib knows; `-` stands for `Maildir`
in the home. The second says what is there. It must be `directory` for each of them, and the third must print nothing.

## Fix by hand

**Is the file system mounted?** If the mailbox lies on a disk or an NFS share that is not mounted now, mount it and do
nothing else: a new Maildir would only hide that. `findmnt --verify` and an empty home are the signs.

Make the Maildir as the account's user, never as root:

```console
# cd /srv/mail/bob
# setpriv --reuid 900 --regid 900 --clear-groups maildirmake.courier Maildir
```

900 and 900 are uid and gid that the first command of the check shows. Where only `cur`, `new` or `tmp` is missing:

```console
# install -d -o 900 -g 900 -m 700 /srv/mail/bob/Maildir/new
```

Where it is a file with mail in it, put it aside, make the Maildir, and bring the mail into it (`reformail` is part of
the package maildrop):

```console
# cd /home/alice
# mv Maildir Maildir.mbox
# su alice -s /bin/sh -c 'cd; maildirmake.courier Maildir'
# su alice -s /bin/sh -c 'cd; umask 077; reformail -s sh -c "reformail -f0 | deliverquota ./Maildir" < Maildir.mbox'
# grep -c '^From ' Maildir.mbox; ls Maildir/new | wc -l
1
1
```

Then have what waits delivered at once: `courier clear all` and `courier flush`.

So that no account is made without a Maildir: `maildirmake.courier /etc/skel/Maildir`.

`courier.fix maildir-missing` makes what is missing, with the account's ids and mode 0700, where the directory that it
belongs into is there and is the account's own. It needs `allow=hidden-mailbox` where that directory is empty, or a
line of `/etc/fstab` for it is not mounted. It never touches a file: that one is yours to move.

## Undo

`rmdir` what you have made, as long as it is empty.

## How to see that it worked

```console
# stat -c '%F %u:%g %a %n' /srv/mail/bob/Maildir /srv/mail/bob/Maildir/*
directory 900:900 700 /srv/mail/bob/Maildir
directory 900:900 700 /srv/mail/bob/Maildir/cur
directory 900:900 700 /srv/mail/bob/Maildir/new
directory 900:900 700 /srv/mail/bob/Maildir/tmp
```

The user can log in, and a test message arrives in `new`.

## Why it happens

Courier never makes a Maildir. Deliveries to `./Maildir` look whether it can be opened as a file first, for mailboxes
in one file are named in the same way: where there is nothing, that makes a file. Accounts without a Maildir come from
`useradd` without `/etc/skel/Maildir`, from an entry in a database that nobody made a directory for, from a backup
that left empty directories out (`new` and `tmp` often are), and from disks that are not mounted.
"""

import posixpath
from collections.abc import Iterator

from courierlib import delivery, maildirs
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.maildirs import PARTS, Mailbox
from courierlib.plan import Action, MakeDirectory
from courierlib.tree import Unreadable

HIDDEN = "hidden-mailbox"

ISSUE = Issue(
    id="maildir-missing",
    component="delivery",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing",
    allows=(HIDDEN,),
    look=(
        "authenumerate | awk -F'\\t' '$5 != \"\" || $2 >= 1000 && $2 < 65534 {print $1, $2, $3, $4, $5 ? $5 : \"-\"}'",
        "authenumerate | awk -F'\\t' '$5 != \"\" || $2 >= 1000 && $2 < 65534 {print $5 ? $5 : $4 \"/Maildir\"}' | "
        "xargs stat -c '%F %u:%g %a %n'",
        "authenumerate | awk -F'\\t' '$5 != \"\" || $2 >= 1000 && $2 < 65534 {print $5 ? $5 : $4 \"/Maildir\"}' | "
        'while read -r dir; do for part in cur new tmp; do [ -d "$dir/$part" ] || echo "$dir/$part"; done; done',
    ),
    tell="`stat` says `No such file or directory`, or `regular file`, of the account's Maildir.",
    alike=("maildir-owner",),
    bites=("maildir", "imapd"),
    known=(
        "run: trixie 1.4.1, bookworm 1.0.16, forky 2.0.6: a Maildir without new, and none at all",
        "run: trixie 1.4.1: without cur, without tmp, a file",
        "read: savemessage() in courier/module.local/deliver.c, libs/imap/imapd.c, libs/imap/pop3dserver.c, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl"),
            pattern=r"^chdir [^:]*: (No such file or directory|Not a directory)$",
            sample="chdir Maildir: No such file or directory",
            known="run: trixie 1.4.1",
        ),
        Signature(
            process=("pop3d", "pop3d-ssl"),
            pattern=r"^scancur opendir\(\"cur\"\): No such file or directory$",
            sample='scancur opendir("cur"): No such file or directory',
            known="run: trixie 1.4.1",
        ),
        Signature(
            process=("courierlocal",),
            pattern=r"maildir\.(open|close): [^:]*: No such file or directory: No such file or directory$",
            sample="id=000000000029C262.000000006B0372E6.00000157,from=<>,addr=<bob@virt.example.test>: "
            "maildir.close: ./Maildir: No such file or directory: No such file or directory",
            known="run: trixie 1.4.1",
        ),
    ),
    references=("https://www.courier-mta.org/maildirmake.html",),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every mail account whose Maildir is not one."""
    survey = host.once(maildirs.survey)
    for box in survey.distinct:
        missing = [part for part in PARTS if part not in box.names] if box.is_maildir else []
        if box.is_maildir and missing:
            yield _finding(host, box, f"has no {' and no '.join(missing)}: {_hurt(missing)}")
        elif box.found and not box.is_maildir:
            yield Finding(
                where=box.path,
                detail=f"is a {box.found.kind} of {box.found.size} bytes, not a directory: mail is appended to it, "
                f"{_login(box)} fails",
                fixable=False,
            )
        elif box.found is None:
            yield from _absent(host, box)
    yield from survey.unknown()


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield what makes the missing directories; where they may lie on a file system that is not mounted, by leave."""
    mounts = _missing_mounts(host)
    for finding in findings:
        box = finding.subject
        parent, beside = _parent(box)
        hidden = not beside or any(box.path.startswith(f"{mount}/") or box.path == mount for mount in mounts)
        paths = [] if box.is_maildir else [box.path]
        paths += [f"{box.path}/{part}" for part in PARTS if part not in box.names]
        for path in paths:
            yield MakeDirectory(
                path=path,
                uid=box.account.uid,
                gid=box.account.gid,
                mode=0o700,
                old="missing",
                new=f"{box.account.uid}:{box.account.gid} 0700",
                allow=HIDDEN if hidden else "",
            )


def _absent(host: Host, box: Mailbox) -> Iterator[Finding]:
    """The finding for an account without anything at its Maildir's path, if mail or logins need one there."""
    # Instructions of its own: mail goes elsewhere, and nobody need log in.
    if box.home is not None and ".courier" in box.home and _size(host, f"{box.account.home}/.courier"):
        return
    if posixpath.basename(box.path) in (box.home or ()) and posixpath.dirname(box.path) == box.account.home:
        yield Finding(where=box.path, detail=f"is a link to nothing: {_login(box)} fails", fixable=False)
    elif box.given or box.account.name not in host.once(maildirs.system_names):
        if box.home is None and box.path.startswith(f"{box.account.home}/"):
            where, what = box.account.home, f"home of {box.account.name}: no such directory"
            yield Finding(where=where, detail=f"{what}, so mail waits and logins fail", fixable=False)
        else:
            yield _finding(host, box, f"no such directory: {_login(box)} fails, and mail would make a file of it")
    elif box.home is not None and _delivers_there(host, box):
        yield _finding(
            host,
            box,
            f"no such directory; the first message for {box.account.name} would make a file of it",
            Severity.LOW,
        )


def _login(box: Mailbox) -> str:
    return f"every login of {box.account.name}"


def _hurt(missing: list[str]) -> str:
    if "new" in missing or "tmp" in missing:
        return "mail waits" + ("" if "cur" not in missing else ", and the inbox is empty")
    return "the inbox is empty, and POP3 logins fail"


def _delivers_there(host: Host, box: Mailbox) -> bool:
    """Whether DEFAULTDELIVERY delivers to this path."""
    if "mta" not in host.components:
        return False
    steps = (step for step in delivery.parse(host.default_delivery) if step.kind == "mailbox")
    return any(posixpath.normpath(posixpath.join(box.account.home, step.text)) == box.path for step in steps)


def _finding(host: Host, box: Mailbox, detail: str, severity: Severity | None = None) -> Finding:
    reason = _why_not(host, box)
    return Finding(
        where=box.path,
        detail=detail + (f"; {reason}" if reason else ""),
        severity=severity,
        fixable=not reason,
        subject=box,
    )


def _why_not(host: Host, box: Mailbox) -> str:
    """Why the directories cannot be made here; empty if they can."""
    if host.once(maildirs.survey).is_disputed(box):
        return "accounts with different user or group IDs share it, so make it by hand"
    parent, _ = _parent(box)
    try:
        found = host.stat(parent)
    except Unreadable:
        found = None
    if found is None or found.kind != "dir":
        return f"{parent} is missing too: look whether a file system is not mounted"
    if found.uid != box.account.uid:
        return f"{parent} belongs to uid {found.uid}, not to {box.account.name} (uid {box.account.uid})"
    return ""


def _parent(box: Mailbox) -> tuple[str, bool]:
    """The directory that the missing ones belong into, and whether it has other content."""
    if box.is_maildir:
        return box.path, bool(box.names)
    parent = posixpath.dirname(box.path)
    return parent, bool(box.home) if parent == box.account.home else False


def _size(host: Host, path: str) -> int:
    found = host.stat(path)
    return found.size if found else 0


def _missing_mounts(host: Host) -> tuple[str, ...]:
    """Places where /etc/fstab has a file system that is not mounted now."""
    try:
        wanted, mounted = (_places(host, path) for path in ("/etc/fstab", "/proc/self/mounts"))
    except Unreadable:
        return ()
    return tuple(sorted({place for place in wanted if place.startswith("/") and len(place) > 1} - mounted))


def _places(host: Host, path: str) -> set[str]:
    """Mount points in a table of file systems; a blank in one is ``\\040``."""
    lines = host.read(path).decode("utf-8", "surrogateescape").splitlines()
    fields = (line.split() for line in lines if not line.lstrip().startswith("#"))
    return {entry[1].replace("\\040", " ").rstrip("/") or "/" for entry in fields if len(entry) > 1}
