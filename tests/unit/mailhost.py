"""A host with system and virtual accounts, in a directory: what the delivery checks look at."""

from __future__ import annotations

import json
from pathlib import Path

from installation import install

from courierlib.host import Host, System
from courierlib.services import Completed
from courierlib.tree import MANIFEST

ALICE = "alice\t1000\t1000\t/home/alice\t\t\n"
BOB = "bob@virt.example.test\t900\t900\t/srv/mail/bob\t/srv/mail/bob/Maildir\t\n"
CAROL = "carol@virt.example.test\t900\t900\t/srv/mail/carol\t\t\n"

_PASSWD = "alice:x:1000:1000::/home/alice:/bin/sh\nvmail:x:900:900::/home/vmail:/usr/sbin/nologin\n"


def mail_host(
    root: Path,
    line: str,
    accounts: str = ALICE + BOB + CAROL,
    *,
    socket: int = 0o750,
    alices_home: tuple[int, str] = (1000, "0755"),
) -> Host:
    """A Debian host whose courierd has ``line`` for DEFAULTDELIVERY, and whose authdaemon lists ``accounts``.

    ``socket`` is the mode of authdaemon's directory, ``alices_home`` owner and mode of hers.
    """
    install(root)
    (root / "etc/courier/courierd").write_text(f"DEFAULTDELIVERY='{line}'\n")
    (root / "etc/courier/authdaemonrc").write_text('authmodulelist="authuserdb authpam"\n')
    with (root / "etc/passwd").open("a") as file:
        file.write(_PASSWD)
    (root / "usr/sbin/authenumerate").write_bytes(b"\x7fELF")
    (root / "run/courier/authdaemon").mkdir(parents=True)
    (root / "run/courier/authdaemon").chmod(socket)
    (root / "var/mail").mkdir(parents=True)
    (root / "etc/maildroprc").write_text('# Global maildrop filter file\n#DEFAULT="$HOME/Maildir"\n')
    for home in ("home/alice", "srv/mail/bob", "srv/mail/carol"):
        (root / home / "Maildir/new").mkdir(parents=True)
    owners = {"/home/alice": alices_home, "/srv/mail/bob": (900, "0750"), "/srv/mail/carol": (900, "0750")}
    files = {
        home: {"uid": uid, "gid": uid, "mode": mode, "kind": "dir", "mtime": 0} for home, (uid, mode) in owners.items()
    }
    (root / MANIFEST).write_text(json.dumps({"format": 1, "files": files}))
    return Host(str(root), System(run=lambda _: Completed(0, accounts, ""), services=None))
