r"""
Mail stops because Courier's spool belongs to another user

## What you see

It depends on the directory. Each of these was seen with the directory given to `daemon`:

| Directory | What happens | In the log |
| --- | --- | --- |
| `/var/lib/courier/tmp` | `432 Service temporarily unavailable.` | `submit: Permission denied` |
| `msgs`, `msgq` | mail is accepted, none is delivered | `courierd: ABNORMAL TERMINATION, exit status: 1` |
| files in `msgs` | these are never tried again | `courierd: Cannot read /var/lib/courier/msgq/179536/C1926618…` |
| `track` | mail works | `courierd: Warning: /var/lib/courier/track is not owned by the correct uid` |
| `filters` | port 25 does not start | `courierfilter: /var/lib/courier/filters/.lock: Permission denied` |
| `allfilters` | mail works; mail filters do not | nothing |
| `/run/courier` | port 25 does not start | `courierfilter: /run/courier/courierfilter.pid: Permission denied` |
| `authdaemon` in it | `450 Service temporarily unavailable.` | `authdaemon: s_connect() failed: Permission denied` |

courierd that cannot work says `Permission denied` first and then `Will restart in 60 seconds.`, again and again.

## What it breaks

Mail is refused or waits. Nothing is lost yet, but what waits below `tmp` is deleted by courierd as soon as it is
older than 48 hours and courierd can read it again: see `courierd-not-running`.

## Check by hand

On a healthy host everything that `stat` lists is `courier:courier`, only `/run/courier` is `root:courier`. The
modes of the directories are 750, 770 for `tmp`, 775 for `/run/courier`; `msgq` is 755 on Debian 12. `/var/lib/courier`
itself is `courier:courier 750` up to Debian 12 and `root:root 755` since Debian 13; both work.

`find` lists what lies in the queue and is not in the group `courier`. A healthy host prints nothing: what root left
there is not listed, and may stay.

## Fix by hand

1. If mail has waited for a day or more, make it young, so that courierd does not delete it:

    ```console
    # find /var/lib/courier/tmp/[0-9]* -type f -exec touch {} +
    ```

2. The directories. Keep a list of what belongs to whom, to be able to go back:

    ```console
    # cd /var/lib/courier
    # find /var/lib/courier /run/courier \( -user daemon -o -group daemon \) -printf '%u:%g %p\n' >/root/owners.before
    # chown courier:courier tmp msgs msgq track filters allfilters
    # chown root:courier /run/courier
    # chown courier:courier /run/courier/authdaemon
    ```

3. What is in them. Change only what belongs to the old user. **Never `chown -R`**: a message sent by a local user
    belongs to that user and to the group `courier`, and `courierd.lock` and `tmp/broken` belong to root.

    ```console
    # find tmp msgs msgq track filters/.lock -user daemon -exec chown -h courier {} +
    # find tmp msgs msgq track filters/.lock -group daemon -exec chgrp -h courier {} +
    ```

4. Start what could not start. courierd tries again within a minute by itself.

    ```console
    # systemctl reset-failed 'courier*'
    # systemctl restart courier-mta courier-msa courier-mta-ssl
    ```

`courier.fix spool-wrong-owner` does steps 2 to 4, one recorded change for each path. It needs
`allow=delete-expired-mail` where courierd would delete mail afterwards: do step 1 instead. SMTP is closed for about a
second.

## Undo

By hand, from the list. What has been delivered meanwhile gives an error, which does not matter:

```console
# while read -r owner path; do chown -h "$owner" "$path"; done </root/owners.before
```

## How to see that it worked

```console
# find /var/lib/courier -user daemon -o -group daemon
# systemctl is-active courier courierfilter courier-mta
active
active
active
```

The first command prints nothing. A message to port 25 arrives; what had waited arrives too.

## Why it happens

The daemons change to the mail user that was compiled in: `courier` in today's packages, `daemon` in Debian's up to
0.75. The spool must belong to that user. It does not after an upgrade that was interrupted, after a backup was
restored with other user numbers, or after somebody followed an old guide with `chown -R daemon`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from courierlib import queue, spool
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action, SetOwnership, StartService
from courierlib.startup import kept_down
from courierlib.tree import FileStat

ISSUE = Issue(
    id="spool-wrong-owner",
    component="mta",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="SMTP, for the second in which courierd is restarted",
    allows=("delete-expired-mail",),
    look=(
        "stat -c '%U:%G %a %n' /var/lib/courier/* /run/courier /run/courier/authdaemon",
        "find /var/lib/courier/tmp /var/lib/courier/msg[sq] -mindepth 1 ! -user root ! -group courier "
        "-printf '%u:%g %m %p\\n' | head -5",
    ),
    tell="`stat` shows that `tmp`, `msgs`, `msgq` or another directory of Courier does not belong to `courier`.",
    alike=("courierd-not-running",),
    bites=("submit", "queue", "courierd", "courierfilter", "authdaemond"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="Look whether everything in `/var/lib/courier` belongs to `courier` now, also where the upgrade was "
            "interrupted or the spool lies elsewhere.",
        ),
    ),
    known=(
        "run: trixie 1.4.1: each directory of the table, and the entries of tmp, msgs and msgq, given to daemon",
        "run: bookworm 1.0.16: the same but allfilters, and /var/lib/courier itself",
        "run: forky 2.0.6: the same but allfilters",
        "read: courier/submit2.C, 1.4.1: messages belong to the user who sends them, and to the mail group",
        "reported: https://github.com/oerdnj/deb.sury.org/issues/209",
    ),
    signatures=(
        Signature(
            process=("submit",),
            pattern=r"^Permission denied$",
            sample="Permission denied",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r"^submitclient: EOF from submit\.$",
            sample="submitclient: EOF from submit.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierd",),
            pattern=r"^ABNORMAL TERMINATION, exit status: 1$",
            sample="ABNORMAL TERMINATION, exit status: 1",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierd",),
            pattern=r"^Permission denied$",
            sample="Permission denied",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierd",),
            pattern=r"^Will restart in 60 seconds\.$",
            sample="Will restart in 60 seconds.",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierd",),
            pattern=r"^Warning: \S+/track is not owned by the correct uid$",
            sample="Warning: /var/lib/courier/track is not owned by the correct uid",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courierd",),
            pattern=r"^Cannot (read|open) /",
            sample="Cannot read /var/lib/courier/msgq/179536/C1926618.1795367556",
            known="run: trixie 1.4.1",
        ),
        Signature(
            process=("courierfilter",),
            pattern=r"^/\S+/(\.lock|courierfilter\.pid): Permission denied$",
            sample="/run/courier/courierfilter.pid: Permission denied",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=("courieresmtpd",),
            pattern=r"^authdaemon: s_connect\(\) failed: Permission denied$",
            sample="authdaemon: s_connect() failed: Permission denied",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
    references=("https://github.com/oerdnj/deb.sury.org/issues/209",),
)

MAX_ENTRIES = 10_000
"""Queue entries looked at in one run."""


@dataclass(frozen=True)
class _Wrong:
    """An entry and the ids it should have; None leaves one as it is."""

    path: str
    found: FileStat
    uid: int | None
    gid: int | None
    mode: int | None
    links: int = 1


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every directory that the mail user cannot use, and one for the entries below each area."""
    if "mta" not in host.components:
        return
    mail = spool.mail_ids(host)
    if mail is None:
        yield Unknown(f"no account {host.layout.mailuser}:{host.layout.mailgroup}, which this build runs as")
        return
    strangers = {host.uid("daemon"): host.gid("daemon")}
    table = list(spool.directories(host))
    try:
        table.append(spool.socket_directory(host))
    except Unknown as unknown:
        yield unknown
    for directory in table:
        found = host.stat(directory.path)
        if found is None and directory.path.startswith(host.layout.localstatedir):
            yield Unknown(f"{directory.path}: no such directory")
        elif found and found.kind == "dir" and not _usable(found, mail, directory.user, directory.group):
            strangers[found.uid] = found.gid
            yield _directory_finding(host, directory, found)
    wrong, bounded = _entries(host, mail, strangers)
    for area, entries in wrong.items():
        yield _entries_finding(host, area, entries, bounded)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield one change of owner for each of them, and the start of what the wrong owner kept from starting."""
    # A courierd that can read tmp again deletes what is older than 48 hours there (see courierd-not-running).
    allow = queue.allow_start(host.queue)
    for finding in findings:
        for wrong in finding.subject:
            yield SetOwnership(
                path=wrong.path,
                uid=wrong.uid,
                gid=wrong.gid,
                mode=wrong.mode,
                inode=wrong.found.inode,
                links=wrong.links,
                allow=allow,
                restarts=("scheduler",),
                old=spool.owner_name(host, wrong.found),
                new=_wanted(host, wrong),
            )
    for service in kept_down(host, ("filter", "smtp", "msa", "smtps")):
        yield StartService(service=service.name, allow=allow, old=service.state, new="running")


def _usable(found: FileStat, mail: tuple[int, int], user: int, group: int) -> bool:
    as_user, as_group = spool.bits(found, mail[0], mail[1:]), spool.bits(found, -1, mail[1:])
    return as_user & user == user and as_group & group == group


def _directory_finding(host: Host, directory: spool.Directory, found: FileStat) -> Finding:
    user, group = directory.owner
    mode = None if found.mode | directory.mode == found.mode else found.mode | directory.mode
    wanted = _Wrong(directory.path, found, host.uid(user), host.gid(group), mode)
    return Finding(
        where=directory.path,
        detail=f"{spool.owner_name(host, found)}, so {host.layout.mailuser} cannot use it: {directory.breaks}",
        severity=None if directory.stops else Severity.MEDIUM,
        subject=(wanted,),
    )


def _entries(
    host: Host, mail: tuple[int, int], strangers: dict[int | None, int | None]
) -> tuple[dict[str, list[_Wrong]], bool]:
    """Queue entries that the mail user cannot use, by area, and whether there are more entries than were looked at."""
    wrong: dict[str, list[_Wrong]] = {}
    files = host.once(queue.entries)
    for seen, (area, path) in enumerate(_queue(host)):
        if seen >= MAX_ENTRIES:
            return wrong, True
        found = files.get(path) or host.stat(path, follow=False)
        if found is None or found.kind not in ("file", "dir"):
            continue
        if not _usable(found, mail, _need(found), 0):
            links = 2 if found.inode in host.once(_scheduled) else 1
            wrong.setdefault(area, []).append(_repaired(path, found, mail, strangers, links))
    return wrong, False


def _need(found: FileStat) -> int:
    return 7 if found.kind == "dir" else 6


def _scheduled(host: Host) -> frozenset[tuple[int, int]]:
    """Files with a name in msgq: the second name of an envelope in msgs (read: courier/cdmsgq.C, 1.4.1)."""
    area = f"{host.layout.localstatedir}/msgq"
    directories = (f"{area}/{name}" for name in host.listdir(area) if name.isdecimal())
    paths = (f"{directory}/{entry}" for directory in directories for entry in host.listdir(directory))
    stats = (host.stat(path, follow=False) for path in islice(paths, MAX_ENTRIES))
    return frozenset(found.inode for found in stats if found and found.kind == "file")


def _queue(host: Host) -> Iterator[tuple[str, str]]:
    """The numbered directories and their files; what else lies there is root's, or made anew at each start."""
    state = host.layout.localstatedir
    for area in ("tmp", "msgs", "msgq", "track"):
        for name in host.listdir(f"{state}/{area}"):
            if not name.isdecimal():
                continue
            path = f"{state}/{area}/{name}"
            yield area, path
            found = host.stat(path, follow=False)
            # Files in msgq are further names of those in msgs.
            if area in ("tmp", "msgs") and found and found.kind == "dir":
                yield from ((area, f"{path}/{entry}") for entry in host.listdir(path) if entry[0] in "CD")
    yield "filters", f"{state}/filters/.lock"


