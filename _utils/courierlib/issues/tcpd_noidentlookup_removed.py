r"""
No listener starts after an upgrade: "Invalid option: -noidentlookup"

## What you see

After the upgrade nothing listens on ports 25, 465, 587, 143, 993, 110 and 995. Clients get `Connection refused`. The
log has this line from `imapd`, `imapd-ssl`, `pop3d`, `pop3d-ssl` and `esmtpd-ssl`:

```text
/usr/sbin/couriertcpd: Invalid option: -noidentlookup
```

For ports 25 and 587 nothing says so, because the start script of `esmtpd` throws the message away. There is only
systemd:

```text
courier-mta.service: Can't open PID file '/run/courier/esmtpd.pid' (yet?) after start: No such file or directory
```

`courier`, `courierfilter` and `courier-authdaemon` run.

## What it breaks

No mail comes in, nobody can send, nobody can read mail. Other servers try again for some days, then return the mail to
its sender. Nothing that has been accepted is lost, and courierd goes on delivering it.

## Check by hand

The first command names the files with the word in them. The second one says how often couriertcpd itself knows it: `0`
is a couriertcpd that refuses to start with it. **Is it more than `0`, then leave the word where it is:** that
couriertcpd needs it.

The third command shows the seven listeners of a host with everything on it, and nothing while they are down.

## Fix by hand

1. Take the word out, and nothing else. `sed` keeps a copy of each file that it changes, as `esmtpd.ident` and so on:

    ```console
    # cd /etc/courier
    # sed -i.ident -e '/^TCPDOPTS=/s/ *-noidentlookup//' esmtpd imapd pop3d
    # grep -n noidentlookup esmtpd* imapd* pop3d*
    ```

    `grep` then shows lines of `*.ident` alone, and comments. The listeners with TLS and the one on port 587 read these
    three files too. If `esmtpd-msa` or another file has a `TCPDOPTS` of its own, give `sed` its name as well.

2. Start the listeners. A `restart` of what has failed is a start; `reset-failed` is for systemd's limit of five starts
    in ten seconds:

    ```console
    # systemctl reset-failed 'courier*'
    # systemctl restart courier-mta courier-msa courier-mta-ssl
    # systemctl restart courier-imap courier-imap-ssl courier-pop courier-pop-ssl
    ```

    Leave out what you do not use.

`courier.fix tcpd-noidentlookup-removed` does the same, in place, for each file that says the word, and starts those
listeners that start at boot. It needs `allow=delete-expired-mail` only if courierd was down for two days: see
`courierd-not-running`.

Listeners that still run are restarted: new connections wait for a second, and open IMAP and POP sessions end.

## Undo

```console
# cd /etc/courier
# for file in esmtpd imapd pop3d; do mv $file.ident $file; done
```

There is no reason to, except on the way back to an older Courier: before 1.3.9 the word belongs there.

## How to see that it worked

```console
# ss -Hltn | awk '{print $4}'
```

lists ports 25, 465, 587, 143, 993, 110 and 995, as far as you use them.

## Why it happens

For each connection couriertcpd used to ask the client's machine who was connecting: an ident lookup, which nearly
nobody answers, and for which it waited. `-noidentlookup` switched that off, and stood in the settings that Courier was
shipped with. Courier 1.3.9 took ident lookups out, and the word with them. couriertcpd exits on a word that it does not
know.

If `esmtpd`, `imapd` or `pop3d` was never changed, the upgrade replaces it, and the word goes. Whoever has changed a
setting keeps the old file, and with it the word.
"""

from collections.abc import Iterator
from functools import partial

from courierlib import settings
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action, EditFile, Refused, StartService
from courierlib.queue import allow_start
from courierlib.startup import kept_down

