"""Carrying a plan out, and taking a run back: one lock, a look before and after, a record of what was done."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from courierlib import audit, execution, journal, replace, steps
from courierlib.execution import Job
from courierlib.issue import Finding, Severity, Unknown
from courierlib.plan import Action, Choose, Refused
from courierlib.replace import NotWritten
from courierlib.services import ServiceFailed
from courierlib.steps import Draft

if TYPE_CHECKING:
    from courierlib.catalogue import Entry
    from courierlib.host import Host


class ApplyFailed(Exception):
    """Nothing was changed, and why; one line that names the thing and what to do."""


class UnknownRun(ApplyFailed):
    """There is no such run; the message lists those there are."""


@dataclass(frozen=True)
class Workspace:
    """Where the engine keeps its own things.

    Args:
        backup_root: the minion's ``file_backup`` below its cache directory.
        state_dir: for the records of runs.
        lock: only one run at a time may hold it.
    """

    backup_root: str
    state_dir: str
    lock: str = "/run/saltext-courier.lock"


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Args:
        changes: subject to ``{"old": …, "new": …}``; the same in test mode and in earnest.
        comment: for the operator, sentences.
        findings_before: how many places were wrong.
        findings_after: how many still are; in test mode as many as before.
        withheld: what was not done because the operator has not named or chosen it.
        refused: what was not done because it would not have been safe, and why.
        unknown: ``{"id": …, "reason": …}`` for each issue that could not be looked at.
        run: name of the run's record; None if nothing had to be done.
        failed: what went wrong; empty if nothing did. Then ``changes`` holds only what stayed.
    """

    changes: Mapping[str, Mapping[str, str]]
    comment: str
    findings_before: int = 0
    findings_after: int = 0
    withheld: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    unknown: tuple[Mapping[str, str], ...] = ()
    run: str | None = None
    failed: str = ""


def carry_out(
    host_factory: Callable[[], Host],
    entries: Sequence[Entry],
    *,
    workspace: Workspace,
    test: bool = False,
    allow: frozenset[str] = frozenset(),
    options: Mapping[str, object] | None = None,
    least: Mapping[str, Severity] | None = None,
) -> Outcome:
    """Check for problems, repair them, restart what must be restarted, and check again.

    Args:
        host_factory: a fresh look at the running host, each time.
        entries: the problems.
        workspace: where locks, backups and records are.
        test: only say what would be done; nothing is touched, not even the lock.
        allow: what the operator has named; other actions that need to be are withheld.
        options: for the fixes; each gets those that it takes.
        least: by id, the severity from which up findings count; all by default.

    Returns:
        The outcome; a failure after something had been changed is in ``failed``, and was taken back.

    Raises:
        ApplyFailed: nothing was changed: another run, no permission, no running host.
        ValueError: a fix does not take an option's value.
    """
    with _alone(workspace, test):
        host = _running(host_factory)
        owed = _interrupted(workspace, test)
        record = journal.new(workspace.state_dir, [entry.issue.id for entry in entries])
        before = _Look.at(host, entries, least)
        planned, refused = _plans(host, entries, before, options or {})
        actions, withheld = _permitted(planned, allow)
        job = _job(workspace, record, host, actions, owed)
        job.draft.refused[:0] = refused
        if test or not (job.steps or owed):
            return _outcome(job, test, before, before, withheld)
        execution.run(job)
        return _outcome(job, test, before, _Look.at(_running(host_factory), entries, least), withheld)


