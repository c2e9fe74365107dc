"""A host with certificates in a directory, owned as its manifest says: what the checks of certificates look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from installation import install
from pemfiles import dated

from courierlib.host import Host

ROOT, COURIER, SSL_CERT = 0, 113, 114
PEMS = ("esmtpd", "imapd", "pop3d")


def tls_host(root: Path, library: str = "gnutls") -> Path:
    """A Debian host with a certificate for each service, root:courier 0640."""
    install(root, library=library)
    with open(root / "etc/group", "a", encoding="utf-8") as file:
        file.write("ssl-cert:x:114:\n")
    for name in PEMS:
        put(root, f"/etc/courier/{name}.pem", dated())
    own(root, {})
    return root


def put(root: Path, path: str, content: bytes) -> None:
    """Write a file, and the directories above it."""
    real = root / path[1:]
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(content)


def link(root: Path, path: str, target: str) -> None:
    """Make a link in the place of whatever is there."""
    (root / path[1:]).unlink(missing_ok=True)
    (root / path[1:]).symlink_to(target)


def own(root: Path, owners: Mapping[str, tuple[int, int, int]]) -> None:
    """Record uid, gid and mode of paths; directories are root's, 0755, and files root:courier 0640 if not named."""
    paths = [root / "etc", root / "etc/courier", *(root / "etc/courier").rglob("*"), *(root / "etc").rglob("*")]
    files = {}
    for real in paths:
        if real.is_symlink():
            continue
        path = f"/{real.relative_to(root)}"
        usual = (ROOT, ROOT, 0o755) if real.is_dir() else (ROOT, COURIER, 0o640)
        uid, gid, mode = owners.get(path, usual)
        kind = "dir" if real.is_dir() else "file"
        files[path] = {"uid": uid, "gid": gid, "mode": f"{mode:o}", "kind": kind, "mtime": 0, "size": 0}
    (root / ".courier-host.json").write_text(json.dumps({"format": 1, "files": files}))


def audited(root: Path, issue) -> tuple[dict, list]:
    """Findings by place, and the repair's actions."""
    host = Host(str(root))
    found = list(issue.check(host))
    repairable = [finding for finding in found if finding.fixable]
    actions = list(issue.fix(host, repairable)) if hasattr(issue, "fix") else []
    return {finding.where: finding for finding in found}, actions
