"""How long does a first visitor wait, from the one click to the measured result?"""

import argparse
import os
import re
import statistics
import tempfile
import time

from playwright.sync_api import Browser, sync_playwright

from benchmarks.explorer import served
from tests.browser import shots

ASKED = "sparsity=0.31"
"""Nothing of it came along, so that the first number is one measured here."""

FIRST = re.compile(r"^ppl ×\d")
SPEED = re.compile(r"^decode ×\d")
BUTTON, DONE = "Measure", re.compile(r"^Measured \d\d:\d\d$")


def stages(browser: Browser, url: str) -> dict[str, float]:
    """Click as a first visitor does; seconds until each stage was over."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(f"{url}?{ASKED}")
    page.locator(".js-plotly-plot").first.wait_for(timeout=120_000)
    ends = {"the first picture, of the first visitor": time.perf_counter() - start}
    button = page.get_by_role("button", name=BUTTON, exact=True)
    button.wait_for(timeout=120_000)
    shots.settle(page)
    start = time.perf_counter()
    button.click()
    page.get_by_text(FIRST).first.wait_for(timeout=300_000)
    ends["the first perplexity with its interval"] = time.perf_counter() - start
    page.get_by_text(SPEED).first.wait_for(timeout=300_000)
    ends["the verdict: quality, size and speed"] = time.perf_counter() - start
    page.get_by_role("button", name=DONE).wait_for(timeout=300_000)
    ends["all of it, the peak memory too"] = time.perf_counter() - start
    disturbed = page.get_by_text("(disturbed)").count()
    ends["(share of the rounds whose timing was disturbed)"] = float(bool(disturbed))
    page.close()
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(url)
    page.locator(".js-plotly-plot").first.wait_for(timeout=120_000)
    ends["the first picture, of the next visitor"] = time.perf_counter() - start
    page.close()
    return ends


def main() -> None:
    """Start the app anew for each round; print when each stage was over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    with sync_playwright() as playwright:
        browser = shots.launch(playwright.chromium)
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["LLMRANK_DB"] = f"{folder}/results.sqlite3"
                with served("app.py") as url:
                    rounds.append(stages(browser, url))
    print(f"{'until the end of':<50} seconds   (each round)")
    for name in rounds[-1]:
        times = [of[name] for of in rounds if name in of]
        each = " ".join(f"{t:.1f}" for t in times)
        print(f"{name:<50}{statistics.median(times):>8.1f}   ({each})")


if __name__ == "__main__":
    main()
