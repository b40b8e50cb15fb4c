"""Who is best at a sparsity, said as the windows allow it and no louder."""

import pytest
import torch

from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.experiments.curve import Point
from llmrank.methods.allocation import BlockInfluence
from llmrank.methods.criteria import L1, L2, LLMRank, Random
from llmrank.methods.method import Method
from llmrank.methods.repair import LeastSquares
from llmrank.report.sentences.curves import (
    cost_sentence,
    curve_sentence,
    points_sentence,
)


def point(criterion, nll, correct=(0.5, 0.5, 0.5), sparsity=0.3):
    def text(n, c):
        values = torch.tensor(n, dtype=torch.float64)
        return TextEvaluation(values, torch.tensor(c).double(), "a mill", "x")

    return Point(
        criterion, sparsity, 100, text([1.0] * 3, [0.6] * 3), text(nll, list(correct))
    )


RANK = point(LLMRank(), [2.0, 3.0, 4.0])
WORSE = point(L2(), [2.1, 3.1, 4.1])
UNSURE = point(Random(), [1.9, 3.4, 4.1])


def test_a_sure_winner_is_named():
    """e^3 = 20.1, and every window of the other is worse."""
    said = curve_sentence([WORSE, RANK], 0.3, "perplexity", Method(LLMRank()))
    assert said.startswith("At 30 % removed llm-rank has the lowest perplexity, 20.1,")
    assert "ahead of l2 by more than 3 windows leave to chance" in said
    assert "loses" not in said


def test_of_several_beaten_the_count_is_said():
    others = [WORSE, point(L1(), [2.2, 3.2, 4.2])]
    said = curve_sentence([*others, RANK], 0.3, "perplexity", Method(LLMRank()))
    assert "ahead of all 2 others measured here by more than 3 windows" in said


def test_what_windows_cannot_tell_is_said():
    said = curve_sentence([WORSE, RANK, UNSURE], 0.3, "perplexity", Method(LLMRank()))
    assert "3 windows cannot tell random (23.0) from it" in said
    assert "ahead of" not in said


def test_a_method_in_hand_that_loses_is_told_so():
    said = curve_sentence([WORSE, RANK], 0.3, "perplexity", Method(L2()))
    assert (
        "l2, the method in hand, loses with ×1.11 [1.11, 1.11] its perplexity" in said
    )


def test_the_other_metric_has_its_own_sentence():
    low = point(LLMRank(), [2.0, 3.0, 4.0], [0.1, 0.2, 0.3])
    high = point(L2(), [2.1, 3.1, 4.1], [0.2, 0.3, 0.4])
    said = curve_sentence([low, high], 0.3, "top1", Method(LLMRank()))
    assert "l2 has the highest top-1 accuracy, 30.0 %" in said
    assert "llm-rank, the method in hand, loses with 66.7 % [" in said
    assert said.endswith("of its top-1 accuracy.")


def test_the_nearest_sparsity_stands_in():
    said = curve_sentence([RANK, WORSE], 0.35, "perplexity", Method(LLMRank()))
    assert said.startswith("35 % is not measured; at 30 % removed llm-rank has")


def test_a_single_point_wins_nothing():
    said = curve_sentence([RANK], 0.3, "perplexity", Method(LLMRank()))
    assert said == "At 30 % removed llm-rank is alone so far: 20.1."
    repaired = Method(LLMRank(), BlockInfluence(), LeastSquares())
    said = curve_sentence([RANK], 0.3, "perplexity", repaired)
    alike = "with block-influence + least-squares llm-rank is alone"
    assert said.startswith(f"At 30 % removed {alike}")


def test_several_ties_are_listed():
    others = [UNSURE, point(L1(), [1.95, 3.3, 4.2])]
    said = curve_sentence([RANK, *others], 0.3, "perplexity", Method(LLMRank()))
    assert "cannot tell random (23.0) or l1 (23.3) from it" in said


def test_points_say_what_they_read():
    assert "1,536 tokens of a mill" in points_sentence([RANK])


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 0, None), "Choose a sparsity above 0."),
        ((0, 4, 3.0), "Every point of this choice is measured."),
        ((1, 0, None), "1 point to measure; how long it takes shows once it runs."),
        (
            (3, 2, 600.0),
            "3 points to measure: about 10 min at the pace just seen here, not "
            "counted: scoring, cutting and solving; 2 are measured already.",
        ),
    ],
)
def test_the_cost_is_said_before_it_is_paid(counts, said):
    assert cost_sentence(*counts, is_ours=False) == said
    ours = cost_sentence(3, 1, 600.0, is_ours=True)
    assert "about 10 min on two cores like ours" in ours
    assert ours.endswith("; 1 is measured already.")
