r"""
Nobody can log in and port 25 answers 450: authdaemond is not running

## What you see

Mail programs get no mail. IMAP says `* BYE Temporary problem, please try again later`, POP3 the same with `-ERR`. Other
servers that deliver to you get `450 Service temporarily unavailable.` for every local recipient.

In the log, `LOGIN FAILED` stands between two lines that say what it really is:

```text
imapd: authdaemon: s_connect() failed: Connection refused
imapd: [Hint: perhaps authdaemond is not running?]
imapd: LOGIN FAILED, user=alice, ip=[::ffff:10.77.0.1], port=[41240]
imapd: authentication error: Connection refused
```

`Connection refused`: the socket is there, and nobody listens. `No such file or directory`: there is no socket.

The password was not wrong. Do not count these lines as attacks: fail2ban and the like lock out your own users.

## What it breaks

All logins: IMAP, POP3, SMTP AUTH, webmail. All mail for local accounts: other servers keep it and try again, for days.
Mail that was accepted before waits in the queue. Nothing is lost yet.

## Check by hand

`authenumerate` lists the accounts on a healthy host. Without authdaemond it prints nothing but the error. The service
may be `failed`, `inactive` or masked.

## Fix by hand

1. Look why it is down. `Bad line in …/authdaemonrc` means: that first, see `authdaemonrc-bad-line`.

    ```console
    # journalctl -u courier-authdaemon -n 20
    ```

2. Start it, now and at every boot. Upstream's service is called `courier-authlib`.

    ```console
    # systemctl unmask courier-authdaemon
    # systemctl enable --now courier-authdaemon
    ```

    `unmask` only matters if somebody has masked the unit; find out why before.
3. On Debian the servers stop with it when it is stopped in good order (`systemctl stop`). Start those that are down:

    ```console
    # systemctl start courier-mta courier-msa courier-mta-ssl
    # systemctl start courier-imap courier-imap-ssl courier-pop courier-pop-ssl
    ```

4. If it runs and does not answer, or the socket was deleted, restart it. On Debian that restarts the servers too, and
    ends the sessions that are open:

    ```console
    # systemctl restart courier-authdaemon
    ```

`courier.fix authdaemon-down` does steps 2 to 4. It needs `allow=unmask-service` for a masked unit.

Starting it interrupts nothing.

## Undo

```console
# systemctl disable --now courier-authdaemon
```

On Debian this stops all of Courier.

## How to see that it worked

```console
# systemctl is-active courier-authdaemon courier-mta courier-imap
active
active
active
```

`authenumerate` lists the accounts, and a login works.

## Why it happens

authdaemond is the only part of Courier that knows accounts and passwords; every other part asks it through a socket.
It is started once and nobody starts it again: killed for want of memory, it stays down, while port 25 and port 143 go
on answering. Other causes: somebody masked or disabled it, a clean-up of `/run` took the socket away, or authdaemonrc
was edited so that it cannot be read.
"""

from collections.abc import Iterator

from courierlib import authlib
from courierlib.host import Host, Process
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.plan import Action, EndProcess, StartService
from courierlib.queue import allow_start
from courierlib.services import LISTENERS, Service
from courierlib.startup import kept_down

_ASKING = ("courieresmtpd", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl")

ISSUE = Issue(
    id="authdaemon-down",
    component="auth",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing; where authdaemond runs and does not answer, all of Courier is restarted with it",
    allows=("unmask-service", "delete-expired-mail"),
    look=(
        "systemctl is-active courier-authdaemon",
        "pgrep -x authdaemond || echo 'authdaemond is not running'",
        "authenumerate 2>&1 | tail -2",
    ),
    tell="`authenumerate` prints `s_connect() failed` for root too.",
    alike=("spool-wrong-owner", "authdaemonrc-bad-line"),
    bites=("authdaemond", "esmtpd", "submit", "imapd"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: authdaemond killed: no login, SMTP answers 450",
        "run: trixie 1.4.1, forky 2.0.6: the socket deleted: the same with No such file or directory",
        "run: trixie 1.4.1: systemctl stop courier-authdaemon stops all of Courier, killing it does not",
        "read: opensock() in authdaemonlib.c, authlib 0.73.1; imaplogin.c, 1.4.1: LOGIN FAILED is printed first",
    ),
    signatures=(
        Signature(
            process=_ASKING,
            pattern=r"^authdaemon: s_connect\(\) failed: (No such file or directory|Connection refused)$",
            sample="authdaemon: s_connect() failed: Connection refused",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
        Signature(
            process=_ASKING[1:],
            pattern=r"^authentication error: (No such file or directory|Connection refused)$",
            sample="authentication error: Connection refused",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

_WITHOUT_COURIERD = ("imap", "imaps", "pop3", "pop3s")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if authdaemon's socket takes no connection although something that asks it runs or should."""
    if not authlib.is_used(host):
        return
    refusal = authlib.refusal(host)
    if not refusal:
        return
    service = host.service("authdaemon")
    if not (service and service.enabled) and not _asked(host):
        return
    damaged = _rejected(host)
    detail = f"{authlib.socket_path(host)}: {refusal}; {_state(service)}"
    if damaged:
        detail += f"; it cannot start: {damaged}"
    yield Finding(
        where=f"service {service.name}" if service else authlib.socket_path(host),
        detail=detail,
        fixable=service is not None and not damaged,
        subject=service,
    )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the start of authdaemond's service, or its restart where it runs, and of the servers that it took along."""
    for finding in findings:
        service = finding.subject
        parents = _parents(host) if service.active else ()
        for process in parents:
            yield EndProcess(
                pid=process.pid,
                started=process.started,
                exe=process.exe,
                old="runs, and does not answer",
                new="ended and started anew",
                allow=allow_start(host.queue),
                restarts=("authdaemon",),
            )
        if not parents:
            yield StartService(
                service=service.name,
                unmask=service.masked,
                allow="unmask-service" if service.masked else "",
                old=_condition(service),
                new="enabled and running",
            )
    # Servers that need courierd are started where that runs; else courierd-not-running starts both.
    roles = LISTENERS if any(process.name == "courierd" for process in host.processes) else _WITHOUT_COURIERD
    for service in kept_down(host, roles):
        yield StartService(service=service.name, old=service.state, new="running")


def _asked(host: Host) -> bool:
    """Whether a server that asks authdaemon is up, or comes up at boot."""
    return any(service.active or service.enabled for service in host.services if set(LISTENERS) & set(service.roles))


def _rejected(host: Host) -> str:
    """Why authdaemond would reject its configuration; empty if it would not."""
    try:
        authlib.module_names(host)
    except Unknown as unknown:
        return unknown.reason
    return ""


def _parents(host: Host) -> tuple[Process, ...]:
    """The daemon itself; its children end with it."""
    daemons = {process.pid: process for process in host.processes if process.name == "authdaemond"}
    return tuple(process for process in daemons.values() if process.ppid not in daemons)


def _state(service: Service | None) -> str:
    return f"{service.name} is {_condition(service)}" if service else "no service would start it"


def _condition(service: Service) -> str:
    if service.masked:
        return f"masked, {service.state}"
    return service.state if service.enabled is not False else f"{service.state}, not started at boot"
