"""A host with Courier's compiled tables, in a directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import gdbmfiles
from spoolhost import COURIERD, ESMTPD, IMAPD, spool_host

from courierlib.host import Host, Process

SMTPACCESS = """# shipped
127.0.0.1\tallow,RELAYCLIENT
:0000:0000:0000:0000:0000:0000:0000:0001\tallow,RELAYCLIENT
10\tallow,RELAYCLIENT
192.168\tallow,RELAYCLIENT
"""
ALIASES = "root: postmaster\nmailer-daemon: postmaster\nMAILER-DAEMON: postmaster\nuucp: postmaster\npostmaster:\n"
RELAY = dict(line.split("\t") for line in SMTPACCESS.splitlines()[1:])
PROGRAMS = ("makesmtpaccess", "makehosteddomains", "makeacceptmailfor", "makepercentrelay", "makealiases")
YOUNG = dataclasses.replace(COURIERD, pid=1 << 23, started=1 << 50)
"""courierd that was started after everything else, and whose open files nobody sees."""
WITH_ACCESS = (*ESMTPD.arguments[:1], "-access=/etc/courier/smtpaccess.dat", *ESMTPD.arguments[1:])


def table_host(
    root: Path,
    sources: Mapping[str, str] | None = None,
    compiled: Mapping[str, Mapping[str, str]] | None = None,
    *,
    processes: Sequence[Process] = (YOUNG, ESMTPD, IMAPD),
) -> Host:
    """A stock host named mx1.example.test.

    Args:
        sources: further files below ``/etc/courier``, over those that are shipped.
        compiled: databases there, by name without ``.dat``.
    """
    host = spool_host(root, processes=processes)
    etc = root / "etc/courier"
    for name in PROGRAMS:
        (root / "usr/sbin" / name).touch()
    for name in ("smtpaccess", "aliases", "hosteddomains", "esmtpacceptmailfor.dir"):
        (etc / name).mkdir(exist_ok=True)
    with open(etc / "esmtpd", "a", encoding="utf-8") as file:
        file.write("ACCESSFILE=${sysconfdir}/smtpaccess\n")
    shipped = {
        "smtpaccess/default": SMTPACCESS,
        "aliases/system": ALIASES,
        "me": "mx1.example.test\n",
        "locals": "localhost\nmx1.example.test\n",
    }
    for name, content in (shipped | dict(sources or {})).items():
        (etc / name).write_text(content)
    for name, entries in (compiled or {}).items():
        gdbmfiles.write(etc / f"{name}.dat", entries)
    return host
