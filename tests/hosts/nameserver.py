"""A name server that knows no name, so that Courier's lookups fail at once and not after minutes."""

from __future__ import annotations

import contextlib
import socket
import threading

_NXDOMAIN = bytes((0x81, 0x83))


def serve(address: str) -> socket.socket:
    """
    Answer every query to ``address`` with "no such name", in a thread, until the returned socket is closed.

    Test runs side by side share the address: whichever socket the kernel picks gives the same answer.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((address, 53))
    threading.Thread(target=_answer, args=(server,), name="nameserver", daemon=True).start()
    return server


def close(server: socket.socket) -> None:
    """Wake the thread that waits on the socket, and close it."""
    # A datagram socket is not connected, which Linux reports after it has woken the reader.
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()


def _answer(server: socket.socket) -> None:
    while True:
        try:
            query, client = server.recvfrom(4096)
        except OSError:
            return
        if not query:
            return
        if len(query) > 16:
            server.sendto(_refusal(query), client)


def _refusal(query: bytes) -> bytes:
    """The query's header and question; without the additional records a resolver may have sent (EDNS)."""
    end = 12
    while end < len(query) and query[end]:
        end += query[end] + 1
    return query[:2] + _NXDOMAIN + query[4:6] + bytes(6) + query[12 : end + 5]
