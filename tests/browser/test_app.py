"""The app as visitors use it: links, the demo job, Stop, reload, two at once."""

import io
import re
import urllib.parse
from pathlib import Path

import networkx as nx
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect
from transformers import AutoModelForCausalLM

from browser.shots import settle, sideways

QUESTIONS = {
    "": "What happens if I prune this?",
    "explore": "Which neurons, and how do θ, γ and sparsity decide?",
    "prune": "What fits, and how do I take it with me?",
    "compare": "What did it cost, what did it gain?",
    "scores": "How are the scores distributed?",
    "graph": "What does the network of one layer look like?",
}
SMALL = "samples=2&seq_len=64&eval_tokens=1024&prompt_tokens=16&new_tokens=2&repeats=2"
LONG = "samples=64&seq_len=512&eval_tokens=100000"
JOB_MS = 300_000
expect.set_options(timeout=20_000)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{name}( ·|$)")).first.click()


@pytest.mark.parametrize("path", QUESTIONS)
def test_every_page_opens_by_its_own_link(page, path):
    page.goto(f"/{path}?sparsity=0.4&criterion=wanda")
    settle(page, timeout_s=180)  # the first of all waits for torch and the model
    expect(page.get_by_role("heading", name=QUESTIONS[path])).to_be_visible()
    expect(page.get_by_text("wanda").first).to_be_visible()
    expect(page.get_by_text("40 %", exact=False).first).to_be_visible()
    for width, height in ((1440, 900), (1024, 768)):
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        assert not sideways(page)


def test_the_demo_goes_from_first_visit_to_a_measured_result_in_one_click(page):
    page.goto(f"/?{SMALL}")
    settle(page)
    press(page, "Measure")
    expect(page.get_by_text("Measuring 30 % by llm-rank").first).to_be_visible()
    verdict = re.compile("^(Faster|Not measurably faster|Slower|Disturbed)$")
    expect(page.get_by_text(verdict).first).to_be_visible(timeout=JOB_MS)
    measured = page.get_by_role("button", name=re.compile(r"^Measured \d\d:\d\d$"))
    expect(measured).to_be_visible(timeout=JOB_MS)
    expect(page.get_by_text("134.5 → 110.6 M", exact=True)).to_be_visible()
    perplexity = page.get_by_test_id("stMetric").nth(1).inner_text()
    assert re.search(r"\d → \d", perplexity)

    page.reload()
    settle(page)
    assert page.get_by_test_id("stMetric").nth(1).inner_text() == perplexity
    page.get_by_role("link", name="Compare", exact=True).click()
    settle(page)
    expect(measured).to_be_visible()


def test_the_frame_never_moves_and_a_point_that_is_clicked_is_taken(page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/")
    settle(page)
    at = page.get_by_role("link", name="Lesson", exact=True).bounding_box()
    assert page.locator(".st-key-header").bounding_box()["height"] == 56
    page.set_viewport_size({"width": 1024, "height": 500})
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 200)")
    page.wait_for_timeout(300)
    assert page.locator(".st-key-question").bounding_box()["y"] < 0  # it did scroll
    assert page.locator(".st-key-bar").bounding_box()["y"] == 56
    for name in (".st-key-bar", "[data-testid=stHeader]"):  # nothing shows through
        colour = page.locator(name).evaluate("e => getComputedStyle(e).backgroundColor")
        assert colour == "rgb(255, 255, 255)"
    assert page.locator(".st-key-header").bounding_box()["y"] == 0
    page.set_viewport_size({"width": 1440, "height": 900})
    settle(page)
    points = page.locator(".scatterlayer .trace").last.locator("xpath=..")
    points.locator(".trace .points path").nth(3).click(force=True)
    expect(page).to_have_url(re.compile("(repair|allocation|site|sparsity)="))
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="What did I measure")).to_be_visible()
    settle(page)
    lesson = page.get_by_role("link", name="Lesson", exact=True)
    expect(lesson).to_be_visible()
    assert lesson.bounding_box() == at


