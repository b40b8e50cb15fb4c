"""Explore as visitors use it: drag, keys, zoom, hold, reload, two at once."""

import re
import zlib

import pytest
from playwright.sync_api import Page, expect

import llmrank
from browser.shots import settle, sideways
from llmrank.analysis.neuron import Neuron, edges, promoted, ranks
from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.formatting import share
from llmrank.methods.allocation import allocation
from llmrank.methods.allocation.by_scores import effective_neurons, pq_index
from llmrank.methods.criteria import LLMRank
from llmrank.methods.pruning import PruningSpec
from llmrank.models.language_model import ModelSpec
from llmrank.report.payload import cut_crc

SMALL = "samples=2&seq_len=64&repair=none"
JOB_MS = 300_000
STATE = "() => { const x = globalThis.llmrankExplorer; return %s; }"


def opened(page: Page, more: str = "") -> None:
    """Open the page, which reads the demo model by itself if nobody has before."""
    if "&allocation=" not in more:
        more += "&allocation=uniform"
    page.goto(f"/explore?{SMALL}{more}")
    expect(page.locator("canvas.overlay")).to_be_visible(timeout=JOB_MS)
    agreed(page)
    # the other criteria are scored after it, and the page asks how far that is
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=JOB_MS)


def agreed(page: Page) -> None:
    """Wait until the server's numbers have come and are the canvas' own."""
    expect(page.locator(".key")).to_contain_text("✓ the server removes", timeout=JOB_MS)


def ask(page: Page, of: str):
    return page.evaluate(STATE % of)


def slider(page: Page, name: str):
    return page.locator(f"input[type=range][data-setting={name}]")


def drag(page: Page, name: str, to: float):
    """Press a slider's thumb and move it, without letting go."""
    box = slider(page, name).bounding_box()
    now = ask(page, f"x.settings.{name}")
    high = 0.95 if name == "sparsity" else 1
    y = box["y"] + box["height"] / 2
    at = [box["x"] + 8 + (box["width"] - 16) * share / high for share in (now, to)]
    page.mouse.move(at[0], y)
    page.mouse.down()
    page.mouse.move(at[1], y, steps=8)
    page.wait_for_timeout(150)


@pytest.fixture(scope="module")
def served():
    """The demo as the page reads it, for llmrank's own answers."""
    model = llmrank.load(ModelSpec(device="cpu"))
    return model, llmrank.calibrate(model, CalibrationSpec(samples=2, seq_len=64))


def cut_by(served, found) -> int:
    model, stats = served
    of = LLMRank(theta=found["theta"], gamma=found["gamma"], graph=found["graph"])
    spec = PruningSpec(sparsity=found["sparsity"], multiple_of=found["multipleOf"])
    by = allocation(found["allocation"])
    return cut_crc(llmrank.plan(llmrank.score(model, stats, of), spec, by))


def dropped(page: Page) -> bytes:
    return bytes(ask(page, "[...x.engine.droppedSet()]"))


def test_dragging_moves_every_neuron_and_sends_nothing(page, served):
    sent: list = []

    def watch(socket):
        socket.on("framesent", lambda frame: sent.append(frame))

    page.on("websocket", watch)
    opened(page)
    before, n_sent = dropped(page), len(sent)
    drag(page, "gamma", 0.9)
    while_dragging = dropped(page)
    assert while_dragging != before
    assert len(sent) == n_sent
    assert ask(page, "x.pending")
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"llm-rank θ .* γ 0\.[89]\d"))).to_be_visible()
    agreed(page)
    assert len(sent) > n_sent
    assert dropped(page) == while_dragging
    assert ask(page, "x.data.agreed.crc") == cut_by(served, ask(page, "x.settings"))


@pytest.mark.parametrize(
    "link",
    ["&theta=0.9&gamma=0.8&allocation=global", "&multiple_of=32&sparsity=0.55",
     "&graph=chained", "&graph=chained&theta=1&gamma=1&sparsity=0.5&allocation=global"],
)  # fmt: skip
def test_what_the_browser_drops_is_what_llmrank_drops(page, served, link):
    opened(page, link)
    assert zlib.crc32(dropped(page)) == cut_by(served, ask(page, "x.settings"))


