"""Who listens on which TCP port, and who is connected, from the kernel's own tables."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from courierlib.issue import Unknown

_ESTABLISHED, _LISTEN = "01", "0A"


@dataclass(frozen=True)
class Listener:
    """A listening socket in the minion's own network namespace.

    Args:
        address: as the kernel has it, such as ``0.0.0.0``, ``::`` or ``127.0.0.1``.
        pid: of a process that holds it; None if that cannot be seen.
        program: the name of that process; empty if it cannot be seen.
    """

    port: int
    address: str
    pid: int | None
    program: str


def read() -> tuple[Listener, ...]:
    """All listening TCP sockets.

    Raises:
        Unknown: without a readable /proc.
    """
    found = [(port, address, inode) for port, address, inode, _ in _rows(_LISTEN)]
    holders = _holders({inode for _, _, inode in found})
    return tuple(Listener(port, address, *holders.get(inode, (None, ""))) for port, address, inode in found)


def connections() -> dict[int, Counter[str]]:
    """How many connections each address has to each local port; IPv4 addresses as such.

    Raises:
        Unknown: without a readable /proc.
    """
    found: dict[int, Counter[str]] = {}
    for port, _, _, remote in _rows(_ESTABLISHED):
        found.setdefault(port, Counter())[_address(remote.partition(":")[0]).removeprefix("::ffff:")] += 1
    return found


def _rows(state: str) -> Iterator[tuple[int, str, str, str]]:
    """Port, address, inode and the remote end of each socket in a state
    (read: Documentation/networking/proc_net_tcp, Linux 6.12)."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue  # A kernel without IPv6.
        except OSError as failed:
            raise Unknown(f"/proc/net/{name}: {failed.strerror}") from None
        for fields in map(str.split, lines):
            if len(fields) > 9 and fields[3] == state:
                address, _, port = fields[1].partition(":")
                yield int(port, 16), _address(address), fields[9], fields[2]


def _address(words: str) -> str:
    """An address from the kernel's words of 32 bits, each in the machine's own byte order."""
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _holders(inodes: set[str]) -> dict[str, tuple[int, str]]:
    """By inode the process with the lowest number that has the socket open: the parent, not its children."""
    found: dict[str, tuple[int, str]] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            held = {match[1] for match in map(_socket, _links(f"/proc/{pid}/fd")) if match} & (inodes - set(found))
            if held:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    program = file.read().rstrip("\n")
                found |= dict.fromkeys(held, (pid, program))
        except OSError:
            continue  # It ended meanwhile, or is somebody else's and we are not root.
    return found


def _links(directory: str) -> Iterator[str]:
    for name in os.listdir(directory):
        try:
            yield os.readlink(f"{directory}/{name}")
        except FileNotFoundError:
            continue


def _socket(target: str) -> re.Match[str] | None:
    return re.fullmatch(r"socket:\[(\d+)\]", target)
