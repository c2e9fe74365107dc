"""A host with authlib, in a directory: what the checks of accounts and logins look at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from installation import install

from courierlib.host import Host

MODULES = "/usr/lib/courier-authlib"


def auth_host(root: Path, modules: str = "authpam", files: Mapping[str, str] | None = None, more: str = "") -> Host:
    """A tree of files with authlib's programs and settings.

    Args:
        modules: authmodulelist.
        files: content of further files, by path.
        more: further lines of authdaemonrc.
    """
    if not (root / "etc/courier").exists():
        install(root)
        daemon = root / "usr/lib/courier/courier-authlib/authdaemond"
        daemon.parent.mkdir(parents=True)
        daemon.write_bytes(b"\x7fELF\0libcourierauth.so.0\0/usr/lib/courier-authlib\0/run/courier/authdaemon/socket\0")
        (root / "usr/sbin/authdaemond").write_text(
            "#! /bin/sh\nset -a\n. /etc/courier/authdaemonrc\n\nexec ${sbindir}/courierlogger "
            "-pid=/run/courier/authdaemon/pid $LOGGEROPTS -$1 /usr/lib/courier/courier-authlib/authdaemond\n"
        )
        (root / "usr/sbin/makeuserdb").write_text("#! /usr/bin/perl\n")
        for name in ("authpam", "authuserdb"):
            write(root, f"{MODULES}/lib{name}.so.0", "")
    write(root, "/etc/courier/authdaemonrc", f'authmodulelist="{modules}"\ndaemons=5\n{more}')
    for path, content in (files or {}).items():
        write(root, path, content)
    return Host(str(root))


def write(root: Path, path: str, content: str, mode: int = 0o644, age: float = 0) -> Path:
    """A file below the root, as old as ``age`` seconds."""
    real = root / path[1:]
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_text(content)
    real.chmod(mode)
    then = real.stat().st_mtime - age
    os.utime(real, (then, then))
    return real