def test_sliders_answer_to_keys_typing_and_double_click(page):
    opened(page)
    slider(page, "sparsity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".reading")).to_contain_text("14,2")  # 31 %
    agreed(page)
    typed = page.get_by_label("sparsity in percent, typed")
    typed.fill("50")
    typed.press("Enter")
    expect(page.locator(".reading")).to_contain_text("23,040 of 46,080")
    expect(page.get_by_text("50 % removed", exact=True)).to_be_visible()
    typed.fill("nonsense")
    typed.press("Enter")
    assert ask(page, "x.settings.sparsity") == 0.5
    typed.fill("1e9")
    typed.press("Enter")
    assert ask(page, "x.settings.sparsity") == 0.95
    slider(page, "sparsity").dblclick()
    assert ask(page, "x.settings.sparsity") == 0.3


def test_the_cursor_is_moved_by_keys_and_holds_a_neuron(page):
    opened(page)
    page.locator("canvas.overlay").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    held = ask(page, "x.chosen")
    assert held["layer"] == 2
    title = f"Layer 2, neuron {held['neuron']:,}"
    expect(page.locator(".card h4")).to_have_text(title)
    expect(page.locator(".numbers")).to_contain_text(
        re.compile(r"\d × mean, (kept|removed)")
    )
    expect(page.get_by_role("heading", name=title).last).to_be_visible()
    expect(page).to_have_url(re.compile(rf"neuron\.2-{held['neuron']}"))


def test_a_link_reopens_the_same_view(page):
    opened(page)
    page.get_by_role("button", name="by index").click()
    page.locator("canvas.overlay").click(position={"x": 10, "y": 40})  # a layer's name
    box = page.locator("canvas.overlay").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 100)
    page.mouse.wheel(0, -300)  # the page's own
    page.wait_for_timeout(500)
    assert ask(page, "x.view.to") >= 1536
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("() => llmrankExplorer.view.to < 1500")
    page.locator("canvas.overlay").click(position={"x": 300, "y": 100})
    expect(page).to_have_url(re.compile("explore.neuron"))
    agreed(page)
    view, chosen = ask(page, "x.view"), ask(page, "x.chosen")
    assert view["layer"] == 2
    assert 0 < view["from"] < view["to"] < 1536
    page.reload()
    agreed(page)
    assert ask(page, "x.view") == view
    assert ask(page, "x.chosen") == chosen
    page.get_by_role("button", name="All layers").click()
    assert ask(page, "x.view.layer") is None


def test_changes_are_counted_against_the_pin(page):
    opened(page, "&theta=0.2")
    expect(page.locator(".reading")).to_contain_text("the same as the reference")
    slider(page, "gamma").fill("0.9")
    expect(page.locator(".reading")).to_contain_text("change sides")
    pinned = ask(page, "[...x.pin.dropped]")
    now = dropped(page)
    n = sum(a != b for a, b in zip(pinned, now, strict=True))
    expect(page.locator(".reading")).to_contain_text(f"{n:,} change sides")
    page.get_by_role("button", name="Set as reference").click()
    expect(page.locator(".reading")).to_contain_text("the same as the reference")


def test_play_sweeps_and_pauses(page):
    opened(page)
    page.locator("select.sweep").select_option("sparsity")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(700)
    page.get_by_role("button", name="Pause").click()
    moved = ask(page, "x.settings.sparsity")
    assert moved > 0.3
    page.get_by_role("button", name="One step").click()
    assert ask(page, "x.settings.sparsity") != moved
    agreed(page)


def test_two_tabs_have_their_own_settings(new_page):
    one, two = new_page(), new_page()
    opened(one)
    opened(two, "&sparsity=0.6")
    slider(one, "theta").fill("1")
    agreed(one)
    assert ask(two, "x.settings.theta") == 0.5
    assert ask(two, "x.settings.sparsity") == 0.6
    assert ask(one, "x.settings.sparsity") == 0.3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_the_canvas_is_drawn_in_the_theme(new_page, scheme, size):
    window = {"width": size[0], "height": size[1]}
    page = new_page(color_scheme=scheme, viewport=window)
    opened(page)
    assert ask(page, "x.theme().dark") == (scheme == "dark")
    assert not sideways(page)
    box = page.locator("canvas.overlay").bounding_box()
    assert box["y"] + 200 < size[1]


