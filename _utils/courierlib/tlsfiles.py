"""Which files couriertls reads for a listener, and what it takes from each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from courierlib import dh, pem
from courierlib.issue import Unknown
from courierlib.plan import EditFile, NewFile, Refused
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host, TlsService

_CERTBOT = "/etc/letsencrypt/"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key.

    Args:
        certfile: TLS_CERTFILE, or one of its files for a name or address.
        keyfile: the file of the private key; empty if that is in ``certfile``.
        services: configuration files of the listeners that use the two.
    """

    certfile: str
    keyfile: str
    services: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.certfile, self.keyfile) if self.keyfile else (self.certfile,)


@dataclass(frozen=True)
class DhSource:
    """A place from which couriertls takes DH parameters.

    Args:
        path: the file.
        setting: ``TLS_DHPARAMS`` or ``TLS_CERTFILE``.
        services: configuration files of the listeners that use it.
        parameters: what it holds; None if it cannot be used, or if GnuTLS puts a group of its own in its place.
        problem: why it cannot be used; empty if it can.
        missing: the file does not exist, or the certificate's file has no DH parameters.
        spared: every listener has sound parameters elsewhere, and these count at most for one name.
        blocks: how many blocks of DH parameters it has; only the first counts.
        unfixable: why a repair keeps away from it; empty if it does not.
        new_file: owner and mode for a file that is missing.
    """

    path: str
    setting: str
    services: tuple[str, ...]
    parameters: dh.Parameters | None = field(default=None, repr=False)
    problem: str = ""
    missing: bool = False
    spared: bool = False
    blocks: int = 0
    unfixable: str = ""
    new_file: NewFile | None = None


def pairs(host: Host) -> tuple[Pair, ...]:
    """Every certificate that a listener can present, with the private key that goes with it.

    The key is in the certificate's file unless TLS_PRIVATE_KEYFILE, or that with the same name behind it, exists
    (read: server_cert_cb() in libs/tcpd/libcouriertls.c, check_key() in libcouriergnutls.c, 1.4.1).

    Raises:
        Unknown: settings or the TLS library cannot be told.
    """
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for service in host.tls_services:
        if not service.certfile:
            continue
        separate = service.keyfile not in ("", service.certfile) and host.exists(service.keyfile)
        base = service.keyfile if separate else ""
        # Missing beside files for names it is certfile-base-missing, not a file that cannot be used.
        if not (service.vhost_certfiles and _is_missing(host, service.certfile)):
            users[service.certfile, base].append(service.name)
        for certfile in service.vhost_certfiles:
            name = certfile.removeprefix(f"{service.certfile}.")
            own = f"{service.keyfile}.{name}"
            # GnuTLS falls back to the base's key for an address, never for a name.
            fallback = base if host.tls_library == "gnutls" and is_address(name) else ""
            users[certfile, own if own in service.vhost_keyfiles else fallback].append(service.name)
    return tuple(Pair(certfile, keyfile, tuple(names)) for (certfile, keyfile), names in users.items())


def _is_missing(host: Host, path: str) -> bool:
    try:
        return not host.exists(path)
    except Unreadable:
        return False


def kept_by_certbot(host: Host, path: str) -> bool:
    """Whether certbot writes this file, so that any change would be lost at the next renewal."""
    return path.startswith(_CERTBOT) or host.resolve(path).startswith(_CERTBOT)


