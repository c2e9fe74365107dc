r"""
Passwords of userdb can be read by others, and makeuserdb refuses to work

## What you see

`makeuserdb` says this and does nothing:

```console
# makeuserdb
/etc/courier/userdb: MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!
```

Whoever runs it from a script may not see it. Then new accounts and passwords do not work: see `userdb-stale`.

## What it breaks

`userdb` and `userdbshadow.dat` hold the passwords, as hashes or in a form that is as good as clear text
(`hmac-md5pw`). Every local user who can read them can try passwords against them at leisure, and a broken web
application is such a user.

Only where `authuserdb` is in `authmodulelist`.

## Check by hand

A healthy host has `600` for `userdb` (`700` if it is a directory) and for `userdbshadow.dat`. `userdb.dat` has no
passwords and is `644`.

## Fix by hand

```console
# chmod go= /etc/courier/userdb /etc/courier/userdbshadow.dat
# makeuserdb
```

Nothing is interrupted: authdaemond runs as root.

Who could read them may have them. Where others have accounts on this host, have the passwords changed.

## Undo

```console
# chmod 644 /etc/courier/userdb
```

Nothing needs that.

## How to see that it worked

```console
# makeuserdb && echo made
made
```

## Why it happens

The file was restored from a backup, copied with `cp`, or written by a script with the usual umask of 022.
`makeuserdb` insists on the permissions before it reads the file, and makes `userdbshadow.dat` with 600 itself.
"""

from collections.abc import Iterator

from courierlib import authlib
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, SetOwnership

ISSUE = Issue(
    id="userdb-open",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: authdaemond runs as root",
    look=(
        "stat -c '%U:%G %a %n' /etc/courier/userdb /etc/courier/userdb.dat /etc/courier/userdbshadow.dat",
        "grep '^authmodulelist=' /etc/courier/authdaemonrc",
    ),
    alike=("userdb-stale",),
    bites=("authdaemond",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: makeuserdb refuses 0644, and a plain user reads the hashes",
        "read: makeuserdb.in, authlib 0.73.1",
    ),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for userdb, if makeuserdb refuses it, and for its passwords, if others can read them."""
    db = host.once(authlib.userdb)
    if db is None:
        return
    if db.is_open:
        read = "everybody can reach the passwords" if db.found.mode & 0o007 else "its group can reach the passwords"
        yield Finding(where=db.path, detail=f"mode {db.found.mode:04o}: makeuserdb refuses it, and {read}", subject=db)
    if db.shadow and db.shadow.kind == "file" and db.shadow.mode & 0o004:
        yield Finding(
            where=db.shadow_path,
            detail=f"mode {db.shadow.mode:04o}: everybody can read the passwords",
            subject=db.shadow,
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the permissions without those of others."""
    for finding in findings:
        if isinstance(finding.subject, authlib.UserDb):
            yield from authlib.closed(finding.subject)
        else:
            mode = finding.subject.mode & ~0o077
            yield SetOwnership(
                path=finding.where,
                mode=mode,
                inode=finding.subject.inode,
                old=f"{finding.subject.mode:04o}",
                new=f"{mode:04o}",
            )
