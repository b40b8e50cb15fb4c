"""The graph over the canvas: levels of detail, edges, and what is selected where."""

import itertools
import re

import pytest
from playwright.sync_api import Page, expect

from browser.shots import settle
from browser.test_engine import url
from browser.test_explore import (
    JOB_MS,
    SMALL,
    agreed,
    ask,
    drag,
    opened,
    slider,
)

SHOWN = "x.links.shown"
NODE = """() => {
    const at = network.canvasToDOM(network.getPosition((NODE).id));
    const box = place.getBoundingClientRect();
    return { x: at.x + box.left, y: at.y + box.top };
}"""
CHOSEN = """(row) => {
    const table = document.querySelector('[data-testid="stDataFrame"] table');
    const chosen = [...table.querySelectorAll('tr[aria-selected="true"]')];
    return chosen.length === 1 && chosen[0].getAttribute("aria-rowindex") === row;
}"""  # the header is the first row


def with_edges(page: Page, more: str = "") -> None:
    """Open the page with edges on; wait until those asked for have come."""
    opened(page, f"&view=explore.edges.on{more}")
    arrived(page)


def arrived(page: Page) -> None:
    page.wait_for_function(
        "() => { const x = llmrankExplorer; return !x.moving && x.links.shown.asked > 0"
        " && llmrankShelf.has(x.data.links?.name); }",
        timeout=60_000,
    )


def row_of(page: Page, layer: int) -> dict:
    """Where a layer lies, in the window's pixels."""
    box = page.locator("canvas.overlay").bounding_box()
    row = ask(page, f"x.strips.rows.find((r) => r.layer === {layer})")
    ratio = ask(page, "x.strips.ratio")
    return {
        "x": box["x"] + 44,
        "width": box["width"] - 44,
        "y": box["y"] + (row["top"] + row["height"] / 2) / ratio,
    }


def brush(page: Page, layer: int, first: float, last: float, *, let_go=True) -> None:
    """Draw over a share of a layer's strip."""
    row = row_of(page, layer)
    page.mouse.move(row["x"] + first * row["width"], row["y"])
    page.mouse.down()
    page.mouse.move(row["x"] + last * row["width"], row["y"], steps=5)
    if let_go:
        page.mouse.up()


def choose_row(page: Page, n: int) -> None:
    """Tick the n-th row of the first table, as it is drawn on its canvas."""
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible(timeout=60_000)
    settle(page)
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 16, box["y"] + 35 * n + 17)


def test_a_brushed_range_has_its_edges_and_its_table(page):
    opened(page)
    page.get_by_role("button", name="edges").click()
    expect(page.locator(".level")).to_contain_text("hold a neuron, brush a range")
    assert ask(page, SHOWN)["edges"] == 0
    brush(page, 12, 0.1, 0.2)
    arrived(page)
    range_ = ask(page, "x.view.brush")
    n = range_["to"] - range_["from"]
    assert range_["layer"] == 12
    assert 140 < n < 170
    shown = ask(page, SHOWN)
    assert shown["level"] == "strips"
    assert shown["edges"] == shown["asked"] == 2000
    said = f"the 2,000 strongest of the {n} neurons brushed in layer 12"
    expect(page.locator(".level")).to_contain_text(said)
    expect(page.get_by_text(f"{n} neurons of layer 12")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"brush\.12-{range_['from']}-{range_['to']}"))
    ends = ask(page, "[...new Set(llmrankShelf.get(x.data.links.name).layer)]")
    assert sorted(ends) == [11, 12]


def test_while_dragging_few_edges_follow_and_nothing_is_sent(page):
    sent: list = []
    page.on("websocket", lambda s: s.on("framesent", lambda f: sent.append(f)))
    with_edges(page, ",explore.brush.12-700-1100")
    before, n_sent = ask(page, SHOWN), len(sent)
    drag(page, "sparsity", 0.6)
    dragged = ask(page, SHOWN)
    assert dragged["edges"] == 300
    assert dragged["gone"] > before["gone"] * 300 / 2000
    expect(page.locator(".level")).to_contain_text("300 of the 2,000 strongest")
    assert len(sent) == n_sent
    page.mouse.up()
    agreed(page)
    arrived(page)
    assert ask(page, SHOWN)["edges"] == 2000


