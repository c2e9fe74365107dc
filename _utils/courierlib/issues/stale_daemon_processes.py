"""
Old Courier daemons are still running after an upgrade or a start by hand

## What you see

A service does not start, although nothing is wrong with its settings. `systemctl status courier-mta` says that systemd
cannot open its PID file.

Port 25 answers all the same. If the old process runs as another user, it answers `432 Service temporarily
unavailable.`; submit logs `Permission denied`, and courieresmtpd `EOF from submit`. Or everything seems well, and
changed settings or a security update have no effect.

## What it breaks

The old process holds the port or the lock, so the new one cannot start. It works with old settings, the old program
or the old user. `systemctl restart` does not reach a process that systemd did not start.

## Check by hand

The first command says who has port 25. On a healthy host that is a `couriertcpd` whose number `systemctl status
courier-mta` names too.

The second lists the daemons that run as neither `root` nor `courier`, or in no unit of Courier's: number, user,
program and unit. The third lists those whose program has been replaced while they run. A healthy host prints nothing
for either. A `MAILUSER` of your own, or a unit of your own, is listed by the second command, and is right.

## Fix by hand

A process outside its unit: end exactly that one, by its number, and start the service. `ls` must name the program
that you mean.

```console
# ls -l /proc/NUMBER/exe
# kill NUMBER
# systemctl restart courier-mta courier-msa courier-mta-ssl courier
```

A process in its unit whose program was replaced: restart the unit.

```console
# systemctl restart courier
```

Do **not** use `pkill -9 -f courier`, which you will find recommended. It kills every process with "courier" somewhere
on its command line. On a test machine that was each daemon of all ten services (all ten units `failed`, IMAP and POP
too), an open IMAP session, a `tail -f /etc/courier/esmtpd`, a shell, and a Python program that had a file of this
extension on its command line. Run on the machine that hosts containers, it would also reach the Couriers in them.

`courier.fix_processes` ends exactly the processes it found, in its own PID and mount namespaces, and only if number,
start time and program are still the same at the moment of the signal: SIGTERM, and SIGKILL after ten seconds.

Restarting an IMAP or POP service under systemd ends its open sessions; mail programs connect again. Ending a listener
by its number leaves them alone.

If courierd was down for two days, first save what waits from being deleted: see `courierd-not-running`. Until then
`courier.fix_processes` does this only with `allow=delete-expired-mail`.

## Undo

By hand there is nothing to take back: the service runs in the place of the old process.

## How to see that it worked

```console
# systemctl is-active courier courier-mta
active
active
# find /proc/[0-9]*/exe -lname '*courier*(deleted)' 2>/dev/null | wc -l
0
```

A message to port 25 gets `250 Ok.` and arrives.

## Why it happens

When Debian's Courier changed its user from `daemon` to `courier` and split one service into several (0.76), the new
scripts did not know the old processes, and did not stop them. The same comes from `esmtpd start` typed by hand
instead of `systemctl start courier-mta`, and from programs replaced without a restart.
"""

from collections.abc import Collection, Iterator, Sequence

from courierlib.host import Host, Process
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown, Upgrade
from courierlib.plan import Action, EndProcess, StartService
from courierlib.queue import allow_start
from courierlib.services import Service, Systemd
from courierlib.startup import kept_down

ISSUE = Issue(
    id="stale-daemon-processes",
    component="services",
    severity=Severity.HIGH,
    affects=Affects(),
    interrupts="services that are restarted: their new connections for a second, and their open IMAP and POP sessions",
    fixed_by="courier.fix_processes",
    allows=("delete-expired-mail",),
    look=(
        "ss -Hltnp 'sport = :25'",
        "ps -ww -o pid=,user:12=,comm=,unit= -C authdaemond,courierd,courierfilter,courierlogger,couriertcpd | "
        'awk \'($2 != "root" && $2 != "courier") || $4 !~ /^courier[a-z-]*\\.service$/\'',
        "find /proc/[0-9]*/exe -lname '*courier*(deleted)' -printf '%p -> %l\\n' 2>/dev/null",
    ),
    tell="`ps` shows a daemon that runs as `daemon` or outside its unit, while `MAILUSER` and the spool's owner are "
    "`courier`.",
    alike=("defaultdelivery-in-wrong-file",),
    bites=("smtp-ports", "imap-ports", "esmtpd", "courierd"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="before",
            step="Stop Courier with its old script: the new ones do not know the old processes.",
        ),
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="Look for daemons that still run as `daemon`: `ps -u daemon -o pid,args`.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: a listener run by daemon outside its unit holds port 25",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: programs replaced while they run",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: esmtpd started by hand, then adopted by its unit",
        "run: trixie 1.4.1: pkill -9 -f courier ends all ten services, an IMAP session, a tail and a Python program",
        "reported: https://georgik.sinusgear.com/tag/courier/",
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
    ),
    references=("https://georgik.sinusgear.com/tag/courier/",),
)

_DAEMONS = {
    "authdaemond": ("authdaemon",),
    "courierd": ("scheduler",),
    "courierfilter": ("filter",),
    "couriertcpd": (),
    "courierlogger": (),
}
"""The daemons, and what they do where the name says it; what serves one client (imapd, couriertls) is none of them."""

