"""rsyslog's rules are followed to the files that get what Courier logs, or it is said why they cannot be."""

from __future__ import annotations

import re

import pytest

from courierlib import rsyslog
from courierlib.host import Host

DEBIAN = """\
module(load="imuxsock") # provides support for local system logging
$FileCreateMode 0640
$IncludeConfig /etc/rsyslog.d/*.conf
*.*;auth,authpriv.none		-/var/log/syslog
auth,authpriv.*			/var/log/auth.log
mail.*				-/var/log/mail.log
*.emerg				:omusrmsg:*
"""
RED_HAT = """\
include(file="/etc/rsyslog.d/*.conf" mode="optional")
*.info;mail.none;authpriv.none;cron.none                /var/log/messages
mail.*                                                  -/var/log/maillog
"""


def logs(root, main, included=""):
    (root / "etc/rsyslog.d").mkdir(parents=True)
    (root / "etc/rsyslog.conf").write_text(main)
    (root / "etc/rsyslog.d/50-own.conf").write_text(included)
    (root / "etc/rsyslog.d/README").write_text("mail.* /var/log/readme\n")
    return rsyslog.logs(Host(str(root)))


@pytest.mark.parametrize(
    ("main", "files"),
    [
        (DEBIAN, ["/var/log/mail.log"]),
        (RED_HAT, ["/var/log/maillog"]),
        ("*.* /var/log/all\n", ["/var/log/all"]),
        ("*.* /var/log/all\nmail.* /var/log/mail\n", ["/var/log/mail"]),
        ("mail.err /var/log/mail.err\nmail.info /var/log/mail.info\n", ["/var/log/mail.info"]),
        ("mail.=info /var/log/a\nmail.warn /var/log/b\n", ["/var/log/b", "/var/log/a"]),
        ("mail.*;mail.!err /var/log/a\nmail.err /var/log/b\n", ["/var/log/a", "/var/log/b"]),
        ("mail.* /var/log/mail.log;RSYSLOG_FileFormat\n", ["/var/log/mail.log"]),
        ('mail.* action(type="omfile"\n  file="/var/log/m" # here\n  template="T")\n', ["/var/log/m"]),
        ("uucp,mail.* /var/log/m\n", ["/var/log/m"]),
        ('ruleset(name="r") { mail.* /var/log/r }\nmail.* call r\n', ["/var/log/r"]),
        ('ruleset(name="r") { mail.* /var/log/r }\nmail.* /var/log/m\n', ["/var/log/m"]),
        ("if $syslogfacility-text == 'mail' then /var/log/m\n", ["/var/log/m"]),
        ("if ($syslogfacility == 2 and not ($syslogseverity > 6)) then { /var/log/m\n stop }\n", ["/var/log/m"]),
        ("if $syslogfacility-text != 'mail' then stop\n*.* /var/log/m\n", ["/var/log/m"]),
        ("if $syslogfacility-text == 'auth' then /var/log/a\nelse /var/log/b\n", ["/var/log/b"]),
        ("mail.* /var/log/\\\nm\n", ["/var/log/m"]),
        ("/* mail.* /var/log/x */\nmail.* /var/log/m\n", ["/var/log/m"]),
    ],
)
def test_the_file_that_gets_couriers_lines_is_found(tmp_path, main, files):
    found = logs(tmp_path, main)
    assert sorted(found.files) == sorted(files)
    assert found.doubts == ()


@pytest.mark.parametrize(
    "included",
    [
        ':programname, startswith, "courier" /var/log/courier.log\n& stop\n',
        ':programname, startswith, "courier" {\n  /var/log/courier.log\n  stop\n}\n',
        'if $programname startswith \'courier\' then { action(type="omfile" file="/var/log/courier.log") stop }\n',
        'if $programname startswith "courier" then /var/log/courier.log\n& ~\n',
    ],
)
def test_what_is_moved_to_a_file_of_its_own_is_looked_for_there_too(tmp_path, included):
    found = logs(tmp_path, DEBIAN, included)
    assert set(found.files) == {"/var/log/mail.log", "/var/log/courier.log"}
    assert found.doubts == ()


def test_a_copy_is_not_read_besides(tmp_path):
    found = logs(tmp_path, DEBIAN, ':programname, startswith, "courier" /var/log/courier.log\n')
    assert found.files == ("/var/log/mail.log",)


def test_rules_for_others_raise_no_doubt(tmp_path):
    others = (
        ':msg,contains,"[UFW " /var/log/ufw.log\n& stop\n:syslogtag, isequal, "[CLOUDINIT]" /var/log/cloud\n& stop\n'
    )
    found = logs(tmp_path, DEBIAN, others)
    assert (found.files, found.doubts) == (("/var/log/mail.log",), ())


@pytest.mark.parametrize(
    ("main", "doubt"),
    [
        ('$template M,"/var/log/%HOSTNAME%/mail"\nmail.* ?M\n', "rsyslog.conf:2: .* made for each line .template M"),
        ('mail.* action(type="omfile" dynaFile="M")\n', "rsyslog.conf:1: .* made for each line .template M"),
        ("*.* @@loghost\n", "writes no line of what Courier logs to a file"),
        ("mail.err /var/log/mail.err\n", "writes only a part of what Courier logs"),
        (
            "if re_match($msg, 'courier.*') then stop\nmail.* /var/log/m\n",
            "rsyslog.conf:1: whether Courier's lines meet",
        ),
        ('mail.* /var/log/m\nif ("', "rsyslog.conf:2: cannot be followed from here on"),
        ("!imapd\n*.* /var/log/m\n", "rsyslog.conf:1: the block of a program or host"),
        ("", "writes no line"),
    ],
)
def test_what_cannot_be_followed_is_said_with_its_place(tmp_path, main, doubt):
    assert any(re.search(doubt, each) for each in logs(tmp_path, main).doubts)


def test_files_that_include_one_another_come_to_an_end(tmp_path):
    found = logs(tmp_path, DEBIAN, "$IncludeConfig /etc/rsyslog.conf\n")
    assert found.files == ("/var/log/mail.log",)


def test_rulesets_that_call_one_another_come_to_an_end(tmp_path):
    main = 'ruleset(name="r") { call r\n call r\n call r\n }\ncall r\nmail.* /var/log/m\n'
    assert isinstance(logs(tmp_path, main), rsyslog.Logs)


@pytest.mark.parametrize("begin", ["(", "not ", '"', "if '", "a "])
def test_a_condition_without_end_is_said_and_not_followed(tmp_path, begin):
    found = logs(tmp_path, f"mail.* /var/log/m\nif {begin * 5000} then stop\n")
    assert found.files == ("/var/log/m",)
    assert len(found.doubts) == 1 and len(found.doubts[0]) < 200
