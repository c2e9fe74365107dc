"""A listener's ports are what couriertcpd would bind: numbers, names of /etc/services, with addresses or without."""

from __future__ import annotations

from pathlib import Path

import pytest
from installation import install

from courierlib import units
from courierlib.host import Host, System
from courierlib.issue import Unknown
from courierlib.services import Completed

SERVICES = (
    "# comment\nsmtp\t\t25/tcp\t\tmail\nsmtp 2525/udp\nimap2 143/tcp imap # Interim\nlate 1/tcp\nlate 2/tcp\nbad\n"
)


def ports(root: Path, setting: str, services: str | None = SERVICES, nsswitch: str = ""):
    install(root)
    (root / "etc/courier/esmtpd").write_text(setting)
    if services is not None:
        (root / "etc/services").write_text(services)
    if nsswitch:
        (root / "etc/nsswitch.conf").write_text(nsswitch)
    host = Host(str(root))
    (listener,) = (found for found in units.listeners(host) if found.role == "smtp")
    return [(port.address, port.word, port.number) for port in units.wanted(host, listener)]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("PORT=25", [("", "25", 25)]),
        ("PORT=smtp\nADDRESS=0", [("", "smtp", 25)]),
        ("PORT=mail", [("", "mail", 25)]),
        ("PORT=imap", [("", "imap", 143)]),
        ("PORT=late", [("", "late", 1)]),
        ("PORT=SMTP", [("", "SMTP", None)]),
        ("PORT=25x", [("", "25x", 25)]),
        ("PORT=smtp,127.0.0.1.900,0.901\nADDRESS=192.0.2.7", [
            ("192.0.2.7", "smtp", 25), ("127.0.0.1", "900", 900), ("192.0.2.7", "901", 901)]),
        ("", []),
    ],
)  # fmt: skip
def test_ports_are_read_as_couriertcpd_reads_them(tmp_path: Path, setting: str, expected: list) -> None:
    assert ports(tmp_path, setting) == expected


def test_without_the_file_no_name_is_known(tmp_path: Path) -> None:
    assert ports(tmp_path, "PORT=smtp", services=None) == [("", "smtp", None)]


@pytest.mark.parametrize(
    "nsswitch", ["services: db files\n", "services:\tfiles [NOTFOUND=return] db # x\n", "hosts: dns\n"]
)
def test_sources_that_are_not_there_answer_nothing(tmp_path: Path, nsswitch: str) -> None:
    assert ports(tmp_path, "PORT=nobody", nsswitch=nsswitch) == [("", "nobody", None)]


def test_what_only_another_source_can_tell_is_asked_for_on_a_running_host(tmp_path: Path) -> None:
    asked = []

    def run(command):
        asked.append(command)
        return Completed(0, "odd                   4242/tcp\n", "")

    host = Host(str(install(tmp_path / "running")), System(run, None))
    (tmp_path / "running/etc/courier/esmtpd").write_text("PORT=odd\n")
    (tmp_path / "running/etc/nsswitch.conf").write_text("services: files sss\n")
    listener = next(units.listeners(host))
    assert [port.number for port in units.wanted(host, listener)] == [4242]
    assert asked == [("getent", "services", "odd/tcp")]


def test_in_a_tree_it_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="needs the running host"):
        ports(tmp_path, "PORT=odd", nsswitch="services: files sss\n")
