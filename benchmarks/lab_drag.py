"""How long does a frame take in the MLP lab while the sparsity is dragged, in Chromium?

A frame draws the curve, the confusion matrix and the newly misclassified images of the
network at that sparsity.
"""

import argparse
import statistics

from playwright.sync_api import Page, sync_playwright

from benchmarks.explorer import served
from tests.browser import shots

DATA = ("digits", "mnist-5k")
DRAG = """async (n) => {
    const lab = globalThis.llmrankPruning;
    const slider = lab.find(".sparsity");
    lab.frames.length = 0;
    for (let i = 0; i < n; i++) {
        slider.value = Math.round((90 * i) / (n - 1));
        slider.dispatchEvent(new Event("input"));
        await new Promise(requestAnimationFrame);
    }
    return [...lab.frames];
}"""


def dragged(page: Page, url: str, data: str, n: int) -> list[float]:
    """Train the page's usual network on some data, drag it; milliseconds a frame."""
    page.goto(f"{url}/mlp_lab?view=mlp.data.{data},mlp.view.prune")
    shots.settle(page)
    button = page.get_by_role("button", name="Train it", exact=True)
    if button.count():  # the digits network comes along
        button.click()
    page.wait_for_function("() => globalThis.llmrankPruning?.sweeps", timeout=180_000)
    shots.settle(page)
    return page.evaluate(DRAG, n)


def main() -> None:
    """Print a line per data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    with served("app.py") as url, sync_playwright() as playwright:
        browser = shots.launch(playwright.chromium)
        for data in DATA:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            frames = dragged(page, url, data, options.frames)
            p95 = statistics.quantiles(frames, n=20)[-1]
            print(
                f"{data}: {len(frames)} frames, median "
                f"{statistics.median(frames):.1f} ms, p95 {p95:.1f}, "
                f"worst {max(frames):.1f}"
            )
            page.close()


if __name__ == "__main__":
    main()