def test_the_theme_is_switched_in_the_header_and_every_picture_follows(page):
    page.goto("/")
    settle(page)
    page.get_by_test_id("stMainMenuButton").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    dark = "rgb(13, 16, 21)"
    for name in (".st-key-bar", "[data-testid=stHeader]"):
        expect(page.locator(name)).to_have_css("background-color", dark)
    paper = page.locator(".js-plotly-plot .main-svg").first
    expect(paper).to_have_css("background-color", dark)


def test_a_second_tab_shows_the_browsers_jobs(new_page):
    page = new_page()
    page.goto(f"/?{LONG}&seed=11")
    settle_start(page)
    press(page, "Measure")
    expect(page.get_by_text("Measuring 30 % by llm-rank").first).to_be_visible()
    other = page.context.new_page()
    other.goto("/runs")
    shown = other.get_by_text("Measuring 30 % by llm-rank").first
    expect(shown).to_be_visible(timeout=60_000)
    shown.click()
    other.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("was stopped")).to_be_visible(timeout=JOB_MS)


def test_a_neuron_is_answered_while_a_measurement_runs(new_page):
    few = "samples=2&seq_len=64&eval_tokens=100000&repair=none&allocation=uniform"
    explorer = new_page()
    explorer.goto(f"/explore?{few}&view=explore.neuron.3-100")
    settle_start(explorer)
    read = explorer.get_by_role("button", name="Read the model")
    inspect = explorer.get_by_role("button", name="Read where it fires")
    expect(read.or_(inspect)).to_be_visible(timeout=60_000)
    if read.is_visible():
        read.click()
    expect(inspect).to_be_visible(timeout=JOB_MS)
    other = explorer.context.new_page()
    other.goto(f"/?{few}")
    settle_start(other)
    press(other, "Measure")
    stop = other.get_by_role("button", name=re.compile("^Stop · .*%"))
    expect(stop).to_be_visible()
    inspect.click()
    fires = explorer.get_by_text("Where it fires most", exact=True)
    expect(fires).to_be_visible(timeout=120_000)
    expect(stop).to_be_visible()  # the measurement is not even half done
    stop.click()
    expect(other.get_by_text("was stopped")).to_be_visible(timeout=JOB_MS)


def test_a_running_job_is_found_after_a_reload_and_can_be_stopped(page):
    page.goto(f"/?{LONG}")
    settle_start(page)
    press(page, "Measure")
    expect(page.get_by_text("Measuring 30 % by llm-rank").first).to_be_visible()
    expect(page).to_have_url(re.compile("jobs=measure"))
    page.reload()
    expect(page.get_by_text("Measuring 30 % by llm-rank").first).to_be_visible(
        timeout=60_000
    )
    press(page, "Stop")
    expect(page.get_by_text("was stopped")).to_be_visible(timeout=JOB_MS)
    press(page, "Dismiss")
    expect(page.get_by_text("was stopped")).to_have_count(0)


def test_another_visitor_sees_a_linked_job_but_cannot_stop_it(new_page):
    owner, guest = new_page(), new_page()
    owner.goto(f"/?{LONG}&seed=5")
    settle_start(owner)
    press(owner, "Measure")
    expect(owner).to_have_url(re.compile("jobs=measure"))
    guest.goto(owner.url)
    running = guest.get_by_text("Measuring 30 % by llm-rank").first
    expect(running).to_be_visible(timeout=60_000)
    press(guest, "Stop")
    expect(guest.get_by_text("Only the browser that started")).to_be_visible()
    expect(owner.get_by_text("Measuring 30 % by llm-rank").first).to_be_visible()
    press(owner, "Stop")
    expect(owner.get_by_text("was stopped")).to_be_visible(timeout=JOB_MS)


def test_two_visitors_do_not_disturb_each_others_settings(new_page):
    one, two = new_page(), new_page()
    one.goto("/?sparsity=0.2&theta=0.9")
    two.goto("/scores?sparsity=0.6&criterion=l1")
    settle(one)
    settle(two)
    expect(one.get_by_text("20 % removed").first).to_be_visible()
    expect(two.get_by_text("60 % removed").first).to_be_visible()
    one.get_by_role("link", name="Prune", exact=True).click()
    settle(one)
    expect(one.get_by_text("θ 0.90")).to_be_visible()
    expect(one).to_have_url(re.compile(r"theta=0\.9"))


