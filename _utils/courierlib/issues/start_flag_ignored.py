"""
A port is open although its START setting says NO, or closed although it says YES

## What you see

Nothing in the log. You have set `IMAPDSTART=NO`, restarted, and port 143 still answers. Or you have set
`ESMTPDSTART=YES` in `esmtpd-msa`, as many guides say, and port 587 stays closed.

## What it breaks

An open port that you believe closed: passwords can be tried there, perhaps without TLS. A closed port that you
believe open: mail programs cannot log in or send. No mail is lost.

## Check by hand

The first command shows what the settings say, the second what systemd does. They should agree, but for two settings
that are as Debian ships them: `ESMTPDSTART=NO` stands in `esmtpd-msa` although `courier-msa` runs, and a service that
you have disabled may still have its `YES`. Neither is reported; only a setting that somebody has changed is.

| Setting | in | unit |
| --- | --- | --- |
| `ESMTPDSTART` | `esmtpd` | `courier-mta` |
| `ESMTPDSTART` | `esmtpd-msa` | `courier-msa` |
| `ESMTPDSSLSTART` | `esmtpd-ssl` | `courier-mta-ssl` |
| `IMAPDSTART` | `imapd` | `courier-imap` |
| `IMAPDSSLSTART` | `imapd-ssl` | `courier-imap-ssl` |
| `POP3DSTART` | `pop3d` | `courier-pop` |
| `POP3DSSLSTART` | `pop3d-ssl` | `courier-pop-ssl` |

## Fix by hand

With systemd the unit decides. To close a port, now and at every boot:

```console
# systemctl disable --now courier-imap
```

To open one:

```console
# systemctl unmask courier-imap
# systemctl enable --now courier-imap
```

Port 25 is different: stopping `courier-mta` also stops courierd, courierfilter and the other two SMTP services. To
close port 25 alone, mask it and start the others again:

```console
# systemctl mask --now courier-mta
# systemctl start courier courierfilter courier-msa courier-mta-ssl
```

`courier.fix start-flag-ignored` makes the unit follow the setting. It closes a port only with `allow=close-port`,
which ends open sessions, and opens one only with `allow=open-port`; a masked unit also needs `unmask-service`. It
leaves port 25 to you.

If the setting is wrong and not the unit, change the setting instead.

## Undo

`systemctl enable --now UNIT` takes back `disable --now`, and the other way round.

## How to see that it worked

```console
# systemctl is-active courier-imap
inactive
# ss -Hltn 'sport = :143' | wc -l
0
```

## Why it happens

The settings were made for init scripts. Debian's init scripts read them; Debian's units start the listener without
asking. Courier installed from source has one unit that runs a script, and that script asks.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from courierlib import settings as grammar
from courierlib import units
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade
from courierlib.plan import Action, StartService, StopService
from courierlib.queue import allow_start
from courierlib.services import Service, Systemd
from courierlib.startup import FLAGS
from courierlib.units import Listener

ISSUE = Issue(
    id="start-flag-ignored",
    component="services",
    severity=Severity.HIGH,
    affects=Affects(packaging="debian", since="0.76"),
    interrupts="sessions of a port that is closed",
    allows=("close-port", "open-port", "unmask-service", "delete-expired-mail"),
    look=(
        "grep -HE '^ *(ESMTPD|IMAPD|POP3D)(SSL)?START=' /etc/courier/esmtpd* /etc/courier/imapd* /etc/courier/pop3d*",
        "systemctl list-units --all --no-legend --plain 'courier-m*' 'courier-[ip]*' | awk '{print $1, $3, $4}'",
    ),
    tell="The setting was changed by somebody, and `systemctl is-active` of its unit says the contrary.",
    bites=("smtp-ports", "imap-ports"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="Disable the units of ports that you had closed with `START=NO`: units do not read that setting.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: IMAPDSTART=NO and a restart: port 143 still answers",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: shipped are ESMTPDSTART=NO in esmtpd-msa, and YES elsewhere",
        "read: debian/*.init, 1.4.1-3: init scripts ask for the settings",
        "read: courier.sysvinit.in, 1.4.1: so does upstream's script, which upstream's unit runs",
    ),
)


@dataclass(frozen=True)
class _Wish:
    """What a setting says against its unit."""

    listener: Listener
    service: Service
    flag: str
    on: bool


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every listener whose unit does the contrary of a setting that the operator has changed."""
    services = host.services
    if not services or not isinstance(host.system.services, Systemd):
        return
    for listener in units.listeners(host):
        service, flag = host.service(listener.role), FLAGS[listener.role][1]
        # A unit for several listeners runs upstream's script, and that asks for the settings.
        if service is None or len(service.roles) > 1:
            continue
        try:
            said = _word(host.settings(listener.conffile).get(flag))
            if said is None or said is _does(service) or _does(service) is None or not _chosen(host, listener, flag):
                continue
        except Unknown as unknown:
            yield unknown
            continue
        yield Finding(
            where=f"service {service.name}",
            detail=f"{flag} in {host.conffile(listener.conffile)} says {'YES' if said else 'NO'}, but "
            f"{service.name} is {_condition(service)}",
            fixable=said or listener.role != "smtp",
            subject=_Wish(listener, service, flag, said),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the start or stop that makes each unit do what the setting says."""
    # courier-msa and its like require courierd, which is started with them.
    start = allow_start(host.queue) if "mta" in host.components else ""
    for finding in findings:
        wish, service = finding.subject, finding.subject.service
        if wish.on:
            words = ("open-port", "unmask-service" if service.masked else "", start if wish.listener.mail else "")
            yield StartService(
                service=service.name,
                unmask=service.masked,
                allow=",".join(filter(None, words)),
                old=_condition(service),
                new="enabled and running",
            )
        else:
            yield StopService(
                service=service.name, allow="close-port", old=_condition(service), new="stopped and disabled"
            )


def _word(value: str) -> bool | None:
    """YES or NO, whatever the case, as init scripts read it (read: debian/*.init, 1.4.1-3); None for neither."""
    return {"y": True, "n": False}.get(value[:1].lower())


def _does(service: Service) -> bool | None:
    """Whether the port is open for good, or off for good; None for a unit that is only down."""
    if service.active:
        return True
    return False if units.off(service) else None


def _condition(service: Service) -> str:
    if service.masked:
        return f"masked, {service.state}"
    return service.state if service.enabled is not False else f"{service.state}, not started at boot"


def _chosen(host: Host, listener: Listener, flag: str) -> bool:
    """Whether somebody has changed the setting: it is not the package's, and another one than the package ships."""
    path = host.conffile(listener.conffile)
    content = host.read(path)
    sums = [package.conffiles[path] for package in host.packages.values() if path in package.conffiles]
    if hashlib.md5(content, usedforsecurity=False).hexdigest() in sums:
        return False
    return _word(host.settings(listener.conffile).get(flag)) is not _shipped(host, listener, flag)


def _shipped(host: Host, listener: Listener, flag: str) -> bool | None:
    """What the package ships: as the file says that dpkg has left beside a changed one, else as all releases had it."""
    beside = f"{host.conffile(listener.conffile)}.dpkg-dist"
    if host.exists(beside):
        return _word(grammar.evaluate([(beside, host.read(beside))], host.layout.variables).get(flag))
    # Run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6.
    return listener.role != "msa"
