"""What layers cost against whole models; searches that keep their budget and resume."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import save_folder, tiny_model

from llmrank.calibration.activations import CalibrationSpec, drawn
from llmrank.calibration.divergence import divergence, read
from llmrank.core.errors import CancelledError
from llmrank.core.progress import silent
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.allocation import Additive, BlockInfluence, Search, Uniform
from llmrank.methods.criteria import Wanda
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningPlan, PruningSpec, descending, prune
from llmrank.methods.repair import LeastSquares, NoRepair, SequentialLeastSquares
from llmrank.methods.width_search import Searched, _changed, search, sensitivity
from llmrank.models.language_model import ModelSpec


@pytest.fixture(scope="module")
def base(tiny_folder, tiny_text):
    return Experiment(
        ModelSpec(name=str(tiny_folder), device="cpu"),
        CalibrationSpec(calibration_text=str(tiny_text), samples=8, seq_len=32),
        Method(Wanda(), Additive(), NoRepair()),
        PruningSpec(sparsity=0.5),
    )


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


@pytest.fixture(scope="module")
def trial(pipeline, base):
    return pipeline.planner._trial(base, silent)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))


def test_a_layers_cost_is_that_of_the_model_with_this_layer_cut(pipeline, base, trial):
    found = sensitivity(trial.reads, trial.scores, trial.cut, shares=(0.25, 0.75))
    lm = pipeline.model(base)
    windows = drawn(lm, base.calibration)[1]
    for layer in (0, 1):
        for k, share in enumerate((0.25, 0.75)):
            keep = [torch.arange(24), torch.arange(24)]
            best = descending(trial.scores.layers[layer])[: round(24 * (1 - share))]
            keep[layer] = best.sort().values
            pruned = prune(lm, PruningPlan(tuple(keep), (24, 24)))
            with torch.inference_mode():
                dense = lm.model(windows).logits.log_softmax(-1)
                other = pruned.model(windows).logits.log_softmax(-1)
            expected = (dense.exp() * (dense - other)).sum(-1).mean()
            got = found.costs[layer, k + 1]
            assert float(got) == pytest.approx(float(expected), rel=2e-2)
    assert found.sparsities == (0.0, 0.25, 0.75)
    assert found.costs[:, 0].tolist() == [0, 0]
    assert found.n_tokens == 256


def test_additive_widths_come_from_the_measured_costs(pipeline, base):
    made = pipeline.plan(base)
    assert sum(made.widths) == 24
    assert pipeline.planner.has_widths(base)
    uniform = base.using(allocation=Uniform())
    reads = pipeline.planner._trial(base, silent).reads
    by = {s: divergence(pipeline.pruned(s), reads) for s in (base, uniform)}
    assert by[base] <= by[uniform] * 1.05


def test_costs_know_the_repair(pipeline, base):
    repaired = base.using(repair=LeastSquares())
    plain, better = (pipeline.sensitivity(s).costs.sum() for s in (base, repaired))
    assert better < plain


def test_both_least_squares_try_widths_with_the_quicker_one(pipeline, base):
    known = pipeline.sensitivity(base.using(repair=LeastSquares()))
    by = base.using(repair=SequentialLeastSquares())
    assert pipeline.sensitivity.peek(by) is known
    assert pipeline.sensitivity(by) is known


def test_measuring_costs_counts_and_stops(trial):
    told = []

    def stop(_, done, total):
        told.append((done, total))
        if done == 3:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        sensitivity(trial.reads, trial.scores, trial.cut, progress=stop)
    assert told == [(0, 8), (1, 8), (2, 8), (3, 8)]


# Search


def test_a_search_keeps_the_total_and_never_gets_worse(trial):
    steps = []
    found = search(trial, (12, 12), 24, publish=steps.append)
    assert sum(found.widths) == 24
    assert all(1 <= w <= 24 for w in found.widths)
    values = [value for _, value in found.history]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]
    assert found.n_tried == 24
    assert steps[-1] == found
    assert found.divergence == pytest.approx(trial(found.widths, trial.reads))


def test_a_search_taken_up_again_is_the_search_that_was_not_stopped(trial):
    whole = search(trial, (12, 12), 24, seed=3)
    first = search(trial, (12, 12), 8, seed=3)
    plain = json.loads(json.dumps(first.to_json()))
    assert search(trial, Searched.from_json(plain), 24) == whole


def test_a_model_of_one_layer_has_nothing_to_move():
    assert _changed((12,), (24,), torch.Generator()) == (12,)


def test_a_search_begins_no_worse_than_measured_costs_and_block_influence(base):
    pipeline, steps = Pipeline(), []
    base = base.at(0.3)
    asked = base.using(allocation=Search(evaluations=1))
    pipeline.searched(asked, publish=steps.append)
    trial = pipeline.planner._trial(asked, silent)
    begun = steps[0].divergence
    others = [
        trial(pipeline.plan(base.using(allocation=by)).widths, trial.reads)
        for by in (Additive(), BlockInfluence())
    ]
    assert others[0] != others[1]
    assert begun == min(others)


def test_a_stopped_search_goes_on_from_the_disk(base):
    asked = base.using(allocation=Search(evaluations=24))

    def stop(what, done, _):
        if what == "Trying widths" and done >= 12:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        Pipeline().searched(asked, progress=stop)
    told = []
    found = Pipeline().searched(asked, progress=lambda *step: told.append(step))
    tried = [done for what, done, _ in told if what == "Trying widths"]
    assert tried[0] == 8
    assert found.n_tried == 24
    fresh = Pipeline()
    assert fresh.searched(asked) == found
    assert fresh.plan(asked).widths == found.widths


def test_a_damaged_search_begins_anew(base, tmp_path):
    asked = base.using(allocation=Search(evaluations=8))
    found = Pipeline().searched(asked)
    (kept,) = (tmp_path / "searches").iterdir()
    kept.write_text('{"widths": [')
    assert Pipeline().searched(asked) == found


def test_other_weights_under_the_same_name_are_searched_anew(base, tmp_path):
    """A folder may be written again: its searches are those of its weights."""
    folder = tmp_path / "model"
    model = ModelSpec(name=str(folder), device="cpu")
    asked = replace(base, model=model).using(allocation=Search(evaluations=8))
    for seed in (0, 1):
        shutil.rmtree(folder, ignore_errors=True)
        save_folder(tiny_model(seed=seed), folder)
        Pipeline().searched(asked)
    assert len(list((tmp_path / "searches").iterdir())) == 2


def test_reading_keeps_what_the_model_said(pipeline, base):
    lm = pipeline.model(base)
    windows = drawn(lm, base.calibration)[1][:3]
    (a, b) = read(lm, windows)
    assert torch.equal(torch.cat([a.ids, b.ids]), windows)
    with torch.inference_mode():
        expected = lm.model(windows).logits.log_softmax(-1)
    both = torch.cat([a.log_probs, b.log_probs]).float()
    torch.testing.assert_close(both, expected, rtol=2e-3, atol=5e-3)
