"""Tables that Courier compiles: which source, which database, which program; whether they agree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courierlib import gdbm
from courierlib.issue import Unknown
from courierlib.plan import RunProgram
from courierlib.queue import allow_start
from courierlib.tree import Unreadable

if TYPE_CHECKING:
    from courierlib.host import Host, Process

OPEN_RELAY = "relay-private-networks"
"""Leave to build a database that lets whole private networks relay."""
DROP_ENTRIES = "drop-entries"
"""Leave to build a database without entries that are in force now."""

MAX_FILES = 1000
"""Files of a source that are looked at; a larger one is not judged."""
_MAX_DATABASE = 64 << 20

PRIVATE_BLOCKS: Mapping[str, str] = {"10": "10.0.0.0/8", "192.168": "192.168.0.0/16"}
"""Networks that the shipped smtpaccess/default lets relay (read: courier/smtpaccess.config, 1.4.1)."""
_LOOPBACK = ("127.0.0.1", ":0000:0000:0000:0000:0000:0000:0000:0001")
_SHIPPED_ALIASES = ("root", "mailer-daemon", "uucp")

_SMTP = ("smtp", "msa", "smtps")
_NETBLOCK = re.compile(r"[a-fA-F0-9:.]+[-/][a-fA-F0-9:.]+\s")
_DEPENDS_ON_VERSION = (".rpmsave", ".rpmnew", ".dist")
_IGNORED = re.compile(r"~$|\.dpkg-[a-z]*$")


@dataclass(frozen=True)
class Database:
    """A compiled table.

    Args:
        name: of its source, without directory.
        source: file or directory that it is compiled from.
        path: the database.
        program: what compiles it; empty if that is not installed.
        restarts: roles that go on with the old one until they start again.
        serves: what it is for.
        entries: what the source would compile to, a None for a value that cannot be told; None if that is not certain.
        compiled: what the database holds; None if there is none, or it cannot be read.
        present: there is a database.
        older: than its source.
    """

    name: str
    source: str
    path: str
    program: str
    restarts: tuple[str, ...]
    serves: str
    entries: Mapping[str, str | None] | None
    compiled: Mapping[str, str] | None
    present: bool
    older: bool

    @property
    def added(self) -> list[str]:
        """Entries of the source that are not in the database."""
        return sorted((self.entries or {}).keys() - (self.compiled or {}).keys())

    @property
    def dropped(self) -> list[str]:
        """Entries of the database that are not in the source any more."""
        return [] if self.entries is None else sorted((self.compiled or {}).keys() - self.entries.keys())

    @property
    def changed(self) -> list[str]:
        """Entries that say something else in the database."""
        both = (self.entries or {}).keys() & (self.compiled or {}).keys()
        return sorted(key for key in both if self.entries[key] not in (None, self.compiled[key]))

    @property
    def comparable(self) -> bool:
        """Whether source and database can be compared entry by entry."""
        return self.entries is not None and self.compiled is not None

    @property
    def own(self) -> list[str]:
        """Entries of the source that nobody ships: the operator's."""
        return [key for key in self.entries or {} if not self._shipped(key)]

    @property
    def opens(self) -> list[str]:
        """Private networks that could relay if the database were built now, and cannot yet."""
        before = relaying(self.compiled or {}) if self.present else []
        return [block for block in relaying(self.entries or {}) if block not in before]

    def _shipped(self, key: str) -> bool:
        value = (self.entries or {}).get(key)
        if self.name == "aliases":
            # None: to a postmaster who has an alias, the operator's.
            to_postmaster = value is None or value.partition("@")[0] == "postmaster"
            return key.partition("@")[0] in _SHIPPED_ALIASES and to_postmaster
        return self.name == "smtpaccess" and key in (*_LOOPBACK, *PRIVATE_BLOCKS) and value == "allow,RELAYCLIENT"


def read(host: Host) -> tuple[Database, ...]:
    """Every table of this host whose source is there.

    Raises:
        Unknown: a setting is computed by the shell, or a file cannot be read.
    """
    return tuple(_database(host, *row) for row in _table(host) if host.exists(row[1]))


def named(host: Host, name: str) -> Database | None:
    """The table of this name; that of port 25, where several are called ``smtpaccess``."""
    return next((found for found in host.once(read) if found.name == name), None)


def relaying(entries: Mapping[str, str | None]) -> list[str]:
    """The shipped private networks that may relay."""
    return [block for block in PRIVATE_BLOCKS if relays(entries.get(block) or "")]


def relays(rule: str) -> bool:
    """Whether an access rule lets its addresses relay: RELAYCLIENT is set, to whatever
    (read: doallowaccess in libs/tcpd/tcpd.c, rwrecip in module.esmtp/esmtp.c, 1.4.1)."""
    return not rule.startswith("deny") and re.search(r"(^|,)\s*RELAYCLIENT\s*(=|,|$)", rule) is not None


