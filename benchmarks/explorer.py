"""How fast does the canvas answer in a real browser? Drag, first picture, commit."""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser import shots

ROOT = Path(__file__).parents[1]
SHAPES = {"tiny": (2, 64), "demo": (30, 1536), "7B-shaped": (32, 11008)}
HEAD = (
    "shape          neurons  payload   drag frame   p95   first picture"
    "  its payload   commit"
)
"""A first picture is Streamlit's start, which the tiny shape shows, and the payload."""

READY = "() => globalThis.llmrankExplorer?.frames.length > 0"
DRAG = """async (n) => {
    const x = llmrankExplorer;
    const slider = x.find("input[type=range][data-setting=gamma]");
    x.frames.length = 0;
    for (let i = 0; i < n; i++) {
        slider.value = 0.05 + 0.9 * (i / n);
        slider.dispatchEvent(new Event("input"));
        await new Promise(requestAnimationFrame);
    }
    return [...x.frames];
}"""
COMMIT = """async () => {
    const x = llmrankExplorer;
    const slider = x.find("input[type=range][data-setting=gamma]");
    slider.value = 0.1 + 0.8 * Math.random();
    slider.dispatchEvent(new Event("input"));
    const start = performance.now();
    slider.dispatchEvent(new Event("change"));
    const agreed = () => x.data.agreed.serial === x.serial;
    while (!agreed()) await new Promise((r) => setTimeout(r, 2));
    return performance.now() - start;
}"""


@contextmanager
def served(script: str) -> Iterator[str]:
    """Run a page until the block ends; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script]
    with subprocess.Popen(
        [*command, f"--server.port={port}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    ) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            while not _healthy(url):
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health"):
            return True
    except OSError:
        return False


def measured(page: Page, url: str, shape: tuple[int, int], n: int) -> dict[str, float]:
    """Open the canvas with a shape, drag it and let go a few times; times in ms."""
    page.goto(f"{url}/?layers={shape[0]}&width={shape[1]}")
    page.wait_for_function(READY, timeout=120_000)
    first = page.evaluate("performance.now()")
    page.wait_for_timeout(3000)  # the map is computed between frames meanwhile
    frames = page.evaluate(DRAG, n)
    commits = [page.evaluate(COMMIT) for _ in range(5)]
    return {
        "first": first,
        "median": statistics.median(frames),
        "p95": statistics.quantiles(frames, n=20)[-1],
        "commit": statistics.median(commits),
        "mb": shape[0] * shape[1] * 3 * 4 / 1e6,
    }


def main() -> None:
    """Print one table: a line per shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(HEAD)
    with served("benchmarks/explorer_page.py") as url, sync_playwright() as playwright:
        browser = shots.launch(playwright.chromium)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in SHAPES}
        for _ in range(options.rounds):
            for name, shape in SHAPES.items():
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                rounds[name].append(measured(page, url, shape, options.frames))
                page.close()
        for name, (n_layers, width) in SHAPES.items():
            found = rounds[name]
            own = [
                r["first"] - start["first"]
                for r, start in zip(found, rounds["tiny"], strict=True)
            ]
            of = {k: statistics.median(r[k] for r in found) for k in found[0]}
            print(
                f"{name:<12}{n_layers * width:>10,}{of['mb']:>7.2f} MB"
                f"{of['median']:>10.1f} ms{of['p95']:>6.1f}{of['first']:>12.0f} ms"
                f"{statistics.median(own):>9.0f} ms{of['commit']:>9.0f} ms"
            )


if __name__ == "__main__":
    main()
