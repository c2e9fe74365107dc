"""msa-pidfile-collision: each listener has a PID file of its own, and its unit waits for that one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from spoolhost import SERVICES, action_facts, changed, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Severity, Unknown
from courierlib.issues import msa_pidfile_collision as issue
from courierlib.services import Completed, InitScripts

RUN = "/run/courier"
STOCK = {"esmtpd": f"PIDFILE={RUN}/esmtpd.pid\n", "esmtpd-msa": f"PIDFILE={RUN}/esmtpd-msa.pid\n"}
UNITS = {"courier-mta": f"{RUN}/esmtpd.pid", "courier-msa": f"{RUN}/esmtpd-msa.pid"}


def host(
    root: Path,
    settings: Mapping[str, str] = STOCK,
    shown: Mapping[str, str] = UNITS,
    *,
    services=SERVICES,
    dropins: str = "",
) -> Host:
    found = spool_host(root, services=services)
    for name in ("esmtpd", "esmtpd-msa", "esmtpd-ssl"):
        (root / "etc/courier" / name).write_text(settings.get(name, ""))
    asked: list[tuple[str, ...]] = []

    def run(command) -> Completed:
        asked.append(tuple(command))
        blocks = (f"Id={name}.service\nPIDFile={path}\nDropInPaths={dropins}\n" for name, path in shown.items())
        return Completed(0, "\n".join(blocks), "")

    found.system = dataclasses.replace(found.system, run=run)
    found.__dict__["asked"] = asked
    return found


def test_clear_if_both_sides_agree_after_one_question(tmp_path: Path) -> None:
    found = host(tmp_path)
    assert not list(issue.check(found))
    (command,) = found.__dict__["asked"]
    assert command[:2] == ("systemctl", "show")


def test_two_names_of_one_file_are_one(tmp_path: Path) -> None:
    found = host(tmp_path, {**STOCK, "esmtpd": "PIDFILE=/var/run/courier/esmtpd.pid\n"})
    (tmp_path / "var/run").symlink_to("/run")
    assert not list(issue.check(found))


def test_a_unit_without_a_pid_file_waits_for_none(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, shown={**UNITS, "courier-msa": ""})))


def test_a_unit_that_is_off_does_not_matter(tmp_path: Path) -> None:
    services = changed("courier-msa", active=False, enabled=False)
    assert not list(issue.check(host(tmp_path, shown={**UNITS, "courier-msa": "/run/x.pid"}, services=services)))
    assert not list(issue.check(host(tmp_path, {"esmtpd": STOCK["esmtpd"]}, services=services)))


def test_a_shared_file_is_found_and_the_setting_follows_the_unit(tmp_path: Path) -> None:
    services = changed("courier-mta", active=False, state="inactive (dead)")
    found = host(tmp_path, {"esmtpd": STOCK["esmtpd"]}, services=services)
    (finding,) = issue.check(found)
    assert finding.where == "/etc/courier/esmtpd-msa"
    assert finding.detail.startswith(f"PIDFILE is {RUN}/esmtpd.pid, which is that of esmtpd;")
    edit, start = action_facts(issue.fix(found, [finding]))
    assert (edit.kind, edit.path, edit.setting, edit.restarts) == ("EditFile", finding.where, "PIDFILE", ("msa",))
    assert edit.edit(b"") == f"PIDFILE={RUN}/esmtpd-msa.pid\n".encode()
    assert (start.kind, start.service) == ("StartService", "courier-mta")


def test_a_shared_file_is_found_in_a_tree_too_and_the_units_are_unknown(tmp_path: Path) -> None:
    host(tmp_path, {"esmtpd": STOCK["esmtpd"]})
    unknown, finding = issue.check(Host(str(tmp_path)))
    assert isinstance(unknown, Unknown)
    assert finding.subject.path == f"{RUN}/esmtpd-msa.pid"


def test_a_setting_that_systemd_does_not_know_gets_a_drop_in(tmp_path: Path) -> None:
    found = host(tmp_path, {**STOCK, "esmtpd-msa": "PIDFILE=/run/courier/msa.pid\n"})
    (finding,) = issue.check(found)
    assert finding.where == "service courier-msa"
    assert finding.detail.startswith(f"systemd waits for {RUN}/esmtpd-msa.pid; PIDFILE in /etc/courier/esmtpd-msa is")
    directory, edit = action_facts(issue.fix(found, [finding]))
    assert (directory.kind, directory.path) == ("MakeDirectory", "/etc/systemd/system/courier-msa.service.d")
    assert edit.path == f"{directory.path}/zz-pidfile.conf"
    assert edit.edit(None) == b"[Service]\nPIDFile=/run/courier/msa.pid\n"
    assert edit.restarts == ("msa",)


def test_the_unit_of_old_packages_that_names_the_file_of_port_25_is_found(tmp_path: Path) -> None:
    found = host(tmp_path, shown={**UNITS, "courier-msa": f"{RUN}/esmtpd.pid"})
    (finding,) = issue.check(found)
    assert "which is that of esmtpd;" in finding.detail
    assert finding.subject.touched == {"msa", "smtp"}


def test_a_drop_in_that_names_a_file_already_is_corrected_in_place(tmp_path: Path) -> None:
    path = "/etc/systemd/system/courier-msa.service.d/own.conf"
    found = host(tmp_path, shown={**UNITS, "courier-msa": "/run/x.pid"}, dropins=f"/run/y.conf {path}")
    (tmp_path / path[1:]).parent.mkdir(parents=True)
    (tmp_path / path[1:]).write_text("[Service]\nPIDFile=/run/x.pid\nRestart=always\n")
    _, edit = action_facts(issue.fix(found, list(issue.check(found))))
    assert edit.path == path
    content = (tmp_path / path[1:]).read_bytes()
    assert edit.edit(content) == content.replace(b"/run/x.pid", b"/run/courier/esmtpd-msa.pid")


def test_imap_is_less_grave_and_needs_no_leave_of_the_queue(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 72 * 3600)
    found = host(tmp_path, shown={"courier-imap": "/run/x.pid"})
    (tmp_path / "etc/courier/imapd").write_text("PIDFILE=/run/courier/imapd.pid\n")
    (finding,) = issue.check(found)
    assert finding.severity is Severity.HIGH
    assert {action.allow for action in issue.fix(found, [finding])} == {""}


def test_mail_that_courierd_would_delete_at_a_restart_holds_it_back(tmp_path: Path) -> None:
    queue_message(tmp_path, 1, 72 * 3600)
    found = host(tmp_path, {"esmtpd": STOCK["esmtpd"]})
    assert {action.allow for action in issue.fix(found, list(issue.check(found)))} == {"delete-expired-mail"}


def test_init_scripts_have_no_pid_files_of_units(tmp_path: Path) -> None:
    found = host(tmp_path, shown={"courier-msa": "/run/x.pid"})
    found.system = dataclasses.replace(found.system, services=InitScripts({}))
    assert not list(issue.check(found))


def test_systemctl_that_fails_is_unknown(tmp_path: Path) -> None:
    found = host(tmp_path)
    found.system = dataclasses.replace(found.system, run=lambda command: Completed(1, "", "no bus"))
    (unknown,) = issue.check(found)
    assert isinstance(unknown, Unknown)
    assert "no bus" in unknown.reason
