"""
What the log reader costs beside ``rg -F`` with the same texts and beside what one would write first, in one run.

The log is made from a fixed seed: accounting lines of a mail host, under one line in a hundred of a known issue, some
that only seem to be one, some errors that nobody knows; one half in the form of RFC 3164, one in that of ISO 8601.
Every contestant reads it from the page cache, in turns, each in a process of its own; the figure is the least CPU time
(user and system) of all rounds. For our scanner it is that of the whole way from the file to the matches, without the
start of Python and the loading of packages. Prints ratios, memory, and recall and precision by line and issue; a figure
is noted, never a gate.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SEED = 4
ROUNDS = 3
SLICE = 5_000_000
"""Bytes of log for contestants that would take minutes for all of it; their figures are scaled."""

sys.path[:0] = [str(REPOSITORY / "_utils"), str(REPOSITORY / "tests/unit")]

import maillogs  # noqa: E402

from courierlib import catalogue, patterns, scanner  # noqa: E402

PACKAGES = {"hyperscan": "hyperscan", "re2": "google-re2"}
BASE, OWN, WORDS_TOO = "rg -F", "rg -F*", ", words too"
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


def generate(directory: Path, size: int) -> None:
    """``log`` of at least ``size`` bytes; ``slice``, its beginning; ``truth``, offset and issues of what matters."""
    offset = 0
    with open(directory / "log", "w") as log, open(directory / "truth", "w") as truth:
        for line in maillogs.lines(SEED, catalogue.load()):
            if offset >= size:
                break
            log.write(line.text + "\n")
            if line.issues or line.unexplained:
                truth.write(f"{offset}\t{' '.join(line.issues)}\n")
            offset += len(line.text) + 1
    with open(directory / "log", "rb") as log:
        (directory / "slice").write_bytes(log.read(SLICE) + log.readline())


def signatures() -> list[str]:
    """All patterns of the catalogue, for tools that see whole lines and know of no process."""
    spoken = {each.pattern for entry in catalogue.load().values() for each in entry.issue.signatures}
    return sorted(re.sub(r"^\^", ": ", pattern) for pattern in spoken)


def texts(words: Iterable[str] = ()) -> list[str]:
    """For each way in which a signature can match, the longest text that a line must then contain."""
    spoken = {each.pattern for entry in catalogue.load().values() for each in entry.issue.signatures}
    return sorted({max(way, key=len) for pattern in spoken for way in patterns.texts(pattern)} | set(words))


def own_texts(suspicious: bool) -> tuple[str, ...]:
    """What our scanner looks for in their stead: fewer and shorter texts, of which each such line contains one."""
    return scanner.Scanner(catalogue.load().values(), "re", suspicious).texts


def scanned(engine: str, words: bool, path: Path) -> Iterator[scanner.Match]:
    reader = scanner.Scanner(catalogue.load().values(), engine, words)
    offset = 0
    with open(path, "rb") as log:
        while block := log.read(1 << 20):
            block += log.readline()
            for match in reader.scan(block):
                yield match._replace(offset=offset + match.offset)
            offset += len(block)


def line_by_line(path: Path) -> int:
    wanted = [re.compile(pattern) for pattern in signatures()]
    with open(path, encoding="utf-8", errors="replace") as log:
        return sum(1 for line in log if any(each.search(line) for each in wanted))


def with_searchkit(path: Path) -> int:
    from searchkit import FileSearcher, SearchDef

    searcher = FileSearcher()
    for number, pattern in enumerate(signatures()):
        searcher.add(SearchDef(".*" + pattern, tag=str(number)), str(path))
    return len(searcher.run())


def work(kind: str, path: Path) -> None:
    """Be one contestant, and print what it cost as JSON; with ``say`` print its matches instead."""
    name, _, how = kind.partition(" ")
    if name == "say":
        for match in scanned(how, True, path):
            print(match.offset, " ".join(match.issues), sep="\t")
        return
    entries = catalogue.load().values()
    if name in scanner.ENGINES:
        scanner.Scanner(entries, name)  # loads its package
    started = time.process_time()
    if name in scanner.ENGINES:
        found = sum(1 for _ in scanned(name, how == "words", path))
    else:
        found = {"catalogue": lambda path: 0, "lines": line_by_line, "searchkit": with_searchkit}[name](path)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() - started + children.ru_utime + children.ru_stime
    print(json.dumps({"seconds": seconds, "found": found, "peak": peak(Path("/proc/self/status").read_text())}))


def peak(status: str) -> float:
    """Most memory that a process has had, in MiB; what wait4() says counts its parent's too."""
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def worker(kind: str, path: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), "--work", kind, str(path)]