def build(host: Host, database: Database, *, old: str, leave: str = "") -> RunProgram:
    """The action that compiles it.

    Args:
        old: the present state, in words.
        leave: what the operator must name, where the source is edited first so that it opens nothing.
    """
    words = [leave or (OPEN_RELAY if database.opens else ""), DROP_ENTRIES if database.dropped else ""]
    if database.restarts:
        # Restarting a listener starts courierd too, which it requires.
        words.append(allow_start(host.queue))
    return RunProgram(
        command=(database.program,),
        makes=(database.path,),
        restarts=database.restarts,
        allow=",".join(dict.fromkeys(filter(None, words))),
        old=old,
        new=f"built from {database.source}",
    )


def courierd_has(host: Host) -> Mapping[str, str] | None:
    """The hosted domains that the running courierd knows: it opens the database once; None if it has none open.

    Raises:
        Unknown: under a root, or its open files cannot be seen.
    """
    for process in host.processes:
        if process.name == "courierd":
            for path, target in _open_files(process):
                if re.search(r"/hosteddomains\.dat( \(deleted\))?$", target):
                    return gdbm.parse(_content(path), target)
    return None


def started(process: Process) -> float:
    """When a process started, seconds since the epoch.

    Raises:
        Unknown: without a readable /proc.
    """
    try:
        with open("/proc/stat", encoding="ascii") as file:
            boot = re.search(r"^btime (\d+)$", file.read(), re.MULTILINE)
    except OSError as failed:
        raise Unknown(f"/proc/stat: {failed.strerror}") from None
    if boot is None:
        raise Unknown("/proc/stat: no btime in it")
    return int(boot[1]) + process.started / os.sysconf("SC_CLK_TCK")


def _table(host: Host) -> Iterator[tuple[str, str, str, str, tuple[str, ...], str]]:
    """Name, source, database, program, roles and purpose
    (read: makesmtpaccess.in, makeimapaccess.in, makehosteddomains.in, makeacceptmailfor.in, makepercentrelay.in,
    makealiases.in, 1.4.1)."""
    if "mta" in host.components:
        yield from _access(host)
        for name, source, program, roles, serves in (
            # courierd opens it once (read: courier/libs/islocal.c, 1.4.1).
            (
                "hosteddomains",
                "hosteddomains",
                "makehosteddomains",
                ("scheduler",),
                "domains with accounts of their own",
            ),
            ("esmtpacceptmailfor", "esmtpacceptmailfor.dir", "makeacceptmailfor", (), "domains that SMTP accepts"),
            ("esmtppercentrelay", "esmtppercentrelay.dir", "makepercentrelay", ("scheduler",), "user%domain addresses"),
            ("aliases", "aliases", "makealiases", (), "aliases"),
        ):
            yield name, host.conffile(source), host.conffile(f"{name}.dat"), program, roles, serves
    imapd = "imap" in host.components and host.exists(host.conffile("imapd"))
    # The program tells both listeners itself (read: makeimapaccess.in, 1.4.1).
    if imapd and (source := host.settings("imapd").get("IMAPACCESSFILE")):
        yield "imapaccess", source, f"{source}.dat", "makeimapaccess", (), "who may use IMAP"


def _access(host: Host) -> Iterator[tuple[str, str, str, str, tuple[str, ...], str]]:
    seen = set()
    for listener, program in (("esmtpd", "makesmtpaccess"), ("esmtpd-msa", "makesmtpaccess-msa")):
        if host.exists(host.conffile(listener)):
            source = host.settings(listener).get("ACCESSFILE")
            if source and source not in seen:
                seen.add(source)
                yield "smtpaccess", source, f"{source}.dat", program, _SMTP, "who may send and relay by SMTP"


def _database(
    host: Host, name: str, source: str, path: str, program: str, roles: tuple[str, ...], serves: str
) -> Database:
    files = _files(host, source, name)
    found = host.stat(path)
    compiled = None
    if found:
        try:
            compiled = gdbm.parse(host.read(path, _MAX_DATABASE), path)
        except Unreadable:
            raise
        except Unknown:
            # Of another database library, or damaged; times still tell.
            compiled = None
    if compiled is not None and name == "aliases":
        compiled = _folded(compiled)
    location = f"{host.layout.sbindir}/{program}"
    return Database(
        name=name,
        source=source,
        path=path,
        program=location if host.exists(location) else "",
        restarts=roles,
        serves=serves,
        entries=_entries(host, files, name),
        compiled=compiled,
        present=found is not None,
        older=found is not None and _newest(host, source, files) > found.mtime,
    )


def _files(host: Host, source: str, name: str) -> tuple[str, ...]:
    """Files that the program reads.

    makedat leaves out ``*~`` and ``*.dpkg-*``, and since 1.6 refuses the latter; makealiases leaves out nothing but
    hidden files (read: makedat.in, makealiases.in, 1.4.1; run: forky's makedat, 2.0.6).
    """
    found = host.stat(source)
    if found and found.kind == "file":
        return (source,)
    names = host.listdir(source)
    if len(names) > MAX_FILES:
        raise Unknown(f"{source}: more than {MAX_FILES} files")
    taken = [n for n in names if (not n.startswith(".") if name == "aliases" else not _IGNORED.search(n))]
    paths = (f"{source}/{each}" for each in taken)
    return tuple(path for path in paths if (stat := host.stat(path)) and stat.kind == "file")


