"""The whole job: its description, its order, its estimate and its report."""

import dataclasses
import json

import psutil
import pytest
import torch
from conftest import tiny_model

from llmrank.calibration.activations import BATCH_TOKENS, CalibrationSpec
from llmrank.calibration.gradients import needed_bytes
from llmrank.core.devices import free_bytes
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.evaluation import comparison, perplexity
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.experiments import curve
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import estimate
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import (
    check_names,
    check_room,
    environment,
    run,
    texts_state,
)
from llmrank.methods.criteria import L1, GPrune, LLMRank, Random, Taylor, Wanda
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningSpec
from llmrank.models.language_model import ModelSpec


@pytest.fixture(scope="module")
def small(tiny_folder, tiny_text):
    """An experiment that takes seconds."""
    text = str(tiny_text)
    return Experiment(
        model=ModelSpec(name=str(tiny_folder), device="cpu"),
        calibration=CalibrationSpec(calibration_text=text, samples=4, seq_len=64),
        method=Method(LLMRank(theta=0.25)),
        pruning=PruningSpec(sparsity=0.5),
        evaluation=EvaluationSpec(eval_text=text, eval_tokens=1024),
        benchmark=BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=2),
    )


# Described


@pytest.mark.parametrize("criterion", [LLMRank(theta=0.1), Random(seed=4), L1()])
def test_json_gives_the_experiment_back(criterion):
    e = Experiment(method=Method(criterion), pruning=PruningSpec(sparsity=0.125))
    plain = json.loads(json.dumps(e.to_json()))
    assert Experiment.from_json(plain) == e
    assert plain["criterion"]["name"] == criterion.name
    assert plain["pruning"]["sparsity"] == 0.125


def test_a_part_of_the_json_is_enough():
    plain = {"pruning": {"sparsity": 0.5}, "criterion": {"name": "wanda"}}
    expected = Experiment(method=Method(Wanda()), pruning=PruningSpec(sparsity=0.5))
    assert Experiment.from_json(plain) == expected
    assert Experiment.from_json({}) == Experiment()


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"prunning": {}}, "an experiment has no 'prunning'; it has: model, calib"),
        ({"pruning": {"sparsity": 1}}, "sparsity must lie in [0, 1), got 1"),
        ({"pruning": {"sparsity": "0.3"}}, "sparsity must lie in [0, 1), got '0.3'"),
        ({"pruning": {"sparsity": None}}, "sparsity must lie in [0, 1), got None"),
        ({"pruning": {"spars": 0.5}}, "pruning: "),
        ({"pruning": 5}, "pruning: "),
        ({"criterion": {"name": "best"}}, "unknown criterion 'best'; there are: "),
        ({"criterion": {"name": "l1", "theta": 1}}, "criterion l1 has no 'theta'"),
        ({"criterion": {}}, "criterion: "),
        ({"criterion": {"name": ["l1"]}}, "criterion: "),
        ({"model": {"name": 7}}, "name must be text, got 7"),
    ],
)
def test_json_that_describes_no_experiment_is_refused(plain, said):
    with pytest.raises(OptionError) as caught:
        Experiment.from_json(plain)
    assert str(caught.value).startswith(said)


def test_experiments_are_keys(small):
    same = dataclasses.replace(small, pruning=PruningSpec(sparsity=0.5))
    assert hash(same) == hash(small)
    assert {same: 1}[small] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        small.pruning = PruningSpec()


# Estimated and refused


class Memory:
    def __init__(self, available):
        self.available = available


def with_memory(monkeypatch, n_bytes):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(n_bytes))


