"""The README's pictures, taken anew: the drag as a moving one, and every page.

    python -m benchmarks.pictures

Needs Chromium; with the demo model read, about two minutes.
"""

import io
import itertools
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.explorer import served
from tests.browser import shots

OUT = Path(__file__).parents[1] / "assets" / "screenshots"
PAGES = ("", "explore", "prune", "compare", "scores", "graph", "arena", "lesson")
WINDOW = {"width": 1440, "height": 900}
SMALL = (720, 450)

STEPS, PAUSE_MS, HOLD_MS = 9, 150, 900
"""Of one drag there and back, milliseconds a picture, and at its ends."""

DRAWN = "canvas, .js-plotly-plot, iframe"


def main() -> None:
    """Start the app once and take all of them."""
    with sync_playwright() as playwright, served("app.py") as url:
        browser = shots.launch(playwright.chromium)
        page = browser.new_page(viewport=WINDOW, color_scheme="light")
        for name in (*PAGES, "mlp_lab"):
            page.goto(f"{url}/{name}")
            page.locator(DRAWN).first.wait_for(timeout=120_000)
            shots.settle(page)
            page.wait_for_timeout(3000)
            page.screenshot(path=OUT / f"{name or 'overview'}.png")
        page.goto(f"{url}/explore?allocation=global&sparsity=0.4")
        page.get_by_text("the server removes the same").wait_for(timeout=120_000)
        moving(page, OUT / "drag.gif")
        browser.close()


def moving(page: Page, file: Path) -> None:
    """Drag γ to 0 and to 1 and back, and save what the window showed."""
    thumb = page.locator("input[type=range][data-setting=gamma]")
    box = thumb.bounding_box()
    middle, end = box["x"] + box["width"] / 2, box["width"] * 0.46
    y = box["y"] + box["height"] / 2
    there = [middle + end * step / STEPS for step in range(-STEPS, STEPS + 1)]
    page.mouse.move(middle, y)
    page.mouse.down()
    pictures = []
    for x in itertools.chain(there, reversed(there)):
        page.mouse.move(x, y)
        page.wait_for_timeout(60)
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        small = taken.resize(SMALL, Image.Resampling.LANCZOS)
        pictures.append(small.quantize(128, Image.Quantize.MAXCOVERAGE))
    page.mouse.up()
    times = [PAUSE_MS] * len(pictures)
    times[0] = times[2 * STEPS] = HOLD_MS
    pictures[0].save(
        file,
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        optimize=True,
    )
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {len(pictures)} pictures")


if __name__ == "__main__":
    main()
