"""imapd-sbin-path-gone is found where the host's own files call a path that is gone, and only that is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import SERVICES, action_facts, changed, spool_host

from courierlib.host import Host
from courierlib.issue import Finding, Severity, Unknown
from courierlib.issues import imapd_sbin_path_gone as issue

UNIT = "/etc/systemd/system/courier-imap.service"


def host_with(root: Path, files: dict[str, str], services=SERVICES) -> Host:
    spool_host(root)
    for path, content in files.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).write_text(content)
    return spool_host(root, services=services)


def findings(host: Host) -> dict[str, Finding]:
    return {finding.where: finding for finding in issue.check(host)}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/cron.d/renew",
        "/etc/cron.daily/renew",
        "/var/spool/cron/crontabs/root",
        "/etc/monit/conf.d/imap",
        "/etc/letsencrypt/renewal-hooks/deploy/courier",
        "/usr/local/sbin/renew",
        "/etc/systemd/system/renew.service",
    ],
)
def test_a_call_of_the_old_path_is_advice_wherever_it_stands(tmp_path: Path, path: str) -> None:
    found = findings(host_with(tmp_path, {path: "# /usr/sbin/imapd\n\n0 3 * * * root /usr/sbin/imapd-ssl restart\n"}))
    assert list(found) == [f"{path}:3"]
    (finding,) = found.values()
    assert finding.severity is None
    assert finding.fixable == path.startswith("/etc/systemd/")
    assert finding.detail == "calls /usr/sbin/imapd-ssl, which is gone; the script is /usr/lib/courier/imapd-ssl"


@pytest.mark.parametrize("path", [UNIT, "/etc/systemd/system/courier-imap-ssl.service.d/wait.conf"])
def test_imap_that_does_not_start_by_its_own_unit_is_grave(tmp_path: Path, path: str) -> None:
    (finding,) = findings(host_with(tmp_path, {path: "[Service]\nExecStart=/usr/sbin/imapd start\n"})).values()
    assert finding.severity is Severity.HIGH


def test_clear_where_the_old_path_is_there(tmp_path: Path) -> None:
    host = host_with(tmp_path, {UNIT: "ExecStart=/usr/sbin/imapd start\n"})
    (tmp_path / "usr/sbin/imapd").symlink_to("/usr/lib/courier/imapd")
    assert not findings(host)


def test_clear_where_imap_is_not_installed(tmp_path: Path) -> None:
    host_with(tmp_path, {UNIT: "ExecStart=/usr/sbin/imapd start\n"})
    for name in ("imapd", "imapd-ssl"):
        (tmp_path / "usr/lib/courier" / name).unlink()
    assert not findings(Host(str(tmp_path)))


@pytest.mark.parametrize(
    "line",
    ["/usr/sbin/imapd.pid", "/usr/sbin/imapd-proxy", "/opt/usr/sbin/imapd", "/usr/sbin/pop3d", "; /usr/sbin/imapd"],
)
def test_clear_where_the_line_calls_something_else(tmp_path: Path, line: str) -> None:
    assert not findings(host_with(tmp_path, {"/etc/cron.d/job": f"{line}\n"}))


def test_links_of_enabled_units_and_large_files_are_passed_over(tmp_path: Path) -> None:
    host = host_with(tmp_path, {"/usr/local/bin/tool": "/usr/sbin/imapd\n" * 5000})
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (tmp_path / "unit").write_text("ExecStart=/usr/sbin/imapd start\n")
    (wants / "courier-imap.service").symlink_to("/unit")
    assert not findings(host)


def test_more_files_than_are_looked_at_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "MAX_FILES", 2)
    host = host_with(tmp_path, {f"/etc/cron.d/{number}": "/usr/sbin/imapd stop\n" for number in range(3)})
    assert [type(result) for result in issue.check(host)] == [Finding, Finding, Unknown]


def test_the_fix_changes_that_path_and_starts_imap(tmp_path: Path) -> None:
    content = "ExecStart=/usr/sbin/imapd start\nExecStop=/usr/sbin/imapd stop\nPIDFile=/run/courier/imapd.pid\n"
    host = host_with(tmp_path, {UNIT: content}, services=changed("courier-imap", active=False))
    facts = action_facts(issue.fix(host, list(issue.check(host))))
    assert {fact.edit(content.encode()).decode() for fact in facts if fact.kind == "EditFile"} == {
        content.replace("/usr/sbin/", "/usr/lib/courier/")
    }
    assert {fact.restarts for fact in facts if fact.kind == "EditFile"} == {("imap",)}
    assert [fact.service for fact in facts if fact.kind == "StartService"] == ["courier-imap"]


def test_the_fix_of_another_unit_restarts_nothing(tmp_path: Path) -> None:
    host = host_with(tmp_path, {"/etc/systemd/system/renew.service": "ExecStart=/usr/sbin/imapd-ssl restart\n"})
    (fact,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (fact.kind, fact.restarts) == ("EditFile", ())
