"""What a plan comes to on this host as it is now: steps that know how they are done, recorded and taken back."""

from __future__ import annotations

import abc
import dataclasses
import grp
import os
import pwd
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from courierlib import ending, plan, replace
from courierlib.audit import printable
from courierlib.issue import Unknown
from courierlib.plan import (
    Action,
    EditFile,
    EndProcess,
    MakeDirectory,
    MakeLink,
    NewFile,
    Refused,
    RunProgram,
    SetOwnership,
    StartService,
    StopService,
)
from courierlib.replace import Replacement
from courierlib.services import Service

Ownership = tuple[int, int, int]
"""uid, gid and permission bits."""


@dataclass(frozen=True)
class Change:
    """One entry of ``changes``."""

    subject: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Step(abc.ABC):
    """One thing to do, complete: nothing is left to decide.

    Args:
        changes: what the operator is told.
        restarts: roles that must be restarted afterwards.
    """

    changes: tuple[Change, ...]
    restarts: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What is kept of it, enough to take it back; no content."""
        facts = {"kind": type(self).__name__, "changes": [dataclasses.astuple(change) for change in self.changes]}
        return {**facts, "restarts": list(self.restarts), **self.facts()}

    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """The part of ``record`` that is its own."""


@dataclass(frozen=True, kw_only=True)
class Write(Step):
    """A file gets another content."""

    replacement: Replacement

    def facts(self) -> dict[str, Any]:
        wanted = self.replacement
        names = {"target": wanted.target, "temporary": wanted.temporary, "backup": wanted.backup}
        return {**names, "old": wanted.old, "new": replace.sha256(wanted.content)}


@dataclass(frozen=True, kw_only=True)
class RemoveFile(Step):
    """A file goes."""

    target: str
    old: str
    owner: Ownership
    backup: str
    temporary: str

    def facts(self) -> dict[str, Any]:
        names = {"target": self.target, "temporary": self.temporary, "backup": self.backup}
        return {**names, "old": self.old, "owner": self.owner}

    def do(self) -> None:
        """Raises: see ``replace.remove``."""
        replace.remove(self.target, self.old, self.backup, self.temporary)


@dataclass(frozen=True, kw_only=True)
class Own(Step):
    """A file or directory gets another owner, group or mode."""

    path: str
    inode: tuple[int, int]
    old: Ownership
    new: Ownership
    links: int = 1

    def facts(self) -> dict[str, Any]:
        return {"path": self.path, "old": self.old, "new": self.new, "links": self.links}

    def do(self) -> None:
        """Raises: Refused if it is another file by now, NotWritten."""
        name = os.path.basename(self.path)
        with replace.explained(self.path), replace.directory(os.path.dirname(self.path)) as parent:
            descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
            try:
                status = os.fstat(descriptor)
                if (status.st_dev, status.st_ino) != self.inode or _ownership(status) != self.old:
                    raise Refused(f"{self.path}: changed while it was being repaired; run this again")
                _refuse_linked(status, self.path, self.links)
                self._set(f"/proc/self/fd/{descriptor}")
            finally:
                os.close(descriptor)

    def _set(self, pinned: str) -> None:
        uid, gid, mode = self.new
        if (uid, gid) != self.old[:2]:
            os.chown(pinned, uid, gid)
        # Also where only the owner changes: that takes the set-user-ID bit away.
        os.chmod(pinned, mode)


@dataclass(frozen=True, kw_only=True)
class MakeDir(Step):
    """A directory comes into being, with its owner and mode from the first moment."""

    path: str
    owner: Ownership
    temporary: str

    def facts(self) -> dict[str, Any]:
        return {"target": self.path, "temporary": self.temporary, "owner": self.owner}

    def do(self) -> None:
        """Raises: Refused if something is there by now, NotWritten."""
        uid, gid, mode = self.owner
        name = os.path.basename(self.path)
        with replace.explained(self.path), replace.directory(os.path.dirname(self.path)) as parent:
            if os.path.lexists(self.path):
                raise Refused(f"{self.path}: has appeared meanwhile; run this again")
            os.mkdir(self.temporary, 0o700, dir_fd=parent)
            try:
                if (uid, gid) != (os.geteuid(), os.getegid()):
                    os.chown(self.temporary, uid, gid, dir_fd=parent, follow_symlinks=False)
                os.chmod(self.temporary, mode, dir_fd=parent)
                os.rename(self.temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError:
                os.rmdir(self.temporary, dir_fd=parent)
                raise
            os.fsync(parent)


@dataclass(frozen=True, kw_only=True)
class RemoveDir(Step):
    """An empty directory goes."""

    path: str
    owner: Ownership

    def facts(self) -> dict[str, Any]:
        return {"path": self.path, "owner": self.owner}

    def do(self) -> None:
        """Raises: NotWritten."""
        with replace.explained(self.path), replace.directory(os.path.dirname(self.path)) as parent:
            os.rmdir(os.path.basename(self.path), dir_fd=parent)
            os.fsync(parent)


@dataclass(frozen=True, kw_only=True)
class Link(Step):
    """A symbolic link comes into being."""

    path: str
    target: str

    def facts(self) -> dict[str, Any]:
        return {"path": self.path, "link": self.target}

    def do(self) -> None:
        """Raises: Refused if something is there by now, NotWritten."""
        with replace.explained(self.path), replace.directory(os.path.dirname(self.path)) as parent:
            try:
                os.symlink(self.target, os.path.basename(self.path), dir_fd=parent)
            except FileExistsError:
                raise Refused(f"{self.path}: has appeared meanwhile; run this again") from None
            os.fsync(parent)


@dataclass(frozen=True, kw_only=True)
class RemoveLink(Step):
    """A symbolic link goes."""

    path: str
    target: str

    def facts(self) -> dict[str, Any]:
        return {"path": self.path, "link": self.target}

    def do(self) -> None:
        """Raises: Refused if it is another link by now, NotWritten."""
        name = os.path.basename(self.path)
        with replace.explained(self.path), replace.directory(os.path.dirname(self.path)) as parent:
            if os.readlink(name, dir_fd=parent) != self.target:
                raise Refused(f"{self.path}: changed while it was being removed; run this again")
            os.unlink(name, dir_fd=parent)
            os.fsync(parent)


@dataclass(frozen=True)
class Output:
    """A file that a program writes, as it was before.

    Args:
        old: SHA-256 of its content; empty if it did not exist.
        owner: uid, gid and permission bits; None if it did not exist.
    """

    target: str
    old: str
    owner: Ownership | None
    backup: str
    temporary: str


@dataclass(frozen=True, kw_only=True)
class Produce(Step):
    """A program runs.

    Args:
        outputs: what it writes.
        replaces: they go first.
        owners: owner and mode of what was there, by path; filled before it runs, when other steps may have set them.
        made: SHA-256, owner and mode of what it wrote, by path; filled when it has run.
    """

    command: tuple[str, ...]
    outputs: tuple[Output, ...]
    replaces: bool
    owners: dict[str, Ownership] = field(default_factory=dict)
    made: dict[str, tuple[str, Ownership | None]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        outputs = []
        for output in self.outputs:
            new, became = self.made.get(output.target, (None, None))
            owner = self.owners.get(output.target, output.owner)
            outputs.append(dataclasses.asdict(output) | {"owner": owner, "new": new, "became": became})
        return {"command": list(self.command), "outputs": outputs}

    def prepare(self) -> None:
        """Keep copies of what it will write over.

        Raises: Refused if that has changed, NotWritten.
        """
        present = {output: replace.find(output.target).content for output in self.outputs}
        # All of them before the first one goes: what is refused has had no effect.
        for output, content in present.items():
            if replace.sha256(content) != output.old:
                raise Refused(f"{output.target}: changed while it was being repaired; run this again")
        for output, content in present.items():
            if content is None:
                continue
            with replace.explained(output.target):
                self.owners[output.target] = _ownership(os.lstat(output.target))
                if output.backup:
                    replace.back_up(content, output.backup, output.temporary)
                if self.replaces:
                    os.unlink(output.target)

    def keep_owners(self) -> None:
        """What takes the place of a file gets its owner and mode.

        Raises: NotWritten.
        """
        for path, (uid, gid, mode) in self.owners.items() if self.replaces else ():
            if os.path.isfile(path):
                with replace.explained(path):
                    os.chown(path, uid, gid, follow_symlinks=False)
                    os.chmod(path, mode)

    def note_made(self) -> None:
        """Look at what is there now, to tell later whether somebody has changed it since."""
        for output in self.outputs:
            content = replace.find(output.target).content
            owner = None if content is None else _ownership(os.lstat(output.target))
            self.made[output.target] = replace.sha256(content), owner


@dataclass(frozen=True, kw_only=True)
class End(Step):
    """A process ends."""

    action: EndProcess

    def facts(self) -> dict[str, Any]:
        return {"pid": self.action.pid, "started": self.action.started, "exe": self.action.exe}


@dataclass(frozen=True)
class Condition:
    """What a service can be asked to be; ``enabled`` is None where that cannot be told."""

    active: bool
    enabled: bool | None
    masked: bool


@dataclass(frozen=True, kw_only=True)
class Serve(Step):
    """A service is brought into another condition.

    Args:
        restart: it counts as active, so that starting it would do nothing.
    """

    service: str
    was: Condition
    wanted: Condition
    restart: bool = False

    def facts(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "was": dataclasses.astuple(self.was),
            "wanted": dataclasses.astuple(self.wanted),
        }


# What only taking back needs; a fix cannot ask for these.


@dataclass(frozen=True, kw_only=True)
class _DeleteFile(Action):
    path: str
    written: str
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class _DeleteDirectory(Action):
    path: str
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class _DeleteLink(Action):
    path: str
    link: str
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class _GiveBack(Action):
    path: str
    was: Ownership
    became: Ownership
    links: int = 1
    restarts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True)
class _RestoreService(Action):
    service: str
    condition: Condition

    @property
    def subject(self) -> str:
        return f"service {self.service}"


class Draft:
    """Turns actions into steps, one after the other, each on top of those before it. Only reads.

    Args:
        run: part of the names of temporary files.
        backup_root: where copies go; empty for none.
        services: asks the service manager; called at most once, and only if an action concerns services.
    """

    def __init__(self, run: str, backup_root: str, services: Callable[[], Sequence[Service]]):
        self._run = run
        self._backup_root = backup_root
        self._ask = services
        self._services: dict[str, Service] | None = None
        # By device and inode: a queued envelope has two names.
        self._owned: dict[tuple[int, int], Ownership] = {}
        self._edits: dict[str, list[EditFile]] = {}
        self.steps: list[Step] = []
        self.refused: list[str] = []

    @property
    def services(self) -> Mapping[str, Service]:
        """Services by name, as they were when first asked for."""
        if self._services is None:
            self._services = {service.name: service for service in self._ask()}
        return self._services

    def add(self, action: Action) -> None:
        """Take in an action; nothing is added where the host is as wanted already, and a refusal is noted."""
        try:
            replace.refuse_relative(getattr(action, "path", "/"))
            match action:
                case EditFile():
                    self._edit(action)
                case SetOwnership():
                    self._own(action)
                case MakeDirectory():
                    self._make_directory(action)
                case StartService():
                    self._start(action)
                case StopService():
                    self._stop(action)
                case plan.RemoveFile():
                    self._remove_file(action)
                case MakeLink():
                    self._link(action)
                case RunProgram():
                    self._produce(action)
                case EndProcess():
                    if ending.present(action):
                        self.steps.append(End(action=action, changes=_changes(action), restarts=action.restarts))
                case _DeleteFile():
                    self._delete_file(action)
                case _DeleteDirectory():
                    self._delete_directory(action)
                case _DeleteLink():
                    self._delete_link(action)
                case _GiveBack():
                    self._give_back(action)
                case _RestoreService():
                    self._condition(action, action.condition)
                case _:
                    raise TypeError(f"nobody can carry out {type(action).__name__}")
        except (Refused, Unknown) as refused:
            self.refused.append(str(refused))

    def _temporary(self) -> str:
        return f"{replace.MARK}{self._run}-{len(self.steps)}"

    def _backup(self, target: str) -> str:
        return replace.backup_path(self._backup_root, target) if self._backup_root else ""

    def _of(self, *kinds: type) -> list[Any]:
        return [step for step in self.steps if isinstance(step, kinds)]

    def _edit(self, action: EditFile) -> None:
        parent, name = os.path.split(action.path)
        made = os.path.realpath(parent) in (step.path for step in self._of(MakeDir))
        target = f"{os.path.realpath(parent)}/{name}"
        found = replace.Found(target, None) if made else replace.find(action.path)
        planned = next((step for step in self._of(Write) if step.replacement.target == found.target), None)
        self._refuse_taken(found.target, RemoveFile, Produce)
        old = planned.replacement.content if planned else found.content
        if old is None and action.new_file is None:
            raise Refused(f"{action.path}: no such file")
        new = action.edit(old)
        if action.setting:
            self._refuse_contradiction(action, new)
        if new == old:
            return
        if len(new) > replace.LIMIT:
            raise Refused(f"{action.path}: would become larger than {replace.LIMIT} bytes")
        if planned:
            self._write_more(planned, action, new)
            return
        replacement = Replacement(
            path=action.path,
            target=found.target,
            old=replace.sha256(old),
            content=new,
            temporary=self._temporary(),
            backup=self._backup(found.target) if old is not None else "",
            owner=_ids(action.new_file) if old is None and action.new_file else None,
        )
        self.steps.append(Write(replacement=replacement, changes=_changes(action), restarts=action.restarts))

    def _refuse_contradiction(self, action: EditFile, content: bytes) -> None:
        """Two repairs of a setting go together if the second leaves to the first nothing to do again."""
        earlier = self._edits.setdefault(action.subject, [])
        for other in earlier:
            if not _has_nothing_to_do(other, content):
                raise Refused(
                    f"{action.subject}: one repair wants {printable(other.new)}, another {printable(action.new)}; "
                    "repair one problem after the other"
                )
        earlier.append(action)

    def _write_more(self, planned: Write, action: EditFile, content: bytes) -> None:
        """Another edit of a file that is to be written anyway: it is replaced once, with both."""
        more = dataclasses.replace(
            planned,
            replacement=dataclasses.replace(planned.replacement, content=content),
            changes=planned.changes + _changes(action),
            restarts=tuple(dict.fromkeys(planned.restarts + action.restarts)),
        )
        self.steps[self.steps.index(planned)] = more

    def _refuse_taken(self, target: str, *kinds: type[Step]) -> None:
        """A step is made for the file as it is; one before it in the same run would leave another there."""
        if any(target in _files(step) for step in self._of(*kinds)):
            raise Refused(f"{target}: another repair of this run writes it; repair one problem after the other")

    def _own(self, action: SetOwnership) -> None:
        path, status = _look(action.path, action.links)
        if action.inode not in (None, (status.st_dev, status.st_ino)):
            raise Refused(f"{action.path}: is no longer the one that was looked at; run this again")
        old = self._owned.get((status.st_dev, status.st_ino), _ownership(status))
        wanted = (action.uid, action.gid, action.mode)
        uid, gid, mode = (now if want is None else want for now, want in zip(old, wanted, strict=True))
        self._set_owner(path, status, old, (uid, gid, mode), action)

    def _give_back(self, action: _GiveBack) -> None:
        path, status = _look(action.path, action.links)
        now = self._owned.get((status.st_dev, status.st_ino), _ownership(status))
        # A run that was killed in between has set a part; chown itself takes the set-ID bits away.
        expected = [{was, became} for was, became in zip(action.was, action.became, strict=True)]
        expected[2] |= {mode & 0o1777 for mode in expected[2]}
        if any(value not in values for value, values in zip(now, expected, strict=True)):
            raise Refused(f"{path}: owner or mode were changed since; set them by hand")
        self._set_owner(path, status, now, action.was, action)

    def _set_owner(
        self, path: str, status: os.stat_result, old: Ownership, new: Ownership, action: SetOwnership | _GiveBack
    ) -> None:
        if old == new:
            return
        inode = (status.st_dev, status.st_ino)
        self._owned[inode] = new
        told = {"changes": _changes(action), "restarts": action.restarts}
        self.steps.append(Own(path=path, inode=inode, old=old, new=new, links=action.links, **told))

    def _make_directory(self, action: MakeDirectory) -> None:
        parent, name = os.path.split(action.path.rstrip("/"))
        path = f"{os.path.realpath(parent).rstrip('/')}/{name}"
        made = [step.path for step in self._of(MakeDir)]
        if os.path.isdir(path) or path in made:
            return
        if os.path.lexists(path) or not (os.path.isdir(os.path.dirname(path)) or os.path.dirname(path) in made):
            raise Refused(f"{action.path}: not a directory, or in one that is missing")
        owner = (action.uid, action.gid, action.mode)
        self.steps.append(
            MakeDir(
                path=path, owner=owner, temporary=self._temporary(), changes=_changes(action), restarts=action.restarts
            )
        )

    def _start(self, action: StartService) -> None:
        service = self._service(action.service)
        if service.masked and not action.unmask:
            raise Refused(f"service {service.name}: masked, so that nobody can start it; unmask it first")
        start = action.start and not service.active
        wanted = Condition(
            active=service.active or action.start,
            # Where that cannot be told it is asked for along with a start, and no reason for a change of its own.
            enabled=True if action.enable and (start or service.enabled is False) else service.enabled,
            masked=service.masked and not action.unmask,
        )
        self._condition(action, wanted, restart=action.start and service.active and (service.remains or action.restart))

    def _stop(self, action: StopService) -> None:
        service = self._service(action.service)
        disabled = None if service.enabled is None else False
        self._condition(action, Condition(active=False, enabled=disabled, masked=service.masked))

    def _condition(
        self, action: StartService | StopService | _RestoreService, wanted: Condition, *, restart: bool = False
    ) -> None:
        service = self._service(action.service)
        was = Condition(service.active, service.enabled, service.masked)
        planned = [step.service for step in self._of(Serve)]
        if (was != wanted or restart) and service.name not in planned:
            self.steps.append(
                Serve(service=service.name, was=was, wanted=wanted, restart=restart, changes=_changes(action))
            )

    def _service(self, name: str) -> Service:
        if name not in self.services:
            raise Refused(f"service {name}: the service manager does not know it")
        return self.services[name]

    def _delete_file(self, action: _DeleteFile) -> None:
        if not os.path.lexists(action.path):
            return
        found = replace.find(action.path)
        if replace.sha256(found.content) != action.written:
            raise Refused(f"{found.target}: was changed since that run created it; remove it by hand")
        self._remove(action, found)

    def _remove_file(self, action: plan.RemoveFile) -> None:
        if not os.path.lexists(action.path):
            return
        path, _ = _look(action.path, links=1)
        found = replace.find(path)
        if any(step.target == found.target for step in self._of(RemoveFile)):
            return
        self._refuse_taken(found.target, Write, Produce)
        self._remove(action, found)

    def _remove(self, action: _DeleteFile | plan.RemoveFile, found: replace.Found) -> None:
        removal = RemoveFile(
            target=found.target,
            old=replace.sha256(found.content),
            owner=_ownership(os.lstat(found.target)),
            backup=self._backup(found.target),
            temporary=self._temporary(),
            changes=_changes(action),
            restarts=action.restarts,
        )
        self.steps.append(removal)

    def _link(self, action: MakeLink) -> None:
        parent, name = os.path.split(action.path)
        path = f"{os.path.realpath(parent).rstrip('/')}/{name}"
        planned = {step.path: step.target for step in self._of(Link)}
        if planned.get(path) == action.target or (os.path.islink(path) and os.readlink(path) == action.target):
            return
        if path in planned:
            raise Refused(f"{action.path}: another repair of this run links it elsewhere; repair one after the other")
        if os.path.lexists(path) or not os.path.isdir(os.path.dirname(path)):
            raise Refused(f"{action.path}: something is there already, or its directory is missing")
        self.steps.append(Link(path=path, target=action.target, changes=_changes(action), restarts=action.restarts))

    def _delete_link(self, action: _DeleteLink) -> None:
        if not os.path.lexists(action.path):
            return
        if not os.path.islink(action.path) or os.readlink(action.path) != action.link:
            raise Refused(f"{action.path}: is no longer the link that was made; it stays")
        self.steps.append(
            RemoveLink(path=action.path, target=action.link, changes=_changes(action), restarts=action.restarts)
        )

    def _produce(self, action: RunProgram) -> None:
        if not os.access(action.command[0], os.X_OK):
            raise Refused(f"{action.command[0]}: no such program; it would have to make {action.subject}")
        told = {"changes": _changes(action), "restarts": action.restarts}
        outputs = tuple(self._output(number, path) for number, path in enumerate(action.makes))
        for output in outputs:
            self._refuse_taken(output.target, Write, RemoveFile, Produce)
        self.steps.append(Produce(command=action.command, outputs=outputs, replaces=action.replaces, **told))

    def _output(self, number: int, path: str) -> Output:
        found = replace.find(path)
        existed = found.content is not None
        return Output(
            target=found.target,
            old=replace.sha256(found.content),
            owner=_ownership(os.lstat(found.target)) if existed else None,
            backup=self._backup(found.target) if existed else "",
            temporary=f"{self._temporary()}-{number}",
        )

    def _delete_directory(self, action: _DeleteDirectory) -> None:
        try:
            inside = {os.path.join(action.path, name) for name in os.listdir(action.path)}
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise Refused(f"{action.path}: {os.strerror(error.errno or 0)}") from None
        if inside - {step.target for step in self._of(RemoveFile)} - {step.path for step in self._of(RemoveDir)}:
            raise Refused(f"{action.path}: not empty; it stays")
        owner = _ownership(os.lstat(action.path))
        self.steps.append(RemoveDir(path=action.path, owner=owner, changes=_changes(action), restarts=action.restarts))


def _has_nothing_to_do(action: EditFile, content: bytes) -> bool:
    try:
        return action.edit(content) == content
    except (Refused, Unknown):
        return False


def _files(step: Step) -> tuple[str, ...]:
    """The files that a step writes or removes."""
    match step:
        case Write():
            return (step.replacement.target,)
        case RemoveFile():
            return (step.target,)
        case Produce():
            return tuple(output.target for output in step.outputs)
    return ()


def _changes(action: Action) -> tuple[Change, ...]:
    return (Change(action.subject, action.old, action.new),)


def _ownership(status: os.stat_result) -> Ownership:
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def _look(path: str, links: int) -> tuple[str, os.stat_result]:
    """A path with its directory's links resolved but not its own, and what is there."""
    parent, name = os.path.split(path.rstrip("/"))
    try:
        direct = os.path.join(os.path.realpath(parent, strict=True), name)
        status = os.lstat(direct)
    except OSError as error:
        raise Refused(f"{path}: {os.strerror(error.errno or 0)}") from None
    if stat.S_ISLNK(status.st_mode):
        raise Refused(f"{path}: a symbolic link; its target's owner is not changed through it")
    _refuse_linked(status, path, links)
    return direct, status


