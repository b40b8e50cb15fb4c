"""Chromium for the tests, and pictures: `python tests/browser/shots.py OUT [page ...]`.

Takes pages of a running app (`APP_URL`, default http://127.0.0.1:8501) in two sizes,
light and dark, and says what was wrong with them. A page is named by its path with its
query, as in `Scores?theta=0.5`; without any it is the overview.
"""

import argparse
import itertools
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserType, Page, sync_playwright

SIZES = ((1440, 900), (1024, 768))
SCHEMES = ("light", "dark")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCAL = "127.0.0.1"

ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever else a page asks for is not found: a test can see it, nobody is reached.
    f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {LOCAL}",
)

IS_SETTLED = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    const calm = app !== null
        && app.dataset.testScriptState === "notRunning"
        && app.dataset.testConnectionState === "CONNECTED"
        && !document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]');
    window.calmSince = calm ? (window.calmSince ?? Date.now()) : null;
    return calm && Date.now() - window.calmSince >= 300;
}"""

EXCEPTION = '[data-testid="stException"]'
MAIN = '[data-testid="stMain"]'


def chromium() -> str | None:
    """Find a Chromium; Playwright's own download is not needed."""
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in found if path), None)


def launch(kind: BrowserType, *more: str):
    """Start the Chromium that is there; `more` are arguments of its own."""
    return kind.launch(executable_path=chromium(), args=[*ARGS, *more])


def settle(page: Page, *, timeout_s: float = 60) -> None:
    """Wait until Streamlit has run the page and drawn it, for 0.3 s in a row."""
    page.wait_for_function(IS_SETTLED, timeout=1000 * timeout_s, polling=50)


def watch(page: Page, faults: list[str]) -> None:
    """Note console errors, uncaught errors and requests that leave the machine."""

    def check(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != LOCAL:
            faults.append(f"a request to another host: {url[:200]}")

    def heed(message) -> None:
        if message.type == "error" and not is_probe(message.location.get("url", "")):
            faults.append(f"console: {message.text[:300]}")

    page.on("console", heed)
    page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
    page.on("request", lambda request: check(request.url))
    page.on("websocket", lambda socket: check(socket.url))


def is_probe(url: str) -> bool:
    """Whether Streamlit asks below the page's own path first, to learn its base."""
    path = urlsplit(url).path
    return re.fullmatch(r"/\w+/_stcore/(health|host-config)", path) is not None


def shown_exceptions(page: Page) -> list[str]:
    """List the tracebacks that the page shows its visitor."""
    texts = page.locator(EXCEPTION).all_inner_texts()
    return [f"the page shows an exception: {text[:300]}" for text in texts]


def sideways(page: Page) -> list[str]:
    """Say by how much the page is too wide for its window, and stays so for 3 s."""
    for _ in range(31):  # a table's canvas follows a new size some frames late
        too_wide = page.evaluate(
            f"() => {{ const main = document.querySelector('{MAIN}');"
            " return main ? main.scrollWidth - main.clientWidth : 0; }"
        )
        if too_wide <= 0:
            return []
        page.wait_for_timeout(100)
    return [f"scrolls sideways by {too_wide} px"]


def shoot(page: Page, file: Path, *, full: bool) -> None:
    """Save what the window shows and, if asked, the whole page beside it."""
    page.screenshot(path=file)
    if full:
        width = page.viewport_size["width"]
        height = page.evaluate(f"document.querySelector('{MAIN}').scrollHeight")
        page.set_viewport_size({"width": width, "height": height + 20})
        settle(page)
        page.screenshot(path=file.with_stem(f"{file.stem}-full"))


def shots(browser, url: str, path: str, out: Path, *, full: bool) -> None:
    """Take one page in every size and scheme."""
    slug = re.sub(r"\W+", "-", path).strip("-") or "overview"
    for (width, height), scheme in itertools.product(SIZES, SCHEMES):
        file = out / f"{slug}-{width}x{height}-{scheme}.png"
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page, faults = context.new_page(), []
        watch(page, faults)
        page.goto(f"{url}/{path.lstrip('/')}")
        settle(page)
        faults += shown_exceptions(page) + sideways(page)
        shoot(page, file, full=full)
        context.close()
        sys.stdout.write("\n    ".join([str(file), *faults]) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("pages", nargs="*", default=[""], help="Scores?theta=0.5 ...")
    parser.add_argument("--full", action="store_true", help="the whole page as well")
    given = parser.parse_args()
    if chromium() is None:
        parser.error(f"no Chromium found (looked for {', '.join(NAMES)})")
    url = os.environ.get("APP_URL", f"http://{LOCAL}:8501").rstrip("/")
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        for path in given.pages or [""]:
            shots(browser, url, path, given.out, full=given.full)
        browser.close()


if __name__ == "__main__":
    main()
