"""Hints of compressibility: by hand, at their ends, and as other sums say them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrank.methods.allocation.by_scores import effective_neurons, pq_index

SCORES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


def test_the_effective_number_by_hand():
    """Shares ½, ¼, ¼: squares sum to 3/8."""
    assert effective_neurons(torch.tensor([2.0, 1.0, 1.0])) == pytest.approx(8 / 3)


@pytest.mark.parametrize("n", [1, 7, 1536])
@pytest.mark.parametrize("value", [0.0, 0.25, 3.0])
def test_equal_scores_are_all_effective_and_not_compressible(n, value):
    scores = torch.full((n,), value)
    assert effective_neurons(scores) == pytest.approx(n)
    assert pq_index(scores) == pytest.approx(0, abs=1e-9)


def test_one_neuron_that_has_all_is_the_other_end():
    scores = torch.tensor([0.0, 5.0, 0.0, 0.0])
    assert effective_neurons(scores) == 1
    # 4^(1 − 2) · 5 / 5 and 4^(½ − 1) · 5 / 5
    assert pq_index(scores) == pytest.approx(1 - 1 / 4)
    assert pq_index(scores, p=1.0, q=2.0) == pytest.approx(1 - 1 / 2)


def test_the_pq_index_by_hand():
    """(√9 + √1)² = 16 against 9 + 1, over two; and 10 against √82, over √2."""
    scores = torch.tensor([9.0, 1.0])
    assert pq_index(scores) == pytest.approx(1 - 16 / 20)
    assert pq_index(scores, p=1.0, q=2.0) == pytest.approx(1 - 10 / 164**0.5)


@settings(max_examples=80, deadline=None)
@given(SCORES, st.floats(0.01, 100))
def test_hints_lie_in_their_range_whatever_the_scale(values, scale):
    scores = torch.tensor(values, dtype=torch.float64)
    n = effective_neurons(scores)
    index = pq_index(scores)
    assert 1 - 1e-9 <= n <= len(values) + 1e-9
    assert -1e-9 <= index <= 1
    assert effective_neurons(scale * scores) == pytest.approx(n)
    assert pq_index(scale * scores) == pytest.approx(index, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(SCORES)
def test_with_other_exponents_the_pq_index_says_the_effective_number(values):
    """p = 1, q = 2: (1 − I)² n is the effective number, by another formula."""
    scores = torch.tensor(values, dtype=torch.float64)
    by_index = (1 - pq_index(scores, p=1.0, q=2.0)) ** 2 * len(values)
    assert by_index == pytest.approx(effective_neurons(scores))


@pytest.mark.parametrize(("p", "q"), [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_exponents_that_make_no_index_are_refused(p, q):
    with pytest.raises(ValueError, match="0 < p < q, got p="):
        pq_index(torch.ones(3), p=p, q=q)
