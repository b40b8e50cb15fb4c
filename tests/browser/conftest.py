"""The app in a real browser: a server for the session, a watched page for each test.

    def test_scores_page_opens_by_its_link(page):
        page.goto("/Scores?theta=0.7")
        settle(page)                       # from browser.shots
        ...

A test fails when its pages logged an error, asked another host for anything or show a
traceback, or when the server logged one. `new_page` opens further visitors.
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from browser import shots

ROOT = Path(__file__).parents[2]
START_S = 60
WINDOW = {"width": 1440, "height": 900}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class Server:
    """A running app and what it has written so far."""

    url: str
    log_file: Path

    def log(self) -> str:
        """Return what it wrote, without the colours that cut words apart."""
        text = self.log_file.read_text("utf-8", errors="replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)


@contextmanager
def serve(script: Path, log_file: Path):
    """Run a Streamlit script on a free port until the block ends."""
    with socket.socket() as probe:
        probe.bind((shots.LOCAL, 0))
        port = probe.getsockname()[1]
    server = Server(f"http://{shots.LOCAL}:{port}", log_file)
    flags = {
        "server.port": port,
        "server.address": shots.LOCAL,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    command = [sys.executable, "-m", "streamlit", "run", script.name]
    command += [f"--{name}={value}" for name, value in flags.items()]
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            command, cwd=script.parent, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            wait_healthy(server, process)
            yield server
        finally:
            stop(process)


def wait_healthy(server: Server, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the app did not start:\n{server.log()}")


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


@dataclass
class Visitors:
    """Opens watched pages, each a visitor of its own, and tells what went wrong."""

    browser: Browser
    server: Server
    faults: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    def __post_init__(self):
        self.logged_before = len(self.server.log())

    def open(self, **options) -> Page:
        """Open a page; options are Playwright's for a context (`color_scheme`, ...)."""
        options = {"viewport": WINDOW, "accept_downloads": True} | options
        context = self.browser.new_context(base_url=self.server.url, **options)
        page = context.new_page()
        shots.watch(page, self.faults)
        self.pages.append(page)
        return page

    def leave(self) -> list[str]:
        """Close the pages and list everything that was wrong."""
        for page in self.pages:
            if not page.is_closed():
                self.faults += shots.shown_exceptions(page)
                page.context.close()
        news = self.server.log()[self.logged_before :]
        if "Traceback (most recent call last)" in news:
            self.faults.append(f"the server logged a traceback:\n{news[-3000:]}")
        return self.faults


@pytest.fixture(scope="session")
def app_server(tmp_path_factory):
    """The app, with the cache of converted models that is there already."""
    require_chromium()
    with serve(ROOT / "app.py", tmp_path_factory.mktemp("app") / "log.txt") as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    """Chromium, for one module: its event loop must not outlive the browser tests."""
    require_chromium()
    with sync_playwright() as playwright:
        chromium = shots.launch(playwright.chromium)
        yield chromium
        chromium.close()


def require_chromium() -> None:
    if shots.chromium() is None:
        why = f"no Chromium found (looked for {', '.join(shots.NAMES)})"
        if os.environ.get("LLMRANK_REQUIRE_BROWSER") == "1":
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
def new_page(browser, app_server):
    """A function that opens a watched page for one more visitor of the app."""
    visitors = Visitors(browser, app_server)
    yield visitors.open
    faults = visitors.leave()
    assert not faults, "\n".join(faults)


@pytest.fixture
def page(new_page):
    """A watched page of the app, not yet sent anywhere."""
    return new_page()
