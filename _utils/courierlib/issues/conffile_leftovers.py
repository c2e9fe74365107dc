r"""
Files that an upgrade or an editor left below /etc/courier: some are read as if they were meant

## What you see

Nothing in the log. An alias or a domain that was taken out is still in force. An address that may no longer relay still
can. Or the other way round: a change does nothing, because `makehosteddomains` stops with

```text
/etc/courier/hosteddomains/local.dpkg-old found, please investigate and remove it, and
make any needed changes to /etc/courier/hosteddomains/local
```

Or a file such as `/etc/courier/imapd.dpkg-dist` lies there since an upgrade, and nobody has looked into it.

## What it breaks

`aliases`, `smtpaccess`, `hosteddomains`, `esmtpacceptmailfor.dir`, `esmtppercentrelay.dir` and `imapaccess` are
directories that are read whole. What is in a backup copy there counts as much as what is in the file itself:

| left behind | read by `makealiases` | read by the others before 1.6 | since 1.6 |
| --- | --- | --- | --- |
| `local~` | yes | no | no |
| `local.dpkg-old`, `local.dpkg-dist` | yes | no | **they stop there** |
| `local.rpmsave`, `local.rpmnew` | yes | yes | **they stop there** |
| `local.ucf-old`, `local.bak`, `local.orig` | yes | yes | yes |

"The others" are `makesmtpaccess`, `makehosteddomains`, `makeacceptmailfor`, `makepercentrelay` and `makeimapaccess`.
Where they stop, the old database stays in force, and every later change waits.

Beside the settings files nothing is read. There a `.dpkg-dist` only says that the package's new version has not been
looked at; some upgrades need what is in it.

## Check by hand

`find` lists what package managers and editors leave behind. On a healthy host that is nothing. The second command
shows, for each settings file, what the package's new version says otherwise.

## Fix by hand

1. In one of the directories: compare, take over what is meant, and move the leftover out of `/etc/courier`. For an
    alias file, for instance:

    ```console
    # cd /etc/courier/aliases
    # diff office office~
    # mv office~ /root/
    # makealiases
    ```

    Run the program that belongs to the directory, if its database is there, for instance `hosteddomains.dat`. Without
    one the directory is not in use, and to build `smtpaccess.dat` for the first time changes who may relay. The
    programs are `makesmtpaccess`, `makehosteddomains`, `makeacceptmailfor`, `makepercentrelay`, `makeimapaccess` and
    `makealiases`. After `makehosteddomains`, restart `courier`.

2. Beside a settings file: read what differs, take over what you need into your own file, and delete the leftover.

A restart of `courier` restarts the SMTP listeners with it; else nothing is interrupted. No state removes these files:
what is in them may be wanted, and only you know.

## Undo

Move the file back, and run the same program again.

## How to see that it worked

```console
# find /etc/courier -name '*~' -o -name '*.dpkg-*' -o -name '*.ucf-*' -o -name '*.rpm*'
```

prints nothing, and the program that belongs to the directory prints nothing and ends with 0.

## Why it happens

dpkg does not overwrite a settings file that was changed. It asks, and leaves the other version as `FILE.dpkg-dist` or
`FILE.dpkg-old`; rpm and ucf have suffixes of their own, and editors leave `FILE~`. In a directory that is read whole,
every file counts. The script makedat, which all but `makealiases` use, knows some of these names and leaves them out;
since 1.6.0 it refuses to go on instead, so that nobody overlooks them.
"""

import re
from collections.abc import Iterator

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade
from courierlib.tree import Unreadable

