"""The accuracy-sparsity curve: its points, its tables, and who is ahead."""

import dataclasses
import io

import pandas as pd
import pytest
import torch

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.errors import CancelledError
from llmrank.evaluation.perplexity import EvaluationSpec, TextEvaluation, evaluate
from llmrank.experiments.curve import (
    PAPER,
    Point,
    curve,
    estimated_s,
    known_points,
    margin,
    ranking,
    rivals,
    usual_rivals,
)
from llmrank.experiments.expected_steps import TOKENS_PER_S
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.criteria import CRITERIA, L2, Activation, GPrune, LLMRank, Random
from llmrank.methods.method import label
from llmrank.models.language_model import ModelSpec
from llmrank.report.tables.curve import chart_table, curve_table

SPARSITIES = (0.2, 0.6)
RIVALS = (LLMRank(), Random(seed=3))


@pytest.fixture(scope="module")
def base(tiny_folder, tiny_text):
    text = str(tiny_text)
    return Experiment(
        model=ModelSpec(name=str(tiny_folder), device="cpu"),
        calibration=CalibrationSpec(calibration_text=text, samples=4, seq_len=64),
        evaluation=EvaluationSpec(eval_text=text, eval_tokens=1536),
    )


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


@pytest.fixture(scope="module")
def points(base, pipeline):
    return curve(base, RIVALS, SPARSITIES, pipeline=pipeline)


def test_each_criterion_has_a_point_at_each_sparsity(points):
    assert [(p.sparsity, p.criterion) for p in points] == [
        (s, c) for s in SPARSITIES for c in RIVALS
    ]
    assert points[0].n_params > points[2].n_params


def test_a_point_is_what_its_pruned_model_measures(base, points):
    pipeline, last = Pipeline(), points[-1]
    lm = pipeline.pruned(base.using(criterion=Random(seed=3)).at(0.6))
    assert torch.equal(last.pruned.nll, evaluate(lm, base.evaluation).nll)
    dense = evaluate(pipeline.model(base), base.evaluation)
    assert all(torch.equal(p.dense.nll, dense.nll) for p in points)
    assert last.n_params == sum(p.numel() for p in lm.model.parameters())


def test_points_are_published_as_they_come(base, points, pipeline):
    seen = []
    again = curve(base, RIVALS, SPARSITIES, pipeline=pipeline, publish=seen.append)
    assert [len(s) for s in seen] == [1, 2, 3, 4]
    assert seen[-1] == again
    for a, b in zip(again, points, strict=True):
        assert a.pruned is b.pruned  # nothing is measured twice


def test_progress_counts_the_windows_of_all_points(base):
    told = []
    curve(base, RIVALS, (0.5,), progress=lambda *step: told.append(step))
    counts = [(d, t) for what, d, t in told if what.endswith(", 2 points")]
    assert [c for c in counts if c[1] == 6][-1] == (6, 6)
    shares = [d / t for d, t in counts]
    assert shares == sorted(shares)


def test_a_cancelled_curve_keeps_its_points(base):
    pipeline, seen = Pipeline(), []

    def stop(*_):
        if len(seen) == 1:
            raise CancelledError

    with pytest.raises(CancelledError):
        curve(
            base, RIVALS, (0.5,), pipeline=pipeline, progress=stop, publish=seen.append
        )
    assert known_points(base, RIVALS, (0.5,), pipeline) == seen[-1]


def test_known_points_compute_nothing(base, points, pipeline):
    assert known_points(base, RIVALS, SPARSITIES, Pipeline()) == ()
    more = known_points(base, (*RIVALS, L2()), (0.2, 0.9), pipeline)
    assert [(p.sparsity, p.criterion) for p in more] == [(0.2, c) for c in RIVALS]
    assert more[0].pruned is points[0].pruned


def test_the_time_is_estimated_from_how_fast_the_model_read(base, pipeline, points):
    assert len(points) == 4
    assert estimated_s(base, 3, Pipeline()) is None
    demo = dataclasses.replace(base, model=ModelSpec())
    n_tokens = 4 * 1536 + base.calibration.samples * base.calibration.seq_len
    assert estimated_s(demo, 3, Pipeline()) == pytest.approx(n_tokens / TOKENS_PER_S)
    one, three = (estimated_s(base, n, pipeline) for n in (1, 3))
    assert three == pytest.approx(3 * one)
    assert one == pytest.approx(1536 / pipeline.tokens_per_s(base.model))
    other = dataclasses.replace(base, evaluation=EvaluationSpec(eval_tokens=2048))
    unread = estimated_s(other, 1, pipeline)  # the dense model must read this text too
    assert unread == pytest.approx(2 * 2048 / pipeline.tokens_per_s(base.model))