def undo(host_factory: Callable[[], Host], run: object, *, workspace: Workspace, test: bool = False) -> Outcome:
    """Take back what a run has changed, as a run of its own: with backups, restarts and a record.

    A file that was changed since is left alone and named in ``refused``.

    Args:
        host_factory: a fresh look at the running host.
        run: as ``history`` names it.
        workspace: where locks, backups and records are.
        test: only say what would be done.

    Returns:
        The outcome; findings are not counted.

    Raises:
        UnknownRun: there is no such run.
        ApplyFailed: nothing was changed; see ``carry_out``; also if the run was undone or rolled back already.
    """
    with _alone(workspace, test):
        host = _running(host_factory)
        owed = _interrupted(workspace, test)
        undone = _undoable(workspace, run)
        record = journal.new(workspace.state_dir, undone["issues"], undoes=undone["run"])
        owed = [other for other in owed if other["run"] != run]
        job = _job(workspace, record, host, _inverse(workspace, undone), owed)
        if not test and (job.steps or owed):
            execution.run(job)
        ended = [step for step in undone["steps"] if step["kind"] == "End"]
        job.notes += [f"process {step['pid']} {step['exe']} cannot be brought back" for step in ended]
        if not (test or job.failed or job.draft.refused):
            by = record["run"] if job.steps else ""
            execution.note(job, {**undone, "state": "undone", "undone_by": by, "restarted": True})
            _note_redone(job, undone)
        return _outcome(job, test)


def history(workspace: Workspace) -> list[dict[str, Any]]:
    """All runs that changed something or tried to, newest first.

    Returns:
        For each ``run``, ``time`` (UTC), ``issues``, ``changes`` and ``state``: ``running``, ``done``, ``interrupted``,
        ``rolled back``, ``undone`` or ``unreadable``; ``undoes``, ``undone_by`` and ``failed`` where they apply.

    Raises:
        ApplyFailed: the records may not be looked at.
    """
    try:
        runs = journal.runs(workspace.state_dir)
    except journal.Damaged as damaged:
        raise ApplyFailed(f"{damaged}; run this as root") from None
    return [_told(workspace, run) for run in runs]


def _told(workspace: Workspace, run: str) -> dict[str, Any]:
    try:
        record = journal.read(workspace.state_dir, run)
        told = {
            "run": run,
            "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record["started"])),
            "state": journal.state(record),
            "issues": record["issues"],
            "changes": _fold(change for step in record["steps"] for change in step["changes"]),
        }
    except (journal.Damaged, FileNotFoundError, KeyError, TypeError, ValueError):
        return {"run": run, "time": "", "state": "unreadable", "issues": [], "changes": {}}
    return told | {name: record[name] for name in ("undoes", "undone_by", "failed") if record.get(name)}


# The lock, and what a killed run has left


