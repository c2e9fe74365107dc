"""
IMAP does not start: IMAPACCESSFILE is missing

## What you see

`courier-imap` and `courier-imap-ssl` fail at once, and ports 143 and 993 are closed. The log has one line for each:

```text
imapd[631]: IMAPACCESSFILE is missing.
imapd-ssl[641]: IMAPACCESSFILE is missing.
```

## What it breaks

Nobody can read mail over IMAP. POP3 and the delivery of mail go on. Services that are running go on too, until they
are restarted.

## Check by hand

The first command names the file or directory of the access rules; where it prints nothing, it is
`/etc/courier/imapaccess`. The second must list it, or the same name with `.dat`. It may be empty. The third counts
what would refuse to start without it; on Debian 12 it prints 0, and IMAP starts all the same.

## Fix by hand

Did you have rules there, which network may use IMAP and which may not? Bring them back from a backup. Without them
everybody may.

Otherwise an empty directory is what the package ships:

```console
# install -d -o root -g courier -m 750 /etc/courier/imapaccess
# systemctl reset-failed 'courier-imap*'
# systemctl start courier-imap courier-imap-ssl
```

If `IMAPACCESSFILE` names another place, and you know nothing of it, set it to `/etc/courier/imapaccess`.

`courier.fix imapaccessfile-missing` makes the directory and starts what is down. Where `IMAPACCESSFILE` names another
place, rules of your own are missing: then it sets it to `/etc/courier/imapaccess` only with
`allow=without-access-rules`. Nothing is interrupted.

## Undo

```console
# rmdir /etc/courier/imapaccess
```

## How to see that it worked

```console
# systemctl is-active courier-imap courier-imap-ssl
active
active
```

## Why it happens

The start scripts compile the rules into `imapaccess.dat` when that file is not there. In Courier 1.4.1 they stop if
there is nothing to compile; in 1.0.16 they went on without rules. The empty directory is lost with backups that skip
empty directories, or when somebody tidies up.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from courierlib import settings, units
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action, EditFile, MakeDirectory, StartService
from courierlib.startup import kept_down

ISSUE = Issue(
    id="imapaccessfile-missing",
    component="services",
    severity=Severity.HIGH,
    affects=Affects(since="1.1"),
    interrupts="nothing",
    allows=("without-access-rules",),
    look=(
        "grep -H '^ *IMAPACCESSFILE=' /etc/courier/imapd /etc/courier/imapd-ssl",
        "ls -ld /etc/courier/imapaccess*",
        "cat /usr/lib/courier/imapd /usr/lib/courier/imapd-ssl | grep -c 'IMAPACCESSFILE is missing'",
    ),
    tell="The log says so in these words.",
    bites=("imap-ports", "imapd"),
    upgrades=(
        Upgrade(
            version="1.1",
            act="before",
            step="Make sure that the file or directory exists that `IMAPACCESSFILE` in `imapd` names: IMAP does not "
            "start without it any more.",
        ),
    ),
    known=(
        "run: trixie 1.4.1, forky 2.0.6: /etc/courier/imapaccess removed; IMAPACCESSFILE naming what is not there",
        "run: trixie 1.4.1, forky 2.0.6: no IMAPACCESSFILE at all: IMAP starts if /etc/courier/imapaccess exists",
        "run: bookworm 1.0.16: cannot occur, IMAP starts and logs `cat: /etc/courier/imapaccess: No such file…`",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: no ACCESSFILE in esmtpd: SMTP starts all the same",
        "read: libs/imap/imapd.rc.in, imapd-ssl.rc.in, 1.4.1; versions between 1.0.16 and it were not looked at",
        "read: debian/patches/0033, 1.4.1-3: Debian's scripts have a default, upstream's stop without the setting",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl"),
            pattern=r"^IMAPACCESSFILE is missing\.$",
            sample="IMAPACCESSFILE is missing.",
            known="run: trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

_REFUSES = b"IMAPACCESSFILE is missing"
_DEFAULT = re.compile(rb"\$\{IMAPACCESSFILE:=([^}]+)\}")
_SETTING = "IMAPACCESSFILE"


@dataclass(frozen=True)
class _Missing:
    """What is named, by a setting or by the start script itself, and where it is set.

    Args:
        path: empty if neither names anything.
        conffile: file with the setting; ``imapd`` where nothing is set.
    """

    path: str
    conffile: str


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if the start scripts of this release stop because the access rules are not there."""
    scripts = [host.layout.scripts[name] for name in ("imapd", "imapd-ssl") if name in host.layout.scripts]
    if not scripts or all(units.unused(host, role) for role in ("imap", "imaps")):
        return
    script = b"".join(host.read(path, 65536) for path in scripts)
    if _REFUSES not in script:
        return
    # Debian's scripts have a default, upstream's have none (read: imapd.rc.in, patch 0033, 1.4.1-3).
    default = _DEFAULT.search(script)
    missing = _named(host, default[1].decode() if default else "")
    compiled = host.stat(f"{missing.path}.dat")
    if missing.path and (host.exists(missing.path) or (compiled and compiled.kind == "file")):
        return
    said = f"{missing.path}: no such file or directory" if missing.path else f"no {_SETTING} is set"
    yield Finding(
        where=missing.path or missing.conffile,
        detail=f"{said}; imapd and imapd-ssl do not start without it",
        subject=missing,
    )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the empty directory that packages ship, and the start of what is down."""
    group = host.layout.mailgroup
    for finding in findings:
        missing, usual = finding.subject, host.conffile("imapaccess")
        # Whoever names a place of their own has rules of their own, which would not be in force.
        allow = "without-access-rules" if missing.path not in ("", usual) else ""
        if missing.path != usual:
            yield EditFile(
                path=missing.conffile,
                edit=_assignment(usual),
                setting=_SETTING,
                allow=allow,
                old=missing.path or "not set",
                new=usual,
            )
        yield MakeDirectory(
            path=usual,
            uid=0,
            gid=host.gid(group) or 0,
            mode=0o750,
            allow=allow,
            old="missing",
            new=f"root:{group} 0750",
        )
        for service in kept_down(host, ("imap", "imaps")):
            yield StartService(service=service.name, allow=allow, old=service.state, new="running")


def _named(host: Host, default: str) -> _Missing:
    """The setting that counts: the scripts read imapd-ssl, then imapd (read: imapd.rc.in, 1.4.1)."""
    for name in ("imapd", "imapd-ssl"):
        if host.exists(host.conffile(name)):
            found = host.settings(name)
            # Empty is as good as unset to the script.
            if path := found.get(_SETTING):
                place = found.where(_SETTING)
                return _Missing(path, place.path if place else host.conffile(name))
    return _Missing(default, host.conffile("imapd"))


def _assignment(path: str) -> Callable[[bytes | None], bytes]:
    return lambda content: settings.assign(content, _SETTING, path)
