"""The beacon as Salt runs it: configuration, events, and what it leaves behind in the minion's main process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
import salt.beacons
import salt.loader

REPOSITORY = Path(__file__).parents[2]
HOME = "maildrop: Unable to change to home directory."


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log/mail.log"
    path.parent.mkdir()

    def write(message, tag="courierlocal"):
        with path.open("a") as file:
            file.write(f"{datetime.now(timezone.utc).isoformat()} mx1 {tag}: {message}\n")

    write.path = str(path)
    write("id=1,from=<>,addr=<bob@example.com>,size=1,success: Message delivered.")
    return write


@pytest.fixture
def beacons(opts, modules):
    """``beacons(NAME=[settings])`` is one turn of the minion's loop; the same call again is the next one."""
    opts["loop_interval"] = 1
    opts["beacons"] = {}
    salts = salt.beacons.Beacon(opts, modules)

    def turn(**config):
        opts["beacons"] = config
        return salts.process(config, {}) or []

    turn.salts = salts
    return turn


def line(issue="maildrop-home-directory"):
    from courierlib import catalogue

    return catalogue.load()[issue].issue.signatures[0].sample


def test_each_issue_raises_one_event_an_interval(beacons, log):
    settings = [{"source": log.path}]
    assert beacons(courier=settings) == []
    for _ in range(3):
        log(line())
    (event,) = beacons(courier=settings)
    data = event["data"]
    assert event["tag"] == "salt/beacon/mx1/courier/maildrop-home-directory"
    assert (data["id"], data["issue"], data["count"]) == ("mx1", "maildrop-home-directory", 3)
    assert (data["severity"], data["shared_with"]) == ("critical", [])
    assert data["first"] <= data["last"] and data["title"]
    assert data["article"].endswith("/i/maildrop-home-directory/")
    assert HOME in data["sample"] and "carol@" not in data["sample"]
    assert json.loads(json.dumps(data)) == data
    assert beacons(courier=settings) == []


def test_the_articles_address_is_the_configured_one(beacons, log, opts):
    opts["courier"] = {"kb_url": "https://kb.example.com/"}
    log(line())
    (event,) = beacons(courier=[{"source": log.path}])
    assert event["data"]["article"] == "https://kb.example.com/i/maildrop-home-directory/"


