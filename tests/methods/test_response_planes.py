"""Response planes against the recursion, the authors' numbers and plain doubles."""

import json
import math
from functools import partial
from pathlib import Path
from typing import get_args

import networkx as nx
import numpy as np
import pytest
import torch
from conftest import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pagerank import as_graph

from llmrank.calibration.activations import (
    ActivationStats,
    CalibrationSpec,
    LayerStats,
    calibrate,
    measure,
)
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.allocation import allocation
from llmrank.methods.criteria import LLMRank, Scores, score
from llmrank.methods.graph import FFNGraph, graphs
from llmrank.methods.method import Method
from llmrank.methods.pagerank import Graph, chained, weighted_pagerank
from llmrank.methods.pruning import PruningSpec, plan
from llmrank.methods.response_planes import EXPONENTS, NODES, PROBES, planes, weights
from llmrank.models.ffn import FFN, ffns
from llmrank.models.language_model import ModelSpec, load

DATA = Path(__file__).parents[1] / "data"
WINDOWS = torch.randint(0, 257, (4, 32), generator=torch.Generator().manual_seed(9))
SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
CORNERS = [(0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.3, 0.9)]
BY = pytest.mark.parametrize(("theta", "gamma"), CORNERS)


def drawn_from(lm):
    stats = ActivationStats(measure(lm, WINDOWS), WINDOWS.numel(), "random tokens", "")
    return graphs(ffns(lm.model), stats)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def drawn(request):
    return drawn_from(tiny_model(request.param))


def random_graph(seed, d_ff, d_model, *, zeros=0.2, dead=0):
    """A layer in float64 with absent edges; the first `dead` inputs have none."""
    g = torch.Generator().manual_seed(seed)
    up = torch.randn(d_ff, d_model, generator=g, dtype=torch.float64)
    up[torch.rand(d_ff, d_model, generator=g) < zeros] = 0
    up[:, :dead] = 0
    down = torch.randn(d_model, d_ff, generator=g, dtype=torch.float64)
    norms = [
        torch.rand(n, generator=g, dtype=torch.float64)
        for n in (d_model, d_ff, d_ff, d_ff, d_ff, d_model)
    ]
    return FFNGraph(
        FFN(0, None, up, down, None, None, None), LayerStats(*norms, 1.0, 0.0), 1
    )


def stepped(g, site, theta, gamma):
    return weighted_pagerank(
        g.in_edges, g.stats.input_norm, g.prior(site), theta=theta, gamma=gamma
    )


# The isolated graph: exact


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dead=st.integers(0, 9),
    theta=SHARES,
    gamma=SHARES,
)
def test_isolated_planes_are_one_step(seed, sizes, dead, theta, gamma):
    """Inputs without edges lose their mass; what is left is divided by its sum."""
    g = random_graph(seed, *sizes, dead=dead)
    made = planes([g], graph="isolated", site="neuron")
    found = Scores(made.scores(theta, gamma)).normalised
    expected = stepped(g, "neuron", theta, gamma)
    torch.testing.assert_close(found[0], expected, rtol=2e-6, atol=1e-12)


@BY
@pytest.mark.parametrize("site", ["neuron", "up"])
def test_isolated_planes_give_what_weighted_pagerank_gives(drawn, site, theta, gamma):
    found = planes(drawn, graph="isolated", site=site).scores(theta, gamma)
    for g, ours in zip(drawn, found, strict=True):
        expected = stepped(g, site, theta, gamma).double()
        torch.testing.assert_close(ours, expected, rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize("file", ["pagerank_dense.json", "pagerank_with_zeros.json"])
def test_isolated_planes_agree_with_the_authors_code(file):
    content = json.loads((DATA / file).read_text())
    drawn = [as_graph(b) for b in content["blocks"]]
    cases = [
        c
        for c in content["cases"]
        if c["variant"] == "weighted" and c["graph"] == "isolated"
    ]
    assert cases
    for case in cases:
        made = planes(drawn, graph="isolated", site=case["site"])
        found = Scores(made.scores(case["theta"], case["gamma"])).normalised
        for ours, theirs in zip(found, case["scores"], strict=True):
            expected = torch.tensor(theirs, dtype=torch.float64)
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.85])
def test_isolated_planes_agree_with_networkx(theta, gamma):
    """DESIGN §5: two node layers, without absent edges, half the mass in each."""
    g = random_graph(3, 6, 5, zeros=0)
    start, prior = (n / n.sum() for n in (g.stats.input_norm, g.stats.neuron_norm))
    weights = g.in_edges.abs() / g.in_edges.abs().sum(0)
    network = nx.DiGraph()
    for (j, i), weight in np.ndenumerate((theta * weights + (1 - theta) / 6).numpy()):
        network.add_edge(("in", i), ("out", j), weight=weight)
    mass = {("in", i): float(s) for i, s in enumerate(start)}
    personal = {("out", j): float(b) / 2 for j, b in enumerate(prior)}
    personal |= {node: s / 2 for node, s in mass.items()}
    ranks = nx.pagerank(
        network,
        alpha=gamma,
        personalization=personal,
        dangling=mass,
        tol=1e-12,
        max_iter=1000,
    )
    (found,) = planes([g], graph="isolated", site="neuron").scores(theta, gamma)
    theirs = [2 * ranks["out", j] for j in range(6)]
    assert found.tolist() == pytest.approx(theirs, rel=1e-6)


