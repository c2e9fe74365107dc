"""authdaemon-socket-open is a directory that everybody may enter, unless somebody has said that they should."""

from __future__ import annotations

from pathlib import Path

import pytest
from authhost import write
from spoolhost import COURIER, action_facts, spool_host

from courierlib.host import Host
from courierlib.issues import authdaemon_socket_open as issue

DIRECTORY = "/run/courier/authdaemon"


def opened(root: Path, mode: int = 0o755) -> Host:
    return spool_host(root, {DIRECTORY: (COURIER, mode)})


@pytest.mark.parametrize("mode", [0o751, 0o755, 0o777])
def test_an_open_directory_is_found_and_shut_with_leave(tmp_path: Path, mode: int) -> None:
    host = opened(tmp_path, mode)
    findings = list(issue.check(host))
    (shut,) = action_facts(issue.fix(host, findings))
    assert (shut.kind, shut.path, shut.mode) == ("SetOwnership", DIRECTORY, mode & 0o770)
    assert shut.allow == "close-authdaemon-socket"


@pytest.mark.parametrize("mode", [0o750, 0o770, 0o754])
def test_a_directory_that_others_cannot_enter_is_clear(tmp_path: Path, mode: int) -> None:
    assert not list(issue.check(opened(tmp_path, mode)))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/tmpfiles.d/00-courier.conf", f"z {DIRECTORY} 0751 - - -"),
        ("/etc/tmpfiles.d/courier-authdaemon.conf", f"d /var{DIRECTORY}/ 755 courier courier - -"),
        ("/var/lib/dpkg/statoverride", f"courier courier 0755 {DIRECTORY}"),
        (
            "/etc/systemd/system/courier-authdaemon.service.d/open.conf",
            f"[Service]\nExecStartPost=/bin/chmod 755 {DIRECTORY}",
        ),
    ],
)
def test_one_that_is_opened_on_purpose_is_clear(tmp_path: Path, path: str, line: str) -> None:
    host = opened(tmp_path)
    assert list(issue.check(host))
    write(tmp_path, path, f"{line}\n")
    assert not list(issue.check(host))


@pytest.mark.parametrize("line", [f"#z {DIRECTORY} 0751 - - -", f"d {DIRECTORY} 0750 courier courier - -", "z /x 755"])
def test_a_file_that_says_otherwise_excuses_nothing(tmp_path: Path, line: str) -> None:
    host = opened(tmp_path)
    write(tmp_path, "/etc/tmpfiles.d/courier.conf", f"{line}\n")
    assert list(issue.check(host))


def test_one_that_delivery_through_maildrop_needs_is_clear(tmp_path: Path) -> None:
    host = opened(tmp_path)
    write(tmp_path, "/etc/courier/courierd", "DEFAULTDELIVERY='|/usr/bin/maildrop -a -d \"$USER\"'\n")
    assert not list(issue.check(Host(str(tmp_path), host.system)))
