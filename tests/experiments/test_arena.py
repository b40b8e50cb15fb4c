"""The arena: its grid, its runner, what survives, who is beaten, its tables."""

import dataclasses
import io
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import save_folder, tiny_model

from llmrank.calibration.activations import CalibrationSpec, calibrate
from llmrank.core.cache import Cache
from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.core.formatting import interval
from llmrank.core.paths import child_environment
from llmrank.core.statistics import Estimate, spread, t_interval
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.experiments.arena import (
    AXES,
    ArenaSpec,
    Entry,
    cells,
    entries,
    expected_steps,
    find,
    forecast,
    known,
    measured,
    methods_text,
    n_windows,
    run,
    verdicts,
)
from llmrank.experiments.arena import spec as grid
from llmrank.experiments.arena.pareto import (
    ALIKE,
    MOST,
    by_interval,
    by_window,
    exact,
    judged,
)
from llmrank.experiments.arena.provenance import origin
from llmrank.experiments.expected_steps import TOKENS_PER_S, timing_steps
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import shipped
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.store import RunSpec, Store
from llmrank.methods.allocation import Global, Similarity, Uniform
from llmrank.methods.criteria import (
    CRITERIA,
    L1,
    Activation,
    LLMRank,
    Random,
    Wanda,
    criterion,
    score,
)
from llmrank.methods.method import PARTS, Method, method, written
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.methods.repair import Bias, LeastSquares, NoRepair
from llmrank.models.language_model import ModelSpec, load, weights_sample
from llmrank.report.tables.arena import (
    arena_table,
    brief,
    differing,
    latex,
    printed,
    shown,
    standings,
)

GPrune = CRITERIA["gprune"]
BENCHMARK = BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=2)


@pytest.fixture(scope="module")
def base(tiny_text):
    """What takes a second."""
    return Experiment(
        calibration=CalibrationSpec(
            calibration_text=str(tiny_text), samples=4, seq_len=64
        ),
        evaluation=EvaluationSpec(eval_text=str(tiny_text), eval_tokens=1024),
        benchmark=BENCHMARK,
    )


@pytest.fixture(scope="module")
def model(tiny_folder):
    return ModelSpec(name=str(tiny_folder), device="cpu")


@pytest.fixture(scope="module")
def spec(base, model):
    """Two methods at two sparsities, perplexity alone."""
    return ArenaSpec(
        models=(model,),
        methods=(Method(Wanda()), Method(Random())),
        sparsities=(0.25, 0.5),
        measures=("text",),
        base=base,
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results.sqlite3")


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


@pytest.fixture(scope="module")
def timed(spec, pipeline, tmp_path_factory):
    """The entries of a small arena with everything measured but tasks."""
    store = Store(tmp_path_factory.mktemp("store") / "results.sqlite3")
    full = dataclasses.replace(spec, measures=("text", "latency"))
    return run(full, store, pipeline=pipeline)


def refusal(call, *args, **kwargs):
    with pytest.raises(LLMRankError) as caught:
        call(*args, **kwargs)
    said = str(caught.value)
    assert "\n" not in said
    return said


def asked_of(*, sparsities):
    return methods_text.asked(Experiment(), ["l1"], sparsities, [0], ["text"])


def states(found):
    return [e.run.state for e in found]


# Methods


def test_a_method_is_named_by_what_is_unusual_about_it():
    assert Method(Wanda()).name == "wanda"
    assert Method(LLMRank(theta=0.25)).name == "llm-rank theta=0.25"
    full = Method(Wanda(), Similarity(amplitude=0.2), LeastSquares())
    assert full.name == "wanda + similarity amplitude=0.2 + least-squares"
    assert Method(Wanda(), Uniform(), NoRepair()).name == "wanda"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("wanda", Method(Wanda())),
        (" llm-rank : theta=0.25 : gamma=1", Method(LLMRank(theta=0.25, gamma=1))),
        ("random:seed=4", Method(Random(seed=4))),
        (
            "gprune:second_text=C:odd:ly.txt+bias",
            Method(criterion("gprune", second_text="C:odd:ly.txt"), repair=Bias()),
        ),
        ("wanda+bias", Method(Wanda(), repair=Bias())),
        ("bias+global+wanda", Method(Wanda(), Global(), Bias())),
        ("wanda+none+uniform", Method(Wanda())),
        (
            "wanda+similarity:amplitude=0.2+least-squares:ridge=0.5",
            Method(Wanda(), Similarity(amplitude=0.2), LeastSquares(ridge=0.5)),
        ),
    ],
)
def test_a_method_is_read_from_words(words, expected):
    assert method(words) == expected
    assert method(written(expected)) == expected.unseeded


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("wandaa", "unknown part of a method 'wandaa'; there are: criterion: llm-rank"),
        ("wanda+random", "'wanda+random' names criterion twice"),
        ("wanda+bias+none", "'wanda+bias+none' names repair twice"),
        ("uniform+bias", "'uniform+bias' names no criterion; there are: llm-rank"),
        ("wanda:theta=1", "wanda has no 'theta=1'; write one as name=value"),
        ("llm-rank:theta", "llm-rank has no 'theta'; write one as name=value: "),
        ("llm-rank:theta=2", "theta must lie in [0, 1], got 2"),
        ("", "unknown part of a method ''"),
        ("wanda:", "wanda has no ''; write one as name=value"),
        ("gprune:upload:ab", "gprune has no 'upload:ab'; write one as name=value"),
    ],
)
def test_words_that_are_no_method_are_refused(words, said):
    assert said in refusal(method, words)


def test_no_two_parts_share_a_name():
    """Or a word on the command line could mean both; none of either is the usual."""
    every = [name for registry in PARTS.values() for name in registry]
    names = [name for name in every if name != "none"]
    assert len(names) == len(set(names))


