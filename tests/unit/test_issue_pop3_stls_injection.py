"""Flaws of versions are judged by the version and by what the distribution's changelog says of it."""

from __future__ import annotations

import gzip

import pytest
from installation import install

from courierlib import changes
from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import imap_search_depth, pop3_stls_injection

STATUS = """Package: courier-pop
Status: install ok installed
Version: {version}
Conffiles:
 /etc/courier/pop3d 0123456789abcdef0123456789abcdef

Package: courier-imap
Status: install ok installed
Version: 5.0.13+{version}

"""


@pytest.fixture
def installation(tmp_path):
    def installation(version="1.0.16", debian="1.0.16-3+b6", changelog: str | None = "courier (1.0.16-3) unstable\n"):
        if not (tmp_path / "usr").exists():
            install(tmp_path)
        (tmp_path / "usr/sbin/courier").write_bytes(b"\x7fELF\0Courier " + version.encode() + b" Copyright\0")
        (tmp_path / "etc/courier/pop3d-ssl").write_text("POP3_STARTTLS=YES\n")
        if debian:
            (tmp_path / "var/lib/dpkg").mkdir(parents=True, exist_ok=True)
            (tmp_path / "var/lib/dpkg/status").write_text(STATUS.format(version=debian))
        if changelog is not None:
            documents = tmp_path / "usr/share/doc/courier-pop"
            documents.mkdir(parents=True, exist_ok=True)
            (documents / "changelog.Debian.gz").write_bytes(gzip.compress(changelog.encode()))
        return Host(str(tmp_path))

    return installation


def test_versions_compare_by_number():
    assert changes.older("1.0.16", "1.1.5")
    assert not changes.older("1.10.0", "1.1.5")
    assert not changes.older("1.1.5", "1.1.5")


def test_an_old_pop3_server_that_offers_stls_is_found(installation, tmp_path):
    (finding,) = pop3_stls_injection.check(installation())
    assert finding.where == "/etc/courier/pop3d-ssl"
    (tmp_path / "etc/courier/pop3d-ssl").write_text("POP3_STARTTLS=NO\n")
    assert list(pop3_stls_injection.check(Host(str(tmp_path)))) == []


def test_a_new_version_and_a_backport_are_clear(installation):
    assert list(pop3_stls_injection.check(installation("1.4.1", "1.4.1-3"))) == []
    backported = "courier (1.0.16-3+deb12u1) bookworm; urgency=medium\n\n  * Fixes CVE-2021-38084.\n"
    assert list(pop3_stls_injection.check(installation(changelog=backported))) == []


def test_what_cannot_be_told_is_unknown(installation, tmp_path):
    with pytest.raises(Unknown, match="cannot be told"):
        list(pop3_stls_injection.check(installation(changelog=None)))
    (tmp_path / "var/lib/dpkg/status").unlink()
    (tmp_path / "var/lib/rpm").mkdir()
    with pytest.raises(Unknown, match="builder"):
        list(pop3_stls_injection.check(Host(str(tmp_path))))


def test_a_build_of_ones_own_is_judged_by_its_version(installation):
    assert len(list(pop3_stls_injection.check(installation(debian="", changelog=None)))) == 1


def test_a_search_is_judged_by_the_debian_versions_that_were_looked_at(installation):
    (finding,) = imap_search_depth.check(installation())
    assert "1.0.16" in finding.detail
    assert list(imap_search_depth.check(installation("2.0.6", "2.0.6-1"))) == []
    (unknown,) = imap_search_depth.check(installation("1.4.1", "1.4.1-3+deb13u9"))
    assert isinstance(unknown, Unknown)
    (finding,) = imap_search_depth.check(installation("1.4.1", "1.4.1-3+deb13u2"))
