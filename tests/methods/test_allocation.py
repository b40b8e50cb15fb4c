"""Allocations against plain arithmetic, brute force, and the budget they must meet."""

import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrank.calibration.activations import ActivationStats, LayerStats
from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.registry import recipe
from llmrank.methods.allocation import (
    ALLOCATIONS,
    Additive,
    AllocationInputs,
    BlockInfluence,
    ByHand,
    Effective,
    Global,
    PQIndex,
    Search,
    Sensitivity,
    Similarity,
    Standardised,
    Uniform,
    allocation,
)
from llmrank.methods.allocation.base import in_proportion
from llmrank.methods.allocation.by_cost import cheapest
from llmrank.methods.criteria import Scores
from llmrank.methods.method import method
from llmrank.methods.pruning import PruningSpec, plan

SPARSITIES = st.floats(0, 0.95)
WIDTHS = st.lists(st.integers(1, 60), min_size=1, max_size=5)


def random_scores(widths, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Scores(tuple(torch.rand(n, generator=g).pow(3) for n in widths))


def stats_of(blocks):
    """Statistics of which only what blocks do to the stream matters."""
    one = torch.ones(1)
    layers = [LayerStats(*[one] * 6, c, a) for c, a in blocks]
    return ActivationStats(tuple(layers), 1, "", "")


def convex(n_layers, weights=None):
    """Costs that rise with the square of what is cut, layer by layer more."""
    shares = (0.0, 0.25, 0.5, 0.75, 0.95)
    weights = weights or [layer + 1 for layer in range(n_layers)]
    costs = [[w * s * s for s in shares] for w in weights]
    return Sensitivity(shares, torch.tensor(costs), 1000)


def known_of(widths, seed=0):
    g = torch.Generator().manual_seed(seed)
    blocks = [(0.5 + 0.4 * float(torch.rand(1, generator=g)), 0.1 * i + 0.05)
              for i in range(len(widths))]  # fmt: skip
    return AllocationInputs(
        random_scores(widths, seed),
        stats_of(blocks),
        convex(len(widths)),
        tuple(max(1, n // 2) for n in widths),
    )


MEETS_BUDGET = [
    Global(), PQIndex(), PQIndex(p=0.3), Effective(), BlockInfluence(),
    BlockInfluence(steepness=3), Similarity(), Similarity(amplitude=0.5), Additive(),
]  # fmt: skip


@pytest.mark.parametrize("name", list(ALLOCATIONS))
def test_an_allocation_explains_itself(name):
    cls = ALLOCATIONS[name]
    first = inspect.getdoc(cls).splitlines()[0]
    assert first.endswith((".", ":")) or inspect.getdoc(cls).count("\n") > 1
    assert not first.startswith(cls.__name__ + "(")
    made = cls()
    assert made.name == name
    assert made.formula
    assert allocation(**recipe(made)) == made


@pytest.mark.parametrize("by", MEETS_BUDGET, ids=repr)
@given(widths=WIDTHS, sparsity=SPARSITIES, seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_total_is_met_exactly(by, widths, sparsity, seed):
    kept = by.widths(known_of(widths, seed), sparsity)
    total = sum(widths) - math.floor(sparsity * sum(widths) + 0.5)
    assert all(0 <= k <= n for k, n in zip(kept, widths, strict=True))
    if isinstance(by, Global):  # a threshold may empty a layer; the plan keeps one
        assert sum(kept) == total
    else:
        assert all(k >= 1 for k in kept)
        assert sum(kept) == max(len(widths), total)


@pytest.mark.parametrize("name", list(ALLOCATIONS))
@pytest.mark.parametrize("multiple_of", [1, 8])
def test_every_allocation_makes_a_plan(name, multiple_of):
    given_ = known_of((40, 24, 64))
    evidence = {n: getattr(given_, n) for n in ALLOCATIONS[name].needs}
    spec = PruningSpec(sparsity=0.4, multiple_of=multiple_of)
    made = plan(given_.scores, spec, ALLOCATIONS[name](), **evidence)
    full = (40, 24, 64)
    for width, d_ff in zip(made.widths, full, strict=True):
        assert 1 <= width <= d_ff
        assert width % multiple_of == 0 or width == d_ff
    for keep, scores in zip(made.keep, given_.scores.layers, strict=True):
        best = scores.sort(descending=True).indices[: len(keep)]
        assert set(keep.tolist()) == set(best.tolist())


@pytest.mark.parametrize("name", [n for n in ALLOCATIONS if ALLOCATIONS[n].needs])
def test_missing_evidence_is_refused(name):
    with pytest.raises(ValueError, match=f"allocation {name} needs "):
        plan(random_scores((9, 9)), PruningSpec(), ALLOCATIONS[name]())


# By hand


def test_standardised_by_hand():
    """z of (0, 2) is (−1, 1), of (0, 0, 3) it is (−0.707, −0.707, 1.414)."""
    scores = Scores((torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0, 3.0])))
    by = Standardised()
    assert by.widths(AllocationInputs(scores), 0.6) == (1, 1)
    assert by.widths(AllocationInputs(scores), 0.8) == (0, 1)
    assert by.widths(AllocationInputs(scores), 0.2) == (1, 3)


def test_equal_scores_have_no_spread_to_divide_by():
    scores = Scores((torch.ones(4), torch.ones(4)))
    assert Standardised().widths(AllocationInputs(scores), 0.5) == (4, 0)
    assert plan(scores, PruningSpec(sparsity=0.5), Standardised()).widths == (4, 1)


def test_the_effective_number_by_hand():
    """1/Σs² of (1, 1, 1, 1)/4 is 4; of (3, 1)/4 it is 16/10."""
    scores = Scores((torch.ones(4), torch.tensor([3.0, 1.0])))
    assert Effective(budget="own").widths(AllocationInputs(scores), 0.99) == (4, 1)
    # in proportion to 4 and 1.6, together 3
    assert Effective().widths(AllocationInputs(scores), 0.5) == (2, 1)


def test_the_pq_index_by_hand():
    """p = ½, q = 1: I of (1, 0) is 1 − 2^{−1}·1 = ½, of equals 0; 1 − I is kept."""
    scores = Scores((torch.tensor([1.0, 0] * 20), torch.ones(40)))
    assert PQIndex().widths(AllocationInputs(scores), 0.55) == (12, 24)


def test_similarity_by_hand():
    """1 − cosine is 0.1 and 0.3, centred and scaled −1 and 1: 30 % ∓ 10 points."""
    known = AllocationInputs(
        random_scores((100, 100)), stats_of([(0.9, 0.1), (0.7, 0.2)])
    )
    assert Similarity(amplitude=0.1).widths(known, 0.3) == (60, 80)
    assert Similarity(amplitude=0).widths(known, 0.3) == (70, 70)


def test_block_influence_by_hand():
    """z of the angles is ∓1: sigmoids of ∓1 are 0.2689 and 0.7311, together 100."""
    known = AllocationInputs(
        random_scores((100, 100)), stats_of([(0.9, 0.1), (0.7, 0.2)])
    )
    assert BlockInfluence(steepness=1).widths(known, 0.5) == (27, 73)
    assert BlockInfluence(steepness=0).widths(known, 0.5) == (50, 50)


def test_a_full_layer_gives_what_it_cannot_take_to_the_others():
    assert in_proportion([100.0, 1.0, 1.0], [10, 10, 10], 0.4) == (10, 4, 4)
    assert in_proportion([0.0, 1.0], [10, 10], 0.5) == (1, 9)
    assert in_proportion([0.0, 0.0, 1.0], [10, 10, 10], 0.1) in {(9, 8, 10), (8, 9, 10)}


@pytest.mark.parametrize("weights", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [-1.0, 1.0]])  # fmt: skip  # noqa: E501
def test_weights_that_divide_nothing_are_refused(weights):
    with pytest.raises(LLMRankError, match="choose another allocation"):
        in_proportion(weights, [10, 10], 0.5)


# Measured costs


def test_costs_are_read_on_straight_lines():
    found = Sensitivity((0.0, 0.5, 0.9), torch.tensor([[0.0, 1.0, 5.0]]), 1)
    assert found.cost(0, 0.0) == 0
    assert found.cost(0, 0.25) == pytest.approx(0.5)
    assert found.cost(0, 0.7) == pytest.approx(3.0)
    assert found.cost(0, 0.95) == pytest.approx(5.5)


def test_noise_is_not_taken_for_a_gain():
    found = Sensitivity((0.0, 0.5, 0.9), torch.tensor([[0.0, 1.0, 0.5]]), 1)
    assert found.cost(0, 0.9) == pytest.approx(1.0)


@given(
    st.lists(st.integers(2, 9), min_size=2, max_size=3),
    st.floats(0, 0.9),
    st.integers(0, 50),
)
@settings(max_examples=60, deadline=None)
def test_the_programme_finds_what_trying_all_widths_finds(widths, sparsity, seed):
    g = torch.Generator().manual_seed(seed)
    shares = (0.0, 0.3, 0.6, 0.95)
    costs = torch.rand(len(widths), 3, generator=g).cumsum(1)
    known = Sensitivity(shares, torch.cat([torch.zeros(len(widths), 1), costs], 1), 1)

    def total(kept):
        return sum(
            known.cost(layer, (n - k) / n)
            for layer, (k, n) in enumerate(zip(kept, widths, strict=True))
        )

    goal = sum(widths) - min(
        math.floor(sparsity * sum(widths) + 0.5), sum(widths) - len(widths)
    )
    every = itertools.product(*(range(1, n + 1) for n in widths))
    best = min(total(kept) for kept in every if sum(kept) == goal)
    found = cheapest(known, tuple(widths), sparsity)
    assert sum(found) == goal
    assert total(found) == pytest.approx(best, abs=1e-6)


def test_no_layer_is_cut_beyond_what_was_measured_while_another_has_room():
    """Layer 0 is so cheap that costs alone would remove it whole."""
    costs = Sensitivity((0.0, 0.7), torch.tensor([[0.0, 0.1], [0.0, 9.0]]), 1)
    assert cheapest(costs, (100, 100), 0.5) == (30, 70)
    assert cheapest(costs, (100, 100), 0.7) == (30, 30)
    assert sum(cheapest(costs, (100, 100), 0.8)) == 40


def test_at_full_size_dearer_layers_keep_more_and_the_total_is_exact():
    """Quadratic costs w·s²: the optimum has s in proportion to 1/w."""
    widths = (1536,) * 30
    weights = [1 + (layer % 3) for layer in range(30)]
    shares = tuple(s / 40 for s in range(40))
    costs = torch.tensor([[w * s * s for s in shares] for w in weights])
    kept = cheapest(Sensitivity(shares, costs, 1), widths, 0.3)
    assert sum(kept) == 46_080 - 13_824
    gone = [1 - k / 1536 for k in kept]
    exact = 0.3 * 3 / (1 + 1 / 2 + 1 / 3)
    for share, weight in zip(gone, weights, strict=True):
        assert share == pytest.approx(exact / weight, abs=0.03)


def test_costs_of_another_model_are_refused():
    with pytest.raises(LLMRankError, match="2 layers and the model has 3"):
        cheapest(convex(2), (10, 10, 10), 0.5)


def test_a_search_gives_what_it_found():
    assert Search().widths(known_of((10, 20)), 0.3) == (5, 10)


# Your own widths


def test_given_widths_are_taken_whatever_the_sparsity():
    known = AllocationInputs(random_scores((10, 20)))
    assert ByHand(kept="3, 20").widths(known, 0.9) == (3, 20)
    assert method("l1+by-hand:kept=3 20").allocation.widths(known, 0.9) == (3, 20)
    assert ByHand().widths(known, 0.9) == (10, 20)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("3", "kept names 1 widths, and the model has 2 layers"),
        ("3,x", "kept must be whole numbers between commas or spaces"),
        ("3,-1", "kept must be whole numbers between commas or spaces"),
        ("0,5", r"kept must lie in \[1, 10\] for layer 0, got 0"),
        ("3,21", r"kept must lie in \[1, 20\] for layer 1, got 21"),
        ("9" * 5000, "kept must be whole numbers"),
    ],
)
def test_widths_that_do_not_fit_are_refused(kept, said):
    with pytest.raises(OptionError, match=said):
        ByHand(kept=kept).widths(AllocationInputs(random_scores((10, 20))), 0.3)


def test_uniform_is_the_same_share_of_each():
    assert Uniform().widths(AllocationInputs(random_scores((10, 21))), 0.5) == (5, 10)


@pytest.mark.parametrize("name", list(ALLOCATIONS))
def test_an_allocation_says_of_itself_what_pages_and_commands_ask(name):
    usual = ALLOCATIONS.build(name)
    assert usual.searches is (name == "search")
    assert usual.sets_sparsity is (name == "by-hand")


def test_effective_numbers_of_their_own_set_the_sparsity():
    assert ALLOCATIONS.build("effective", budget="own").sets_sparsity