def test_methods_that_share_a_criterion_and_a_repair_come_together(base, model):
    names = (
        "wanda",
        "l1",
        "wanda+bias",
        "l1+bias",
        "wanda+global",
        "wanda+bias+global",
    )
    methods = tuple(method(name) for name in names)
    found = cells(ArenaSpec(models=(model,), methods=methods, base=base))
    assert [e.method.name for e in found] == [
        "wanda",
        "wanda + global",
        "wanda + bias",
        "wanda + global + bias",
        "l1",
        "l1 + bias",
    ]


# The grid


def test_a_grid_has_a_cell_for_each_combination(base, model):
    other = dataclasses.replace(model, dtype="bfloat16")
    spec = ArenaSpec(
        models=(model, other),
        methods=(Method(Wanda()), Method(Random())),
        sparsities=(0.1, 0.2, 0.3),
        seeds=(0, 7),
        base=base,
    )
    found = cells(spec)
    assert len(found) == len(set(found)) == 2 * 2 * 3 * 2
    combinations = {
        (e.model, e.method, e.pruning.sparsity, e.calibration.seed) for e in found
    }
    assert len(combinations) == 24


def test_cells_that_share_work_follow_one_another(base, model):
    """One model, one seed, one criterion at a time: each is prepared once."""
    spec = ArenaSpec(
        models=(model, dataclasses.replace(model, dtype="bfloat16")),
        methods=(Method(Wanda()), Method(L1()), Method(Activation())),
        sparsities=(0.1, 0.2),
        seeds=(1, 2),
        base=base,
    )
    found = cells(spec)
    for key in (
        lambda e: e.model,
        lambda e: (e.model, e.calibration),
        lambda e: (e.model, e.calibration, e.method.criterion),
    ):
        keys = [key(e) for e in found]
        changes = sum(a != b for a, b in itertools.pairwise(keys))
        assert changes == len(set(keys)) - 1


def test_a_seed_sets_every_seed(base, model):
    spec = ArenaSpec(
        models=(model,),
        methods=(Method(Random()),),
        seeds=(5,),
        measures=("text", "tasks", "latency"),
        base=dataclasses.replace(base, tasks=TaskSpec(tasks="piqa")),
    )
    (cell,) = cells(spec)
    assert cell.method.unseeded == Method(Random())  # the seed is the cell's
    assert cell.method.name == "random"
    seeds = (
        cell.calibration.seed,
        cell.method.criterion.seed,
        cell.tasks.items_seed,
        cell.benchmark.seed,
    )
    assert seeds == (5, 5, 5, 5)


def test_what_is_not_measured_does_not_tell_cells_apart(base, model):
    slow = dataclasses.replace(base, benchmark=BenchmarkSpec(repeats=50))
    text = [
        cells(ArenaSpec(models=(model,), measures=("text",), base=b))
        for b in (base, slow)
    ]
    assert text[0] == text[1]
    timed = [
        cells(ArenaSpec(models=(model,), measures=("latency",), base=b))
        for b in (base, slow)
    ]
    assert timed[0] != timed[1]


def test_a_description_comes_back_from_json(spec):
    plain = json.loads(json.dumps(spec.to_json()))
    assert ArenaSpec.from_json(plain) == spec


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ()}, "an arena needs methods; name at least one"),
        ({"sparsities": (0.5, 0.5)}, "sparsities must differ from one another"),
        (
            {"methods": (Method(Random(seed=1)), Method(Random(seed=2)))},
            "methods must differ from one another",
        ),
        ({"sparsities": (1.0,)}, "sparsity must lie in [0, 1), got 1.0"),
        ({"measures": ("speed",)}, "unknown measure 'speed'; there are: text, tasks"),
        ({"measures": ("tasks",)}, "tasks are to be measured and none is named"),
        ({"seeds": tuple(range(20_000))}, "20,000 seeds) are more than 1,000"),
    ],
)
def test_what_is_no_grid_is_refused(changes, said):
    assert said in refusal(ArenaSpec, **changes)


@pytest.mark.parametrize("build", [ArenaSpec, asked_of])
def test_too_large_a_grid_is_refused_before_anything_of_it_is_built(build, monkeypatch):
    def built(*_, **__):
        raise AssertionError("something was built")

    monkeypatch.setattr(grid, "PruningSpec", built)
    monkeypatch.setattr(methods_text, "method", built)
    said = refusal(build, sparsities=(0.5,) * 10**6)
    assert "1,000,000 cells (1 model × 1 method × 1,000,000 sparsities" in said


def test_an_arena_that_stands_as_it_did_is_not_read_again(timed, spec, store):
    arena_id = store.add_arena(spec.to_json(), [e.run.spec for e in timed])
    there = store.runs_by_place(arena_id).values()
    for done, queued in zip(timed, there, strict=True):
        store.finish(queued.id, done.comparison)
    memory = Cache(100)
    first = known(spec, store, memory=memory)
    again = known(spec, store, memory=memory)
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * len(first)
    assert cells(spec) is cells(spec)


# Measured


def test_a_cell_is_what_its_steps_give_by_hand(timed, tiny_folder, base):
    """The road of the package's own docstring, without pipeline."""
    entry = timed[1]
    dense = load(ModelSpec(name=str(tiny_folder), device="cpu"))
    scores = score(dense, calibrate(dense, base.calibration), Wanda())
    pruned = prune(dense, plan(scores, PruningSpec(sparsity=0.5)))
    sides = {"dense": dense, "pruned": pruned}
    for name, lm in sides.items():
        side, text = getattr(entry.comparison, name), evaluate(lm, base.evaluation)
        assert torch.equal(side.text.nll, text.nll)
        assert torch.equal(side.text.correct, text.correct)
        assert side.footprint == footprint(lm)
        assert len(side.latency.decode.samples_ms) == 2 * 2
        assert len(side.latency.prefill.samples_ms) == 2


