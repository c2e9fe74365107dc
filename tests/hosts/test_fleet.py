"""A fleet under a master: audit, highstate, undo, on a host with all the problems of the seed posts at once."""

from __future__ import annotations

import json
import subprocess

import pytest
from lab import ALICE, BOB
from problems import LEFT_TO_THE_OPERATOR
from record import BREAK

SEEDS = {
    "courierd-not-running",
    "defaultdelivery-in-wrong-file",
    "dh-params-weak",
    "maildrop-home-directory",
    "maildrop-spool-delivery",
    "mailuser-still-daemon",
    "pem-line-ends",
    "spool-wrong-owner",
}
PILLAR = {"options": {"strategy": "maildir"}}


@pytest.fixture
def broken(managed):
    """A host whose mail is down in every way of the seed posts."""
    host = managed("trixie-openssl")
    host.machine.add_virtual_users()
    host.machine.run(["sh", "-euc", BREAK], timeout=300)
    host.machine.run(
        "systemctl restart courier-mta courier-msa courier-mta-ssl; systemctl kill -s KILL courier", check=False
    )
    return host


def files(machine):
    """Content, owner and mode of all that a repair may touch."""
    command = "find /etc/courier /var/lib/courier -type f ! -name '*.lock' -exec md5sum {} + | sort; "
    command += "find /etc/courier /var/lib/courier /run/courier -printf '%p %U %G %m\\n' | sort"
    return machine.run(["sh", "-c", command]).stdout


def starts(machine):
    """How often each of Courier's units has been started since the machine booted."""
    shown = machine.run("journalctl -b --no-pager -o json -t systemd").stdout
    counts: dict[str, int] = {}
    for entry in map(json.loads, shown.splitlines()):
        unit = str(entry.get("UNIT", ""))
        if unit.startswith("courier") and str(entry.get("MESSAGE", "")).startswith("Started "):
            counts[unit] = counts.get(unit, 0) + 1
    return counts


def test_one_highstate_repairs_a_host_with_every_problem_at_once(broken):
    machine = broken.machine
    assert not machine.handshake(993).ok
    assert broken.found() >= SEEDS

    untouched = files(machine)
    announced = broken.highstate(test=True, **PILLAR)
    assert set(announced.results) == {None}
    assert files(machine) == untouched

    before = starts(machine)
    applied = broken.highstate(**PILLAR)
    assert set(applied.results) == {True}, applied.comments
    assert applied.changes.keys() == announced.changes.keys()
    after = starts(machine)
    assert all(after[unit] - before.get(unit, 0) <= 1 for unit in after), (before, after)

    assert broken.found() <= LEFT_TO_THE_OPERATOR
    assert machine.handshake(993).ok
    assert machine.handshake(993, tls12_dhe_only=True).ok
    assert machine.handshake(25, starttls="smtp").ok
    for user in (ALICE, BOB):
        assert machine.send(user, f"repaired-{user}").startswith("250 ")
        assert machine.arrived(f"repaired-{user}")

    again = broken.highstate(**PILLAR)
    assert (set(again.results), again.changes) == ({True}, {})
    assert starts(machine) == after


def test_a_repair_can_be_taken_back_and_made_again(broken):
    broken.highstate(**PILLAR)
    assert broken.found() <= LEFT_TO_THE_OPERATOR
    (run, *_) = broken.call("courier.history")
    assert run["state"] == "done"
    announced = broken.call("courier.undo", run["run"], test=True)
    undone = broken.call("courier.undo", run["run"])
    assert announced["changes"].keys() == undone["changes"].keys()
    assert {"dh-params-weak", "pem-line-ends", "mailuser-still-daemon"} <= broken.found()
    assert broken.call("courier.history")[1]["state"] == "undone"
    broken.highstate(**PILLAR)
    assert broken.found() <= LEFT_TO_THE_OPERATOR


def test_a_backup_is_where_salts_own_functions_look_for_it(broken):
    path = "/etc/courier/dhparams.pem"
    weak = broken.machine.read(path)
    changed = broken.call("courier.fix_dh")
    assert path in changed["changes"]
    assert broken.machine.read(path) != weak
    backups = broken.call("file.list_backups", path)
    assert "0" in {str(number) for number in backups}
    broken.call("file.restore_backup", path, 0)
    assert broken.machine.read(path) == weak


def test_nothing_secret_is_in_output_or_records(broken):
    key = broken.machine.read("/etc/courier/esmtpd.pem").decode().split("PRIVATE KEY-----")[1].split()[2]
    said = json.dumps(broken.audit()) + json.dumps(broken.highstate(**PILLAR).changes)
    records = broken.machine.run("cat /var/cache/salt/minion/courier/runs/*; journalctl --no-pager").stdout
    assert key not in said + records
    modes = broken.machine.run(
        "find /var/cache/salt/minion/file_backup /var/cache/salt/minion/courier -printf '%y %m\\n' | sort -u"
    ).stdout.split("\n")
    assert set(filter(None, modes)) == {"d 700", "f 600"}


def test_two_runs_at_once_do_not_mix(broken):
    """The lock is held by somebody else: one clear error, nothing changed."""
    machine = broken.machine
    untouched = files(machine)
    machine.run("systemd-run -q --unit=holder flock /run/saltext-courier.lock sleep 30")
    answer = broken.master.salt(machine.name, "courier.fix_dh")
    assert answer.retcode != 0
    assert "/run/saltext-courier.lock: held by another run" in answer.stdout
    assert "Traceback" not in answer.stdout
    assert files(machine) == untouched


def test_a_grave_finding_makes_salt_itself_fail(broken):
    assert broken.master.salt(broken.machine.name, "courier.audit").retcode != 0
    assert broken.machine.salt_call("courier.audit").retcode == 2
    assert broken.machine.salt_call("courier.audit", "issues=no-such-issue").retcode == 1


def test_the_repository_works_as_a_gitfs_remote(lab, machine_of, tmp_path):
    bare = tmp_path / "courier.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", lab.repository, bare], check=True)
    subprocess.run(["git", "-C", bare, "branch", "--force", "served", "HEAD"], check=True)
    settings = {
        "fileserver_backend": ["gitfs"],
        "gitfs_provider": "gitpython",
        "gitfs_remotes": [f"file://{bare}"],
        "gitfs_base": "served",
    }
    machine = machine_of()
    with lab.master(settings=settings) as master:
        master.run("fileserver.update")
        machine.start_minion(master)
        synced = master.salt(machine.name, "saltutil.sync_all").value
        assert ("modules.courier" in synced["modules"], "states.courier" in synced["states"]) == (True, True)
        (state,) = master.salt(machine.name, "state.apply", "courier").value.values()
        assert state["result"] is True, state
        report = master.salt(machine.name, "courier.audit", severity="high").value
        assert (report["courier"]["installed"], report["findings"], report["unknown"]) == (True, [], [])
