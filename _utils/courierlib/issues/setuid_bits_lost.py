"""
Local programs cannot send mail: sendmail has lost its set-group-ID bit

## What you see

Programs and users on this host cannot send. `sendmail` says why, but cron jobs and web programs rarely show it:

```text
setuid/setgid: Operation not permitted
```

Its exit status is 77. `mailq` says `chdir: Permission denied` to everybody but root. Mail from other hosts comes in
as ever, and root can send.

## What it breaks

What programs send is lost if they do not try again; Courier never gets it, so neither the log nor the queue has it.

| Program | Without its bits |
| --- | --- |
| `sendmail`, and `rmail`, which is a link to it | users cannot send |
| `mailq` | users cannot see the queue |
| `cancelmsg` | users cannot cancel their messages |
| `submitmkdir` | no harm was seen |

## Check by hand

The first command shows the programs, the second what they should be: as dpkg recorded it (Debian 13 and older), or as
systemd sets it at each boot (Debian testing). The last one should print nothing: on a file system that is mounted
`nosuid` the bits have no effect.

## Fix by hand

A set-ID bit gives a program rights, so make sure first that it is the program that the package brought. This prints
nothing for a sound one:

```console
# dpkg --verify courier-mta | grep bin/
```

If it lists a program, install the package again instead: `apt-get install --reinstall courier-mta`. That also sets
the bits. Otherwise give each the owner, group and mode that were recorded, for instance:

```console
# chown root:courier /usr/sbin/sendmail
# chmod 2755 /usr/sbin/sendmail
```

In this order: `chown` takes the bits away.

`courier.fix setuid-bits-lost allow=restore-set-id` does that, with exactly what was recorded, for programs that have
the checksum that the package recorded; others it leaves alone. For `nosuid`, change `/etc/fstab` and mount again.

Nothing is interrupted.

## Undo

```console
# chmod 755 /usr/sbin/sendmail
```

## How to see that it worked

```console
# stat -c '%U:%G %a' /usr/sbin/sendmail
root:courier 2755
# su alice -c 'echo test | sendmail alice@example.com'; echo $?
0
```

`alice` stands for any user but root, and the address for one of yours.

## Why it happens

`sendmail` runs with the group `courier` to reach the queue. A backup that was restored without its modes, `chown -R`,
`cp` without `-p`, a hardening script that removes all set-ID bits, or an image built by copying files: each takes the
bits away, and nothing gives them back until the package is installed again. From Debian testing on, the next boot
does.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from courierlib import spool, tmpfiles
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, SetOwnership
from courierlib.tree import FileStat, Unreadable

ISSUE = Issue(
    id="setuid-bits-lost",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing",
    allows=("restore-set-id",),
    look=(
        "stat -c '%U:%G %a %n' /usr/sbin/sendmail /usr/bin/mailq /usr/bin/cancelmsg",
        "(dpkg-statoverride --list; cat /usr/lib/tmpfiles.d/courier*) | grep '/s*bin/'",
        "findmnt -no TARGET,OPTIONS -T /usr/sbin/sendmail | grep -w nosuid",
    ),
    tell="Root can send with `sendmail`, other users cannot.",
    bites=("submit",),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: sendmail 0755, or of another group: exit status 77",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: /usr/sbin mounted nosuid: the same",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: mailq 0755: chdir: Permission denied",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: submitmkdir and cancelmsg 0755: mail is sent all the same",
        "run: trixie 1.4.1: rmail is a link to sendmail, although dpkg-statoverride has a mode for it",
    ),
)

_STATOVERRIDE = "/var/lib/dpkg/statoverride"
_CHECKSUMS = "/var/lib/dpkg/info/courier-mta.md5sums"
_SET_UID, _SET_GID = 0o4000, 0o2000
_MOUNTS = "/proc/mounts"
_MAX_PROGRAM = 64 << 20


@dataclass(frozen=True)
class _Record:
    """What a program should be, as the host's own package manager says; user and group as names or numbers."""

    user: str
    group: str
    mode: int
    known: str

    def __str__(self) -> str:
        return f"{self.user}:{self.group} {self.mode:04o}"


@dataclass(frozen=True)
class _Lost:
    """A program, and the ids and mode that it should have."""

    path: str
    found: FileStat
    uid: int
    gid: int
    record: _Record


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every program of Courier's without its recorded set-ID bits, and for a nosuid mount."""
    if "mta" not in host.components:
        return
    records = _records(host)
    for path, record in records.items():
        yield from _program(host, path, record)
    sendmail = _sendmail(host)
    if not records and sendmail:
        yield from _without_a_record(host, sendmail)
    if sendmail:
        yield from _nosuid(host, sendmail)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield owner, group and mode as recorded, and nothing else."""
    for finding in findings:
        lost = finding.subject
        yield SetOwnership(
            path=lost.path,
            uid=lost.uid,
            gid=lost.gid,
            mode=lost.record.mode,
            inode=lost.found.inode,
            # It gives a program rights. They are the package's own, but who took them away may have meant it.
            allow="restore-set-id",
            old=spool.owner_name(host, lost.found),
            new=str(lost.record),
        )


def _records(host: Host) -> Mapping[str, _Record]:
    """By path, what dpkg (Debian 13 and older) or systemd-tmpfiles (later) keeps of Courier's set-ID programs."""
    directories = (host.layout.bindir, host.layout.sbindir, host.layout.libexecdir)
    found = dict(_overrides(host)) | dict(_tmpfiles(host))
    return {
        path: record
        for path, record in found.items()
        if record.mode & (_SET_UID | _SET_GID)
        # Others' programs, such as dbus's, have set-ID bits too.
        and record.group.removeprefix("#") in (host.layout.mailgroup, str(host.gid(host.layout.mailgroup)))
        and path.startswith(tuple(f"{directory}/" for directory in directories))
    }


