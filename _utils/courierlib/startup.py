"""Which services should be running: those that start at boot, and are not up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from courierlib.services import Service, Systemd

if TYPE_CHECKING:
    from courierlib.host import Host

FLAGS: Mapping[str, tuple[str, str]] = {
    "smtp": ("esmtpd", "ESMTPDSTART"),
    "msa": ("esmtpd-msa", "ESMTPDSTART"),
    "smtps": ("esmtpd-ssl", "ESMTPDSSLSTART"),
    "imap": ("imapd", "IMAPDSTART"),
    "imaps": ("imapd-ssl", "IMAPDSSLSTART"),
    "pop3": ("pop3d", "POP3DSTART"),
    "pop3s": ("pop3d-ssl", "POP3DSSLSTART"),
}
"""Setting without which an init script starts nothing, and says it has
(read: debian/*.init, 1.4.1-3; courier.sysvinit.in, 1.4.1). Debian's units do not ask for it (run: trixie, 1.4.1)."""


def kept_down(host: Host, roles: Collection[str]) -> Iterator[Service]:
    """Services with one of the roles that start at boot and are not running now.

    Raises:
        Unknown: the services cannot be told, or a setting is computed by the shell.
    """
    for service in host.services:
        down = service.enabled and not service.active and not service.masked
        if down and set(roles) & set(service.roles) and (_by_unit(host) or _flagged(host, service)):
            yield service


def _by_unit(host: Host) -> bool:
    return host.system is not None and isinstance(host.system.services, Systemd)


def _flagged(host: Host, service: Service) -> bool:
    flags = [FLAGS[role] for role in service.roles if role in FLAGS]
    return not flags or any(host.settings(name).get(flag).lower().startswith("y") for name, flag in flags)
