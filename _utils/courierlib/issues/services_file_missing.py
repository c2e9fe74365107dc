"""
Port 25 does not open: /etc/services is missing

## What you see

`courier-mta` fails although nothing is wrong with its settings. The log has nothing, and `esmtpd start` typed by hand
prints nothing either. Services whose port is a number go on. Where IMAP or POP3 has a port with a name, they log it:

```text
imapd[2035]: Invalid port: imap2
```

## What it breaks

The port is closed: no mail comes in. Mail is not lost; other servers try again for some days. A listener that is
running goes on until its next restart.

## Check by hand

The first command shows the ports that Courier's settings name. For each that is a word and not a number the second
must find a line; it looks for `smtp`, the name that Debian's `esmtpd` has.

## Fix by hand

Install the package that the file belongs to:

```console
# apt-get install netbase
```

If the package is installed and only the file was deleted, that does not bring it back, because dpkg leaves a deleted
configuration file deleted. This asks for it (dpkg(1) says so; it was not run here):

```console
# apt-get install --reinstall -o Dpkg::Options::=--force-confmiss netbase
```

Then start what is down:

```console
# systemctl reset-failed 'courier*'
# systemctl start courier-mta courier-msa courier-mta-ssl
```

`courier.fix services-file-missing` installs nothing: it adds only the lines that Courier's settings need to
`/etc/services`, and starts what is down. With that file in place, a later installation of `netbase` asks which one to
keep: take the package's. Nothing is interrupted.

Or use numbers: `PORT=25` in `/etc/courier/esmtpd`.

## Undo

Remove the lines that were added from `/etc/services`, or the file.

## How to see that it worked

```console
# getent services smtp/tcp
smtp                  25/tcp
# systemctl is-active courier-mta
active
```

## Why it happens

`PORT=smtp` is looked up when the listener starts. Minimal systems and containers come without `netbase`, and no
package of Courier's asks for it. The start script throws couriertcpd's message away and says that all is well.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from courierlib import units
from courierlib.host import Host
from courierlib.issue import Affects, Finding, Issue, Severity, Signature, Unknown
from courierlib.plan import Action, EditFile, NewFile, StartService
from courierlib.queue import allow_start
from courierlib.startup import kept_down
from courierlib.units import Listener

ISSUE = Issue(
    id="services-file-missing",
    component="services",
    severity=Severity.CRITICAL,
    affects=Affects(),
    interrupts="nothing",
    allows=("delete-expired-mail",),
    look=(
        "grep -HE '^ *(SSL)?PORT=' /etc/courier/esmtpd* /etc/courier/imapd* /etc/courier/pop3d*",
        "grep -nw smtp /etc/services",
        "systemctl is-active courier-mta",
    ),
    tell="`getent services smtp/tcp` prints nothing.",
    alike=("port-taken", "stale-daemon-processes"),
    bites=("smtp-ports", "imap-ports"),
    known=(
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: no /etc/services, or one without smtp: port 25 stays closed",
        "run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6: the line `smtp 25/tcp` alone is enough",
        "read: mksocket() in libs/tcpd/tcpd.c, 1.4.1: getservbyname, else a number",
    ),
    signatures=(
        Signature(
            process=("imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "esmtpd-ssl"),
            pattern=r"^Invalid port: ",
            sample="Invalid port: imap2",
            known="run: bookworm 1.0.16, trixie 1.4.1, forky 2.0.6",
        ),
    ),
)

_NUMBERS = {
    "smtp": 25,
    "mail": 25,
    "submission": 587,
    "submissions": 465,
    "smtps": 465,
    "ssmtp": 465,
    "urd": 465,
    "imap": 143,
    "imap2": 143,
    "imaps": 993,
    "pop3": 110,
    "pop-3": 110,
    "pop3s": 995,
}
"""Names of mail ports and their aliases (read: /etc/services of bookworm, trixie and forky)."""


@dataclass(frozen=True)
class _Named:
    """A port's name that nobody knows, and the listeners that ask for it."""

    word: str
    listeners: tuple[Listener, ...]


def check(host: Host) -> Iterator[Finding | Unknown]:
    """Yield a finding for every name of a port in the settings that cannot be resolved."""
    asking: dict[str, list[Listener]] = {}
    for listener in units.listeners(host):
        if units.unused(host, listener.role):
            continue
        try:
            for port in units.wanted(host, listener):
                if port.number is None:
                    asking.setdefault(port.word, []).append(listener)
        except Unknown as unknown:
            yield unknown
    missing = "there is no such file" if not host.exists(units.SERVICES) else "no line for it"
    for word, listeners in asking.items():
        told = ", ".join(f"{listener.port} of {host.conffile(listener.conffile)}" for listener in listeners)
        spelling = "" if word in _NUMBERS else "; no mail port is called so: correct the setting"
        yield Finding(
            where=f"{units.SERVICES} {word}/tcp",
            detail=f"{missing}; asked for by {told}, which cannot start without it{spelling}",
            severity=None if any(listener.mail for listener in listeners) else Severity.HIGH,
            fixable=word in _NUMBERS,
            subject=_Named(word, tuple(listeners)),
        )


def fix(host: Host, findings: list[Finding]) -> Iterator[Action]:
    """Yield the lines that are missing, and the start of what is down without them."""
    allow = allow_start(host.queue) if "mta" in host.components else ""
    for finding in findings:
        word = finding.subject.word
        yield EditFile(
            path=units.SERVICES,
            edit=_with_line(word, _NUMBERS[word]),
            setting=word,
            new_file=NewFile(),
            old="missing",
            new=f"{_NUMBERS[word]}/tcp",
        )
    roles = {listener.role for finding in findings for listener in finding.subject.listeners}
    for service in kept_down(host, _with_dependants(roles)):
        mail = {"smtp", "msa", "smtps"} & set(service.roles)
        yield StartService(service=service.name, allow=allow if mail else "", old=service.state, new="running")


def _with_dependants(roles: set[str]) -> Sequence[str]:
    """Stopping port 25's service stops the other SMTP services too (run: trixie 1.4.1)."""
    return (*roles, "filter", "msa", "smtps") if "smtp" in roles else tuple(roles)


def _with_line(word: str, number: int) -> Callable[[bytes | None], bytes]:
    def edit(content: bytes | None) -> bytes:
        text = content or b""
        gap = b"" if not text or text.endswith(b"\n") else b"\n"
        return text + gap + f"{word}\t\t{number}/tcp\n".encode()

    return edit
