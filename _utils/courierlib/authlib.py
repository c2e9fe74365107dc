"""authlib's own parts: what authdaemonrc makes of it, where its modules and userdb are, and whether it answers."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from courierlib import gdbm
from courierlib import settings as grammar
from courierlib.issue import Unknown
from courierlib.plan import Action, SetOwnership
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host
    from courierlib.tree import FileStat

SYSTEM_MODULES = frozenset({"authpam", "authpwd", "authshadow"})
"""Modules that know of a password only whether it is right: no challenge (CRAM) can be answered with them
(read: authpam.c, authpwd.c, authshadow.c, authlib 0.73.1)."""

MAX_FILES = 10_000
"""Files below a userdb directory that are looked at."""

_SECONDS = 2.0
_PAUSE = 0.1
_MAX_SIZE = 64 << 20
_NAME_LIMIT = 40  # authdaemond cuts longer names off (read: initmodules in authdaemond.c, authlib 0.73.1)
_MODULE_DIRECTORIES = ("/usr/lib/courier-authlib", "/usr/local/lib/courier-authlib", "/usr/lib64/courier-authlib")


def is_used(host: Host) -> bool:
    """Whether a server that asks authdaemon is installed beside it."""
    return "authdaemon" in host.components and bool({"mta", "imap", "pop"} & host.components)


def module_names(host: Host) -> tuple[str, ...]:
    """Modules that authmodulelist names, in the order in which they are asked.

    Raises:
        Unknown: authdaemonrc cannot be read, or authdaemond would reject it.
    """
    return tuple(name[:_NAME_LIMIT] for name in host.authdaemonrc.get("authmodulelist", "").split())


def environment(host: Host) -> grammar.Settings:
    """authdaemonrc as authdaemond's start script sources it: DEBUG_LOGIN and all else but the modules
    (read: authdaemond.in, debug.c, authlib 0.73.1).

    Raises:
        Unknown: authdaemonrc cannot be read.
    """
    path = host.authdaemonrc_path
    return grammar.evaluate([(path, host.read(path))], host.layout.variables, host.read)


def module_directory(host: Host) -> str:
    """Where authdaemond looks for modules: the daemon carries it (run: strings of bookworm's, trixie's and forky's).

    Raises:
        Unknown: neither the daemon nor a directory in a known place tells.
    """
    for path in (f"{host.layout.sbindir}/authdaemond", "/usr/sbin/authdaemond", "/usr/local/sbin/authdaemond"):
        try:
            daemon = re.search(rb"(/\S+/authdaemond)\s*$", host.read(path), re.MULTILINE)
            carried = daemon and host.contains(daemon[1].decode(), rb"(/[\w./+-]*courier-authlib)(?:[\0\n]|$)")
        except Unreadable as failed:
            if failed.missing:
                continue
            raise
        if carried:
            return carried[1].decode()
    for directory in _MODULE_DIRECTORIES:
        if host.exists(directory):
            return directory
    raise Unknown("where authdaemond looks for its modules: no authdaemond program carries it")


def configuration(host: Host, name: str) -> str:
    """Path of another file of authlib's, such as ``authmysqlrc``: beside authdaemonrc.

    Raises:
        Unknown: there is no authdaemonrc.
    """
    return f"{host.authdaemonrc_path.rpartition('/')[0]}/{name}"


# --- the socket -------------------------------------------------------------------------------------------------------


def socket_path(host: Host) -> str:
    """Path of authdaemon's socket, also where authdaemonrc is damaged."""
    try:
        return f"{host.authdaemonvar}/socket"
    except Unknown:
        return f"{host.layout.piddir}/authdaemon/socket"


def refusal(host: Host) -> str:
    """Why authdaemon's socket takes no connection, in the system's words; empty if it takes one.

    Connecting changes nothing: authdaemond waits for a question, and the connection is closed without one.

    Raises:
        Unknown: under a root, or without permission.
    """
    if host.system is None:
        raise Unknown(f"needs the running host, and {host.root} is a tree of files")
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(_SECONDS)
            try:
                client.connect(host.path(socket_path(host)))
            except BlockingIOError:
                # EAGAIN: more are waiting than it takes, as in a wave of logins; a moment later it may have room.
                time.sleep(_PAUSE)
            except PermissionError as failed:
                raise Unknown(f"{socket_path(host)}: {failed.strerror}; run this as root") from None
            except OSError as failed:
                return failed.strerror or str(failed)
            else:
                return ""
    return f"no answer within {_SECONDS:.0f} seconds"


# --- userdb -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UserDb:
    """userdb, and what makeuserdb has made of it.

    Args:
        path: the file or directory with the accounts.
        found: that, a symbolic link not followed.
        newest: time of the file that was changed last; of the file itself, or of those below the directory.
        tree: time of the directory that was changed last: a file in it came or went; 0 without a directory.
        compiled: userdb.dat; None if there is none.
        shadow: userdbshadow.dat, with the passwords; None if there is none.
        bounded: there are more files than were looked at.
    """

    path: str
    found: FileStat
    newest: float
    tree: float
    compiled: FileStat | None
    shadow: FileStat | None
    bounded: bool = False

    @property
    def compiled_path(self) -> str:
        return f"{self.path}.dat"

    @property
    def shadow_path(self) -> str:
        return f"{self.path}shadow.dat"

    @property
    def is_open(self) -> bool:
        """Whether makeuserdb refuses it: somebody besides its owner has a permission (read: makeuserdb.in, authlib
        0.73.1)."""
        return bool(self.found.mode & 0o077) and self.found.kind in ("file", "dir")


def userdb(host: Host) -> UserDb | None:
    """userdb, where authdaemond asks it; None where it does not, or there is none.

    Raises:
        Unknown: authdaemonrc, or a part of userdb, cannot be looked at.
    """
    if "authdaemon" not in host.components or "authuserdb" not in module_names(host):
        return None
    path = configuration(host, "userdb")
    found = host.stat(path, follow=False)
    if found is None:
        return None
    files, directories, bounded = _below(host, path)
    return UserDb(
        path=path,
        found=found,
        newest=max((each.mtime for each in files), default=0.0),
        tree=max((each.mtime for each in directories), default=0.0),
        compiled=host.stat(f"{path}.dat"),
        shadow=host.stat(f"{path}shadow.dat"),
        bounded=bounded,
    )


def _below(host: Host, path: str) -> tuple[list[FileStat], list[FileStat], bool]:
    """Files that makeuserdb reads, directories that it walks, and whether there are more."""
    files: list[FileStat] = []
    directories: list[FileStat] = []
    for seen, (_, found) in enumerate(_walk(host, path)):
        if seen >= MAX_FILES:
            return files, directories, True
        (directories if found.kind == "dir" else files).append(found)
    return files, directories, False


def _walk(host: Host, path: str) -> Iterator[tuple[str, FileStat]]:
    """userdb and all below it, as makeuserdb does: without dot files (read: makeuserdb.in, authlib 0.73.1)."""
    found = host.stat(path)
    if found is None:
        return
    yield path, found
    if found.kind == "dir":
        for name in host.listdir(path):
            if not name.startswith("."):
                yield from _walk(host, f"{path}/{name}")


def dropped(host: Host, db: UserDb) -> list[str]:
    """Accounts that authdaemond knows, and that makeuserdb would leave out: their mail would bounce.

    Nothing if userdb.dat is no database that can be read: then authdaemond knows none.

    Raises:
        Unknown: a part of userdb cannot be read.
    """
    if db.compiled is None:
        return []
    try:
        known = gdbm.parse(host.read(db.compiled_path, _MAX_SIZE), db.compiled_path).keys()
    except Unreadable:
        raise
    except Unknown:
        return []
    files = islice(_walk(host, db.path), MAX_FILES)
    texts = (host.read(path, _MAX_SIZE) for path, each in files if each.kind == "file")
    names = {
        line.partition(b"\t")[0].decode("utf-8", "surrogateescape") for text in texts for line in text.split(b"\n")
    }
    return sorted(known - names)


def closed(db: UserDb) -> Iterator[Action]:
    """The permissions of userdb that makeuserdb wants: those of others taken away."""
    if db.is_open:
        mode = db.found.mode & ~0o077
        yield SetOwnership(path=db.path, mode=mode, inode=db.found.inode, old=f"{db.found.mode:04o}", new=f"{mode:04o}")


def has_challenge_passwords(host: Host) -> bool:
    """Whether a challenge (CRAM) can be answered for any account: a module may have its clear or prepared password.

    authuserdb needs ``hmac-…pw`` fields (read: auth_cram in authuserdb.c, authlib 0.73.1); what databases have is not
    looked at.

    Raises:
        Unknown: authdaemonrc or userdb cannot be read.
    """
    others = set(module_names(host)) - SYSTEM_MODULES
    if others - {"authuserdb"}:
        return True
    found = host.once(userdb)
    if found is None:
        return False
    if found.bounded:
        return True
    return any(b"hmac-" in host.read(path, _MAX_SIZE) for path, each in _walk(host, found.path) if each.kind == "file")
