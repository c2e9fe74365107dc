r"""
Every boot deletes the queue and the configuration: tmpfiles.d has D lines

## What you see

Nothing, until the machine is booted again. Then mail that waited is gone, without a bounce and without a line in the
log. So are aliases, hosted domains and the domains that mail is accepted for:

```text
/var/lib/courier/msgs  msgq  tmp  track  filters  allfilters
/etc/courier/aliases  aliasdir  hosteddomains  esmtpacceptmailfor.dir  shared  imapaccess  filters  filters/active
```

Only `aliases/system` is left. `systemctl --failed` is empty.

Databases such as `hosteddomains.dat` stay as they were: they lie elsewhere. So hosted domains work on, until somebody
runs `makehosteddomains` or `makealiases`, and with them the last copy is gone.

## What it breaks

All mail in the queue is lost, on every boot: what is deferred, and what courierd has not taken yet. What was put into
the directories above is lost with it.

## Check by hand

`systemd-tmpfiles --cat-config` only reads. It prints the lines that count; on a healthy host none of type `D` or `R` is
about Courier's spool or configuration. `--remove` in the line of the unit is what empties the directories. Never try it
out with `systemd-tmpfiles --remove`: that deletes the queue at once.

## Fix by hand

**Now, before the next boot, these two commands.** If one of the files is not there, its package is not installed:
leave it out. They copy the package's files to `/etc/tmpfiles.d`, where a file
takes the place of the package's one of the same name, and make `d` (create) of `D` (create, and empty at boot):

```console
# cd /usr/lib/tmpfiles.d && cp courier-base.conf courier-imap.conf courier-mta.conf /etc/tmpfiles.d/
# sed -i -E 's,^( *)D( +/(etc|var/lib)/courier),\1d\2,' /etc/tmpfiles.d/courier-*.conf
```

Nothing is restarted or interrupted. A copy stays as it is when the package changes its own: compare them after each
upgrade.

`courier.fix tmpfiles-wipes-queue-at-boot` does the same. It notes in each copy which version of the package's file it
was made from. When the package has changed the file, the check says so, and the repair makes the copy anew, or removes
it if the package needs none any more. A file in `/etc/tmpfiles.d` that you wrote yourself is left alone; if it has such
lines, it is reported, and you change it.

What is lost already only a backup brings back. Look for `aliases.dat`, `hosteddomains.dat` and
`esmtpacceptmailfor.dat` **before** you run `makealiases`, `makehosteddomains` or `makeacceptmailfor`: they still hold
the old entries.

## Undo

```console
# rm /etc/tmpfiles.d/courier-base.conf /etc/tmpfiles.d/courier-imap.conf /etc/tmpfiles.d/courier-mta.conf
```

Then the next boot deletes everything again.

## How to see that it worked

This prints nothing:

```console
# systemd-tmpfiles --cat-config | grep -E '^ *D.* /(etc|var/lib)/courier'
```

Mail that waits is still there after a boot:

```console
# find /var/lib/courier/msgs /var/lib/courier/tmp -name 'C[0-9]*'
```

## Why it happens

At boot, `systemd-tmpfiles-setup.service` runs `systemd-tmpfiles --create --remove --boot`. With `--remove`, a line of
type `D` means: delete everything in this directory. It is made for directories such as those below `/run`. Debian's
packages since 1.5.1-4 list the queue and directories of the configuration with `D` instead of `d`.
"""

from collections.abc import Callable, Iterator

from courierlib import tmpfiles
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Upgrade
from courierlib.plan import Action, EditFile, MakeDirectory, NewFile, Refused, RemoveFile

ISSUE = Issue(
    id="tmpfiles-wipes-queue-at-boot",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(packaging="debian", since="1.5.1"),
    interrupts="nothing",
    look=(
        "systemd-tmpfiles --cat-config | grep -E '^ *[DR].* /(etc|var/lib)/courier'",
        "systemctl cat systemd-tmpfiles-setup.service | grep ExecStart",
    ),
    tell="The host was booted, and before the boot the queue was not empty.",
    bites=("queue",),
    upgrades=(
        Upgrade(
            version="1.5.1",
            packaging="debian",
            act="after",
            step="Before the next boot, write overrides for the `D` lines of `/usr/lib/tmpfiles.d/courier-*.conf`, or "
            "the boot deletes the queue, aliases and hosted domains.",
        ),
    ),
    known=(
        "run: forky 2.0.6, systemd 262: a deferred message, one below tmp, an alias file and entries of hosteddomains "
        "and esmtpacceptmailfor.dir, gone after a reboot",
        "run: bookworm 1.0.16, trixie 1.4.1: the same after a reboot: all there, these packages have no such lines",
        "run: systemd 262 below a scratch root: which lines delete, which files hide others",
        "read: debian/courier-mta.tmpfiles, courier-base.tmpfiles, courier-imap.tmpfiles, 2.0.6-1",
    ),
    references=("https://www.freedesktop.org/software/systemd/man/latest/tmpfiles.d.html",),
)


def check(host: Host) -> Iterator[Finding]:
    """Yield a finding for every file with lines that delete Courier's, and every override that is out of date."""
    losses = tmpfiles.losses(host)
    for file, lines in losses.items():
        by_operator = file.path.startswith(f"{tmpfiles.OVERRIDES}/") and not _ours(file)
        advice = "; it is your own file, so change D to d there yourself" if by_operator else ""
        yield Finding(where=file.path, detail=_said(lines) + advice, fixable=not by_operator, subject=file)
    for file in host.once(tmpfiles.read):
        if file not in losses and _ours(file) and tmpfiles.sha256(host, file.below) != (file.made_from or "")[1]:
            yield Finding(
                where=file.path,
                detail=f"deletes nothing, but was made from an older version of {file.below}",
                severity=Severity.MEDIUM,
                subject=file,
            )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield an override for each file; or the end of one that is no longer needed."""
    if host.stat(tmpfiles.OVERRIDES) is None:
        yield MakeDirectory(path=tmpfiles.OVERRIDES, uid=0, gid=0, mode=0o755, old="no such directory", new="made")
    for file in (finding.subject for finding in findings):
        override = f"{tmpfiles.OVERRIDES}/{file.name}"
        source = file.below if file.path == override else file.path
        content = tmpfiles.harmless(host, source)
        if content is None:
            yield RemoveFile(path=override, old=f"override of {source}", new="removed, the package's file is harmless")
            continue
        yield EditFile(
            path=override,
            edit=_put(content),
            new_file=NewFile(),
            old="made from an older version" if file.path == override else "no override",
            new=f"as {source}, but deletes nothing of Courier's",
        )


def _ours(file: tmpfiles.File) -> bool:
    """Whether the repair has made it, and what it was made from is still there."""
    return file.made_from is not None and file.made_from[0] == file.below


def _said(lines: tuple[tmpfiles.Line, ...]) -> str:
    at_boot = [line.path for line in lines if line.kind in "DrR"]
    words = [f"deletes at every boot what is in {', '.join(at_boot)}"] if at_boot else []
    words += [f"deletes what is older than {line.age} in {line.path}" for line in lines if line.age != "-"]
    return "; ".join(words)


def _put(wanted: bytes) -> Callable[[bytes | None], bytes]:
    def edit(content: bytes | None) -> bytes:
        if content is not None and tmpfiles.made_from(content) is None:
            raise Refused("somebody else has written it meanwhile")
        return wanted

    return edit
