"""A host whose accounts have whole Maildirs, in a directory: what the checks of mailboxes look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from mailhost import ALICE, BOB, mail_host

from courierlib.host import Host, System
from courierlib.services import Completed
from courierlib.tree import MANIFEST

ALICES, BOBS = "/home/alice/Maildir", "/srv/mail/bob/Maildir"
_OWNERS = {"home/alice": 1000, "srv/mail/bob": 900, "srv/mail/carol": 900}


def mailbox_host(
    root: Path,
    change: Callable[[Path], object] = lambda root: None,
    *,
    owners: Mapping[str, tuple[int, int, int]] | None = None,
    accounts: str = ALICE + BOB,
    line: str = "./Maildir",
    running: bool = True,
) -> Host:
    """A Debian host with Maildirs for alice and bob.

    Args:
        change: what is changed of its files before it is looked at.
        owners: uid, gid and mode of paths, over those of a sound host.
        accounts: what authdaemon lists.
        line: DEFAULTDELIVERY.
        running: authdaemon can be asked.
    """
    mail_host(root, line, accounts)
    for home in _OWNERS:
        for part in ("cur", "new", "tmp"):
            (root / home / "Maildir" / part).mkdir(exist_ok=True)
    change(root)
    files = {}
    for home, uid in _OWNERS.items():
        for real in [root / home, *(root / home).rglob("*")] if (root / home).is_dir() else []:
            path = f"/{real.relative_to(root)}"
            uid_there, gid, mode = (owners or {}).get(path, (uid, uid, 0o700 if real.is_dir() else 0o600))
            recorded = {"uid": uid_there, "gid": gid, "mode": f"{mode:04o}", "mtime": real.lstat().st_mtime}
            kind = "link" if real.is_symlink() else "dir" if real.is_dir() else "file"
            files[path] = recorded | {"kind": kind, **({"link": str(real.readlink())} if kind == "link" else {})}
    (root / MANIFEST).write_text(json.dumps({"format": 1, "files": files}))
    system = System(run=lambda _: Completed(0, accounts, ""), services=None)
    return Host(str(root), system if running else None)


def found(issue: object, host: Host) -> dict[str, str]:
    """What a check finds: detail by place; nothing is unknown."""
    return {finding.where: finding.detail for finding in issue.check(host)}
