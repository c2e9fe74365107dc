"""SMTP's certificate and key are judged by what the mail user may open, each directory on the way included."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import certificate, dated, key
from tlshost import COURIER, ROOT, SSL_CERT, audited, link, own, put, tls_host

from courierlib.host import Host
from courierlib.issues import key_unreadable_for_mailuser as issue

ESMTPD = "/etc/courier/esmtpd.pem"
LIVE = "/etc/letsencrypt/live/mail.example.test"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tls_host(tmp_path)


@pytest.mark.parametrize(
    "owner",
    [(ROOT, COURIER, 0o640), (107, COURIER, 0o600), (107, ROOT, 0o400), (ROOT, ROOT, 0o644)],
    ids=["Debian's", "upstream's", "the mail user's alone", "everybody's"],
)
def test_what_the_mail_user_can_read_is_clear(root: Path, owner) -> None:
    own(root, {ESMTPD: owner})
    assert audited(root, issue) == ({}, [])


def test_files_of_imap_and_pop_may_be_roots_alone(root: Path) -> None:
    own(root, {f"/etc/courier/{name}.pem": (ROOT, ROOT, 0o600) for name in ("imapd", "pop3d")})
    assert audited(root, issue) == ({}, [])


def test_a_file_for_root_alone_is_given_to_the_mail_group(root: Path) -> None:
    own(root, {ESMTPD: (ROOT, ROOT, 0o600)})
    found, (action,) = audited(root, issue)
    assert found[ESMTPD].detail == "courier cannot read it: root:root 0600 (esmtpd, esmtpd-msa, esmtpd-ssl)"
    assert (action.path, action.uid, action.gid, action.mode) == (ESMTPD, None, COURIER, 0o640)
    assert (action.old, action.new) == ("root:root 0600", "root:courier 0640")


def test_a_mode_that_shuts_out_the_mail_group_is_repaired_without_a_change_of_owner(root: Path) -> None:
    own(root, {ESMTPD: (ROOT, COURIER, 0o600)})
    _, (action,) = audited(root, issue)
    assert (action.gid, action.mode) == (None, 0o640)


def test_the_groups_of_the_mail_user_count(root: Path) -> None:
    own(root, {ESMTPD: (ROOT, SSL_CERT, 0o640)})
    found, actions = audited(root, issue)
    assert (set(found), found[ESMTPD].fixable, actions) == ({ESMTPD}, False, [])
    group = root / "etc/group"
    group.write_text(group.read_text().replace("ssl-cert:x:114:", "ssl-cert:x:114:courier"))
    assert audited(root, issue) == ({}, [])


def test_a_directory_below_sysconfdir_is_opened_together_with_the_file_in_it(root: Path) -> None:
    put(root, "/etc/courier/tls/mail.pem", dated())
    link(root, ESMTPD, "tls/mail.pem")
    owners = {"/etc/courier/tls": (ROOT, ROOT, 0o700), "/etc/courier/tls/mail.pem": (ROOT, ROOT, 0o600)}
    own(root, owners)
    found, actions = audited(root, issue)
    assert "cannot pass /etc/courier/tls: root:root 0700, cannot read it: root:root 0600" in found[ESMTPD].detail
    assert [(each.path, each.gid, each.mode) for each in actions] == [
        ("/etc/courier/tls", COURIER, 0o710),
        ("/etc/courier/tls/mail.pem", COURIER, 0o640),
    ]


def certbot(root: Path, mode: int) -> None:
    for name in ("live", "archive"):
        put(root, f"/etc/letsencrypt/{name}/mail.example.test/README", b"")
    put(root, "/etc/letsencrypt/archive/mail.example.test/both1.pem", dated())
    link(root, f"{LIVE}/both.pem", "../../archive/mail.example.test/both1.pem")
    link(root, ESMTPD, f"{LIVE}/both.pem")
    own(
        root,
        {
            "/etc/letsencrypt/live": (ROOT, ROOT, mode),
            "/etc/letsencrypt/archive": (ROOT, ROOT, mode),
            "/etc/letsencrypt/archive/mail.example.test/both1.pem": (ROOT, ROOT, 0o644),
        },
    )


def test_a_link_into_certbots_closed_directories_is_found_and_never_repaired(root: Path) -> None:
    certbot(root, 0o700)
    found, actions = audited(root, issue)
    assert "cannot pass /etc/letsencrypt/live: root:root 0700" in found[ESMTPD].detail
    assert (found[ESMTPD].fixable, actions) == (False, [])


def test_a_link_into_directories_that_the_mail_user_may_pass_is_clear(root: Path) -> None:
    certbot(root, 0o755)
    assert audited(root, issue) == ({}, [])


def separate_key(root: Path, content: bytes) -> None:
    put(root, ESMTPD, content)
    put(root, "/etc/courier/esmtpd.key", key())
    with open(root / "etc/courier/esmtpd", "a", encoding="utf-8") as file:
        file.write("TLS_PRIVATE_KEYFILE=/etc/courier/esmtpd.key\n")
    own(root, {"/etc/courier/esmtpd.key": (ROOT, ROOT, 0o600)})


def test_a_private_key_in_a_file_of_its_own_counts(root: Path) -> None:
    separate_key(root, certificate())
    found, (action,) = audited(root, issue)
    assert (set(found), action.path) == ({"/etc/courier/esmtpd.key"}, "/etc/courier/esmtpd.key")


def test_a_private_key_that_is_in_the_certificates_file_too_is_not_needed(root: Path) -> None:
    separate_key(root, key() + certificate())
    assert audited(root, issue) == ({}, [])


def test_a_mail_user_that_is_not_the_builds_is_not_given_the_file(root: Path) -> None:
    settings = root / "etc/courier/esmtpd"
    settings.write_text(settings.read_text().replace("=courier\n", "=daemon\n"))
    found, actions = audited(root, issue)
    assert "MAILUSER should be courier" in found[ESMTPD].detail
    assert (found[ESMTPD].fixable, actions) == (False, [])


def test_a_file_that_is_missing_is_left_to_other_issues(root: Path) -> None:
    (root / ESMTPD[1:]).unlink()
    own(root, {})
    assert audited(root, issue) == ({}, [])


def test_a_host_without_smtp_is_clear(root: Path) -> None:
    own(root, {ESMTPD: (ROOT, ROOT, 0o600)})
    host = Host(str(root))
    host.__dict__["components"] = frozenset({"imap"})
    assert list(issue.check(host)) == []