def issues(events):
    return [event["data"]["issue"] for event in events]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"issues": "all"}, ["mailuser-still-daemon", "spool-wrong-owner", "stale-daemon-processes"]),
        ({"issues": "spool-wrong-owner, pem-unreadable"}, ["spool-wrong-owner"]),
        ({"issues": ["stale-daemon-processes"]}, ["stale-daemon-processes"]),
        ({"skip": "spool-wrong-owner"}, ["mailuser-still-daemon", "stale-daemon-processes"]),
        ({"severity": "critical"}, ["mailuser-still-daemon", "spool-wrong-owner"]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_only_what_is_asked_for_is_told_and_the_others_that_share_the_line_are_named(beacons, log, settings, told):
    log("Permission denied", tag="submit")
    events = beacons(courier=[{"source": log.path}, settings])
    assert issues(events) == told
    assert all(len(event["data"]["shared_with"]) == 2 for event in events)


def test_two_beacons_read_the_log_each_for_itself(beacons, log):
    log(line())
    config = {
        "courier": [{"source": log.path}],
        "tls": [{"source": log.path}, {"beacon_module": "courier"}, {"skip": "pem-unreadable"}],
    }
    assert {event["tag"].split("/")[3] for event in beacons(**config)} == {"courier", "tls"}
    assert beacons(**config) == []


def test_salts_own_settings_are_accepted(beacons, log):
    settings = [{"interval": 2}, {"disable_during_state_run": True}, {"enabled": True}, {"source": log.path}]
    log(line())
    turns = [len(beacons(courier=[dict(setting) for setting in settings])) for _ in range(4)]
    assert sum(turns) == 1


def test_what_was_told_is_not_told_again_after_salt_has_loaded_its_beacons_anew(beacons, log, opts, modules):
    settings = [{"source": log.path}]
    log(line())
    assert len(beacons(courier=settings)) == 1
    beacons.salts.close_beacons()
    again = salt.beacons.Beacon(opts, modules)
    assert again.process({"courier": settings}, {}) == []
    log(line())
    assert len(again.process({"courier": settings}, {})) == 1


def test_a_log_that_cannot_be_read_is_one_event(beacons, tmp_path):
    settings = [{"source": str(tmp_path / "none.log")}]
    (event,) = beacons(courier=settings)
    assert event["tag"] == "salt/beacon/mx1/courier/unknown"
    assert event["data"]["reasons"] == [f"{tmp_path}/none.log: no such file or directory"]
    assert beacons(courier=settings) == []


def test_the_state_is_not_that_of_the_audit(beacons, log, opts):
    settings = [{"source": log.path}]
    beacons(courier=settings)
    beacons(courier=settings)
    assert os.listdir(os.path.join(opts["cachedir"], "courier")) == ["beacon.json"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"severity": "high"}, "courier: expected a list of settings"),
        (["severity"], "courier: expected a list of settings"),
        ([{"sevrity": "high"}], "sevrity: no setting of this beacon; expected interval, issues, skip"),
        ([{"severity": "hgih"}], "severity: expected low, medium, high, critical, not 'hgih'"),
        ([{"severity": None}], "severity: expected low, medium, high, critical, not None"),
        ([{"issues": "dh-params"}], "issues: expected ids of issues, a list or separated by commas, or all (see"),
        ([{"issues": []}], "issues: expected ids of issues"),
        ([{"issues": 7}], "issues: expected ids of issues"),
        ([{"issues": [["all"]]}], "issues: expected ids of issues"),
        ([{"skip": "all"}], "skip: expected ids of issues, a list or separated by commas (see courier.list_issues)"),
        ([{"source": "mail.log"}], "source: expected the absolute path of a log, such as /var/log/mail.log, not"),
        ([{"source": ""}], "source: expected the absolute path"),
        ([{"interval": "often"}], "interval: expected a number of seconds, not 'often'"),
        ([{"interval": 0}], "interval: expected a number of seconds, not 0"),
        ([{"issues": "dh-params-weak"}, {"skip": "dh-params-weak"}], "issues, skip, severity: expected settings that"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named_with_what_was_expected(beacons, opts, modules, config, said):
    valid, comment = salt.loader.beacons(opts, modules)["courier.validate"](config)
    assert valid is False
    assert comment.startswith(said)
    assert "\n" not in comment


@pytest.mark.parametrize(
    "config", [[], [{"issues": "all", "severity": "LOW"}], [{"skip": ["dh-params-weak"]}], [{"skip": []}]]
)
def test_a_right_configuration_is_accepted(opts, modules, config):
    assert salt.loader.beacons(opts, modules)["courier.validate"](config)[0] is True


MAIN_PROCESS = """
import json, os, sys
import salt.beacons, salt.config, salt.loader
opts = salt.config.minion_config(None)
tree, cache = sys.argv[1:]
opts.update(id="mx1", cachedir=cache, extension_modules=cache + "/extmods", module_dirs=[tree], file_client="local",
            pillar={}, grains={}, loop_interval=1)
opts["beacons"] = config = {"courier": [{"source": cache + "/none.log"}]}
functions = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
assert functions["courier.list_issues"].__module__  # loaded, not called
beacons = salt.beacons.Beacon(opts, functions)
before = {name: module for name, module in sys.modules.items() if name.startswith("courierlib")}
beacons.process(config, {})
after = {name: module for name, module in sys.modules.items() if name.startswith("courierlib")}
assert after == before, "sys.modules was changed"
library = tree + "/_utils/courierlib/__init__.py"
with open(library) as file:
    text = file.read()
with open(library, "w") as file:
    file.write(text.replace("https://saltext-courier", "https://synced"))
os.utime(library, (1e9, 1e9))
old = functions["courier.list_issues"]()
anew = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
again = salt.beacons.Beacon(opts, functions)
with open(cache + "/none.log", "w") as file:
    import datetime
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    print(now, "mx1 submit: Permission denied", file=file)
told = again.process(config, {})
print(json.dumps([old["dh-params-weak"]["article"], anew["courier.list_issues"]()["dh-params-weak"]["article"],
                  told[0]["data"]["article"]]))
"""


def test_neither_the_beacon_nor_the_modules_of_the_same_process_run_old_or_mixed_code_after_a_sync(tmp_path):
    tree = tmp_path / "tree"
    for name in ("_beacons", "_modules", "_utils"):
        shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cache").mkdir()
    command = [sys.executable, "-B", "-c", MAIN_PROCESS, str(tree), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    old, modules, beacon = json.loads(done.stdout.splitlines()[-1])
    assert old.startswith("https://saltext-courier")
    assert modules.startswith("https://synced")
    assert beacon.startswith("https://synced")
