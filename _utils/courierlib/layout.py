"""Where a Courier installation keeps its parts, as its own scripts say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from courierlib.tree import Tree, Unreadable

PREFIXES = ("/usr", "/usr/lib/courier", "/usr/lib/courier-imap", "/usr/local", "/usr/local/courier", "/opt/courier")
"""Where an installation may be: distributions, upstream's default (run: built from the 1.4.1 tarball), and places to
look in for Courier IMAP alone, FreeBSD and an administrator's own choice."""

AUTHLIB_DIRECTORIES = ("/etc/authlib", "/etc/courier", "/usr/local/etc/authlib")
"""authlib is configured apart from Courier: /etc/authlib in some packages, Debian's own (run: also beside a Courier
built from source), and upstream's default (read: INSTALL, authlib 0.73.1)."""

_SCRIPT_DIRS = ("lib/courier", "sbin", "share", "libexec", "libexec/courier")
_SCRIPTS = (
    "courierctl.start",
    "filterctl",
    "makealiases",
    "makeacceptmailfor",
    "esmtpd",
    "esmtpd-ssl",
    "imapd",
    "imapd-ssl",
    "pop3d",
    "pop3d-ssl",
)
"""Scripts that configure wrote directories into, the most telling first (read: courier/*.in, libs/imap/*.rc.in,
1.4.1)."""

_DIRECTORY = re.compile(
    r"^(prefix|exec_prefix|sysconfdir|bindir|sbindir|libexecdir|datadir|datarootdir|localstatedir|piddir)="
    r"""["']?((?:[^"'$`\\\s;]|\$\{\w+\}|\$\w+)*)["']?;?\s*$""",
    re.MULTILINE,
)
_DEFAULTS = {
    "exec_prefix": "${prefix}",
    "bindir": "${exec_prefix}/bin",
    "sbindir": "${exec_prefix}/sbin",
    "libexecdir": "${exec_prefix}/libexec",
    "datarootdir": "${prefix}/share",
    "datadir": "${datarootdir}",
    "sysconfdir": "${prefix}/etc",
    "localstatedir": "${prefix}/var",
    "piddir": "${localstatedir}",
}
"""What configure assumes (run: built from the 1.4.1 tarball)."""

_PARTS = {
    "mta": ("courier/courierd", "courier/modules/esmtp/courieresmtpd"),
    "imap": ("imapd", "imapd-ssl"),
    "pop": ("pop3d", "pop3d-ssl"),
}


@dataclass(frozen=True)
class Layout:
    """Directories of one installation.

    Args:
        mailuser: user that the build runs its daemons as.
        mailgroup: group of the same.
        scripts: path of each start script that exists, by name.
        known: the script that said it.
    """

    prefix: str
    exec_prefix: str
    sysconfdir: str
    bindir: str
    sbindir: str
    libexecdir: str
    localstatedir: str
    piddir: str
    mailuser: str
    mailgroup: str
    scripts: Mapping[str, str]
    known: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What the start scripts set before they source a configuration file (read: esmtpd.in, imapd-ssl.rc.in,
        1.4.1)."""
        names = ("prefix", "exec_prefix", "sysconfdir", "bindir", "sbindir", "libexecdir")
        return {name: getattr(self, name) for name in names}


def discover(tree: Tree, prefixes: tuple[str, ...] = ()) -> Layout | None:
    """Find the installation.

    Args:
        prefixes: looked at before PREFIXES, for instance those of running daemons.

    Returns:
        The first installation whose configuration directory exists; None if there is none.

    Raises:
        Unreadable: a script is there but cannot be read.
    """
    for prefix in (*prefixes, *PREFIXES):
        scripts = {name: path for name in _SCRIPTS if (path := _script(tree, prefix, name))}
        if not scripts:
            continue
        said: dict[str, str] = {}
        for path in scripts.values():
            said = dict(_assignments(tree, path)) | said
        if "prefix" not in said:
            continue
        directories = {name: _expand(name, said) for name in ("prefix", *_DEFAULTS)}
        if not tree.exists(directories["sysconfdir"]):
            continue
        first = next(iter(scripts.values()))
        user, group = _mail_user(tree, directories, scripts)
        # Not every packaging tells its scripts datadir, so it is not a fact.
        del directories["datarootdir"], directories["datadir"]
        return Layout(**directories, mailuser=user, mailgroup=group, scripts=scripts, known=f"read: {first}")
    return None


def components(tree: Tree, layout: Layout) -> frozenset[str]:
    """Which parts are installed: ``mta``, ``imap``, ``pop``, ``maildrop``, ``authdaemon``."""
    found = {
        part
        for part, programs in _PARTS.items()
        if any(program in layout.scripts or tree.exists(f"{layout.libexecdir}/{program}") for program in programs)
    }
    # Under upstream's prefix courierd is in libexec/courier; the module directory below it (read:
    # courier/Makefile.am, 1.4.1).
    if "mta" not in found and tree.exists(f"{layout.sysconfdir}/courierd") and tree.exists(f"{layout.sbindir}/courier"):
        found.add("mta")
    if any(tree.exists(f"{directory}/maildrop") for directory in (layout.bindir, "/usr/bin", "/usr/local/bin")):
        found.add("maildrop")
    if any(tree.exists(f"{directory}/authdaemonrc") for directory in (layout.sysconfdir, *AUTHLIB_DIRECTORIES)):
        found.add("authdaemon")
    return frozenset(found)


def _script(tree: Tree, prefix: str, name: str) -> str:
    for directory in _SCRIPT_DIRS:
        path = f"{prefix}/{directory}/{name}"
        found = tree.stat(path)
        # The daemons imapd and pop3d have the names of their start scripts; a script is small.
        if found and found.kind == "file" and found.size < 65536:
            return path
    return ""


def _assignments(tree: Tree, path: str) -> Iterator[tuple[str, str]]:
    content = tree.read(path, 65536)
    if content.startswith(b"#!"):
        yield from _DIRECTORY.findall(content.decode("utf-8", "replace"))


def _expand(name: str, said: Mapping[str, str], depth: int = 0) -> str:
    value = said.get(name, _DEFAULTS.get(name, ""))
    if depth > len(_DEFAULTS):
        return value
    return re.sub(r"\$\{?(\w+)\}?", lambda match: _expand(match[1], said, depth + 1), value)


def _mail_user(tree: Tree, directories: Mapping[str, str], scripts: Mapping[str, str]) -> tuple[str, str]:
    """User and group of the build: ``mkdhparams`` and the imapd-ssl script name the user, filterctl's chgrp the
    group."""
    user = group = ""
    candidates = [f"{directories['sbindir']}/mkdhparams", f"{directories['datadir']}/mkdhparams", *scripts.values()]
    for path in candidates:
        try:
            text = tree.read(path, 65536).decode("utf-8", "replace")
        except Unreadable as failed:
            if failed.missing:
                continue
            raise
        user = user or _first(r'install -b -m 0?600 -o "([\w.-]+)"|^\s*chown ([a-z_][\w.-]*) +["$]', text)
        group = group or _first(r'^\s*chgrp ([a-z_][\w.-]*) +["$]', text)
    return user or "courier", group or user or "courier"


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return next((found for found in match.groups() if found), "") if match else ""
