r"""
A unit or job calls /usr/sbin/imapd, which is no longer there

## What you see

After the upgrade to Debian 13 a job of your own fails: it restarted IMAP after a new certificate, or watched over it.
A cron job or a script says `/usr/sbin/imapd-ssl: not found`. For a unit the log has a line such as

```text
courier-imap.service: Failed at step EXEC spawning /usr/sbin/imapd: No such file or directory
```

If it is Courier's own unit, once copied with `systemctl edit --full courier-imap`, IMAP does not start at all.

## What it breaks

What calls the old path does nothing. With a copy of Courier's own unit, nobody can read mail on port 143 or 993.

## Check by hand

The first command says where the scripts are on this host. The second one lists your own files that call them by the
old path. The host is healthy if `ls` finds `/usr/sbin/imapd`, or if `grep` finds nothing.

## Fix by hand

In each of these files write `/usr/lib/courier/imapd` for `/usr/sbin/imapd`, and `/usr/lib/courier/imapd-ssl` for
`/usr/sbin/imapd-ssl`. If it only restarts the service, say `systemctl restart courier-imap-ssl` instead: that does not
depend on any path.

For units:

```console
# sed -i.sbin 's,/usr/sbin/imapd,/usr/lib/courier/imapd,g' /etc/systemd/system/courier-imap.service
# systemctl daemon-reload
# systemctl restart courier-imap
```

`courier.fix imapd-sbin-path-gone` does this for units and drop-ins in `/etc/systemd/system`, and starts `courier-imap`
and `courier-imap-ssl` if they start at boot and are down. Cron jobs and scripts it reports, and you change them.

The restart ends open IMAP sessions; clients connect again by themselves.

## Undo

```console
# mv /etc/systemd/system/courier-imap.service.sbin /etc/systemd/system/courier-imap.service
# systemctl daemon-reload
```

## How to see that it worked

`systemctl is-active courier-imap courier-imap-ssl` prints `active` twice, and your job runs when you start it by hand.

## Why it happens

`/usr/sbin/imapd` and `/usr/sbin/imapd-ssl` were links to the scripts in `/usr/lib/courier` that start IMAP. Debian's
1.4.1-3 left the links out, and changed its own units and init scripts. Copies of these, and what an administrator has
written, still have the old path. `/usr/sbin/pop3d` and `/usr/sbin/esmtpd` stayed where they were.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade
from courierlib.plan import Action, EditFile, Refused, StartService
from courierlib.startup import kept_down
from courierlib.tree import Unreadable

ISSUE = Issue(
    id="imapd-sbin-path-gone",
    component="services",
    severity=Severity.LOW,
    affects=Affects(since="1.4.1", packaging="debian"),
    interrupts="IMAP, and only if it is Courier's own unit: for the second of its restart, and open sessions",
    look=(
        "ls -l /usr/sbin/imapd* /usr/lib/courier/imapd*",
        "grep -rnE '/usr/sbin/imapd(-ssl)?\\b' /etc/systemd/system /etc/cron* /etc/monit /etc/init.d /usr/local/sbin "
        "2>/dev/null",
    ),
    tell="`ls /usr/sbin/imapd` finds nothing, and the unit or job that failed calls it.",
    bites=("imapd",),
    upgrades=(
        Upgrade(
            version="1.4.1",
            packaging="debian",
            act="before",
            step="Look for units, cron jobs and scripts of your own that call `/usr/sbin/imapd` or "
            "`/usr/sbin/imapd-ssl`, and let them say `systemctl restart courier-imap` or `courier-imap-ssl`.",
        ),
    ),
    known=(
        "run: trixie 1.4.1, forky 2.0.6: a copied unit and a cron job with the old path; bookworm 1.0.16: they work",
        "read: debian/changelog, 1.4.1-3",
        "reported: https://bugs.debian.org/1064787",
    ),
    references=("https://bugs.debian.org/1064787",),
)

MAX_FILES = 1000
"""Files that are looked at; where there are more, the rest is not judged."""
_MAX_SIZE = 1 << 16

_UNITS = "/etc/systemd/system"
_PLACES = (
    _UNITS,
    "/etc/init.d",
    "/etc/crontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/spool/cron/crontabs",
    "/etc/monit",
    "/etc/inetd.conf",
    "/etc/xinetd.d",
    "/etc/rc.local",
    "/etc/letsencrypt/renewal-hooks",
    "/usr/local/sbin",
    "/usr/local/bin",
)
"""Where an administrator's own calls stand."""
_COURIERS_OWN = re.compile(rf"{_UNITS}/courier-imap(-ssl)?\.service(\.d/.*)?$")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for each line that calls a script by the path that is gone."""
    gone = {
        old: new
        for name in ("imapd", "imapd-ssl")
        if (new := host.layout.scripts.get(name)) and not host.exists(old := f"{host.layout.sbindir}/{name}")
    }
    left = iter(range(MAX_FILES))
    for path in (each for place in _PLACES for each in _files(host, place, 3)) if gone else ():
        if next(left, None) is None:
            yield Unknown(f"more than {MAX_FILES} units, jobs and scripts of this host's own: not all were looked at")
            return
        try:
            content = host.read(path, _MAX_SIZE)
        except Unreadable:
            continue  # Larger than any script, or gone meanwhile.
        # Nearly all files have no such word; to take each apart by lines would be most of an audit's time.
        if any(each.encode() in content for each in gone):
            yield from _calls(path, content, gone)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the new path in units, and the start of IMAP where its own unit had the old one."""
    kept = set()
    for finding in findings:
        path, old, new = finding.subject
        own = _COURIERS_OWN.match(path)
        roles = (("imaps" if own[1] else "imap"),) if own else ()
        kept.update(roles)
        yield EditFile(path=path, edit=partial(_renamed, old=old, new=new), old=old, new=new, restarts=roles)
    for service in kept_down(host, kept) if kept else ():
        yield StartService(service=service.name, old=service.state, new="enabled and running")


def _files(host: Host, place: str, depth: int) -> Iterator[str]:
    found = host.stat(place)
    if found and found.kind == "file":
        yield place
    elif found and found.kind == "dir" and depth:
        for name in host.listdir(place):
            # Links to units that are looked at where they are, or are the package's.
            if not name.endswith((".wants", ".requires")):
                yield from _files(host, f"{place}/{name}", depth - 1)


def _calls(path: str, content: bytes, gone: Mapping[str, str]) -> Iterator[Finding]:
    own = bool(_COURIERS_OWN.match(path))
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        for old, new in gone.items():
            if re.search(_word(old), line):
                yield Finding(
                    where=f"{path}:{number}",
                    detail=f"calls {old}, which is gone; the script is {new}"
                    + ("; IMAP does not start by this unit" if own else ""),
                    severity=Severity.HIGH if own else None,
                    fixable=path.startswith(f"{_UNITS}/"),
                    subject=(path, old, new),
                )


def _renamed(content: bytes | None, old: str, new: str) -> bytes:
    if content is None:
        raise Refused("no such file")
    return re.sub(_word(old).encode(), new.encode(), content)


def _word(path: str) -> str:
    """The path and nothing longer, such as that of a manual page."""
    return rf"(?<![\w./-]){re.escape(path)}(?![\w./-])"
