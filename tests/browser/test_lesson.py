"""The lesson in Chromium: llmrank's own numbers, and a class that goes through it."""

import base64
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from lesson_numbers import N_WEIGHTS, random_numbers
from playwright.sync_api import Page, expect

from browser.shots import settle, sideways
from llmrank.lesson import network as lesson
from llmrank.lesson import random_walk
from llmrank.lesson.network import LessonSpec
from pages.shared.app import assets

ALL = """async ([url, cases, sizes, examples]) => {
    const net = await import(url);
    return cases.map(({ numbers, theta, gamma, sparsity }) => {
        const network = { weights: net.matrices(numbers, sizes), examples };
        const found = net.ranked(network, { theta, gamma });
        const keep = net.kept(found, sparsity);
        const after = net.activations(net.cut(network, keep)).at(-1);
        const shares = network.weights.map((w) => net.edgeShares(w, theta));
        return { scores: found.map((f) => f.scores), keep, after, shares };
    });
}"""
WALK = """async ([network, walker, numbers, sizes, examples, at]) => {
    const { matrices } = await import(network);
    const { Walker } = await import(walker);
    const of = { weights: matrices(numbers, sizes), examples };
    const walks = [new Walker(of, at), new Walker(of, at).to(600)];
    return walks.map((walker) => walker.to(100000).frequencies);
}"""
READ = """async ([url, texts]) => {
    const { read } = await import(url);
    return texts.map((text) => read(text, "A1", 2));
}"""
TOUCHES = """async ([url, states]) => {
    const { trace } = await import(url);
    const lesson = globalThis.llmrankLesson;
    const canvas = lesson.find(".picture");
    const c = canvas.getContext("2d");
    const room = canvas.getBoundingClientRect();
    const near = (low, at, high) => Math.max(low, Math.min(at, high)) - at;
    const apart = (a, b) =>
        a.x1 <= b.x0 || b.x1 <= a.x0 || a.y1 <= b.y0 || b.y1 <= a.y0;
    const isCrossed = ({ x0, x1, y0, y1 }) => {
        for (let x = x0 + 1; x < x1; x += 2)
            for (let y = y0 + 1; y < y1; y += 2)
                if (c.isPointInStroke(x, y)) return true;
        return false;
    };
    let checked = 0;
    const found = [];
    for (const state of states) {
        Object.assign(lesson.s, state);
        lesson.frame();
        c.lineWidth = 2;
        const { layers, nodes, edges } = lesson.scene;
        const boxes = [];
        const box = (name, x0, y, w, h = 14) =>
            name && boxes.push({ name, x0, x1: x0 + w, y0: y - h / 2, y1: y + h / 2 });
        const width = (text) => c.measureText(text).width;
        for (const { name, y } of layers) box(name, 4, y, width(name));
        for (const { label, x, y, r } of nodes) box(label, x + r + 5, y, width(label));
        for (const { label, via } of edges)
            box(label, via.x - width(label) / 2, via.y, width(label));
        const fields = state.step ? [] : lesson.root.querySelectorAll(".weights input");
        for (const field of fields) {
            const { x, y, width, height } = field.getBoundingClientRect();
            box(field.value, x - room.x, y - room.y + height / 2, width, height);
        }
        checked += boxes.length;
        boxes.forEach((a, k) => {
            const at = `step ${state.step + 1}.${state.moment}: ${a.name}`;
            const said = (what) => found.push(`${at} × ${what}`);
            for (const edge of edges) {
                const ends = [nodes[edge.from], edge.via, nodes[edge.to]];
                const [xs, ys] = [ends.map((e) => e.x), ends.map((e) => e.y)];
                const reach = { x0: Math.min(...xs) - 2, x1: Math.max(...xs) + 2 };
                if (apart(a, { ...reach, y0: ys[0], y1: ys[2] })) continue;
                trace(c, nodes, edge);
                if (isCrossed(a)) said(`edge ${edge.id}`);
            }
            if (a.x0 < 0 || a.x1 > room.width || a.y0 < 0 || a.y1 > room.height)
                said("border");
            for (const b of boxes.slice(k + 1)) if (!apart(a, b)) said(b.name);
            for (const { x, y, r, id } of nodes)
                if (Math.hypot(near(a.x0, x, a.x1), near(a.y0, y, a.y1)) < r)
                    said(`node ${id}`);
        });
    }
    return [checked, found];
}"""
TITLES = (
    "A network of neurons",
    "Weights become a graph",
    "Degree or strength: θ",
    "Importance flows along the edges",
    "Activation joins in: γ",
    "The ranking",
    "The cut",
    "The smaller network's answers",
    "The random surfer",
    "Why cut whole neurons",
)
OWN = [float(w) for m in lesson.WEIGHTS for row in m for w in row]
STATE = "() => globalThis.llmrankLesson.%s"


