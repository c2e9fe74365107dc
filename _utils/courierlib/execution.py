"""Doing a drafted run: files, then processes, then services; and all of it back if that went wrong."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from courierlib import ending, journal, replace, steps
from courierlib.ending import NotEnded
from courierlib.plan import Refused
from courierlib.replace import NotWritten
from courierlib.services import Run, ServiceFailed, ServiceManager
from courierlib.steps import (
    Draft,
    End,
    Link,
    MakeDir,
    Own,
    Produce,
    RemoveDir,
    RemoveFile,
    RemoveLink,
    Serve,
    Step,
    Write,
)

SETTLE = 8.0
"""Seconds that services get to come up after a restart."""

STEADY = 0.5
"""Seconds after which a service that came up is looked at once more: one that dies of its settings dies at once."""

_UNITS = "/etc/systemd/system/"


class NotMade(Exception):
    """A program that a repair needs has failed; the message names it and what it said."""


_FAILURES = (Refused, NotWritten, NotMade, NotEnded, ServiceFailed)

_WHY = "the system's journal and the mail log may say why"


@dataclass
class Job:
    """A run while it is going on.

    Args:
        state_dir: for the records of runs.
        draft: what is to be done.
        record: the run's own.
        manager: of the services; None where none was recognised: then nothing is restarted, and that is told.
        owed: records of runs that were killed before they had restarted what they changed.
        run: runs a program.
        notes: for the operator.
        failed: what went wrong.
        begun: steps on files that have, or may have, had an effect.
        ended: processes were sent signals.
        restarted: services were restarted.
    """

    state_dir: str
    draft: Draft
    record: journal.Record
    manager: ServiceManager | None
    owed: list[journal.Record]
    run: Run
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    begun: list[Step] = field(default_factory=list)
    ended: bool = False
    restarted: bool = False

    @property
    def steps(self) -> list[Step]:
        return self.draft.steps

    def of(self, *kinds: type) -> list[Any]:
        return [step for step in self.steps if isinstance(step, kinds)]

    @property
    def concerns_services(self) -> bool:
        return bool(self.owed or self.of(Serve) or any(step.restarts for step in self.steps))

    @property
    def roles(self) -> set[str]:
        """What must be restarted."""
        owed = {role for record in self.owed for step in record["steps"] for role in step["restarts"]}
        return owed | {role for step in self.steps for role in step.restarts}

    def restarts(self) -> tuple[list[str], list[str]]:
        """Names of the services to restart, and of those that would be if they were running."""
        if not self.concerns_services:
            return [], []
        stopping = {step.service for step in self.of(Serve) if not step.wanted.active}
        starting = {step.service for step in self.of(Serve)} - stopping
        again = {step.service for step in self.of(Serve) if step.restart}
        touched = [s for s in self.draft.services.values() if self.roles & set(s.roles) and s.name not in stopping]
        running = {s.name for s in touched if s.active} | again
        return sorted(running), sorted({s.name for s in touched} - running - starting)


def run(job: Job) -> None:
    """Do everything, keep the record, and take everything back if it went wrong.

    Raises:
        NotWritten: the record could not be begun; nothing was changed.
    """
    journal.write(job.state_dir, job.record)
    restarts, idle = job.restarts()
    try:
        _change(job.steps, job.begun)
        _produce(job)
        job.ended = bool(job.of(End))
        ending.end([step.action for step in job.of(End)])
        _serve(job, restarts)
    except _FAILURES as failure:
        _roll_back(job, restarts, one_line(failure))
        return
    if idle:
        job.notes.append(f"not restarted, because not running: {', '.join(idle)}")
    if job.manager is None and job.concerns_services:
        job.notes.append(f"no service manager known here: restart yourself {', '.join(sorted(job.roles))}")
    for record in job.owed if job.manager else ():
        job.notes.append(f"run {record['run']} was killed before it had restarted what it changed; that is done now")
        note(job, {**record, "restarted": True})
    _finish(job, "done")


def _change(changing: Sequence[Step], begun: list[Step]) -> None:
    """Directories, owners and files. All files are complete on disk before the first one goes live.

    Args:
        changing: what to do.
        begun: gets each step when it begins to have an effect.
    """
    _each(changing, begun, MakeDir, Own)
    writes = [step for step in changing if isinstance(step, Write)]
    staged: list[replace.Staged] = []
    try:
        for step in writes:
            staged.append(replace.stage(step.replacement))
        for step, successor in zip(writes, staged, strict=True):
            with _noted(step, begun):
                replace.commit(successor)
    finally:
        for left in staged:
            replace.discard(left.replacement.target, left.replacement.temporary)
    _each(changing, begun, Link, RemoveFile, RemoveLink)
    _each(list(reversed(changing)), begun, RemoveDir)


def _each(changing: Sequence[Step], begun: list[Step], *kinds: type) -> None:
    for step in changing:
        if isinstance(step, kinds):
            with _noted(step, begun):
                step.do()


def _produce(job: Job) -> None:
    """Run the programs, each when all that it may read is in place."""
    for step in job.of(Produce):
        with _noted(step, job.begun):
            step.prepare()
        done = job.run(step.command)
        step.keep_owners()
        step.note_made()
        # What was made is part of the record, so that undoing it can tell whether it is still that.
        job.record["steps"] = [other.record() for other in job.steps]
        journal.write(job.state_dir, job.record)
        missing = [path for path, (made, _) in step.made.items() if not made]
        if done.returncode or missing:
            said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
            raise NotMade(f"{' '.join(step.command)}: {said if done.returncode else f'has not made {missing[0]}'}")


def _reload_units(job: Job) -> None:
    """Have the service manager read units that were changed."""
    targets = [step.replacement.target for step in job.of(Write)] + [step.target for step in job.of(RemoveFile)]
    if job.manager and any(target.startswith(_UNITS) for target in targets):
        job.manager.reload()


@contextmanager
def _noted(step: Step, begun: list[Step]) -> Iterator[None]:
    """A step that failed may still have had an effect, one that was refused has not."""
    begun.append(step)
    try:
        yield
    except Refused:
        begun.remove(step)
        raise


def _serve(job: Job, restarts: Sequence[str]) -> None:
    """Bring the services into their new condition, and see that those that were up are up."""
    _reload_units(job)
    if job.manager is None or not job.concerns_services:
        return
    changing = job.of(Serve)
    for step in changing:
        # Before the restarts: a unit that needs a masked one cannot be restarted.
        try:
            _prepare(job.manager, step.was, step)
        except ServiceFailed as failure:
            if step.was.active:
                raise
            _give_up(job, step, one_line(failure))
    if restarts:
        job.restarted = True
        job.manager.restart(restarts)
        job.notes.append(f"restarted {', '.join(restarts)}")
    # After the restarts: systemd restarts courierd along with esmtpd, and it shall start only once.
    for step in job.of(Serve):
        if step.wanted.active and not step.was.active:
            _start(job, step)
    stopped = {step.service for step in changing if not step.wanted.active}
    before = {service.name for service in job.draft.services.values() if service.active} - stopped
    # systemd stops courierd and the filters along with esmtpd.
    for name in sorted(before - _active(job.manager)) if stopped else ():
        job.manager.start(name)
    down = _down(job.manager, before)
    if down:
        raise ServiceFailed(f"{', '.join(down)}: was running before and is not now; {_WHY}")
    for step in [step for step in job.of(Serve) if step.wanted.active and not step.was.active]:
        if _down(job.manager, {step.service}):
            _give_up(
                job,
                step,
                f"{step.service}: started, but does not stay up; {_WHY}",
            )


def _prepare(manager: ServiceManager, was: steps.Condition, step: Serve) -> None:
    wanted = step.wanted
    if was.active and not wanted.active:
        manager.stop(step.service)
    if was.masked and not wanted.masked:
        manager.unmask(step.service)
    if wanted.enabled is not was.enabled and wanted.enabled is not None:
        (manager.enable if wanted.enabled else manager.disable)(step.service)
    if wanted.masked and not was.masked:
        manager.mask(step.service)


def _start(job: Job, step: Serve) -> None:
    try:
        job.manager.start(step.service)
    except ServiceFailed as failure:
        _give_up(job, step, one_line(failure))


def _give_up(job: Job, step: Serve, reason: str) -> None:
    """A service that was down stays down: take back what was done to it, and nothing else."""
    job.failed.append(reason)
    try:
        _prepare(job.manager, step.wanted, dataclasses.replace(step, wanted=step.was))
    except ServiceFailed as failure:
        job.failed.append(one_line(failure))
        return
    job.steps.remove(step)


def _active(manager: ServiceManager) -> set[str]:
    return {service.name for service in manager.services() if service.active}


def _down(manager: ServiceManager, names: set[str]) -> list[str]:
    """Which of the services are not up, when they have had time to settle."""
    deadline = time.monotonic() + SETTLE
    steady = False
    while names:
        down = sorted(names - _active(manager))
        if (not down and steady) or (down and time.monotonic() > deadline):
            return down
        steady = not down
        time.sleep(STEADY)
    return []


def _roll_back(job: Job, restarts: Sequence[str], reason: str) -> None:
    """Bring files, owners and services back to where they were; what cannot be is told."""
    job.notes.clear()
    job.failed.append(reason)
    problems = _files_back(job) + _services_back(job, restarts)
    gone = [step for step in job.of(End) if job.ended and not ending.present(step.action)]
    job.failed += [f"process {step.action.pid} {step.action.exe} has ended all the same" for step in gone]
    job.failed.append(
        f"could not be taken back: {'; '.join(problems)}" if problems else "everything else was taken back"
    )
    lasting = [step for step in job.begun if steps.in_effect(step.record())] if problems else []
    job.steps[:] = lasting + gone
    _finish(job, "interrupted" if problems else "rolled back")


def _files_back(job: Job) -> list[str]:
    """What could not be brought back."""
    back = Draft(f"{job.record['run']}-back", "", lambda: ())
    for step in reversed(job.begun):
        for action in steps.inverse(step.record()):
            back.add(action)
    job.record["reverted"] = [step.record() for step in back.steps]
    # A full disk is no reason to leave the change standing.
    with suppress(NotWritten):
        journal.write(job.state_dir, job.record)
    problems = list(back.refused)
    for step in back.steps:
        try:
            _change([step], [])
        except _FAILURES as failure:
            problems.append(one_line(failure))
    return problems


def _services_back(job: Job, restarts: Sequence[str]) -> list[str]:
    """What could not be brought back; nothing is restarted for nothing."""
    try:
        # Units are files that were brought back too.
        _reload_units(job)
    except ServiceFailed as failure:
        return [one_line(failure)]
    if job.manager is None or not job.concerns_services:
        return []
    before = {service.name for service in job.draft.services.values() if service.active}
    try:
        now = {service.name: service for service in job.manager.services()}
        for step in job.of(Serve):
            if present := now.get(step.service):
                condition = steps.Condition(present.active, present.enabled, present.masked)
                _prepare(job.manager, condition, dataclasses.replace(step, wanted=step.was))
        again = before - {name for name, service in now.items() if service.active}
        if job.restarted or job.ended:
            again |= before.intersection(restarts)
        if again:
            job.manager.restart(sorted(again))
        down = _down(job.manager, before)
    except ServiceFailed as failure:
        return [one_line(failure)]
    return [f"{name}: was running before and does not come up again; {_WHY}" for name in down]


def _finish(job: Job, state: str) -> None:
    """Complete the record; a service that was given up is no longer in it."""
    serving = {step.service for step in job.of(Serve)}
    made = [
        step for step in job.record["steps"] if state != "done" or step["kind"] != "Serve" or step["service"] in serving
    ]
    failed = "; ".join(job.failed)
    note(job, {**job.record, "state": state, "steps": made, "restarted": state != "interrupted", "failed": failed})


def one_line(failure: Exception) -> str:
    """What went wrong, without the line breaks of the program that has said it."""
    return " ".join(str(failure).split()).rstrip(".")


def note(job: Job, record: journal.Record) -> None:
    """Complete a record; where that fails the changes stand, and the operator is told."""
    try:
        journal.write(job.state_dir, record)
    except NotWritten as failure:
        job.failed.append(f"the record of run {record['run']} could not be completed: {failure}")
