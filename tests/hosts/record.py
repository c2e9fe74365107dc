"""
Record the sample host: boot a machine, break it in the ways of the seed posts, and keep what an audit reads of it.

``python tests/hosts/record.py`` replaces ``examples/broken-host``. Settings are kept without their comments, start scripts
only as far as they name directories and the mail user; owners, modes, times and the strings of binaries go into the
manifest. The keys are those that the machine made for itself, and guard nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_utils"))

from lab import Lab, Machine

from courierlib.host import Host
from courierlib.layout import discover
from courierlib.tree import MANIFEST, Tree

TARGET = Path(__file__).resolve().parents[2] / "examples/broken-host"

BREAK = r"""
cd /etc/courier
# 2017: the upgrade to 0.76. The mail user is still daemon, maildrop is run the old way, and the advice went into esmtpd.
sed -i -e 's/^MAILUSER=.*/MAILUSER=daemon/' -e 's/^MAILGROUP=.*/MAILGROUP=daemon/' esmtpd
echo "DEFAULTDELIVERY='|/usr/bin/maildrop -w 90 -V 1 -d \"\"'" >> esmtpd
sed -i "s#^DEFAULTDELIVERY=.*#DEFAULTDELIVERY='| /usr/bin/maildrop'#" courierd
chown daemon:daemon /var/lib/courier/tmp /var/lib/courier/msgs
# 2015: short DH parameters, in their own file and in a certificate's.
openssl dhparam -out dhparams.pem 1024 2>/dev/null
openssl dhparam 512 2>/dev/null >> pop3d.pem
# 2014: line ends.
tr '\n' '\r' < imapd.pem > cr && cat cr > imapd.pem && rm cr
sed -i 's/$/\r/' esmtpd.pem
"""

_KEPT = re.compile(
    r"""^(#!.*|(prefix|exec_prefix|sysconfdir|bindir|sbindir|libexecdir|localstatedir|piddir)=.*"""
    r"""|install -b -m .*|\s*ch(own|grp) .*)$"""
)
_BINARIES = {
    "bin/couriertls": rb"lib(?:gnutls|ssl)\.so[.\d]*",
    "sbin/courier": rb"Courier \d+(?:\.\d+)+",
    "bin/maildrop": rb"Courier-specific maildrop build",
    "sbin/couriertcpd": rb"noidentlookup",
}
_DIRECTORIES = ("/etc/courier", "/var/lib/courier", "/run/courier")
_FILES = ("/etc/passwd", "/etc/group", "/etc/environment", "/etc/maildroprc")
_CONTENT = re.compile(
    r"/etc/(passwd|group|environment|maildroprc)|/usr/.*"
    r"|/etc/courier/(courierd|(esmtpd|imapd|pop3d)(-ssl|-msa)?|authdaemonrc|me|locals|defaultdomain|.*\.pem|hosteddomains/.*)"
)
"""What of it is kept with its content; of the rest owner, mode and time."""


def record(machine: Machine, target: Path) -> None:
    """Replace ``target`` by what an audit reads of the running machine."""
    root = machine.root
    tree = Tree(str(root))
    layout = discover(tree)
    shutil.rmtree(target, ignore_errors=True)
    files: dict[str, dict] = {}
    paths = [*_FILES, *layout.scripts.values(), f"{layout.sbindir}/mkdhparams", f"{layout.libexecdir}/courier/courierd"]
    paths += [f"{layout.prefix}/{name}" for name in _BINARIES]
    paths += [tree.resolve(path) for path in paths]
    for top in _DIRECTORIES:
        paths += [str(path).removeprefix(str(root)) for path in _walk(root / top.lstrip("/"))]
    for path in sorted(set(paths)):
        if tree.stat(path, follow=False) is not None:
            files[path] = _describe(root, path)
            _keep(tree, path, files[path]["kind"], target)
    strings = {
        f"{layout.prefix}/{name}": [match.decode()]
        if (match := _first(tree, f"{layout.prefix}/{name}", wanted))
        else []
        for name, wanted in _BINARIES.items()
    }
    manifest = {
        "format": 1,
        "recorded": f"Debian {machine.base.name}, Courier {Host(str(root)).version}",
        "files": files,
        "strings": strings,
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def _walk(top: Path) -> list[Path]:
    found = [top]
    for directory, names, files in os.walk(top):
        found += [Path(directory, name) for name in (*names, *files)]
    return found


def _describe(root: Path, path: str) -> dict:
    found = os.lstat(str(root) + path)
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo"}
    described = {
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "mtime": int(found.st_mtime),
        "kind": kinds.get(stat.S_IFMT(found.st_mode), "socket"),
    }
    if described["kind"] == "link":
        described["link"] = os.readlink(str(root) + path)
    elif described["kind"] == "file":
        described["size"] = found.st_size
    return described


def _keep(tree: Tree, path: str, kind: str, target: Path) -> None:
    """Copy what an audit reads of a file; binaries and directories are in the manifest alone."""
    if kind != "file" or not _CONTENT.fullmatch(path):
        return
    content = tree.read(path, 1 << 24)
    if content.startswith(b"\x7fELF"):
        return
    if content.startswith(b"#!"):
        lines = [line for line in content.decode("utf-8", "replace").splitlines() if _KEPT.match(line)]
        content = "\n".join([*lines, ""]).encode()
    elif not path.endswith(".pem"):
        content = b"".join(
            line for line in content.splitlines(keepends=True) if line.strip() and not line.startswith(b"#")
        )
    kept = target / path.lstrip("/")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)


def _first(tree: Tree, path: str, wanted: bytes) -> bytes | None:
    match = tree.contains(path, wanted)
    return match[0] if match else None


def _main() -> None:
    with Lab() as lab, lab.machine("trixie-openssl", name="mx1") as machine:
        machine.add_virtual_users()
        machine.run(["sh", "-euc", BREAK], timeout=300)
        machine.run("systemctl stop courier", check=False)
        record(machine, TARGET)
    print(f"recorded {TARGET}")


if __name__ == "__main__":
    _main()
