"""
One booted Debian machine: its commands, files, mail, TLS and Salt.

The machine runs under systemd-nspawn, tethered to the test run: its overlay, its bind mounts and all its
processes end with it, whichever way it ends.
"""

from __future__ import annotations

import imaplib
import json
import os
import re
import shlex
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tether
from roots import Base, LabError

if TYPE_CHECKING:
    from saltmaster import Master

BRIDGE = "courier-lab"
BRIDGE_ADDRESS = "10.77.0.1"
REPOSITORY = Path("/srv/saltext-courier")

BOB = "bob@virt.example.test"
BOB_PASSWORD = "battery horse correct"
VIRTUAL_DOMAIN = "virt.example.test"

# With --keep-unit nspawn does not start a rebooting guest itself but asks for it with this exit status.
_BOOT = 'while systemd-nspawn "$@"; test $? -eq 133; do :; done'
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class CommandFailed(subprocess.CalledProcessError):
    """A command in a machine failed; the message carries what it said."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stdout}{self.stderr}"


@dataclass(frozen=True)
class Salt:
    """Where Salt is inside a machine, and what of this machine must be mounted there for it."""

    venv: Path
    binds: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What ``salt`` or ``salt-call`` returned: ``value`` is the decoded return, None if there was none."""

    value: Any
    retcode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Handshake:
    """A TLS handshake as an OpenSSL client saw it."""

    ok: bool
    protocol: str = ""
    cipher: str = ""
    key_exchange: str = ""
    """The server's ephemeral key, such as ``X25519, 253 bits`` or ``DH, 1024 bits``."""
    error: str = ""
    output: str = field(default="", repr=False)


