r"""
Every local user can read password hashes: authdaemon's socket is open to all

## What you see

Nothing. Everything works.

## What it breaks

Who can reach the socket can ask authdaemond about any account, and authdaemond tells what it knows, without a
password. A plain user of the host then gets this (the hash cut short here):

```console
$ authtest alice
Authentication succeeded.

     Authenticated: alice  (system username: alice)
    Home Directory: /home/alice
           Maildir: (none)
             Quota: (none)
Encrypted Password: $y$j9T$cA1tzjdhtR…
Cleartext Password: (none)
           Options: (none)
```

That is the hash from `/etc/shadow`. Passwords that a database keeps in clear text are shown in clear text. A web
application that was broken into is such a user.

## Check by hand

The last of the three digits must be 0, as in `750`. With `751` or `755` everybody can go in. The socket itself is 777,
and must be: the directory is what protects it.

`grep` shows whether somebody wanted it so: a line there opens the directory at every boot, and this host is then not
reported.

## Fix by hand

Is there a program that needs it? maildrop with `-d`, or another mail server that asks authdaemond for passwords. Put
their users into the group `courier` instead. Then:

```console
# chmod 750 /run/courier/authdaemon
```

Nothing is interrupted, unless such a program loses its access. That is why `courier.fix authdaemon-socket-open` needs
`allow=close-authdaemon-socket`.

If you want it open and know the price, say so in a file, and it is no finding any more:

```console
# echo 'z /run/courier/authdaemon 0751 - - -' >/etc/tmpfiles.d/00-courier-authdaemon-socket.conf
```

Think of the passwords: who was on the host while it was open may have the hashes.

## Undo

```console
# chmod 751 /run/courier/authdaemon
```

## How to see that it worked

```console
# stat -c '%U:%G %a' /run/courier/authdaemon
courier:courier 750
```

As a plain user, `authtest` now says `s_connect() failed: Permission denied`.

## Why it happens

A guide says `chmod 755 /run/courier/authdaemon`, so that Postfix, Exim or maildrop can authenticate. `/run` is made
anew at boot, and so the directory is shut again: such a guide works until then, and mail stops after it.
"""

import re
from collections.abc import Iterator

from courierlib import delivery
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, SetOwnership
from courierlib.spool import owner_name

CLOSE = "close-authdaemon-socket"

ISSUE = Issue(
    id="authdaemon-socket-open",
    component="auth",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="nothing; other programs than Courier's may lose their access",
    allows=(CLOSE,),
    look=(
        "stat -c '%U:%G %a %n' /run/courier/authdaemon",
        "grep -rs courier/authdaemon /etc/tmpfiles.d /run/tmpfiles.d /var/lib/dpkg/statoverride "
        "/etc/systemd/system/courier-authdaemon.service.d",
    ),
    bites=("authdaemond",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: with 0755, authtest prints hashes of /etc/shadow to any user",
        "read: pre() in authdaemond.c, authlib 0.73.1: no password is asked for",
    ),
)

_SAID_IN = ("/etc/tmpfiles.d", "/run/tmpfiles.d", "/etc/systemd/system/courier-authdaemon.service.d")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if everybody may enter the socket's directory, and nobody has said that they should."""
    if "authdaemon" not in host.components:
        return
    path = host.authdaemonvar
    found = host.stat(path)
    if found is None or found.kind != "dir" or not found.mode & 0o001:
        return
    # maildrop with -d asks authdaemond as the recipient; whoever delivers so has opened the directory for it.
    if any(run.recipient for run in delivery.maildrop_runs(host)) or _is_meant(host, path):
        return
    yield Finding(
        where=path,
        detail=f"{owner_name(host, found)}: every local user can ask for the password hash of every account",
        subject=found,
    )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the mode without the permissions of others."""
    for finding in findings:
        mode = finding.subject.mode & ~0o007
        yield SetOwnership(
            path=finding.where,
            mode=mode,
            inode=finding.subject.inode,
            old=f"{finding.subject.mode:04o}",
            new=f"{mode:04o}",
            allow=CLOSE,
        )


def _is_meant(host: Host, path: str) -> bool:
    """Whether a file of the administrator's opens the directory at boot, or dpkg is told to."""
    name = re.escape(path.removeprefix("/run").removeprefix("/var/run"))
    mode = r":?~?0?([0-7]{3,4})"
    said = re.compile(rf"(?:/var)?(?:/run)?{name}/?\s+{mode}\b|\b{mode}\s+(?:/var)?(?:/run)?{name}/?\s*$", re.MULTILINE)
    files = [f"{directory}/{file}" for directory in _SAID_IN for file in host.listdir(directory)]
    files = [file for file in files if file.endswith(".conf")]
    for file in (*files, "/var/lib/dpkg/statoverride"):
        text = host.read(file).decode("utf-8", "replace") if host.exists(file) else ""
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        if any(int(before or after, 8) & 0o001 for before, after in said.findall(lines)):
            return True
    return False