HOSTILE = (
    "<script>alert(1)</script>",
    "![x](http://example.org/x.png)",
    "\"'><img src=x onerror=alert(1)>",
    "‮gnp.exe",
    "x" * 10_000,
)


@pytest.mark.parametrize(
    "name", HOSTILE, ids=["script", "image", "quotes", "rtl", "long"]
)
def test_hostile_model_names_are_shown_as_text(page, name):
    dialogs = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    page.goto("/?" + "&".join([f"model={quoted(name)}", "sparsity=0.25"]))
    settle(page)
    expect(page.get_by_text("25 % removed").first).to_be_visible()
    press(page, "Measure")
    refused = page.get_by_text(re.compile("failed|can be neither read nor written"))
    expect(refused.first).to_be_visible(timeout=60_000)
    assert not dialogs
    assert not sideways(page)


@pytest.mark.parametrize("name", HOSTILE[:2], ids=["script", "image"])
def test_hostile_text_names_are_shown_as_text(page, name):
    page.goto(f"/?calibration_text={quoted(name)}")
    settle(page)
    expect(page.get_by_role("heading", name=QUESTIONS[""])).to_be_visible()
    assert page.locator("img[src*='example.org']").count() == 0


def test_the_links_of_a_page_are_reachable_by_keyboard(page):
    page.goto("/")
    settle(page)
    page.get_by_role("link", name="Overview", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settle(page)
    expect(page.get_by_role("heading", name=QUESTIONS["explore"])).to_be_visible()


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def settle_start(page: Page) -> None:
    """Wait for the page, which may be the first one that loads torch."""
    expect(page.get_by_role("button", name="Measure", exact=True).first).to_be_visible(
        timeout=60_000
    )


def scored(page: Page, shown: Locator) -> None:
    """Wait for what a page shows of scores; let it read the model first if need be."""
    read = page.get_by_role("button", name="Read the model")
    expect(read.or_(shown).first).to_be_visible(timeout=60_000)
    if read.count():
        read.click()
    expect(shown.first).to_be_visible(timeout=JOB_MS)
    settle(page)


def test_an_exported_model_opens_with_plain_transformers(page, tmp_path):
    folder = tmp_path / "smaller"
    page.goto(f"/prune?{SMALL}&sparsity=0.5&allocation=uniform&repair=none")
    name = "Export to a folder here"
    target = page.get_by_role("textbox", name=name)
    scored(page, target)
    target.fill(str(folder))
    target.press("Enter")
    settle(page)
    press(page, "Export")
    expect(page.get_by_text("bit-identical logits")).to_be_visible(timeout=JOB_MS)
    page.reload()
    expect(page.get_by_text("bit-identical logits")).to_be_visible(timeout=60_000)

    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.intermediate_size == 768
    assert model.num_parameters() == 94_701_888  # ANCHORS.md: 50 % of the demo


def downloaded(page: Page, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).first.click()
    return Path(waiting.value.path()).read_bytes()


def test_the_graph_is_taken_as_a_page_a_graphml_file_and_a_table(page, tmp_path):
    page.goto(f"/graph?{SMALL}")
    scored(page, page.get_by_test_id("stDownloadButton"))
    graph = nx.parse_graphml(downloaded(page, "GraphML").decode())
    assert graph.number_of_edges() > 10
    table = pd.read_csv(io.BytesIO(downloaded(page, "CSV")))
    assert len(table) == graph.number_of_edges()

    alone = tmp_path / "graph.html"
    alone.write_bytes(downloaded(page, "Page (HTML)"))
    asked = []
    visitor = page.context.browser.new_page()
    visitor.on("request", lambda r: asked.append(r.url))
    visitor.goto(alone.as_uri())
    expect(visitor.locator("canvas").first).to_be_visible()
    assert asked == [alone.as_uri()]  # nothing but itself
    visitor.close()
