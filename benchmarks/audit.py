"""
What an audit costs beside bare Salt, in one run: our own time in process, and the memory of a whole salt-call.

Prints absolute figures and the two ratios; a figure is noted, never a gate.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = REPOSITORY / "examples/broken-host"
ROUNDS = 7

sys.path.insert(0, str(REPOSITORY / "_utils"))

from courierlib import audit, catalogue  # noqa: E402
from courierlib.host import Host  # noqa: E402


def in_process() -> tuple[float, int]:
    """Median seconds of one audit of the sample host, and how many findings it had."""
    entries = catalogue.load().values()
    seconds, report = [], {}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        report = audit.report(Host(str(SAMPLE)), entries, "https://kb.example.com")
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), len(report["findings"])


def salt_call(*arguments: str) -> tuple[float, int]:
    """Median wall seconds and peak memory (KiB) of a salt-call with the given arguments."""
    with tempfile.TemporaryDirectory() as state:
        Path(state, "minion").write_text(f"id: bench\nroot_dir: {state}\nlog_level: error\n")
        command = [sys.executable, str(Path(sys.executable).parent / "salt-call"), "--local", f"--config-dir={state}"]
        command += ["-m", str(REPOSITORY), "--log-level=error", *arguments]
        seconds, memory = [], []
        for number in range(4):
            started = time.perf_counter()
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            if number:  # the first run warms the caches
                seconds.append(time.perf_counter() - started)
                memory.append(usage.ru_maxrss)
            # Without --retcode-passthrough a grave finding is exit status 1, which is what the sample host has.
            assert os.waitstatus_to_exitcode(status) in (0, 1), command
    return statistics.median(seconds), statistics.median(memory)


def main() -> None:
    own, findings = in_process()
    bare, bare_memory = salt_call("test.ping")
    whole, whole_memory = salt_call("courier.audit", f"root={SAMPLE}")
    print(f"audit of the sample host, in process: {own * 1000:.1f} ms ({findings} findings)")
    print(f"salt-call test.ping:     {bare:.2f} s, {bare_memory / 1024:.0f} MiB")
    print(f"salt-call courier.audit: {whole:.2f} s, {whole_memory / 1024:.0f} MiB")
    print(f"ratio, in-process audit to bare salt-call: {own / bare:.3f}")
    print(f"ratio, memory of the audit to bare salt-call: {whole_memory / bare_memory:.2f}")
    print(f"memory over bare Salt: {(whole_memory - bare_memory) / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
