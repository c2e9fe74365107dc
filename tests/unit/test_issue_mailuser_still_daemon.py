"""mailuser-still-daemon is found where MAILUSER cannot write to the queue, not where it has another name."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import DAEMON, action_facts, queue_message, spool_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import mailuser_still_daemon as issue


def host_with(root: Path, settings: str, owners=None, **files: str) -> Host:
    spool_host(root)
    (root / "etc/courier/esmtpd").write_text(settings)
    for name, content in files.items():
        (root / "etc/courier" / name.replace("_", "-")).write_text(content)
    with (root / "etc/passwd").open("a") as file:
        file.write("mailsrv:x:500:500::/:/x\n")
    with (root / "etc/group").open("a") as file:
        file.write("mailsrv:x:500:\npostal:x:501:mailsrv\n")
    return spool_host(root, owners)


def test_each_assignment_is_found_where_it_stands(tmp_path: Path) -> None:
    host = host_with(tmp_path, '# mail\nMAILUSER="daemon"\nMAILGROUP=daemon\n')
    findings = list(issue.check(host))
    assert [finding.where for finding in findings] == ["/etc/courier/esmtpd:2", "/etc/courier/esmtpd:3"]
    assert "daemon cannot write to /var/lib/courier/tmp (courier:courier 0770)" in findings[0].detail


@pytest.mark.parametrize(
    "settings",
    [
        "MAILUSER=courier\nMAILGROUP=courier\n",
        "MAILUSER=daemon\nMAILGROUP=courier\n",
        "MAILUSER=courier\nMAILGROUP=daemon\n",
        "MAILUSER=mailsrv\nMAILGROUP=courier\n",
        "MAILUSER=\nMAILGROUP=\n",
        "MAILUSER=root\nMAILGROUP=root\n",
        "PORT=smtp\n",
    ],
)
def test_clear_where_the_listener_can_queue(tmp_path: Path, settings: str) -> None:
    assert not list(issue.check(host_with(tmp_path, settings)))


def test_clear_for_a_user_with_the_mail_group_among_its_further_groups(tmp_path: Path) -> None:
    host_with(tmp_path, "MAILUSER=mailsrv\nMAILGROUP=mailsrv\n")
    assert list(issue.check(spool_host(tmp_path)))
    (tmp_path / "etc/group").write_text("daemon:x:1:\nmailsrv:x:500:\ncourier:x:113:mailsrv\n")
    assert not list(issue.check(spool_host(tmp_path)))


def test_found_though_the_queue_belongs_to_daemon_as_well(tmp_path: Path) -> None:
    host = host_with(tmp_path, "MAILUSER=daemon\nMAILGROUP=daemon\n", {"/var/lib/courier/tmp": (DAEMON, 0o770)})
    assert len(list(issue.check(host))) == 2


def test_a_user_that_does_not_exist_is_found(tmp_path: Path) -> None:
    (finding,) = issue.check(host_with(tmp_path, "MAILUSER=postman\nMAILGROUP=courier\n"))
    assert "there is no user postman" in finding.detail


def test_an_override_of_one_listener_is_found_in_its_own_file(tmp_path: Path) -> None:
    host = host_with(
        tmp_path, "MAILUSER=courier\nMAILGROUP=courier\n", esmtpd_msa="MAILUSER=daemon\nMAILGROUP=daemon\n"
    )
    assert {finding.where.partition(":")[0] for finding in issue.check(host)} == {"/etc/courier/esmtpd-msa"}


def test_a_value_that_the_shell_computes_is_unknown(tmp_path: Path) -> None:
    results = list(issue.check(host_with(tmp_path, "MAILUSER=$(whoami)\nMAILGROUP=courier\n")))
    assert results
    assert all(isinstance(result, Unknown) for result in results)


def test_the_fix_edits_both_values_and_nothing_else(tmp_path: Path) -> None:
    content = b"PORT=smtp\nMAILUSER='daemon' # as before\nMAILGROUP=daemon\nULIMIT=1\n"
    host = host_with(tmp_path, content.decode())
    facts = action_facts(issue.fix(host, list(issue.check(host))))
    assert [(fact.path, fact.setting, fact.restarts) for fact in facts] == [
        ("/etc/courier/esmtpd", "MAILUSER", ("smtp", "msa", "smtps")),
        ("/etc/courier/esmtpd", "MAILGROUP", ("smtp", "msa", "smtps")),
    ]
    for fact in facts:
        content = fact.edit(content)
    assert content == b"PORT=smtp\nMAILUSER='courier' # as before\nMAILGROUP=courier\nULIMIT=1\n"


def test_mail_that_courierd_would_delete_at_a_start_holds_the_restart_back(tmp_path: Path) -> None:
    host = host_with(tmp_path, "MAILUSER=daemon\nMAILGROUP=daemon\n")
    queue_message(tmp_path, 1, 72 * 3600)
    assert {fact.allow for fact in action_facts(issue.fix(host, list(issue.check(host))))} == {"delete-expired-mail"}