def _newest(host: Host, source: str, files: tuple[str, ...]) -> float:
    """When the source changed last. A file that was removed shows in its directory's time; what only looks like it,
    such as the package manager's own files, too, so that alone is no proof."""
    stats = (host.stat(path) for path in (source, *files))
    return max((found.mtime for found in stats if found), default=0.0)


def _entries(host: Host, files: tuple[str, ...], name: str) -> Mapping[str, str | None] | None:
    texts = [host.read(path, _MAX_DATABASE).decode("utf-8", "surrogateescape") for path in files]
    if name == "aliases":
        return _aliases("\n".join(texts), _default_domain(host))
    if any(path.endswith(_DEPENDS_ON_VERSION) for path in files) or _runs_together(texts):
        return None
    found: dict[str, str | None] = {}
    for line in "\n".join(texts).split("\n"):
        key, _, value = line.partition("\t")
        if not line or line.startswith("#") or not key:
            continue
        # A lone dot ends makedat's input, a netblock depends on a Perl module, a second entry makes it fail.
        if line == "." or _NETBLOCK.match(line) or key in found:
            return None
        found[key] = value or "1"
    return found


def _runs_together(texts: list[str]) -> bool:
    """Whether a last line without its end may be joined to the next file's first: up to 1.3 it is
    (run: bookworm's makedat, 1.0.16)."""
    return len(texts) > 1 and any(text and not text.endswith("\n") for text in texts)


def _aliases(text: str, domain: str) -> Mapping[str, str | None] | None:
    """Alias names as aliascreate stores them, in lower case, and their targets where these are plain addresses
    (run: databases of makealiases, trixie 1.4.1).

    Args:
        domain: is put behind names that have none.
    """
    found: dict[str, str | None] = {}
    # A comment may follow on any line; what begins with a space goes on (read: aliasexp.C, 1.4.1).
    lines = (line.partition("#")[0].rstrip() for line in text.split("\n"))
    for line in re.sub(r"\n(?=[ \t])", "", "\n".join(lines)).split("\n"):
        if not line.strip():
            continue
        name, colon, targets = line.partition(":")
        if not colon or not re.fullmatch(r"[\w.+@-]+", name.strip()):
            return None
        if words := re.split(r"[\s,]+", targets.strip(" \t\r,")):
            _add_alias(found, name.strip().lower(), [word.lower() for word in words if word], domain)
    # A target that is an alias itself is replaced by what that one leads to (run: trixie 1.4.1).
    return {key: None if value and found.keys() & set(value.split(",")) else value for key, value in found.items()}


def _add_alias(found: dict[str, str | None], name: str, words: list[str], domain: str) -> None:
    key = name if "@" in name else f"{name}@{domain}"
    if not words:
        return
    plain = all(re.fullmatch(r"[\w.+-]+(@[\w.-]+)?", word) for word in words) and not key.startswith("@")
    old = found.get(key, "")
    targets = {word if "@" in word else f"{word}@{domain}" for word in words}
    found[key] = ",".join(sorted({*filter(None, old.split(",")), *targets})) if plain and old is not None else None


def own_name(host: Host) -> str:
    """The host's name for mail, in lower case; without ``me``, Courier takes the kernel's host name
    (read: courier/libs/cme.c, 1.4.1)."""
    path = host.conffile("me")
    return _first_line(host, path) if host.exists(path) else kernel_name(host)


def kernel_name(host: Host) -> str:
    """The machine's own name, in lower case; of a tree, the one that it would start with."""
    return _first_line(host, "/proc/sys/kernel/hostname" if host.system else "/etc/hostname")


def _default_domain(host: Host) -> str:
    """An empty file means an empty domain, only a missing one the host's name
    (run: trixie 1.4.1; read: courier/libs/cdefaultdomain.c, 1.4.1)."""
    path = host.conffile("defaultdomain")
    return _first_line(host, path) if host.exists(path) else own_name(host)


def _first_line(host: Host, path: str) -> str:
    lines = host.read(path).decode("utf-8", "surrogateescape").splitlines() if host.exists(path) else []
    return lines[0].lower() if lines else ""


def _folded(compiled: Mapping[str, str]) -> Mapping[str, str]:
    """What is in aliases.dat, in lower case: whether a name keeps its capitals depends on ``locallowercase``."""
    found: dict[str, set[str]] = {}
    for key, value in compiled.items():
        found.setdefault(key.lower(), set()).update(value.lower().split())
    return {key: ",".join(sorted(targets)) for key, targets in found.items()}


def _open_files(process: Process) -> Iterator[tuple[str, str]]:
    directory = f"/proc/{process.pid}/fd"
    try:
        numbers = os.listdir(directory)
    except PermissionError:
        raise Unknown(f"{directory}: only root sees the open files of courierd") from None
    except OSError:
        return  # It ended meanwhile.
    for number in numbers:
        try:
            yield f"{directory}/{number}", os.readlink(f"{directory}/{number}")
        except OSError:
            continue


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_DATABASE)
    except OSError as failed:
        raise Unknown(f"{path}: {failed.strerror}") from None