# Tables


def test_the_csv_can_be_read_back(points):
    table = curve_table(points)
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert list(back["criterion"]) == ["llm-rank", "random seed=3"] * 2
    assert list(back["sparsity"]) == [0.2, 0.2, 0.6, 0.6]
    assert list(back["n_tokens"]) == [1536] * 4
    ratio = back["perplexity"] / back["dense_perplexity"]
    assert list(ratio) == pytest.approx(list(back["perplexity_ratio"]))
    for name in ("perplexity", "top1", "perplexity_ratio", "top1_retention"):
        assert (back[f"{name}_low"] <= back[name]).all()
        assert (back[name] <= back[f"{name}_high"]).all()


@pytest.mark.parametrize("metric", ["perplexity", "top1"])
def test_every_line_starts_at_the_dense_model(points, metric):
    table = chart_table(points, metric)
    for _, line in table.groupby("criterion"):
        assert list(line["sparsity"]) == [0.0, 0.2, 0.6]
        dense = getattr(points[0].dense, metric)
        first = line.iloc[0]
        assert (first["value"], first["low"], first["high"]) == (
            dense.value, dense.low, dense.high,
        )  # fmt: skip
    last = table[table["criterion"] == "random seed=3"].iloc[-1]
    assert last["value"] == getattr(points[-1].pruned, metric).value


# Who is ahead


def point(criterion, nll, correct=(0.5, 0.5, 0.5), sparsity=0.3):
    def text(n, c):
        return TextEvaluation(
            torch.tensor(n, dtype=torch.float64), torch.tensor(c).double(), "here", "x"
        )

    return Point(
        criterion, sparsity, 100, text([1.0] * 3, [0.6] * 3), text(nll, correct)
    )


def test_a_point_that_is_surely_worse_is_behind():
    """Each window 0.1 worse, in the same step: certain, however windows differ."""
    best = point(LLMRank(), [2.0, 3.0, 4.0])
    worse = point(L2(), [2.1, 3.1, 4.1])
    unsure = point(Random(), [1.9, 3.4, 4.1])
    found = ranking([worse, unsure, best], 0.3)
    assert found.best is best
    assert found.behind == (worse,)
    assert found.tied == (unsure,)
    assert margin(worse, best).value == pytest.approx(0.1)


def test_the_other_metric_has_its_own_order():
    one = point(LLMRank(), [2.0, 3.0, 4.0], [0.1, 0.2, 0.3])
    two = point(L2(), [2.1, 3.1, 4.1], [0.3, 0.4, 0.5])
    assert ranking([one, two], 0.3, "perplexity").best is one
    assert ranking([one, two], 0.3, "top1").best is two
    assert margin(one, two, "top1").value == pytest.approx(0.2)


def test_nobody_is_ahead_where_nothing_is_measured():
    assert ranking([point(L2(), [1.0, 2.0, 3.0])], 0.5) is None


@pytest.mark.parametrize("in_hand", [LLMRank(), PAPER, Activation(), LLMRank(theta=1)])
def test_rivals_are_all_the_others_once(in_hand):
    found = rivals(in_hand)
    assert in_hand not in found
    assert len(set(found)) == len(found)
    names = {c.name for c in found} | {in_hand.name}
    assert names == set(CRITERIA)
    usual = usual_rivals(in_hand)
    assert in_hand not in usual
    assert set(usual) <= set(found)


@pytest.mark.parametrize(
    ("criterion", "name"),
    [
        (LLMRank(), "llm-rank"),
        (PAPER, "llm-rank site=up"),
        (LLMRank(theta=1, graph="chained"), "llm-rank theta=1.0 graph=chained"),
        (Random(seed=3), "random seed=3"),
        (GPrune(second_text="/a/b/my *text*.md"), "gprune second_text=my text.md"),
    ],
)
def test_a_label_names_what_differs_from_the_defaults(criterion, name):
    assert label(criterion) == name