def url(name: str, folder: str = "lesson") -> str:
    source = base64.b64encode(assets.module(f"{folder}/{name}").encode()).decode()
    return f"data:text/javascript;base64,{source}"


@pytest.fixture(scope="module")
def blank(browser):
    """A page without the app: modules are imported into it by themselves."""
    page = browser.new_page()
    yield page
    page.close()


def opened(page: Page, *views: str) -> Page:
    named = ",".join(f"lesson.{view}" for view in views)
    page.goto(f"/lesson?view={named}")
    expect(page.locator(".lesson h3")).not_to_be_empty(timeout=60_000)
    settle(page)
    return page


def state(page: Page, of: str):
    return page.evaluate(STATE % of)


def title(page: Page):
    return page.locator(".lesson h3")


def linked(page: Page, text: str) -> None:
    """Wait until the server has put it into the link."""
    page.wait_for_function(
        "(text) => decodeURIComponent(location.search).includes(text)", arg=text
    )


# The same numbers


def test_the_browsers_numbers_are_llmranks(blank):
    cases = [
        {"numbers": numbers, "theta": theta, "gamma": gamma, "sparsity": sparsity}
        for numbers in (
            OWN,
            *(random_numbers(seed, zeros=seed % 3 / 3) for seed in range(12)),
            [0.0] * N_WEIGHTS,
            [1.0] * N_WEIGHTS,
            [-100.0] * 12 + [1e-4] * 18,
        )
        for theta, gamma, sparsity in [
            (0.5, 0.5, 0.3), (0, 1, 0.5), (1, 1, 0.9), (0.37, 0, 0), (0.9, 0.81, 0.25),
        ]
    ]  # fmt: skip
    asked = [url("network.js"), cases, lesson.SIZES, lesson.EXAMPLES]
    for case, found in zip(cases, blank.evaluate(ALL, asked), strict=True):
        net = lesson.network(case["numbers"])
        of = LessonSpec(**{n: case[n] for n in ("theta", "gamma", "sparsity")})
        own = lesson.scores(net, theta=of.theta, gamma=of.gamma)
        for ours, theirs in zip(own, found["scores"], strict=True):
            assert theirs == pytest.approx(ours.tolist(), abs=1e-12), case
        by = lesson.cut_plan(net, of)
        assert found["keep"][1:-1] == [k.tolist() for k in by.keep], case
        for ours, theirs in zip(
            lesson.answers(net, by).after, found["after"], strict=True
        ):
            assert theirs == pytest.approx(ours.tolist(), rel=1e-12), case
        for weights, theirs in zip(net.weights, found["shares"], strict=True):
            ours = lesson.edge_shares(weights, of.theta).tolist()
            for a, b in zip(ours, theirs, strict=True):
                assert b == pytest.approx(a, abs=1e-14)


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1])
def test_the_walk_settles_at_the_scores_and_repeats(blank, gamma):
    at = {"theta": 0.5, "gamma": gamma}
    urls = [url("network.js"), url("walker.js")]
    asked = [*urls, OWN, lesson.SIZES, lesson.EXAMPLES, at]
    once, again = blank.evaluate(WALK, asked)
    assert once == again
    exact = random_walk.exact(lesson.network(), theta=0.5, gamma=float(gamma))
    for ours, theirs in zip(exact, once, strict=True):
        assert theirs == pytest.approx(ours.tolist(), abs=0.02)


def test_what_is_typed_is_read_or_said(blank):
    texts = ["1.5", " -2 ", "−0,25", "0", "1.23456", "100"]
    read = blank.evaluate(READ, [url("edit.js"), texts])
    assert [r["value"] for r in read] == [1.5, -2, -0.25, 0, 1.2346, 100]
    bad = ["", "abc", "NaN", "1e30", "-101", "Infinity", "<b>"]
    for text, found in zip(
        bad, blank.evaluate(READ, [url("edit.js"), bad]), strict=True
    ):
        assert "value" not in found, text
        assert "A1 stays 2; write " in found["complaint"]


# A class goes through it


