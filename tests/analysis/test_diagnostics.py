"""Warnings: each appears where it should, and is absent where nothing is wrong."""

import dataclasses

import pytest
import torch

from llmrank.analysis.agreement import Agreement, Overlap
from llmrank.analysis.diagnostics import (
    FEW,
    FLAT,
    MEMORY_ROOM,
    DiagnosticInputs,
    degenerate_scores,
    memory_short,
    no_speedup,
    starved_layers,
    symptoms,
    unstable_scores,
    worse_than_baselines,
)
from llmrank.analysis.stability import Match, stability
from llmrank.calibration.activations import CalibrationSpec, calibrate
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.perplexity import EvaluationSpec, TextEvaluation
from llmrank.evaluation.speedup import Ratio, Speedup
from llmrank.experiments.curve import Point, curve
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import MemoryEstimate, estimate
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.allocation import Global
from llmrank.methods.criteria import (
    L1,
    Activation,
    LLMRank,
    Random,
    Scores,
    Wanda,
    score,
)
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan
from llmrank.models.language_model import ModelSpec

OURS = LLMRank()


# --- worse than chance or L1 ---------------------------------------------------------


def text(*nll, sha="a" * 64):
    values = torch.tensor(nll, dtype=torch.float64)
    return TextEvaluation(values, torch.full_like(values, 0.3), "a text", sha)


def point(criterion, *nll, sparsity=0.3, sha="a" * 64):
    return Point(criterion, sparsity, 1000, text(3.0, 3.1, 2.9), text(*nll, sha=sha))


BETTER = point(OURS, 3.4, 3.5, 3.3)
CHANCE = point(Random(), 4.0, 4.2, 3.9)


def test_a_criterion_that_beats_its_baselines_has_no_symptom():
    points = [BETTER, CHANCE, point(L1(), 5.0, 5.1, 5.2), point(Wanda(), 3.1, 3.1, 3.0)]
    assert worse_than_baselines(points, OURS, 0.3) == ()


@pytest.mark.parametrize("baseline", [Random(seed=4), L1()])
def test_worse_than_a_baseline_on_every_window_is_an_error(baseline):
    """0.6, 0.7 and 0.6 nats more: e^(19/30) = 1.88 times the perplexity."""
    rival = point(baseline, 2.8, 2.8, 2.7)
    (found,) = worse_than_baselines([BETTER, rival], OURS, 0.3)
    assert found.level == "error"
    name = "random seed=4" if baseline.name == "random" else "l1"
    assert found.sentence.startswith(
        f"At 30 % removed llm-rank is worse than {name}: ×1.88 [1.63, 2.17] its "
    )
    assert found.sentence.endswith("perplexity on the same 3 windows.")
    assert "remove less" in found.remedy


def test_what_the_windows_do_not_settle_is_a_warning():
    rival = point(Random(), 2.5, 3.9, 3.5)
    (found,) = worse_than_baselines([BETTER, rival], OURS, 0.3)
    assert found.level == "warning"
    assert "looks worse than random, which is not settled" in found.sentence
    assert "eval_tokens" in found.remedy


def test_only_the_same_sparsity_and_windows_are_compared():
    elsewhere = point(Random(), 1.0, 1.0, 1.1, sparsity=0.5)
    other_text = point(Random(), 1.0, 1.0, 1.1, sha="b" * 64)
    shorter = point(Random(), 1.0, 1.1)
    assert worse_than_baselines([BETTER, elsewhere], OURS, 0.3) == ()
    assert worse_than_baselines([BETTER, other_text, shorter], OURS, 0.3) == ()
    assert worse_than_baselines([CHANCE], OURS, 0.3) == ()
    assert worse_than_baselines([], OURS, 0.3) == ()


def test_a_baseline_is_not_compared_with_itself():
    assert worse_than_baselines([CHANCE, CHANCE], Random(), 0.3) == ()
    (found,) = worse_than_baselines([CHANCE, point(L1(), 3, 3, 3)], Random(), 0.3)
    assert "random is worse than l1" in found.sentence


