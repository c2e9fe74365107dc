"""A small Courier installation in a directory, for tests of what only reads files."""

from __future__ import annotations

from pathlib import Path

from courierlib.host import Host, System
from courierlib.services import Run

_SCRIPT = """#! /bin/sh
prefix="{prefix}"
exec_prefix="{prefix}"
sysconfdir="{sysconfdir}"
bindir="{bindir}"
sbindir="{sbindir}"
libexecdir="{libexecdir}"
localstatedir="{localstatedir}"
piddir="{piddir}"
case "$1" in start) ;; esac
"""

DEBIAN = {
    "prefix": "/usr",
    "sysconfdir": "/etc/courier",
    "bindir": "/usr/bin",
    "sbindir": "/usr/sbin",
    "libexecdir": "${{prefix}}/lib/courier",
    "localstatedir": "/var/lib/courier",
    "piddir": "/run/courier",
}


def install(root: Path, library: str = "gnutls", version: str = "1.4.1") -> Path:
    """Lay Debian's layout below ``root``: scripts, stock settings, and what is read of binaries."""
    scripts = root / "usr/lib/courier"
    scripts.mkdir(parents=True)
    for name in ("filterctl", "esmtpd", "esmtpd-ssl", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "courierctl.start"):
        (scripts / name).write_text(_SCRIPT.format(**DEBIAN).replace("{{", "{").replace("}}", "}"))
    (scripts / "courier").mkdir()
    (scripts / "courier/courierd").write_bytes(b"\x7fELF")
    for directory in ("usr/bin", "usr/sbin", "etc/courier", "var/lib/courier"):
        (root / directory).mkdir(parents=True)
    (root / "usr/bin/couriertls").write_bytes(
        b"\x7fELF\0" + {"gnutls": b"libgnutls.so.30", "openssl": b"libssl.so.3"}[library] + b"\0"
    )
    (root / "usr/sbin/courier").write_bytes(b"\x7fELF\0Courier " + version.encode() + b" Copyright\0")
    (root / "usr/sbin/mkdhparams").write_text('install -b -m 0600 -o "courier" /dev/null $TLS_DHPARAMS.tmp\n')
    (root / "usr/bin/maildrop").write_bytes(b"\x7fELF\0maildrop 3.1.8 Copyright\0")
    for name, pem in {"esmtpd": "esmtpd", "imapd-ssl": "imapd", "pop3d-ssl": "pop3d"}.items():
        (root / "etc/courier" / name).write_text(
            f"COURIERTLS=/usr/bin/couriertls\nTLS_CERTFILE=/etc/courier/{pem}.pem\n"
            "TLS_DHPARAMS=${sysconfdir}/dhparams.pem\n"
        )
    for name in ("esmtpd-msa", "esmtpd-ssl", "imapd", "pop3d"):
        (root / "etc/courier" / name).write_text("")
    with open(root / "etc/courier/esmtpd", "a", encoding="utf-8") as file:
        file.write("MAILUSER=courier\nMAILGROUP=courier\n")
    (root / "etc/courier/courierd").write_text("DEFAULTDELIVERY=./Maildir\n")
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/x\ncourier:x:107:113::/var/lib/courier:/x\n"
    )
    (root / "etc/group").write_text("root:x:0:\ndaemon:x:1:\ncourier:x:113:\n")
    return root


def running(root: Path, run: Run) -> Host:
    """The same as a running host, where ``run`` answers every command."""
    return Host(str(root), System(run, None))