def test_isolated_planes_by_hand():
    """The graph of `test_centrality.test_one_step_by_hand`."""
    up = torch.tensor([[1.0, 0.0], [-3.0, 2.0]])
    two, prior = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 3.0])
    stats = LayerStats(two, prior, prior, prior, prior, two, 1.0, 0.0)
    g = FFNGraph(FFN(0, None, up, up.T, None, None, None), stats, 1)
    made = planes([g], graph="isolated", site="neuron")
    (layer,) = made.layers
    assert layer.dtype == torch.float32
    assert layer.tolist() == [[0.125, 0.875], [0.25, 0.75], [0.25, 0.75]]
    assert weights(made.graph, 0.25, 0.5) == (0.125, 0.375, 0.5)
    assert made.scores(0.5, 0.5)[0].tolist() == [0.21875, 0.78125]


def test_a_layer_without_weights_has_its_prior_alone():
    g = random_graph(1, 5, 3, zeros=1.1)
    made = planes([g], graph="isolated", site="neuron")
    assert made.layers[0][:2].tolist() == [[0.0] * 5] * 2
    lost = Scores(made.scores(1.0, 1.0))
    assert lost.layers[0].tolist() == [0.0] * 5
    assert lost.normalised[0].tolist() == [0.2] * 5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("kind", get_args(Graph))
def test_what_is_not_finite_is_refused(bad, kind):
    g = random_graph(1, 5, 3)
    g.ffn.up[2, 1] = bad
    with pytest.raises(ValueError, match="in_edges must be finite"):
        planes([g], graph=kind, site="neuron")
    g = random_graph(1, 5, 3)
    g.stats.neuron_norm[0] = bad
    with pytest.raises(ValueError, match="prior must be finite"):
        planes([g], graph=kind, site="neuron")


@pytest.mark.parametrize("kind", get_args(Graph))
@pytest.mark.parametrize(
    ("theta", "gamma", "said"),
    [
        (1.01, 0.5, r"theta must lie in \[0, 1\], got 1.01"),
        (0.5, -0.1, r"gamma must lie in \[0, 1\], got -0.1"),
        (math.nan, 0.5, r"theta must lie in \[0, 1\], got nan"),
    ],
)
def test_shares_outside_their_range_are_refused(drawn, kind, theta, gamma, said):
    made = planes(drawn, graph=kind, site="neuron")
    with pytest.raises(ValueError, match=said):
        made.scores(theta, gamma)


# The chained graph: as near as it says


def recursion(drawn, site, theta, gamma):
    step = partial(weighted_pagerank, theta=theta, gamma=gamma)
    return chained(drawn, step, site)


def distances(made, drawn, theta, gamma):
    pairs = zip(
        made.scores(theta, gamma),
        recursion(drawn, made.site, theta, gamma),
        strict=True,
    )
    return [float((a - b).abs().sum()) for a, b in pairs]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), SHARES, SHARES)
def test_without_absent_edges_two_layers_of_a_chain_are_exact(seed, n, theta, gamma):
    """Three steps: no power of w that has no plane."""
    drawn = [random_graph(seed + i, n + i, 4, zeros=0) for i in range(2)]
    made = planes(drawn, graph="chained", site="up")
    assert max(made.errors) < 2e-6
    assert max(distances(made, drawn, theta, gamma)) < 2e-6


