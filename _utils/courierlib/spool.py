"""Courier's spool: which directory needs what, for whom, and whether it has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from courierlib.host import Host
    from courierlib.tree import FileStat


@dataclass(frozen=True)
class Directory:
    """A directory that Courier's daemons share.

    Args:
        owner: user and group that packages give it.
        mode: permission bits that packages give it.
        user: bits (of ``rwx``, 4, 2, 1) without which the mail user cannot work.
        group: bits without which the mail group cannot; programs that users call run with it.
        breaks: what stops without them.
        stops: that stops mail or loses it.
    """

    path: str
    owner: tuple[str, str]
    mode: int
    user: int
    group: int
    breaks: str
    stops: bool = True


def directories(host: Host) -> Iterator[Directory]:
    """The table: Debian's owners and modes, the same for upstream's own prefix with its own mail user.

    What each is needed for was seen by giving it to ``daemon`` (run: trixie, 1.4.1). The directory above them belongs
    to the mail user in bookworm and to root since trixie (read: debian/courier-base.postinst, 1.4.1-3+deb13u2).
    """
    layout = host.layout
    state, mail = layout.localstatedir, (layout.mailuser, layout.mailgroup)
    undelivered = "mail is accepted, but courierd ends and delivers none of it"
    no_filter = "courierfilter does not start, and SMTP not without it"
    yield Directory(state, mail, 0o750, 1, 1, "nothing below it can be reached")
    yield Directory(f"{state}/tmp", mail, 0o770, 7, 7, "SMTP answers 432, and courierd ends")
    yield Directory(f"{state}/msgs", mail, 0o750, 7, 0, undelivered)
    yield Directory(f"{state}/msgq", mail, 0o750, 7, 0, undelivered)
    yield Directory(f"{state}/track", mail, 0o750, 7, 0, "courierd cannot remember which addresses failed", stops=False)
    yield Directory(f"{state}/filters", mail, 0o750, 7, 5, no_filter)
    yield Directory(f"{state}/allfilters", mail, 0o750, 7, 5, "mail filters cannot open their sockets", stops=False)
    if layout.piddir not in (state, f"{state}/tmp"):
        yield Directory(layout.piddir, ("root", layout.mailgroup), 0o775, 7, 0, no_filter)


def socket_directory(host: Host) -> Directory:
    """The directory of authdaemon's socket: SMTP asks authdaemon about every recipient.

    Raises:
        Unknown: authdaemonrc cannot be read.
    """
    mail = host.layout.mailuser, host.layout.mailgroup
    return Directory(host.authdaemonvar, mail, 0o750, 5, 5, "SMTP answers 450 Service temporarily unavailable")


def bits(found: FileStat, uid: int, gids: Collection[int]) -> int:
    """What somebody may do: the sum of 4 (read), 2 (write) and 1 (execute, enter). ACLs are not considered."""
    if uid == 0:
        return 7
    if found.uid == uid:
        return found.mode >> 6 & 7
    if found.gid in gids:
        return found.mode >> 3 & 7
    return found.mode & 7


def mail_ids(host: Host) -> tuple[int, int] | None:
    """uid and gid that the build's daemons run with; None if the accounts do not exist."""
    uid, gid = host.uid(host.layout.mailuser), host.gid(host.layout.mailgroup)
    return None if uid is None or gid is None else (uid, gid)


def owner_name(host: Host, found: FileStat) -> str:
    """``user:group mode`` for messages; numbers where there is no such account."""
    account = host.user(found.uid)
    names = (host.layout.mailgroup, "root", "daemon")
    group = next((name for name in names if host.gid(name) == found.gid), str(found.gid))
    return f"{account.name if account else found.uid}:{group} {found.mode:04o}"