ISSUE = Issue(
    id="tcpd-noidentlookup-removed",
    component="services",
    severity=Severity.CRITICAL,
    affects=Affects(since="1.3.9"),
    interrupts="listeners that still run, for a second, and their open IMAP and POP sessions",
    allows=("delete-expired-mail",),
    look=(
        "grep -n '^[^#]*noidentlookup' /etc/courier/esmtpd* /etc/courier/imapd* /etc/courier/pop3d*",
        "grep -c noidentlookup /usr/sbin/couriertcpd",
        "ss -Hltn 'sport = :25 or sport = :465 or sport = :587 or sport = :143 or sport = :993 or sport = :110 or "
        "sport = :995' | awk '{print $4}'",
    ),
    tell="`grep -c noidentlookup /usr/sbin/couriertcpd` prints `0`, and `/etc/courier` still has the word.",
    alike=("courierd-not-running",),
    bites=("smtp-ports", "imap-ports"),
    upgrades=(
        Upgrade(
            version="1.3.9",
            act="before",
            step="Look whether it will bite: `grep -n '^[^#]*noidentlookup' /etc/courier/esmtpd /etc/courier/imapd "
            "/etc/courier/pop3d`. Leave the word in: the old version needs it. If you have changed one of these files, "
            "its ports are closed from the upgrade until the next step is done.",
        ),
        Upgrade(
            version="1.3.9",
            act="after",
            step="Take `-noidentlookup` out of `TCPDOPTS` in the files that you kept, and start the listeners: "
            "`salt-call courier.fix tcpd-noidentlookup-removed`.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, esmtpd, imapd and pop3d changed, upgraded by apt to trixie 1.4.1: no listener starts",
        "run: trixie 1.4.1, forky 2.0.6: the word put into the settings; bookworm 1.0.16: it belongs there",
        "read: ChangeLog, 1.4.1: taken out on 2024-06-10",
        "read: libs/tcpd/argparse.c, courier/module.esmtp/esmtpd.in, 1.4.1",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "esmtpd-ssl"),
            pattern=r"^/[^ ]*couriertcpd: Invalid option: -noidentlookup$",
            sample="/usr/sbin/couriertcpd: Invalid option: -noidentlookup",
            known="run: trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

WORD = "-noidentlookup"

_ESMTPD = ("TCPDOPTS", "BLACKLISTS", "DROP")
_DAEMONS = {
    "esmtpd": ("smtp", _ESMTPD),
    "esmtpd-msa": ("msa", _ESMTPD),
    "esmtpd-ssl": ("smtps", _ESMTPD),
    "imapd": ("imap", ("TCPDOPTS",)),
    "imapd-ssl": ("imaps", ("TCPDOPTS",)),
    "pop3d": ("pop3", ("TCPDOPTS",)),
    "pop3d-ssl": ("pop3s", ("TCPDOPTS",)),
}
"""By configuration file the role, and the settings that the start script gives couriertcpd as words of its command line
(read: esmtpd.in, esmtpd-ssl.in, imapd.rc.in, imapd-ssl.rc.in, pop3d.in, pop3d-ssl.in, 1.4.1)."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for each setting with the word, if couriertcpd does not know it."""
    program = f"{host.layout.sbindir}/couriertcpd"
    if not host.components & {"mta", "imap", "pop"} or host.contains(program, WORD[1:].encode()):
        return
    daemons: dict[tuple[str, str], list[str]] = {}
    values: dict[tuple[str, str], str] = {}
    for daemon, (_, names) in _DAEMONS.items():
        if daemon.replace("-msa", "") not in host.layout.scripts or not host.exists(host.conffile(daemon)):
            continue
        for name in names:
            try:
                value = host.settings(daemon).get(name)
                for path in _places(host, daemon, name) if WORD in value.split() else ():
                    daemons.setdefault((path, name), []).append(daemon)
                    values.setdefault((path, name), value)
            except Unknown as unknown:
                yield unknown
    for (path, name), affected in daemons.items():
        roles = tuple(_DAEMONS[daemon][0] for daemon in affected)
        yield Finding(
            where=f"{path} {name}",
            detail=f"{WORD}, which {program} does not know: {_listed(affected)} "
            f"do{'es' if len(affected) == 1 else ''} not start",
            severity=None if _wanted(host, roles) else Severity.LOW,
            fixable=_says(host, path, name),
            subject=(path, name, values[path, name], roles),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the edit of each setting, and the start of the listeners that are down for it."""
    for finding in findings:
        path, name, value, roles = finding.subject
        yield EditFile(
            path=path,
            setting=name,
            edit=partial(settings.drop_word, name=name, word=WORD),
            old=f"{name}={value}",
            new=f"{name}={' '.join(word for word in value.split() if word != WORD)}",
            allow=_allow(host, roles),
            restarts=roles,
        )
    affected = {role for finding in findings for role in finding.subject[3]}
    for service in kept_down(host, affected):
        yield StartService(
            service=service.name, old=service.state, new="enabled and running", allow=_allow(host, service.roles)
        )


def _places(host: Host, daemon: str, name: str) -> Iterator[str]:
    """The files from which a daemon's setting has the word: those that say it, or else the last that sets it."""
    locations = host.settings(daemon).all(name)
    paths = dict.fromkeys(location.path for location in locations)
    saying = [path for path in paths if _says(host, path, name)]
    yield from saying or [locations[-1].path]


def _says(host: Host, path: str, name: str) -> bool:
    """Whether a file's assignments say the word, in a way that can be edited."""
    try:
        content = host.read(path)
        return settings.drop_word(content, name, WORD) != content
    except Refused:
        return False


def _wanted(host: Host, roles: tuple[str, ...]) -> bool:
    """Whether one of the listeners should run; where that cannot be told, they should."""
    try:
        services = [service for role in roles if (service := host.service(role))]
    except Unknown:
        return True
    return not services or any(service.active or service.enabled is not False for service in services)


def _allow(host: Host, roles: tuple[str, ...]) -> str:
    # A listener for SMTP requires courierd, so courierd starts along with it.
    return allow_start(host.queue) if {"smtp", "msa", "smtps"} & set(roles) else ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
