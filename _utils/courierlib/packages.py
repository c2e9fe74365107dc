"""What Debian's package manager has installed: versions, and files of the administrator's that it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib.issue import Unknown
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host

STATUS = "/var/lib/dpkg/status"
_MAX_STATUS = 64 << 20
_OURS = re.compile(r"^(courier|maildrop|sqwebmail)", re.ASCII)


@dataclass(frozen=True)
class Package:
    """A package of Courier's, as dpkg knows it.

    Args:
        version: Debian's, with epoch and revision.
        installed: unpacked and configured; False for one that was removed and has left its conffiles.
        conffiles: MD5 of each conffile as the package shipped it, by path.
    """

    name: str
    version: str
    installed: bool
    conffiles: Mapping[str, str]


def read(host: Host) -> Mapping[str, Package]:
    """Courier's packages by name; nothing where there is no dpkg.

    Raises:
        Unknown: dpkg's database cannot be read.
    """
    try:
        content = host.read(STATUS, _MAX_STATUS)
    except Unreadable as failed:
        if failed.missing:
            return {}
        raise Unknown(f"packages: {failed.reason}") from None
    found = (_package(block) for block in content.decode("utf-8", "replace").split("\n\n"))
    return {package.name: package for package in found if package}


def _package(block: str) -> Package | None:
    """A paragraph of dpkg's status file (read: deb-control(5), dpkg 1.22)."""
    name = block.partition("\n")[0].removeprefix("Package: ")
    if not _OURS.match(name):
        return None
    fields = dict(re.findall(r"^(Version|Status): (.*)$", block, re.MULTILINE))
    listed = re.search(r"^Conffiles:\n((?: .*\n?)+)", block, re.MULTILINE)
    # " /etc/courier/esmtpd 0123…" and, for one that the package has given up, " obsolete" behind it.
    words = [line.split() for line in listed[1].splitlines()] if listed else []
    return Package(
        name=name,
        version=fields.get("Version", ""),
        installed=fields.get("Status", "").endswith(" installed"),
        conffiles={line[0]: line[1] for line in words if len(line) > 1},
    )