def test_every_cell_is_kept_as_it_was_published(spec, store, pipeline):
    seen = []
    found = run(spec, store, pipeline=pipeline, publish=seen.append)
    assert states(found) == ["done"] * 4
    assert [s.count("done") for s in map(states, seen)][-1] == 4
    back = entries(find(spec, store), store)
    assert [e.run for e in back] == [e.run for e in found]
    for a, b in zip(back, found, strict=True):
        assert torch.equal(a.comparison.pruned.text.nll, b.comparison.pruned.text.nll)
    assert store.arena(find(spec, store)).finished is not None


def test_cells_fill_in_one_by_one(spec, store, pipeline):
    counts = []

    def watch(found):
        counts.append([s == "done" for s in states(found)].count(True))

    run(spec, store, pipeline=pipeline, publish=watch)
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3, 4}


def test_shapes_are_timed_once_and_the_dense_model_read_once(timed):
    """Two shapes in four cells: uniform widths do not depend on the criterion."""
    wanda, random = timed[:2], timed[2:]
    for a, b in zip(wanda, random, strict=True):
        assert a.comparison.pruned.latency == b.comparison.pruned.latency
        assert a.comparison.speedup == b.comparison.speedup
    assert wanda[0].comparison.pruned.latency != wanda[1].comparison.pruned.latency
    texts = {tuple(e.comparison.dense.text.nll.tolist()) for e in timed}
    assert len(texts) == 1


def test_only_what_is_asked_is_measured(spec, store, pipeline):
    bare = dataclasses.replace(spec, measures=("latency",), sparsities=(0.5,))
    for entry in run(bare, store, pipeline=pipeline):
        assert entry.comparison.pruned.text is None
        assert entry.comparison.pruned.memory is None
        assert entry.comparison.speedup is not None


@pytest.mark.slow
def test_memory_is_measured_once_for_each_shape(spec, store, pipeline):
    bare = dataclasses.replace(spec, measures=("memory",), sparsities=(0.5,))
    wanda, random = run(bare, store, pipeline=pipeline)
    assert wanda.comparison.pruned.memory == random.comparison.pruned.memory
    assert wanda.comparison.pruned.memory.used_bytes > 0
    assert wanda.comparison.pruned.latency is None


@pytest.mark.slow
def test_tasks_are_asked_of_both_and_of_the_dense_model_once(spec, store, pipeline):
    asked = dataclasses.replace(
        spec,
        measures=("tasks",),
        base=dataclasses.replace(spec.base, tasks=TaskSpec(tasks="piqa", items=6)),
    )
    stages_of = []
    found = run(
        asked, store, pipeline=pipeline, progress=lambda *said: stages_of.append(said)
    )
    starts = [what for what, done, _ in stages_of if done == 0 and "Asking" in what]
    assert len(starts) == 1 + len(found)
    assert all(e.comparison.task_retention["piqa"].n_items == 6 for e in found)


def test_progress_names_the_cell(spec, store, pipeline):
    said = []
    fresh = dataclasses.replace(spec, sparsities=(0.375,))
    run(fresh, store, pipeline=pipeline, progress=lambda what, *_: said.append(what))
    assert "Cell 2 of 2, random at 37.5 %: Reading held-out text" in said


def test_the_steps_of_an_arena_are_its_missing_cells(spec, store, pipeline):
    fresh = dataclasses.replace(spec, sparsities=(0.125,))
    steps, said = expected_steps(fresh, pipeline, store), []
    run(fresh, store, pipeline=pipeline, progress=lambda what, *_: said.append(what))
    assert len(steps) == 2
    assert all(step.seconds > 0 for step in steps)
    for step in steps:
        assert any(step.has_part(what) for what in said)
    cells_said = [what for what in said if what.startswith("Cell")]
    assert all(any(s.has_part(what) for s in steps) for what in cells_said)
    assert expected_steps(fresh, pipeline, store) == ()


# Resumed


def test_an_arena_run_again_measures_nothing(spec, store):
    first = run(spec, store, pipeline=Pipeline())
    said = []
    again = run(spec, store, pipeline=Pipeline(), progress=lambda *s: said.append(s[0]))
    assert [e.run.id for e in again] == [e.run.id for e in first]
    assert not any("Cell" in what for what in said)
    assert len(store.arenas()) == 1


def test_another_arena_takes_the_cells_that_are_done(spec, store, pipeline):
    first = run(spec, store, pipeline=pipeline)
    wider = dataclasses.replace(spec, sparsities=(0.5, 0.625))
    second = run(wider, store, pipeline=pipeline)
    of = {e.run.spec.recipe["pruning"]["sparsity"]: e.run.id for e in first[:2]}
    assert second[0].run.id == of[0.5]
    assert len(store.runs()) == 6
    assert len(store.run(of[0.5]).arenas) == 2


def test_a_cancelled_arena_loses_at_most_one_cell(spec, store):
    """Cancelled in the middle of the third cell, which is measured again."""

    def cancel(what, done, _):
        if what.startswith("Cell 3") and done > 0:
            raise CancelledError

    fresh = dataclasses.replace(spec, sparsities=(0.125, 0.75))
    with pytest.raises(CancelledError):
        run(fresh, store, pipeline=Pipeline(), progress=cancel)
    left = entries(find(fresh, store), store)
    assert states(left) == ["done", "done", "cancelled", "queued"]
    assert "cancelled" in left[2].run.reason
    assert store.arena(find(fresh, store)).finished is None
    again = run(fresh, store, pipeline=Pipeline())
    assert states(again) == ["done"] * 4
    assert [e.run for e in again[:2]] == [e.run for e in left[:2]]


