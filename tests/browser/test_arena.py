"""Arena, Runs and Prune in Chromium: points lead on, a stop is taken up, widths move.

A server of its own, with a database of its own and a tiny model.
"""

import io
import re
import urllib.parse

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from browser.conftest import ROOT, require_chromium, serve
from browser.shots import settle, sideways
from llmrank.experiments.store import Store

METHODS = ("wanda", "llm-rank", "random")
SPARSITIES = (0.3, 0.5)
CHART, LIST = ".st-key-arena_chart", ".st-key-arena_list"
POINTS = f"{CHART} .scatterlayer .points path"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return tmp_path_factory.mktemp("results") / "results.sqlite3"


@pytest.fixture(scope="module")
def app_server(tmp_path_factory, database):
    """The app with results of its own, in place of the session's."""
    require_chromium()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMRANK_DB", str(database))
        log = tmp_path_factory.mktemp("arena") / "log.txt"
        with serve(ROOT / "app.py", log) as server:
            yield server


def link(path: str, asked: dict[str, str], view: str = "", **more: str) -> str:
    every = asked | more | ({"view": view} if view else {})
    return f"/{path}?{urllib.parse.urlencode(every)}"


def grid(methods=METHODS, sparsities=SPARSITIES) -> str:
    percent = "|".join(f"{s:.0%}".replace("%", " %25") for s in sparsities)
    return f"arena.methods.{'|'.join(methods)},arena.sparsities.{percent}"


def opened(page: Page, url: str) -> None:
    page.goto(url)
    settle(page, timeout_s=180)  # the first of all waits for torch


def pressed(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def measured(page: Page, asked: dict[str, str]) -> None:
    """Have the grid measured, unless an earlier test has."""
    opened(page, link("arena", asked, grid()))
    run = page.get_by_role("button", name="Measure the 6 cells here")
    if run.is_enabled():
        run.click()
    expect(page.get_by_text("All 6 cells are measured")).to_be_visible(timeout=120_000)
    settle(page)


def downloaded(page: Page, name: str) -> str:
    with page.expect_download() as waiting:
        pressed(page, name)
    return waiting.value.path().read_text("utf-8")


def test_the_chart_fills_in_and_holds_what_the_database_holds(page, asked, database):
    measured(page, asked)
    assert not sideways(page)
    written = page.locator(f"{CHART} .textpoint").all_text_contents()
    assert "dense" in written
    legend = page.locator(f"{CHART} .legendtext").all_text_contents()
    assert "cannot be told" in legend  # two windows are too few to tell anything
    texts = page.locator(f"{LIST} .annotation-text").all_text_contents()
    assert sorted(t for t in texts if t in METHODS) == sorted(METHODS)
    expect(page.locator(POINTS)).to_have_count(len(METHODS) * len(SPARSITIES) + 1)
    table = pd.read_csv(io.StringIO(downloaded(page, "CSV")))
    assert len(table) == len(METHODS) * len(SPARSITIES)
    store = Store(database)
    for _, row in table.iterrows():
        text = store.comparison(row["run"]).pruned.text
        assert row["perplexity"] == pytest.approx(text.perplexity.value, rel=1e-12)
    assert "\\begin{tabular}" in downloaded(page, "LaTeX")


def test_a_point_of_the_chart_opens_its_cell_and_its_neurons(page, asked, database):
    measured(page, asked)
    page.locator(POINTS).last.scroll_into_view_if_needed()
    box = page.locator(POINTS).nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    explore = page.get_by_role("button", name="Open in Explore")
    expect(explore).to_be_visible()
    expect(page).to_have_url(re.compile(r"arena\.cell\.\w+"))
    cell = re.search(r"arena\.cell\.(\w+)", page.url).group(1)
    recipe = Store(database).run(cell).spec.recipe
    explore.click()
    expect(page.get_by_text("Which neurons, and how")).to_be_visible()
    settle(page)
    removed = f"{100 * recipe['pruning']['sparsity']:.0f} % removed"
    expect(page.get_by_text(removed, exact=True)).to_be_visible()
    expect(page.get_by_text(recipe["criterion"]["name"]).first).to_be_visible()


def test_a_row_of_the_list_is_one_click_wide_and_rings_its_point(page, asked, database):
    measured(page, asked)
    area = page.locator(f"{LIST} .nsewdrag").bounding_box()
    names = page.locator(f"{LIST} .annotation-text")
    at = names.all_text_contents().index("wanda")
    row = names.nth(at).bounding_box()
    x, y = area["x"] + 0.5 * area["width"], row["y"] + row["height"] + 4
    page.mouse.move(x - 5, y)
    expect(page.locator(f"{LIST} .hovertext").first).to_be_visible()
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(r"arena\.cell\.\w+"))
    settle(page)
    cell = re.search(r"arena\.cell\.(\w+)", page.url).group(1)
    recipe = Store(database).run(cell).spec.recipe
    assert recipe["criterion"]["name"] == "wanda"
    assert recipe["pruning"]["sparsity"] == 0.5  # the one in hand
    for chart in (CHART, LIST):
        ring = page.locator(f"{chart} .scatterlayer .trace:last-child .point")
        expect(ring).to_have_count(1)


def test_a_stopped_arena_goes_on_where_it_was(page, asked, database):
    """What was measured before the stop is not measured again."""
    slow = {"repeats": "10", "new_tokens": "16", "seed": "3"}
    wanted = link("arena", asked | slow, grid(("wanda", "l1"), (0.1, 0.2, 0.3, 0.4)))
    opened(page, wanted)
    pressed(page, "Measure the 8 cells here")
    known = re.compile(r"✓ [1-7] done")
    expect(page.get_by_text(known)).to_be_visible(timeout=60_000)
    pressed(page, "Stop")
    expect(page.get_by_text("was stopped")).to_be_visible(timeout=60_000)
    pressed(page, "Dismiss")
    settle(page)
    before = {r.id: r.finished for r in Store(database).runs() if r.state == "done"}
    go_on = page.get_by_role("button", name=re.compile("Measure the [1-7] cells? here"))
    expect(go_on).to_be_enabled(timeout=30_000)  # other tests keep the cores busy
    go_on.click()
    expect(page.get_by_text("All 8 cells are measured")).to_be_visible(timeout=120_000)
    after = {r.id: r.finished for r in Store(database).runs() if r.state == "done"}
    assert before.items() < after.items()


def test_a_layers_slider_moves_its_width_and_the_link_keeps_it(new_page, asked):
    page = new_page()
    opened(page, link("prune", asked, allocation="by-hand", kept="20,10"))
    read = page.get_by_role("button", name="Read the model", exact=True)
    if read.count():
        read.click()
    slider = page.get_by_role("slider", name="Layer 1")
    expect(slider).to_have_value("10", timeout=60_000)
    slider.focus()
    for width in (11, 12, 13):
        slider.press("ArrowRight")
        expect(page).to_have_url(re.compile(f"kept=20(,|%2C){width}"))
        settle(page)  # a slider that is being drawn anew may lose a key
    expect(page).to_have_url(re.compile("kept=20(,|%2C)13"))
    expect(page.get_by_text("widths of its own", exact=True)).to_be_visible()
    other = new_page()
    opened(other, page.url)
    again = other.get_by_role("slider", name="Layer 1")
    expect(again).to_have_value("13", timeout=60_000)