def test_numbers_that_arrive_damaged_are_said_and_the_page_lives(page):
    opened(page)
    fault = "The numbers arrived incomplete: 7 of 9 bytes."
    page.evaluate(
        "(fault) => { llmrankShelf.clear(); llmrankShelf.set('fault', fault);"
        "dispatchEvent(new Event('llmrank-arrived')); }",
        fault,
    )
    expect(page.locator(".message")).to_have_text(fault)
    settle(page)
    expect(page.get_by_role("link", name="Overview", exact=True)).to_be_visible()


class Fingers:
    """Touches the page as a phone's screen does, through Chromium's own protocol."""

    def __init__(self, page: Page):
        self.session = page.context.new_cdp_session(page)
        self.session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        given = {"type": f"touch{kind}", "touchPoints": at}
        self.session.send("Input.dispatchTouchEvent", given)


def test_fingers_hold_a_neuron_brush_a_range_and_pinch_closer(page):
    opened(page)
    box = page.locator("canvas.overlay").bounding_box()
    x, y, fingers = box["x"] + 400, box["y"] + 150, Fingers(page)
    fingers.touch("Start", (x, y))
    fingers.touch("End")
    page.wait_for_function("() => llmrankExplorer.chosen !== null")
    layer = ask(page, "x.chosen.layer")
    fingers.touch("Start", (x, y))
    for step in range(1, 6):
        fingers.touch("Move", (x + 20 * step, y))
    fingers.touch("End")
    page.wait_for_function("() => llmrankExplorer.view.brush !== null")
    brush = ask(page, "x.view.brush")
    assert brush["layer"] == layer
    assert 100 < brush["to"] - brush["from"] < 250  # 100 of 900 pixels, 1,536 neurons
    fingers.touch("Start", (x - 20, y), (x + 20, y))
    for step in range(1, 6):
        fingers.touch("Move", (x - 20 - 20 * step, y), (x + 20 + 20 * step, y))
    fingers.touch("End")
    page.wait_for_function("() => llmrankExplorer.view.to < 1200")
    view = ask(page, "x.view")
    assert 0 < view["from"] < view["to"]
    agreed(page)
    expect(page).to_have_url(re.compile(rf"explore.zoom.\w+-{round(view['from'])}-"))


SKELETON = """() => {
    const x = globalThis.llmrankExplorer;
    if (!x?.engine || x.payload.name || x.find(".message").hidden) return null;
    const { top, height } = x.find(".stage").getBoundingClientRect();
    return { top, height, gone: x.engine.nDropped(),
             said: x.find(".message").textContent };
}"""


def test_the_skeleton_stands_before_any_score_and_nothing_moves_when_they_come(page):
    page.goto("/explore?samples=3&seq_len=63&allocation=uniform")  # read by no other
    page.set_default_timeout(JOB_MS)
    seen = page.wait_for_function(SKELETON, polling="raf").json_value()
    assert seen["said"].startswith("Reading the model")
    assert seen["gone"] == 13_830
    agreed(page)
    expect(page.locator(".message")).to_be_hidden()
    assert ask(page, "x.scale.high - x.scale.low") > 0.5  # no longer all equal
    box = page.locator(".stage").bounding_box()
    assert [box["y"], box["height"]] == [seen["top"], seen["height"]]


def test_a_neuron_that_is_clicked_is_told_beside_the_canvas_and_leads_on(page, served):
    opened(page, "&sparsity=0.31")
    before = page.locator("canvas.overlay").bounding_box()
    page.locator("canvas.overlay").click(position={"x": 400, "y": 150})
    facts, held = page.locator(".facts"), ask(page, "x.chosen")
    at = Neuron(held["layer"], held["neuron"])
    tokens = promoted(served[0], at, 4, readable=True).promoted
    shown = [t.token.replace(" ", "␣").replace("\n", "↵") for t in tokens]
    expect(facts.locator("dd").first.locator("code")).to_have_text(shown)
    expect(facts).to_contain_text(f"r{edges(served[0], at, 1).incoming[0].residual} ")
    assert page.locator("canvas.overlay").bounding_box() == before
    model, stats = served
    scores = {"llm-rank": llmrank.score(model, stats, LLMRank())}
    (rank,) = ranks(at, scores)
    expect(page.locator(".numbers")).to_contain_text(f"{rank.in_layer:,} of 1,536")
    assert ask(page, f"x.engine.rankInModel({at.layer}, {at.index})") == rank.in_model
    # where it fires is read unasked, and comes in as it is read
    expect(facts.locator("p").first).to_be_visible(timeout=JOB_MS)
    page.mouse.move(before["x"] + 700, before["y"] + 60)  # the card stays with it
    title = f"Layer {at.layer}, neuron {at.index:,}"
    expect(page.locator(".card h4")).to_have_text(title)
    neighbour = facts.locator("button", has_text="×").first
    text = neighbour.inner_text()
    neighbour.click()
    index = int(text.split(" ")[0].replace(",", ""))
    assert ask(page, "x.chosen") == {"layer": at.layer - 1, "neuron": index}
    page.get_by_role("button", name="Let go").click()
    expect(page.locator(".card h4")).to_have_text("No neuron held")


