"""
Record hosts: keep what an audit reads of them.

``python tests/hosts/record.py`` boots a machine, breaks it in the ways of the seed posts, and replaces
``examples/broken-host``; with the argument ``upstream`` it records Courier as installed under upstream's own prefix,
and replaces ``tests/unit/data/upstream``. Settings are kept without their comments, start scripts only as far as they
name directories and the mail user; owners, modes, times and the strings of binaries go into the manifest. The keys are
those that the machine made for itself, and guard nothing.
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

import roots
from lab import Lab

from courierlib.host import Host
from courierlib.layout import discover
from courierlib.tree import MANIFEST, Tree

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "examples/broken-host"
UPSTREAM = REPOSITORY / "tests/unit/data/upstream"

BREAK = r"""
cd /etc/courier
# 2017: the upgrade to 0.76. The mail user is still daemon, maildrop is run the old way, the advice went into esmtpd.
sed -i -e 's/^MAILUSER=.*/MAILUSER=daemon/' -e 's/^MAILGROUP=.*/MAILGROUP=daemon/' esmtpd
echo "DEFAULTDELIVERY='|/usr/bin/maildrop -w 90 -V 1 -d \"\"'" >> esmtpd
sed -i "s#^DEFAULTDELIVERY=.*#DEFAULTDELIVERY='| /usr/bin/maildrop'#" courierd
chown daemon:daemon /var/lib/courier/tmp /var/lib/courier/msgs
# A virtual user whose Maildir is left to Courier, in a home that passwd does not know.
userdb bob@virt.example.test unset mail
makeuserdb
# 2015: short DH parameters, in their own file and in a certificate's.
openssl dhparam -out dhparams.pem 1024 2>/dev/null
openssl dhparam 512 2>/dev/null >> pop3d.pem
# 2014: line ends.
tr '\n' '\r' < imapd.pem > cr && cat cr > imapd.pem && rm cr
sed -i 's/$/\r/' esmtpd.pem
"""

_OURS = re.compile("Package: (courier|maildrop)")
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
_SYSTEM = (
    "/etc/passwd",
    "/etc/group",
    "/etc/environment",
    "/etc/maildroprc",
    "/etc/courier/authdaemonrc",
    "/etc/services",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/hostname",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/bin/systemd-tmpfiles",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/statoverride",
)
_WALKED = ("/home", "/srv/mail", "/etc/pam.d")
_SOURCES = ("smtpaccess", "imapaccess", "aliases", "hosteddomains", "esmtpacceptmailfor.dir")
"""Directories of whose files the content is kept: tables that are compiled."""
_CONTENT = re.compile(
    r"courierd|(esmtpd|imapd|pop3d)(-ssl|-msa)?|authdaemonrc|me|locals|defaultdomain|virtual|.*\.pem"
    r"|passwd|group|environment|maildroprc|(hosteddomains|esmtpacceptmailfor|imapaccess)\.dat|services|nsswitch\.conf|resolv\.conf|hostname|statoverride"
)
"""Names of files that are kept with their content; of the rest owner, mode and time."""


def record(root: Path, name: str, target: Path) -> None:
    """Replace ``target`` by what an audit reads of the installation below ``root``."""
    tree = Tree(str(root))
    layout = discover(tree)
    binaries = {f"{layout.prefix}/{program}": wanted for program, wanted in _BINARIES.items()}
    scripts = [*layout.scripts.values(), f"{layout.sbindir}/mkdhparams"]
    paths = {*_SYSTEM, *binaries, *scripts, f"{layout.libexecdir}/courier/courierd"}
    for top in (layout.sysconfdir, layout.localstatedir, layout.piddir, *_WALKED):
        paths.update(str(path).removeprefix(str(root)) for path in _walk(root / top.lstrip("/")))
    paths.update({tree.resolve(path) for path in paths})
    shutil.rmtree(target, ignore_errors=True)
    files = {}
    for path in sorted(paths):
        if tree.stat(path, follow=False) is not None:
            files[path] = _describe(root, path)
            if files[path]["kind"] == "file":
                _keep(tree, path, target)
    found = {path: tree.contains(path, wanted) for path, wanted in binaries.items()}
    manifest = {
        "format": 1,
        "recorded": f"{name}, Courier {Host(str(root)).version}",
        "files": files,
        "strings": {path: [match[0].decode()] if match else [] for path, match in found.items()},
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


def _keep(tree: Tree, path: str, target: Path) -> None:
    """Copy what an audit reads of a file; what it does not read, and binaries, are in the manifest alone."""
    content = tree.read(path, 1 << 26)
    if content.startswith(b"#!"):
        lines = [line for line in content.decode("utf-8", "replace").splitlines() if _KEPT.match(line)]
        content = "\n".join([*lines, ""]).encode()
    elif path == "/var/lib/dpkg/status":
        blocks = content.decode().split("\n\n")
        content = "\n\n".join([*(block for block in blocks if _OURS.match(block)), ""]).encode()
    elif content.startswith(b"\x7fELF") or not (_CONTENT.fullmatch(path.rsplit("/", 1)[-1]) or _is_source(path)):
        return
    elif not path.endswith(".pem"):
        lines = content.splitlines(keepends=True)
        content = b"".join(line for line in lines if line.strip() and not line.startswith(b"#"))
    kept = target / path.lstrip("/")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)


def _is_source(path: str) -> bool:
    return path.rsplit("/", 2)[-2] in _SOURCES


def _sample() -> None:
    with Lab() as lab, lab.machine("trixie-openssl", name="mx1") as machine:
        machine.add_virtual_users()
        machine.run(["sh", "-euc", BREAK], timeout=300)
        machine.run("systemctl stop courier", check=False)
        record(machine.root, "Debian 13 with an OpenSSL couriertls", SAMPLE)


def _upstream() -> None:
    with roots.merged(roots.base(roots.UPSTREAM)) as root:
        record(root, "upstream's own prefix on Debian 13", UPSTREAM)


if __name__ == "__main__":
    {"sample": _sample, "upstream": _upstream}[sys.argv[1] if len(sys.argv) > 1 else "sample"]()
