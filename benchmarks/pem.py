"""
What the TLS checks cost beside a shell loop of openssl, and what ``fix_dh`` costs beside ``mkdhparams``, in one run.

Prints absolute figures and ratios; a figure is noted, never a gate. The files are made from a fixed seed: 1,000
certificates with keys of their own, a chain, and one unnamed DH group in all of them.
"""

from __future__ import annotations

import base64
import datetime
import itertools
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FILES = 1000
LOOP = 100
"""Files of the shell loop; its figure is scaled to FILES."""
PATIENCE = 180
SEED = 7919
TLS_ISSUES = ("dh-params-weak", "dh-params-unusable", "pem-line-ends", "pem-unreadable")

sys.path.insert(0, str(REPOSITORY / "_utils"))

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

from courierlib import apply, catalogue, der, dh  # noqa: E402
from courierlib.host import Host, System, TlsService  # noqa: E402
from courierlib.issue import Unknown  # noqa: E402


def prime(dice: random.Random, bits: int) -> int:
    """A random prime whose two highest bits are set, so that a product of two has twice the length."""
    while True:
        number = dice.getrandbits(bits) | 3 << (bits - 2) | 1
        if dh.is_prime(number):
            return number


def key(p: int, q: int) -> rsa.RSAPrivateKey:
    e, d = 65537, pow(65537, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def certificate(subject: str, issuer: str, own: rsa.RSAPrivateKey, signer: rsa.RSAPrivateKey) -> bytes:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    start = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(
        name(issuer), name(subject), own.public_key(), 1, start, start + datetime.timedelta(3650)
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def dh_block(number: int) -> bytes:
    content = der.encode(der.SEQUENCE, der.encode_integer(number) + der.encode_integer(5))
    body = base64.encodebytes(content)
    return b"-----BEGIN DH PARAMETERS-----\n" + body + b"-----END DH PARAMETERS-----\n"


def generate(directory: Path) -> None:
    """FILES files ``imapd.pem.NAME``, and the base file."""
    dice = random.Random(SEED)
    pool = [prime(dice, 1024) for _ in range(46)]
    keys = [key(p, q) for p, q in itertools.islice(itertools.combinations(pool, 2), FILES + 1)]
    authority = keys.pop()
    chain = certificate("Authority", "Authority", authority, authority)
    tail = chain + dh_block(prime(dice, 2048))
    for number, own in enumerate(keys):
        name = f"host{number}.example.test"
        secret = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / f"imapd.pem.{name}").write_bytes(secret + certificate(name, "Authority", own, authority) + tail)
    shutil.copy(directory / "imapd.pem.host0.example.test", directory / "imapd.pem")


class OneListener(Host):
    """This machine, taken for a host whose only listener is an OpenSSL one with the files in ``directory``."""

    installed = True
    tls_library = "openssl"
    tls_library_known = "couriertls needs libssl.so.3"
    tls_services: tuple[TlsService, ...] = ()

    def __init__(self, directory: Path, dhparams: str = ""):
        super().__init__("/", System(run=lambda command: None, services=None))
        base = str(directory / "imapd.pem")
        names = tuple(sorted(str(path) for path in directory.glob("imapd.pem.*")))
        self.tls_services = (TlsService("imapd-ssl", base, "", dhparams, names, ()),)


def audited(directory: Path) -> tuple[float, int]:
    """CPU seconds of a first audit of all files, and the number of findings."""
    entries = [catalogue.load()[name] for name in TLS_ISSUES]
    dh.is_prime.cache_clear()
    started = time.process_time()
    found = [answer for entry in entries for answer in entry.check(OneListener(directory))]
    seconds = time.process_time() - started
    assert not any(isinstance(answer, Unknown) for answer in found), found
    return seconds, len(found)


def looped(directory: Path) -> float:
    """CPU seconds of the shell loop, scaled to FILES."""
    files = sorted(directory.glob("imapd.pem.*"))[:LOOP]
    script = 'for file; do openssl x509 -in "$file" -noout && openssl pkey -in "$file" -noout || exit 1; done'
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sh", "-c", script, "loop", *map(str, files)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * FILES / len(files)


def repaired(directory: Path) -> float:
    """Wall seconds of a whole repair of 1024-bit parameters: check, backup, write, check again."""
    path = directory / "dhparams.pem"
    path.write_bytes(dh_block((1 << 1023) + 1155))
    workspace = apply.Workspace(str(directory / "backup"), str(directory / "state"), str(directory / "lock"))
    entry = catalogue.load()["dh-params-weak"]
    alone = directory / "alone"
    alone.mkdir()
    shutil.copy(directory / "imapd.pem", alone)
    started = time.perf_counter()
    outcome = apply.carry_out(lambda: OneListener(alone, str(path)), [entry], workspace=workspace)
    seconds = time.perf_counter() - started
    assert (set(outcome.changes), path.read_bytes()) == ({str(path)}, dh.FFDHE3072_PEM), outcome
    return seconds


def made(directory: Path) -> tuple[str, float, str]:
    """What makes parameters here: its name, wall seconds, and ``>`` if it was stopped before it was done."""
    target = directory / "made.pem"
    script = shutil.which("mkdhparams", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/courier/sbin")
    # Without Courier, the command that mkdhparams of an OpenSSL build runs (read: libs/imap/mkdhparams.in, 1.4.1).
    command = [script] if script else ["openssl", "dhparam", "-outform", "PEM", "-out", str(target), "2048"]
    started = time.perf_counter()
    try:
        environment = os.environ | {"TLS_DHPARAMS": str(target)}
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL, timeout=PATIENCE)
        mark = ""
    except subprocess.TimeoutExpired:
        mark = ">"
    return "mkdhparams" if script else "openssl dhparam 2048", time.perf_counter() - started, mark


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        generate(directory)
        own, findings = audited(directory)
        loop = looped(directory)
        print(f"{FILES} PEM files, four checks, in process: {own:.2f} s CPU ({findings} findings)")
        print(f"{FILES} PEM files, openssl x509 and pkey in a shell loop: {loop:.1f} s CPU (scaled from {LOOP})")
        print(f"ratio, loop to checks: {loop / own:.0f}")
        fixed = repaired(directory)
        maker, seconds, mark = made(directory)
        print(f"fix_dh, whole repair: {fixed:.3f} s")
        print(f"{maker}: {mark}{seconds:.1f} s")
        print(f"ratio, {maker} to fix_dh: {mark}{seconds / fixed:.0f}")


if __name__ == "__main__":
    main()