CHILD = """
import json, os, sys
from pathlib import Path
from llmrank.experiments.arena import ArenaSpec, run
from llmrank.experiments.store import Store
spec = ArenaSpec.from_json(json.loads(sys.argv[2]))
def progress(what, done, total):
    if what.startswith("Cell 3") and done > 0:
        print("in the third", flush=True)
        sys.stdin.readline()
run(spec, Store(Path(sys.argv[1])), progress=progress)
"""


@pytest.mark.slow
def test_a_killed_arena_loses_at_most_one_cell(spec, store):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store.path), json.dumps(spec.to_json())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    with child:
        assert child.stdout.readline() == "in the third\n"
        arena_id = find(spec, store)
        before = entries(arena_id, store)
        assert states(before) == ["done", "done", "running", "queued"]
        others = run(spec, store, pipeline=Pipeline())  # two at once: left to its owner
        assert states(others) == ["done", "done", "running", "done"]
        os.kill(child.pid, signal.SIGKILL)
    measured = []
    after = run(
        spec,
        store,
        pipeline=Pipeline(),
        progress=lambda what, *_: measured.append(what),
    )
    assert states(after) == ["done"] * 4
    assert [e.run for e in after[:2]] == [e.run for e in before[:2]]
    assert {w.split(",")[0] for w in measured if "Cell" in w} == {"Cell 3 of 4"}
    assert len(store.runs()) == 4


def test_a_text_that_changed_is_measured_anew(spec, store, tmp_path, tiny_text):
    own = tmp_path / "own.txt"
    own.write_text(tiny_text.read_text("utf-8"), "utf-8")
    base = dataclasses.replace(
        spec.base, evaluation=EvaluationSpec(eval_text=str(own), eval_tokens=1024)
    )
    fresh = dataclasses.replace(spec, base=base, methods=(Method(Wanda()),))
    pipeline = Pipeline()
    before = run(fresh, store, pipeline=pipeline)
    own.write_text(own.read_text("utf-8")[::-1], "utf-8")
    after = run(fresh, store, pipeline=pipeline)
    assert {e.run.id for e in before}.isdisjoint(e.run.id for e in after)
    assert len(store.runs(states=("done",))) == 4  # what was measured before stays
    assert not torch.equal(
        before[0].comparison.dense.text.nll, after[0].comparison.dense.text.nll
    )


def test_a_text_that_changes_meanwhile_fails_the_cell(spec, store, tmp_path, tiny_text):
    own = tmp_path / "own.txt"
    own.write_text(tiny_text.read_text("utf-8"), "utf-8")
    base = dataclasses.replace(
        spec.base, evaluation=EvaluationSpec(eval_text=str(own), eval_tokens=1024)
    )
    fresh = dataclasses.replace(
        spec, base=base, methods=(Method(Wanda()),), sparsities=(0.5,)
    )

    def meddle(what, done, total):
        if "Reading held-out" in what and done == total:
            own.write_text("x" * 7000, "utf-8")

    (entry,) = run(fresh, store, pipeline=Pipeline(), progress=meddle)
    assert entry.run.state == "failed"
    assert entry.run.reason.startswith("a text was changed while it was read")


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
def test_a_criterion_with_a_second_text_competes_with_others(
    spec, store, pipeline, places, tmp_path, tiny_text
):
    second = tmp_path / "second.txt"
    second.write_text(tiny_text.read_text("utf-8")[::-1], "utf-8")
    both = (Method(GPrune(second_text=str(second))), Method(L1()))
    methods = tuple(both[place] for place in places)
    fresh = dataclasses.replace(spec, methods=methods, sparsities=(0.5,))
    found = run(fresh, store, pipeline=pipeline)
    assert [e.run.reason for e in found] == ["", ""]
    assert states(found) == ["done", "done"]


def test_a_second_text_that_changes_meanwhile_fails_its_cells_alone(
    spec, store, tmp_path, tiny_text
):
    second = tmp_path / "second.txt"
    second.write_text(tiny_text.read_text("utf-8")[::-1], "utf-8")
    methods = (Method(GPrune(second_text=str(second))), Method(L1()))
    fresh = dataclasses.replace(spec, methods=methods, sparsities=(0.5,))

    def meddle(what, done, total):
        if "gprune" in what and "Reading held-out" in what and done == total:
            second.write_text("x" * 7000, "utf-8")

    found = run(fresh, store, pipeline=Pipeline(), progress=meddle)
    assert states(found) == ["failed", "done"]
    assert found[0].run.reason.startswith("a text was changed while it was read")


def test_a_model_that_changed_under_its_name_is_measured_anew(
    spec, store, tmp_path, tiny
):
    folder = save_folder(tiny, tmp_path / "model")
    fresh = dataclasses.replace(
        spec,
        models=(ModelSpec(name=str(folder), device="cpu"),),
        methods=(Method(Wanda()),),
        sparsities=(0.5,),
    )
    (before,) = run(fresh, store, pipeline=Pipeline())
    save_folder(tiny_model(seed=1), folder)
    (after,) = run(fresh, store, pipeline=Pipeline())
    assert before.run.id != after.run.id
    assert before.run.origin.calibration_sha256 == after.run.origin.calibration_sha256


def test_the_sample_of_weights_tells_models_apart(tiny, tiny_gpt2):
    assert weights_sample(tiny) == weights_sample(tiny_model())
    others = {weights_sample(m) for m in (tiny, tiny_gpt2, tiny_model(seed=1))}
    assert len(others) == 3