def _repaired(
    path: str, found: FileStat, mail: tuple[int, int], strangers: dict[int | None, int | None], links: int
) -> _Wrong:
    """Only the old daemon's ids are changed: a message keeps the uid of the user who sent it
    (read: courier/submit2.C, 1.4.1)."""
    uid = mail[0] if found.uid in strangers else None
    gid = mail[1] if found.gid in strangers.values() else None
    full = _need(found) << (6 if uid is not None else 3)
    mode = None if found.mode & full == full else found.mode | full
    return _Wrong(path, found, uid, gid, mode, links)


def _entries_finding(host: Host, area: str, entries: list[_Wrong], bounded: bool) -> Finding:
    changeable = [wrong for wrong in entries if wrong.uid is not None or wrong.gid is not None]
    first = entries[0]
    count = f"{len(entries)}{' or more' if bounded else ''} entr{'y' if len(entries) == 1 else 'ies'}"
    owner = spool.owner_name(host, first.found)
    detail = f"{count} that {host.layout.mailuser} cannot use, such as {first.path} ({owner})"
    if len(changeable) < len(entries):
        others = len(entries) - len(changeable)
        detail += f"; {others} belong to somebody who was never the mail user, so look at them by hand"
    if bounded:
        detail += f"; only the first {MAX_ENTRIES} entries of the queue were looked at, so run this again afterwards"
    path = f"{host.layout.localstatedir}/{area}/*"
    return Finding(where=path, detail=detail, fixable=bool(changeable), subject=tuple(changeable))


def _wanted(host: Host, wrong: _Wrong) -> str:
    account = host.user(wrong.found.uid if wrong.uid is None else wrong.uid)
    group = host.layout.mailgroup if wrong.gid is not None else str(wrong.found.gid)
    mode = wrong.found.mode if wrong.mode is None else wrong.mode
    return f"{account.name if account else wrong.found.uid}:{group} {mode:04o}"
