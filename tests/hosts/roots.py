"""
Base roots: Debian trees with Courier installed, built once, cached, and never booted themselves.

A machine boots from an overlay over one or more of these trees, so nothing a test does reaches them. A tree is
named after the hash of its recipe: a changed recipe gets a new tree, and an interrupted build leaves only a
``.partial`` directory that the next build removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITES = ("bookworm", "trixie", "forky")
OPENSSL = "trixie-openssl"
UPSTREAM = "trixie-upstream"
NAMES = (*SUITES, OPENSSL)
UPGRADES = {f"{old}-to-{new}": (old, new) for old, new in zip(SUITES, SUITES[1:], strict=False)}
"""A root of the older release that holds all that ``apt-get dist-upgrade --no-download`` needs to become the newer."""

ALICE = "alice"
ALICE_PASSWORD = "correct horse battery"

_HERE = Path(__file__).resolve().parent
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "gnutls-cli": "gnutls-bin",
    "setfacl": "acl",
    "setfattr": "attr",
    "strace": "strace",
    "systemd-nspawn": "systemd-container",
}
_PACKAGES = (
    "courier-mta,courier-imap,courier-pop,courier-authdaemon,maildrop,"
    "ca-certificates,openssl,systemd-sysv,dbus,netbase,iproute2,procps"
)
# mmdebstrap copies the building machine's hostname and resolver with whatever mode they have there.
# BOFHCHECKDNS: a machine's name server knows no name, so every envelope sender's domain would be refused.
_STOCK = f"""
chmod 644 /etc/hostname /etc/resolv.conf
sed -i 's/^BOFHCHECKDNS=1/BOFHCHECKDNS=0/' /etc/courier/esmtpd /etc/courier/esmtpd-ssl
useradd --create-home --shell /bin/sh {ALICE}
echo '{ALICE}:{ALICE_PASSWORD}' | chpasswd
su {ALICE} -c 'maildirmake.courier /home/{ALICE}/Maildir'
"""
_APT = "export DEBIAN_FRONTEND=noninteractive; apt-get -o Acquire::Check-Valid-Until=false"


class LabError(RuntimeError):
    """The laboratory itself failed; says nothing about the code under test."""


@dataclass(frozen=True)
class Base:
    """What a machine boots from: directories for overlayfs, the uppermost first."""

    name: str
    layers: tuple[Path, ...]


def cache() -> Path:
    """Where roots are kept: ``$COURIER_LAB``, else ``/var/cache/saltext-courier``."""
    return Path(os.environ.get("COURIER_LAB", "/var/cache/saltext-courier"))


def install_tools() -> None:
    """Install with apt-get whatever this machine lacks to build and boot roots."""
    missing = sorted({package for tool, package in _TOOLS.items() if not shutil.which(tool)})
    if not _KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        apt = "export DEBIAN_FRONTEND=noninteractive; apt-get -qq -o DPkg::Lock::Timeout=120"
        # A third-party source of the machine's may be unreachable; the install that follows is what counts.
        script = f"{apt} update || true; {apt} install --no-install-recommends {' '.join(missing)}"
        _log_run(["sh", "-euc", script], what=f"installing {', '.join(missing)}")


def mirror() -> str:
    """The Debian mirror this machine's own apt uses; Debian's default where apt uses none (Ubuntu)."""
    sources = Path("/etc/apt")
    for file in sorted([*sources.glob("sources.list"), *sources.glob("sources.list.d/*")]):
        lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
        found = re.search(r"\bhttps?://\S+/debian/?(?=\s|$)", "\n".join(lines))
        if found:
            return found.group()
    return "http://deb.debian.org/debian"


def prepare(names: Iterable[str] = NAMES) -> dict[str, Base]:
    """Install the tools and build what is missing, two roots at a time; return the bases by name."""
    names = tuple(names)
    unknown = set(names) - set(NAMES)
    if unknown:
        raise LabError(f"no such root: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    install_tools()
    with ThreadPoolExecutor(max_workers=2) as pool:
        # The OpenSSL build takes longest and needs trixie first.
        first = sorted(names, key=lambda name: (name != OPENSSL, name != "trixie"))
        futures = {name: pool.submit(base, name) for name in first}
        return {name: futures[name].result() for name in names}


def base(name: str) -> Base:
    """The base root ``name``, built now if the cache has none."""
    if name == OPENSSL:
        return _openssl(base("trixie"))
    if name == UPSTREAM:
        return _with_layer(base("trixie"), "upstream", (_HERE / "upstream.sh").read_text())
    if name in UPGRADES:
        old, new = UPGRADES[name]
        sources = f"sed -i 's/ {old} / {new} /' /etc/apt/sources.list"
        return _with_layer(base(old), f"to-{new}", f"{sources}; {_APT} -qq update; {_APT} -qqy -d dist-upgrade")
    return Base(name, (_build(name, _suite_recipe(name), lambda target: _debootstrap(name, target)),))


@contextmanager
def merged(below: Base) -> Iterator[Path]:
    """A base root's files in one directory, which is writable and thrown away; nothing runs in it."""
    with tempfile.TemporaryDirectory(dir=cache()) as directory:
        upper, work, root = (Path(directory, part) for part in ("upper", "work", "root"))
        for part in (upper, work, root):
            part.mkdir()
        layers = ":".join(map(str, below.layers))
        options = f"lowerdir={layers},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
        try:
            yield root
        finally:
            subprocess.run(["umount", root], check=True)


