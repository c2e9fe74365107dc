"""The built site, its offline copy and a browser that reports whatever goes wrong in a page."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from webserver import Site, serve

from courierlib import KB_URL, catalogue
from courierlib.catalogue import Entry

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("SITE") or REPOSITORY / "site").resolve()

COPY = "courier-knowledge-base.zip"

sys.path.insert(0, str(REPOSITORY / "kb"))

# --host-resolver-rules: a request that leaves the site fails at once, and is named by the page that made it.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# Two cores that do much else besides: a condition that will come true may take its time.
_PATIENCE = 10_000  # milliseconds
expect.set_options(timeout=_PATIENCE)

Visit = Callable[..., AbstractContextManager[Page]]


def pytest_sessionstart() -> None:
    if not (SITE / COPY).exists():
        pytest.exit(f"{SITE}: no site with an offline copy there; build it with `make site`", 1)
    if not shutil.which("chromium"):
        pytest.exit("chromium: not found; on Debian: apt-get install chromium", 1)


@pytest.fixture(scope="session")
def entries() -> list[Entry]:
    """Every issue, the gravest first."""
    return list(catalogue.load().values())


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The built site, served below the path it has in the world."""
    with serve(SITE, urlsplit(KB_URL).path) as running:
        yield running


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline copy, unpacked."""
    target = tmp_path_factory.mktemp("offline")
    with zipfile.ZipFile(SITE / COPY) as packed:
        packed.extractall(target)
    return target / "courier-knowledge-base"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; Playwright gives it a user data directory of its own and removes it at the end."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def visit(browser: Browser, site: Site, offline: Path) -> Visit:
    """Opens a page with nothing cached for the length of a ``with`` block, at whose end nothing may have gone wrong.

    Takes the address below the start page, or a whole one, and options for Playwright's context. ``missing`` says that
    the page itself is one that the server has not.
    """

    @contextmanager
    def visited(address: str = "", *, missing: bool = False, **options: object) -> Iterator[Page]:
        context = browser.new_context(**options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        url = address if ":" in address else site.base + address
        complaints: list[str] = []

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not (missing and message.location["url"] == url):
                complaints.append(f"{message.type} on the console: {message.text} ({message.location['url']})")

        def asked(request: Request) -> None:
            own = (site.base, f"{offline.as_uri()}/", "data:", "blob:", "about:")
            if not request.url.startswith(own):
                complaints.append(f"request that leaves the site: {request.url}")

        context.on("console", said)
        context.on("weberror", lambda error: complaints.append(f"error in a script: {error.error}"))
        context.on("request", asked)
        context.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        try:
            page.goto(url)
            yield page
        finally:
            context.close()
        assert not complaints, "\n".join(complaints)

    return visited