def _overrides(host: Host) -> Iterator[tuple[str, _Record]]:
    """Lines ``user group mode path`` (run: trixie, dpkg 1.22)."""
    for line in _text(host, _STATOVERRIDE).splitlines():
        user, group, mode, path = line.split(maxsplit=3) if line.count(" ") > 2 else ("", "", "", "")
        if re.fullmatch("[0-7]{3,5}", mode):
            yield path, _Record(user, group, int(mode, 8), _STATOVERRIDE)


def _tmpfiles(host: Host) -> Iterator[tuple[str, _Record]]:
    """Lines ``z path mode user group`` (run: forky 2.0.6)."""
    for file in host.once(tmpfiles.read):
        for line in file.lines:
            mode, user, group, _ = line.attributes
            mode = mode.lstrip("~:")
            if line.kind in "zZ" and re.fullmatch("[0-7]{3,4}", mode):
                yield line.path, _Record(user, group, int(mode, 8), file.path)


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path).decode("utf-8", "replace")
    except Unreadable as failed:
        if failed.missing:
            return ""
        raise


def _program(host: Host, path: str, record: _Record) -> Iterator[Finding | Unknown]:
    found = host.stat(path, follow=False)
    # A link, such as rmail, has the mode of what it leads to.
    if found is None or found.kind != "file":
        return
    uid, gid = _id(record.user, host.uid), _id(record.group, host.gid)
    if uid is None or gid is None:
        yield Unknown(f"{record.known}: {path} should be {record.user}:{record.group}, and there is no such account")
        return
    if _works(found, record.mode, uid, gid):
        return
    sound = _sound(host, path)
    yield Finding(
        where=path,
        detail=f"{spool.owner_name(host, found)}, but {record.known} says {record}"
        + ("" if sound else "; it is not the program that the package brought, so install the package again"),
        severity=_severity(path),
        fixable=sound,
        subject=_Lost(path, found, uid, gid, record),
    )


def _works(found: FileStat, mode: int, uid: int, gid: int) -> bool:
    """Whether the program gets the ids that it should; other bits of the mode are the operator's own affair."""
    as_user = not mode & _SET_UID or (found.mode & _SET_UID and found.uid == uid)
    as_group = not mode & _SET_GID or (found.mode & _SET_GID and found.gid == gid)
    return bool(as_user and as_group)


def _id(name: str, look_up) -> int | None:
    number = name.removeprefix("#")
    return int(number) if number.isascii() and number.isdigit() else look_up(name)


def _severity(path: str) -> Severity | None:
    name = path.rpartition("/")[2]
    if name in ("sendmail", "rmail"):
        return None
    return Severity.LOW if name == "submitmkdir" else Severity.MEDIUM


def _sound(host: Host, path: str) -> bool:
    """Whether the program has the checksum of its package: an owner that it should not have may have changed it."""
    listed = re.search(rf"^([0-9a-f]{{32}})  {re.escape(path[1:])}$", _text(host, _CHECKSUMS), re.MULTILINE)
    if not listed:
        return False
    content = host.read(path, _MAX_PROGRAM)
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == listed[1]


def _sendmail(host: Host) -> str:
    """The sendmail of this installation: beside its scripts, or in bin (read: courier/Makefile.am, 1.4.1)."""
    candidates = (f"{host.layout.sbindir}/sendmail", f"{host.layout.bindir}/sendmail")
    return next((path for path in candidates if host.exists(path)), "")


def _without_a_record(host: Host, sendmail: str) -> Iterator[Finding]:
    """No package manager says what should be; but without any set-ID bit only root can send."""
    found = host.stat(sendmail)
    if found and not found.mode & (_SET_UID | _SET_GID):
        yield Finding(
            where=sendmail,
            detail=f"{spool.owner_name(host, found)}: no set-ID bit, so that only root can send",
            fixable=False,
        )


def _nosuid(host: Host, sendmail: str) -> Iterator[Finding]:
    """A mount that takes the effect of all set-ID bits away; only a running host has mounts."""
    if host.system is None:
        return
    path = host.resolve(sendmail)
    best: tuple[str, str] = ("", "")
    for fields in map(str.split, _text(host, _MOUNTS).splitlines()):
        target = fields[1] if len(fields) > 3 else ""
        # A later mount on the same directory hides an earlier one.
        if target and (path + "/").startswith(target.rstrip("/") + "/") and len(target) >= len(best[0]):
            best = (target, fields[3])
    if "nosuid" in best[1].split(","):
        yield Finding(
            where=best[0],
            detail=f"mounted nosuid, so that {sendmail} runs without its rights and only root can send",
            fixable=False,
        )
