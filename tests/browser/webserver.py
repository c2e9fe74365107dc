"""The built site on 127.0.0.1 as a web host serves it: below its path, compressed, with a page for what is missing."""

from __future__ import annotations

import functools
import gzip
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_COMPRESSED = ("text/", "application/javascript", "application/json", "image/svg+xml", "application/xml")


@dataclass(frozen=True)
class Sent:
    """An answer: what was asked for, the status, and how many bytes of body went out."""

    path: str
    status: int
    size: int


@dataclass(frozen=True)
class Site:
    """A running server.

    Args:
        base: address of the start page, with the slash at its end.
        sent: every answer so far.
    """

    base: str
    sent: list[Sent] = field(default_factory=list)


@contextmanager
def serve(folder: Path, prefix: str) -> Iterator[Site]:
    """Serve a folder for the length of the ``with`` block.

    Args:
        folder: what to serve.
        prefix: path that it stands below, without the slash at its end.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two packets: with Nagle's algorithm the second waits for the first's receipt.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            file = _file(folder, path.removeprefix(prefix)) if path.startswith(f"{prefix}/") else None
            status = 200 if file else 404
            kind, plain, packed = _content(file or folder / "404.html")
            body = packed if packed and "gzip" in self.headers.get("Accept-Encoding", "") else plain
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if body is packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            # Noted before it is sent: who has the answer finds it here.
            site.sent.append(Sent(path.removeprefix(prefix).lstrip("/"), status, len(body)))
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_address[1]}{prefix}/")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _file(folder: Path, path: str) -> Path | None:
    file = (folder / path.lstrip("/")).resolve()
    if path.endswith("/"):
        file /= "index.html"
    return file if file.is_file() and file.is_relative_to(folder.resolve()) else None


@functools.cache
def _content(file: Path) -> tuple[str, bytes, bytes]:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    plain = file.read_bytes()
    return kind, plain, gzip.compress(plain, 6, mtime=0) if kind.startswith(_COMPRESSED) else b""