def test_an_origin_names_texts_versions_and_the_machine(spec, pipeline):
    cell = cells(spec)[0]
    found = origin(cell, pipeline.model(cell))
    assert found.calibration_sha256 == found.evaluation_sha256
    kept = {"torch", "transformers", "device", "n_threads", "llmrank", "dtype"}
    assert kept <= found.environment.keys()


# Failing


def test_a_cell_that_fails_is_kept_with_its_reason_and_the_rest_goes_on(
    spec, store, monkeypatch
):
    def layers(_self, _graphs):
        raise LLMRankError("wanda does not apply to this model")

    monkeypatch.setattr(Wanda, "layers", layers)
    found = run(spec, store, pipeline=Pipeline())
    assert states(found) == ["failed", "failed", "done", "done"]
    assert found[0].run.reason == "wanda does not apply to this model"
    assert found[0].comparison is None
    said = forecast(spec, Pipeline(), store)
    assert (said.n_cells, said.n_missing, said.n_failed) == (4, 2, 2)
    assert "2 of 4 cells to measure (2 failed; another run tries again)" in (
        said.sentence
    )
    monkeypatch.undo()
    again = run(spec, store, pipeline=Pipeline())  # what failed is tried again
    assert states(again) == ["done"] * 4
    assert again[0].run.reason == ""


def test_a_fault_in_one_method_does_not_end_the_others(
    spec, store, monkeypatch, caplog
):
    def layers(_self, _graphs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Wanda, "layers", layers)
    found = run(spec, store, pipeline=Pipeline())
    assert states(found) == ["failed", "failed", "done", "done"]
    assert "a fault in the program stopped it (ZeroDivisionError)" in (
        found[0].run.reason
    )
    assert "a cell failed: 'Cell 1 of 4, wanda at 25 %'" in caplog.text


def test_a_method_that_does_not_apply_says_why(spec, store, tmp_path):
    """No checkpoint of Mistral's type can hold a bias; one of Llama's can."""
    folder = save_folder(tiny_model("mistral"), tmp_path / "mistral")
    both = dataclasses.replace(
        spec,
        models=(*spec.models, ModelSpec(name=str(folder), device="cpu")),
        methods=(method("wanda+bias"), method("wanda+least-squares")),
        sparsities=(0.5,),
    )
    bias, squares, no_bias, others = run(both, store, pipeline=Pipeline())
    assert states((bias, squares, others)) == ["done"] * 3
    assert bias.run.n_params > squares.run.n_params
    assert no_bias.run.state == "failed"
    assert "models of type mistral have none" in no_bias.run.reason
    assert "repair least-squares changes only weights" in no_bias.run.reason
    texts = [e.comparison.pruned.text.nll for e in (bias, squares)]
    assert not torch.equal(*texts)


def test_a_model_that_is_not_there_fails_its_own_cells(spec, store, pipeline):
    gone = ModelSpec(name="/no/such/folder", device="cpu")
    both = dataclasses.replace(spec, models=(gone, *spec.models))
    found = run(both, store, pipeline=pipeline)
    assert states(found) == ["failed"] * 4 + ["done"] * 4
    assert "/no/such/folder" in found[0].run.reason


def test_a_run_that_is_deleted_meanwhile_is_measured_next_time(spec, store, pipeline):
    arena_id = []

    def delete(what, done, _):
        if what.startswith("Cell 2") and done > 0 and not arena_id:
            arena_id.append(find(fresh, store))
            store.delete([store.run_in(arena_id[0], 1).id])

    fresh = dataclasses.replace(spec, sparsities=(0.3, 0.6))
    found = run(fresh, store, pipeline=Pipeline(), progress=delete)
    assert states(found) == ["done"] * 3
    assert states(run(fresh, store, pipeline=pipeline)) == ["done"] * 4


def test_an_arena_that_is_deleted_meanwhile_ends_with_a_sentence(spec, store):
    gone = []

    def delete(what, *_):
        if what.startswith("Cell 2") and not gone:
            gone.append(find(spec, store))
            store.delete_arena(gone[0])

    said = refusal(run, spec, store, pipeline=Pipeline(), progress=delete)
    assert said.startswith(f"there is no arena '{gone[0]}' in ")
    assert [r.state for r in store.runs()] == ["done", "done"]


