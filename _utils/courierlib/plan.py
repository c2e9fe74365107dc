"""The actions a fix can ask for. They describe themselves, and carry no secret: only ``apply.py`` carries them out."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass


class Refused(Exception):
    """An edit found that the present content is not what it was made for; nothing is written."""


@dataclass(frozen=True)
class NewFile:
    """Owner and mode of a file that does not exist yet; an existing file keeps its own."""

    user: str = "root"
    group: str = "root"
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Action(abc.ABC):
    """One change.

    Args:
        old: the present state in words, for ``changes``.
        new: the wanted state in words, for ``changes``.
        allow: what the operator must name (``allow=``) before this is done, several words separated by commas; empty
            for what is always safe.
    """

    old: str
    new: str
    allow: str = ""

    @property
    @abc.abstractmethod
    def subject(self) -> str:
        """The key in ``changes``, the same in test mode and in earnest."""

    def describe(self) -> str:
        """One line for the operator."""
        return f"{self.subject}: {self.old} -> {self.new}"


@dataclass(frozen=True, kw_only=True)
class EditFile(Action):
    """Replace a file's content by ``edit(content)``, computed under the lock from what is there then.

    Args:
        path: absolute path; a final symlink is followed, and stays.
        edit: a pure function from the present content (None: no such file) to the new one; raises Refused.
        setting: name of the setting that is edited, part of the key in ``changes``.
        new_file: owner and mode if the file does not exist; None: it must exist.
        restarts: roles (see services.py) that read the file only when they start.
    """

    path: str
    edit: Callable[[bytes | None], bytes]
    setting: str = ""
    new_file: NewFile | None = None
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"{self.path} {self.setting}".rstrip()


@dataclass(frozen=True, kw_only=True)
class SetOwnership(Action):
    """Give a file or directory another owner, group or mode; None leaves one as it is.

    Never recursive, never through a link.

    Args:
        inode: (device, inode) as seen by the check; anything else at the path is refused.
        links: names that a file may have; where the check has found them all, such as the two of a queued envelope.
    """

    path: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    inode: tuple[int, int] | None = None
    links: int = 1
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class MakeDirectory(Action):
    """Create a missing directory."""

    path: str
    uid: int
    gid: int
    mode: int
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class StartService(Action):
    """Have a service running now and after a reboot: unmask it if ``unmask``, enable, start.

    Args:
        service: the service manager's name, as in ``Service.name``.
        restart: also if it runs already.
    """

    service: str
    unmask: bool = False
    enable: bool = True
    start: bool = True
    restart: bool = False

    @property
    def subject(self) -> str:
        return f"service {self.service}"


@dataclass(frozen=True, kw_only=True)
class StopService(Action):
    """Have a service off now and after a reboot: stop and disable it.

    Args:
        service: the service manager's name, as in ``Service.name``.
    """

    service: str

    @property
    def subject(self) -> str:
        return f"service {self.service}"


@dataclass(frozen=True, kw_only=True)
class RemoveFile(Action):
    """Remove a regular file; a copy is kept, as of one that is replaced.

    Args:
        path: absolute path; a symbolic link is refused.
    """

    path: str
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class MakeLink(Action):
    """Make a symbolic link where nothing is.

    Args:
        target: what it points to, as it is written into the link.
    """

    path: str
    target: str
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class RunProgram(Action):
    """Run one of Courier's or the system's programs, after all files are in place and before services restart.

    For what nobody but the program can make: a compiled database, a certificate, a setting of the kernel. Actions with
    the same command and the same ``new`` are one.

    Args:
        command: absolute path of the program, and its arguments; no shell. It must not prompt.
        makes: files that it writes; copies of what they were are kept, and they come back when the run is undone.
        replaces: remove ``makes`` first, for programs that refuse to overwrite; what they make instead gets the owner
            and mode of what was there.
    """

    command: tuple[str, ...]
    makes: tuple[str, ...] = ()
    replaces: bool = False
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return " ".join(self.makes) or " ".join(self.command)


@dataclass(frozen=True, kw_only=True)
class EndProcess(Action):
    """End one process, known by PID, start time and executable: SIGTERM, and SIGKILL when ``grace`` has passed.

    Args:
        pid: in the minion's own PID namespace.
        started: start time in clock ticks since boot, field 22 of /proc/PID/stat.
        exe: what /proc/PID/exe points to.
        grace: seconds between the two signals.
        restarts: roles to restart once it is gone.
    """

    pid: int
    started: int
    exe: str
    grace: float = 10.0
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"process {self.pid} {self.exe}"


@dataclass(frozen=True, kw_only=True)
class Choose(Action):
    """Nothing is done until the operator chooses, for instance a strategy.

    Args:
        about: what the choice is about.
        option: the argument and its values, as typed: ``strategy=maildir|mailfilter|authdaemon``.
    """

    about: str
    option: str

    @property
    def subject(self) -> str:
        return self.about