@pytest.mark.parametrize("point", NODES)
def test_a_chain_is_exact_at_its_nodes(point):
    """With absent edges, inputs without any, and eight layers."""
    drawn = [random_graph(i, 7 + i, 4, dead=i % 2) for i in range(8)]
    made = planes(drawn, graph="chained", site="neuron")
    assert max(made.errors) > 1e-5
    assert max(distances(made, drawn, *point)) < 2e-6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), SHARES, SHARES)
def test_a_chains_error_is_as_large_as_it_says(seed, n, theta, gamma):
    drawn = [random_graph(seed + i, n + i, 6, zeros=0.02) for i in range(6)]
    made = planes(drawn, graph="chained", site="neuron")
    off = distances(made, drawn, theta, gamma)
    for distance, error in zip(off, made.errors, strict=True):
        assert distance <= 2 * error + 1e-6


def test_the_error_of_a_chain_is_the_largest_at_its_probes():
    drawn = [random_graph(i, 8, 5, zeros=0.1) for i in range(5)]
    made = planes(drawn, graph="chained", site="neuron")
    at_probes = [distances(made, drawn, *probe) for probe in PROBES]
    largest = [max(d) for d in zip(*at_probes, strict=True)]
    assert list(made.errors) == pytest.approx(largest, rel=1e-3, abs=1e-7)
    assert not set(NODES) & set(PROBES)


@BY
@pytest.mark.parametrize("site", ["neuron", "up"])
def test_a_models_chain_is_its_recursion(drawn, site, theta, gamma):
    made = planes(drawn, graph="chained", site=site)
    assert max(distances(made, drawn, theta, gamma)) < 5e-6
    assert [len(layer) for layer in made.layers] == [11, 11]


@pytest.mark.parametrize("file", ["pagerank_dense.json", "pagerank_with_zeros.json"])
def test_a_chain_agrees_with_the_authors_code_within_its_error(file):
    content = json.loads((DATA / file).read_text())
    drawn = [as_graph(b) for b in content["blocks"]]
    cases = [
        c
        for c in content["cases"]
        if c["variant"] == "weighted" and c["graph"] == "chained"
    ]
    assert cases
    for case in cases:
        made = planes(drawn, graph="chained", site=case["site"])
        found = made.scores(case["theta"], case["gamma"])
        for ours, theirs, error in zip(found, case["scores"], made.errors, strict=True):
            off = (ours - torch.tensor(theirs, dtype=torch.float64)).abs().sum()
            assert off <= 2 * error + 1e-5


@pytest.mark.parametrize("kind", get_args(Graph))
@settings(max_examples=60, deadline=None)
@given(SHARES, SHARES)
def test_weights_are_products_of_powers(kind, theta, gamma):
    made = planes([random_graph(1, 4, 3)], graph=kind, site="neuron")
    w, d, r = gamma * theta, gamma * (1 - theta), 1 - gamma
    expected = [w**i * d**j * r**k for i, j, k in EXPONENTS[kind]]
    assert weights(made.graph, theta, gamma) == pytest.approx(
        expected, rel=1e-14, abs=1e-300
    )


def test_no_score_of_a_chain_is_negative():
    drawn = [random_graph(i, 9, 3, zeros=0.6, dead=1) for i in range(6)]
    made = planes(drawn, graph="chained", site="neuron")
    grid = [i / 10 for i in range(11)]
    for theta in grid:
        for gamma in grid:
            assert all((s >= 0).all() for s in made.scores(theta, gamma))


# What is dropped: Python and the browser choose the same neurons


def planned(scores, *, sparsity, allocated, multiple_of):
    spec = PruningSpec(sparsity=sparsity, multiple_of=multiple_of)
    return plan(scores, spec, allocation(allocated))


def dropped_in_doubles(layers, theta, gamma, *, sparsity, allocated, multiple_of):
    """Choose as the browser does: loops over doubles, no torch."""
    scored = [
        [one_score(column, theta, gamma) for column in zip(*p, strict=True)]
        for p in layers
    ]
    widths = [len(s) for s in scored]
    if allocated == "uniform":
        kept = [n - math.floor(sparsity * n + 0.5) for n in widths]
    else:
        kept = global_counts(scored, sparsity)
    kept = [
        max(1, min(n, math.ceil(k / multiple_of) * multiple_of))
        for k, n in zip(kept, widths, strict=True)
    ]
    return [
        sorted(sorted(range(len(s)), key=lambda j, s=s: (-s[j], j))[k:])
        for s, k in zip(scored, kept, strict=True)
    ]


