"""A real Salt master on this machine, for the minions in booted machines."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tether
from machine import BRIDGE_ADDRESS, Answer, decode, salt_arguments
from roots import LabError

# A checkout holds virtual environments and the repository itself, which a master cloning with gitfs never sees.
_IGNORED = r"^(\.[^/]+|build|dist|site|node_modules|[^/]+\.egg-info)(/|$)|(^|/)(__pycache__|\.git)(/|$)"


class Master:
    """
    A ``salt-master`` process with its own configuration, keys and ports; a context manager.

    All it writes is in ``directory``, whose path must be short: that of a socket may have 107 characters only.
    ``states`` and ``pillar`` are directories of its own, for the SLS files of a test; ``file_roots`` come after
    ``states``. ``settings`` are further master settings. ``venv`` is the environment Salt is installed in.
    """

    address = BRIDGE_ADDRESS

    def __init__(
        self,
        directory: Path,
        file_roots: Sequence[Path],
        *,
        venv: Path,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.venv = venv
        self.directory = directory
        self.states = self.directory / "states"
        self.pillar = self.directory / "pillar"
        self.states.mkdir(parents=True)
        self.pillar.mkdir()
        self.publish_port, self.return_port = _free_ports(self.address)
        configuration = {
            "interface": self.address,
            "publish_port": self.publish_port,
            "ret_port": self.return_port,
            "root_dir": str(self.directory),
            "auto_accept": True,
            # Machines of successive tests bear the same names with different keys, which would be an attack.
            "open_mode": True,
            "user": "root",
            "worker_threads": 2,
            "ping_on_rotate": False,
            "file_roots": {"base": [str(self.states), *map(str, file_roots)]},
            "file_ignore_regex": [_IGNORED],
            "fileserver_list_cache_time": 0,
            "pillar_roots": {"base": [str(self.pillar)]},
            **(settings or {}),
        }
        # JSON is YAML, and Salt's own interpreter may not be the one that runs the tests.
        (self.directory / "master").write_text(json.dumps(configuration, indent=1))
        self._process: subprocess.Popen[bytes] | None = None
        self._client: subprocess.Popen[str] | None = None

    def __enter__(self) -> Master:
        with (self.directory / "output").open("wb") as output:
            self._process = tether.start([*self._tool("salt-master"), "-l", "warning"], output=output)
        try:
            self._wait_listening()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._client:
            self._client.communicate()
            self._client = None
        if self._process:
            tether.end(self._process)
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _tool(self, name: str) -> list[str]:
        return [str(self.venv / "bin/python"), str(self.venv / "bin" / name), "-c", str(self.directory)]

    def _wait_listening(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not all(_listens(self.address, port) for port in (self.publish_port, self.return_port)):
            if self._process and self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"salt-master did not start:\n{(self.directory / 'output').read_text()[-2000:]}")
            time.sleep(0.1)

    def minion_configuration(self) -> str:
        """What a minion's configuration needs to find this master; it learns the publish port from it."""
        return f"master: {self.address}\nmaster_port: {self.return_port}\nacceptance_wait_time: 1\n"

    def forget(self, minion: str) -> None:
        """Drop the key of an earlier machine of that name."""
        for key in self._keys(minion):
            key.unlink(missing_ok=True)

    def knows(self, minion: str) -> bool:
        """Whether the minion's key has been accepted."""
        return any(self._keys(minion))

    def _keys(self, minion: str) -> Iterator[Path]:
        return self.directory.glob(f"etc/salt/pki/**/minions/{minion}")

    def salt(
        self, target: str, function: str, *args: Any, timeout: float = 60, options: Sequence[str] = (), **kwargs: Any
    ) -> Answer:
        """
        Run ``salt TARGET FUNCTION``: ``value`` is the return of the minion named ``target``, and for any other
        target (a glob, or with ``options=["-L"]`` a list) a dictionary of returns by minion.
        """
        # Not --static, which would make one object of several returns: with it salt exits 0 whatever failed.
        command = [*self._tool("salt"), "--out=json", "--no-color", f"--timeout={timeout:.0f}", *options]
        done = subprocess.run(
            [*command, target, function, *salt_arguments(args, kwargs)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout + 60,
        )
        returns = decode(done.stdout)
        return Answer(returns.get(target, returns or None), done.returncode, done.stdout, done.stderr)

    def call(self, target: str, function: str, *args: Any, timeout: float = 60, **kwargs: Any) -> Any:
        """
        What the minion returns for a function, asked as ``salt`` asks it; None if it does not answer.

        By one client for all calls: to start ``salt`` takes longer than most of what the tests ask.
        """
        if self._client is None:
            python = str(self.venv / "bin/python")
            command = [python, "-c", _CLIENT, str(self.directory / "master")]
            self._client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        print(json.dumps([target, function, args, kwargs, timeout]), file=self._client.stdin, flush=True)
        line = self._client.stdout.readline()
        if not line:
            raise LabError(f"the client of the master ended: {self._client.wait()}")
        return json.loads(line)

    def run(self, function: str, *args: Any, timeout: float = 120, **kwargs: Any) -> Answer:
        """Run ``salt-run FUNCTION`` on the master."""
        command = [*self._tool("salt-run"), "--out=json", "--no-color", function, *salt_arguments(args, kwargs)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        try:
            value = json.loads(done.stdout)
        except json.JSONDecodeError:
            value = None
        return Answer(value, done.returncode, done.stdout, done.stderr)


_CLIENT = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import salt.client
client = salt.client.LocalClient(c_path=sys.argv[1])
for line in sys.stdin:
    target, function, args, kwargs, timeout = json.loads(line)
    returns = client.cmd(target, function, args, timeout=timeout, kwarg=kwargs, full_return=True)
    told = returns.get(target) or {}
    print(json.dumps(told.get("ret") if isinstance(told, dict) else None), file=answers, flush=True)
"""


def _free_ports(address: str) -> tuple[int, int]:
    """Two ports of our own, so that test runs side by side each have their master."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((address, 0))
        other.bind((address, 0))
        return one.getsockname()[1], other.getsockname()[1]


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