def dh_sources(host: Host) -> Iterator[DhSource | Unknown]:
    """Every place from which a listener takes DH parameters, or should.

    TLS_DHPARAMS counts first; only if nothing can be read from it, the block in TLS_CERTFILE. A block in the file of a
    name counts for that name in any case with OpenSSL (read: load_dh_params() and server_cert_cb() in
    libs/tcpd/libcouriertls.c, read_dh_params() in libcouriergnutls.c, 1.4.1).

    Yields:
        Unknown for a file that cannot be looked at.

    Raises:
        Unknown: settings or the TLS library cannot be told.
    """
    services = [service for service in host.tls_services if service.certfile]
    served: set[str] = set()
    for path, users in _by(services, lambda service: [service.dhparams] if service.dhparams else []).items():
        source = _dhparams(host, path, users)
        yield source
        if isinstance(source, DhSource) and not source.problem:
            served.update(source.services)
    lacking = [service for service in services if service.name not in served]
    for path, users in _by(lacking, lambda service: [service.certfile]).items():
        yield from _in_certificate(host, path, users, base=True)
    if host.tls_library == "openssl":
        for path, users in _by(services, lambda service: service.vhost_certfiles).items():
            spared = served.issuperset(user.name for user in users)
            yield from _in_certificate(host, path, users, spared=spared)


def write_group(source: DhSource, group: str, old: str) -> EditFile:
    """Put a published group in the place of what a source holds.

    Args:
        source: its ``unfixable`` must be empty.
        group: one of ``dh.GROUPS``.
        old: the present state in words.

    Raises:
        ValueError: no such group.
    """
    if group not in dh.GROUPS:
        raise ValueError(f"group={group!r}: one of {', '.join(dh.GROUPS)}")
    return EditFile(
        path=source.path,
        edit=lambda content: _with_group(content, group),
        new_file=source.new_file,
        old=old,
        new=f"{group} (RFC 7919)",
    )


def _with_group(content: bytes | None, group: str) -> bytes:
    wanted = dh.pem(group)
    if content is None:
        return wanted
    blocks = pem.parse(content).blocks
    if all(block.label.endswith("PARAMETERS") for block in blocks):
        return wanted
    for block in blocks:
        if block.label.endswith("DH PARAMETERS"):
            return pem.replace_block(content, block, wanted)
    raise Refused("it holds certificates or keys, and no DH parameters that could be replaced")


def _by(services: Iterable[TlsService], paths: Callable[[TlsService], Iterable[str]]) -> dict[str, list[TlsService]]:
    found: dict[str, list[TlsService]] = defaultdict(list)
    for service in services:
        for path in paths(service):
            found[path].append(service)
    return found


def _dhparams(host: Host, path: str, users: list[TlsService]) -> DhSource | Unknown:
    names = tuple(user.name for user in users)
    try:
        content = host.read(path)
    except Unreadable as failed:
        if failed.missing:
            return _missing(host, path, users)
        if "permission" in failed.why:
            return failed
        return DhSource(path, "TLS_DHPARAMS", names, problem=failed.why, unfixable="this is no file to write to")
    file = pem.parse(content)
    parameters, problem = _parameters(host.tls_library, file)
    blocks = sum(block.label.endswith("DH PARAMETERS") for block in file.blocks)
    unfixable = _certbots(host, path)
    if file.form in ("text", "DER", "UTF-16") and "dh" not in os.path.basename(path).lower():
        unfixable = "it is not clear that this file is meant for DH parameters"
    return DhSource(path, "TLS_DHPARAMS", names, parameters, problem, blocks=blocks, unfixable=unfixable)


def _missing(host: Host, path: str, users: list[TlsService]) -> DhSource:
    names = tuple(user.name for user in users)
    unfixable = _certbots(host, path)
    directory = os.path.dirname(path)
    if not path.startswith("/"):
        unfixable = "not an absolute path"
    elif host.stat(path, follow=False) is not None:
        unfixable = f"a link to {host.resolve(path)}, which does not exist"
    elif not host.exists(directory):
        unfixable = f"{directory} does not exist"
    return DhSource(
        path,
        "TLS_DHPARAMS",
        names,
        problem="no such file",
        missing=True,
        unfixable=unfixable,
        new_file=_like(host, users[0].certfile),
    )


