"""Agreement of criteria: rank correlation, overlap of what is dropped, extremes."""

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from llmrank.analysis.agreement import (
    Overlap,
    agreement,
    correlations,
    disagreements,
    extremes,
    overlap,
)
from llmrank.core.statistics import average_ranks, rank_correlation, ranks
from llmrank.methods.pruning import PruningPlan


def random_scores(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_rank_correlation_is_scipys_with_and_without_ties(levels):
    a, b = (random_scores(200, 2) * levels).floor().T
    expected = spearmanr(a.numpy(), b.numpy()).statistic
    assert rank_correlation(a, b) == pytest.approx(expected, abs=1e-12)


def test_average_ranks_are_scipys():
    values = torch.tensor([3.0, 1.0, 3.0, 2.0, 3.0])
    assert average_ranks(values).tolist() == [4, 1, 4, 2, 4]
    many = (random_scores(500) * 20).floor()
    assert average_ranks(many).tolist() == rankdata(many.numpy()).tolist()


def test_rank_correlation_by_hand():
    """Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6."""
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([7.0, 5.0, 9.0, 8.0])
    assert rank_correlation(a, b) == pytest.approx(0.6)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, a.exp()) == pytest.approx(1)


def test_rank_correlation_is_none_where_it_is_not_defined():
    assert rank_correlation(torch.ones(5), random_scores(5)) is None
    assert rank_correlation(torch.ones(1), torch.ones(1)) is None


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="scores must be numbers, got NaN"):
        rank_correlation(torch.tensor([1.0, torch.nan]), torch.ones(2))


def test_overlap_by_hand():
    found = overlap(torch.tensor([1, 2, 3, 4]), torch.tensor([4, 2, 9]))
    assert found == Overlap(n_a=4, n_b=3, n_both=2)
    assert found.share == 0.5


def test_overlap_without_anything_dropped_is_not_a_number_made_up():
    nothing, some = torch.tensor([], dtype=torch.int64), torch.tensor([1, 2])
    assert overlap(nothing, nothing).share is None
    assert overlap(nothing, some).share is None
    assert overlap(some, nothing).share == 0


def test_agreement_of_layers_of_different_widths():
    a = (random_scores(6), random_scores(4, seed=1))
    b = (a[0].flip(0), a[1].clone())
    keep_a = (torch.tensor([0, 1, 2]), torch.tensor([0, 3]))
    keep_b = (torch.tensor([2, 3, 4, 5]), torch.tensor([0, 3]))
    found = agreement(a, b, *(PruningPlan(k, (6, 4)) for k in (keep_a, keep_b)))
    assert found.overlaps == (Overlap(3, 2, 0), Overlap(2, 2, 2))
    assert found.total == Overlap(5, 4, 2)
    assert found.spearman[1] == pytest.approx(1)
    together = spearmanr(torch.cat(a).numpy(), torch.cat(b).numpy()).statistic
    assert found.total_spearman == pytest.approx(together)


def test_ranks_put_the_lower_index_first_of_equals():
    assert ranks(torch.tensor([0.2, 0.5, 0.2, 0.1])).tolist() == [2, 1, 3, 4]


def test_extremes_compare_layers_by_times_uniform():
    """A wide layer's mean neuron scores less, and is no less important for it."""
    wide, narrow = torch.full((10,), 0.1), torch.tensor([0.5, 0.3, 0.2])
    wide[3], wide[7] = 0.19, 0.01
    table = extremes((wide, narrow), 2)
    assert table["extreme"].tolist() == ["highest"] * 2 + ["lowest"] * 2
    assert table["layer"].tolist() == [0, 1, 1, 0]
    assert table["neuron"].tolist() == [3, 0, 2, 7]
    expected = pytest.approx([1.9, 1.5, 0.6, 0.1], rel=1e-6)
    assert table["times_uniform"].tolist() == expected
    assert table["score"].tolist() == pytest.approx([0.19, 0.5, 0.2, 0.01], rel=1e-6)
    assert table["rank"].tolist() == [1, 1, 3, 10]


@pytest.mark.parametrize(("n", "expected"), [(1, 2), (2, 3), (9, 3)])
def test_extremes_list_no_neuron_twice(n, expected):
    table = extremes((torch.tensor([0.5, 0.3, 0.2]),), n)
    assert len(table) == len(table[["layer", "neuron"]].drop_duplicates()) == expected


# The neurons on which two criteria disagree most


def test_disagreements_by_hand():
    """Places from the lowest: a 1 2 3 4 5, b 5 2 1 4 3, so 4 0 2 0 2 of 4 steps."""
    a = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    b = torch.tensor([0.9, 0.2, 0.1, 0.5, 0.4])
    found = disagreements([a], [b], 3)
    assert found["neuron"].tolist() == [0, 2, 4]
    assert found["apart"].tolist() == [-1.0, 0.5, 0.5]
    assert found["rank_a"].tolist() == [5, 3, 1]
    assert found["rank_b"].tolist() == [1, 5, 3]


def test_disagreements_are_scipys_over_all_layers():
    a, b = random_scores(3, 40), random_scores(3, 40, seed=1)
    found = disagreements(list(a), list(b), 120)
    assert len(found) == 120
    apart = (rankdata(a.numpy(), axis=1) - rankdata(b.numpy(), axis=1)) / 39
    for row in found.itertuples():
        assert row.apart == pytest.approx(apart[row.layer, row.neuron])
    sizes = found["apart"].abs()
    assert sizes.is_monotonic_decreasing


def test_equal_scores_are_no_opinion():
    found = disagreements([torch.ones(6)], [torch.ones(6)], 6)
    assert found["apart"].tolist() == [0.0] * 6


def test_a_criterion_turned_around_disagrees_most_at_the_ends():
    a = random_scores(9)
    ends = {int(a.argmax()), int(a.argmin())}
    assert set(disagreements([a], [-a], 2)["neuron"]) == ends


def test_layers_of_one_neuron_cannot_disagree():
    found = disagreements([torch.ones(1)] * 2, [torch.rand(1)] * 2, 5)
    assert found["apart"].tolist() == [0.0, 0.0]


def test_correlations_are_the_mean_of_scipys_over_the_layers():
    generator = torch.Generator().manual_seed(3)
    scores = {
        name: [torch.rand(n, generator=generator) for n in (7, 40)] for name in "abc"
    }
    table = correlations(scores)
    for a in scores:
        for b in scores:
            by_layer = [
                spearmanr(x.numpy(), y.numpy()).statistic
                for x, y in zip(scores[a], scores[b], strict=True)
            ]
            assert table.loc[a, b] == pytest.approx(sum(by_layer) / 2)


def test_a_layer_of_equal_scores_is_left_out_of_a_correlation():
    flat = [torch.ones(4), torch.arange(4.0)]
    other = [torch.arange(4.0), torch.arange(4.0)]
    assert correlations({"a": flat, "b": other}).loc["a", "b"] == pytest.approx(1)
    alone = correlations({"a": flat[:1], "b": other[:1]})
    assert alone.isna().loc["a", "b"]
