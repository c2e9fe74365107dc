"""Who listens on which TCP port, and who is connected, from the kernel's own tables."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
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


@dataclass(frozen=True)
class Sockets:
    """The TCP sockets of the minion's own network namespace.

    Args:
        connections: how many connections each address has to each local port; IPv4 addresses as such.
    """

    listeners: tuple[Listener, ...]
    connections: Mapping[int, Counter[str]]


def read() -> Sockets:
    """All TCP sockets; the kernel takes milliseconds to list them, however few there are.

    Raises:
        Unknown: without a readable /proc.
    """
    listening: list[tuple[int, str, str]] = []
    connections: dict[int, Counter[str]] = {}
    for fields in _rows():
        local, _, port = fields[1].partition(":")
        if fields[3] == _LISTEN:
            listening.append((int(port, 16), _address(local), fields[9]))
        elif fields[3] == _ESTABLISHED:
            remote = _address(fields[2].partition(":")[0]).removeprefix("::ffff:")
            connections.setdefault(int(port, 16), Counter())[remote] += 1
    holders = _holders({inode for _, _, inode in listening})
    listeners = (Listener(port, address, *holders.get(inode, (None, ""))) for port, address, inode in listening)
    return Sockets(tuple(listeners), connections)


def _rows() -> Iterator[list[str]]:
    """Fields of each socket (read: Documentation/networking/proc_net_tcp, Linux 6.12)."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue  # A kernel without IPv6.
        except OSError as failed:
            raise Unknown(f"/proc/net/{name}: {failed.strerror}") from None
        yield from (fields for line in lines if len(fields := line.split()) > 9)


def _address(words: str) -> str:
    """An address from the kernel's words of 32 bits, each in the machine's own byte order."""
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _holders(inodes: set[str]) -> dict[str, tuple[int, str]]:
    """By inode the process with the lowest number that has the socket open: the parent, not its children."""
    found: dict[str, tuple[int, str]] = {}
    wanted = set(inodes)
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if not wanted:
            break
        try:
            held = {match[1] for match in map(_socket, descriptors(pid)) if match} & wanted
            if held:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    program = file.read().rstrip("\n")
                found |= dict.fromkeys(held, (pid, program))
                wanted -= held
        except OSError:
            continue  # It ended meanwhile, or is somebody else's and we are not root.
    return found


def descriptors(pid: int) -> Iterator[str]:
    """What the open files of a process are, as the kernel names them; those that are closed meanwhile are left out.

    Raises:
        OSError: it has ended, or is somebody else's and we are not root.
    """
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue


def _socket(target: str) -> re.Match[str] | None:
    return re.fullmatch(r"socket:\[(\d+)\]", target)