def _like(host: Host, certfile: str) -> NewFile:
    """Owner and mode of the certificate's file: whoever must read the one must read the other.

    Without it as mkdhparams does: the mail user's, 0600 (read: libs/imap/mkdhparams.in, 1.4.1).
    """
    own = NewFile(host.layout.mailuser, host.layout.mailgroup, 0o600)
    found = host.stat(certfile)
    if found is None or found.kind != "file":
        return own
    groups = {host.gid(name): name for name in ("root", own.group)}
    owner = host.user(found.uid)
    if owner is None or found.gid not in groups:
        return own
    return NewFile(owner.name, groups[found.gid], found.mode & 0o640 | 0o400)


def _in_certificate(
    host: Host, path: str, users: list[TlsService], *, base: bool = False, spared: bool = False
) -> Iterator[DhSource | Unknown]:
    names = tuple(user.name for user in users)
    try:
        file = pem.parse(host.read(path))
    except Unreadable as failed:
        # Without a certificate there is no TLS at all: pem-unreadable says so.
        if not failed.missing:
            yield failed
        return
    held = [block for block in file.blocks if block.label.endswith("DH PARAMETERS")]
    if not held:
        if base and any(not user.dhparams for user in users):
            problem = "TLS_DHPARAMS is not set, and there are no DH parameters in the certificate's file"
            yield DhSource(path, "TLS_CERTFILE", names, problem=problem, missing=True, unfixable="set TLS_DHPARAMS")
        return
    if host.tls_library == "openssl" and file.openssl_stops:
        return
    parameters, problem = _parameters(host.tls_library, file)
    yield DhSource(
        path,
        "TLS_CERTFILE",
        names,
        parameters,
        problem,
        spared=spared,
        blocks=len(held),
        unfixable=_certbots(host, path),
    )


def _parameters(library: str, file: pem.PemFile) -> tuple[dh.Parameters | None, str]:
    """What a TLS library takes from a file, or why it takes nothing."""
    block, problem = _openssl_block(file) if library == "openssl" else _gnutls_block(file)
    if block is None:
        return None, problem
    try:
        return dh.parse(block.data), ""
    except dh.Unusable as unusable:
        if library == "gnutls" and unusable.numbers:
            return None, ""
        return None, str(unusable)


def _openssl_block(file: pem.PemFile) -> tuple[pem.Block | None, str]:
    """OpenSSL 3 takes the first parameters of any kind, and drops them if they are not for DH (run: OpenSSL 3.5.7)."""
    for block in file.openssl:
        if block.label == "DH PARAMETERS":
            return block, ""
        if block.label.endswith("PARAMETERS"):
            return None, f"{block.label} come first, and couriertls takes only DH PARAMETERS"
    return None, _nothing(file)


def _gnutls_block(file: pem.PemFile) -> tuple[pem.Block | None, str]:
    for block in file.blocks:
        if block.label == "DH PARAMETERS":
            return (block, "") if block.digest else (None, block.damage)
    return None, _nothing(file)


def _nothing(file: pem.PemFile) -> str:
    for block in file.blocks:
        if block.label == "X9.42 DH PARAMETERS":
            return "X9.42 DH PARAMETERS, and couriertls takes only DH PARAMETERS"
        if block.label == "DH PARAMETERS":
            return (
                block.footer
                or block.damage
                or "; ".join(file.layout)
                or file.openssl_stops
                or f"{file.line_ends} line ends"
            )
    return "nothing in it" if file.form == "empty" else "no DH PARAMETERS in it"


def _certbots(host: Host, path: str) -> str:
    return "certbot writes this file anew at every renewal: change it there" if kept_by_certbot(host, path) else ""


def is_address(name: str) -> bool:
    """Whether what stands behind a certificate's file is an address of this host, and no name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def repair_layout(path: str, old: str) -> EditFile:
    """Put a PEM file into the form that every TLS library reads; refused if it would decode to anything else.

    Args:
        old: the present state in words.
    """
    return EditFile(path=path, edit=_repaired, old=old, new="LF line ends, markers and data on lines of their own")


def _repaired(content: bytes | None) -> bytes:
    if content is None:
        raise Refused("no such file")
    return pem.repair(content)