def test_every_step_by_the_keyboard_alone(page):
    opened(page)
    assert sideways(page) == []
    seen, guesses = [], 0
    for _ in range(60):
        seen.append(title(page).inner_text())
        if page.locator("[data-guess]").count():
            page.locator("[data-guess]").first.focus()
            page.keyboard.press("Enter")
            expect(page.locator(".question b").first).to_contain_text("You said")
            guesses += 1
        expect(page.locator(".lesson .text")).not_to_be_empty()
        assert "undefined" not in page.locator(".lesson .panel").inner_text()
        assert "NaN" not in page.locator(".lesson .panel").inner_text()
        if state(page, "s.step") == 9:
            break
        before = state(page, "s.step + '.' + llmrankLesson.s.moment")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "(b) => `${llmrankLesson.s.step}.${llmrankLesson.s.moment}` !== b",
            arg=before,
        )
        page.wait_for_function("() => !llmrankLesson.requested")
    assert list(dict.fromkeys(seen)) == [
        f"{k + 1}. {name}" for k, name in enumerate(TITLES)
    ]
    assert len(seen) == 10 + 2 + 3  # the graph has two moments more, the flow three
    assert guesses == 7
    page.keyboard.press("4")
    expect(title(page)).to_contain_text("4. Importance flows")
    linked(page, "lesson.step.4")
    settle(page)  # a page that is being drawn anew may mount the lesson anew
    page.keyboard.press("ArrowLeft")
    expect(title(page)).to_contain_text("3. Degree")


@pytest.mark.parametrize(
    ("width", "height", "presenter"),
    [(1440, 900, "off"), (1024, 768, "off"), (1024, 768, "on"), (1920, 1080, "on")],
)
def test_no_label_touches_an_edge_a_node_or_another_label(
    new_page, width, height, presenter
):
    page = new_page(viewport={"width": width, "height": height})
    opened(page, f"presenter.{presenter}")
    shown = dict.fromkeys(range(10), "-")
    long = [-12.75 + k / 2 for k in range(N_WEIGHTS)]
    every = [
        {"step": step, "moment": moment, "numbers": numbers, "guesses": guesses}
        for numbers, guesses in ((OWN, shown), (long, shown), (OWN, {}))
        for step in range(9)
        for moment in range({1: 3, 3: 4}.get(step, 1))
    ]
    checked, touches = page.evaluate(TOUCHES, [url("graph.js", "common"), every])
    assert checked > 1000  # labels of all steps, and the fields of the first
    assert touches == []


def test_a_step_opens_the_real_model_with_its_own_settings(page):
    opened(page, "step.7", "theta.0.2", "gamma.0.7", "sparsity.0.4", "node.2-1")
    page.goto(f"{page.url}&criterion=wanda")  # another method in hand
    page.get_by_role("button", name="See it in the real model").click()
    page.wait_for_url(re.compile("/explore"), timeout=60_000)
    linked(page, "explore.lesson.7")
    asked = parse_qs(urlsplit(page.url).query)
    values = {"theta": "0.2", "gamma": "0.7", "sparsity": "0.4"}
    assert {name: asked[name] for name in values} == {n: [v] for n, v in values.items()}
    assert "criterion" not in asked  # the app's own again
    assert "explore.zoom" not in page.url  # the whole model is in sight
    page.get_by_role("button", name="Back to wanda + block-influence").click()
    linked(page, "criterion=wanda")
    expect(page.get_by_role("button", name="Back to ")).to_have_count(0)
    assert "allocation" not in parse_qs(urlsplit(page.url).query)


def test_explore_leads_back_to_the_step_whatever_was_moved_there(page):
    opened(page, "step.7", "sparsity.0.4", "guesses.6:-")
    page.get_by_role("button", name="See it in the real model").click()
    page.wait_for_url(re.compile("/explore"), timeout=60_000)
    slider = page.locator("input[type=range][data-setting=theta]")
    slider.fill("0.25")
    slider.dispatch_event("change")
    linked(page, "theta=0.25")
    expect(page.get_by_role("button", name="Back to llm-rank")).to_have_count(0)
    page.get_by_role("button", name="Back to step 7 of the lesson").click()
    page.wait_for_url(re.compile("/lesson"), timeout=60_000)
    expect(title(page)).to_contain_text("7. ")
    assert "explore.lesson" not in page.url


def test_a_weight_is_edited_where_it_is_drawn_and_kept_in_the_link(page):
    opened(page)
    field = page.locator("[data-weight='x1→A1']")
    for bad in ("abc", "1e30", "nan"):
        field.fill(bad)
        field.press("Enter")
        expect(page.locator(".lesson .note")).to_contain_text("x1→A1 stays 2; write")
        expect(field).to_have_value("2")
    field.fill("0")
    field.press("Enter")
    expect(page.locator(".lesson .note")).to_have_text("")
    field.press("ArrowUp")
    expect(field).to_have_value("0.25")
    linked(page, "lesson.weights.0.25_0_0_0.5")
    page.reload()
    expect(field).to_have_value("0.25")
    assert state(page, "s.numbers[0]") == 0.25
    own = lesson.scores(lesson.network([0.25, *OWN[1:]]), theta=0.5, gamma=0.5)
    found = state(page, "d.found.map((f) => f.scores)")
    assert found[2] == pytest.approx(own[2].tolist(), abs=1e-12)
    page.locator(".reset").click()
    expect(field).to_have_value("2")


