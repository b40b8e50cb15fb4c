"""Centrality against the authors' numbers, networkx, hand-worked cases, properties."""

import itertools
import json
from functools import partial
from pathlib import Path

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrank.calibration.activations import LayerStats
from llmrank.methods import pagerank
from llmrank.methods.graph import FFNGraph
from llmrank.methods.pagerank import modified_pagerank, weighted_pagerank
from llmrank.models.ffn import FFN

DATA = Path(__file__).parents[1] / "data"
SHARES = st.floats(0, 1)


def reference_cases():
    for file in ("pagerank_dense.json", "pagerank_with_zeros.json"):
        content = json.loads((DATA / file).read_text())
        for number, case in enumerate(content["cases"]):
            yield pytest.param(content["blocks"], case, id=f"{file}-{number}")


def as_graph(block):
    """A graph of the reference, in float64."""
    t = {name: torch.tensor(v, dtype=torch.float64) for name, v in block.items()}
    stats = LayerStats(
        input_norm=t["input_norm"],
        up_norm=t["up_norm"],
        neuron_norm=t["neuron_norm"],
        neuron_mean=torch.zeros_like(t["neuron_norm"]),
        neuron_abs_mean=torch.zeros_like(t["neuron_norm"]),
        output_norm=t["output_norm"],
        block_cosine=1.0,
        block_angle=0.0,
    )
    return FFNGraph(FFN(0, None, t["up"], t["down"], None, None, None), stats, 1)


@pytest.mark.parametrize(("blocks", "case"), list(reference_cases()))
def test_chains_agree_with_the_authors_code(blocks, case):
    graphs = [as_graph(b) for b in blocks]
    step = modified_pagerank
    if case["variant"] == "weighted":
        step = partial(weighted_pagerank, theta=case["theta"], gamma=case["gamma"])
    walk = pagerank.isolated if case["graph"] == "isolated" else pagerank.chained
    scores = walk(graphs, step, case["site"])
    for ours, theirs in zip(scores, case["scores"], strict=True):
        expected = torch.tensor(theirs, dtype=torch.float64)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.85])
def test_chain_agrees_with_networkx(theta, gamma):
    """DESIGN §5: personalised pagerank on the layered graph, times its node layers."""
    g = torch.Generator().manual_seed(1)
    sizes = [5, 7, 5, 6]
    edges = [
        torch.randn(n_out, n_in, generator=g, dtype=torch.float64)
        for n_in, n_out in itertools.pairwise(sizes)
    ]
    priors = [torch.rand(n, generator=g, dtype=torch.float64) for n in sizes]
    priors = [b / b.sum() for b in priors]
    scores = [priors[0]]
    for weights, prior in zip(edges, priors[1:], strict=True):
        scores.append(
            weighted_pagerank(weights, scores[-1], prior, theta=theta, gamma=gamma)
        )

    network = nx.DiGraph()
    for layer, weights in enumerate(edges):
        mixed = theta * weights.abs() / weights.abs().sum(0) + (1 - theta) / len(
            weights
        )
        for j in range(weights.shape[0]):
            for i in range(weights.shape[1]):
                network.add_edge((layer, i), (layer + 1, j), weight=float(mixed[j, i]))
    start = {(0, i): float(b) for i, b in enumerate(priors[0])}
    personal = {
        (layer, i): float(b) / len(sizes)
        for layer, prior in enumerate(priors)
        for i, b in enumerate(prior)
    }
    ranks = nx.pagerank(
        network,
        alpha=gamma,
        personalization=personal,
        dangling=start,
        tol=1e-14,
        max_iter=1000,
    )
    for layer in (1, 2, 3):
        theirs = torch.tensor(
            [ranks[(layer, i)] * len(sizes) for i in range(sizes[layer])],
            dtype=torch.float64,
        )
        torch.testing.assert_close(scores[layer], theirs, rtol=0, atol=1e-8)


