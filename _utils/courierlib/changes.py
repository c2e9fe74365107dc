"""Whether the distribution has repaired a flaw in an older version, as the package's own changelog says."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from courierlib.issue import Unknown
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host

_RPM = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_MAX_COMPRESSED = 4 << 20
_MAX_TEXT = 32 << 20


def older(version: str, repaired: str) -> bool:
    """Whether a version of Courier is older than another, both as ``1.4.1``."""
    return _numbers(version) < _numbers(repaired)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def says(host: Host, package: str, word: str) -> bool:
    """Whether the changelog of a Debian package names something.

    False where no package manager has it: then it was built from Courier's own source.

    Raises:
        Unknown: it is another distribution's, or its changelog is not there, as on minimal images.
    """
    if package not in host.packages:
        if any(host.exists(path) for path in _RPM):
            raise Unknown(f"whether the builder of this package has repaired {word} cannot be told")
        return False
    path = f"/usr/share/doc/{package}/changelog.Debian.gz"
    try:
        # The tail of a file that grows at its head may be left out: what is old is in every version.
        text = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(host.read(path, _MAX_COMPRESSED), _MAX_TEXT)
    except Unreadable as failed:
        raise Unknown(
            f"{failed.reason}; whether {package} {host.packages[package].version} has {word} repaired cannot be told"
        ) from None
    except zlib.error as failed:
        raise Unknown(f"{path}: {failed}") from None
    return word.encode() in text