def test_a_store_that_refuses_ends_the_arena_with_its_sentence(spec, tmp_path):
    store = Store(tmp_path / "results.sqlite3", wait_s=0.1)
    blocker = sqlite3.connect(store.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert "locked by another process" in refusal(run, spec, store, pipeline=Pipeline())
    blocker.execute("ROLLBACK")
    blocker.close()
    assert states(run(spec, store, pipeline=Pipeline())) == ["done"] * 4


# How long


def test_a_forecast_knows_nothing_before_anything_was_read(spec, store):
    found = forecast(spec, Pipeline(), store)
    assert (found.seconds, found.n_missing) == (None, 4)
    assert found.sentence == (
        "4 of 4 cells to measure (2 methods × 2 sparsities, each a pruned model); how "
        "long that takes is known once a text was read here."
    )


def test_of_the_demo_it_says_what_took_our_two_cores(spec, store):
    demo = dataclasses.replace(spec, models=(ModelSpec(),))
    found = forecast(demo, Pipeline(), store)
    read = demo.base.calibration.samples * demo.base.calibration.seq_len
    n_tokens = read + (4 + 1) * demo.base.evaluation.eval_tokens
    assert found.seconds == pytest.approx(n_tokens / TOKENS_PER_S)
    assert " on two cores like ours, not counted: " in found.sentence
    timed = dataclasses.replace(demo, measures=("text", "latency"))
    each_s = sum(step.seconds for step in timing_steps(timed.base, 1.0))
    later = forecast(timed, Pipeline(), store)
    assert later.seconds == pytest.approx(found.seconds + 2 * each_s)  # two shapes


def test_a_forecast_counts_the_tokens_that_are_left(spec, store, pipeline):
    fresh = dataclasses.replace(spec, sparsities=(0.15, 0.35, 0.45))
    run(dataclasses.replace(fresh, sparsities=(0.15,)), store, pipeline=pipeline)
    found = forecast(fresh, pipeline, store)
    pace = pipeline.tokens_per_s(spec.models[0])
    assert found.seconds == pytest.approx(4 * 1024 / pace)  # two are known elsewhere
    run(fresh, store, pipeline=pipeline)
    assert forecast(fresh, pipeline, store).n_missing == 0
    assert "All 6 cells are measured." in forecast(fresh, pipeline, store).sentence


def test_a_forecast_says_what_it_cannot_count(spec, store, pipeline):
    timed = dataclasses.replace(spec, measures=("latency", "memory"))
    pipeline.stats(dataclasses.replace(spec.base, model=spec.models[0]))
    found = forecast(timed, pipeline, store)
    assert found.seconds == 0
    assert "latency, which was not measured here yet" in found.not_counted
    assert "peak memory" in found.not_counted
    timed = dataclasses.replace(timed, measures=("latency",))
    run(timed, store, pipeline=pipeline)
    more = dataclasses.replace(timed, sparsities=(0.1, 0.2, 0.3))
    later = forecast(more, pipeline, store)
    assert later.seconds > 0
    assert "latency, which was not measured here yet" not in later.not_counted
    one = forecast(dataclasses.replace(more, sparsities=(0.1,)), pipeline, store)
    assert later.seconds == pytest.approx(3 * one.seconds)  # three shapes, six cells


def test_a_forecast_counts_what_methods_read_beside(spec, store, pipeline):
    model, base = spec.models[0], spec.base
    read = base.calibration.samples * base.calibration.seq_len
    pipeline.stats(dataclasses.replace(base, model=model))
    pace = pipeline.tokens_per_s(model)

    def tokens(*words, sparsities=(0.22, 0.44)):
        by = tuple(map(method, words))
        wanted = dataclasses.replace(spec, methods=by, sparsities=sparsities)
        n = forecast(wanted, pipeline, store).seconds * pace
        return round(n) - len(words) * len(sparsities) * 1024

    assert tokens("wanda") == 0
    assert tokens("wanda+least-squares") == read
    assert tokens("wanda+least-squares", "activation+least-squares") == read
    assert tokens("wanda+least-squares-sequential") == 2 * 3 * read
    assert tokens("taylor", "gblm") == 3 * read
    trials = 4 * 2 * 1024 // 2  # shares, layers, tokens: half of the blocks each
    assert tokens("wanda+additive") == trials
    assert tokens("wanda+additive", sparsities=(0.22,)) == trials
    searched = tokens("wanda+search:evaluations=16", sparsities=(0.22,))
    assert searched == trials + 16 * 1024 // 2


# Who is ahead


def windows(n_windows, *means, seed=3):
    """Losses of methods on windows that are hard or easy for all of them."""
    draw = np.random.default_rng(seed)
    hard = draw.normal(scale=0.5, size=n_windows)
    own = draw.normal(scale=0.05, size=(len(means), n_windows))
    return hard + own + np.array(means)[:, None]


def of_one_size(n):
    return exact(np.full(n, 100.0))


@pytest.mark.parametrize("n_windows", [8, 32])
def test_the_better_is_on_the_frontier_the_worse_is_beaten_and_equals_are_untold(
    n_windows,
):
    told = judged(of_one_size(3), by_window(windows(n_windows, 1.0, 1.0, 2.0)))
    assert told == ("cannot be told", "cannot be told", "beaten")
    told = judged(of_one_size(2), by_window(windows(n_windows, 1.0, 2.0)))
    assert told == ("on the frontier", "beaten")


@pytest.mark.parametrize("n_windows", [2, 5, 8, 32])
def test_of_a_dozen_equal_methods_anything_is_said_in_one_of_twenty_cases(n_windows):
    """Pair by pair at 95 % each, something false would be said in most cases."""
    n_cases = 60
    said = 0
    for case in range(n_cases):
        losses = windows(n_windows, *[1.0] * 12, seed=case)
        told = judged(of_one_size(12), by_window(losses))
        said += set(told) != {"cannot be told"}
    assert said <= 8  # of 60 at 5 %: more comes in one of 500 runs


def test_windows_tell_apart_what_intervals_cannot():
    """How hard a window is moves all methods alike: only the pairs show it."""
    losses = windows(32, 1.0, 1.1)
    own = [t_interval(torch.from_numpy(row)) for row in losses]
    assert judged(of_one_size(2), by_window(losses)) == ("on the frontier", "beaten")
    assert set(judged(of_one_size(2), by_interval(own))) == {"cannot be told"}


def test_a_smaller_model_is_beaten_only_by_one_as_small():
    sizes = exact(np.array([80.0, 100.0, 100.0 * (1 + ALIKE / 2), 100.0]))
    told = judged(sizes, by_window(windows(32, 3.0, 1.0, 2.0, 2.0)))
    assert told == ("on the frontier", "on the frontier", "beaten", "beaten")


def test_one_window_tells_nothing_and_the_same_cell_twice_beats_nobody():
    assert set(judged(of_one_size(2), by_window(windows(1, 1.0, 9.0)))) == {
        "cannot be told"
    }
    twice = windows(8, 1.0, 9.0)[[0, 0, 1]]
    told = judged(of_one_size(3), by_window(twice))
    assert told == ("on the frontier", "on the frontier", "beaten")


def test_a_shared_timing_is_one_measurement():
    """Cells of one shape are exactly as fast as one another, however unsure how."""
    unsure = Estimate(10.0, 1.0, 19.0, 3)
    losses = by_window(windows(32, 1.0, 2.0))
    shared, apart = by_interval([unsure, unsure]), [unsure, Estimate(9.0, 0.0, 18.0, 3)]
    assert judged(shared, losses) == ("on the frontier", "beaten")
    assert judged(by_interval(apart), losses) == ("on the frontier", "cannot be told")
    endless = [Estimate(1.0, -np.inf, np.inf, 1), Estimate(2.0, 2.0, 2.0, 1)]
    assert set(judged(by_interval(endless), of_one_size(2))) == {"cannot be told"}


def test_so_many_points_that_they_are_not_resampled_are_told_more_widely():
    few, many = (by_window(np.tile(windows(32, 1.0, 2.0), (k, 1))) for k in (2, 151))
    assert len(many.values) > MOST
    assert few.margins[0, 1] < many.margins[0, 1] < np.inf


def test_axes_know_which_way_is_better(timed):
    """Of the cells, whose windows are too few, the sign alone is tried."""
    sure = [
        dataclasses.replace(e, comparison=with_top1(e.comparison, place / 10))
        for place, e in enumerate(timed, 1)
    ]
    told = verdicts(sure, "parameters", "top1")
    best = max(sure, key=lambda e: e.comparison.pruned.text.top1.value)
    assert told[sure.index(best)] == "on the frontier"
    table = standings(sure, "parameters", "top1")
    assert table["run"][0] == best.run.id
    assert table["y"].is_monotonic_decreasing


def with_top1(found, share):
    right = torch.full((8,), share).double() + torch.linspace(0, 1e-6, 8).double()
    text = dataclasses.replace(found.pruned.text, nll=right, correct=right)
    both = {
        name: dataclasses.replace(getattr(found, name), text=text)
        for name in ("dense", "pruned")
    }
    return dataclasses.replace(found, **both)


def test_cells_that_read_other_windows_are_told_by_their_intervals(timed):
    first, *others = timed
    assert n_windows(timed, "perplexity") == 2
    assert n_windows(timed, "decode_ms") is None
    other = dataclasses.replace(first.comparison.pruned.text, text_sha256="another")
    pruned = dataclasses.replace(first.comparison.pruned, text=other)
    apart = dataclasses.replace(
        first, comparison=dataclasses.replace(first.comparison, pruned=pruned)
    )
    assert n_windows([apart, *others], "perplexity") is None
    assert len(verdicts([apart, *others], "parameters", "perplexity")) == 4


def test_cells_without_a_figure_do_not_stand_anywhere(timed):
    waiting = Entry(timed[0].run)
    table = standings([waiting, *timed], "parameters", "perplexity")
    assert sorted(table["run"]) == sorted(e.run.id for e in timed)
    assert table["y"].is_monotonic_increasing
    found = next(e for e in timed if e.run.id == table["run"][0])
    assert table["said"][0] == spread(found.figures["perplexity"])
    assert standings(timed, "parameters", "accuracy").empty


def test_an_unknown_axis_is_refused(timed):
    assert "unknown axis 'speed'" in refusal(standings, timed, "speed", "perplexity")


def test_what_comes_along_is_of_one_model_and_says_who_is_beaten():
    """By hand from the file: the same windows, and a difference of many errors."""
    ours = measured(ModelSpec(), shipped())
    assert measured(ModelSpec(dtype="bfloat16"), shipped()) == ()
    assert n_windows(ours, "perplexity_ratio") == 32
    table = standings(ours, "parameters", "perplexity_ratio").set_index("method")
    at = table[table["sparsity"] == 0.3]
    best = "wanda + additive + least-squares-sequential"
    trained = f"{best} + distil 102,400 tokens"
    assert at.loc[trained, "verdict"] == "on the frontier"
    assert at.loc[best, "verdict"] == "beaten"
    assert at.loc["random", "verdict"] == "beaten"


@pytest.mark.parametrize("name", list(AXES))
def test_every_axis_gives_figures_of_both_sides(timed, name):
    axis, found = AXES[name], timed[0].comparison
    assert axis.title
    if name in ("accuracy", "peak_mb"):  # not measured here
        assert axis.pruned(found) is None
        assert axis.dense(found) is None
        return
    for side in (axis.pruned(found), axis.dense(found)):
        assert side.low <= side.value <= side.high
        assert not axis.is_exact or side.low == side.high


def test_axes_are_the_comparisons_own_figures(timed):
    found = timed[0].comparison
    assert AXES["perplexity_ratio"].pruned(found) == found.perplexity_ratio
    assert AXES["top1"].dense(found) == found.dense.text.top1
    decode = AXES["decode_speedup"].pruned(found)
    assert decode.value == found.speedup.decode.measured


# Tables


def test_a_table_has_a_row_per_cell_with_its_origin(timed):
    table = arena_table(timed)
    assert len(table) == 4
    assert table["sparsity"].tolist() == [0.25, 0.5, 0.25, 0.5]
    assert table["method"].tolist() == ["wanda", "wanda", "random", "random"]
    first = timed[0].comparison
    assert table["perplexity"][0] == first.pruned.text.perplexity.value
    assert table["perplexity_ratio_high"][0] == first.perplexity_ratio.high
    assert table["torch"][0] == torch.__version__
    assert table["run"][0] == timed[0].run.id


def test_a_table_survives_csv(timed):
    table = arena_table(timed)
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert back["perplexity"].tolist() == table["perplexity"].tolist()


def test_only_columns_that_differ_are_shown(timed):
    shown = differing(arena_table(timed))
    assert {"method", "sparsity", "perplexity", "parameters"} <= set(shown)
    assert not {"model", "seed", "torch", "state", "run", "accuracy"} & set(shown)
    assert "model" in differing(arena_table(timed[:1]))


def test_cells_that_wait_are_rows_without_figures(spec, store, timed):
    arena_id = store.add_arena(spec.to_json(), [e.run.spec for e in timed])
    table = arena_table(entries(arena_id, store))
    assert table["state"].tolist() == ["queued"] * 4
    assert table["perplexity"].isna().all()


def test_printed_values_carry_their_intervals(timed):
    text = printed(arena_table(timed))
    found = timed[0].comparison.pruned.text.perplexity
    assert text["perplexity"][0].startswith(f"{found.value:.0f} [{found.low:.0f}, ")
    assert text["sparsity"].tolist() == ["25 %", "50 %", "25 %", "50 %"]
    assert text["parameters"][0] == f"{timed[0].run.n_params:,}"
    assert "perplexity_low" not in text


def test_a_brief_table_has_the_figures_first_and_no_origin_that_is_one(timed):
    table = arena_table(timed)
    told = list(brief(table))
    assert told[:2] == ["method", "sparsity"]
    assert "perplexity" in told
    assert not {"criterion", "repair", "device", "torch", "run"} & set(told)
    waiting = table.assign(device=[None, *table["device"].tolist()[1:]])
    assert "device" not in brief(waiting)
    other = table.assign(device=["cuda", *table["device"].tolist()[1:]])
    assert "device" in brief(other)


def test_a_table_for_the_screen_has_numbers_and_their_intervals_beside(timed):
    table = arena_table(timed)
    screen = shown(brief(table))
    assert screen["perplexity"].tolist() == table["perplexity"].tolist()
    low, high = table.loc[0, "perplexity_low"], table.loc[0, "perplexity_high"]
    assert screen["perplexity: 95 %"][0] == interval(low, high)
    assert "perplexity_low" not in screen


def test_a_grid_in_which_nothing_is_finished_has_a_table(spec, store):
    asked = [RunSpec(e.to_json(), 0, spec.measures) for e in cells(spec)]
    arena_id = store.add_arena(spec.to_json(), asked)
    told = brief(arena_table(entries(arena_id, store)))
    assert len(told) == len(asked)
    assert "perplexity" not in told


def test_what_another_arena_measured_is_known_before_anything_runs(
    spec, store, pipeline
):
    assert known(spec, store) == ()
    done = run(spec, store, pipeline=pipeline)
    fewer = dataclasses.replace(spec, methods=spec.methods[:1])
    assert find(fewer, store) is None
    there = known(fewer, store)
    assert [e.run.id for e in there] == [e.run.id for e in done[: len(there)]]
    assert all(e.comparison is not None for e in there)
    timed = dataclasses.replace(fewer, measures=("text", "latency"))
    assert known(timed, store) == ()  # they measured less, and other benchmarks


def test_runs_of_another_text_do_not_stand_beside_what_is_known(
    spec, store, tiny_text, tmp_path
):
    text = tmp_path / "own.txt"
    text.write_text(tiny_text.read_text("utf-8"), "utf-8")
    evaluation = dataclasses.replace(spec.base.evaluation, eval_text=str(text))
    base = dataclasses.replace(spec.base, evaluation=evaluation)
    own = dataclasses.replace(spec, base=base)
    first = dataclasses.replace(own, methods=spec.methods[:1])
    run(first, store, pipeline=Pipeline())
    assert len(known(own, store)) == 2
    text.write_text(tiny_text.read_text("utf-8")[::-1], "utf-8")
    second = dataclasses.replace(own, methods=spec.methods[1:])
    done = run(second, store, pipeline=Pipeline())
    assert {e.run.id for e in known(own, store)} == {e.run.id for e in done}


def test_latex_is_a_booktabs_table_with_everything_escaped(timed):
    table = arena_table(timed)
    table["method"] = ["50 % & more_of #1", r"\input{x}", "{braces} ~^", "$wanda$"]
    written = latex(table)
    assert written.startswith(r"\begin{tabular}{")
    rules = [line for line in written.splitlines() if "rule" in line]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"50 \% \& more\_of \#1 & 25 \%" in written
    assert r"\textbackslash input\{x\}" in written
    assert r"\{braces\} \textasciitilde \textasciicircum" in written
    assert r"\$wanda\$" in written
    assert "& perplexity, × dense &" in written
    rows = [line for line in written.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in rows}) == 1


# The real model


@pytest.mark.slow
def test_the_demo_model_in_a_small_arena(tmp_path):
    store, pipeline = Store(tmp_path / "results.sqlite3"), Pipeline()
    spec = ArenaSpec(
        methods=(Method(Wanda()), Method(Random())),
        sparsities=(0.1,),
        measures=("text", "latency"),
        base=Experiment(
            calibration=CalibrationSpec(samples=2, seq_len=256),
            evaluation=EvaluationSpec(eval_tokens=1024),
            benchmark=BenchmarkSpec(prompt_tokens=32, new_tokens=4, repeats=2),
        ),
    )
    found = run(spec, store, pipeline=pipeline)
    assert states(found) == ["done", "done"]
    wanda, random = found
    assert wanda.run.ratio.value < random.run.ratio.value
    assert n_windows(found, "perplexity") == 2
    assert wanda.run.n_params == 126_531_648  # ANCHORS.md, 10 % uniform