def _refuse_linked(status: os.stat_result, path: str, links: int) -> None:
    # Whoever can write to the directory can put another name of anybody's file there.
    if not stat.S_ISDIR(status.st_mode) and status.st_nlink > links:
        raise Refused(f"{path}: has {status.st_nlink} hard links, so it may be somebody else's file")


def _ids(new_file: NewFile) -> Ownership:
    try:
        uid = int(new_file.user) if new_file.user.isdigit() else pwd.getpwnam(new_file.user).pw_uid
        gid = int(new_file.group) if new_file.group.isdigit() else grp.getgrnam(new_file.group).gr_gid
    except KeyError as missing:
        raise Refused(f"a new file should belong to {new_file.user}:{new_file.group}: {missing.args[0]}") from None
    return uid, gid, new_file.mode


def inverse(record: Mapping[str, Any]) -> list[Action]:
    """The actions that take a recorded step back; none if nothing can, as with a process that was ended.

    Args:
        record: what ``Step.record`` gave.

    Raises:
        KeyError, TypeError, ValueError: it is no such record.
    """
    words = {
        "old": "; ".join(new for _, _, new in record["changes"]),
        "new": "; ".join(old for _, old, _ in record["changes"]),
        "restarts": tuple(record["restarts"]),
    }
    match record["kind"]:
        case "Write" if record["old"]:
            return [EditFile(path=record["target"], edit=_restore(record, record["new"], record["old"]), **words)]
        case "Write":
            return [_DeleteFile(path=record["target"], written=record["new"], **words)]
        case "RemoveFile":
            edit = _restore(record, "", record["old"])
            return [EditFile(path=record["target"], edit=edit, new_file=_new_file(record["owner"]), **words)]
        case "Own":
            uid, gid, mode = record["old"]
            became, links = tuple(record["new"]), record["links"]
            return [_GiveBack(path=record["path"], was=(uid, gid, mode), became=became, links=links, **words)]
        case "MakeDir":
            return [_DeleteDirectory(path=record["target"], **words)]
        case "RemoveDir":
            uid, gid, mode = record["owner"]
            return [MakeDirectory(path=record["path"], uid=uid, gid=gid, mode=mode, **words)]
        case "Link":
            return [_DeleteLink(path=record["path"], link=record["link"], **words)]
        case "RemoveLink":
            return [MakeLink(path=record["path"], target=record["link"], **words)]
        case "Produce":
            return [action for output in record["outputs"] for action in _unmake(output, words)]
        case "Serve":
            del words["restarts"]
            return [_RestoreService(service=record["service"], condition=Condition(*record["was"]), **words)]
        case "End":
            return []
        case kind:
            raise ValueError(f"unknown step {kind!r}")


