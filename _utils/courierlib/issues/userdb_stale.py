r"""
A new account or password in userdb does not work: makeuserdb was not run

## What you see

`userdb` was changed: an account is new, or a password. The new password is refused, the old one still works. Mail for
a new account is refused as unknown. The log has a plain `LOGIN FAILED`, as for a wrong password.

## What it breaks

What was changed since the last `makeuserdb`. An account that was removed, or locked by a new password, can still log
in. Without `userdb.dat` or `userdbshadow.dat` nobody of userdb can.

Only where `authuserdb` is in `authmodulelist`.

## Check by hand

`ls` lists the newest first. On a healthy host the two `.dat` files stand above `userdb`. If `userdb` is a directory,
look at the files in it too.

## Fix by hand

```console
# makeuserdb
```

If it says `MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!`, see `userdb-open`. If it says `Wrong makeuserdb command`,
`userdb` is a symbolic link: put the file itself in its place.

Nothing is interrupted and nothing needs a restart: authdaemond notices the new files.

Is `userdb` complete? An account that is in `userdb.dat` and not in it any more cannot log in afterwards, and its mail
bounces. `courier.fix userdb-stale` needs `allow=drop-entries` for that; the finding names such accounts.

## Undo

`courier.undo` puts the old `.dat` files back. By hand: take the change out of `userdb` and run `makeuserdb` again.

## How to see that it worked

```console
# authtest bob@virt.example.test
Authentication succeeded.
```

More lines follow. The new password works.

## Why it happens

authdaemond does not read `userdb`. It reads `userdb.dat` (accounts) and `userdbshadow.dat` (passwords), which
`makeuserdb` makes of it. `userdb`, `userdbpw` and editors change the text only. `makeuserdb` is forgotten, or has
failed and nobody saw it.
"""

from collections.abc import Iterator

from courierlib import authlib
from courierlib.databases import DROP_ENTRIES
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, RunProgram

ISSUE = Issue(
    id="userdb-stale",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: authdaemond notices the new files",
    allows=(DROP_ENTRIES,),
    look=("ls -ldt --time-style=full-iso /etc/courier/userdb*", "grep '^authmodulelist=' /etc/courier/authdaemonrc"),
    alike=("userdb-open",),
    bites=("authdaemond",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a new password is refused until makeuserdb, then works at "
        "once",
        "read: makeuserdb.in, userdb.c, authlib 0.73.1: authdaemond opens userdb.dat again when its time has changed",
    ),
)


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if userdb was changed after what makeuserdb has made of it."""
    db = host.once(authlib.userdb)
    if db is None:
        return
    missing = [path for path, found in ((db.compiled_path, db.compiled), (db.shadow_path, db.shadow)) if found is None]
    made = min((found.mtime for found in (db.compiled, db.shadow) if found), default=0.0)
    bound = f"; only {authlib.MAX_FILES} files were looked at" if db.bounded else ""
    severity = None
    if missing:
        detail = f"no {' and no '.join(missing)}: none of its accounts can log in"
    elif db.newest > made:
        detail = f"changed {_ago(db.newest - made)} after makeuserdb: new accounts and passwords are unknown"
    elif db.tree > made:
        # An editor that makes and removes a file of its own does that, too.
        detail, severity = "a file came or went in it after makeuserdb", Severity.LOW
    else:
        return
    if lost := authlib.dropped(host, db):
        detail += f"; not in it any more: {', '.join(lost[:5])}{', …' * (len(lost) > 5)}"
    link = db.found.kind == "link"
    yield Finding(
        where=db.path,
        detail=detail + bound + ("; makeuserdb refuses a symbolic link" if link else ""),
        severity=severity,
        fixable=not link and _program(host) != "",
        subject=db,
    )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield makeuserdb, and before it the permissions without which it refuses."""
    for finding in findings:
        db = finding.subject
        yield from authlib.closed(db)
        yield RunProgram(
            command=(_program(host),),
            makes=(db.compiled_path, db.shadow_path),
            allow=DROP_ENTRIES if authlib.dropped(host, db) else "",
            old="older than userdb" if db.compiled and db.shadow else "incomplete",
            new="made of userdb",
        )


def _program(host: Host) -> str:
    places = (f"{host.layout.sbindir}/makeuserdb", "/usr/sbin/makeuserdb", "/usr/local/sbin/makeuserdb")
    return next((path for path in places if host.exists(path)), "")


def _ago(seconds: float) -> str:
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length:
            return f"{int(seconds // length)} {word}{'' if seconds < 2 * length else 's'}"
    return "less than a second"