@pytest.fixture(scope="module")
def base(tiny_folder, tiny_text):
    source = str(tiny_text)
    return Experiment(
        model=ModelSpec(name=str(tiny_folder), device="cpu"),
        calibration=CalibrationSpec(calibration_text=source, samples=4, seq_len=64),
        pruning=PruningSpec(sparsity=0.5),
        evaluation=EvaluationSpec(eval_text=source, eval_tokens=1536),
        benchmark=BenchmarkSpec(prompt_tokens=8, new_tokens=4, repeats=2),
    )


def test_measured_points_are_compared(base):
    points = curve(base, (OURS, Random(), L1()), (0.5,), pipeline=Pipeline())
    means = [float(p.pruned.nll.mean()) for p in points]
    said = " ".join(s.sentence for s in worse_than_baselines(points, OURS, 0.5))
    assert ("than random" in said) == (means[0] > means[1])
    assert ("than l1" in said) == (means[0] > means[2])


# --- latency -------------------------------------------------------------------------


def ratio(low, measured, high, ideal=1.3):
    return Ratio(measured, low, high, ideal=ideal, attainable=1.2, n_rounds=5)


FASTER = ratio(1.1, 1.2, 1.3)
REASONS = (
    "Prefill: 1.01× is not distinguishable from no change.",
    "Decode: 40% of the time is spent outside the FFN layers.",
    "2 of 2 layers keep a width that is no multiple of 8.",
)


def test_a_faster_model_has_no_symptom():
    assert no_speedup(Speedup(FASTER, FASTER, REASONS)) == ()


def test_no_faster_says_why_for_its_phase():
    (found,) = no_speedup(Speedup(ratio(0.97, 1.01, 1.05), FASTER, REASONS))
    assert found.level == "warning"
    assert found.sentence == (
        "Reading the prompt did not get measurably faster: ×1.01 [0.970, 1.05] as "
        f"fast as dense, ×1.30 by arithmetic. {REASONS[0]} {REASONS[2]}"
    )
    assert "repeats" in found.remedy


def test_slower_is_an_error():
    (found,) = no_speedup(Speedup(FASTER, ratio(0.8, 0.9, 0.95), REASONS))
    assert found.level == "error"
    assert found.sentence.startswith("Writing a token got slower: ×0.900 [0.800, 0.95")
    assert REASONS[0] not in found.sentence
    assert found.sentence.endswith(f"{REASONS[1]} {REASONS[2]}")


def test_where_nothing_was_cut_nothing_gets_faster():
    same = ratio(0.9, 1.0, 1.1, ideal=1.0)
    assert no_speedup(Speedup(same, same, ())) == ()


# --- stability -----------------------------------------------------------------------


def test_scores_that_more_text_would_move_are_a_warning(tiny, tiny_text):
    few = CalibrationSpec(calibration_text=str(tiny_text), samples=2, seq_len=4)
    found = stability(
        tiny, Experiment(tiny.spec, few, Method(OURS), PruningSpec(sparsity=0.5))
    )
    assert found.enough is False
    (said,) = unstable_scores(found)
    assert (said.level, said.sentence) == ("warning", found.sentence)
    assert said.remedy == "Read more calibration text: samples 4 instead of 2."


def test_scores_that_stay_have_no_symptom(tiny, tiny_text):
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=32)
    half = PruningSpec(sparsity=0.5)
    assert (
        unstable_scores(
            stability(tiny, Experiment(tiny.spec, spec, Method(L1()), half))
        )
        == ()
    )
    found = stability(tiny, Experiment(tiny.spec, spec, Method(OURS), half))
    agreed = Overlap(12, 12, 12)
    same = Agreement((1.0, 1.0), (agreed, agreed), 1.0, Overlap(24, 24, 24))
    steady = dataclasses.replace(found, sizes=(Match((128, 64), same, 0.5),))
    assert unstable_scores(steady) == ()