def one_score(column, theta, gamma):
    p, q, r = column
    a, b, c = gamma * theta, gamma * (1 - theta), 1 - gamma
    return (a * p + b * q) + c * r


def global_counts(scored, sparsity):
    every = []
    for layer, scores in enumerate(scored):
        total = 0.0
        for s in scores:
            total += s
        every += [(s / total if total else 1 / len(scores), layer) for s in scores]
    order = sorted(range(len(every)), key=lambda i: (-every[i][0], i))
    n_kept = len(every) - math.floor(sparsity * len(every) + 0.5)
    counts = [0] * len(scored)
    for i in order[:n_kept]:
        counts[every[i][1]] += 1
    return counts


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    dead=st.integers(0, 5),
    at=st.tuples(SHARES, SHARES),
    wanted=st.fixed_dictionaries(
        {
            "sparsity": st.floats(0, 0.99),
            "allocated": st.sampled_from(["uniform", "global"]),
            "multiple_of": st.sampled_from([1, 4]),
        }
    ),
)
def test_a_plan_from_planes_is_the_browsers(seed, widths, dead, at, wanted):
    drawn = [random_graph(seed + i, n, 5, dead=dead) for i, n in enumerate(widths)]
    made = planes(drawn, graph="isolated", site="neuron")
    found = planned(Scores(made.scores(*at)), **wanted)
    expected = dropped_in_doubles([p.tolist() for p in made.layers], *at, **wanted)
    assert [d.tolist() for d in found.drop] == expected


@BY
def test_the_criterion_reads_its_scores_off_the_planes(theta, gamma):
    lm = tiny_model()
    drawn = drawn_from(lm)
    stats = ActivationStats(tuple(g.stats for g in drawn), 1, "", "")
    found = score(lm, stats, LLMRank(theta=theta, gamma=gamma))
    made = planes(drawn, graph="isolated", site="neuron").scores(theta, gamma)
    for a, b in zip(found.layers, made, strict=True):
        assert torch.equal(a, b)


# Remembered


def test_stages_answer_any_theta_and_gamma_from_planes_made_once(
    tiny_folder, tiny_text
):
    model = ModelSpec(name=str(tiny_folder), device="cpu")
    read = CalibrationSpec(calibration_text=str(tiny_text), samples=2, seq_len=16)
    by = LLMRank(theta=0.7, gamma=0.2)
    asked, pipeline = Experiment(model, read, Method(by)), Pipeline()
    made = pipeline.planes(asked)
    other = LLMRank(theta=0.1, gamma=0.9)
    assert pipeline.planes(asked.using(criterion=other)) is made
    found = pipeline.scores(asked)
    again = score(pipeline.model(asked), pipeline.stats(asked), by)
    for a, b, c in zip(found.layers, made.scores(0.7, 0.2), again.layers, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


# The demo model


@pytest.fixture(scope="module")
def demo():
    lm = load("demo")
    return graphs(ffns(lm.model), calibrate(lm, CalibrationSpec(samples=2)))


@pytest.mark.slow
@BY
@pytest.mark.parametrize("allocated", ["uniform", "global"])
def test_of_the_demo_model_the_browser_drops_the_same(demo, allocated, theta, gamma):
    made = planes(demo, graph="isolated", site="neuron")
    wanted = {"sparsity": 0.3, "allocated": allocated, "multiple_of": 1}
    found = planned(Scores(made.scores(theta, gamma)), **wanted)
    expected = dropped_in_doubles(
        [p.tolist() for p in made.layers], theta, gamma, **wanted
    )
    assert found.n_dropped > 13_800
    assert [d.tolist() for d in found.drop] == expected


@pytest.mark.slow
@pytest.mark.parametrize("site", ["neuron", "up"])
def test_of_the_demo_model_a_chains_planes_drop_what_the_recursion_drops(demo, site):
    made = planes(demo, graph="chained", site=site)
    assert max(made.errors) < 2e-6
    for point in [*CORNERS, (0.8, 0.7)]:
        by_planes = plan(Scores(made.scores(*point)))
        exact = plan(Scores(recursion(demo, site, *point)))
        pairs = zip(by_planes.drop, exact.drop, strict=True)
        differing = sum(len({*a.tolist()} - {*b.tolist()}) for a, b in pairs)
        assert exact.n_dropped == 13_830
        assert differing <= 2
