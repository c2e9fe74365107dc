"""Another mail server: takes mail over SMTP with STARTTLS, and keeps it for a test to look at."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Sink:
    """What was taken.

    Args:
        port: where it listens.
        messages: each with its headers, in the order in which they came, and whether it came with TLS.
    """

    port: int
    messages: list[tuple[str, bool]] = field(default_factory=list)

    def took(self, marker: str, timeout: float = 15) -> bool | None:
        """Whether the message with this marker came with TLS; None if none came in time."""
        deadline = time.monotonic() + timeout
        while True:
            found = [encrypted for message, encrypted in self.messages if marker in message]
            if found or time.monotonic() > deadline:
                return found[0] if found else None
            time.sleep(0.1)


@contextmanager
def serve(address: str, certificate: Path) -> Iterator[Sink]:
    """Listen on a free port until the block ends.

    Args:
        certificate: PEM file with the certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    messages: list[tuple[str, bool]] = []

    class Session(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            stream, encrypted = self.request.makefile("rwb", buffering=0), False
            stream.write(b"220 sink.example.test ESMTP\r\n")
            try:
                while verb := stream.readline().split(b" ")[0].strip().upper():
                    if verb == b"STARTTLS":
                        stream.write(b"220 go on\r\n")
                        secured = context.wrap_socket(self.request, server_side=True)
                        stream, encrypted = secured.makefile("rwb", buffering=0), True
                    elif verb == b"DATA":
                        stream.write(b"354 go on\r\n")
                        messages.append((b"".join(iter(stream.readline, b".\r\n")).decode(), encrypted))
                        stream.write(b"250 taken\r\n")
                    elif verb == b"EHLO":
                        stream.write(b"250-sink.example.test\r\n250 STARTTLS\r\n")
                    elif verb == b"QUIT":
                        stream.write(b"221 bye\r\n")
                        return
                    else:
                        stream.write(b"250 fine\r\n")
            except OSError:
                return  # The other side hung up, as it does if it does not like the certificate.

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server((address, 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Sink(server.server_address[1], messages)
        server.shutdown()
