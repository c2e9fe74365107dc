"""tmpfiles-wipes-queue-at-boot reads tmpfiles.d as systemd does, and its override deletes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from installation import install

from courierlib.host import Host
from courierlib.issue import Severity
from courierlib.issues import tmpfiles_wipes_queue_at_boot as issue
from courierlib.plan import EditFile, Refused, RemoveFile

PACKAGED = """\
#Type  Path                       Mode  UID      GID      Age  Argument
    D  /etc/courier/aliases/      0750  root     courier  -    -
    z  /etc/courier/aliases/system  0640  root   courier  -    -
    D  /run/courier/              0775  root     courier  -    -
    D  /var/lib/courier/msgs/     0750  courier  courier  -    -
"""
NAME = "courier-mta.conf"
USR, ETC = f"/usr/lib/tmpfiles.d/{NAME}", f"/etc/tmpfiles.d/{NAME}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    install(tmp_path)
    for directory in ("etc/tmpfiles.d", "usr/lib/tmpfiles.d"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "usr/bin/systemd-tmpfiles").touch()
    return tmp_path


def write(root: Path, path: str, text: str | bytes) -> None:
    (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
    (root / path[1:]).write_bytes(text if isinstance(text, bytes) else text.encode())


def found(root: Path) -> dict[str, tuple[str, Severity | None, bool]]:
    return {f.where: (f.detail, f.severity, f.fixable) for f in issue.check(Host(str(root)))}


def actions(root: Path) -> list:
    host = Host(str(root))
    return list(issue.fix(host, [finding for finding in issue.check(host) if finding.fixable]))


def carry_out(root: Path) -> None:
    for action in actions(root):
        path = root / action.path[1:]
        if isinstance(action, RemoveFile):
            path.unlink()
        else:
            assert isinstance(action, EditFile)
            path.write_bytes(action.edit(path.read_bytes() if path.exists() else None))


def test_packaged_lines_are_found_and_the_runtime_directory_is_not(root: Path) -> None:
    write(root, USR, PACKAGED)
    assert found(root) == {
        USR: ("deletes at every boot what is in /etc/courier/aliases, /var/lib/courier/msgs", None, True)
    }


def test_the_override_is_the_packages_file_with_nothing_else_changed(root: Path) -> None:
    write(root, USR, PACKAGED)
    carry_out(root)
    assert found(root) == {}
    text = (root / ETC[1:]).read_text()
    assert text.startswith(f"# Made from {USR} with SHA-256 ")
    wanted = PACKAGED.replace("D  /etc", "d  /etc").replace("D  /var", "d  /var")
    assert text.endswith(f"\n{wanted}")
    assert actions(root) == []


def test_a_changed_package_outdates_the_override_and_it_is_made_anew(root: Path) -> None:
    write(root, USR, PACKAGED)
    carry_out(root)
    write(root, USR, PACKAGED + "    d  /var/lib/courier/new/  0750  courier  courier  -  -\n")
    assert found(root) == {
        ETC: (f"deletes nothing, but was made from an older version of {USR}", Severity.MEDIUM, True)
    }
    carry_out(root)
    assert "/var/lib/courier/new/" in (root / ETC[1:]).read_text()
    assert found(root) == {}


def test_an_override_that_the_package_no_longer_needs_is_removed(root: Path) -> None:
    write(root, USR, PACKAGED)
    carry_out(root)
    write(root, USR, PACKAGED.replace("D ", "d "))
    carry_out(root)
    assert not (root / ETC[1:]).exists()
    assert found(root) == {}


def test_an_override_of_a_removed_package_stays(root: Path) -> None:
    write(root, USR, PACKAGED)
    carry_out(root)
    (root / USR[1:]).unlink()
    assert found(root) == {}


def test_what_the_operator_wrote_is_never_touched(root: Path) -> None:
    write(root, USR, PACKAGED)
    write(root, ETC, PACKAGED.replace("D ", "d "))
    assert found(root) == {}
    write(root, ETC, PACKAGED)
    ((where, (detail, _, fixable)),) = found(root).items()
    assert (where, fixable) == (ETC, False)
    assert detail.endswith("it is your own file, so change D to d there yourself")
    assert actions(root) == []


def test_an_override_that_appears_meanwhile_is_not_overwritten(root: Path) -> None:
    write(root, USR, PACKAGED)
    (action,) = actions(root)
    with pytest.raises(Refused):
        action.edit(b"# mine\n")


def test_an_edited_override_of_ours_that_deletes_again_is_made_anew(root: Path) -> None:
    write(root, USR, PACKAGED)
    carry_out(root)
    with (root / ETC[1:]).open("a") as file:
        file.write("D /var/lib/courier/msgs\n")
    write(root, ETC, (root / ETC[1:]).read_text().replace("d  /var", "D  /var"))
    assert found(root)[ETC][2]
    carry_out(root)
    assert found(root) == {}


@pytest.mark.parametrize("hidden_by", ["/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d"])
def test_a_file_of_the_same_name_in_a_higher_directory_hides_all_of_it(root: Path, hidden_by: str) -> None:
    write(root, USR, PACKAGED)
    write(root, f"{hidden_by}/{NAME}", "")
    assert found(root) == {}


def test_a_link_to_dev_null_hides_it_too(root: Path) -> None:
    write(root, USR, PACKAGED)
    os.symlink("/dev/null", root / ETC[1:])
    assert found(root) == {}


@pytest.mark.parametrize("name", ["courier-mta", "courier-mta.conf.bak"])
def test_only_conf_files_count(root: Path, name: str) -> None:
    write(root, f"/etc/tmpfiles.d/{name}", PACKAGED)
    assert found(root) == {}


def test_nothing_deletes_where_there_is_no_systemd_tmpfiles(root: Path) -> None:
    write(root, USR, PACKAGED)
    (root / "usr/bin/systemd-tmpfiles").unlink()
    assert found(root) == {}


@pytest.mark.parametrize(
    "line",
    [
        "D /var/lib/courier",
        "D! /var/lib/courier/msgs - - - - -",
        "D- /var/lib/courier/tmp",
        "R /var/lib/courier/ms*s/*",
        "R! /var/lib",
        "R! /",
        "\"R!\" '%S/courier/msgs/*'",
        r'D "/var/lib/courier\x2fmsgs"',
        "D //var/lib/./courier/msgs//",
        "r! /var/lib/courier/msgs/*/*",
        "r /var/lib/courier/tmp/*/C*",
        "R! /etc/courier/hosteddomains",
        "e /var/lib/courier/msgs - - - 10d",
        "d /var/lib 0755 root root 30d",
        "q /var 0755 root root mM:30d",
    ],
)
def test_lines_that_delete(root: Path, line: str) -> None:
    write(root, "/usr/lib/tmpfiles.d/x.conf", line)
    assert set(found(root)) == {"/usr/lib/tmpfiles.d/x.conf"}
    carry_out(root)
    assert found(root) == {}


@pytest.mark.parametrize(
    "line",
    [
        "# D /var/lib/courier",
        ";D /var/lib/courier/msgs",
        "d /var/lib/courier/msgs 0750 courier courier -",
        "D /run/courier 0775 root courier -",
        "D /var/lib/courier-other",
        "D /var/lib/cour*/msgs",
        "R! /var/lib/courier-*/x",
        "q /var/tmp 1777 root root 30d",
        "z /var/lib/courier/msgs 0750 courier courier 10d",
        "r! /var/lib/courier/couriersslimapcache",
        "r! /var/lib/courier/tmp/courierd.lock",
        "r! /etc/courier/no-such-file.lock",
        "f /etc/courier/me 0644 root root - mx.example.test",
        "D",
        "",
    ],
)
def test_lines_that_do_not(root: Path, line: str) -> None:
    write(root, "/usr/lib/tmpfiles.d/x.conf", line)
    assert found(root) == {}


def test_an_earlier_line_with_other_attributes_takes_a_later_ones_place(root: Path) -> None:
    write(root, "/usr/lib/tmpfiles.d/b.conf", "D /var/lib/courier/msgs 0750 courier courier -")
    write(root, "/etc/tmpfiles.d/a.conf", "d /var/lib/courier/msgs 0755 courier courier -")
    assert found(root) == {}, "systemd ignores the second line for the path"
    write(root, "/etc/tmpfiles.d/a.conf", "d /var/lib/courier/msgs 750 courier courier -")
    assert set(found(root)) == {"/usr/lib/tmpfiles.d/b.conf"}, "with the same attributes both count"


def test_bytes_that_are_no_utf8_survive(root: Path) -> None:
    write(root, USR, PACKAGED.encode() + b"# \xe9\n")
    carry_out(root)
    assert (root / ETC[1:]).read_bytes().endswith(b"# \xe9\n")