# --- memory --------------------------------------------------------------------------


def needs(available, dense=10**9, pruned=5 * 10**8, working=5 * 10**8):
    """2 GB in all."""
    return MemoryEstimate("a model", dense, pruned, working, available)


@pytest.mark.parametrize(
    ("free_gb", "level"), [(1.9, "error"), (2.1, "warning"), (2.4, "warning")]
)
def test_too_little_memory_is_said_with_the_estimate(free_gb, level):
    (found,) = memory_short(needs(int(free_gb * 1e9)))
    assert found.level == level
    assert "a model needs about 2.00 GB of memory" in found.sentence
    assert f"{free_gb} GB are free" in found.sentence
    assert ("too little" in found.sentence) == (level == "error")
    assert "smaller" in found.remedy


def test_enough_or_unknown_memory_has_no_symptom():
    assert memory_short(needs(int(2e9 / (1 - MEMORY_ROOM)) + 1)) == ()
    assert memory_short(needs(None)) == ()


def test_what_is_loaded_already_is_not_asked_of_the_free_memory():
    assert memory_short(needs(int(1.5e9)))[0].level == "error"
    assert memory_short(needs(int(1.5e9)), held_bytes=10**9) == ()
    (found,) = memory_short(needs(int(1.1e9)), held_bytes=10**9)
    assert found.level == "warning"
    assert "(1.00 GB of it are loaded)" in found.sentence


def test_a_small_experiment_fits(base):
    assert memory_short(estimate(base)) == ()


# --- degenerate scores ---------------------------------------------------------------


@pytest.fixture(scope="module")
def stats(tiny, tiny_text):
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=64)
    return calibrate(tiny, spec)


def test_ordinary_scores_have_no_symptom(tiny, stats):
    for criterion in (OURS, Activation(), Wanda(), L1(), Random()):
        assert degenerate_scores(criterion) == ()
        assert degenerate_scores(criterion, score(tiny, stats, criterion)) == ()


def test_counting_edges_alone_is_an_error_and_the_scores_tie(tiny, stats):
    criterion = LLMRank(theta=0, gamma=1)
    (found,) = degenerate_scores(criterion)
    assert found.level == "error"
    assert "only edges are counted" in found.sentence
    scores = score(tiny, stats, criterion)
    assert degenerate_scores(criterion, scores) == (found,)
    for s in scores.layers:  # what the sentence says, and what FLAT is for
        assert float(s.max() - s.min()) <= FLAT * float(s.max())


@pytest.mark.parametrize("graph", ["isolated", "chained"])
@pytest.mark.parametrize("site", ["neuron", "up"])
@pytest.mark.parametrize(("theta", "gamma"), [(0.7, 0), (0, 0), (0, 0.6)])
def test_activation_under_another_name_is_said_and_true(
    tiny, stats, graph, site, theta, gamma
):
    criterion = LLMRank(theta=theta, gamma=gamma, graph=graph, site=site)
    (found,) = degenerate_scores(criterion)
    assert found.level == "info"
    assert f"that of activation (site {site})" in found.sentence
    assert ("γ = 0" in found.sentence) == (gamma == 0)
    dropped = [
        plan(score(tiny, stats, c), PruningSpec(sparsity=0.5)).drop
        for c in (criterion, Activation(site=site))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*dropped, strict=True))


def test_the_modified_form_has_neither_theta_nor_gamma():
    assert degenerate_scores(LLMRank(theta=0, gamma=1, variant="modified")) == ()
    assert degenerate_scores(LLMRank(theta=0, gamma=0, variant="modified")) == ()