@dataclass
class Machine:
    """
    A Debian machine running Courier; a context manager that boots it and, at the end, leaves nothing of it.

    ``number`` is the last octet of its address and must not be in use; :class:`lab.Lab` hands it out.
    """

    base: Base
    name: str
    number: int
    directory: Path
    repository: Path
    salt: Salt
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def fqdn(self) -> str:
        """The mail domain: what ``/etc/courier/me`` and ``locals`` say."""
        return f"{self.name}.example.test"

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    def __enter__(self) -> Machine:
        try:
            self._boot()
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            tether.end(self._process)
            self._process = None
        discard(self.directory, self.number)

    # Life

    def _boot(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        for part in ("upper", "work", "merged", "seed"):
            (self.directory / part).mkdir(parents=True)
        self._write_seed(self.directory / "seed")
        nspawn = [
            *("sh", "-c", _BOOT, "boot"),
            *("-q", "-D", "merged", "-M", f"courier-{self.number}", "-b"),
            # This machine may have no systemd to register with; the cgroup is the machine's own in any case.
            *("--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off"),
            f"--network-bridge={BRIDGE}",
            f"--bind-ro={self.repository}:{REPOSITORY}",
            *(f"--bind-ro={path}" for path in self.salt.binds),
        ]
        with (self.directory / "console").open("wb") as console:
            self._process = tether.start(
                nspawn,
                setup=self._setup(),
                cwd=self.directory,
                # Debian 13 and later refuse the version 1 cgroups that a hybrid machine would hand on.
                env={**_ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "TERM": "dumb"},
                output=console,
            )
        self._connect()

    def _setup(self) -> str:
        # systemd in the guest takes the cgroup it starts in for its own: machines that shared one would see, and
        # stop, each other's units.
        enter = [f"mkdir -p {group}; echo 0 > {group}/cgroup.procs" for group in _cgroups(self.number)]
        lower = ":".join(map(str, self.base.layers))
        overlay = f"mount -t overlay overlay -o lowerdir={lower},upperdir=upper,workdir=work merged"
        # nspawn leaves its directories behind where /run is no tmpfs.
        scratch = "mkdir -p /run/systemd/nspawn; mount -t tmpfs tmpfs /run/systemd/nspawn"
        return "\n".join([*enter, scratch, overlay, "cp -r seed/. merged/"])

    def _write_seed(self, seed: Path) -> None:
        """Lay out what makes this machine itself; it is copied over the base root before boot."""
        files = {
            "etc/machine-id": uuid.uuid4().hex,
            "etc/hostname": self.name,
            "etc/mailname": self.fqdn,
            "etc/hosts": f"127.0.0.1 localhost\n{self.address} {self.fqdn} {self.name}",
            "etc/resolv.conf": f"nameserver {BRIDGE_ADDRESS}",
            "etc/courier/me": self.fqdn,
            "etc/courier/locals": f"localhost\n{self.fqdn}",
            "etc/salt/minion.d/machine.conf": f"id: {self.name}\nenable_fqdns_grains: false",
        }
        for path, content in files.items():
            (seed / path).parent.mkdir(parents=True, exist_ok=True)
            (seed / path).write_text(content + "\n")

    def _connect(self) -> None:
        """Give the machine its address from outside, so that no trace of the laboratory is inside."""
        _until(lambda: self._leader() is not None, 20, lambda: f"{self.name} did not start:\n{self._tail()}")
        network = ["nsenter", "-t", str(self.pid), "-n"]
        subprocess.run([*network, "ip", "addr", "add", f"{self.address}/24", "dev", "host0"], check=True)
        subprocess.run([*network, "ip", "link", "set", "host0", "up"], check=True)

    def _leader(self) -> int | None:
        """The guest's systemd, once it runs."""
        leaders = (child for nspawn in self._nspawn() for child in tether.children(nspawn))
        return next((pid for pid in leaders if tether.name(pid) == "systemd"), None)

    def _nspawn(self) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"{self.name} is not running:\n{self._tail()}")
        loops = (loop for shell in tether.children(self._process.pid) for loop in tether.children(shell))
        return [pid for loop in loops for pid in tether.children(loop) if tether.name(pid) == "systemd-nspawn"]

    def _tail(self) -> str:
        return (self.directory / "console").read_text(errors="replace")[-2000:]

    @property
    def pid(self) -> int:
        """The guest's PID 1 as this machine numbers it; another one after each reboot."""
        leader = self._leader()
        if leader is None:
            raise LabError(f"{self.name} is starting or stopping")
        return leader

    @property
    def root(self) -> Path:
        """
        The guest's root as seen from here, with everything mounted in it.

        Absolute links inside lead out of it: prefer :meth:`read` and :meth:`write`.
        """
        return Path(f"/proc/{self.pid}/root")

    def wait_ready(self, port: int | None = 25, timeout: float = 30) -> None:
        """Wait until booting is over, no Courier unit is in between states, and ``port`` accepts connections."""

        def ready() -> bool:
            state = self.run("systemctl is-system-running", check=False).stdout.strip()
            if state not in ("running", "degraded"):
                return False
            between = "systemctl list-units --no-legend --state=activating,deactivating 'courier*'"
            return not self.run(between, check=False).stdout and (port is None or self.listens(port))

        def complaint() -> str:
            units = self.run("systemctl list-units --all 'courier*'; systemctl list-jobs", check=False).stdout
            return f"{self.name} not ready (port {port}) after {timeout} s:\n{units}"

        _until(ready, timeout, complaint)

    def listens(self, port: int) -> bool:
        try:
            socket.create_connection((self.address, port), timeout=2).close()
        except OSError:
            return False
        return True

    def reboot(self, port: int | None = 25) -> None:
        before = self.pid
        self.run("systemctl reboot", check=False)
        _until(lambda: self._leader() not in (None, before), 30, lambda: f"{self.name} did not reboot:\n{self._tail()}")
        self._connect()
        self.wait_ready(port)

    def stop(self) -> None:
        """Shut down in good order; leaving the context does so the hard way, which is faster."""
        if self._process:
            for nspawn in self._nspawn():
                os.kill(nspawn, signal.SIGTERM)
            self._process.wait(timeout=30)
            tether.end(self._process)
            self._process = None

    # Commands and files

    def run(
        self, command: str | Sequence[str], *, check: bool = True, input: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command as root inside; a string goes through ``sh -c``.

        Raises CommandFailed with the command's output, or TimeoutExpired after ``timeout`` seconds.
        """
        data = None if input is None else input.encode()
        done = self._run_bytes(command, check=check, input=data, timeout=timeout)
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def _run_bytes(
        self, command: str | Sequence[str], *, check: bool = True, input: bytes | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        process = subprocess.Popen(
            ["nsenter", "-t", str(self.pid), "-a", *argv],
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(input, timeout)
        except BaseException:
            # nsenter forks: killing it alone would leave the command running in the guest.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if check and process.returncode:
            said = stdout.decode(errors="replace"), stderr.decode(errors="replace")
            raise CommandFailed(process.returncode, argv, *said)
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    def read(self, path: str) -> bytes:
        return self._run_bytes(["cat", "--", path]).stdout

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).returncode == 0

    def write(self, path: str, content: str | bytes, *, mode: int | None = None, owner: str | None = None) -> None:
        """Write in place, so that an existing file keeps owner and mode unless new ones are named."""
        data = content.encode() if isinstance(content, str) else content
        self._run_bytes(["sh", "-euc", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "write", path], input=data)
        if owner is not None:
            self.run(["chown", owner, path])
        if mode is not None:
            self.run(["chmod", f"{mode:o}", path])

    def configure(self, file: str, **settings: str) -> None:
        """Assign shell variables in a file below ``/etc/courier``, in place of the assignment that is there."""
        path = f"/etc/courier/{file}"
        text = self.read(path).decode()
        for name, value in settings.items():
            line = f'{name}="{value}"'
            text, count = re.subn(rf"^{name}=.*$", lambda _, line=line: line, text, flags=re.MULTILINE)
            if not count:
                text += f"\n{line}\n"
        self.write(path, text)

    # Mail

    def add_virtual_users(self) -> None:
        """
        Turn the stock host into one that also hosts :data:`BOB`, whose account is in userdb only.

        His home is ``/srv/mail/bob``; the system user ``vmail`` that owns it has a passwd home that does not exist.
        """
        script = f"""
        groupadd -g 900 vmail
        useradd -u 900 -g vmail --no-create-home --home-dir /home/vmail --shell /usr/sbin/nologin vmail
        install -d -o vmail -g vmail -m 750 /srv/mail/bob
        cd /srv/mail/bob
        setpriv --reuid vmail --regid vmail --clear-groups maildirmake.courier Maildir
        userdb '{BOB}' set uid=900 gid=900 home=/srv/mail/bob mail=/srv/mail/bob/Maildir
        echo '{BOB_PASSWORD}' | userdbpw -md5 | userdb '{BOB}' set systempw
        makeuserdb
        sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb authpam"/' /etc/courier/authdaemonrc
        echo {VIRTUAL_DOMAIN} > /etc/courier/hosteddomains/virtual
        echo {VIRTUAL_DOMAIN} > /etc/courier/esmtpacceptmailfor.dir/virtual
        makehosteddomains
        makeacceptmailfor
        systemctl restart courier-authdaemon
        # Seen once under load: a restart that did not end within a minute.
        timeout 40 systemctl restart courier courier-mta || systemctl restart courier courier-mta
        """
        self.run(["sh", "-euc", script], timeout=180)
        self.wait_ready()

    def send(self, recipient: str, marker: str, *, port: int = 25, sender: str = "") -> str:
        """
        Offer one message from here, and return the server's last reply, such as ``250 Ok. …`` or ``550 …``.

        ``recipient`` without a domain is one of this machine. ``marker`` is subject and body.
        """
        to = recipient if "@" in recipient else f"{recipient}@{self.fqdn}"
        message = f"From: <tester@client.example.test>\r\nTo: <{to}>\r\nSubject: {marker}\r\n\r\n{marker}\r\n"
        with smtplib.SMTP(self.address, port, local_hostname="client.example.test", timeout=30) as client:
            for step in (
                lambda: client.ehlo(),
                lambda: client.mail(sender),
                lambda: client.rcpt(to),
                lambda: client.data(message),
            ):
                try:
                    code, text = step()
                except smtplib.SMTPResponseException as refused:
                    code, text = refused.smtp_code, refused.smtp_error
                if code >= 400:
                    break
        return f"{code} {text.decode(errors='replace')}"

    def arrived(self, marker: str, timeout: float = 10) -> str | None:
        """The path, inside, of the message with ``marker`` in some Maildir; None if none came in time."""
        search = ["grep", "-rlF", "--", marker]
        where = "/home/*/Maildir/new /home/*/Maildir/cur /srv/mail/*/Maildir/new /srv/mail/*/Maildir/cur"
        deadline = time.monotonic() + timeout
        while True:
            found = self.run(["sh", "-c", f'"$@" {where} 2>/dev/null', "search", *search], check=False).stdout
            if found or time.monotonic() > deadline:
                return found.splitlines()[0] if found else None
            time.sleep(0.1)

    def mbox(self, marker: str) -> str | None:
        """The file in ``/var/mail`` that holds a message with ``marker``; None if there is none."""
        found = self.run(["grep", "-rlF", "--", marker, "/var/mail/"], check=False).stdout
        return found.splitlines()[0] if found else None

    def journal(self, *identifiers: str, since: float | None = None) -> list[str]:
        """
        Journal lines as ``tag[pid]: message``, oldest first.

        ``identifiers`` are syslog tags (``courieresmtpd``); ``since`` is seconds since the epoch.
        """
        argv = ["journalctl", "-q", "--no-pager", "--no-hostname", "-o", "short-unix"]
        argv += [f"--identifier={identifier}" for identifier in identifiers]
        argv += [] if since is None else [f"--since=@{since:.6f}"]
        return [line.split(" ", 1)[1] for line in self.run(argv).stdout.splitlines() if " " in line]

    def login(self, user: str, password: str, *, port: int = 993) -> list[str]:
        """Log in over IMAP and return the subjects in the INBOX; raises imaplib.IMAP4.error if refused."""
        if port == 993:
            client: imaplib.IMAP4 = imaplib.IMAP4_SSL(self.address, port, ssl_context=_trusting(), timeout=30)
        else:
            client = imaplib.IMAP4(self.address, port, timeout=30)
        with client:
            client.login(user, password)
            client.select("INBOX", readonly=True)
            _, data = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if self._count(client) else ("", [])
        return [part[1].decode().strip().removeprefix("Subject: ") for part in data if isinstance(part, tuple)]

    @staticmethod
    def _count(client: imaplib.IMAP4) -> int:
        return len(client.search(None, "ALL")[1][0].split())

    # TLS

    def handshake(
        self,
        port: int,
        *,
        starttls: str | None = None,
        tls12_dhe_only: bool = False,
        security_level: int | None = None,
        arguments: Sequence[str] = (),
    ) -> Handshake:
        """
        Shake hands as a client would, with this machine's ``openssl s_client``.

        ``starttls`` is ``smtp``, ``imap`` or ``pop3``. ``tls12_dhe_only`` offers nothing but TLS 1.2 with finite
        field Diffie-Hellman, the only client a weak DH group can hurt: any other agrees on an elliptic curve.
        ``security_level`` is OpenSSL's: 2, the default of Debian's, wants a group of 2048 bits, 1 one of 1024.
        """
        argv = ["openssl", "s_client", "-connect", f"{self.address}:{port}", *arguments]
        argv += ["-starttls", starttls] if starttls else []
        argv += ["-tls1_2"] if tls12_dhe_only else []
        suites = "DHE" if tls12_dhe_only else "DEFAULT"
        if security_level is not None:
            suites += f":@SECLEVEL={security_level}"
        if suites != "DEFAULT":
            argv += ["-cipher", suites]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        except subprocess.TimeoutExpired:
            return Handshake(ok=False, error="timed out")
        return _handshake(done.stdout + done.stderr)

    # Salt

    def salt_call(
        self, function: str, *args: Any, timeout: float = 120, options: Sequence[str] = (), **kwargs: Any
    ) -> Answer:
        """
        Call a Salt function without a master, with the repository's own modules (``salt-call --local -m``).

        ``options`` are further options of salt-call, such as ``--file-root=/srv/salt``.
        """
        flags = ["--out=json", "--retcode-passthrough", *options]
        words = [function, *salt_arguments(args, kwargs)]
        done = self.run([*self._salt_call, *flags, *words], check=False, timeout=timeout)
        return Answer(decode(done.stdout).get("local"), done.returncode, done.stdout, done.stderr)

    def salt_shown(self, command: str) -> str:
        """What a terminal shows, colours apart, of ``salt-call …`` as an administrator types it."""
        tool, *words = shlex.split(command)
        if tool != "salt-call":
            raise ValueError(command)
        return self._terminal([*self._salt_call, *words])

    def shell_shown(self, command: str) -> str:
        """What a terminal shows of a command in root's shell."""
        return self._terminal(["bash", "-c", command])

    def _terminal(self, argv: Sequence[str]) -> str:
        """Standard output and errors of a command in the order in which they come."""
        return self.run(["sh", "-c", 'exec "$@" 2>&1', "sh", *argv], check=False).stdout

    @property
    def _salt_call(self) -> list[str]:
        tool = [str(self.salt.venv / "bin/python"), str(self.salt.venv / "bin/salt-call")]
        return [*tool, "--local", "-m", str(REPOSITORY), "--no-color"]

    def start_minion(self, master: Master, timeout: float = 90) -> None:
        """Start a minion as a unit, enabled so that it survives a reboot, and wait until it answers."""
        self.write("/etc/salt/minion.d/master.conf", master.minion_configuration())
        command = f"{self.salt.venv}/bin/python {self.salt.venv}/bin/salt-minion"
        # KillMode as in Salt's own packages: a restart of the minion spares the job that asked for it.
        service = f"[Service]\nExecStart={command}\nKillMode=process\nEnvironment=LANG=C.UTF-8\n"
        unit = f"[Unit]\nDescription=Salt minion\n\n{service}\n[Install]\nWantedBy=multi-user.target\n"
        self.write("/etc/systemd/system/salt-minion.service", unit)
        master.forget(self.name)
        self.run("systemctl enable --now salt-minion")
        _until(lambda: master.knows(self.name), timeout, lambda: f"{self.name} never asked {master.address} in")
        self.wait_minion(master, timeout)

    def wait_minion(self, master: Master, timeout: float = 90) -> None:
        """Wait until the minion answers, after a start, a restart or a reboot."""
        _until(
            lambda: master.salt(self.name, "test.ping", timeout=2).value is True,
            timeout,
            lambda: f"{self.name} does not answer:\n" + "\n".join(self.journal()[-20:]),
        )


def salt_arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> list[str]:
    """Arguments as Salt's command line takes them: YAML, of which JSON is a part; strings as they are."""

    def word(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    return [*(word(value) for value in args), *(f"{name}={word(value)}" for name, value in kwargs.items())]


def decode(stdout: str) -> dict[str, Any]:
    """The JSON objects Salt printed, one after the other, as one; empty if it printed none."""
    decoder, whole = json.JSONDecoder(), {}
    text = stdout.strip()
    while text.startswith("{"):
        part, end = decoder.raw_decode(text)
        whole.update(part)
        text = text[end:].lstrip()
    return whole


def discard(directory: Path, number: int) -> None:
    """Remove what is left of a machine whose processes are gone or about to be: its cgroups, its files, its link.

    The kernel buries a network namespace some time after its last process, and the link's name is taken until then.
    """
    subprocess.run(["ip", "link", "delete", f"vb-courier-{number}"], check=False, stderr=subprocess.DEVNULL)
    for group in _cgroups(number):
        _until(lambda group=group: _remove_cgroup(group), 10, lambda group=group: f"{group} is still in use")
    shutil.rmtree(directory, ignore_errors=True)


def _cgroups(number: int) -> list[Path]:
    """The machine's cgroup in each hierarchy that systemd uses here: one, or two on a hybrid machine."""
    top = Path("/sys/fs/cgroup")
    hybrid = [hierarchy for hierarchy in (top / "systemd", top / "unified") if hierarchy.is_dir()]
    return [hierarchy / "courier-lab" / str(number) for hierarchy in hybrid or [top]]


def _remove_cgroup(group: Path) -> bool:
    """Remove a tree of cgroups; false while the kernel has not yet buried the last process in it."""
    for path, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            return False
    return not group.exists()


def _handshake(output: str) -> Handshake:
    def find(pattern: str) -> str:
        found = re.search(pattern, output, re.MULTILINE)
        return found.group(1).strip() if found else ""

    protocol, cipher = find(r"^New, (\S+), Cipher is"), find(r"^New, \S+ Cipher is (\S+)")
    # The session's own line: "New, TLSv1/SSLv3" is how s_client heads every version before 1.3.
    protocol = find(r"^\s*Protocol\s*: (\S+)") or protocol
    ok = cipher not in ("", "(NONE)")
    return Handshake(
        ok=ok,
        protocol=protocol if ok else "",
        cipher=cipher if ok else "",
        key_exchange=find(r"^(?:Server|Peer) Temp Key: (.+)$"),
        error="" if ok else find(r"(error:.+)$") or find(r"^(.*(?:refused|errno).*)$") or "no handshake",
        output=output,
    )


def _trusting() -> ssl.SSLContext:
    """The certificates Debian makes at installation are self-signed and for localhost."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _until(condition: Callable[[], bool], timeout: float, complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(complaint())
        time.sleep(0.05)
