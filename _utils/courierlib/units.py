"""What each listener's settings ask for: its ports and addresses, its PID file, and the service that runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib.issue import Unknown
from courierlib.startup import FLAGS
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host
    from courierlib.services import Service

SERVICES = "/etc/services"
_NSSWITCH = "/etc/nsswitch.conf"
_DATABASE = "/var/lib/misc/services.db"


@dataclass(frozen=True)
class Listener:
    """A listener that is installed.

    Args:
        role: of services.LISTENERS.
        conffile: name of the file that configures it.
        prefix: of its settings' names: ``SSL`` for those that speak TLS at once.
    """

    role: str
    conffile: str
    prefix: str

    @property
    def port(self) -> str:
        """Name of the setting with its ports."""
        return f"{self.prefix}PORT"

    @property
    def pidfile(self) -> str:
        """Name of the setting with its PID file."""
        return f"{self.prefix}PIDFILE"

    @property
    def mail(self) -> bool:
        """Whether mail comes in there; else it is fetched."""
        return self.conffile.startswith("esmtpd")


@dataclass(frozen=True)
class Wanted:
    """One port that a listener binds.

    Args:
        address: as it is set; empty for all.
        word: the port as it is set: a number, or a name.
        number: None if nobody knows the name.
    """

    address: str
    word: str
    number: int | None


def listeners(host: Host) -> Iterator[Listener]:
    """The listeners that are installed (read: esmtpd.in, esmtpd-ssl.in, imapd*.rc.in, pop3d*.rc.in, 1.4.1)."""
    for role, (conffile, _) in FLAGS.items():
        if conffile.replace("-msa", "") in host.layout.scripts and host.exists(host.conffile(conffile)):
            yield Listener(role, conffile, "SSL" if conffile.endswith("-ssl") else "")


def off(service: Service) -> bool:
    """Whether somebody has switched it off: it is not running, and will not at the next boot."""
    return not service.active and (service.masked or service.enabled is False)


def unused(host: Host, role: str) -> bool:
    """Whether the service with a role is off; one of which nothing can be told counts as used."""
    try:
        service = host.service(role)
    except Unknown:
        return False
    return service is not None and off(service)


def wanted(host: Host, listener: Listener) -> tuple[Wanted, ...]:
    """The ports of a listener: several are separated by commas, each perhaps with an address and a dot before it
    (read: parseaddr() in libs/tcpd/tcpd.c, 1.4.1).

    Raises:
        Unknown: a setting is computed by the shell, or nobody can be asked for a name.
    """
    settings = host.settings(listener.conffile)
    default = settings.get(f"{listener.prefix}ADDRESS")
    found = []
    for part in filter(None, settings.get(listener.port).split(",")):
        address, _, word = part.rpartition(".")
        address = address if address not in ("", "0") else default
        found.append(Wanted("" if address == "0" else address, word, _number(host, word)))
    return tuple(found)


def _number(host: Host, word: str) -> int | None:
    """A port's number: by name, else the number that the word begins with (read: mksocket() in tcpd.c, 1.4.1)."""
    if digits := re.match(r"\s*(\d{1,5})", word, re.ASCII):
        return int(digits[1])
    sources = _sources(host)
    if "files" in sources and word in host.once(_names):
        return host.once(_names)[word]
    others = [s for s in sources if s != "files" and (s != "db" or host.exists(_DATABASE))]
    if not others:
        return None
    # No file tells what NIS, LDAP or SSSD say.
    told = re.match(r"\S+\s+(\d+)/tcp", host.ask("getent", "services", f"{word}/tcp").stdout)
    return int(told[1]) if told else None


def _names(host: Host) -> Mapping[str, int]:
    """TCP ports by name and alias, as in /etc/services; nothing if there is no such file (read: services(5))."""
    try:
        text = host.read(SERVICES).decode("utf-8", "replace")
    except Unreadable as failed:
        if failed.missing:
            return {}
        raise
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, *rest = line.partition("#")[0].split() or [""]
        entry = re.fullmatch(r"(\d+)/tcp", rest[0]) if rest else None
        if entry:
            found = dict.fromkeys((name, *rest[1:]), int(entry[1])) | found
    return found


def _sources(host: Host) -> tuple[str, ...]:
    """Who is asked for names of services; glibc's own answer is ``files`` (read: nsswitch.conf(5))."""
    try:
        text = host.read(_NSSWITCH).decode("utf-8", "replace")
    except Unreadable as failed:
        if failed.missing:
            return ("files",)
        raise
    named = re.search(r"^\s*services:([^#\n]*)", text, re.MULTILINE)
    return tuple(re.sub(r"\[[^\]]*\]", " ", named[1]).split()) if named else ("files",)
