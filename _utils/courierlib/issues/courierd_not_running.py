r"""
Mail is accepted but never delivered: courierd is not running

## What you see

Nothing. Other servers hand over mail and get `250 Ok.`. The log has the connection, and after it nothing:

```text
courieresmtpd: started,ip=[::ffff:127.0.0.1],port=[33936]
```

A working host goes on with lines from `courierd` (`newmsg`, `started`) and `courierlocal` (`success: Message
delivered.`). Here they are missing. `systemctl --failed` may show `courier.service`, or nothing at all if somebody
masked or stopped it.

`mailq` says `0 messages.`: it lists what courierd has taken, and courierd takes nothing.

## What it breaks

No mail is delivered: none to local users, none to other hosts. It is not lost. It waits below `tmp` in Courier's
spool, `/var/lib/courier/tmp` on Debian.

**It waits for 48 hours.** When courierd is started again, it deletes everything below `tmp` that is older, without a
bounce and without a line in the log. Do the second step of the repair before you start courierd.

IMAP and POP go on working.

## Check by hand

`pgrep` prints two numbers on a healthy host: one courierd watches the other. Without courierd nothing is delivered,
whatever the services say. `courier` is then `failed` or `inactive`, `courier-mta` may well be `active`, and upstream's
own `courier.service` stays `active (exited)` whatever runs.

`find` lists the messages that wait, one line each. On a healthy host that is nothing, or what could not be delivered
yet, and then it lies below `msgs`. Below `tmp` are those that courierd has not taken yet.

## Fix by hand

1. Look at what waits. Is this machine a copy of another, or was it off for weeks? Then the mail may have been
    delivered already, and starting courierd sends it again. Move such files away first.
2. Save old messages from being deleted. This gives them a new date:

    ```console
    # find /var/lib/courier/tmp/[0-9]* -type f -exec touch {} +
    ```

3. Start it, now and at every boot:

    ```console
    # systemctl unmask courier
    # systemctl enable --now courier courierfilter
    ```

    `unmask` only matters if somebody has masked the unit; find out why before. Without systemd: `service courier
    start`. If systemd says `start of the service was attempted too often`, say `systemctl reset-failed 'courier*'`
    first.
4. If port 25 does not answer, start the listeners too; they stop with courierd:

    ```console
    # systemctl start courier-mta courier-msa courier-mta-ssl
    ```

`courier.ensure_services` does steps 3 and 4. It needs `allow=unmask-service` for a masked unit, `allow=old-queue` if
the oldest message is older than a day, `allow=unmask-service,old-queue` for both, and
`allow=delete-expired-mail` if courierd would delete messages: do step 2 instead.

Nothing is interrupted. Everything that waits is delivered at once.

## Undo

```console
# systemctl disable --now courier
```

This also stops `courier-mta`, `courier-msa`, `courier-mta-ssl` and `courierfilter`, because they require each other.
What has been delivered stays delivered.

## How to see that it worked

```console
# pgrep -x courierd
6729
6730
# journalctl -q -t courierlocal -n 1 -o cat | grep -o 'success.*'
success: Message delivered.
```

There are two processes: one watches the other.

## Why it happens

Up to 0.75, Debian's `courier-mta` script started everything. Since 0.76 accepting mail and delivering it are services
of their own: `courier-mta` listens on port 25, `courier` (the program is called courierd) delivers. On systemd
`courier-mta` pulls in `courier` when it starts, but stays up when courierd is killed later, for instance for want of
memory. On init scripts nothing pulls it in: after the upgrade `service courier start` was a new step that many did
not know of.

A listener hands each message to `submit`, which writes it below `tmp`. Only courierd moves it to `msgs` and delivers
it. So nobody notices that courierd is missing. What is older than 48 hours below `tmp` it takes for the remains of
broken submissions.
"""

import time
from collections.abc import Iterator

from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Unknown, Upgrade
from courierlib.plan import Action, StartService
from courierlib.queue import Queue, allow_start
from courierlib.services import Service
from courierlib.startup import kept_down

