"""cram-without-cleartext is an offer that the modules cannot keep."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import auth_host
from spoolhost import action_facts, queue_message

from courierlib.host import Host
from courierlib.issues import cram_without_cleartext as issue
from courierlib.plan import Refused

TLS = 'IMAP_CAPABILITY_TLS="$IMAP_CAPABILITY AUTH=PLAIN"\n'


def host_with(root: Path, modules: str = "authpam", **files: str) -> Host:
    return auth_host(root, modules, {f"/etc/courier/{name.replace('_', '-')}": text for name, text in files.items()})


def edited(host: Host, root: Path) -> dict[str, str]:
    """What the repair makes of each file."""
    actions = action_facts(issue.fix(host, list(issue.check(host))))
    return {action.path: action.edit((root / action.path[1:]).read_bytes()).decode() for action in actions}


def test_words_are_taken_out_and_nothing_else_is_touched(tmp_path: Path) -> None:
    orig = 'IMAP_CAPABILITY_ORIG="IMAP4rev1 AUTH=CRAM-MD5"\n'
    offer = 'IMAP_CAPABILITY="IMAP4rev1 AUTH=CRAM-MD5 AUTH=CRAM-SHA256 IDLE"\n'
    host = host_with(tmp_path, imapd=orig + offer + TLS)
    (finding,) = issue.check(host)
    assert finding.detail == "offers CRAM-MD5 CRAM-SHA256, which no account can use: modules authpam"
    wanted = orig + 'IMAP_CAPABILITY="IMAP4rev1 IDLE"\n' + TLS
    assert edited(host, tmp_path) == {"/etc/courier/imapd": wanted}
    (action,) = action_facts(issue.fix(host, [finding]))
    assert (action.allow, action.restarts) == ("", ("imap", "imaps"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('POP3AUTH="CRAM-MD5 CRAM-SHA1 LOGIN"\n', 'POP3AUTH="LOGIN"\n'),
        ("POP3AUTH='LOGIN CRAM-MD5' # CRAM-MD5 is good\n", "POP3AUTH='LOGIN' # CRAM-MD5 is good\n"),
        ('O="LOGIN CRAM-MD5"\nPOP3AUTH="$O"\n', 'O="LOGIN CRAM-MD5"\nPOP3AUTH="LOGIN"\n'),
        ("export POP3AUTH='LOGIN CRAM-SHA1'\n", "export POP3AUTH='LOGIN'\n"),
    ],
)
def test_whatever_way_it_is_written(tmp_path: Path, before: str, after: str) -> None:
    assert edited(host_with(tmp_path, pop3d=before), tmp_path) == {"/etc/courier/pop3d": after}


def test_a_setting_with_nothing_else_needs_leave(tmp_path: Path) -> None:
    host = host_with(tmp_path, pop3d="POP3AUTH=CRAM-MD5\n")
    (action,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (action.new, action.allow) == ("nothing", "no-auth")
    assert action.edit(b"POP3AUTH=CRAM-MD5\n") == b"POP3AUTH=\n"


def test_one_file_of_several_listeners_is_edited_once(tmp_path: Path) -> None:
    host = host_with(tmp_path, esmtpd='ESMTPAUTH="LOGIN CRAM-MD5"\n', esmtpd_msa="X=1\n")
    (action,) = action_facts(issue.fix(host, list(issue.check(host))))
    assert (action.path, action.restarts) == ("/etc/courier/esmtpd", ("smtp", "msa", "smtps"))


def test_a_setting_that_went_meanwhile_is_refused() -> None:
    with pytest.raises(Refused):
        issue.without_cram(b"", "POP3AUTH")


@pytest.mark.parametrize("modules", ["authpam authmysql", "authldap", "authcustom"])
def test_modules_that_may_have_clear_passwords_are_clear(tmp_path: Path, modules: str) -> None:
    assert not list(issue.check(host_with(tmp_path, modules, pop3d='POP3AUTH="CRAM-MD5"\n')))


def test_stock_settings_are_clear(tmp_path: Path) -> None:
    stock = {
        "imapd": 'IMAP_CAPABILITY="IMAP4rev1 IDLE"\nIMAP_CAPABILITY_ORIG="IMAP4rev1 AUTH=CRAM-MD5"\n' + TLS,
        "pop3d": 'POP3AUTH=""\nPOP3AUTH_ORIG="PLAIN LOGIN CRAM-MD5"\n',
        "esmtpd": 'ESMTPAUTH=""\nESMTPAUTH_WEBADMIN="LOGIN CRAM-MD5"\n',
    }
    assert not list(issue.check(host_with(tmp_path, **stock)))


def test_a_restart_that_would_delete_mail_needs_leave(tmp_path: Path) -> None:
    host_with(tmp_path, esmtpd="ESMTPAUTH='PLAIN CRAM-MD5'\n", imapd="IMAP_CAPABILITY='IDLE AUTH=CRAM-MD5'\n")
    queue_message(tmp_path, 1, 72 * 3600)
    host = Host(str(tmp_path))
    actions = action_facts(issue.fix(host, list(issue.check(host))))
    assert {action.path.rpartition("/")[2]: action.allow for action in actions} == {
        "esmtpd": "delete-expired-mail",
        "imapd": "",
    }
