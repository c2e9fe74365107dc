"""One Courier installation, read only. Each fact is read once, when it is first asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from courierlib import layout as layouts
from courierlib import listeners as sockets
from courierlib import packages as dpkg
from courierlib import queue as queues
from courierlib import settings as grammar
from courierlib.issue import Unknown
from courierlib.layout import Layout
from courierlib.services import Completed, Run, Service, ServiceFailed, ServiceManager
from courierlib.tree import Passwd, Tree, Unreadable

_SOURCED = {
    "esmtpd": ("esmtpd",),
    "esmtpd-msa": ("esmtpd", "esmtpd-msa"),
    "esmtpd-ssl": ("esmtpd", "esmtpd-ssl"),
    "imapd": ("imapd",),
    "imapd-ssl": ("imapd", "imapd-ssl"),
    "pop3d": ("pop3d",),
    "pop3d-ssl": ("pop3d", "pop3d-ssl"),
    "courierd": ("courierd",),
}
"""Files that each start script sources for the daemon's environment, in this order
(read: esmtpd.in, esmtpd-ssl.in, imapd.rc.in, imapd-ssl.rc.in, pop3d*.rc.in, courierctl.start.in, 1.4.1)."""

_TLS_SERVERS = ("esmtpd", "esmtpd-msa", "esmtpd-ssl", "imapd-ssl", "pop3d-ssl")
_NOT_VHOSTS = re.compile(r"~$|(^|\.)(bak|old|orig|save|tmp|rand|lock|new|dist|dpkg-\w+|ucf-\w+|rpm\w+)$")
"""Leftovers of editors and package managers; no client asks for such a name."""
_DAEMONS = frozenset({"courierd", "courierfilter", "couriertcpd", "courierlogger", "authdaemond"})
_CHILDREN = frozenset(
    {"couriertls", "courieresmtpd", "courieresmtp", "courierlocal", "imapd", "imaplogin", "pop3d", "pop3login"}
)


_Fact = TypeVar("_Fact")


@dataclass(frozen=True)
class System:
    """What only a running host can be asked; the execution module hands it over.

    Args:
        run: runs a command without a shell, with a time limit.
        services: the service manager; None where none was recognised.
    """

    run: Run
    services: ServiceManager | None


@dataclass(frozen=True)
class TlsService:
    """A listener that speaks TLS, and the files it names.

    Args:
        name: of its configuration file.
        certfile: TLS_CERTFILE; empty if unset.
        keyfile: TLS_PRIVATE_KEYFILE; empty if unset.
        dhparams: TLS_DHPARAMS; empty if unset.
        vhost_certfiles: files ``TLS_CERTFILE.NAME`` that couriertls takes for a name or address.
        vhost_keyfiles: files ``TLS_PRIVATE_KEYFILE.NAME``.
    """

    name: str
    certfile: str
    keyfile: str
    dhparams: str
    vhost_certfiles: tuple[str, ...]
    vhost_keyfiles: tuple[str, ...]


@dataclass(frozen=True)
class Process:
    """A process of Courier in the minion's own PID and mount namespaces.

    Args:
        name: last part of the executable's path.
        exe: executable, without the kernel's ``(deleted)``.
        deleted: the executable was replaced or removed since the start.
        started: clock ticks since boot, field 22 of /proc/PID/stat.
        cgroup: path in the unified or the systemd hierarchy; empty without cgroups.
        arguments: command line.
    """

    pid: int
    name: str
    exe: str
    deleted: bool
    uid: int
    started: int
    ppid: int
    cgroup: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """A mail account.

    Args:
        maildir: as authlib gives it; empty if it leaves that to Courier.
        source: ``authdaemon`` or ``passwd``.
    """

    name: str
    uid: int
    gid: int
    home: str
    maildir: str
    source: str


@dataclass(frozen=True)
class Maildrop:
    """The maildrop that a delivery line runs.

    Args:
        courier_build: Courier's own build, which takes HOME from Courier's environment.
    """

    path: str
    courier_build: bool


class Host:
    """One Courier installation.

    Args:
        root: ``/`` for this host, or a tree (image, backup, container) from which nothing is run.
        system: access to the running host; None for a tree.

    Raises:
        NotADirectoryError: there is no such directory.
        Unknown: the tree's manifest is damaged.
    """

    def __init__(self, root: str = "/", system: System | None = None):
        self._tree = Tree(root)
        self.root = self._tree.root
        self.system = system
        self.path = self._tree.path
        self.resolve = self._tree.resolve
        self.exists = self._tree.exists
        self.stat = self._tree.stat
        self.read = self._tree.read
        self.listdir = self._tree.listdir
        self.contains = self._tree.contains
        self.uid = self._tree.uid
        self.gid = self._tree.gid
        self.gids = self._tree.gids
        self.user = self._tree.user
        self.named_user = self._tree.named_user

    def once(self, read: Callable[[Host], _Fact]) -> _Fact:
        """A fact that several checks need and another module knows how to read: ``read(host)``, called only once.

        Raises:
            Unknown: as ``read`` did, again each time.
        """
        if read not in self._facts:
            try:
                self._facts[read] = read(self)
            except Unknown as failed:
                self._facts[read] = failed
        fact = self._facts[read]
        if isinstance(fact, Unknown):
            raise fact
        return fact

    @cached_property
    def _facts(self) -> dict[Callable, object]:
        return {}

    def ask(self, *command: str) -> Completed:
        """What a command that only reads says on the running host; its exit status is the caller's to judge.

        Raises:
            Unknown: under a root, where nothing is run.
        """
        return self._require_running().run(command)

    @cached_property
    def packages(self) -> Mapping[str, dpkg.Package]:
        """Courier's Debian packages by name; nothing where there is no dpkg.

        Raises:
            Unknown: dpkg's database cannot be read.
        """
        return dpkg.read(self)

    @cached_property
    def sockets(self) -> sockets.Sockets:
        """TCP sockets: who listens, and who is connected.

        Raises:
            Unknown: under a root, or without a readable /proc.
        """
        self._require_running()
        return sockets.read()

    @cached_property
    def listeners(self) -> tuple[sockets.Listener, ...]:
        """All listening TCP sockets.

        Raises:
            Unknown: as ``sockets``.
        """
        return self.sockets.listeners

    @property
    def users(self) -> tuple[Passwd, ...]:
        """All accounts that the user database lists."""
        return self._tree.users

    @cached_property
    def _layout(self) -> Layout | None:
        return layouts.discover(self._tree)

    @property
    def installed(self) -> bool:
        """Whether there is a Courier here."""
        return self._layout is not None

    @property
    def layout(self) -> Layout:
        """Directories, start scripts and user of the installation.

        Raises:
            Unknown: Courier is not installed.
        """
        if self._layout is None:
            raise Unknown("Courier is not installed")
        return self._layout

    @cached_property
    def components(self) -> frozenset[str]:
        """Installed parts: ``mta``, ``imap``, ``pop``, ``maildrop``, ``authdaemon``."""
        return layouts.components(self._tree, self.layout)

    @cached_property
    def version(self) -> str:
        """Courier's version, or Courier IMAP's where that is alone, as its programs carry it.

        Raises:
            Unknown: no program carries one.
        """
        layout = self.layout
        for program in (f"{layout.sbindir}/courier", f"{layout.bindir}/imapd", f"{layout.bindir}/pop3d"):
            try:
                # "Courier 1.4.1 Copyright …" (run: strings of bookworm's, trixie's and forky's courier)
                match = self._tree.contains(program, rb"Courier(?:-IMAP)? (\d+(?:\.\d+)+)")
            except Unreadable as failed:
                if failed.missing:
                    continue
                raise
            if match:
                return match[1].decode()
        raise Unknown(f"version: neither courier nor imapd below {layout.prefix} carries one")

    @cached_property
    def couriertls(self) -> str:
        """Path of couriertls: COURIERTLS of the first configuration file that sets it, or the build's."""
        for name in ("esmtpd", "imapd-ssl", "pop3d-ssl"):
            if self.exists(self.conffile(name)) and (path := self.settings(name).get("COURIERTLS")):
                return path
        return f"{self.layout.bindir}/couriertls"

    @cached_property
    def _tls(self) -> tuple[str, str]:
        match = self._tree.contains(self.couriertls, rb"lib(gnutls|ssl)\.so[.\d]*")
        if not match:
            raise Unknown(f"{self.couriertls}: linked with neither libgnutls nor libssl")
        library = "gnutls" if match[1] == b"gnutls" else "openssl"
        return library, f"{self.couriertls} needs {match[0].decode()}"

    @property
    def tls_library(self) -> str:
        """``openssl`` or ``gnutls``: what couriertls is linked with.

        Raises:
            Unknown: couriertls is missing, unreadable or linked with neither.
        """
        return self._tls[0]

    @property
    def tls_library_known(self) -> str:
        """How the TLS library is known."""
        return self._tls[1]

    def conffile(self, name: str) -> str:
        """Path of a configuration file."""
        return f"{self.layout.sysconfdir}/{name}"

    def settings(self, name: str) -> grammar.Settings:
        """The environment that a start script makes of its configuration files; evaluated once.

        Args:
            name: ``esmtpd``, ``esmtpd-msa``, ``esmtpd-ssl``, ``imapd``, ``imapd-ssl``, ``pop3d``, ``pop3d-ssl`` or
            ``courierd``.

        Raises:
            Unreadable: a file is there but cannot be read.
        """
        if name not in self._settings:
            files = [(path, self._content(path)) for path in map(self.conffile, _SOURCED[name]) if self.exists(path)]
            self._settings[name] = grammar.evaluate(files, self.layout.variables, self.read)
        return self._settings[name]

    @cached_property
    def _settings(self) -> dict[str, grammar.Settings]:
        return {}

    def _content(self, path: str) -> bytes:
        if path not in self._contents:
            self._contents[path] = self.read(path)
        return self._contents[path]

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        return {}

    @cached_property
    def authdaemonrc_path(self) -> str:
        """Path of authdaemonrc: authlib has a configuration directory of its own.

        Raises:
            Unknown: there is none.
        """
        for directory in (self.layout.sysconfdir, *layouts.AUTHLIB_DIRECTORIES):
            if self.exists(path := f"{directory}/authdaemonrc"):
                return path
        raise Unknown(f"{self.conffile('authdaemonrc')}: no such file, and none where authlib keeps its own")

    @cached_property
    def authdaemonrc(self) -> Mapping[str, str]:
        """Settings of authdaemond, which reads the file itself."""
        return grammar.parse_authdaemonrc(self.read(self.authdaemonrc_path))

    @cached_property
    def authdaemonvar(self) -> str:
        """Directory of authdaemon's socket."""
        return self.authdaemonrc.get("authdaemonvar") or f"{self.layout.piddir}/authdaemon"

    @cached_property
    def tls_services(self) -> tuple[TlsService, ...]:
        """The listeners that speak TLS and are installed.

        Raises:
            Unknown: a setting is computed by the shell, or a file cannot be read.
        """
        # A package that was removed, not purged, leaves its configuration behind: the start script tells.
        return tuple(
            self._tls_service(name)
            for name in _TLS_SERVERS
            if name.replace("-msa", "") in self.layout.scripts and self.exists(self.conffile(name))
        )

    def _tls_service(self, name: str) -> TlsService:
        settings = self.settings(name)
        certfile, keyfile = settings.get("TLS_CERTFILE"), settings.get("TLS_PRIVATE_KEYFILE")
        return TlsService(
            name=name,
            certfile=certfile,
            keyfile=keyfile,
            dhparams=settings.get("TLS_DHPARAMS"),
            vhost_certfiles=self._vhosts(certfile),
            vhost_keyfiles=self._vhosts(keyfile),
        )

    def _vhosts(self, base: str) -> tuple[str, ...]:
        """Files that couriertls takes for a name or address: the base's path, a dot, the name."""
        if not base.startswith("/"):
            return ()
        directory, stem = os.path.split(base)
        names = (name.removeprefix(f"{stem}.") for name in self.listdir(directory) if name.startswith(f"{stem}."))
        return tuple(f"{base}.{name}" for name in names if not _NOT_VHOSTS.search(name))

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """The services that run a part of Courier.

        Raises:
            Unknown: under a root, without a service manager, or it does not answer.
        """
        manager = self._require_running().services
        if manager is None:
            raise Unknown("no service manager that can be asked (neither systemd nor init scripts)")
        try:
            return manager.services()
        except ServiceFailed as failed:
            raise Unknown(f"the service manager does not answer: {failed}") from None

    def service(self, role: str) -> Service | None:
        """The service with a role (of services.ROLES); one made for the role alone before one that does several."""
        fitting = [service for service in self.services if role in service.roles]
        return min(fitting, key=lambda service: len(service.roles), default=None)

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """Courier's processes in the minion's own PID and mount namespaces.

        Raises:
            Unknown: under a root, or without a readable /proc.
        """
        self._require_running()
        try:
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
            own = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt")]
        except OSError as failed:
            raise Unknown(f"/proc: {failed.strerror}") from None
        return tuple(process for pid in sorted(pids) if (process := _process(pid, own)))

    @cached_property
    def accounts(self) -> tuple[Account, ...]:
        """Mail accounts as authdaemon lists them.

        Raises:
            Unknown: under a root, or authdaemon does not answer.
        """
        program = next(
            (path for path in (f"{self.layout.sbindir}/authenumerate", "/usr/sbin/authenumerate") if self.exists(path)),
            "",
        )
        run = self._require_running().run
        if not program:
            raise Unknown("accounts: authenumerate is not installed")
        done = run((program,))
        if done.returncode and not done.stdout:
            raise Unknown(f"accounts: {program} failed (exit status {done.returncode}); is authdaemon running?")
        return tuple(account for line in done.stdout.splitlines() if (account := _account(line)))

    @cached_property
    def default_delivery(self) -> str:
        """DEFAULTDELIVERY as courierd gets it.

        Raises:
            Unknown: it is computed by the shell, or courierd's file cannot be read.
        """
        # Without the setting: ./Maildir (read: courier/libs/cdefaultdelivery.c, 1.4.1). Set to nothing, it means no
        # delivery at all: "Message delivered.", and the message is gone (run: trixie, 1.4.1).
        return self.settings("courierd").get("DEFAULTDELIVERY", "./Maildir")

    @cached_property
    def maildrop(self) -> Maildrop | None:
        """The installed maildrop; None if there is none."""
        for path in (f"{self.layout.bindir}/maildrop", "/usr/bin/maildrop", "/usr/local/bin/maildrop"):
            if self.exists(path):
                build = self._tree.contains(path, rb"Courier-specific maildrop build")
                return Maildrop(path, courier_build=build is not None)
        return None

    @cached_property
    def queue(self) -> queues.Queue:
        """Messages that wait."""
        return queues.read(self)

    def _require_running(self) -> System:
        if self.system is None:
            raise Unknown(f"needs the running host, and {self.root} is a tree of files")
        return self.system