def test_close_up_every_neuron_is_a_circle(page):
    with_edges(page, ",explore.zoom.12-1050-1090,explore.neuron.12-3")
    assert ask(page, SHOWN)["level"] == "nodes"
    assert ask(page, SHOWN)["nodes"] == 120
    assert ask(page, SHOWN)["edges"] == 2000
    expect(page.locator(".level")).to_contain_text("120 neurons as circles")
    assert ask(page, "x.strips.rows.map((r) => r.layer)") == [11, 12, 13]
    page.locator("canvas.overlay").focus()
    for _ in range(3):
        page.keyboard.press("-")
    expect(page.locator(".level")).to_contain_text("960 neurons as strips")
    assert ask(page, SHOWN)["level"] == "strips"
    page.get_by_role("button", name="edges").click()
    expect(page.locator(".level")).to_be_hidden()
    assert ask(page, "x.strips.rows.map((r) => r.layer)") == [12]


def test_all_layers_close_up_make_room_around_the_neuron_held(page):
    with_edges(page, ",explore.zoom.all-500-508")
    assert ask(page, SHOWN)["nodes"] == 240
    assert ask(page, SHOWN)["edges"] == 0
    expect(page.locator(".level")).to_contain_text("the rows are too close for edges")
    row = row_of(page, 7)
    page.mouse.click(row["x"] + 0.3 * row["width"], row["y"])
    page.wait_for_function("() => llmrankExplorer.links.shown.edges > 0")
    held = ask(page, "x.chosen")
    assert held["layer"] == 7
    rows = ask(page, "x.strips.rows")
    assert [r["layer"] for r in rows] == list(range(30))
    tall = {r["layer"] for r in rows if r["height"] > 25}
    assert tall == {6, 7, 8}
    assert ask(page, "x.strips.canvas.height") >= rows[-1]["top"] + rows[-1]["height"]


def test_a_link_reopens_the_same_graph(page):
    with_edges(page, ",explore.brush.5-20-90,explore.zoom.5-0-400")
    view, shown = ask(page, "x.view"), ask(page, SHOWN)
    assert shown["edges"] > 0
    page.reload()
    agreed(page)
    arrived(page)
    assert ask(page, "x.view") == view
    assert ask(page, SHOWN) == shown


def test_a_row_chosen_is_held_and_what_is_held_is_chosen(page):
    opened(page, "&view=explore.brush.3-0-40")
    choose_row(page, 3)
    page.wait_for_function("() => llmrankExplorer.chosen !== null")
    third = ask(page, "x.engine.order[x.engine.starts[3] + 2]")
    assert ask(page, "x.chosen") == {"layer": 3, "neuron": third}
    title = f"Layer 3, neuron {third:,}"
    expect(page.locator(".card h4")).to_have_text(title)
    expect(page.get_by_role("heading", name=title).last).to_be_visible()
    settle(page)
    agreed(page)
    page.locator("canvas.overlay").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    row = row_of(page, 3)
    page.mouse.click(row["x"] + row["width"] * 7.5 / 1536, row["y"])
    held = ask(page, "x.chosen")["neuron"]
    rank = ask(page, f"x.engine.rank[x.engine.starts[3] + {held}]")
    assert rank < 40
    page.wait_for_function(CHOSEN, arg=str(rank + 2), timeout=60_000)


def test_a_neuron_chosen_out_of_view_is_brought_into_it(page):
    opened(page, "&view=explore.zoom.12-0-100,explore.brush.3-700-720")
    choose_row(page, 2)
    page.wait_for_function("() => llmrankExplorer.chosen?.layer === 3")
    neuron = ask(page, "x.chosen.neuron")
    assert ask(page, f"x.engine.rank[x.engine.starts[3] + {neuron}]") == 701
    view = ask(page, "x.view")
    assert view["layer"] == 3
    assert view["from"] <= 701 < view["to"]
    assert view["to"] - view["from"] == 100
    assert ask(page, f"x.links.position(3, {neuron})") == 701


