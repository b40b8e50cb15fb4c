"""The canvas' arithmetic in Chromium against llmrank: the same neurons, one by one."""

import base64

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmrank.methods.allocation import allocation
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningSpec, plan
from llmrank.methods.response_planes import EXPONENTS, Planes
from llmrank.report.payload import cut_crc, of_planes, of_response_planes, pack
from pages.shared.app.assets import module

CUT = """async ([url, shape, cases]) => {
    const { Engine } = await import(url);
    const planes = shape.planes.map((p) => Float32Array.from(p));
    const engine = new Engine(shape.widths, planes, shape.exponents);
    return cases.map((c) => [...engine.update(c).droppedSet()]);
}"""
UNPACK = """async ([url, data]) => {
    const { unpack } = await import(url);
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    try {
        const { widths, names, planes } = unpack(bytes);
        return { widths, names, planes: planes.map((p) => [...p]) };
    } catch (error) {
        return `${error.constructor.name}: ${error.message}`;
    }
}"""
SECTIONS = """async ([url, data]) => {
    const { unpack } = await import(url);
    const payload = unpack(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
    const plain = (of) => (ArrayBuffer.isView(of) ? [...of] : of);
    return Object.fromEntries(Object.entries(payload).map(([k, v]) => [k, plain(v)]));
}"""
SHELVED = """async ([url, whole, damaged]) => {
    const shelf = await import(url);
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const carry = (text) => shelf.default({ data: bytes(text), parentElement: {} });
    carry(whole);
    const leave = carry(damaged);
    const said = shelf.take("fault");
    leave();
    return [shelf.take("n").names, said, shelf.take("fault") ?? null];
}"""
CASES = [
    {"theta": t, "gamma": g, "sparsity": s, "allocation": name, "multipleOf": m}
    for t, g in [(0.5, 0.5), (0, 0), (1, 1), (0, 1), (0.37, 0.81)]
    for s, name, m in [
        (0.3, "uniform", 1), (0.3, "global", 1), (0.55, "uniform", 8),
        (0.95, "global", 4), (0, "uniform", 1), (0.5, "global", 32),
    ]
]  # fmt: skip


def url(name: str) -> str:
    source = base64.b64encode(module(name).encode()).decode()
    return f"data:text/javascript;base64,{source}"


@pytest.fixture(scope="module")
def blank(browser):
    """A page without the app: modules are imported into it by themselves."""
    page = browser.new_page()
    yield page
    page.close()


def made(widths, seed=0, *, graph="isolated", ties=False):
    """Random planes; with ties many neurons are equal."""
    generator = torch.Generator().manual_seed(seed)
    n = len(EXPONENTS[graph])
    layers = [torch.rand(n, w, generator=generator) ** 4 for w in widths]
    if ties:
        layers = [(4 * layer).round() / 4 for layer in layers]
    return Planes(graph, "neuron", tuple(layers), (0.0,) * len(layers))


def dropped(planes, case):
    """Which neurons llmrank drops, as bytes."""
    scores = Scores(planes.scores(float(case["theta"]), float(case["gamma"])))
    spec = PruningSpec(sparsity=case["sparsity"], multiple_of=case["multipleOf"])
    found = plan(scores, spec, allocation(case["allocation"]))
    flags = [torch.zeros(n, dtype=torch.int) for n in found.dense_widths]
    for flag, drop in zip(flags, found.drop, strict=True):
        flag[drop] = 1
    return torch.cat(flags).tolist()


def in_browser(page, planes, cases):
    shape = {
        "widths": [layer.shape[1] for layer in planes.layers],
        "planes": [
            torch.cat([layer[k] for layer in planes.layers]).tolist()
            for k in range(len(planes.layers[0]))
        ],
        "exponents": EXPONENTS[planes.graph],
    }
    return page.evaluate(CUT, [url("explorer/engine.js"), shape, cases])


def test_widths_the_server_computed_are_kept_and_joined_by_straight_lines(blank):
    kept = blank.evaluate(
        """async (url) => {
            const { Engine } = await import(url);
            const engine = new Engine([10, 10], [new Float32Array(20)]);
            engine.table = {name: "additive", sparsities: [0, 0.2, 0.6],
                            kept: [[10, 10], [9, 7], [5, 3]]};
            const asked = [[0.2], [0.4], [0.1], [0.9], [0], [0.2, 4]];
            const kept = asked.map(([s, m]) => engine.keep(s, "additive", m ?? 1));
            return [...kept, engine.keep(0.2, "uniform", 1)];
        }""",
        url("explorer/engine.js"),
    )
    assert kept == [[9, 7], [7, 5], [10, 9], [5, 3], [10, 10], [10, 8], [8, 8]]


