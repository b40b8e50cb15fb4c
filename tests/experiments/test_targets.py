"""Targets: the sparsity that is found meets them, and a smaller change would not."""

import dataclasses

import pytest

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.errors import OptionError
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.perplexity import EvaluationSpec, perplexity_ratio
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.targets import Answer, Measured, Target, meet, parsed
from llmrank.methods.allocation import Search
from llmrank.methods.criteria import Wanda
from llmrank.methods.method import Method
from llmrank.models.language_model import ModelSpec


@pytest.fixture(scope="module")
def of(tiny_folder, tiny_text):
    text = str(tiny_text)
    return Experiment(
        model=ModelSpec(name=str(tiny_folder), device="cpu"),
        calibration=CalibrationSpec(calibration_text=text, samples=8, seq_len=32),
        method=Method(Wanda()),
        evaluation=EvaluationSpec(eval_text=text, eval_tokens=1024),
        benchmark=BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=3),
    )


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


def test_a_size_is_met_by_the_least_that_fits(of, pipeline):
    half = footprint(pipeline.pruned(of.at(0.5))).weight_bytes / 1e6
    found = meet(of, Target("size", half), pipeline=pipeline)
    best = found.best
    assert best.value <= half
    less = footprint(pipeline.pruned(of.at(best.sparsity - 0.001))).weight_bytes / 1e6
    assert less > half
    assert found.sentence.startswith(f"{100 * best.sparsity:.3g} % removed: measured ")


@pytest.mark.slow
@pytest.mark.parametrize("multiple_of", [1, 8])
def test_for_a_size_widths_are_searched_at_few_sparsities(of, pipeline, multiple_of):
    """Not at each step of the bisection: a search takes minutes."""
    half = footprint(pipeline.pruned(of.at(0.5))).weight_bytes / 1e6
    asked = dataclasses.replace(
        of.using(allocation=Search(evaluations=8)),
        pruning=dataclasses.replace(of.pruning, multiple_of=multiple_of),
    )
    told = []
    found = meet(
        asked,
        Target("size", half),
        pipeline=pipeline,
        progress=lambda what, done, _: told.append((what, done)),
    )
    assert found.best.value <= half
    assert 1 <= told.count(("Trying widths", 0)) <= 2


def test_a_size_that_cannot_be_had_says_what_can(of, pipeline):
    found = meet(of, Target("size", 1e-6), pipeline=pipeline)
    assert found.best is None
    assert found.sentence.startswith("Not to be had: 1e-06 MB of weights was asked")
    assert "95 % removed gives" in found.sentence


@pytest.mark.parametrize(
    ("kind", "easier"),
    [
        ("size", "allow more megabytes"),
        ("speed", "ask for less speed"),
        ("perplexity", "allow a higher perplexity"),
    ],
)
def test_what_cannot_be_had_says_which_way_is_easier(kind, easier):
    missed = {"size": 3.0, "speed": 1.1, "perplexity": 4.0}[kind]
    found = Answer(Target(kind, 2.0), (Measured(0.95, missed, missed, missed),))
    assert found.best is None
    assert found.sentence.endswith(f"; {easier}, or choose another method.")


def test_a_perplexity_is_met_by_the_most_that_holds_it(of, pipeline):
    seen = []
    found = meet(of, Target("perplexity", 1.05), pipeline=pipeline, publish=seen.append)
    assert seen[-1].steps == found.steps
    sparsities = sorted(s.sparsity for s in found.steps)
    assert len(set(sparsities)) == len(sparsities)
    dense = pipeline.dense_text(of)
    for step in found.steps:
        _, text = pipeline.pruned_text(of.at(step.sparsity))
        assert step.value == perplexity_ratio(dense, text).value
    if found.best is not None:
        assert found.best.value <= 1.05
        worse = [s for s in found.steps if s.value > 1.05]
        assert all(s.sparsity > found.best.sparsity for s in worse)


def test_a_speed_is_measured_and_carries_its_interval(of, pipeline):
    found = meet(of, Target("speed", 1.5), pipeline=pipeline)
    assert 1 <= len(found.steps) <= 8
    for step in found.steps:
        assert step.low <= step.value <= step.high
        assert 0 < step.sparsity <= 0.95


def test_the_bracket_closes_on_a_known_curve(of, monkeypatch):
    """A stand-in for the measurement: the ratio is 1 + s², so 1.16 is at 40 %."""
    from llmrank.experiments import targets

    def curve(e, pipeline, progress):  # noqa: ARG001
        s = e.pruning.sparsity
        return Measured(s, 1 + s * s, 1 + s * s, 1 + s * s)

    monkeypatch.setattr(targets, "_perplexity", curve)
    found = meet(of, Target("perplexity", 1.16))
    assert found.best.sparsity == pytest.approx(0.4, abs=0.011)
    assert found.best.value <= 1.16
    monkeypatch.setattr(targets, "_speed", curve)
    found = meet(of, Target("speed", 1.16))
    assert found.best.sparsity == pytest.approx(0.4, abs=0.011)
    assert found.best.value >= 1.16
    assert meet(of, Target("speed", 3.0)).best is None


def test_the_answer_says_by_how_much_it_missed():
    steps = (Measured(0.3, 1.2, 1.15, 1.25), Measured(0.5, 1.5, 1.4, 1.6))
    speed = Answer(Target("speed", 1.1), steps)
    assert speed.sentence == (
        "30 % removed: measured decoding ×1.20 as fast as dense (95 %: 1.15 to 1.25), "
        "9.09 % better than the decoding ×1.10 as fast as dense asked."
    )
    none = Answer(Target("perplexity", 1.1), steps)
    assert "30 % removed gives ×1.20 the dense perplexity" in none.sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size=0", "a target for size must be above 0, got 0"),
        ("speed=1", "a target for speed must be above 1, got 1"),
        ("perplexity=nan", "a target for perplexity must be above 1, got nan"),
        ("perplexity=many", "a target for perplexity must be above 1, got nan"),
        ("speed=inf", "a target for speed must be above 1, got inf"),
        ("300 MB", "a target is size=MEGABYTES, speed=TIMES or perplexity=TIMES"),
        ("", "a target is size=MEGABYTES"),
    ],
)
def test_what_is_no_target_is_refused(text, said):
    with pytest.raises(OptionError, match=said):
        parsed(text)


def test_targets_are_read():
    assert parsed("size=400") == Target("size", 400.0)
    assert parsed("speed=1.2") == Target("speed", 1.2)