def test_keys_select_a_range_and_let_go(page):
    opened(page, "&view=explore.sort.index")
    page.locator("canvas.overlay").focus()
    for key in ("ArrowDown", "ArrowRight", "Enter", "Shift+ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Shift+Enter")
    assert ask(page, "x.view.brush") == {"layer": 1, "from": 1, "to": 13}
    page.get_by_role("button", name="Zoom to the range").click()
    assert ask(page, "[x.view.from, x.view.to]") == [1, 13]
    page.locator("canvas.overlay").focus()
    page.keyboard.press("Escape")
    assert ask(page, "x.chosen") is None
    page.keyboard.press("Escape")
    assert ask(page, "x.view.brush") is None
    page.keyboard.press("Escape")
    assert ask(page, "x.view.to") == 1536


def test_an_extreme_of_the_scores_is_held_in_explore(page):
    opened(page)
    page.get_by_role("link", name="Scores", exact=True).click()
    choose_row(page, 1)
    line = page.get_by_text(re.compile(r"L\d+·\d+: rank [\d,]+ of 1,536"))
    expect(line).to_be_visible()
    layer, neuron = re.findall(r"L(\d+)·(\d+)", line.inner_text())[0]
    page.get_by_role("button", name="Open in Explore").click()
    agreed(page)
    assert ask(page, "x.chosen") == {"layer": int(layer), "neuron": int(neuron)}


def clicked(page: Page, key: str, place: str) -> None:
    """Click in a chart, at a place of its axes as `[x, y]` of its layout `l`."""
    chart = page.locator(f".st-key-{key} .js-plotly-plot")
    page.locator(".js-plotly-plot").first.wait_for(timeout=JOB_MS)
    settle(page)
    expect(chart).to_be_visible(timeout=60_000)
    x, y = chart.evaluate(f"(gd) => {{ const l = gd._fullLayout; return {place}; }}")
    offset = "(gd) => [gd._fullLayout.xaxis._offset, gd._fullLayout.yaxis._offset]"
    left, top = chart.evaluate(offset)
    box = chart.bounding_box()
    page.mouse.move(box["x"] + left + x - 4, box["y"] + top + y)
    page.mouse.move(box["x"] + left + x, box["y"] + top + y, steps=3)
    page.wait_for_timeout(300)  # a click is on what is hovered
    page.mouse.click(box["x"] + left + x, box["y"] + top + y)


def test_cells_boxes_and_bars_of_the_scores_lead_on(page):
    page.goto(f"/scores?{SMALL}")
    clicked(page, "scores", "[l.xaxis.d2p(700), l.yaxis.d2p(17)]")
    line = page.get_by_text(re.compile(r"L17·\d+: rank [\d,]+ of 1,536"))
    expect(line).to_be_visible(timeout=60_000)
    rank = int(re.search(r"rank ([\d,]+)", line.inner_text())[1].replace(",", ""))
    assert abs(rank - 700) <= 2  # two neurons a cell, a pixel of 1.3
    page.get_by_text("Layer by layer", exact=True).click()
    clicked(page, "scores-layers", "[l.xaxis.d2p(20), l.yaxis.d2p(1)]")
    expect(page.get_by_role("button", name="Layer 20 in Graph")).to_be_visible()
    bars = "gd._fullData.filter((t) => t.type === 'bar')"
    bars += ".flatMap((t) => Array.from(t.y, (y, i) => [t.x[i], y, t.customdata[i]]))"
    tall = f"{bars}.reduce((a, b) => (b[1] > a[1] ? b : a))"
    clicked(
        page, "scores-layer", f"[l.xaxis.d2p({tall}[0]), l.yaxis.d2p({tall}[1] / 2)]"
    )
    chart = page.locator(".st-key-scores-layer .js-plotly-plot")
    low, high = chart.evaluate(f"(gd) => [...{tall}[2]]")
    line = page.get_by_text(re.compile(r"L20·\d+: rank"))
    expect(line).to_be_visible()
    times = float(re.search(r"×([\d.]+)", line.inner_text())[1])
    assert low - 0.01 <= times <= high + 0.01  # as it is written
    cut = "gd._fullData.find((t) => t.name.startsWith('threshold'))"
    clicked(page, "scores-layer", f"[l.xaxis.d2p({cut}.x[1]), l.yaxis.d2p({cut}.y[1])]")
    settle(page)
    expect(line).to_be_visible()  # the threshold is no neuron: nothing is held instead
    page.get_by_role("button", name="Layer 20 in Graph").click()
    expect(page.get_by_text("Layer 20 joins")).to_be_visible(timeout=60_000)
    expect(line).to_be_visible()  # it is held there, and drawn


