"""The certificates that listeners present: whose they are, how long they are valid, for which names, who opens them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib import pem, reach, spool, tlsfiles
from courierlib.plan import SetOwnership
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host
    from courierlib.keys import Certificate
    from courierlib.tree import FileStat

MAIL_USERS = ("esmtpd", "esmtpd-msa", "esmtpd-ssl")
"""Listeners whose couriertls runs as MAILUSER. The others open their files as root, and change to the mail user when
the handshake is over (read: esmtpd.in, esmtpd-ssl.in, imapd-ssl.rc.in; dossl() in libs/tcpd/starttls.c, 1.4.1)."""

is_address = tlsfiles.is_address
_HOST_NAME = re.compile(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])", re.ASCII)
_LEFTOVERS = ("pem", "crt", "cert", "cer", "key", "csr", "cnf", "conf", "txt")


@dataclass(frozen=True)
class Used:
    """A file from which listeners present a certificate.

    Args:
        certfile: the file.
        base: TLS_CERTFILE, the file that it belongs to, or is.
        keyfile: the file of the private key; empty if that is in ``certfile``.
        services: configuration files of the listeners that use it.
        leaf: what the certificate that is presented says of itself; None if that cannot be told.
        has_key: a private key is in ``certfile``.
    """

    certfile: str
    base: str
    keyfile: str
    services: tuple[str, ...]
    leaf: Certificate | None
    has_key: bool

    @property
    def name(self) -> str:
        """The name or address for which it is presented; empty for TLS_CERTFILE itself."""
        return self.certfile[len(self.base) + 1 :].lower()

    @property
    def mail_services(self) -> tuple[str, ...]:
        """Those of its listeners that open it as the mail user."""
        return tuple(name for name in self.services if name in MAIL_USERS)


def used(host: Host) -> tuple[Used, ...]:
    """Every file from which a listener presents a certificate. Use it by ``host.once``.

    What cannot be read, or holds no certificate, has no leaf: pem-unreadable says so.

    Raises:
        Unknown: settings or the TLS library cannot be told.
    """
    bases = {
        path: service.certfile for service in host.tls_services for path in (service.certfile, *service.vhost_certfiles)
    }
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pair in tlsfiles.pairs(host):
        found[pair.certfile, pair.keyfile] += pair.services
    return tuple(
        _used(host, certfile, bases[certfile], keyfile, tuple(services))
        for (certfile, keyfile), services in found.items()
    )


def _used(host: Host, certfile: str, base: str, keyfile: str, services: tuple[str, ...]) -> Used:
    blocks = _blocks(host, certfile)
    leaf = next((block.certificate for block in blocks if block.is_certificate), None)
    return Used(certfile, base, keyfile, services, leaf, has_key=any(block.is_key for block in blocks))


def holds_key(host: Host, path: str) -> bool:
    """Whether a file has a private key in it; False also if it cannot be read."""
    return any(block.is_key for block in _blocks(host, path))


def _blocks(host: Host, path: str) -> tuple[pem.Block, ...]:
    try:
        # Line ends as pem-unreadable reads them: so each file is parsed once.
        return pem.parse(pem.unix_line_ends(host.read(path))).blocks
    except Unreadable:
        return ()


def mail_account(host: Host) -> reach.Account | None:
    """Who esmtpd's couriertls runs as: MAILUSER and MAILGROUP, with the groups that the user is a member of.

    Without MAILUSER it stays root (read: couriertcpd's -user and -group in esmtpd.in, tcpd.c,
    libmail_changeusername() in changeuidgid.c, 1.4.1).

    Returns:
        None if there is no such account: then esmtpd does not start.

    Raises:
        Unknown: a setting is computed by the shell.
    """
    settings = host.settings("esmtpd")
    name, group = settings.get("MAILUSER"), settings.get("MAILGROUP")
    if not name:
        return reach.ROOT
    found = host.user(int(name)) if name.isdigit() else host.named_user(name)
    if found is None:
        return None
    gid = int(group) if group.isdigit() else host.gid(group) if group else found.gid
    return None if gid is None else reach.Account(found.name, found.uid, host.gids(found.name, gid))


def closed(host: Host, file: Used, account: reach.Account) -> Iterator[tuple[str, tuple[reach.Obstacle, ...]]]:
    """The files of a certificate that an account cannot open, each with what is in the way.

    A private key that cannot be read does not count where the certificate's file has one too: couriertls then takes
    that (read: check_key() in libcouriergnutls.c, process_certfile() in libcouriertls.c, 1.4.1).
    """
    for path in (file.certfile, "" if file.has_key else file.keyfile):
        if path and host.exists(path) and (found := tuple(reach.obstacles(host, path, account))):
            yield path, found


def in_the_way(host: Host, account: reach.Account, found: tuple[reach.Obstacle, ...]) -> str:
    """What keeps an account from a file, in words."""
    said = [
        f"{'cannot read it' if each.lacks & reach.READ else f'cannot pass {each.path}'}: "
        f"{spool.owner_name(host, each.found)}"
        for each in found
    ]
    return f"{account.name} {', '.join(said)}"


@dataclass(frozen=True)
class Permission:
    """Owner and mode that a file or directory below Courier's configuration directory should have.

    Args:
        path: with links resolved.
        found: what it has.
        gid: the mail group's, or None to keep its own.
        mode: permission bits.
    """

    path: str
    found: FileStat
    gid: int | None
    mode: int


def permission(host: Host, path: str, *, for_mail: bool) -> Permission | None:
    """What lets the mail group in, if need be, and nobody else; None where that is for somebody else to arrange.

    As Debian's packages do it: the mail group, 0640 (read: debian/courier-mta.postinst, 1.4.1). A group of somebody
    else's that may use the file is not taken away from it.

    Args:
        path: of a file with a private key, or a directory on the way to it; with links resolved.
        for_mail: the mail user must get there.
    """
    found = host.stat(path)
    inside = path.startswith(f"{host.resolve(host.layout.sysconfdir)}/")
    if found is None or not inside or (found.links > 1 and found.kind == "file"):
        return None
    gid = host.gid(host.layout.mailgroup)
    if not for_mail:
        return Permission(path, found, None, found.mode & ~0o007)
    if gid is None or (found.gid not in (0, gid) and found.mode & 0o070):
        return None
    mode = found.mode | 0o010 if found.kind == "dir" else (found.mode | 0o040) & ~0o007
    return Permission(path, found, gid if gid != found.gid else None, mode)


def set_permission(host: Host, wanted: Permission) -> SetOwnership:
    """The action; two issues that ask for it ask for the same."""
    group = host.layout.mailgroup if wanted.gid is not None else ""
    old = spool.owner_name(host, wanted.found)
    owner, _, rest = old.partition(":")
    return SetOwnership(
        path=wanted.path,
        gid=wanted.gid,
        mode=wanted.mode,
        inode=wanted.found.inode,
        old=old,
        new=f"{owner}:{group or rest.partition(' ')[0]} {wanted.mode:04o}",
    )


def is_default(leaf: Certificate) -> bool:
    """Whether it is the one that mkesmtpdcert and its like make from their stock settings
    (read: esmtpd.cnf.openssl.in, esmtpd.cnf.gnutls.in, 1.4.1)."""
    return leaf.self_issued and "OU=Automatically-generated " in leaf.subject


def covers(leaf: Certificate, name: str) -> bool:
    """Whether a client that asks for a host name accepts it; True where its names cannot be read."""
    if leaf.names is None:
        return True
    parent = name.partition(".")[2]
    return name in leaf.names or (bool(parent) and f"*.{parent}" in leaf.names)


def is_host_name(name: str) -> bool:
    """Whether a client could ask for it: neither an address nor a copy's suffix."""
    return bool(_HOST_NAME.fullmatch(name)) and name.rpartition(".")[2] not in _LEFTOVERS