_SERVERS = {"courieresmtpd": ("smtp", "msa", "smtps"), "imaplogin": ("imap", "imaps"), "pop3login": ("pop3", "pop3s")}
"""What a listener does, by the program on its command line that it gives connections to."""

_NOT_COURIERS = frozenset({"salt-minion", "ssh", "sshd", "cron", "crond", "atd"})
"""Services that only started what runs below them: whoever was logged in, or a job."""


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every group of daemons that run as another user, a replaced program, or outside all units."""
    users, services = _users(host), _services(host)
    daemons = {process.pid: process for process in host.processes if process.name in _DAEMONS}
    reasons = {pid: reason for pid, process in daemons.items() if (reason := _stale(process, users, host, services))}
    groups: dict[str, list[Process]] = {}
    for pid in reasons:
        groups.setdefault(_group(daemons, reasons, pid, services), []).append(daemons[pid])
    for where, processes in groups.items():
        down = [service.name for service in _kept_down(host, services, processes)]
        foreign = any(process.uid not in users for process in processes)
        yield Finding(
            where=where,
            detail=_detail(reasons[processes[0].pid], processes, down),
            severity=None if down or foreign else Severity.MEDIUM,
            subject=tuple(processes),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the end of exactly these processes, a restart of their services, and a start of those they kept down."""
    services = _services(host)
    # A restart of courierd, or of a listener that requires it.
    allow = allow_start(host.queue) if "mta" in host.components else ""
    for finding in findings:
        for process in finding.subject:
            unit = _unit(process)
            yield EndProcess(
                pid=process.pid,
                started=process.started,
                exe=process.exe,
                # systemd takes a listener that was started by hand for its own if it finds it in the PID file.
                restarts=next((service.roles for service in services if service.name == unit), _roles(process)),
                old=finding.detail.partition(": ")[2].partition(";")[0],
                new="ended",
                allow=allow,
            )
    for service in _kept_down(host, services, [process for finding in findings for process in finding.subject]):
        yield StartService(service=service.name, old=service.state, new="running", allow=allow)


def _users(host: Host) -> frozenset[int | None]:
    """uids that daemons run with here: root, the build's mail user, and MAILUSER where it is another."""
    names = {host.layout.mailuser}
    for conffile in ("esmtpd", "esmtpd-msa", "esmtpd-ssl"):
        if host.exists(host.conffile(conffile)):
            names.add(host.settings(conffile).get("MAILUSER"))
    return frozenset({0, *(int(name) if name.isdigit() else host.uid(name) for name in names if name)})


def _services(host: Host) -> tuple[Service, ...]:
    try:
        return host.services
    except Unknown:
        # Without a service manager the processes still tell their user and program.
        return ()


def _stale(process: Process, users: frozenset[int | None], host: Host, services: Sequence[Service]) -> str:
    """Why a daemon should not be running any more; empty if it may."""
    if process.uid not in users and process.name != "courierlogger":
        account = host.user(process.uid)
        return f"run as {account.name if account else process.uid}, not as {host.layout.mailuser}"
    if process.deleted:
        return "run a program that was replaced or removed since they started"
    if isinstance(host.system.services, Systemd) and _outside(process, services):
        return f"run outside all services, in {process.cgroup}, so that no restart reaches them"
    return ""


def _outside(process: Process, services: Sequence[Service]) -> bool:
    """Whether systemd has it in no unit of a daemon; a unit of the operator's own is one."""
    leaf = process.cgroup.rpartition("/")[2]
    if not services or not process.cgroup:
        return False
    return not leaf.endswith(".service") or leaf.removesuffix(".service") in _NOT_COURIERS


def _unit(process: Process) -> str:
    return process.cgroup.rpartition("/")[2].removesuffix(".service")


def _group(daemons: dict[int, Process], stale: Collection[int], pid: int, services: Sequence[Service]) -> str:
    """The service that a process is in, else the topmost stale process above it."""
    unit = _unit(daemons[pid])
    if any(service.name == unit for service in services):
        return f"service {unit}"
    while daemons[pid].ppid in stale:
        pid = daemons[pid].ppid
    return f"process {pid} {daemons[pid].exe}"


def _roles(process: Process) -> tuple[str, ...]:
    """What a daemon may be doing."""
    programs = {word.rpartition("/")[2] for word in process.arguments}
    served = (roles for name, roles in _SERVERS.items() if programs & {name, f"courier{name}"})
    return _DAEMONS[process.name] or next(served, ())


def _kept_down(host: Host, services: Sequence[Service], processes: Sequence[Process]) -> tuple[Service, ...]:
    """Services that one of the processes may keep from starting, by holding its port or its lock."""
    return tuple(kept_down(host, {role for process in processes for role in _roles(process)})) if services else ()


def _detail(reason: str, processes: Sequence[Process], down: Sequence[str]) -> str:
    count = len(processes)
    pids = ", ".join(str(process.pid) for process in processes)
    said = f"{'process' if count == 1 else 'processes'} {pids}: {reason}"
    return f"{said}; not running: {', '.join(down)}" if down else said
