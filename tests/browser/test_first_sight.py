"""What one notices in five seconds: the picture whole, the answer, and what to press.

Written down for whoever looks at a page for the first time; each line was one thing
that a newcomer was asked to notice. At 1024×768 the upper two thirds of a picture.
"""

import re

import pytest
from playwright.sync_api import expect

from browser.conftest import ROOT, require_chromium, serve
from browser.shots import settle, sideways

SIGHTS = {  # of a page: its picture, and what is noticed
    "": (
        ".js-plotly-plot",
        ["What happens if I prune this?", "you are here", "Best measured", "Measure"],
    ),
    "explore": (
        "canvas.overlay",
        [
            "Which neurons",
            "weight against degree",
            "striped: removed",
            "No neuron held",
        ],
    ),
    "prune": (
        ".js-plotly-plot",
        ["What fits", "must fit into (MB)", "costs least", "In hand: 30 %"],
    ),
    "compare": (
        ".js-plotly-plot",
        ["What did it cost", "Perplexity", "Weights, MB", "lower is better"],
    ),
    "scores": (
        ".js-plotly-plot",
        ["How are the scores", "All neurons", "removed, 13,824 of 46,080"],
    ),
    "graph": (
        "iframe",
        ["What does the network", "rank 1 of 1,536", "Open in Explore"],
    ),
    "arena": (
        ".js-plotly-plot",
        ["Which method is best?", "on the frontier", "Measure the 33 cells here"],
    ),
    "runs": (
        ".js-plotly-plot",
        ["What did I measure before?", "parameters kept", "Open in Compare"],
    ),
    "lesson": ("canvas", ["How does it work", "A network of neurons", "Next"]),
    "mlp_lab": (
        "canvas",
        ["How does it work on digits", "Removed from each hidden layer", "mlp-rank"],
    ),
}
SIZES = {(1440, 900): 1.0, (1024, 768): 2 / 3}


@pytest.fixture(scope="module")
def app_server(tmp_path_factory):
    """An app with a database of its own, empty as a newcomer's is."""
    require_chromium()
    folder = tmp_path_factory.mktemp("app")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMRANK_DB", str(folder / "results.sqlite3"))
        with serve(ROOT / "app.py", folder / "log.txt") as server:
            yield server


@pytest.mark.parametrize("path", SIGHTS)
def test_the_picture_is_whole_and_says_what_a_newcomer_is_asked_to_notice(page, path):
    picture, noticed = SIGHTS[path]
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"/{path}")
    drawn = page.locator(picture).first
    drawn.wait_for(timeout=180_000)  # the first of all waits for torch and the model
    for (width, height), seen in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        box = drawn.bounding_box()
        assert box["y"] + seen * box["height"] <= height
        assert box["x"] + box["width"] <= width
        assert box["height"] > height / 4
        assert not sideways(page)
        for words in noticed:
            found = page.get_by_text(re.compile(re.escape(words))).locator(
                "visible=true"
            )
            expect(found.first).to_be_in_viewport()
