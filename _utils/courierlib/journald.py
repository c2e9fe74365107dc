"""The systemd journal as a stream of lines, one for each entry.

journalctl reads it, for the format of the files changes with systemd, and in its short form: twice as fast as export,
four times as fast as JSON (run: systemd 252, 400,000 entries). Its output is streamed: a collected one has no bound.

journalctl indents the further lines of a message. They are joined to the first one with ``#012``, as rsyslog does it,
so that a message cannot imitate a line of another process.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime
from math import ceil

from courierlib.issue import Unknown
from courierlib.logstream import Pieces
from courierlib.maillog import PROCESSES

DIRECTORIES = ("/var/log/journal", "/run/log/journal")
"""Where the journal's files are: kept, and of this boot only."""

PATIENCE = 60.0
"""Seconds that journalctl may take for the next piece of output."""

_OPTIONS = ("--quiet", "--all", "--no-pager", "--output=short-iso-precise", "--show-cursor")
_CURSOR = b"-- cursor: "
_JOINT = b"#012"
_FURTHER = re.compile(rb"\n +")
_PIECE = 1 << 18
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_LOG_LEVEL": "warning"}


class Journal(Pieces):
    """journalctl's output; ended with ``close``.

    Args:
        places: ``--directory=…`` or ``--file=…``; none for the journal of this host.
        cursor: the first entry; excludes ``since``.
        last: only so many entries, the newest.

    Raises:
        Unknown: there is no journalctl, or it does not start.
    """

    def __init__(
        self,
        places: Sequence[str] = (),
        *,
        cursor: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        last: int = 0,
    ):
        super().__init__()
        self._joined = Joined()
        self._process = self._output = None
        command = [_program(), *_OPTIONS, *places, *(f"--identifier={process}" for process in PROCESSES)]
        if cursor:
            command.append(f"--cursor={cursor}")
        elif since:
            command.append(f"--since=@{max(int(since.timestamp()), 0)}")
        if until:
            command.append(f"--until=@{max(ceil(until.timestamp()), 0)}")
        if last:
            command.append(f"--lines={last}")
        self._said = None
        try:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as failed:
            if self._said:
                self._said.close()
            raise Unknown(f"journal: {command[0]}: {(failed.strerror or 'does not start').lower()}") from None
        self._output = self._process.stdout

    def piece(self) -> bytes:
        piece = b""
        while not piece and self._output is not None:
            read = self._read()
            piece = self._joined.feed(read) if read else self._joined.rest()
            if not read:
                self._end()
        return piece

    def _read(self) -> bytes:
        waiting = select.poll()
        waiting.register(self._output, select.POLLIN)
        if waiting.poll(PATIENCE * 1000):
            return os.read(self._output.fileno(), _PIECE)
        self.trouble = f"journalctl said nothing for {PATIENCE:.0f} seconds and was stopped"
        self._process.kill()
        return b""

    def _end(self) -> None:
        self._output.close()
        self._output = None
        status = self._process.wait()
        self._said.seek(0)
        said = self._said.read(1000).decode("utf-8", "replace").strip()
        # Without a message, exit status 1 only means that there is nothing (run: systemd 252).
        if not self.trouble and (said or status < 0 or status > 1):
            self.trouble = f"journalctl: {said.splitlines()[0] if said else _ending(status)}"

    def close(self) -> None:
        """End journalctl, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.stdout.close()
            self._process.wait()
            self._process = self._output = None
            self._said.close()
        super().close()


def _program() -> str:
    program = shutil.which("journalctl")
    if not program:
        raise Unknown("journal: journalctl is not installed here")
    return program


def installed() -> bool:
    """Whether this machine can read a journal."""
    return shutil.which("journalctl") is not None


def _ending(status: int) -> str:
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class Joined:
    """Joins the indented lines of journalctl's output to the line before, piece by piece."""

    def __init__(self) -> None:
        self._broken = False  # The last piece ended with a line break that is held back.
        self._indent = False  # It ended within the spaces that begin a further line.

    def feed(self, piece: bytes) -> bytes:
        """The next piece."""
        if self._broken:
            piece, self._broken = b"\n" + piece, False
        if self._indent:
            piece = piece.lstrip(b" ")
            self._indent = not piece
        if piece.endswith(b"\n"):
            piece, self._broken = piece[:-1], True
        if b"\n " not in piece:
            return piece
        self._indent = piece.endswith(b" ") and not piece[piece.rfind(b"\n") + 1 :].strip(b" ")
        return _FURTHER.sub(_JOINT, piece)

    def rest(self) -> bytes:
        """What was held back, at the end."""
        held, self._broken = b"\n" * self._broken, False
        return held


def without_cursor(block: bytes) -> tuple[bytes, str]:
    """A block of the output without the line by which journalctl tells its cursor, and the cursor.

    An entry begins with its time and a further line of it is joined: nothing that is logged can look like that line.
    """
    last = block.rfind(b"\n", 0, -1) + 1
    if not block.startswith(_CURSOR, last):
        return block, ""
    return block[:last], block[last + len(_CURSOR) :].decode("utf-8", "replace").strip()