@pytest.mark.parametrize("neuron", ["40-3", "2-90000"])
def test_a_neuron_that_the_model_has_not_leaves_the_canvas_alive(page, neuron):
    opened(page, f"&view=explore.neuron.{neuron}")
    assert ask(page, "x.chosen") is None
    expect(page.locator(".card h4")).to_have_text("No neuron held")
    drag(page, "gamma", 0.8)
    page.mouse.up()
    agreed(page)
    expect(page.locator(".churn p")).not_to_contain_text("0 newly removed")


def test_the_canvas_follows_a_switch_of_the_theme(page):
    page.emulate_media(color_scheme="light")
    opened(page)
    assert ask(page, "x.theme().dark") is False
    page.emulate_media(color_scheme="dark")
    column = "x.strips.context.getImageData(0, 0, 1, x.strips.canvas.height).data"
    dark = f"[...{column}].some((red, i, all) => i % 4 === 0 && red === 13"
    dark += " && all[i + 1] === 16 && all[i + 2] === 21)"  # between two rows
    page.wait_for_function("() => getComputedStyle(document.body).colorScheme !== ''")
    expect(page.locator(".stApp").first).to_have_css(
        "background-color", "rgb(13, 16, 21)"
    )
    page.wait_for_function(STATE.replace("%s", dark))
    drag(page, "gamma", 0.7)
    page.mouse.up()
    agreed(page)
    assert ask(page, "x.theme().dark") is True
    brightest = """(() => {
        const { canvas, pixels, rows } = x.strips;
        const end = (rows.at(-1).top + 2) * canvas.width + canvas.width;
        const mean = (p) => ((p & 255) + ((p >> 8) & 255) + ((p >> 16) & 255)) / 3;
        return Math.max(...[...pixels.subarray(end - 20, end)].map(mean));
    })()"""
    assert ask(page, brightest) > 90  # the darkest of the scores has 51


def test_layers_too_low_for_a_name_each_are_named_in_regular_steps(page):
    opened(page)
    named = """((height) => {
        const said = [];
        const rows = Array.from({ length: 30 }, (_, layer) => (
            { layer, top: layer * (height + 1), height: height - (layer % 3 === 1) }));
        x.overlay.names({ fillText: (text) => said.push(text) }, rows, 1);
        return said;
    })"""
    assert ask(page, f"{named}(15)") == [f"L{n}" for n in range(30)]
    assert ask(page, f"{named}(9)") == [f"L{n}" for n in range(0, 30, 2)]
    assert ask(page, f"{named}(4)") == [f"L{n}" for n in range(0, 30, 5)]


def test_the_hints_of_how_even_the_scores_are_are_llmranks(page, served):
    opened(page, "&theta=0.8&gamma=0.6")
    model, stats = served
    scores = llmrank.score(model, stats, LLMRank(theta=0.8, gamma=0.6)).layers
    for layer in (0, 11, 29):
        found = ask(page, f"x.engine.spread({layer})")
        assert found["effective"] == pytest.approx(effective_neurons(scores[layer]))
        assert found["pq"] == pytest.approx(pq_index(scores[layer]))
    effective = sum(map(effective_neurons, scores)) / sum(map(len, scores))
    hint = f"to remove up to {share(1 - effective)}"
    expect(page.get_by_text(hint)).to_be_visible()
