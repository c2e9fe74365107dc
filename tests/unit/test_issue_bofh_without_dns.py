"""bofh-without-dns is found where files and ports say that nobody can answer Courier's questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import spool_host

from courierlib.host import Host
from courierlib.issue import Unknown
from courierlib.issues import bofh_without_dns as issue

_HEAD = "   sl  local_address rem_address   st tx_queue\n"


def host_with(root: Path, resolv_conf: str | None, *bound: str, settings: str = "BOFHCHECKDNS=1\n") -> Host:
    host = spool_host(root)
    with open(root / "etc/courier/esmtpd", "a", encoding="utf-8") as conffile:
        conffile.write(settings)
    if resolv_conf is not None:
        (root / "etc/resolv.conf").write_text(resolv_conf)
    (root / "proc/net").mkdir(parents=True)
    for name, length in (("udp", 8), ("udp6", 32)):
        rows = [f"  12: {address}:0035 00000000:0000 07\n" for address in bound if len(address) == length]
        (root / "proc/net" / name).write_text(_HEAD + "".join(rows))
    return host


@pytest.mark.parametrize(
    "content",
    [
        "nameserver 192.0.2.53\n",
        "search example.test\nnameserver 2001:db8::53\n",
        "NameServer\t192.0.2.53  \n",
        "nameserver 127.0.0.1\nnameserver 192.0.2.53\n",
    ],
)
def test_a_name_server_elsewhere_is_clear(tmp_path: Path, content: str) -> None:
    assert not list(issue.check(host_with(tmp_path, content)))


@pytest.mark.parametrize("content", [None, "", "# nameserver 192.0.2.53\n", "nameserver\n", "nameserver dns.example\n"])
def test_no_name_server_is_found(tmp_path: Path, content: str | None) -> None:
    (finding,) = issue.check(host_with(tmp_path, content))
    assert "so Courier asks ::1, where nobody listens" in finding.detail


@pytest.mark.parametrize(
    ("content", "bound", "found"),
    [
        ("nameserver 127.0.0.53\n", "3500007F", False),
        ("nameserver 127.0.0.53\n", "00000000", False),
        ("nameserver 127.0.0.1\n", "00000000000000000000000000000000", False),
        ("nameserver 127.0.0.1\n", "3500007F", True),
        ("nameserver ::1\n", "00000000000000000000000001000000", False),
        ("", "00000000000000000000000000000000", False),
        ("", "0100007F", True),
    ],
)
def test_a_local_name_server_must_listen_where_courier_asks(tmp_path: Path, content, bound, found) -> None:
    assert bool(list(issue.check(host_with(tmp_path, content, bound)))) is found


@pytest.mark.parametrize("check", ["BOFHCHECKDNS=0\n", "BOFHCHECKDNS=\n", ""])
def test_clear_where_smtp_asks_nothing(tmp_path: Path, check: str) -> None:
    host = host_with(tmp_path, "", settings=f'TCPDOPTS="-stderrlogger=x -nodnslookup"\n{check}')
    assert not list(issue.check(host))


def test_lookups_of_clients_alone_are_enough(tmp_path: Path) -> None:
    assert list(issue.check(host_with(tmp_path, "", settings="BOFHCHECKDNS=0\n")))


def test_a_tree_of_files_does_not_tell_who_listens(tmp_path: Path) -> None:
    host_with(tmp_path, "nameserver 127.0.0.53\n")
    with pytest.raises(Unknown, match="needs the running host"):
        list(issue.check(Host(str(tmp_path))))
