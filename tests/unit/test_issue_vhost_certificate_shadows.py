"""A file is found if a client asks for a name, gets it, and its certificate does not have that name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pemfiles import dated
from tlshost import audited, put, tls_host

from courierlib.issues import vhost_certificate_shadows as issue

BASE = "/etc/courier/imapd.pem"


def found(root: Path, library: str, base: tuple[str, ...], **named: tuple[str, ...]) -> dict[str, str]:
    """Details by name of the file, for certificates of these names."""
    tls_host(root, library)
    put(root, BASE, dated(names=base))
    for name, names in named.items():
        put(root, f"{BASE}.{name.replace('_', '.')}", dated(names=names))
    return {where.removeprefix(f"{BASE}."): each.detail for where, each in audited(root, issue)[0].items()}


@pytest.mark.parametrize("library", ["gnutls", "openssl"])
def test_a_file_with_the_certificate_of_another_name_is_found(tmp_path: Path, library: str) -> None:
    assert found(tmp_path, library, (), imap_example_test=("mail.example.test",)) == {
        "imap.example.test": "presented for imap.example.test, but its certificate is for mail.example.test (imapd-ssl)"
    }


@pytest.mark.parametrize("library", ["gnutls", "openssl"])
@pytest.mark.parametrize(
    "names",
    [
        ("mail.example.test",),
        ("*.example.test",),
        ("www.example.test", "MAIL.example.test"),
    ],
)
def test_a_file_whose_certificate_has_the_name_is_clear(tmp_path: Path, library: str, names) -> None:
    assert found(tmp_path, library, ("imap.example.test",), mail_example_test=names) == {}


def test_the_common_name_counts_where_there_are_no_others(tmp_path: Path) -> None:
    assert found(tmp_path, "gnutls", (), mail_example_test=()) == {}


def test_a_wildcard_covers_one_label_only(tmp_path: Path) -> None:
    assert set(found(tmp_path, "openssl", (), a_b_example_test=("*.example.test",))) == {"a.b.example.test"}


def test_a_domains_file_that_is_meant_for_names_below_it_is_clear_with_gnutls_alone(tmp_path: Path) -> None:
    named = {"example_test": ("*.example.test",)}
    assert found(tmp_path / "gnutls", "gnutls", (), **named) == {}
    assert set(found(tmp_path / "openssl", "openssl", (), **named)) == {"example.test"}


def test_a_domains_file_that_takes_a_name_from_the_main_certificate_is_found_with_gnutls_alone(tmp_path: Path) -> None:
    base, named = ("imap.example.test", "example.test"), {"example_test": ("example.test",)}
    assert found(tmp_path / "gnutls", "gnutls", base, **named)["example.test"].startswith(
        "presented for imap.example.test, but"
    )
    assert found(tmp_path / "openssl", "openssl", base, **named) == {}


def test_a_nearer_file_is_presented_first(tmp_path: Path) -> None:
    base = ("imap.example.test",)
    named = {"example_test": ("example.test",), "imap_example_test": base}
    assert found(tmp_path, "gnutls", base, **named) == {}


@pytest.mark.parametrize("name", ["192_0_2_7", "backup", "2024_01", "old_pem", "new_key"])
def test_addresses_and_copies_are_no_names(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, "openssl", (), **{name: ("mail.example.test",)}) == {}