def test_layers_whose_scores_are_all_equal_are_named():
    flat, uneven = torch.full((8,), 0.125), torch.arange(8.0)
    (one,) = degenerate_scores(Activation(), Scores((uneven, flat, uneven)))
    assert one.level == "warning"
    assert one.sentence.startswith("In 1 of 3 layers (first: layer 1) all scores are")
    (every,) = degenerate_scores(Activation(), Scores((flat, torch.zeros(8))))
    assert every.level == "error"
    assert every.sentence.startswith("In every layer all scores are equal")
    assert degenerate_scores(Activation(), Scores((torch.ones(1), uneven))) == ()


# --- starved layers ------------------------------------------------------------------


def kept(*widths, dense=100):
    return PruningPlan(tuple(torch.arange(w) for w in widths), (dense,) * len(widths))


def test_a_layer_with_very_few_neurons_is_named():
    (found,) = starved_layers(kept(90, 4, 60, 2))
    assert found.level == "warning"
    assert found.sentence == (
        "Layer 3 keeps only 2 of 100 neurons (2 %), and 1 more less than 5 %, where "
        "the model keeps 39 %."
    )
    assert "allocation uniform" in found.remedy
    (alone,) = starved_layers(kept(90, 4))
    assert "layer 1 keeps only 4 of 100 neurons (4 %), where" in alone.sentence.lower()


def test_layers_with_enough_neurons_have_no_symptom():
    assert starved_layers(kept(90, int(100 * FEW), 60)) == ()
    assert starved_layers(kept(100, 100)) == ()


def test_few_neurons_everywhere_are_what_was_asked_for():
    assert starved_layers(kept(4, 4, 4)) == ()
    assert len(starved_layers(kept(4, 4, 1))) == 1


def test_a_global_threshold_can_starve_a_layer_and_a_layers_own_cannot():
    """One layer has nearly equal scores, the other a few that hold nearly all."""
    scores = Scores((torch.linspace(1, 1.1, 50), torch.tensor([1e3] * 2 + [1.0] * 48)))
    spec = PruningSpec(sparsity=0.48)
    (found,) = starved_layers(plan(scores, spec, Global()))
    assert found.sentence.startswith("Layer 1 keeps only 2 of 50 neurons (4 %)")
    assert starved_layers(plan(scores, spec)) == ()


# --- all of them ---------------------------------------------------------------------


def test_nothing_known_and_nothing_wrong_give_no_symptom(tiny, stats):
    assert symptoms(DiagnosticInputs(OURS, 0.3)) == ()
    scores = score(tiny, stats, OURS)
    healthy = DiagnosticInputs(
        OURS, 0.3, scores, plan(scores), (BETTER, CHANCE),
        Speedup(FASTER, FASTER, ()), memory=needs(10**10),
    )  # fmt: skip
    assert symptoms(healthy) == ()


def test_every_symptom_is_found_the_worst_first(tiny, tiny_text):
    few = CalibrationSpec(calibration_text=str(tiny_text), samples=2, seq_len=4)
    plain = LLMRank(gamma=0)
    known = DiagnosticInputs(
        criterion=plain,
        sparsity=0.3,
        scores=Scores((torch.ones(8), torch.arange(8.0))),
        plan=kept(90, 2),
        points=(point(plain, 3.4, 3.5, 3.3), point(L1(), 2.8, 2.8, 2.7)),
        speedup=Speedup(ratio(0.9, 1.0, 1.1), FASTER, ()),
        stability=stability(
            tiny, Experiment(tiny.spec, few, Method(OURS), PruningSpec(sparsity=0.5))
        ),
        memory=needs(int(2.1e9)),
    )
    found = symptoms(known)
    assert [s.level for s in found] == ["error", *["warning"] * 5, "info"]
    said = " ".join(s.sentence for s in found)
    for part in (
        "is worse than l1", "all scores are equal", "keeps only 2 of", "to spare",
        "did not get measurably faster", "more text would still", "γ = 0",
    ):  # fmt: skip
        assert part in said
    assert all(s.remedy.endswith(".") for s in found)
