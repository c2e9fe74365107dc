"""Which domains this host delivers for, which it accepts by SMTP, and which it hands on by a route."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib import databases

if TYPE_CHECKING:
    from courierlib.host import Host


@dataclass(frozen=True)
class Domains:
    """What is in force, in lower case; a name that begins with a dot stands for all names below it.

    Args:
        me: the host's own name for mail; empty if it cannot be told.
        locals: lines of ``locals``; without the file, ``me``.
        hosted: keys of hosteddomains.dat.
        accepted: lines of ``esmtpacceptmailfor``, without it ``me``, and keys of esmtpacceptmailfor.dat.
        routed: names in ``esmtproutes``; an empty one is for all.
        pending_accepted: keys of esmtpacceptmailfor.dir, perhaps not built yet: another issue.
    """

    me: str
    locals: tuple[str, ...]
    hosted: tuple[str, ...]
    accepted: tuple[str, ...]
    routed: tuple[str, ...]
    pending_accepted: tuple[str, ...]

    def is_local(self, domain: str) -> bool:
        """Whether mail for it is delivered here (read: config_islocal in courier/libs/islocal.c, 1.4.1)."""
        return covers(self.locals, domain) or covers(self.hosted, domain)

    def is_accepted(self, domain: str) -> bool:
        """Whether SMTP takes mail for it from strangers (read: acceptdomain in module.esmtp/esmtp.c, 1.4.1)."""
        return covers(self.accepted, domain)

    def is_routed(self, domain: str) -> bool:
        """Whether a route says where it goes (read: fetch_smtproutes in module.esmtp/smtproutes.c, 1.4.1)."""
        return "" in self.routed or covers(self.routed, domain)


def covers(names: tuple[str, ...], domain: str) -> bool:
    """Whether a list has the domain itself, or a name with a dot that stands for it; ``!name`` excludes one."""
    for name in names:
        if name.startswith("!") and _fits(name[1:], domain):
            return False
        if _fits(name, domain):
            return True
    return False


def read(host: Host) -> Domains:
    """The domains of this host.

    Raises:
        Unknown: a file or database cannot be read.
    """
    me = databases.own_name(host)
    own = (me,) if me else ()
    tables = {name: databases.named(host, name) for name in ("hosteddomains", "esmtpacceptmailfor")}
    compiled = {name: tuple(table.compiled or ()) if table else () for name, table in tables.items()}
    pending = getattr(tables["esmtpacceptmailfor"], "entries", None) or ()
    accepted = _lines(host, "esmtpacceptmailfor")
    # Nothing before the colon is for all domains; nothing behind it means: by MX after all.
    routes = re.findall(r"^([^:\n\r]*):[ \t]*(?=\S)", "\n".join(_lines(host, "esmtproutes") or ()), re.MULTILINE)
    found = _lines(host, "locals")
    return Domains(
        me=me,
        # No address has white space in its domain, so such a line is for none; nor may it be passed on as one.
        locals=own if found is None else tuple(name for name in found if not re.search(r"\s", name)),
        hosted=tuple(key.lower() for key in compiled["hosteddomains"]),
        accepted=(own if accepted is None else accepted) + tuple(key.lower() for key in compiled["esmtpacceptmailfor"]),
        routed=tuple(routes),
        pending_accepted=tuple(key.lower() for key in pending),
    )


def _fits(name: str, domain: str) -> bool:
    return domain == name or (name.startswith(".") and domain.endswith(name))


def _lines(host: Host, name: str) -> tuple[str, ...] | None:
    """Lines of a list without its comments; None if there is no such file. White space is part of a name
    (read: removecomments.c, islocal.c, 1.4.1)."""
    path = host.conffile(name)
    if not host.exists(path):
        return None
    text = host.read(path).decode("utf-8", "surrogateescape").lower()
    return tuple(line for line in re.split(r"[\r\n]", re.sub(r"#[^\n]*", "", text)) if line)
