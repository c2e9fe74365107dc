"""
What building the site costs, and how fast the log page reads beside a loop that tries every pattern on every line.

Both read in the same browser, in one run, and name the issues of each line; the loop reads a smaller part of the same
log, and blocks the page meanwhile. Prints absolute figures and the ratio; a figure is noted, never a gate. The log is
made from a fixed seed. Run by the site's environment.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parents[1]
ROUNDS = 3
LOG_SIZE = 100_000_000
LOOP_SIZE = 5_000_000
# One line in so many is known: a bad night, not a quiet one.
KNOWN_EVERY = 500

sys.path[:0] = [str(REPOSITORY / "_utils"), str(REPOSITORY / "tests/browser")]

from webserver import serve  # noqa: E402

from courierlib import catalogue  # noqa: E402

_READ_BY_PAGE = """async input => {
  const summary = document.querySelector(".courier-log__summary");
  summary.textContent = "";
  const read = new Promise(done => new MutationObserver((_, observer) => {
    if (!/read:/.test(summary.textContent)) return;
    observer.disconnect();
    done(performance.now());
  }).observe(summary, {childList: true, characterData: true, subtree: true}));
  const began = performance.now();
  input.dispatchEvent(new Event("change", {bubbles: true}));
  return (await read - began) / 1000;
}"""
_READ_BY_LOOP = """async ([input, size]) => {
  const began = performance.now();
  const text = await input.files[0].slice(0, size).text();
  let found = 0;
  for (const line of text.split("\\n")) found += courierReader.matching(line).length;
  return (performance.now() - began) / 1000;
}"""


def build(target: Path) -> tuple[float, float]:
    """Seconds that the site and its offline copy took to build."""
    seconds = []
    for command in (["-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", target], ["kb/offline.py", target]):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *command], cwd=REPOSITORY, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True
        )
        seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1]


def write_log(path: Path) -> None:
    """An imapd log in which each signature's sample occurs."""
    chance = random.Random(7)
    samples = [
        f"{signature.process[0]}[77]: {signature.sample}"
        for entry in catalogue.load().values()
        for signature in entry.issue.signatures
    ]
    with path.open("w") as log:
        written = 0
        while written < LOG_SIZE:
            message = (
                chance.choice(samples)
                if chance.randrange(KNOWN_EVERY) == 0
                else f"imapd: LOGIN, user=u{chance.randrange(9999)}, ip=[::ffff:192.0.2.{chance.randrange(255)}], "
                f"port=[{chance.randrange(65536)}], protocol=IMAP"
            )
            clock = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
            written += log.write(f"Nov 22 {clock} mx1 {message}\n")


def read(page: Page, log: Path) -> tuple[float, float]:
    """Megabytes that the log page, and the loop, read in a second."""
    page.set_input_files("#courier-log-files", log)
    page.wait_for_function("/read:/.test(document.querySelector('.courier-log__summary').textContent)", timeout=120_000)
    files = page.query_selector("#courier-log-files")
    by_page = statistics.median(page.evaluate(_READ_BY_PAGE, files) for _ in range(ROUNDS))
    by_loop = statistics.median(page.evaluate(_READ_BY_LOOP, [files, LOOP_SIZE]) for _ in range(ROUNDS))
    return log.stat().st_size / 1e6 / by_page, LOOP_SIZE / 1e6 / by_loop


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("chromium: not found; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        target, log = Path(scratch, "site"), Path(scratch, "mail.log")
        site_seconds, copy_seconds = build(target)
        write_log(log)
        with serve(target, "") as site:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page()
            page.goto(f"{site.base}log/")
            by_page, by_loop = read(page, log)
            browser.close()
    print(f"building the site: {site_seconds:.1f} s, its offline copy: {copy_seconds:.1f} s")
    print(f"log page: {by_page:.0f} MB/s of a {LOG_SIZE / 1e6:.0f} MB log")
    print(f"every pattern on every line: {by_loop:.0f} MB/s")
    print(f"ratio, log page to that loop: {by_page / by_loop:.1f}")


if __name__ == "__main__":
    main()
