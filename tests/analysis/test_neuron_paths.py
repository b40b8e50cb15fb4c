"""The strongest paths between many neurons, and which neurons a canvas asks for."""

import itertools

import pytest
import torch
from conftest import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrank.analysis.neuron import (
    Neuron,
    Range,
    View,
    edges,
    in_range,
    paths,
    selection,
    strongest_paths,
)
from llmrank.core.errors import OptionError
from llmrank.methods.pagerank import weighted_pagerank
from llmrank.models import ffn

WIDTHS = (24, 31, 9, 18)
D_MODEL = 12


def layers_of(widths=WIDTHS, seed=0, *, spread=1.0):
    """FFN views with neurons of very different sizes, as real ones have."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    return tuple(
        ffn.FFN(
            layer=layer,
            gate=None,
            up=random(n, D_MODEL) * (spread * random(n, 1)).exp(),
            down=random(D_MODEL, n),
            gate_bias=None,
            up_bias=None,
            down_bias=None,
        )
        for layer, n in enumerate(widths)
    )


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(strongest_paths, "BLOCK", 4)


def flows(layers):
    """Every flow by the PageRank's own step at θ = γ = 1, from one neuron at a time."""
    found = {}
    for here, after in itertools.pairwise(layers):
        for j in range(here.d_ff):
            mass = torch.zeros(here.d_ff)
            mass[j] = 1.0
            for edge in (here.down, after.up):
                prior = torch.ones(len(edge))
                mass = weighted_pagerank(edge, mass, prior, theta=1.0, gamma=1.0)
            for k, flow in enumerate(mass.tolist()):
                found[here.layer, j, k] = flow
    return found


def listed(found):
    columns = (found.layer, found.source, found.target)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def assert_strongest(found, layers, selected, among, n):
    """Compare with plain loops; paths equal up to rounding may change places."""

    def inside(layer, neuron, of):
        return of is None or neuron in of.get(layer, torch.empty(0)).tolist()

    wanted = {
        (layer, j, k): flow
        for (layer, j, k), flow in flows(layers).items()
        if (inside(layer, j, selected) or inside(layer + 1, k, selected))
        and inside(layer, j, among) and inside(layer + 1, k, among)
    }  # fmt: skip
    ours = listed(found)
    assert len(set(ours)) == len(ours) == min(n, len(wanted))
    assert found.flow.tolist() == pytest.approx([wanted[at] for at in ours])
    assert found.flow.tolist() == sorted(found.flow.tolist(), reverse=True)
    others = [flow for at, flow in wanted.items() if at not in set(ours)]
    assert max(others, default=0) <= float(found.flow[-1]) * (1 + 1e-5)


FIVES = {1: torch.arange(5), 2: torch.arange(5)}
SELECTIONS = [
    ({1: torch.tensor([3])}, None, 20),
    ({1: torch.arange(31)}, None, 40),
    ({0: torch.tensor([0, 5]), 1: torch.tensor([2]), 3: torch.arange(18)}, None, 90),
    ({2: torch.arange(9)}, {1: torch.arange(7), 2: torch.arange(9)}, 25),
    (FIVES, FIVES, 9),
    ({0: torch.arange(24)}, None, 10_000),
]  # fmt: skip


@pytest.mark.parametrize(("selected", "among", "n"), SELECTIONS)
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
@pytest.mark.usefixtures("small_blocks")
def test_the_strongest_paths_are_those_of_the_pageranks_own_steps(
    selected, among, n, spread
):
    layers = layers_of(spread=spread)
    found = paths(layers, selected, n, among=among)
    assert_strongest(found, layers, selected, among, n)


@given(st.integers(0, 2**31), st.integers(1, 60), st.floats(0, 4))
@settings(max_examples=40, deadline=None)
def test_leaving_out_short_pairs_leaves_out_no_strong_path(seed, n, spread):
    layers = layers_of((17, 23), seed, spread=spread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strongest_paths, "BLOCK", 3)
        found = paths(layers, {0: torch.arange(17)}, n)
    assert_strongest(found, layers, None, None, n)


@pytest.mark.usefixtures("small_blocks")
def test_short_pairs_are_really_left_out(monkeypatch):
    layers, offered = layers_of((64, 64), spread=3.0), []
    offer = strongest_paths._Best.offer

    def counted(self, layer, sources, targets, flow):
        offered.append(flow.numel())
        offer(self, layer, sources, targets, flow)

    monkeypatch.setattr(strongest_paths._Best, "offer", counted)
    paths(layers, {0: torch.arange(64)}, 10)
    assert sum(offered) < 64 * 64 / 2
    assert max(offered) <= 16