@pytest.mark.parametrize("graph", ["isolated", "chained"])
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(
    "widths",
    [(40, 40, 40), (64, 7, 1), (1,), (300,)],
    ids=["even", "uneven", "one", "many"],
)
def test_the_browser_drops_the_same_neurons(blank, widths, ties, graph):
    planes = made(widths, graph=graph, ties=ties)
    for case, found in zip(CASES, in_browser(blank, planes, CASES), strict=True):
        assert found == dropped(planes, case), case


def test_layers_of_zeros_keep_their_first_neurons(blank):
    layers = (torch.zeros(3, 10), torch.ones(3, 6))
    planes = Planes("isolated", "neuron", layers, (0.0, 0.0))
    for case, found in zip(CASES, in_browser(blank, planes, CASES), strict=True):
        assert found == dropped(planes, case), case


ANY_CASE = st.fixed_dictionaries(
    {
        "theta": st.floats(0, 1),
        "gamma": st.floats(0, 1),
        "sparsity": st.floats(0, 0.99),
        "allocation": st.sampled_from(["uniform", "global"]),
        "multipleOf": st.sampled_from([1, 3, 8]),
    }
)
ANY_WIDTHS = st.lists(st.integers(1, 30), min_size=1, max_size=4)


@given(ANY_WIDTHS, st.integers(0, 2**31), st.booleans(), ANY_CASE)
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_setting_drops_the_same(blank, widths, seed, ties, case):
    planes = made(widths, seed, ties=ties)
    assert in_browser(blank, planes, [case]) == [dropped(planes, case)]


def test_nearly_equal_scores_are_ordered_as_doubles(blank):
    """Their float32 images are equal; the doubles are not."""
    generator = torch.Generator().manual_seed(3)
    layer = torch.ones(3, 200)
    layer[0] += torch.rand(200, generator=generator) * 1e-3
    planes = Planes("isolated", "neuron", (layer,), (0.0,))
    case = CASES[0] | {"theta": 1e-6, "gamma": 1.0, "sparsity": 0.5}
    assert in_browser(blank, planes, [case]) == [dropped(planes, case)]


# Payloads


def unpacked(page, data):
    return page.evaluate(
        UNPACK, [url("common/payload.js"), base64.b64encode(data).decode()]
    )


def test_payloads_are_read_back(blank):
    planes = made((5, 2))
    found = unpacked(blank, of_response_planes("n", planes))
    assert found["widths"] == [5, 2]
    expected = [torch.cat([la[k] for la in planes.layers]).tolist() for k in range(3)]
    assert found["planes"] == expected


def test_sections_are_read_back_in_their_kinds(blank):
    sections = {
        "bytes": torch.tensor([0, 127, 255], dtype=torch.uint8),
        "signed": torch.tensor([[-127], [5]], dtype=torch.int8),
        "whole": torch.tensor([-70_000, 2**31 - 1], dtype=torch.int32),
        "real": torch.tensor([0.5, -1.25]),
        "none": torch.ones(0, 4),
    }
    found = blank.evaluate(
        SECTIONS,
        [
            url("common/payload.js"),
            base64.b64encode(pack("n", sections, classes=["a"])).decode(),
        ],
    )
    assert found.pop("name") == "n"
    assert found.pop("classes") == ["a"]
    assert found == {name: of.flatten().tolist() for name, of in sections.items()}


@pytest.mark.parametrize("left", [0, 3, 7, 30, -1, -4])
def test_a_truncated_payload_is_said(blank, left):
    whole = of_response_planes("n", made((5, 2)))
    assert unpacked(blank, whole[:left]).startswith(
        "PayloadError: The numbers arrived "
    )


def test_scores_that_are_not_numbers_are_said(blank):
    bad = of_planes("n", {"p": [torch.ones(3), torch.tensor([1.0, float("nan")])]})
    assert unpacked(blank, bad) == (
        "PayloadError: The scores of layer 1 are not numbers (NaN)."
    )


def test_a_fault_is_on_the_shelf_until_its_page_is_left(blank):
    whole = of_planes("n", {"p": [torch.ones(3)]})
    sent = [base64.b64encode(data).decode() for data in (whole, whole[:-1])]
    names, said, later = blank.evaluate(SHELVED, [url("common/shelf.js"), *sent])
    assert names == ["p"]
    assert said.startswith("The numbers arrived incomplete: ")
    assert later is None


def test_both_sides_sum_a_cut_alike(blank):
    planes = made((40, 40))
    case = CASES[0]
    scores = Scores(planes.scores(float(case["theta"]), float(case["gamma"])))
    found = plan(scores, PruningSpec(sparsity=case["sparsity"]))
    crc = blank.evaluate(
        "async ([url, b]) => (await import(url)).crc32(Uint8Array.from(b))",
        [url("common/payload.js"), dropped(planes, case)],
    )
    assert crc == cut_crc(found)
