"""Files below a root: resolved inside it, never waited for, never larger than asked for."""

from __future__ import annotations

import json
import os

import pytest

from courierlib.issue import Unknown
from courierlib.tree import MANIFEST, Tree, Unreadable


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nbroken line\n"
        "courier:x:107:113::/var/lib/courier:/usr/sbin/nologin\nalias:x:107:113::/x:/x\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\ncourier:x:113:\n")
    return tmp_path


def test_an_absolute_link_stays_inside_the_root(root):
    (root / "secret").write_bytes(b"inside")
    (root / "etc/link").symlink_to("/secret")
    assert Tree(str(root)).read("/etc/link") == b"inside"


def test_a_link_cannot_climb_out_of_the_root(root):
    (root / "etc/link").symlink_to("../../../../../../etc/passwd")
    assert b"courier" in Tree(str(root)).read("/etc/link")
    assert Tree(str(root)).path("/etc/link") == str(root / "etc/passwd")


def test_links_that_loop_are_named(root):
    (root / "etc/a").symlink_to("b")
    (root / "etc/b").symlink_to("a")
    with pytest.raises(Unreadable, match="/etc/a: symbolic links loop"):
        Tree(str(root)).read("/etc/a")
    with pytest.raises(Unreadable, match="symbolic links loop"):
        Tree(str(root)).stat("/etc/a")


def test_a_dangling_link_is_missing(root):
    (root / "etc/a").symlink_to("/nowhere")
    tree = Tree(str(root))
    assert not tree.exists("/etc/a")
    assert tree.stat("/etc/a", follow=False).kind == "link"
    with pytest.raises(Unreadable) as raised:
        tree.read("/etc/a")
    assert raised.value.missing


def test_a_fifo_is_refused_and_not_waited_for(root):
    os.mkfifo(root / "etc/fifo")
    with pytest.raises(Unreadable, match="/etc/fifo: not a regular file, but a fifo"):
        Tree(str(root)).read("/etc/fifo")


def test_a_directory_and_a_device_are_refused(root):
    with pytest.raises(Unreadable, match="not a regular file, but a dir"):
        Tree(str(root)).read("/etc")
    with pytest.raises(Unreadable, match="not a regular file, but a device"):
        Tree("/").read("/dev/zero")


def test_a_file_of_a_gigabyte_is_refused_unread(root):
    with open(root / "etc/large", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(Unreadable, match="1073741824 bytes, too large"):
        Tree(str(root)).read("/etc/large")


def test_a_file_that_reports_no_size_is_still_bounded():
    with pytest.raises(Unreadable, match="more than 10 bytes"):
        Tree("/").read("/proc/self/status", limit=10)


def test_accounts_come_from_the_roots_own_database(root):
    tree = Tree(str(root))
    assert (tree.uid("courier"), tree.gid("courier")) == (107, 113)
    assert tree.user(107).name == "courier"
    assert tree.uid("nobody-here") is None
    assert [user.name for user in tree.users] == ["root", "courier", "alias"]


def test_the_groups_of_a_user_are_its_own_and_those_that_list_it(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("mail:x:8:\nssl-cert:x:114:www,courier\ncourier:x:113:\nother:x:9:couriers\n")
    assert Tree(str(tmp_path)).gids("courier", 113) == {113, 114}
    assert Tree("/").gids("root", 0) >= {0}


def test_the_directories_on_the_way_are_told_those_of_links_too(tmp_path):
    for directory in ("etc/courier", "srv/keys"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "srv/keys/mail.pem").touch()
    (tmp_path / "etc/courier/imapd.pem").symlink_to("/srv/keys/mail.pem")
    entered = []
    assert Tree(str(tmp_path)).resolve("/etc/courier/imapd.pem", entered=entered) == "/srv/keys/mail.pem"
    assert entered == ["/", "/etc", "/etc/courier", "/", "/srv", "/srv/keys"]


def test_a_root_without_a_user_database_has_no_accounts(tmp_path):
    assert Tree(str(tmp_path)).users == ()


def test_a_missing_root_is_named():
    with pytest.raises(NotADirectoryError, match="root=/does/not/exist: no such directory"):
        Tree("/does/not/exist")


def test_a_name_with_a_nul_byte_is_unreadable():
    with pytest.raises(Unreadable, match="NUL byte"):
        Tree("/").read("/etc/pass\0wd")
    with pytest.raises(Unreadable, match="NUL byte"):
        Tree("/").stat("/etc/pass\0wd")


def test_the_manifest_says_what_git_cannot_keep(root):
    (root / "etc/key.pem").write_text("x")
    recorded = {"uid": 0, "gid": 113, "mode": "0640", "kind": "file", "mtime": 1.5}
    (root / MANIFEST).write_text(
        json.dumps(
            {
                "format": 1,
                "files": {
                    "/etc/key.pem": recorded,
                    "/var/empty": recorded | {"kind": "dir", "mode": "0750"},
                    "/etc/alias": recorded | {"kind": "link", "link": "key.pem"},
                },
                "strings": {"/usr/bin/couriertls": ["libssl.so.3"]},
            }
        )
    )
    tree = Tree(str(root))
    assert (tree.stat("/etc/key.pem").gid, tree.stat("/etc/key.pem").mode) == (113, 0o640)
    assert tree.stat("/etc/alias").size == 1
    assert tree.stat("/var/empty").kind == "dir"
    assert tree.listdir("/var") == ("empty",)
    assert MANIFEST not in tree.listdir("/")
    assert tree.contains("/usr/bin/couriertls", rb"libssl\.so")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"format": 2}',
        "\xff",
        '{"format": 1, "files": []}',
        '{"format": 1, "files": {"/etc": 5}}',
        '{"format": 1, "files": {"/etc": {"gid": 0, "mode": "0755", "kind": "dir", "mtime": 1}}}',
        '{"format": 1, "files": {"/etc": {"uid": 0, "gid": 0, "mode": "rwx", "kind": "dir", "mtime": 1}}}',
        '{"format": 1, "strings": {"/usr/bin/couriertls": 5}}',
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content.encode("latin-1"))
    with pytest.raises(Unknown, match="record the host again"):
        Tree(str(tmp_path))


def test_a_manifest_that_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / MANIFEST)
    with pytest.raises(Unknown, match="not a regular file, but a fifo"):
        Tree(str(tmp_path))


def test_a_user_id_that_is_no_number_is_passed_over(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("a:x:\u00b2:1::/h:/b\nb:x:7:\u00b2::/h:/b\nc:x:8:9::/h:/b\n")
    assert [user.name for user in Tree(str(tmp_path)).users] == ["c"]