def test_the_estimate_counts_weights_and_working_memory(small, monkeypatch):
    """By hand: 12,144 parameters; half of 2 x 3 x 16 x 24 FFN weights; buffers."""
    with_memory(monkeypatch, 10**9)
    found = estimate(small)
    assert found.dense_bytes == 4 * 12144
    assert found.pruned_bytes == 4 * 2 * 3 * 16 * 24 // 2
    assert found.working_bytes == 3 * 4 * 512 * 257 + 4 * 4 * BATCH_TOKENS * 24
    total = found.dense_bytes + found.pruned_bytes + found.working_bytes
    assert found.total_bytes == total
    assert found.available_bytes == 10**9
    assert found.sentence == (
        f"{small.model.name} needs about 0.00 GB of memory (dense 0.00, pruned FFN "
        "weights 0.00, working 0.00); 1.0 GB are free"
    )
    found.check()


def test_the_estimate_bounds_what_the_models_hold(small):
    pipeline, found = Pipeline(), estimate(small)
    dense, pruned = pipeline.model(small), pipeline.pruned(small)
    both = {id(p): p for lm in (dense, pruned) for p in lm.model.parameters()}
    assert (
        sum(p.nbytes for p in both.values()) <= found.dense_bytes + found.pruned_bytes
    )


def test_a_backward_pass_counts_where_it_is_needed_and_larger(small):
    """By the estimate of the pass itself, from the loaded model's sizes."""
    e = small.using(criterion=Taylor())
    lm = Pipeline().model(e)
    backwards = needed_bytes(lm, e.calibration.seq_len)
    forwards = estimate(small).working_bytes
    assert estimate(e).working_bytes == max(forwards, backwards)
    longer = dataclasses.replace(e.calibration, seq_len=2048)
    e = dataclasses.replace(e, calibration=longer)
    assert estimate(e).working_bytes == needed_bytes(lm, 2048) > forwards


def test_a_second_text_is_checked_and_watched_as_the_others(small, tmp_path):
    path = tmp_path / "second.txt"
    e = small.using(criterion=GPrune(second_text=str(path)))
    assert e.texts == (*small.texts, str(path))
    with pytest.raises(LLMRankError, match=r"second\.txt cannot be read"):
        check_names(e)
    path.write_text("Some text.")
    check_names(e)
    before = texts_state(e)
    path.write_text("Some other text.")
    assert texts_state(e) != before


def test_half_precision_is_estimated_as_half(small):
    half = dataclasses.replace(
        small, model=ModelSpec(small.model.name, dtype="float16")
    )
    assert 2 * estimate(half).dense_bytes == estimate(small).dense_bytes
    assert 2 * estimate(half).pruned_bytes == estimate(small).pruned_bytes


def test_too_little_memory_is_refused_before_the_weights_load(small, monkeypatch):
    with_memory(monkeypatch, 10**6)
    pipeline, told = Pipeline(), []
    with pytest.raises(LLMRankError) as caught:
        run(small, pipeline=pipeline, progress=lambda *step: told.append(step))
    text = str(caught.value)
    assert text.startswith(f"{small.model.name} needs about 0.00 GB of memory (dense")
    assert text.endswith(
        "; 0.0 GB are free: too little; choose a smaller dtype or a smaller model"
    )
    assert told == []
    assert not pipeline.model.peek(small)


def test_a_model_that_is_loaded_already_needs_no_room(small, monkeypatch):
    pipeline = Pipeline()
    pipeline.model(small)
    with_memory(monkeypatch, 0)
    check_room(small, pipeline)
    with pytest.raises(LLMRankError, match="too little"):
        check_room(small, Pipeline())


def test_free_memory_is_what_the_machine_says(monkeypatch):
    with_memory(monkeypatch, 12345)
    assert free_bytes(torch.device("cpu")) == 12345
    assert free_bytes(torch.device("meta")) is None


@pytest.mark.parametrize("names", ["piqa,nonsense", "PIQA", "all,none,what"])
def test_an_unknown_task_is_refused_before_any_work(small, names):
    e = dataclasses.replace(small, tasks=TaskSpec(tasks=names))
    pipeline, told = Pipeline(), []
    with pytest.raises(OptionError, match=r"unknown .*; there are: .*piqa"):
        run(e, pipeline=pipeline, progress=lambda *step: told.append(step))
    assert told == []
    assert not pipeline.model.peek(e)