def test_a_dead_layer_is_said_and_every_step_still_answers(page):
    dead = "_".join(["-1"] * 12 + ["0"] * 12 + ["1"] * 6)
    opened(page, f"weights.{dead}")
    for step in (1, 5, 9):
        page.keyboard.press(str(step))
        expect(title(page)).to_contain_text(f"{step}. ")
        if page.locator("[data-guess]").count():
            page.locator("[data-guess]").last.click()
        said = "back to the inputs" if step == 9 else "gives anything out"
        expect(page.locator(".lesson .note")).to_contain_text(said)
        assert "NaN" not in page.locator(".lesson .panel").inner_text()


def test_sliders_answer_at_once_and_play_moves_them(page):
    opened(page, "step.5", "guesses.4:A1")
    slider = page.locator(".lesson input[type=range][data-setting=gamma]")
    slider.fill("1")
    expect(page.locator(".lesson tr.chosen td").nth(3)).to_have_text("0.234")
    slider.fill("0")
    expect(page.locator(".lesson tr.chosen td").nth(3)).to_have_text("0.500")
    linked(page, "lesson.gamma.0")
    title(page).click()
    page.keyboard.press("Space")
    expect(page.locator(".lesson .play")).to_have_text("Pause")
    page.wait_for_function("() => llmrankLesson.s.gamma > 0.02")
    page.keyboard.press("Space")
    expect(page.locator(".lesson .play")).to_have_text("Play")
    stopped = state(page, "s.gamma")
    linked(page, f"lesson.gamma.{stopped:g}")


def test_a_network_cut_to_silence_gives_no_answer(page):
    opened(page, "step.8", "guesses.7:none", "gamma.1", "sparsity.0.5")
    expect(page.locator(".question b").first).to_contain_text("You said neither")
    rows = page.locator(".lesson tbody tr")
    expect(rows.nth(0).locator("td").last).to_have_text("y1 → none")
    expect(rows.nth(1).locator("td").last).to_have_text("y2 → none")


def test_the_surfer_beside_the_exact_scores_and_networkx(page):
    opened(page, "step.9", "guesses.8:B1")
    page.locator("[data-walk='100000']").click()
    expect(page.locator(".lesson .text")).to_contain_text("100,000 steps so far")
    rows = page.locator(".lesson tbody tr")
    expect(rows.nth(3).locator("td").nth(4)).to_have_text("0.367", timeout=10_000)
    linked(page, "lesson.walked.100000")  # and the page has run again
    settle(page)
    _, a, _, _ = lesson.scores(lesson.network(), theta=0.5, gamma=0.5)
    cells = rows.nth(3).locator("td").all_inner_texts()
    assert cells[3] == f"{float(a[0]):.3f}"
    assert float(cells[2]) == pytest.approx(float(a[0]), abs=0.01)
    told = {row[0]: row for row in map(str.split, rows.all_inner_texts())}
    walked, scores = ([float(told[n][k]) for n in ("B2", "B3")] for k in (-3, -2))
    assert (walked[0] < walked[1]) == (scores[0] < scores[1])  # enough to order them
    page.locator(".lesson input[type=range][data-setting=gamma]").fill("1")
    expect(page.locator(".lesson .note")).to_contain_text("choose γ of at most 0.995")


def test_presenting_hides_the_rest_and_is_a_link(page):
    opened(page, "step.7")
    page.keyboard.press("p")
    linked(page, "lesson.presenter.on")
    expect(page.get_by_role("link", name="Explore")).to_have_count(0)
    expect(page.get_by_role("button", name="Handout")).to_have_count(0)
    page.reload()
    expect(page.locator(".lesson.presenting h3")).to_contain_text("7. The cut")
    expect(page.get_by_role("heading", name="step by step")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Explore")).to_have_count(1)


def test_the_clock_decides_and_the_handout_holds_it(page):
    opened(page, "step.10", "sparsity.0.5")
    said = page.locator(".lesson .panel")
    expect(said).to_contain_text("measurably faster")
    for answer in ("work", "multiplied", "smaller", "as fast"):
        expect(said).not_to_contain_text(answer)
    page.locator("[data-guess=cut]").click()
    expect(page.locator(".question")).to_contain_text("The clock decides")
    page.get_by_role("button", name="Time them").click()
    said = page.get_by_text("With 50 % gone, against all weights")
    expect(said).to_be_visible(timeout=60_000)
    expect(page.locator(".question")).to_contain_text("as timed below")
    with page.expect_download() as found:
        page.get_by_role("button", name="Handout").click()
    text = Path(found.value.path()).read_text("utf-8")
    assert "With 50 % gone, against all weights" in text
    assert re.search(r"\d+ rounds in turns", text)
