"""Replacing a file: what is kept, what is refused, and what is left when the system says no."""

import os
import resource
import socket
import stat
import subprocess
from pathlib import Path

import pytest
import salt.modules.file
from workbench import NEW, OLD, leftovers

from courierlib import replace
from courierlib.plan import Refused
from courierlib.replace import NotWritten, Replacement


@pytest.fixture
def settings(tmp_path):
    """A settings file with a mode of its own."""
    path = tmp_path / "etc" / "esmtpd"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def wanted(path: Path, content: bytes = NEW, **more) -> Replacement:
    found = replace.find(str(path))
    names = {"path": str(path), "target": found.target, "temporary": f"{replace.MARK}test"}
    return Replacement(old=replace.sha256(found.content), content=content, **names, **more)


def put(path: Path, content: bytes = NEW, **more) -> None:
    replace.commit(replace.stage(wanted(path, content, **more)))


def test_the_content_changes_and_the_mode_stays(settings, tmp_path):
    put(settings)
    assert settings.read_bytes() == NEW
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640
    assert not leftovers(tmp_path)


def test_whoever_has_the_old_file_open_keeps_reading_it_whole(settings):
    with settings.open("rb") as reader:
        put(settings)
        assert reader.read() == OLD


def test_a_final_link_stays_and_its_target_is_replaced(settings, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("etc/esmtpd")
    put(link)
    assert os.readlink(link) == "etc/esmtpd"
    assert settings.read_bytes() == NEW


def test_a_new_file_has_its_owner_and_mode(settings):
    fresh = settings.parent / "dhparams.pem"
    put(fresh, owner=(os.geteuid(), os.getegid(), 0o604))
    assert fresh.read_bytes() == NEW
    assert (fresh.stat().st_uid, stat.S_IMODE(fresh.stat().st_mode), fresh.stat().st_nlink) == (os.geteuid(), 0o604, 1)


def test_the_umask_does_not_matter(settings):
    before = os.umask(0o777)
    try:
        put(settings)
    finally:
        os.umask(before)
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def large(path):
    with path.open("wb") as file:
        file.truncate(1 << 30)


def linked_twice(path):
    path.write_bytes(OLD)
    os.link(path, f"{path}.second")


def in_a_directory_for_all(path):
    path.write_bytes(OLD)
    path.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "a directory, not a regular file"),
        (fifo, "a FIFO, not a regular file"),
        (unix_socket, "a socket, not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "a device, not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "a link to nowhere, which does not exist"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (large, f"larger than {replace.LIMIT} bytes"),
        (linked_twice, "has 2 hard links"),
        (in_a_directory_for_all, "anybody can write to its directory"),
    ],
)
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, make, says):
    path = tmp_path / "strange"
    make(path)
    with pytest.raises(Refused, match=says) as refused:
        replace.find(str(path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("path", ["etc/esmtpd", "", "/etc/\0", "/nowhere/at/all", "/etc/passwd/x", "/" + 5000 * "x"])
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(Refused):
        replace.find(path)


@pytest.mark.parametrize("folder", ["live", "archive"])
def test_what_certbot_manages_is_never_edited(tmp_path, folder):
    pem = tmp_path / "letsencrypt" / folder / "mx1" / "privkey.pem"
    pem.parent.mkdir(parents=True)
    pem.write_bytes(OLD)
    link = tmp_path / "imapd.pem"
    link.symlink_to(pem)
    with pytest.raises(Refused, match="belongs to certbot"):
        replace.find(str(link))


def test_a_file_that_changes_after_it_was_read_is_left_alone(settings, tmp_path):
    replacement = wanted(settings)
    settings.write_bytes(b"somebody else\n")
    with pytest.raises(Refused, match="changed while it was being repaired"):
        replace.stage(replacement)
    assert settings.read_bytes() == b"somebody else\n"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("how", ["written", "replaced", "touched", "removed", "relinked"])
def test_a_file_that_changes_before_the_rename_is_left_alone(settings, tmp_path, how):
    link = tmp_path / "link"
    link.symlink_to(settings)
    staged = replace.stage(wanted(link))
    other = settings.parent / "other"
    if how == "written":
        settings.write_bytes(b"MAXDAEMONS=41\n")
    elif how == "replaced":
        other.write_bytes(OLD)
        other.rename(settings)
    elif how == "touched":
        settings.chmod(0o600)
    elif how == "removed":
        settings.unlink()
    else:
        other.write_bytes(OLD)
        link.unlink()
        link.symlink_to(other)
    before = settings.read_bytes() if settings.exists() else None
    with pytest.raises(Refused):
        replace.commit(staged)
    assert (settings.read_bytes() if settings.exists() else None) == before


def test_a_new_file_never_replaces_one_that_has_appeared(settings):
    fresh = settings.parent / "dhparams.pem"
    staged = replace.stage(wanted(fresh, owner=(os.geteuid(), os.getegid(), 0o644)))
    fresh.write_bytes(OLD)
    with pytest.raises(Refused):
        replace.commit(staged)
    assert fresh.read_bytes() == OLD


def test_a_directory_swapped_for_a_link_leads_nowhere_else(settings, tmp_path):
    staged = replace.stage(wanted(settings))
    elsewhere = tmp_path / "elsewhere"
    settings.parent.rename(elsewhere)
    (tmp_path / "etc").symlink_to(elsewhere)
    with pytest.raises(NotWritten):
        replace.commit(staged)
    assert (elsewhere / "esmtpd").read_bytes() == OLD


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(settings, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    replacement = wanted(settings, 100 * NEW)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(NotWritten, match=f"{settings}: "):
            replace.stage(replacement)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert settings.read_bytes() == OLD
    assert not leftovers(tmp_path)


def test_the_backup_is_for_its_owner_alone(settings, tmp_path):
    root = tmp_path / "file_backup"
    (root / str(settings.parent)[1:]).mkdir(mode=0o755, parents=True)
    backup = replace.backup_path(str(root), str(settings))
    put(settings, backup=backup)
    assert Path(backup).read_bytes() == OLD
    assert stat.S_IMODE(os.stat(backup).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(backup)).st_mode) == 0o700
    assert not leftovers(tmp_path)


def test_salt_lists_and_restores_the_backup(settings, tmp_path, monkeypatch):
    root = str(tmp_path / "file_backup")
    options = {"config.get": lambda name: str(tmp_path), "config.option": lambda name: str(tmp_path)}
    monkeypatch.setattr(salt.modules.file, "__salt__", options, raising=False)
    monkeypatch.setattr(salt.modules.file, "_get_bkroot", lambda: root)
    put(settings, backup=replace.backup_path(root, str(settings)))
    listed = salt.modules.file.list_backups(str(settings))
    assert [backup["Size"] for backup in listed.values()] == [len(OLD)]
    assert salt.modules.file.restore_backup(str(settings), 0)["result"]
    assert settings.read_bytes() == OLD


def test_a_backup_that_cannot_be_made_stops_the_replacement(settings, tmp_path):
    (tmp_path / "file_backup").write_text("in the way")
    with pytest.raises(NotWritten, match="file_backup"):
        replace.stage(wanted(settings, backup=replace.backup_path(str(tmp_path / "file_backup"), str(settings))))
    assert settings.read_bytes() == OLD
    assert not leftovers(tmp_path)


def test_content_stays_out_of_representations(settings):
    replacement = wanted(settings, b"-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in repr(replacement)
    assert "MAXDAEMONS" not in repr(replace.find(str(settings)))


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.privileged
def test_owner_acl_and_attributes_are_kept(settings):
    os.chown(settings, 1, 2)
    run("setfacl", "-m", "u:daemon:r,m:rw", str(settings))
    os.setxattr(settings, "user.note", b"kept")
    before = run("getfacl", "-n", str(settings))
    put(settings)
    assert run("getfacl", "-n", str(settings)) == before
    assert os.getxattr(settings, "user.note") == b"kept"
    assert settings.read_bytes() == NEW


@pytest.mark.privileged
def test_the_default_acl_of_a_directory_gives_nobody_new_access(settings):
    before = run("getfacl", "-n", str(settings))
    run("setfacl", "-d", "-m", "u:daemon:rwx", str(settings.parent))
    put(settings)
    assert run("getfacl", "-n", str(settings)) == before


@pytest.mark.privileged
def test_nobody_else_can_read_the_new_content_before_it_is_live(settings):
    os.chown(settings, 1, 2)
    staged = replace.stage(wanted(settings))
    status = (settings.parent / staged.replacement.temporary).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1, 2, 0o640)


@pytest.fixture
def mounted(tmp_path):
    """Mount something over the directory ``etc``; unmounted at the end."""
    mounts = []

    def mount(*command: str) -> None:
        run("mount", *command)
        mounts.append(command[-1])

    yield mount
    for path in reversed(mounts):
        run("umount", path)


@pytest.mark.privileged
def test_a_full_disk_leaves_the_old_file_and_is_named(settings, tmp_path, mounted):
    mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(settings.parent))
    settings.write_bytes(OLD)
    with pytest.raises(NotWritten, match=f"^{settings}: the disk is full; make room"):
        put(settings, 100_000 * b"x")
    assert settings.read_bytes() == OLD
    assert os.listdir(settings.parent) == ["esmtpd"]


@pytest.mark.privileged
def test_a_full_disk_for_backups_leaves_the_old_file(settings, tmp_path, mounted):
    root = tmp_path / "file_backup"
    root.mkdir()
    mounted("-t", "tmpfs", "-o", "size=4k,nr_inodes=2", "tmpfs", str(root))
    with pytest.raises(NotWritten, match="file_backup.*the disk is full"):
        put(settings, backup=replace.backup_path(str(root), str(settings)))
    assert settings.read_bytes() == OLD


@pytest.mark.privileged
def test_a_read_only_file_system_is_named(settings, tmp_path, mounted):
    mounted("--bind", str(settings.parent), str(settings.parent))
    run("mount", "-o", "remount,ro,bind", str(settings.parent))
    with pytest.raises(NotWritten, match=f"^{settings}: the file system is mounted read-only"):
        put(settings)
    assert settings.read_bytes() == OLD


@pytest.mark.privileged
@pytest.mark.parametrize("what", ["file", "directory"])
def test_an_immutable_file_or_directory_is_named(settings, tmp_path, what):
    path = str(settings if what == "file" else settings.parent)
    run("chattr", "+i", path)
    try:
        staged = None
        with pytest.raises(NotWritten, match=f"^{settings}: not permitted; look for the immutable flag"):
            staged = replace.stage(wanted(settings))
            replace.commit(staged)
        if staged:
            replace.discard(str(settings), staged.replacement.temporary)
    finally:
        run("chattr", "-i", path)
    assert settings.read_bytes() == OLD
    assert not leftovers(tmp_path)