def _unmake(output: Mapping[str, Any], words: Mapping[str, Any]) -> list[Action]:
    """Bring back what a program wrote over; of a run that was killed nobody knows what it wrote."""
    path, new = output["target"], output["new"]
    if not output["old"]:
        return [_DeleteFile(path=path, written="unknown" if new is None else new, **words)]
    edit = _restore(output, new or "", output["old"])
    content = EditFile(path=path, edit=edit, new_file=_new_file(output["owner"]), **words)
    if not output["became"]:
        return [content]
    # First: a file that is replaced keeps the owner that it has then.
    was, became = _three(output["owner"]), _three(output["became"])
    return [_GiveBack(path=path, was=was, became=became, **words), content]


def _three(owner: Sequence[int]) -> Ownership:
    uid, gid, mode = owner
    return uid, gid, mode


def _new_file(owner: Sequence[int]) -> NewFile:
    uid, gid, mode = _three(owner)
    return NewFile(str(uid), str(gid), mode)


def _restore(record: Mapping[str, Any], written: str, wanted: str) -> Callable[[bytes | None], bytes]:
    """An edit that brings the content back that the run replaced, if the file is still as the run left it."""
    target, backup = record["target"], record["backup"]

    def edit(content: bytes | None) -> bytes:
        present = replace.sha256(content)
        if present == wanted and content is not None:
            return content
        if present != written:
            raise Refused(f"{target}: was changed since that run wrote it; what it was before is in {backup}")
        return replace.kept(backup, wanted, target)

    return edit


def in_effect(record: Mapping[str, Any]) -> bool:
    """Whether a step of a run that was killed seems to have happened."""
    match record["kind"]:
        case "Write" | "RemoveFile":
            try:
                content = replace.find(record["target"]).content
            except Refused:
                return True
            return replace.sha256(content) == record.get("new", "")
        case "Own":
            try:
                return _ownership(_look(record["path"], record["links"])[1]) == tuple(record["new"])
            except Refused:
                return False
        case "MakeDir":
            return os.path.isdir(record["target"])
        case "RemoveDir":
            return not os.path.isdir(record["path"])
        case "Link":
            return os.path.islink(record["path"])
        case "RemoveLink":
            return not os.path.islink(record["path"])
        case _:
            return True