def with_packages(below: Base, packages: Sequence[str]) -> Base:
    """``below`` with Debian packages installed on top, as a cached layer."""
    names = " ".join(sorted(packages))
    script = f"{_APT} -qq update; {_APT} -qq install --no-install-recommends {names}; apt-get clean"
    return _with_layer(below, "-".join(sorted(packages)), script)


def with_salt(below: Base, version: str, constraints: Path | None = None) -> Base:
    """
    ``below`` with Salt in ``/opt/salt``, for hosts whose own Python lives in ``/usr`` and cannot be mounted.

    ``constraints`` is a pip constraints file; the machine's own package index settings apply.
    """
    pins = constraints.read_text() if constraints else ""
    script = (
        f"{_APT} -qq update; {_APT} -qq install --no-install-recommends python3-venv gcc libc6-dev python3-dev\n"
        f"cat > /opt/constraints.txt <<'PINS'\n{pins}\nPINS\n"
        "python3 -m venv /opt/salt\n"
        f"/opt/salt/bin/pip install --quiet --no-cache-dir -c /opt/constraints.txt 'salt=={version}'\n"
        "apt-get clean\n"
    )
    return _with_layer(below, f"salt-{version}", script)


def _suite_recipe(suite: str) -> str:
    return "\n".join((suite, _PACKAGES, _STOCK))


def _debootstrap(suite: str, target: Path) -> None:
    _log_run(
        [
            "mmdebstrap",
            "--variant=minbase",
            # A testing suite's Release file expires when its mirror lags.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            f"--include={_PACKAGES}",
            f"--customize-hook=chroot \"$1\" sh -euc '{_shell_quoted(_STOCK)}'",
            suite,
            str(target),
            mirror(),
        ],
        what=f"building {suite}",
    )


def _openssl(trixie: Base) -> Base:
    script = (_HERE / "openssl.sh").read_text()

    def build(target: Path) -> None:
        with _scratch(_beside(target, ".build")) as upper:
            _run_in_overlay(trixie, upper, script, what="building couriertls with OpenSSL")
            (target / "usr/bin").mkdir(parents=True)
            shutil.copy2(upper / "couriertls", target / "usr/bin/couriertls")

    return Base(OPENSSL, (_build(OPENSSL, script, build), *trixie.layers))


def _with_layer(below: Base, name: str, script: str) -> Base:
    recipe = "\n".join((*(layer.name for layer in below.layers), script))

    def build(target: Path) -> None:
        target.mkdir()
        _run_in_overlay(below, target, script, what=f"adding {name} to {below.name}")

    layer = _build(f"{below.name}+{name}", recipe, build)
    return Base(f"{below.name}+{name}", (layer, *below.layers))


def _build(name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """Return the cached directory for ``recipe``, after ``build(partial)`` made it if it was not there."""
    roots = cache() / "roots"
    roots.mkdir(parents=True, exist_ok=True)
    target = roots / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    # Two test runs may start together; the second waits for the first one's tree.
    with (roots / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with _scratch(_beside(target, ".partial"), create=False) as partial:
                build(partial)
                partial.rename(target)
    return target


def _beside(path: Path, suffix: str) -> Path:
    # Not with_suffix: a name with a version in it has a suffix already.
    return path.with_name(path.name + suffix)


@contextmanager
def _scratch(path: Path, create: bool = True) -> Iterator[Path]:
    shutil.rmtree(path, ignore_errors=True)
    if create:
        path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _run_in_overlay(below: Base, upper: Path, script: str, what: str) -> None:
    """Run a shell script as root of ``below``; what it changes lands in the directory ``upper``."""
    with _scratch(_beside(upper, ".work")) as work, _scratch(_beside(upper, ".merged")) as merged:
        # Private namespaces: mounts and stray processes end with the script, however it ends.
        # The machine's resolver and certificates are lent, or a build behind a proxy reaches nothing.
        mounts = f"""
        mount -t overlay overlay -o lowerdir={":".join(map(str, below.layers))},upperdir={upper},workdir={work} {merged}
        for lent in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
            mount --bind "$(readlink -f $lent)" {merged}$lent
        done
        mount --bind /dev {merged}/dev
        mount -t proc proc {merged}/proc
        exec chroot {merged} sh -eu -s
        """
        namespaces = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        _log_run(["unshare", *namespaces, "sh", "-euc", mounts], what=what, input=script)


def _shell_quoted(script: str) -> str:
    return script.replace("'", "'\\''")


def _log_run(argv: Sequence[str], what: str, input: str | None = None) -> None:
    environment = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    done = subprocess.run(
        argv, input=input, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise LabError(f"{what} failed ({done.returncode}):\n{done.stdout[-4000:]}")
