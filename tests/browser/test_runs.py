"""Runs and Prune: a point that is clicked leads on; with an empty database."""

import re

import pytest
from playwright.sync_api import expect

from browser.conftest import ROOT, require_chromium, serve
from browser.shots import settle
from llmrank.experiments import settings
from llmrank.experiments.frontier import shipped
from llmrank.experiments.run import Report
from llmrank.experiments.store import Store


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "results.sqlite3"


@pytest.fixture(scope="module")
def app_server(database):
    require_chromium()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMRANK_DB", str(database))
        with serve(ROOT / "app.py", database.with_name("log.txt")) as server:
            yield server


def click_point(page, trace, point):
    """Click a point of the page's chart; return what was said under the pointer."""
    traces = page.locator(".js-plotly-plot .scatterlayer .trace")
    box = traces.nth(trace).locator(".point").nth(point).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator(".hoverlayer .hovertext").first
    expect(label).to_be_visible()
    said = label.text_content()
    page.mouse.down()
    page.mouse.up()
    settle(page)
    return said


def test_a_run_that_is_clicked_is_held_and_leads_on(page):
    page.goto("/runs?criterion=wanda&allocation=uniform&repair=none")
    settle(page, timeout_s=120)
    held = page.get_by_text("wanda, 30 % removed")
    expect(held).to_be_visible(timeout=30_000)
    said = click_point(page, 3, -1)
    removed = re.search(r"(\d+) % removed", said)[1]
    expect(held).to_have_count(0, timeout=30_000)
    expect(page.get_by_text(f", {removed} % removed · done")).to_be_visible()
    page.get_by_role("button", name="Open in Explore").click()
    page.wait_for_url(f"**/explore?**sparsity=0.{removed[0]}**", timeout=60_000)
    settle(page, timeout_s=120)


def test_an_option_that_is_clicked_is_taken_in_hand(page):
    page.goto("/prune?criterion=wanda&allocation=uniform&repair=none")
    settle(page, timeout_s=120)
    in_hand = page.get_by_text("In hand: 30 % removed by wanda", exact=True)
    expect(in_hand).to_be_visible(timeout=30_000)
    click_point(page, 0, 0)  # the one that costs least is on top
    taken = page.get_by_text("In hand: 30 % removed by wanda + additive")
    expect(taken).to_be_visible(timeout=30_000)
    page.wait_for_url("**repair=least-squares-sequential**")


def test_a_shipped_run_that_is_clicked_among_ones_own_is_held(page, database):
    ours = shipped().runs(columns={"sparsity": [0.3]})[0]
    comparison = shipped().comparison(ours.id)
    own = settings.experiment({"gamma": "0.85"})
    report = Report(own, ours.origin.environment, "c", comparison)
    Store(database).add_report(report)
    page.goto("/runs")
    settle(page, timeout_s=120)
    expect(page.get_by_text("llm-rank gamma=0.85").first).to_be_visible(timeout=30_000)
    n_traces = page.locator(".js-plotly-plot .scatterlayer .trace").count()
    said = click_point(page, min(3, n_traces - 1), -1)
    method, removed = re.match(r"(.+), shipped: (\d+ %) removed", said).groups()
    held = page.get_by_text(f"{method}, {removed} removed · done")
    expect(held).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Grey: measured by us")).to_have_count(0)