def test_edges_that_arrive_damaged_leave_the_canvas_alive(page):
    with_edges(page, ",explore.brush.12-700-720")
    page.evaluate("() => llmrankShelf.delete(llmrankExplorer.data.links.name)")
    slider(page, "gamma").fill("0.4")
    expect(page.locator(".reading")).to_contain_text("γ 0.40")
    assert ask(page, SHOWN)["edges"] == 0


def graph_of(page: Page, more: str = ""):
    """Open Graph; return the frame of its picture once it is drawn and told."""
    page.goto(f"/graph?{SMALL}{more}")
    return picture(page)


def picture(page: Page):
    shown = page.locator("iframe").first
    expect(shown).to_be_visible(timeout=JOB_MS)
    settle(page)
    frame = shown.element_handle().content_frame()
    frame.wait_for_function("() => document.fonts.check('12px \"Source Sans\"')")
    return frame


def at_node(page: Page, frame, node: str) -> None:
    """Point at a node, named by an expression of the picture's own script."""
    at = frame.evaluate(NODE.replace("NODE", node))
    box = page.locator("iframe").first.bounding_box()
    page.mouse.move(box["x"] + at["x"], box["y"] + at["y"], steps=3)


def test_it_opens_with_the_most_central_neuron_held_and_lights_who_is_pointed_at(page):
    frame = graph_of(page)
    best = frame.evaluate("held")
    layer, index = best.split("-")[1:]
    expect(page.get_by_text(f"L{layer}·{index}: rank 1 of 1,536")).to_be_visible()
    at_node(page, frame, "nodes.find((n) => n.dropped)")
    frame.wait_for_function("() => byId.get(lit()).dropped")
    assert frame.evaluate("held") == best  # pointing holds nothing
    page.mouse.move(10, 300)
    frame.wait_for_function("() => lit() === held")
    assert "explore.neuron" not in page.url
    faces = "[...document.fonts].map((f) => f.family + f.status)"
    assert frame.evaluate(faces) == ["Source Sansloaded"]  # the page's own


TIP = """() => {
    const tip = document.getElementById("tip").getBoundingClientRect();
    const box = place.getBoundingClientRect();
    const covered = nodes.filter((n) => {
        const at = network.canvasToDOM(network.getPosition(n.id));
        const [x, y] = [at.x + box.left, at.y + box.top];
        return x > tip.left && x < tip.right && y > tip.top && y < tip.bottom;
    });
    return [tip.width > 0, covered.length, tip.top >= box.top && tip.left >= 0];
}"""


def test_what_is_pointed_at_is_told_beside_it_and_covers_no_node(page):
    frame = graph_of(page)
    for node in ("nodes[0]", "nodes.find((n) => n.dropped)", "nodes.at(-1)"):
        at_node(page, frame, node)
        label = frame.evaluate(f"({node}).label")
        expect(page.frame_locator("iframe").locator("#tip")).to_contain_text(label)
        assert frame.evaluate(TIP) == [True, 0, True]
    page.mouse.move(10, 300)
    expect(page.frame_locator("iframe").locator("#tip")).to_be_hidden()


DRAWN = """() => {
    const proto = CanvasRenderingContext2D.prototype;
    const { fillText, moveTo, bezierCurveTo } = proto;
    const [words, curves] = [[], []];
    const on = (c, x, y) => new DOMPoint(x, y).matrixTransform(c.getTransform());
    let start = null;
    proto.fillText = function (text, x, y) {
        const width = this.measureText(text).width * this.getTransform().a;
        const part = { left: 0, center: 0.5, right: 1 }[this.textAlign];
        const at = on(this, x, y);
        const left = at.x - part * width;
        words.push({ text, left, right: left + width, y: at.y });
    };
    proto.moveTo = function (...at) { start = on(this, ...at); };
    proto.bezierCurveTo = function (x1, y1, x2, y2, x, y) {
        const bends = [on(this, x1, y1), on(this, x2, y2)];
        const four = [start, ...bends, on(this, x, y)];
        curves.push(Array.from({ length: 41 }, (_, k) => {
            const t = k / 40, s = 1 - t;
            const shares = [s ** 3, 3 * s * s * t, 3 * s * t * t, t ** 3];
            const mix = (n) => four.reduce((sum, p, i) => sum + shares[i] * p[n], 0);
            return [mix("x"), mix("y")];
        }));
    };
    network.redraw();
    Object.assign(proto, { fillText, moveTo, bezierCurveTo });
    return { words, curves };
}"""