ISSUE = Issue(
    id="conffile-leftovers",
    component="services",
    severity=Severity.MEDIUM,
    affects=Affects(),
    interrupts="nothing",
    look=(
        "find /etc/courier -name '*~' -o -name '*.dpkg-*' -o -name '*.ucf-*' -o -name '*.rpm*' -o -name '*.bak' "
        "-o -name '*.old' -o -name '*.orig'",
        "cd /etc/courier; for new in *.dpkg-dist; do test ! -e $new || diff -U0 ${new%.dpkg-dist} $new | "
        "grep '^[-+][A-Z]'; done",
    ),
    tell="`find /etc/courier -name '*.dpkg-*' -o -name '*~'` lists a file in the directory whose change does nothing.",
    bites=("esmtpd", "submit"),
    upgrades=(
        Upgrade(
            version="1.6.0",
            act="before",
            step="Move `*.dpkg-*`, `*.rpmsave` and `*.rpmnew` out of the directories below `/etc/courier`: from this "
            "version on `makesmtpaccess`, `makehosteddomains` and their like stop at them.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: each suffix in each directory, and what the programs made of "
        "it",
        "run: bookworm 1.0.16 upgraded by apt to trixie 1.4.1: esmtpd, imapd and pop3d kept, .dpkg-dist beside them",
        "read: libs/makedat/makedat.in, courier/makealiases.in, 1.4.1; makedat, 2.0.6; ChangeLog, 2.0.6",
    ),
)

_DIRECTORIES = {
    "aliases": "makealiases",
    "smtpaccess": "makesmtpaccess",
    "hosteddomains": "makehosteddomains",
    "esmtpacceptmailfor.dir": "makeacceptmailfor",
    "esmtppercentrelay.dir": "makepercentrelay",
    "imapaccess": "makeimapaccess",
}
"""Directories that are read whole, by the program that reads them."""

_NEW = ("dpkg-dist", "dpkg-new", "ucf-dist", "ucf-new", "rpmnew")
_OLD = ("dpkg-old", "dpkg-bak", "ucf-old", "rpmsave", "rpmorig")
_PACKAGED = re.compile(rf"(.+)\.({'|'.join((*_NEW, *_OLD))})")
_EDITED = re.compile(r"(.+?)(~|\.~[0-9]+~|\.(?:bak|old|orig|save|dist))")
"""What editors and administrators leave: believed only beside the file that it is a copy of."""

_SOURCED = ("esmtpd", "esmtpd-msa", "esmtpd-ssl", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "courierd")
_NAMED = 5


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for each leftover that is read, or that stops what reads it; and advice on what is not merged."""
    for directory, program in _DIRECTORIES.items():
        path = host.conffile(directory)
        found = host.stat(path)
        # A package that was removed leaves its directories.
        if found and found.kind == "dir" and host.exists(f"{host.layout.sbindir}/{program}"):
            yield from _in_directory(host, path, program)
    names = host.listdir(host.layout.sysconfdir)
    for name in names:
        packaged = _PACKAGED.fullmatch(name)
        if packaged and packaged[1] in names and (said := _unmerged(host, packaged[1], packaged[2])):
            yield Finding(where=host.conffile(name), detail=said, severity=Severity.LOW, fixable=False)


def _in_directory(host: Host, directory: str, program: str) -> Iterator[Finding]:
    names = set(host.listdir(directory))
    for name in sorted(names):
        packaged, edited = _PACKAGED.fullmatch(name), _EDITED.fullmatch(name)
        if not packaged and not (edited and (edited[1] in names or name.endswith(".dist"))):
            continue
        found = host.stat(f"{directory}/{name}")
        if found is None or found.kind != "file":
            continue
        fate = "read" if program == "makealiases" else _fate(host, name, names)
        if fate == "stops":
            said = f"{program} stops at it: what has been changed in {directory} since is not in force"
        elif fate == "read" and found.size:
            said = f"{program} reads it like every other file in {directory}"
        else:
            continue
        yield Finding(where=f"{directory}/{name}", detail=said, fixable=False)


def _fate(host: Host, name: str, names: set[str]) -> str:
    """What this host's makedat makes of a file: ``read``, ``stops`` or ``left out``
    (read and run: makedat, 1.0.16, 1.4.1, 2.0.6)."""
    script = host.once(_makedat)
    careful = "please investigate and remove it" in script
    if name.endswith("~"):
        return "left out" if '-not -name "*~"' in script else "read"
    if re.search(r"\.dpkg-[a-z]*$", name):
        return "stops" if careful else "left out" if r".*\.dpkg-[a-z]*" in script else "read"
    if careful and name.endswith((".rpmsave", ".rpmnew")):
        return "stops"
    if name.endswith(".dist"):
        if careful:
            return "left out" if name.removesuffix(".dist") in names else "stops"
        return "read" if name.removesuffix(".dist") in names else "left out"
    return "read"


def _makedat(host: Host) -> str:
    return host.read(f"{host.layout.bindir}/makedat").decode("utf-8", "replace")


def _unmerged(host: Host, name: str, suffix: str) -> str:
    """What the two versions of a file differ in; empty if in nothing that counts."""
    try:
        mine, other = (host.read(host.conffile(each)) for each in (name, f"{name}.{suffix}"))
    except Unreadable as failed:
        return f"cannot be compared with {name}: {failed.why}"
    if mine == other:
        return ""
    what = f"the version of {name} that " + ("came with an upgrade" if suffix in _NEW else "an upgrade replaced")
    if name not in _SOURCED:
        return what
    here, there = (settings.evaluate([("", content)], host.layout.variables) for content in (mine, other))
    names = sorted({*here.names(), *there.names()})
    differ = [each for each in names if _value(here, each) != _value(there, each)]
    if not differ:
        return ""
    more = f" and {len(differ) - _NAMED} more" if len(differ) > _NAMED else ""
    return f"{what}; it differs in {', '.join(differ[:_NAMED])}{more}"


def _value(found: settings.Settings, name: str) -> str | None:
    """A setting's value, or what stands for one that only a shell could tell; None if it is not set."""
    try:
        return found.get(name) if found.where(name) else None
    except Unknown:
        return "\0"
