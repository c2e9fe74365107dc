"""conffile-leftovers is found where a leftover is read, or stops what reads it; beside the settings it is advice."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoolhost import spool_host

from courierlib.host import Host
from courierlib.issue import Finding, Severity
from courierlib.issues import conffile_leftovers as issue

MAKEDAT = {
    "1.0.16": r"""find -L "$srcfile" -type f -not -name "*~" -not -regex ".*\.dpkg-[a-z]*" -exec cat {} \;""",
    "2.0.6": 'find -L "$srcfile" -maxdepth 1 -type f -not -name "*~" -print >$FILE_LIST\n'
    'echo "$F found, please investigate and remove it, and" >&2\n',
    "0.73": 'find "$srcfile" -type f -exec cat {} \\;',
}


def host_with(root: Path, *names: str, version: str = "1.0.16", content: str = "x\n") -> Host:
    spool_host(root)
    (root / "usr/bin/makedat").write_text(MAKEDAT[version])
    for program in issue._DIRECTORIES.values():
        (root / "usr/sbin" / program).touch()
    for name in names:
        (root / "etc/courier" / name).parent.mkdir(exist_ok=True)
        (root / "etc/courier" / name).write_text(content)
    return spool_host(root)


def findings(host: Host) -> dict[str, Finding]:
    return {finding.where.removeprefix("/etc/courier/"): finding for finding in issue.check(host)}


@pytest.mark.parametrize(
    "suffix", ["~", ".dpkg-dist", ".dpkg-old", ".ucf-dist", ".rpmnew", ".rpmsave", ".bak", ".orig"]
)
def test_makealiases_reads_every_leftover(tmp_path: Path, suffix: str) -> None:
    (finding,) = findings(host_with(tmp_path, "aliases/office", f"aliases/office{suffix}")).values()
    assert finding.detail == "makealiases reads it like every other file in /etc/courier/aliases"
    assert (finding.severity, finding.fixable) == (None, False)


@pytest.mark.parametrize(
    ("version", "suffix", "fate"),
    [
        ("1.0.16", "~", ""),
        ("1.0.16", ".~1~", ""),
        ("1.0.16", ".dpkg-old", ""),
        ("1.0.16", ".ucf-old", "reads it"),
        ("1.0.16", ".rpmsave", "reads it"),
        ("1.0.16", ".dist", "reads it"),
        ("1.0.16", ".bak", "reads it"),
        ("2.0.6", "~", ""),
        ("2.0.6", ".dpkg-old", "stops at it"),
        ("2.0.6", ".rpmsave", "stops at it"),
        ("2.0.6", ".rpmnew", "stops at it"),
        ("2.0.6", ".ucf-old", "reads it"),
        ("2.0.6", ".dist", ""),
        ("2.0.6", ".bak", "reads it"),
        ("0.73", ".dpkg-old", "reads it"),
        ("0.73", "~", "reads it"),
    ],
)
@pytest.mark.parametrize("directory", ["smtpaccess", "hosteddomains", "esmtpacceptmailfor.dir", "imapaccess"])
def test_what_becomes_of_a_leftover_is_told_by_the_host_s_own_makedat(
    tmp_path: Path, version: str, suffix: str, fate: str, directory: str
) -> None:
    host = host_with(tmp_path, f"{directory}/local", f"{directory}/local{suffix}", version=version)
    details = [finding.detail for finding in findings(host).values()]
    assert len(details) == bool(fate)
    assert all(fate in detail for detail in details)


def test_a_new_makedat_stops_at_a_dist_file_that_was_never_copied(tmp_path: Path) -> None:
    assert findings(host_with(tmp_path, "smtpaccess/default.dist", version="2.0.6"))
    assert not findings(host_with(tmp_path, "smtpaccess/default.dist", version="1.0.16"))


@pytest.mark.parametrize(
    "names",
    [
        ["hosteddomains/example.old"],
        ["aliases/system", "aliases/office.bak"],
        ["aliases/list-orig"],
        ["hosteddomains/dpkg-dist"],
        ["smtpaccess/default"],
    ],
)
def test_a_name_that_is_nobody_s_copy_is_clear(tmp_path: Path, names: list[str]) -> None:
    assert not findings(host_with(tmp_path, *names))


def test_an_empty_leftover_adds_nothing_and_still_stops_a_new_makedat(tmp_path: Path) -> None:
    names = ("aliases/office", "aliases/office~", "hosteddomains/local", "hosteddomains/local.rpmsave")
    assert list(findings(host_with(tmp_path, *names, content="", version="1.0.16"))) == []
    assert list(findings(host_with(tmp_path, *names, content="", version="2.0.6"))) == ["hosteddomains/local.rpmsave"]


def test_directories_that_a_removed_package_left_are_clear(tmp_path: Path) -> None:
    host = host_with(tmp_path, "imapaccess/local", "imapaccess/local.rpmsave")
    (tmp_path / "usr/sbin/makeimapaccess").unlink()
    assert not findings(host)


def test_an_unmerged_settings_file_is_advice_and_names_what_differs(tmp_path: Path) -> None:
    host = host_with(tmp_path)
    (tmp_path / "etc/courier/imapd").write_text("# mine\nMAXDAEMONS=41\nPORT=143\nGONE=1\n")
    (tmp_path / "etc/courier/imapd.dpkg-dist").write_text("MAXDAEMONS=40\nPORT=143\nNEW=$(date)\n")
    (finding,) = findings(host).values()
    assert (finding.where, finding.severity) == ("/etc/courier/imapd.dpkg-dist", Severity.LOW)
    assert finding.detail == "the version of imapd that came with an upgrade; it differs in GONE, MAXDAEMONS, NEW"


def test_settings_that_an_upgrade_replaced_are_advice(tmp_path: Path) -> None:
    host = host_with(tmp_path)
    (tmp_path / "etc/courier/esmtpd").write_text("MAXDAEMONS=40\n")
    (tmp_path / "etc/courier/esmtpd.dpkg-old").write_text("MAXDAEMONS=400\n")
    (finding,) = findings(host).values()
    assert finding.detail == "the version of esmtpd that an upgrade replaced; it differs in MAXDAEMONS"


def test_many_differences_are_counted(tmp_path: Path) -> None:
    host = host_with(tmp_path)
    (tmp_path / "etc/courier/imapd").write_text("")
    (tmp_path / "etc/courier/imapd.rpmnew").write_text("".join(f"A{number}=1\n" for number in range(8)))
    (finding,) = findings(host).values()
    assert finding.detail.endswith("it differs in A0, A1, A2, A3, A4 and 3 more")


def test_a_file_that_courier_reads_itself_is_not_taken_apart(tmp_path: Path) -> None:
    (finding,) = findings(host_with(tmp_path, "authdaemonrc.dpkg-dist", content="authmodulelist=secret\n")).values()
    assert finding.detail == "the version of authdaemonrc that came with an upgrade"


@pytest.mark.parametrize("name", ["imapd.dpkg-dist", "imapd~", "imapd.bak", "nothing.dpkg-dist", "imapd.dist"])
def test_what_differs_in_no_setting_or_is_no_leftover_of_a_package_is_clear(tmp_path: Path, name: str) -> None:
    host = host_with(tmp_path)
    (tmp_path / "etc/courier/imapd").write_text("PORT=143\n")
    (tmp_path / "etc/courier" / name).write_text("# another comment\nPORT=143\n")
    assert not findings(host)