@pytest.mark.parametrize("part", ["calibration", "evaluation"])
def test_a_text_that_is_not_there_is_refused_before_any_work(small, part):
    kinds = {
        "calibration": CalibrationSpec(calibration_text="/nonexistent"),
        "evaluation": EvaluationSpec(eval_text="/nonexistent"),
    }
    told = []
    with pytest.raises(LLMRankError, match=r"/nonexistent cannot be read \(No such"):
        run(
            dataclasses.replace(small, **{part: kinds[part]}),
            progress=lambda *step: told.append(step),
        )
    assert told == []


def test_an_unknown_model_is_refused_before_any_work(small):
    e = dataclasses.replace(small, model=ModelSpec(name="/nonexistent"))
    with pytest.raises(LLMRankError, match="there is no /nonexistent"):
        run(e)


@pytest.mark.usefixtures("estimated_memory")
def test_what_a_run_measured_is_a_point_and_is_not_measured_again(small, monkeypatch):
    pipeline = Pipeline()
    report = run(small, pipeline=pipeline)
    (point,) = curve.measured_points(small, pipeline)
    assert point.sparsity == small.pruning.sparsity
    assert point.pruned is report.comparison.pruned.text
    assert point.n_params == report.comparison.pruned.footprint.n_params

    def refuse(*_, **__):
        raise AssertionError("read again")

    monkeypatch.setattr(comparison, "in_turn", refuse)
    again = run(small, pipeline=pipeline)
    assert again.comparison.pruned.text is point.pruned
    assert again.comparison.pruned.latency is not report.comparison.pruned.latency


# Reported


def test_the_environment_says_where_numbers_come_from():
    found = environment(tiny_model(), Experiment().calibration)
    assert found["device"] == "cpu"
    assert found["dtype"] == "float32"
    assert found["torch"] == torch.__version__
    assert found["n_threads"] == str(torch.get_num_threads())
    assert found["measured_at"].endswith("+00:00")


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_a_run_reports_what_the_stages_measure(small):
    pipeline, seen, told = Pipeline(), [], []
    report = run(
        small,
        pipeline=pipeline,
        publish=seen.append,
        progress=lambda what, *_: told.append(what),
    )
    found = report.comparison
    lm = pipeline.pruned(small)
    again = perplexity.evaluate(lm, small.evaluation)
    assert torch.equal(found.pruned.text.nll, again.nll)
    assert found.dense.text is pipeline.dense_text(small)
    assert found.pruned.footprint.widths == (12, 12)
    assert found.perplexity_ratio.value == pytest.approx(
        found.pruned.text.perplexity.value / found.dense.text.perplexity.value
    )
    assert seen[-1].comparison == found
    assert seen[0].comparison.pruned.text is None
    steps = list(dict.fromkeys(told))
    assert steps[:5] == [
        f"Loading {small.model.name}", "Calibrating", "Building the isolated planes",
        "Cutting the layers", "Reading held-out text",
    ]  # fmt: skip
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["calibration"]["text_sha256"] == found.dense.text.text_sha256
    criterion = dataclasses.asdict(small.method.criterion)
    assert plain["criterion"] == {"name": "llm-rank", **criterion, "theta": 0.25}
    described = {k: plain[k] for k in small.to_json()}
    for part in ("calibration", "evaluation"):
        del described[part]["text_sha256"]
    assert Experiment.from_json(described) == small


@pytest.mark.parametrize(
    "step", ["Calibrating", "Reading held-out text", "Measuring latency"]
)
def test_a_run_can_be_cancelled_in_any_stage(small, step):
    def stop(what, *_):
        if what == step:
            raise CancelledError

    pipeline = Pipeline()
    with pytest.raises(CancelledError):
        run(small, pipeline=pipeline, progress=stop)
    assert pipeline.model.peek(small)