def ours(kind: str, path: Path) -> dict:
    done = subprocess.run(worker(kind, path), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def tool(command: list[str], directory: Path) -> dict:
    """What a program costs; it writes its lines to a file, because grep stops at the first one for /dev/null."""
    with open(directory / "out", "wb") as out:
        # Without a locale grep is at its fastest.
        child = subprocess.Popen(command, stdout=out, env=os.environ | {"LC_ALL": "C"})
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, command
    return {"seconds": usage.ru_utime + usage.ru_stime}


def contestants(directory: Path, size: int) -> tuple[dict[str, Callable[[], dict]], dict[str, float], list[str]]:
    """Name and run of each; by what the figures of some are to be multiplied; what is missing here."""
    log, part = directory / "log", directory / "slice"
    runs: dict[str, Callable[[], dict]] = {}
    missing = []

    def fixed(name: str, program: str, lines: Iterable[str], option: str = "-F") -> None:
        file = directory / f"{program} {len(runs)}"
        file.write_text("".join(line + "\n" for line in lines))
        runs[name] = lambda: tool([program, option, "-f", str(file), str(log)], directory)

    program = "rg" if shutil.which("rg") else "grep"
    if program == "grep":
        missing.append("rg: not installed; where rg is said, grep was run")
    for suffix, lines, same in (
        ("", texts(), own_texts(False)),
        (WORDS_TOO, texts(scanner.WORDS), own_texts(True)),
    ):
        fixed(BASE + suffix, program, lines)
        fixed(OWN + suffix, program, same)
        fixed("grep -F" + suffix, "grep", lines)
    for engine in scanner.ENGINES:
        if engine in PACKAGES and not importlib.util.find_spec(engine):
            missing.append(f"scanner, {engine}: not installed: pip install {PACKAGES[engine]}")
            continue
        runs[f"scanner, {engine}"] = lambda engine=engine: ours(engine, log)
        runs[f"scanner, {engine}{WORDS_TOO}"] = lambda engine=engine: ours(f"{engine} words", log)
    fixed("grep -E", "grep", signatures(), "-E")
    runs["re, line by line"] = lambda: ours("lines", part)
    if importlib.util.find_spec("searchkit"):
        runs["searchkit (hotsos)"] = lambda: ours("searchkit", part)
    else:
        missing.append("searchkit: not installed: pip install searchkit")
    scale = size / part.stat().st_size
    return runs, {"re, line by line": scale, "searchkit (hotsos)": scale}, missing


def judged(directory: Path, engine: str) -> tuple[float, float, int]:
    """Recall and precision of an engine by line and issue (a line that only looks like an error counts as one more)."""

    def pairs(lines: Iterable[str]) -> set[tuple[str, str]]:
        read = (line.rstrip("\n").split("\t") for line in lines)
        return {(offset, each) for offset, ids in read for each in (ids.split() or [""])}

    child = subprocess.Popen(worker(f"say {engine}", directory / "log"), stdout=subprocess.PIPE, text=True)
    found = pairs(child.stdout)
    assert child.wait() == 0
    with open(directory / "truth") as truth:
        meant = pairs(truth)
    right = len(found & meant)
    return right / len(meant), right / len(found), len(meant)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--size", default="50M", help="of the log: 200M, 1G; default 50M")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="contestants whose name contains this, and rg -F")
    parser.add_argument("--work", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(runs: dict[str, Callable[[], dict]], rounds: int) -> dict[str, dict]:
    """The least cost of each contestant; whoever takes seconds for its slice runs once."""
    best: dict[str, dict] = {}
    for number in range(rounds):
        for name, run in runs.items():
            if number and best[name]["seconds"] > 5 and "peak" in best[name]:
                continue
            cost = run()
            if name not in best or cost["seconds"] < best[name]["seconds"]:
                best[name] = cost
    return best


def main() -> None:
    chosen = arguments()
    if chosen.work:
        return work(chosen.work[0], Path(chosen.work[1]))
    number, unit = re.fullmatch(r"(\d+)([KMG]?)", chosen.size).groups()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        generate(directory, int(number) * UNITS.get(unit, 1))
        size = (directory / "log").stat().st_size
        runs, scales, missing = contestants(directory, size)
        runs = {name: run for name, run in runs.items() if chosen.only in name or name.startswith(BASE)}
        best = measured(runs, chosen.rounds)
        verdicts = {each: judged(directory, each) for each in scanner.ENGINES if f"scanner, {each}" in runs}
        catalogue_peak = ours("catalogue", directory)["peak"]
    show = [sys.executable, "-c", "print(open('/proc/self/status').read())"]
    bare_peak = peak(subprocess.run(show, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f"{size / 1e6:.0f} MB of log, {len(texts())} texts of {len(signatures())} signatures, {chosen.rounds} rounds")
    print(f"{'':32}{'CPU s':>8}{'MB/s':>7}{'x rg -F':>9}{'x rg -F*':>9}{'MiB over Python':>17}")
    for name, cost in best.items():
        seconds = cost["seconds"] * scales.get(name, 1)
        suffix = WORDS_TOO if name.endswith(WORDS_TOO) else ""
        ratios = "".join(f"{seconds / best[base + suffix]['seconds']:9.2f}" for base in (BASE, OWN))
        memory = f"{cost['peak'] - bare_peak:17.0f}" if "peak" in cost else ""
        mark = f"  (scaled from {SLICE / 1e6:.0f} MB)" if name in scales else ""
        print(f"{name:32}{seconds:8.3f}{size / 1e6 / seconds:7.0f}{ratios}{memory}{mark}")
    print("words too: also lines that look like an error; *: the texts that the scanner itself looks for")
    for engine, (recall, precision, meant) in verdicts.items():
        print(f"{engine}: recall {recall:.4%}, precision {precision:.4%} of {meant} pairs of line and issue")
    print(
        f"the catalogue alone: {catalogue_peak - bare_peak:.0f} MiB over Python; a Scanner is made in {made():.1f} ms"
    )
    for reason in missing:
        print(reason)


def made() -> float:
    """Milliseconds to make a scanner, its patterns being compiled already."""
    entries = catalogue.load().values()
    started = time.process_time()
    for _ in range(20):
        patterns.texts.cache_clear()
        scanner.Scanner(entries, "re")
    return (time.process_time() - started) / 20 * 1000


if __name__ == "__main__":
    main()