def test_of_one_neuron_they_are_the_paths_of_its_edges(tiny):
    for at in (Neuron(0, 3), Neuron(1, 7)):
        one = edges(tiny, at, n=24)
        known = {p.neuron.index: p.flow for p in (*one.following, *one.preceding)}
        found = paths(ffn.ffns(tiny.model), {at.layer: torch.tensor([at.index])}, 24)
        others = found.target if at.layer == 0 else found.source
        assert dict(
            zip(others.tolist(), found.flow.tolist(), strict=True)
        ) == pytest.approx(known)


def test_equal_paths_come_by_layer_source_and_target():
    layers = tuple(
        ffn.FFN(i, None, torch.ones(6, 2), torch.ones(2, 6), None, None, None)
        for i in range(3)
    )
    found = paths(layers, {1: torch.tensor([1, 4])}, 8)
    assert listed(found) == [(0, j, k) for j in range(4) for k in (1, 4)]


def test_what_has_no_weight_has_no_path():
    lm = tiny_model()
    first, second = ffn.projections(lm.model)
    first.down.weight[:, 5] = 0
    second.up.weight[8] = 0
    found = paths(ffn.ffns(lm.model), {0: torch.arange(24)})
    assert len(found.flow) == 23 * 23
    assert 5 not in found.source
    assert 8 not in found.target
    assert len(paths(ffn.ffns(lm.model), {0: torch.tensor([5])}).flow) == 0
    assert len(paths(ffn.ffns(lm.model), {}).flow) == 0


@pytest.mark.parametrize(
    ("selected", "n", "said"),
    [({2: torch.tensor([0])}, 1, "layer must lie in 0 to 1"),
     ({0: torch.tensor([3, 24])}, 1, "neuron must lie in 0 to 23"),
     ({0: torch.tensor([3])}, 0, "n must be a whole number of at least 1")],
)  # fmt: skip
def test_what_cannot_be_is_refused(tiny, selected, n, said):
    with pytest.raises(OptionError, match=said):
        paths(ffn.ffns(tiny.model), selected, n)


# Selections

SCORES = tuple(
    torch.rand(n, generator=torch.Generator().manual_seed(n)) for n in (400, 500, 300)
)
BRUSH = Range(1, 20, 80)


def by_rank(layer):
    return sorted(range(len(SCORES[layer])), key=lambda i: -SCORES[layer][i])


@pytest.mark.parametrize(
    ("view", "selected", "said"),
    [
        (View(), None, None),
        (View(brush=BRUSH), {1: sorted(by_rank(1)[20:80])}, "the 60 neurons"),
        (View(brush=BRUSH, by_rank=False), {1: list(range(20, 80))}, "the 60 neurons"),
        (View(brush=BRUSH, held=Neuron(0, 7)), {0: [7]}, "the neuron held"),
        (View(layer=2, brush=Range(0, 1, 9)), {2: list(range(300))}, "layer 2's 300 n"),
        (View(layer=1, brush=BRUSH, first=50, end=400),
         {1: sorted(by_rank(1)[50:80])}, "30 of the 60 neurons brushed in layer 1"),
        (View(held=Neuron(9, 0)), None, None),
        (View(layer=9), None, None),
        (View(layer=1, end=200, held=Neuron(1, 499), by_rank=False),
         {1: list(range(200))}, "200 of layer 1's 500"),
    ],
)  # fmt: skip
def test_the_most_particular_thing_in_view_is_selected(view, selected, said):
    found = selection(SCORES, view, d_model=8)
    if selected is None:
        assert found is None
        return
    assert {layer: n.tolist() for layer, n in found.selected.items()} == selected
    assert found.said.startswith(said)


def test_few_neurons_in_view_are_all_selected():
    found = selection(SCORES, View(first=10, end=110, held=Neuron(1, 3)), d_model=8)
    assert found.said == "all 300 neurons in view"
    assert found.selected == found.among
    assert {k: v.tolist() for k, v in found.among.items()} == {
        layer: sorted(by_rank(layer)[10:110]) for layer in range(3)
    }
    assert selection(SCORES, View(first=10, end=111), d_model=8) is None


def test_paths_of_a_view_stay_in_it():
    found = selection(SCORES, View(end=250, brush=BRUSH), d_model=8)
    assert {k: v.tolist() for k, v in found.among.items()} == {
        layer: sorted(by_rank(layer)[:250]) for layer in range(3)
    }


def test_of_very_many_the_highest_are_taken():
    found = selection(SCORES, View(layer=1), d_model=10**6)
    assert found.selected[1].tolist() == sorted(by_rank(1)[:64])
    assert found.said == "64 of layer 1's 500 neurons"


def test_a_range_keeps_its_order():
    assert in_range(SCORES, BRUSH, by_rank=True).tolist() == by_rank(1)[20:80]
    assert in_range(SCORES, Range(7, 0, 9), by_rank=True).tolist() == []
