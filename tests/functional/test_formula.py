"""The formula: what pillar says becomes one state, and what it cannot mean becomes one clear failure."""

from __future__ import annotations

import pytest


@pytest.fixture
def rendered(modules):
    """State by id, as ``state.apply courier`` would run it with a pillar ``courier:``: function and arguments."""

    def rendered(*pillar):
        shown = modules["state.show_sls"]("courier", pillar={"courier": pillar[0]} if pillar else {})
        assert isinstance(shown, dict), shown
        states = {}
        for name, state in shown.items():
            (module,) = [key for key in state if not key.startswith("__")]
            function, arguments = "", {}
            for part in state[module]:
                if isinstance(part, dict):
                    arguments |= part
                else:
                    function = part
            arguments.pop("order", None)
            states[name] = (f"{module}.{function}", arguments)
        return states

    return rendered


HEALTHY = "courier is free of known problems"
EVERYTHING = ("courier.fixed", {"issues": "all", "allow": [], "options": {}})


@pytest.mark.parametrize("pillar", [(), ({},), (None,)])
def test_without_pillar_everything_safe_is_repaired_in_one_state(rendered, pillar):
    assert rendered(*pillar) == {HEALTHY: EVERYTHING}


def test_pillar_names_issues_leave_and_choices(rendered):
    pillar = {"issues": ["dh-params-weak"], "allow": ["old-queue"], "options": {"group": "ffdhe4096"}, "kb_url": "x"}
    assert rendered(pillar) == {HEALTHY: ("courier.fixed", {name: pillar[name] for name in EVERYTHING[1]})}


def test_the_audit_afterwards_waits_for_the_repairs(rendered):
    function, arguments = rendered({"audit_severity": "high"})["courier audit"]
    assert (function, arguments) == ("courier.audited", {"severity": "high", "require": [{"courier": HEALTHY}]})


@pytest.mark.parametrize("pillar", [{"issue": "dh-params-weak"}, ["dh-params-weak"], "dh-params-weak"])
def test_pillar_that_means_nothing_repairs_nothing(rendered, pillar):
    ((function, arguments),) = rendered(pillar).values()
    assert function == "test.fail_without_changes"
    assert arguments["comment"].startswith("pillar courier:")


def test_a_choice_cannot_become_a_requisite(rendered):
    assert rendered({"options": {"require": "x"}})[HEALTHY][1]["options"] == {"require": "x"}
