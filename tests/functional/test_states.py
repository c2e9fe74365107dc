"""What a highstate reads: result, changes and comment of each state."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import salt.exceptions
import salt.loader

from courierlib import catalogue

CHANGES = {"/etc/courier/dhparams.pem": {"old": "1024 bits", "new": "ffdhe3072"}}


def outcome(changes=None, before=1, after=0, **more):
    return {
        "changes": CHANGES if changes is None else changes,
        "comment": "said by the engine",
        "findings_before": before,
        "findings_after": after,
        **more,
    }


@pytest.fixture
def state_with(opts):
    """State modules over an execution module that returns, or raises, what the test says."""

    def state_with(function, answer, test=False):
        def called(**arguments):
            called.arguments = arguments
            if isinstance(answer, Exception):
                raise answer
            return answer

        opts["test"] = test
        states = salt.loader.states(opts, {"courier.audit": called, function: called}, {}, None)
        states.called = called
        return states

    return state_with


def test_a_repair_reports_its_changes(state_with):
    states = state_with("courier.fix_dh", outcome())
    assert states["courier.fix_dh"]("DH") == {
        "name": "DH",
        "result": True,
        "comment": "said by the engine",
        "changes": CHANGES,
    }
    assert states.called.arguments == {"test": False, "group": "ffdhe3072"}


def test_test_mode_announces_the_same_changes(state_with):
    result = state_with("courier.fix_dh", outcome(after=1), test=True)["courier.fix_dh"]("DH")
    assert (result["result"], result["changes"]) == (None, CHANGES)


@pytest.mark.parametrize("test", [False, True])
def test_nothing_to_do_is_success_without_changes(state_with, test):
    result = state_with("courier.fix_dh", outcome({}, 0, 0), test=test)["courier.fix_dh"]("DH")
    assert (result["result"], result["changes"]) == (True, {})


def test_a_problem_that_stays_fails_the_state(state_with):
    result = state_with("courier.fix", outcome({}, 1, 1))["courier.fixed"]("pem-unreadable")
    assert result["result"] is False


@pytest.mark.parametrize("test", [False, True])
def test_what_was_withheld_fails_a_state_that_names_it(state_with, test):
    answer = outcome({}, 1, 1, withheld=["courier: masked; needs allow=unmask-service"])
    result = state_with("courier.ensure_services", answer, test=test)["courier.ensure_services"]("services")
    assert result["result"] is False


@pytest.mark.parametrize("test", [False, True])
def test_what_was_withheld_is_only_reported_when_all_are_meant(state_with, test):
    answer = outcome({}, 1, 1, withheld=["courier: masked; needs allow=unmask-service"])
    states = state_with("courier.fix", answer, test=test)
    assert states["courier.fixed"]("courier", issues="all")["result"] is True
    assert states.called.arguments["issues"] == "all"


def test_options_reach_the_repair_and_nothing_else_does(state_with):
    states = state_with("courier.fix", outcome())
    given = {"group": "ffdhe4096"}
    states["courier.fixed"]("x", issues=["dh-params-weak"], options=given, allow=["a"], __env__="base", __sls__="x")
    assert states.called.arguments == {
        "test": False,
        "issues": ["dh-params-weak"],
        "group": "ffdhe4096",
        "allow": ["a"],
    }


def test_the_name_is_the_issue_if_none_is_given(state_with):
    states = state_with("courier.fix", outcome())
    states["courier.fixed"]("dh-params-weak")
    assert states.called.arguments["issues"] == "dh-params-weak"


def test_an_option_may_be_an_argument_of_its_own(state_with):
    states = state_with("courier.fix", outcome())
    states["courier.fixed"]("dh-params-weak", group="ffdhe2048")
    assert states.called.arguments["group"] == "ffdhe2048"


@pytest.mark.parametrize("options", [["group"], "group", 7])
def test_options_of_another_shape_are_named(state_with, options):
    result = state_with("courier.fix", outcome())["courier.fixed"]("dh-params-weak", options=options)
    assert (result["result"], "options: expected a dictionary" in result["comment"]) == (False, True)


def test_an_option_cannot_take_the_place_of_test_mode(state_with):
    states = state_with("courier.fix", outcome(), test=True)
    states["courier.fixed"]("dh-params-weak", options={"test": False, "issues": "all"})
    assert (states.called.arguments["test"], states.called.arguments["issues"]) == (True, "dh-params-weak")


@pytest.mark.parametrize("error", [salt.exceptions.CommandExecutionError, salt.exceptions.SaltInvocationError])
def test_an_error_is_a_failed_state_not_a_traceback(state_with, error):
    states = state_with("courier.fix", error("the disk is full"))
    result = states["courier.fixed"]("dh-params-weak")
    assert (result["result"], result["comment"], result["changes"]) == (False, "the disk is full", {})


def finding(severity):
    row = dict.fromkeys(("id", "title", "where", "detail", "fix"), "x") | {"article": "https://kb/i/x/"}
    return row | {"severity": severity}


@pytest.mark.parametrize(
    ("found", "limit", "result"), [("high", "high", False), ("high", "HIGH", False), ("medium", "high", True)]
)
def test_an_audit_fails_from_the_chosen_severity_up(state_with, found, limit, result):
    answer = {"courier": {}, "findings": [finding(found)], "unknown": [], "clear": []}
    assert state_with("courier.audit", answer)["courier.audited"]("x", severity=limit)["result"] is result


def test_a_check_fails_on_any_finding_and_names_the_article(state_with):
    answer = {"courier": {}, "findings": [finding("low")], "unknown": [{"id": "y", "reason": "no root"}], "clear": []}
    result = state_with("courier.check_dh", answer)["courier.check_dh"]("x")
    assert (result["result"], result["changes"]) == (False, {})
    assert "https://kb/i/x/" in result["comment"]
    assert "not looked at: y: no root" in result["comment"]


def test_a_wrong_severity_is_named(state_with):
    result = state_with("courier.audit", {})["courier.audited"]("x", severity="grave")
    assert result["result"] is False
    assert "'grave' is none of low, medium, high, critical" in result["comment"]


def test_each_state_but_the_general_ones_has_the_name_of_its_execution_function(states, modules):
    named = {name for name in states if name.startswith("courier.")}
    assert named - {"courier.fixed", "courier.audited"} <= {name for name in modules if name.startswith("courier.")}


def test_no_parameter_has_the_name_of_a_requisite_or_global(states):
    reserved = {"require", "watch", "onchanges", "order", "fun", "state", "check_cmd", "saltenv", "unless", "onlyif"}
    for name in states:
        if name.startswith("courier."):
            assert not reserved & set(inspect.signature(states[name]).parameters), name


@pytest.mark.parametrize("issues", ["all", ["all"], ["tls", "critical"], "tls, auth"])
def test_what_a_group_cannot_repair_does_not_fail_the_state(state_with, issues):
    states = state_with("courier.fix", outcome({}, 1, 1))
    assert states["courier.fixed"]("courier", issues=issues)["result"] is True
    assert (
        states["courier.fixed"]("courier", issues=[*([issues] if isinstance(issues, str) else issues), "pem-x"])[
            "result"
        ]
        is False
    )


def test_the_states_know_every_group():
    source = (Path(__file__).parents[2] / "_states/courier.py").read_text()
    assert f"_COMPONENTS = {catalogue.COMPONENTS!r}".replace("'", '"') in source
