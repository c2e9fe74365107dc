"""A booted machine under a real master: what ``salt`` and a highstate do to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from machine import Machine
from saltmaster import Master


@dataclass(frozen=True)
class Highstate:
    """What a highstate did.

    Args:
        results: True, False or None of each state.
        changes: of all states, by their subject.
        comments: of all states.
    """

    results: tuple[bool | None, ...]
    changes: dict[str, Any]
    comments: str


@dataclass(frozen=True)
class Managed:
    """A machine whose minion answers the master and has this repository's modules."""

    machine: Machine
    master: Master

    def call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """The return of ``salt MACHINE FUNCTION``."""
        value = self.master.call(self.machine.name, function, *args, **kwargs)
        assert value is not None, f"{function}: the minion does not answer"
        return value

    def audit(self, **arguments: Any) -> dict[str, Any]:
        """The report of ``salt MACHINE courier.audit``."""
        report = self.call("courier.audit", **arguments)
        assert isinstance(report, dict), report
        return report

    def found(self) -> set[str]:
        """Ids of what an audit finds."""
        return {finding["id"] for finding in self.audit()["findings"]}

    def highstate(self, *, test: bool = False, **pillar: Any) -> Highstate:
        """Apply a top file that names the formula, with ``pillar`` as this minion's ``courier:``."""
        name = self.machine.name
        (self.master.states / "top.sls").write_text("base:\n  '*':\n    - courier\n")
        (self.master.pillar / "top.sls").write_text(f"base:\n  {name}:\n    - {name}\n")
        (self.master.pillar / f"{name}.sls").write_text(json.dumps({"courier": pillar}) if pillar else "{}")
        states = self.call("state.apply", test=test)
        assert isinstance(states, dict), states
        changes: dict[str, Any] = {}
        for state in states.values():
            changes |= state["changes"]
        return Highstate(
            results=tuple(state["result"] for state in states.values()),
            changes=changes,
            comments="\n".join(state["comment"] for state in states.values()),
        )
