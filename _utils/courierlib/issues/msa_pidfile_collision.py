r"""
A listener does not start, or takes port 25 down with it: its PID file is not the one that systemd waits for

## What you see

`systemctl start courier-msa` hangs for systemd's 90 seconds and fails. The daemon had started, and is ended again:

```text
courier-msa.service: Can't open PID file '/run/courier/esmtpd-msa.pid' (yet?) after start: No such file or directory
courier-msa.service: start operation timed out. Terminating.
courier-msa.service: Failed with result 'timeout'.
```

These lines are systemd's; Courier's own log says nothing. Where two services have the same PID file, starting one of
them also stops the other: after `systemctl restart courier-msa`, port 25 is closed, and `courier-mta` is `inactive`.

## What it breaks

The listener's port is closed. With a shared PID file it is the port of the other service too, and nothing says so.
Mail is not lost: other servers try again for some days.

A service that is running goes on until it is restarted. The trouble comes with the next restart or reboot.

## Check by hand

The first command says which PID file systemd waits for, the second which one Courier writes. Each service has one of
its own, and both say the same. `esmtpd-msa` and `esmtpd-ssl` are read on top of `esmtpd`: where `esmtpd-msa` has no
`PIDFILE`, it has that of `esmtpd`. The first command may leave out a service that is stopped: ask for that one by its
name.

## Fix by hand

If the setting in `/etc/courier` is wrong or missing, set it to what the first command says, for instance
`PIDFILE=/run/courier/esmtpd-msa.pid` in `/etc/courier/esmtpd-msa`.

If the setting is what you want, tell systemd:

```console
# mkdir -p /etc/systemd/system/courier-msa.service.d
# printf '[Service]\nPIDFile=/run/courier/msa.pid\n' >/etc/systemd/system/courier-msa.service.d/zz-pidfile.conf
# systemctl daemon-reload
```

Then start what is down:

```console
# systemctl reset-failed 'courier*'
# systemctl start courier-mta courier-msa courier-mta-ssl
```

`courier.fix msa-pidfile-collision` does the same: the setting where two services share a file, systemd's side
otherwise. The service is restarted: its port is closed for a second. Restarting `courier-mta` also restarts courierd.

## Undo

Remove the drop-in, or put the old line back, then `systemctl daemon-reload`.

## How to see that it worked

```console
# systemctl restart courier-msa
# systemctl is-active courier-mta courier-msa courier-mta-ssl
active
active
active
```

## Why it happens

Debian's units are of the type `forking`: systemd learns from the PID file which process is the daemon. The unit has
its name in `PIDFile=`, the start script takes it from `/etc/courier`, and nothing keeps them equal. Up to Debian 10
the unit of `courier-msa` itself named the file of port 25; it was corrected in 1.0.14-1.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from courierlib import settings, units
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown
from courierlib.plan import Action, EditFile, MakeDirectory, NewFile, StartService
from courierlib.queue import allow_start
from courierlib.services import Service, Systemd
from courierlib.startup import kept_down
from courierlib.units import Listener

ISSUE = Issue(
    id="msa-pidfile-collision",
    component="services",
    severity=Severity.CRITICAL,
    affects=Affects(packaging="debian", since="0.76"),
    interrupts="new connections to the service, for the second of its restart; for port 25 delivery too",
    allows=("delete-expired-mail",),
    look=(
        "systemctl show -p Id -p PIDFile 'courier-*.service' | grep . | paste - -",
        "grep -H '^[A-Z]*PIDFILE=' /etc/courier/esmtpd* /etc/courier/imapd* /etc/courier/pop3d*",
    ),
    tell="`systemctl show -p PIDFile` of the service names another file than its `PIDFILE` in `/etc/courier`.",
    alike=("stale-daemon-processes", "port-taken"),
    bites=("smtp-ports", "imap-ports"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: PIDFILE of esmtpd-msa changed: the start times out",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: no PIDFILE in esmtpd-msa: its restart closes port 25 too",
        "run: trixie 1.4.1: a unit of the MSA that names esmtpd.pid: its restart closes port 25 too",
        "read: debian/changelog, 1.4.1-3: 1.0.14-1 corrects PIDFile of courier-msa.service",
    ),
)


@dataclass(frozen=True)
class _Wrong:
    """A listener whose PID file is not its own.

    Args:
        waits: what systemd waits for.
        path: what the PID file should be.
        dropin: file that tells systemd so; empty where the setting is what must change.
        touched: roles that may be down because of it.
    """

    listener: Listener
    waits: str
    path: str
    dropin: str
    touched: frozenset[str]


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every listener that shares its PID file, or whose unit waits for another one."""
    named = {}
    for listener in units.listeners(host):
        if units.unused(host, listener.role):
            continue
        try:
            if path := host.settings(listener.conffile).get(listener.pidfile):
                named[listener] = path
        except Unknown as unknown:
            yield unknown
    try:
        shown = host.once(_units)
    except Unknown as unknown:
        shown = {}
        yield unknown
    owners: dict[str, Listener] = {}
    for listener, path in named.items():
        service, unit = shown.get(listener.role, (None, {}))
        owner = owners.setdefault(host.resolve(path), listener)
        if owner is not listener:
            yield _shared(host, listener, owner, path, named, unit.get("PIDFile", ""))
        elif service and unit["PIDFile"] and host.resolve(unit["PIDFile"]) != host.resolve(path):
            yield _apart(host, listener, path, named, service, unit)


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the setting or the drop-in that makes both sides agree, and the start of what is down."""
    allow = allow_start(host.queue) if "mta" in host.components else ""
    touched: set[str] = set()
    for finding in findings:
        wrong = finding.subject
        touched |= wrong.touched
        if wrong.dropin:
            yield from _tell_systemd(wrong, allow if wrong.listener.mail else "")
        else:
            conffile, name = host.conffile(wrong.listener.conffile), wrong.listener.pidfile
            yield EditFile(
                path=conffile,
                edit=_assignment(name, wrong.path),
                setting=name,
                restarts=(wrong.listener.role,),
                allow=allow if wrong.listener.mail else "",
                old=finding.detail.partition(";")[0],
                new=wrong.path,
            )
    for service in kept_down(host, touched):
        mail = {"smtp", "msa", "smtps"} & set(service.roles)
        yield StartService(service=service.name, allow=allow if mail else "", old=service.state, new="running")


def _units(host: Host) -> Mapping[str, tuple[Service, Mapping[str, str]]]:
    """By role, the units that start one listener and are wanted, with their properties; empty without systemd."""
    services = [s for s in host.services if len(s.roles) == 1 and not s.masked and (s.enabled or s.active)]
    if not services or not isinstance(host.system.services, Systemd):
        return {}
    names = [f"{service.name}.service" for service in services]
    done = host.ask("systemctl", "show", "--property", "Id,PIDFile,DropInPaths", *names)
    if done.returncode:
        raise Unknown(f"systemctl show: {done.stderr.strip() or f'exit status {done.returncode}'}")
    blocks = (
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in done.stdout.split("\n\n")
    )
    shown = {block["Id"].removesuffix(".service"): block for block in blocks if "Id" in block and "PIDFile" in block}
    return {service.roles[0]: (service, shown[service.name]) for service in services if service.name in shown}


def _shared(
    host: Host,
    listener: Listener,
    owner: Listener,
    path: str,
    named: Mapping[Listener, str],
    waits: str,
) -> Finding:
    """Two listeners with one PID file: the second gets the one that its unit waits for, else one by its name."""
    taken = {host.resolve(other) for other in named.values()}
    own = waits if waits and host.resolve(waits) not in taken else f"{host.layout.piddir}/{listener.conffile}.pid"
    return Finding(
        where=host.conffile(listener.conffile),
        detail=f"{listener.pidfile} is {path}, which is that of {owner.conffile}; starting or stopping one of them "
        "stops the other",
        severity=_severity(listener, owner),
        subject=_Wrong(listener, waits, own, "", frozenset({listener.role, owner.role})),
    )


def _apart(
    host: Host, listener: Listener, path: str, named: Mapping[Listener, str], service: Service, unit: Mapping[str, str]
) -> Finding:
    """A unit that waits for a PID file which its daemon does not write."""
    waits = unit["PIDFile"]
    others = [other for other, theirs in named.items() if other != listener and theirs == waits]
    whose = f", which is that of {others[0].conffile}" if others else ""
    return Finding(
        where=f"service {service.name}",
        detail=f"systemd waits for {waits}{whose}; {listener.pidfile} in {host.conffile(listener.conffile)} is {path}; "
        f"{service.name} is {service.state}",
        severity=_severity(listener, *others),
        subject=_Wrong(
            listener,
            waits,
            path,
            _dropin(host, service, unit.get("DropInPaths", "").split()),
            frozenset({listener.role, *(other.role for other in others)}),
        ),
    )


def _severity(*listeners: Listener) -> Severity | None:
    return None if any(listener.mail for listener in listeners) else Severity.HIGH


def _dropin(host: Host, service: Service, present: Sequence[str]) -> str:
    """The administrator's drop-in that names a PID file already, else a new one that systemd reads last."""
    own = [path for path in present if path.startswith("/etc/systemd/system/")]
    setting = [path for path in own if re.search(rb"^PIDFile=", host.read(path), re.MULTILINE)]
    return setting[-1] if setting else f"/etc/systemd/system/{service.name}.service.d/zz-pidfile.conf"


def _tell_systemd(wrong: _Wrong, allow: str) -> Iterator[Action]:
    directory = wrong.dropin.rpartition("/")[0]
    yield MakeDirectory(path=directory, uid=0, gid=0, mode=0o755, allow=allow, old="missing", new="root:root 0755")
    yield EditFile(
        path=wrong.dropin,
        edit=_pid_file(wrong.path),
        setting="PIDFile",
        new_file=NewFile(),
        restarts=(wrong.listener.role,),
        allow=allow,
        old=wrong.waits,
        new=wrong.path,
    )


def _assignment(name: str, value: str) -> Callable[[bytes | None], bytes]:
    return lambda content: settings.assign(content, name, value)


def _pid_file(path: str) -> Callable[[bytes | None], bytes]:
    line = f"PIDFile={path}".encode()

    def edit(content: bytes | None) -> bytes:
        if content and re.search(rb"^PIDFile=", content, re.MULTILINE):
            return re.sub(rb"^PIDFile=.*$", lambda _: line, content, flags=re.MULTILINE)
        return (content or b"") + b"[Service]\n" + line + b"\n"

    return edit
