"""imapaccessfile-missing judges by the start script that is installed: some stop without the rules, some do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import SERVICES, action_facts, changed, spool_host

from courierlib.host import Host
from courierlib.issues import imapaccessfile_missing as issue

USUAL = "/etc/courier/imapaccess"
DEBIAN = f'if test ! -f "${{IMAPACCESSFILE:={USUAL}}}.dat"\nthen\n\techo "IMAPACCESSFILE is missing." >&2\nfi\n'
UPSTREAM = DEBIAN.replace(f":={USUAL}", "")
BOOKWORM = f'if test ! -f "${{IMAPACCESSFILE:={USUAL}}}.dat"\nthen\n\t$sbindir/makeimapaccess\nfi\n'


def host(root: Path, script: str = DEBIAN, imapd: str = "", ssl: str = "", services=SERVICES) -> Host:
    found = spool_host(root, services=services)
    for name in ("imapd", "imapd-ssl"):
        path = root / "usr/lib/courier" / name
        path.write_text(path.read_text() + script)
    (root / "etc/courier/imapd").write_text(imapd)
    (root / "etc/courier/imapd-ssl").write_text(ssl)
    return found


def test_found_if_nothing_is_there(tmp_path: Path) -> None:
    (finding,) = issue.check(host(tmp_path, imapd=f"IMAPACCESSFILE={USUAL}\n"))
    assert finding.where == USUAL
    assert finding.detail.startswith(f"{USUAL}: no such file or directory;")


@pytest.mark.parametrize("present", ["directory", "file", "compiled"])
def test_clear_with_a_directory_a_file_or_compiled_rules(tmp_path: Path, present: str) -> None:
    found = host(tmp_path)
    place = tmp_path / (USUAL[1:] + (".dat" if present == "compiled" else ""))
    if present == "directory":
        place.mkdir()
    else:
        place.touch()
    assert not list(issue.check(found))


def test_clear_where_the_start_script_goes_on_without(tmp_path: Path) -> None:
    assert not list(issue.check(host(tmp_path, BOOKWORM)))


def test_clear_where_imap_is_off(tmp_path: Path) -> None:
    services = changed("courier-imap", active=False, enabled=False)
    imaps = next(service for service in services if service.name == "courier-imap")
    both = (*services, type(imaps)("courier-imap-ssl", ("imaps",), False, "inactive (dead)", False))
    assert not list(issue.check(host(tmp_path, services=both)))


def test_an_empty_setting_is_none(tmp_path: Path) -> None:
    (finding,) = issue.check(host(tmp_path, imapd="IMAPACCESSFILE=\n"))
    assert finding.where == USUAL


def test_upstreams_script_has_no_default(tmp_path: Path) -> None:
    found = host(tmp_path, UPSTREAM)
    (tmp_path / USUAL[1:]).mkdir()
    (finding,) = issue.check(found)
    assert finding.detail.startswith("no IMAPACCESSFILE is set;")
    edit, directory = action_facts(issue.fix(found, [finding]))
    assert edit.edit(b"") == f"IMAPACCESSFILE={USUAL}\n".encode()
    assert (edit.allow, directory.allow) == ("", "")


def test_found_in_a_tree_of_files_too(tmp_path: Path) -> None:
    host(tmp_path)
    assert list(issue.check(Host(str(tmp_path))))


def test_the_usual_directory_is_made_and_what_is_down_started(tmp_path: Path) -> None:
    found = host(tmp_path, services=changed("courier-imap", active=False, state="failed (failed)"))
    directory, start = action_facts(issue.fix(found, list(issue.check(found))))
    assert (directory.kind, directory.path, directory.mode, directory.gid) == ("MakeDirectory", USUAL, 0o750, 113)
    assert (start.kind, start.service, start.allow) == ("StartService", "courier-imap", "")


@pytest.mark.parametrize("conffile", ["imapd", "imapd-ssl"])
def test_rules_of_the_operators_own_are_given_up_only_with_leave(tmp_path: Path, conffile: str) -> None:
    setting = {"imapd": "imapd", "imapd-ssl": "ssl"}[conffile]
    found = host(tmp_path, **{setting: "IMAPACCESSFILE=/etc/courier/own\n"})
    edit, directory = action_facts(issue.fix(found, list(issue.check(found))))
    assert (edit.path, edit.setting) == (f"/etc/courier/{conffile}", "IMAPACCESSFILE")
    assert edit.edit(b"IMAPACCESSFILE=/etc/courier/own\n") == f"IMAPACCESSFILE={USUAL}\n".encode()
    assert {edit.allow, directory.allow} == {"without-access-rules"}
