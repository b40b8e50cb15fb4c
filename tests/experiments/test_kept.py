"""What was read is kept on the disk: equal to the bit, by what decides it, whole."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core import paths
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline, kept
from llmrank.methods.method import DEFAULT
from llmrank.methods.pruning import PruningSpec
from llmrank.models import ffn
from llmrank.models.language_model import ModelSpec


@pytest.fixture(autouse=True)
def worth_keeping(monkeypatch, tmp_path):
    """An empty cache in which everything is kept, however fast it was read."""
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "WORTH_S", 0.0)


@pytest.fixture(scope="module")
def asked(tiny_folder):
    return Experiment(
        model=ModelSpec(name=str(tiny_folder)),
        calibration=CalibrationSpec(samples=16, seq_len=32),
        method=DEFAULT,
        pruning=PruningSpec(sparsity=0.4),
        evaluation=EvaluationSpec(eval_tokens=1024),
    )


def files():
    return sorted(p.name for p in kept.readings_folder().glob("*"))


def leaves(value):
    """List every tensor and plain value of nested dataclasses and tuples."""
    if isinstance(value, tuple):
        return [leaf for one in value for leaf in leaves(one)]
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [leaf for f in fields for leaf in leaves(getattr(value, f.name))]
    return [value]


def assert_equal(first, second):
    assert type(first) is type(second)
    ours, theirs = leaves(first), leaves(second)
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def refuse(*_, **__):
    raise AssertionError("read again")


def read(pipeline, experiment):
    return (
        pipeline.stats(experiment),
        pipeline.dense_text(experiment),
        pipeline.pruner._repairer._moments(experiment),
    )


def test_another_process_finds_equal_readings_and_cuts_equally(asked, monkeypatch):
    first = Pipeline()
    before, pruned = read(first, asked), first.pruned(asked)
    assert [name.split("-")[0] for name in files()] == [
        "factors", "moments", "statistics", "text",
    ]  # fmt: skip
    for where, name in (
        ("evidence", "calibrate"), ("repair", "moments"), ("pruned", "evaluate"),
    ):  # fmt: skip
        place = f"llmrank.experiments.pipeline.{where}.{name}"
        monkeypatch.setattr(place, refuse)
    second = Pipeline()
    for ours, theirs in zip(before, read(second, asked), strict=True):
        assert_equal(ours, theirs)
    again = second.pruned(asked)
    for ours, theirs in zip(ffn.ffns(pruned.model), ffn.ffns(again.model), strict=True):
        assert torch.equal(ours.down, theirs.down)


def test_other_weights_texts_and_methods_are_read_anew(asked, tiny_text):
    pipeline = Pipeline()
    dense = pipeline.model(asked)
    known = {kept._path("statistics", asked, dense)}
    with torch.no_grad():
        other = replace(dense, model=ffn.shared_copy(dense.model))
        other.model.get_input_embeddings().weight = torch.nn.Parameter(
            dense.model.get_input_embeddings().weight + 1
        )
    known.add(kept._path("statistics", asked, other))
    fewer = replace(asked, calibration=CalibrationSpec(samples=8, seq_len=32))
    known.add(kept._path("statistics", fewer, dense))
    known.add(kept._path("text", asked, dense))
    assert len(known) == 4
    own = replace(asked, calibration=CalibrationSpec(calibration_text=str(tiny_text)))
    assert kept._path("statistics", own, dense) is None


def test_somebodys_own_text_leaves_nothing(asked, tiny_text):
    own = CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=32)
    Pipeline().stats(replace(asked, calibration=own))
    assert files() == []


def test_what_was_quick_is_not_kept(asked, monkeypatch):
    monkeypatch.setattr(kept, "WORTH_S", 3600.0)
    Pipeline().stats(asked)
    assert files() == []


def test_a_damaged_file_is_read_anew(asked):
    before = Pipeline().stats(asked)
    (name,) = files()
    path = kept.readings_folder() / name
    path.write_bytes(path.read_bytes()[:200])
    assert_equal(Pipeline().stats(asked), before)
    assert path.stat().st_size > 200


def test_a_folder_that_cannot_be_made_is_no_error(asked, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "file"))
    assert paths.cache_folder().is_file()
    assert Pipeline().stats(asked).n_tokens == 16 * 32


def test_those_used_longest_ago_go(asked, monkeypatch):
    pipeline = Pipeline()
    pipeline.stats(asked)
    (old,) = files()
    monkeypatch.setattr(kept, "LIMIT", 1)
    pipeline.dense_text(asked)
    assert files() == []
    monkeypatch.setattr(kept, "LIMIT", 10_000_000)
    Pipeline().stats(asked)
    assert files() == [old]