def test_no_edge_crosses_a_word_and_the_heads_follow_who_is_lit(page):
    """Whoever is lit, in one layer and in a chain: every curve, every word drawn."""
    for view, n_heads in (("", 2), ("&view=graph.n_layers.2", 2)):
        frame = graph_of(page, view)
        for who in ("held", "nodes[3].id", "nodes.find((n) => n.dropped).id"):
            name = frame.evaluate(f"() => {{ hold({who}, false); return lit(); }}")
            drawn = frame.evaluate(DRAWN)
            assert len(drawn["curves"]) > 500
            for word in drawn["words"]:
                crossed = [
                    (x, y)
                    for curve in drawn["curves"]
                    for x, y in curve
                    if word["left"] < x < word["right"] and abs(y - word["y"]) < 4
                ]
                assert not crossed, word["text"]
            said = [w["text"] for w in drawn["words"] if "weights" in w["text"]]
            label = frame.evaluate("byId.get(held).label")
            told = f"weights of {label}" if not view else "its weights"
            assert said == [told] * (1 if name.startswith("residual") else n_heads)


def test_keys_move_along_a_column_and_its_heaviest_edges(page):
    frame = graph_of(page)
    best = frame.evaluate("held")
    frame.locator("#graph").focus()
    page.keyboard.press("ArrowRight")
    out = frame.evaluate("held")
    parts = f"[...joined.get('{best}')].filter(([id]) => byId.get(id).side === 'right')"
    heaviest = f"{parts}.sort((a, b) => b[1].part - a[1].part)[0][0]"
    assert out == frame.evaluate(heaviest)
    number = out.split("-")[2]
    expect(page.get_by_text(f"Residual dimension {number}")).to_be_visible()
    for key in ("ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    assert frame.evaluate("byId.get(held).kind") == "neuron"


def test_a_row_of_who_writes_to_a_dimension_is_held_in_its_own_layer(page):
    frame = graph_of(page, "&view=graph.layer.12")
    at_node(page, frame, "nodes.find((n) => n.id.startsWith('residual-12'))")
    page.mouse.down()
    page.mouse.up()
    expect(
        page.get_by_text("Most written by these neurons of layer 11")
    ).to_be_visible()
    choose_row(page, 1)
    expect(page.get_by_text("Layer 11 joins")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(re.compile(r"L11·\d+: rank"))).to_be_visible()
    again = picture(page)
    again.wait_for_function("() => held.startsWith('neuron-11')")
    index = again.evaluate("held").split("-")[2]
    expect(page.get_by_text(re.compile(rf"L11·{index}: rank"))).to_be_visible()


def test_a_node_of_the_network_is_held_and_opens_in_explore(page):
    frame = graph_of(page)
    box = page.locator("iframe").first.bounding_box()
    removed = frame.evaluate("nodes.find((n) => n.dropped).id")
    at_node(page, frame, "nodes.find((n) => n.dropped)")
    page.mouse.down()
    page.mouse.up()
    _, layer, index = removed.split("-")
    line = page.get_by_text(re.compile(rf"L{layer}·{index}: rank .* removed"))
    expect(line).to_be_visible()
    at_node(page, frame, "nodes.findLast((n) => n.dropped)")
    aside = frame.evaluate(NODE.replace("NODE", "nodes.findLast((n) => n.dropped)"))
    page.mouse.click(box["x"] + aside["x"] + 60, box["y"] + aside["y"])  # its name
    frame.wait_for_function("() => held === nodes.findLast((n) => n.dropped).id")
    at_node(page, frame, "nodes.find((n) => n.dropped)")
    page.mouse.down()
    page.mouse.up()
    expect(line).to_be_visible()
    assert frame.evaluate("held") == removed
    assert page.locator("iframe").first.bounding_box() == box
    page.get_by_role("button", name="Open in Explore").click()
    agreed(page)
    assert ask(page, "x.chosen") == {"layer": int(layer), "neuron": int(index)}
    page.get_by_role("link", name="Graph", exact=True).click()  # it is held there too
    expect(line).to_be_visible(timeout=60_000)
    again = picture(page)
    again.wait_for_function(f"() => held === '{removed}'")


# The drawing by itself

MLP = """async ([url, look]) => {
    const { arranged, draw } = await import(url);
    const sizes = [3, 4, 3, 2];
    const layers = ["input", "hidden 1", "hidden 2", "output"].map((name) =>
        ({ name }));
    const nodes = sizes.flatMap((n, layer) => Array.from({ length: n }, (_, i) => (
        { layer, colour: "rgb(0 114 178)", gone: layer === 1 && i === 2, size: 1,
          label: `${"xhky"[layer]}${i + 1}` })));
    const starts = [0, 3, 7, 10];
    const edges = [];
    for (let l = 0; l < 3; l++)
        for (let a = 0; a < sizes[l]; a++)
            for (let b = 0; b < sizes[l + 1]; b++) {
                const [from, to] = [starts[l] + a, starts[l + 1] + b];
                const weight = ((7 * from + 3 * to) % 10) / 9;
                edges.push({ from, to, weight, gone: from === 5 || to === 5,
                             strong: from === 0 && to === 4,
                             label: l === 2 ? weight.toFixed(1) : undefined });
            }
    edges.sort((a, b) => b.weight - a.weight);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [640, 420];
    document.body.replaceChildren(canvas);
    const c = canvas.getContext("2d");
    c.fillStyle = look.background;
    c.fillRect(0, 0, 640, 420);
    c.font = "12px sans-serif";
    const scene = arranged({ layers, nodes, edges }, { width: 640, height: 420 });
    for (const edge of scene.edges) {
        const { x, y } = scene.nodes[edge.from];
        if (edge.label) edge.via = { x: x + 20 * (edge.to - 10), y: y + 40, half: 9 };
    }
    const drawn = draw(c, scene, look);
    const at = (x, y) => [...c.getImageData(Math.round(x), Math.round(y), 1, 1).data];
    return { drawn, beside: scene.nodes.map((n) => at(n.x + 0.75 * n.r, n.y)),
             nodes: scene.nodes, alpha: c.globalAlpha };
}"""
LIGHT = {
    "text": "#1f2430", "accent": "#0072b2", "neutral": "#6b7280",
    "background": "#ffffff",
}  # fmt: skip


@pytest.fixture(scope="module")
def blank(browser):
    page = browser.new_page()
    yield page
    page.close()


def test_a_small_network_is_drawn_from_its_plain_description(blank):
    found = blank.evaluate(MLP, [url("common/graph.js"), LIGHT])
    assert found["drawn"] == {"nodes": 12, "edges": 30, "gone": 6}
    assert found["alpha"] == 1  # the context is left as it was
    for place, pixel in enumerate(found["beside"]):
        blue = pixel[:3] == [0, 114, 178]
        assert blue == (place != 5), place  # the one that is gone is hollow
    tops = [node["y"] - node["r"] for node in found["nodes"]]
    assert tops == sorted(tops)
    assert (
        min(node["x"] - node["r"] for node in found["nodes"]) > 60
    )  # beside the names
    assert max(node["x"] + node["r"] for node in found["nodes"]) < 640


LAID = "async ([url, ...of]) => (await import(url)).laid(...of)"


@pytest.mark.parametrize("focus", [None, 0, 7, 29])
@pytest.mark.parametrize("n", [1, 2, 3, 30, 80])
def test_rows_lie_one_below_the_other_within_the_canvas(blank, n, focus):
    layers = list(range(n))
    focus = focus if focus is None or focus < n else None
    rows = blank.evaluate(LAID, [url("explorer/layout.js"), layers, 400, 1, focus])
    assert [r["layer"] for r in rows] == layers
    for one, other in itertools.pairwise(rows):
        assert one["top"] + one["height"] <= other["top"] + (n > 60)
    assert rows[0]["top"] >= 0
    assert rows[-1]["top"] + rows[-1]["height"] <= 400 + (n > 60)
    if focus is not None and n > 2:
        near = [r for r in rows if abs(r["layer"] - focus) <= 1]
        assert all(r["height"] >= 14 for r in near)
        gaps = [b["top"] - a["top"] - a["height"] for a, b in itertools.pairwise(near)]
        assert min(gaps) >= 40
