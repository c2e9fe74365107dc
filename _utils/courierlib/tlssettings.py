"""Which daemon gets which value of a TLS setting, in which file it stands, and what GnuTLS says of a priority."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from courierlib import settings as grammar
from courierlib.issue import Unknown
from courierlib.plan import EditFile
from courierlib.queue import allow_restart

if TYPE_CHECKING:
    from courierlib.host import Host

_ROLES = {
    "esmtpd": ("smtp",),
    "esmtpd-msa": ("msa",),
    "esmtpd-ssl": ("smtps",),
    # imapd sources imapd-ssl for STARTTLS on port 143, pop3d does the like (read: imapd.rc.in, pop3d.rc.in, 1.4.1).
    "imapd-ssl": ("imap", "imaps"),
    "pop3d-ssl": ("pop3", "pop3s"),
    "courierd": ("scheduler",),
}


@dataclass(frozen=True)
class Value:
    """A value of a setting.

    Args:
        path: the file with the assignment that counts.
        daemons: configurations of the daemons that get it from there.
    """

    path: str
    name: str
    value: str
    daemons: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.path} {self.name}"

    @property
    def users(self) -> str:
        return ", ".join(self.daemons)


def values(host: Host, name: str) -> Iterator[Value | Unknown]:
    """Every value that a listener or courierd gets for a setting; an empty one is none, as couriertls takes it.

    Yields:
        Unknown for a daemon for which only a shell could tell.

    Raises:
        Unknown: settings of the listeners cannot be told.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for daemon in _daemons(host):
        try:
            value = host.settings(daemon).get(name)
        except Unknown as unknown:
            yield unknown
            continue
        if value and (location := host.settings(daemon).where(name)):
            found[location.path, value].append(daemon)
    for (path, value), users in found.items():
        yield Value(path, name, value, tuple(users))


def _daemons(host: Host) -> tuple[str, ...]:
    listeners = tuple(service.name for service in host.tls_services)
    return (*listeners, "courierd") if "mta" in host.components else listeners


def comment_out(host: Host, value: Value, *, allow: str = "", restart: bool = True) -> EditFile:
    """Turn a setting into a comment.

    Args:
        allow: as for Action.
        restart: whether the daemons that get it must be restarted.
    """
    action = edit(
        host,
        value,
        value.name,
        lambda content: grammar.comment_out(content, value.name),
        old=value.value,
        new="commented out",
        allow=allow,
    )
    return action if restart else replace(action, restarts=(), allow=allow)


def assign(host: Host, beside: Value, name: str, new: str, *, old: str, allow: str = "") -> EditFile:
    """Set a setting in the file where a value stands, for the daemons that get that value.

    Args:
        old: the present value in words.
        allow: as for Action.
    """
    return edit(host, beside, name, lambda content: grammar.assign(content, name, new), old=old, new=new, allow=allow)


def edit(
    host: Host,
    beside: Value,
    name: str,
    change: Callable[[bytes | None], bytes],
    *,
    old: str,
    new: str,
    allow: str = "",
) -> EditFile:
    """Change a setting in the file where a value stands, for the daemons that get that value.

    Args:
        change: as ``edit`` of EditFile.
        old: the present value in words.
        new: the wanted value in words.
        allow: as for Action.
    """
    roles = _roles(beside)
    return EditFile(
        path=beside.path,
        setting=name,
        edit=change,
        allow=_allow(host, roles, allow),
        restarts=roles,
        old=old,
        new=new or "nothing",
    )


def _roles(value: Value) -> tuple[str, ...]:
    return tuple(role for daemon in value.daemons for role in _ROLES[daemon])


def _allow(host: Host, roles: tuple[str, ...], word: str) -> str:
    return ",".join(filter(None, (word, allow_restart(host, roles))))


def gnutls_objection(host: Host, priority: str) -> str:
    """What GnuTLS has against a priority; empty if it takes it.

    Raises:
        Unknown: nobody can be asked.
    """
    said = host.ask("gnutls-cli", f"--priority={priority}", "-l")
    if said.returncode == 127:
        raise Unknown("gnutls-cli is not installed, and only it can tell whether TLS_PRIORITY is valid")
    if not said.returncode:
        return ""
    lines = (said.stderr + "\n" + said.stdout).splitlines()
    # "Syntax error at: …", "Error in priorities: No or insufficient priorities were set." (run: GnuTLS 3.7.9, 3.8.9).
    return next((line for line in lines if "rror " in line), f"gnutls-cli ends with exit status {said.returncode}")


def gnutls_protocols(host: Host) -> tuple[str, ...]:
    """Protocols that GnuTLS speaks unless TLS_PRIORITY says otherwise, such as ``VERS-TLS1.0``.

    The system's own configuration of GnuTLS counts here too. Empty where nobody can be asked.
    """
    try:
        said = host.ask("gnutls-cli", "--priority=NORMAL", "-l")
    except Unknown:
        return ()
    lines = (line for line in said.stdout.splitlines() if line.startswith("Protocols: "))
    return tuple(name for line in lines for name in line.removeprefix("Protocols: ").split(", "))
