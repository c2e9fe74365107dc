r"""
Everybody on the host can read the password of the accounts' database

## What you see

Nothing. Everything works.

## What it breaks

One of these files can be read by every local user, and holds a password of yours:

| File | Whose password |
| --- | --- |
| `authmysqlrc`, `authpgsqlrc` | of the database: with it, all accounts can be read, and often changed |
| `authldaprc` | of the directory's account that Courier uses |
| `esmtpauthclient` | of the account with which this host sends through another one |

A web application that was broken into is a local user too.

## Check by hand

The last digit must be 0, as in `640`. A file that still has the password it came with (`admin`, `toto`) is not
reported. In `esmtpauthclient` every line has host, user and password.

## Fix by hand

authdaemond runs as root and needs no permission:

```console
# chmod o= /etc/courier/authmysqlrc /etc/courier/authpgsqlrc /etc/courier/authldaprc
```

`esmtpauthclient` is read by the mail user, so it needs the group `courier`. With `chmod 600` the host could not log in
at the other one any more:

```console
# chgrp courier /etc/courier/esmtpauthclient
# chmod 640 /etc/courier/esmtpauthclient
```

Nothing is interrupted, and nothing needs a restart.

Then change the password. It has been open to everybody, and it may be in backups.

## Undo

```console
# chmod o+r /etc/courier/authmysqlrc
```

Only another program that reads the file without permission could need that.

## How to see that it worked

```console
# stat -c '%U:%G %a %n' /etc/courier/authmysqlrc
root:courier 640 /etc/courier/authmysqlrc
```

Logins work as before.

## Why it happens

The packages ship the files with 640. They become readable by a copy from another host, an editor that writes a new
file, or configuration management without a `mode`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from courierlib import authlib
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, SetOwnership
from courierlib.spool import owner_name
from courierlib.tree import FileStat

ISSUE = Issue(
    id="auth-config-readable",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing: authdaemond runs as root",
    look=(
        "stat -c '%U:%G %a %n' /etc/courier/auth*rc /etc/courier/esmtpauthclient",
        "find /etc/courier -maxdepth 1 \\( -name 'auth*rc' -o -name esmtpauthclient \\) -perm -o=r",
    ),
    tell="A file with a password of yours has a last digit other than 0.",
    bites=("authdaemond", "courieresmtp"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: with 0644 a plain user reads the password",
        "read: authmysqlrc, authpgsqlrc, authldaprc, authlib 0.73.1: the passwords that they are shipped with",
        "read: esmtp_auth() in libesmtp.c, 1.4.1: courieresmtp opens esmtpauthclient as the mail user",
    ),
)

_PASSWORDS = {
    "authmysqlrc": (rb"^[ \t]*MYSQL_PASSWORD[ \t]+(\S+)", b"admin"),
    "authpgsqlrc": (
        rb"^[ \t]*PGSQL_PASSWORD[ \t]+(\S+)"
        rb"|^[ \t]*PGSQL_CONNECTION\b(?:[^\n\\]|\\[ \t]*\n|\\.)*?\bpassword[ \t]*=[ \t]*(\S+)",
        b"admin",
    ),
    "authldaprc": (rb"^[ \t]*LDAP_BINDPW[ \t]+(\S+)", b"toto"),
}
"""How each file names its password, and the one that it comes with."""

_CLIENT = "esmtpauthclient"


@dataclass(frozen=True)
class _Open:
    found: FileStat
    gid: int | None
    mode: int


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every file with a password of this host's own that everybody can read."""
    for path, holds in _candidates(host):
        found = host.stat(path)
        if found is None or found.kind != "file" or not found.mode & 0o004 or not _reachable(host, path):
            continue
        if not holds(host.read(path)):
            continue
        gid = host.gid(host.layout.mailgroup) if path.endswith(_CLIENT) else None
        mode = found.mode & ~0o007 | (0o040 if gid is not None else 0)
        link = host.stat(path, follow=False)
        yield Finding(
            where=path,
            detail=f"{owner_name(host, found)}: everybody can read the password in it",
            fixable=link is not None and link.kind == "file",
            subject=_Open(found, gid, mode),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the mode without the permissions of others; the mail group keeps what the mail user has to read."""
    for finding in findings:
        wrong = finding.subject
        yield SetOwnership(
            path=finding.where,
            gid=wrong.gid,
            mode=wrong.mode,
            inode=wrong.found.inode,
            old=owner_name(host, wrong.found),
            new=f"{wrong.mode:04o}" + (f", group {host.layout.mailgroup}" if wrong.gid is not None else ""),
        )


def _candidates(host: Host) -> Iterator[tuple[str, Callable[[bytes], bool]]]:
    """Files that may have a password, and how to tell."""
    if "authdaemon" in host.components:
        for name in _PASSWORDS:
            yield authlib.configuration(host, name), _password_of(name)
    if "mta" in host.components:
        yield host.conffile(_CLIENT), _has_account


def _password_of(name: str) -> Callable[[bytes], bool]:
    pattern, shipped = _PASSWORDS[name]

    def holds(content: bytes) -> bool:
        found = re.findall(pattern, content, re.MULTILINE)
        words = [word for match in found for word in (match if isinstance(match, tuple) else (match,)) if word]
        return any(word.strip(b"'\"\\") not in (b"", shipped) for word in words)

    return holds


def _has_account(content: bytes) -> bool:
    """Whether a line has host, user and password (read: esmtp_auth() in libesmtp.c, 1.4.1)."""
    return any(len(line.split()) >= 3 and not line.lstrip().startswith(b"#") for line in content.splitlines())


def _reachable(host: Host, path: str) -> bool:
    """Whether everybody may enter every directory on the way."""
    parts = host.resolve(path).split("/")[1:-1]
    above = ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
    return all(found is None or found.mode & 0o001 for found in map(host.stat, above))