ISSUE = Issue(
    id="courierd-not-running",
    component="services",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing; it starts delivery of everything that waits",
    fixed_by="courier.ensure_services",
    allows=("unmask-service", "old-queue", "delete-expired-mail"),
    look=(
        "pgrep -x courierd || echo 'courierd is not running'",
        "systemctl is-active courier courier-mta",
        "find /var/lib/courier/tmp /var/lib/courier/msgs -name 'C[0-9]*' -printf '%t %p\\n' | head -5",
    ),
    tell="`pgrep -x courierd` prints nothing, although port 25 answers `250 Ok.`",
    alike=("maildrop-spool-delivery", "spool-wrong-owner"),
    bites=("courierd", "queue"),
    upgrades=(
        Upgrade(
            version="0.76",
            packaging="debian",
            act="after",
            step="Make sure that `courier` and `courierfilter` run: they are services of their own now, and init "
            "scripts do not start them along with `courier-mta`.",
        ),
    ),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: courierd killed or masked; SMTP accepts all the same",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: courierd deletes what is older than 48 hours below tmp",
        "run: trixie 1.4.1 with init scripts: `service courier status` says 3 whether courierd runs or not",
        "read: courier/cdmsgq.C, msgq::tmpscan, 1.4.1",
        "reported: https://github.com/oerdnj/deb.sury.org/issues/204",
    ),
    references=("https://github.com/oerdnj/deb.sury.org/issues/204",),
)

_OLD = 24 * 3600
_SMTP = ("smtp", "msa", "smtps")


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding if courierd, which delivers, has no process although mail is accepted or waits."""
    if "mta" not in host.components or any(process.name == "courierd" for process in host.processes):
        return
    service, accepted = None, _smtp_process(host)
    try:
        service = host.service("scheduler")
        accepted = accepted or any(s.active or s.enabled for role in _SMTP if (s := host.service(role)))
    except Unknown as unknown:
        if not accepted and not host.queue.messages:
            yield unknown
            return
    if accepted or host.queue.messages:
        yield Finding(
            where=f"service {service.name}" if service else "courierd",
            detail=f"{_state(service)}; {_waiting(host.queue)}",
            fixable=service is not None,
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the start of courierd's service, and of what stopped with it: courierfilter and the SMTP listeners."""
    wanted = [host.service("scheduler")]
    if not any(process.name == "courierfilter" for process in host.processes):
        wanted.append(host.service("filter"))
    # systemd refuses to start them while a unit that they require is masked or fails.
    wanted += kept_down(host, _SMTP)
    for service in dict.fromkeys(service for service in wanted if service):
        masked = service.masked and "scheduler" in service.roles
        yield StartService(
            service=service.name,
            unmask=masked,
            allow=_allow(host.queue, masked),
            old=_condition(service),
            new=f"enabled and running{_consequence(host.queue)}",
        )


def _smtp_process(host: Host) -> bool:
    return any(
        process.name == "couriertcpd" and any(word.endswith("/courieresmtpd") for word in process.arguments)
        for process in host.processes
    )


def _state(service: Service | None) -> str:
    if service is None:
        return "no courierd process, and no service that would start it"
    return f"no courierd process; {service.name} is {_condition(service)}"


def _condition(service: Service) -> str:
    if service.masked:
        return f"masked, {service.state}"
    return service.state if service.enabled is not False else f"{service.state}, not started at boot"


def _waiting(queue: Queue) -> str:
    if queue.oldest is None:
        return "no message waits yet"
    count = f"{'more than ' if queue.bounded else ''}{queue.messages}"
    said = f"{count} message{'' if queue.messages == 1 else 's'} waiting, the oldest for {_age(queue)}"
    if queue.perishable:
        said += f"; courierd deletes {queue.perishable} of them when it starts, because they are older than 48 hours"
    return said


def _age(queue: Queue) -> str:
    seconds = max(0, time.time() - (queue.oldest or 0))
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length or length == 1:
            count = int(seconds // length)
            return f"{count} {word}{'' if count == 1 else 's'}"
    raise AssertionError("a second is the shortest")


def _is_old(queue: Queue) -> bool:
    return queue.bounded or (queue.oldest is not None and queue.oldest < time.time() - _OLD)


def _allow(queue: Queue, masked: bool) -> str:
    risk = allow_start(queue) or ("old-queue" if _is_old(queue) else "")
    return ",".join(filter(None, ("unmask-service" if masked else "", risk)))


def _consequence(queue: Queue) -> str:
    if queue.perishable:
        return f", which deletes {queue.perishable} of {queue.messages} waiting messages"
    return f", which sends mail that has waited for {_age(queue)}" if _is_old(queue) else ""
