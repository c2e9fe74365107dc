"""Certificates that are not valid, or soon no longer, are found; only the package's own are made anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import DEFAULT_SUBJECT, certificate, dated, key
from tlshost import audited, link, own, put, tls_host

from courierlib.issue import Severity
from courierlib.issues import certificate_expiring as issue

IMAPD, ESMTPD = "/etc/courier/imapd.pem", "/etc/courier/esmtpd.pem"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tls_host(tmp_path)
    put(tmp_path, "/usr/sbin/mkimapdcert", b"if test -f /etc/courier/imapd.pem\nthen\n")
    put(tmp_path, "/usr/sbin/mkesmtpdcert", b"\tPEMFILE=/etc/courier/$CERTNAME\n")
    return tmp_path


@pytest.mark.parametrize(
    ("begins", "ends", "severity"),
    [
        (-400, -1, None),
        (1, 90, None),
        (-360, 5, Severity.MEDIUM),
        (-345, 20, Severity.LOW),
        (-85, 5, Severity.MEDIUM),
        (-70, 20, Severity.LOW),
    ],
)
def test_what_needs_attention_is_found_by_how_urgent_it_is(root: Path, begins, ends, severity) -> None:
    put(root, IMAPD, dated(begins, ends))
    found, actions = audited(root, issue)
    assert (set(found), found[IMAPD].severity, actions) == ({IMAPD}, severity, [])


@pytest.mark.parametrize(
    ("begins", "ends"),
    [(-335, 31), (-61, 29), (-30.5, 14.5), (-4, 2.5), (-1, 5.6)],
    ids=["a year", "90 days", "45 days", "6 days, renewed at half", "6 days"],
)
def test_what_an_acme_client_is_about_to_renew_is_clear(root: Path, begins, ends) -> None:
    put(root, IMAPD, dated(begins, ends))
    assert audited(root, issue) == ({}, [])


@pytest.mark.parametrize(("path", "program"), [(IMAPD, "mkimapdcert"), (ESMTPD, "mkesmtpdcert")])
def test_the_packages_own_is_made_anew(root: Path, path: str, program: str) -> None:
    put(root, path, dated(-370, -5, subject=DEFAULT_SUBJECT))
    found, (action,) = audited(root, issue)
    assert found[path].detail.startswith("expired on 20")
    assert (action.command, action.makes, action.replaces) == ((f"/usr/sbin/{program}",), (path,), True)


def test_a_certificate_of_somebody_elses_is_never_replaced(root: Path) -> None:
    put(root, IMAPD, dated(-370, -5, subject=DEFAULT_SUBJECT, issuer="Example CA"))
    assert audited(root, issue)[1] == []


def test_a_program_that_writes_elsewhere_is_not_run(root: Path) -> None:
    put(root, "/usr/sbin/mkimapdcert", b"if test -f /usr/lib/courier/share/imapd.pem\n")
    put(root, IMAPD, dated(-370, -5, subject=DEFAULT_SUBJECT))
    assert audited(root, issue)[1] == []


def test_a_link_is_not_written_over(root: Path) -> None:
    put(root, "/etc/ssl/imapd.pem", dated(-370, -5, subject=DEFAULT_SUBJECT))
    link(root, IMAPD, "/etc/ssl/imapd.pem")
    own(root, {})
    found, actions = audited(root, issue)
    assert (set(found), actions) == ({IMAPD}, [])


def test_a_certificate_that_is_not_valid_yet_is_not_made_anew(root: Path) -> None:
    put(root, IMAPD, dated(1, 400, subject=DEFAULT_SUBJECT))
    found, actions = audited(root, issue)
    assert found[IMAPD].detail.startswith("not valid before 20")
    assert actions == []


def test_only_the_first_certificate_of_a_chain_counts(root: Path) -> None:
    expired = dated(-370, -5).partition(b"-----BEGIN CERT")
    put(root, IMAPD, key() + certificate() + expired[1] + expired[2])
    assert audited(root, issue) == ({}, [])


def test_a_file_for_a_name_counts(root: Path) -> None:
    put(root, f"{IMAPD}.mail.example.test", dated(-100, -5, subject=DEFAULT_SUBJECT))
    found, actions = audited(root, issue)
    assert (set(found), actions) == ({f"{IMAPD}.mail.example.test"}, [])


@pytest.mark.parametrize("content", [b"", b"hello\n", key(), dated(-370, -5)[:-100]])
def test_what_holds_no_certificate_is_left_to_other_issues(root: Path, content: bytes) -> None:
    put(root, IMAPD, content)
    assert audited(root, issue) == ({}, [])
