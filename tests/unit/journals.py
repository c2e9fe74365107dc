"""Journals that a real journald writes: one of its own, in a mount namespace, into a directory of the test's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_JOURNALD = next(
    (path for path in ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald") if os.path.exists(path)),
    "",
)
_NAMESPACE = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d
cd /run/systemd
printf '[Journal]\\nStorage=persistent\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n' > journald.conf.d/a.conf
: > journal/flushed
mount -t tmpfs tmpfs /var/log
mkdir /var/log/journal
mount --bind "$DIRECTORY" /var/log/journal
"$JOURNALD" &
while ! [ -S /run/systemd/journal/dev-log ]; do sleep 0.05; done
"$PYTHON" -c "$SEND"
kill -s RTMIN+1 $!
while ! [ -e /run/systemd/journal/synced ]; do sleep 0.05; done
[ -z "$ROTATE" ] || { kill -s USR2 $!; sleep 0.5; }
kill $!
wait $!
"""
_SEND = """
import json, os, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
    channel.connect("/run/systemd/journal/dev-log")
    for message in json.loads(os.environ["MESSAGES"]):
        channel.send(message.encode("latin-1"))
"""

available = bool(_JOURNALD and shutil.which("unshare") and os.path.exists("/etc/machine-id"))


def log(directory: Path, messages: Sequence[str], rotate: bool = False) -> None:
    """Have journald log syslog messages (``<22>imapd[7]: text``).

    Args:
        directory: what journald takes for /var/log/journal.
        rotate: begin a new file afterwards.
    """
    directory.mkdir(exist_ok=True)
    environment = {
        "DIRECTORY": str(directory),
        "JOURNALD": _JOURNALD,
        "PYTHON": sys.executable,
        "SEND": _SEND,
        "MESSAGES": json.dumps(list(messages)),
        "ROTATE": "yes" if rotate else "",
    }
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _NAMESPACE]
    subprocess.run(command, env=os.environ | environment, check=True, timeout=60)


def archived(directory: Path) -> list[Path]:
    """The files that journald no longer writes to."""
    return sorted(directory.rglob("system@*.journal"))