def _process(pid: int, own: list[str]) -> Process | None:
    """One process, if it is Courier's and in the same namespaces; None also if it ended meanwhile."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, tail = file.read().rpartition(b")")
        # The kernel keeps 15 characters of a name.
        if head.partition(b"(")[2].decode("utf-8", "replace") not in _SHORT_NAMES:
            return None
        target = os.readlink(f"/proc/{pid}/exe")
        exe = target.removesuffix(" (deleted)")
        if [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "mnt")] != own:
            return None
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = tuple(part.decode("utf-8", "replace") for part in file.read().split(b"\0")[:-1])
        uid = os.stat(f"/proc/{pid}").st_uid
        fields = tail.split()
        return Process(
            pid=pid,
            name=os.path.basename(exe),
            exe=exe,
            deleted=target != exe,
            uid=uid,
            started=int(fields[19]),
            ppid=int(fields[1]),
            cgroup=_cgroup(pid),
            arguments=arguments,
        )
    except OSError:
        # It ended while it was looked at; there is nothing left to judge.
        return None


_SHORT_NAMES = frozenset(name[:15] for name in _DAEMONS | _CHILDREN)


def _cgroup(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ""
    # Unified hierarchy, or systemd's own in a hybrid set-up; the one that systemd does not use here stays at "/".
    paths = {controllers: path for _, controllers, path in lines}
    return max(paths.get("", ""), paths.get("name=systemd", ""), key=len)


def _account(line: str) -> Account | None:
    """A line of authenumerate: name, uid, gid, home, Maildir, options, by tabs (read: authenumerate.c, authlib
    0.73.1)."""
    fields = line.split("\t")
    if len(fields) < 4 or not all(field.isascii() and field.isdigit() for field in fields[1:3]):
        return None
    # An empty Maildir at the end may have lost its tab on the way through Salt.
    maildir = fields[4] if len(fields) > 4 else ""
    return Account(fields[0], int(fields[1]), int(fields[2]), fields[3], maildir, "authdaemon")