@contextmanager
def _alone(workspace: Workspace, test: bool) -> Iterator[None]:
    """Hold the lock; in test mode do nothing."""
    if test:
        yield
        return
    lock = workspace.lock
    try:
        with replace.explained(lock):
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except NotWritten as failed:
        raise ApplyFailed(str(failed)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ApplyFailed(f"{lock}: not a regular file; move it away")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise ApplyFailed(
                f"{lock}: held by another run, process {holder or 'unknown'}; wait until it has ended"
            ) from None
        with replace.explained(lock):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    except NotWritten as failed:
        raise ApplyFailed(str(failed)) from None
    finally:
        # Never removed: another run may have it open and would hold a lock on a file without a name.
        os.close(descriptor)


def _interrupted(workspace: Workspace, test: bool) -> list[journal.Record]:
    """Clean up after runs that were killed; those that have changed settings but not restarted what reads them."""
    owed = []
    try:
        if not test:
            journal.discard_leftovers(workspace.state_dir)
        for run in journal.runs(workspace.state_dir):
            # A damaged record, even one that somebody has edited, must not stop every run from now on.
            with suppress(journal.Damaged, KeyError, TypeError):
                record = journal.read(workspace.state_dir, run)
                # We hold the lock, so a run that has not ended never will.
                if not test and record["state"] == "running":
                    _discard(record)
                    _bring_back_lost(record)
                    record["state"] = "interrupted"
                    journal.write(workspace.state_dir, record)
                if journal.state(record) == "interrupted" and _owes_restart(record):
                    owed.append(record)
    except journal.Damaged as damaged:
        raise ApplyFailed(f"{damaged}; run this as root") from None
    return owed


def _discard(record: journal.Record) -> None:
    for step in record["steps"] + record["reverted"]:
        for made in (step, *step.get("outputs", ())):
            for path in filter(None, (made.get("target"), made.get("backup"))):
                replace.discard(path, made.get("temporary", ""))


def _bring_back_lost(record: journal.Record) -> None:
    """A program that refuses to write over a file has been killed before it wrote another one."""
    for output in (output for step in record["steps"] for output in step.get("outputs", ())):
        if output["old"] and not os.path.lexists(output["target"]):
            with suppress(Refused):
                replace.put_back(output["target"], output["old"], output["backup"], output["owner"])


def _owes_restart(record: journal.Record) -> bool:
    return not record["restarted"] and any(step["restarts"] and steps.in_effect(step) for step in record["steps"])


# From findings to a plan


@dataclass(frozen=True)
class _Look:
    """What one look at the host has found."""

    findings: Mapping[str, list[Finding]]
    unknown: list[Mapping[str, str]]

    @classmethod
    def at(cls, host: Host, entries: Sequence[Entry], least: Mapping[str, Severity] | None) -> _Look:
        verdicts = list(audit.judge(host, entries))
        least = least or {}
        return cls(
            {
                verdict.entry.issue.id: verdict.at_least(least.get(verdict.entry.issue.id, Severity.LOW))
                for verdict in verdicts
            },
            [{"id": verdict.entry.issue.id, "reason": reason} for verdict in verdicts for reason in verdict.unknown],
        )

    @property
    def count(self) -> int:
        return sum(map(len, self.findings.values()))


def _plans(
    host: Host, entries: Sequence[Entry], look: _Look, options: Mapping[str, object]
) -> tuple[list[Action], list[str]]:
    """What the fixes ask for, and why some cannot tell."""
    actions: list[Action] = []
    refused = []
    for entry in entries:
        fixable = [finding for finding in look.findings[entry.issue.id] if finding.fixable]
        if entry.fix is None or not fixable:
            continue
        taken = {name: value for name, value in options.items() if name in entry.issue.choices}
        try:
            actions += entry.fix(host, fixable, **taken)
        except (Unknown, Refused) as unknown:
            refused.append(f"{entry.issue.id}: {unknown}")
    return actions, refused


def _permitted(actions: Sequence[Action], allow: frozenset[str]) -> tuple[list[Action], tuple[str, ...]]:
    """What may be done, each thing once, and what is withheld, in words.

    An action that is withheld does not hold back the others of its issue: those that need one another carry
    the same ``allow``.
    """
    permitted: dict[tuple[str, str], Action] = {}
    withheld = []
    for action in actions:
        if isinstance(action, Choose):
            withheld.append(f"{audit.printable(action.about)}: choose {action.option}")
        elif not allow.issuperset(filter(None, action.allow.split(","))):
            withheld.append(f"{audit.printable(action.describe())}: only with allow={action.allow}")
        else:
            _add(permitted, action)
    return list(permitted.values()), tuple(dict.fromkeys(withheld))


def _add(permitted: dict[tuple[str, str], Action], action: Action) -> None:
    same = permitted.setdefault((action.subject, action.new), action)
    if same is not action and getattr(action, "restarts", ()):
        restarts = tuple(dict.fromkeys(same.restarts + action.restarts))
        permitted[action.subject, action.new] = dataclasses.replace(same, restarts=restarts)


def _running(host_factory: Callable[[], Host]) -> Host:
    host = host_factory()
    if host.root != "/" or host.system is None:
        raise ApplyFailed(f"{host.root}: only a running host can be repaired, not a tree of files")
    return host


def _job(
    workspace: Workspace, record: journal.Record, host: Host, actions: Sequence[Action], owed: list[journal.Record]
) -> Job:
    manager = host.system.services
    draft = Draft(record["run"], workspace.backup_root, manager.services if manager else lambda: ())
    job = Job(workspace.state_dir, draft, record, manager, owed, host.system.run)
    try:
        for action in actions:
            draft.add(action)
        if job.concerns_services:
            job.draft.services  # noqa: B018 - asked for now, while nothing has been changed
    except ServiceFailed as failed:
        raise ApplyFailed(f"cannot tell which services run, so nothing was changed: {failed}") from None
    record["steps"] = [step.record() for step in draft.steps]
    return job


# Undoing a run


def _undoable(workspace: Workspace, run: object) -> journal.Record:
    try:
        runs = journal.runs(workspace.state_dir)
        if run not in runs:
            raise UnknownRun(f"{run}: no such run; known are: {', '.join(runs[:10]) or 'none'}")
        record = journal.read(workspace.state_dir, str(run))
    except journal.Damaged as damaged:
        raise ApplyFailed(str(damaged)) from None
    state = journal.state(record)
    if state == "undone":
        raise ApplyFailed(f"run {run}: undone already{' by run ' if record['undone_by'] else ''}{record['undone_by']}")
    if state == "running":
        raise ApplyFailed(f"run {run}: still going on")
    if state == "rolled back":
        raise ApplyFailed(f"run {run}: was rolled back, so there is nothing to undo")
    return record


def _inverse(workspace: Workspace, record: journal.Record) -> list[Action]:
    try:
        return [action for step in reversed(record["steps"]) for action in steps.inverse(step)]
    except (KeyError, TypeError, ValueError):
        raise ApplyFailed(f"run {record['run']}: its record below {workspace.state_dir} is damaged") from None


def _note_redone(job: Job, undone: journal.Record) -> None:
    """Taking back an undoing: the run that it had undone stands again."""
    if undone.get("undoes"):
        with suppress(journal.Damaged, FileNotFoundError):
            first = journal.read(job.state_dir, undone["undoes"])
            execution.note(job, {**first, "state": "done", "undone_by": ""})


# Telling it


_NOTHING = _Look({}, [])


def _outcome(
    job: Job, test: bool, before: _Look = _NOTHING, after: _Look = _NOTHING, withheld: tuple[str, ...] = ()
) -> Outcome:
    changes = _fold(dataclasses.astuple(change) for step in job.steps for change in step.changes)
    return Outcome(
        changes=changes,
        comment=_comment(job, test, len(changes), withheld),
        findings_before=before.count,
        findings_after=after.count,
        withheld=withheld,
        refused=tuple(job.draft.refused),
        unknown=tuple(after.unknown),
        run=job.record["run"] if (job.steps or job.owed or job.failed) and not test else None,
        failed="; ".join(job.failed),
    )


def _fold(changes: Iterable[Sequence[str]]) -> dict[str, dict[str, str]]:
    """``changes`` as Salt shows them; of several changes to one thing the first old and the last new state."""
    folded: dict[str, dict[str, str]] = {}
    for subject, old, new in changes:
        folded.setdefault(audit.printable(subject), {"old": audit.printable(old)})["new"] = audit.printable(new)
    return folded


def _comment(job: Job, test: bool, count: int, withheld: Sequence[str]) -> str:
    said = []
    things = f"{count} change{'' if count == 1 else 's'}"
    if test:
        said.append(f"{things} would be made" if count else "Nothing to change")
        if restarts := job.restarts()[0]:
            said.append(f"Would restart {', '.join(restarts)}")
    elif not job.failed:
        said.append(f"{things} made, run {job.record['run']}" if count else "Nothing to change")
    if job.failed:
        said.append("; ".join(job.failed))
    said += [f"{text[0].upper()}{text[1:]}" for text in job.notes]
    said += [f"Not done: {refused}" for refused in job.draft.refused]
    said += [f"Withheld: {held}" for held in withheld]
    return "".join(f"{sentence}. " for sentence in said).rstrip()