def test_one_step_by_hand():
    """W = [[1, 0], [3, 2]]: columns sum to 4 and 2; s = (.5, .5); b = (.25, .75)."""
    edges = torch.tensor([[1.0, 0.0], [-3.0, 2.0]])
    mass, prior = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 3.0])
    by_weight = weighted_pagerank(edges, mass, prior, theta=1.0, gamma=1.0)
    by_degree = weighted_pagerank(edges, mass, prior, theta=0.0, gamma=1.0)
    mixed = weighted_pagerank(edges, mass, prior, theta=0.5, gamma=0.5)
    torch.testing.assert_close(by_weight, torch.tensor([0.125, 0.875]))
    torch.testing.assert_close(by_degree, torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(mixed, torch.tensor([0.21875, 0.78125]))
    # modified: |W| s = (.5, 2.5), times b = (.125, 1.875), sum 2
    torch.testing.assert_close(
        modified_pagerank(edges, mass, prior), torch.tensor([0.0625, 0.9375])
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_any_dtype_of_edges_is_taken(dtype):
    edges = torch.tensor([[1, -2], [3, 4], [0, 1]]).to(dtype)
    mass, prior = torch.ones(2), torch.ones(3)
    ours = weighted_pagerank(edges, mass, prior, theta=1.0, gamma=1.0)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(
        ours, weighted_pagerank(edges.float(), mass, prior, theta=1.0, gamma=1.0)
    )


def test_all_zero_prior_and_weights_mean_uniform():
    nothing = torch.zeros(4, 3)
    scores = weighted_pagerank(
        nothing, torch.zeros(3), torch.zeros(4), theta=0.5, gamma=0.5
    )
    torch.testing.assert_close(scores, torch.full((4,), 0.25))
    torch.testing.assert_close(
        modified_pagerank(nothing, torch.ones(3), torch.ones(4)), torch.full((4,), 0.25)
    )
    lost = weighted_pagerank(
        nothing, torch.ones(3), torch.ones(4), theta=1.0, gamma=1.0
    )
    torch.testing.assert_close(lost, torch.full((4,), 0.25))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad):
    edges, mass, prior = torch.ones(2, 2), torch.ones(2), torch.ones(2)
    broken = torch.tensor([1.0, bad])
    for arguments in ((edges * broken, mass, prior), (edges, broken, prior)):
        with pytest.raises(ValueError, match="must be finite"):
            weighted_pagerank(*arguments, theta=0.5, gamma=0.5)
    with pytest.raises(ValueError, match="prior must be finite"):
        modified_pagerank(edges, mass, broken)
    with pytest.raises(ValueError, match="mass must not be negative"):
        modified_pagerank(edges, -mass, prior)


@pytest.mark.parametrize("name", ["theta", "gamma"])
@pytest.mark.parametrize("bad", [-0.01, 1.01, float("nan")])
def test_shares_outside_their_range_are_refused(name, bad):
    shares = {"theta": 0.5, "gamma": 0.5, name: bad}
    one = torch.ones(1)
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\], got"):
        weighted_pagerank(torch.ones(1, 1), one, one, **shares)


def random_case(seed, n_out, n_in):
    g = torch.Generator().manual_seed(seed)
    edges = torch.randn(n_out, n_in, generator=g, dtype=torch.float64)
    edges[torch.rand(n_out, n_in, generator=g) < 0.2] = 0
    mass = torch.rand(n_in, generator=g, dtype=torch.float64)
    prior = torch.rand(n_out, generator=g, dtype=torch.float64)
    return edges, mass, prior, g


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), SHARES, SHARES)
def test_scores_sum_to_one_and_are_not_negative(seed, n_out, n_in, theta, gamma):
    edges, mass, prior, _ = random_case(seed, n_out, n_in)
    for scores in (
        weighted_pagerank(edges, mass, prior, theta=theta, gamma=gamma),
        modified_pagerank(edges, mass, prior),
    ):
        assert abs(float(scores.sum()) - 1) < 1e-9
        assert (scores >= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 9), SHARES, SHARES)
def test_permuting_neurons_permutes_scores(seed, n_out, n_in, theta, gamma):
    edges, mass, prior, g = random_case(seed, n_out, n_in)
    order = torch.randperm(n_out, generator=g)
    for step in (
        partial(weighted_pagerank, theta=theta, gamma=gamma),
        modified_pagerank,
    ):
        permuted = step(edges[order], mass, prior[order])
        torch.testing.assert_close(permuted, step(edges, mass, prior)[order])
