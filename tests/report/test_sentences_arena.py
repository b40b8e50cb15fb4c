"""What an arena says: who is ahead, whether chance may be it, and when we lose."""

import dataclasses

import pandas as pd
import pytest
import torch

from llmrank.core.statistics import Estimate
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.experiments.arena import Entry, Placed
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.store import Run, RunSpec
from llmrank.methods.criteria import L1, L2, LLMRank, Random, Wanda
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningSpec
from llmrank.report.sentences.arena import correlations_sentence, pareto_sentence

NOISE = torch.linspace(-0.5, 0.5, 8)


def exact(value):
    return Estimate(value, value, value, 1)


def placed(criterion, value, *, sparsity=0.3, nll=None, half=0.1, dominated=False):
    """A cell: an interval of a given half width, and its text's windows."""
    e = Experiment(method=Method(criterion), pruning=PruningSpec(sparsity=sparsity))
    found = None
    if nll is not None:
        counts = {f.name: 100 for f in dataclasses.fields(Footprint)}
        sizes = Footprint(**(counts | {"widths": (8,)}))
        half_right = torch.full((8,), 0.5).double()
        text = TextEvaluation((nll + NOISE).double(), half_right, "a mill", "x")
        side = Side(sizes, text)
        found = Comparison(side, side)
    run = Run("id", "done", "", RunSpec(e.to_json(), 0, ("text",)), None, "now")
    y = Estimate(value, value - half, value + half, 8)
    return Placed(Entry(run, found), exact(100.0), y, dominated)


def test_the_leader_at_the_sparsity_in_hand_is_named_with_its_interval():
    points = [
        placed(LLMRank(), 2.0),
        placed(Wanda(), 3.0),
        placed(Wanda(), 1.0, sparsity=0.1),
    ]
    said = pareto_sentence(points, "perplexity_ratio", 0.3)
    assert said.startswith("At 30 % removed, **llm-rank** has the best perplexity")
    assert "2.00 [1.90, 2.10]" in said
    assert "**wanda** is behind by more than chance explains" in said
    assert "LLM-Rank leads." in said


def test_it_says_so_when_llm_rank_loses():
    points = [placed(LLMRank(), 3.0), placed(Wanda(), 2.0), placed(L1(), 9.0)]
    said = pareto_sentence(points, "perplexity_ratio", 0.3)
    assert "**wanda** has the best" in said
    assert "both others are behind by more than chance explains" in said
    assert "LLM-Rank loses: its best there, **llm-rank**, has 3.00 [2.90, 3.10]" in said


def test_intervals_that_meet_part_nobody():
    points = [placed(LLMRank(), 2.15), placed(Wanda(), 2.0), placed(L1(), 9.0)]
    said = pareto_sentence(points, "decode_ms", 0.3)
    assert "its interval does not part **llm-rank** (2.15) from it" in said
    assert "and 1 more is behind" in said
    assert "LLM-Rank cannot be told from it" in said


def test_on_text_two_methods_are_told_apart_by_window():
    """Wide intervals of their own, and yet each window tells the same difference."""
    points = [
        placed(LLMRank(), 2.1, nll=3.01, half=1.0),
        placed(Wanda(), 2.0, nll=3.0, half=1.0),
    ]
    assert "is behind" in pareto_sentence(points, "perplexity", 0.3)
    assert "does not part" in pareto_sentence(points, "decode_ms", 0.3)


def test_more_is_better_where_the_axis_says_so():
    points = [placed(Wanda(), 0.5, half=0.01), placed(Random(), 0.2, half=0.01)]
    said = pareto_sentence(points, "accuracy", 0.3)
    assert "**wanda** has the best task accuracy" in said
    assert "LLM-Rank is not measured there" in said


def test_the_nearest_sparsity_stands_for_one_that_is_not_measured():
    points = [placed(L2(), 2.0, sparsity=0.2), placed(L2(), 4.0, sparsity=0.5)]
    said = pareto_sentence(points, "perplexity_ratio", 0.3)
    assert said.startswith("At 20 % removed, **l2**")
    assert "is alone so far" in said
    assert "faded" not in said
    points.append(placed(L1(), 5.0, sparsity=0.5, dominated=True))
    said = pareto_sentence(points, "perplexity_ratio", 0.3)
    assert "2 of 3 points are dominated by no other; the rest is faded" in said


def test_nothing_is_said_of_nothing():
    assert pareto_sentence([], "perplexity", 0.3) == "No cell has both figures yet."


@pytest.mark.parametrize("value", [0.25, -0.5])
def test_the_criteria_that_agree_most_and_least(value):
    names = ["a", "b", "c"]
    square = [[1, 0.9, value], [0.9, 1, 0.7], [value, 0.7, 1]]
    said = correlations_sentence(pd.DataFrame(square, names, names))
    assert said.startswith("a and b rank most alike (0.90)")
    assert f"a and c least ({value:.2f})" in said


def test_one_criterion_alone_cannot_agree():
    assert "Two criteria" in correlations_sentence(pd.DataFrame([[1.0]], ["a"], ["a"]))
