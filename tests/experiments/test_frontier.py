"""The frontier: what was measured of a model, by method and sparsity, on one text."""

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import shipped as benchmark
from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.errors import LLMRankError
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.perplexity import (
    EvaluationSpec,
    TextEvaluation,
    perplexity_ratio,
)
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import (
    SHIPPED,
    frontier,
    kept,
    measured_here,
    shipped,
)
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.store import Origin, RunSpec, Store
from llmrank.methods.criteria import L1, LLMRank, Random, Wanda
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningSpec
from llmrank.methods.recovery import Distillation
from llmrank.methods.repair import Bias
from llmrank.models.language_model import ModelSpec
from llmrank.report.sentences.recoveries import gain_sentence, helps_sentence

BASE = Experiment()
ORIGIN = Origin("c", "e", {"device": "cpu", "n_threads": "2"})


def side(nll, n_params=100):
    windows = torch.full((4,), nll, dtype=torch.float64)
    text = TextEvaluation(windows, windows, "a text", "f")
    return Side(Footprint(n_params, 5, 40, (20, 20), 9, 9, 9, 9, 9), text)


def keep(store, experiment, nll, n_params=80):
    """Measure: the dense model has one nat a token, the pruned one so many."""
    run_id = store.queue(RunSpec(experiment.to_json(), 0, ("text",)))
    assert store.claim(run_id, ORIGIN)
    store.finish(run_id, Comparison(side(1.0), side(nll, n_params)))
    return run_id


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results.sqlite3")


@pytest.fixture
def known(store):
    for method, nlls in {Wanda(): (1.1, 1.4), LLMRank(): (1.2, 1.3)}.items():
        for sparsity, nll in zip((0.2, 0.4), nlls, strict=True):
            keep(store, BASE.using(criterion=method).at(sparsity), nll)
    return frontier(BASE, [store])


def test_within_a_budget_each_method_has_its_cheapest_choice(store):
    sizes = {Wanda(): ((0.2, 1.1, 90), (0.4, 1.4, 70)), LLMRank(): ((0.4, 1.3, 70),)}
    for method, cells in sizes.items():
        for sparsity, nll, n_params in cells:
            keep(store, BASE.using(criterion=method).at(sparsity), nll, n_params)
    known = frontier(BASE, [store])

    def fit(budget):
        return [(c.method.criterion, c.sparsity) for c in known.within(budget)]

    assert fit(90) == [(Wanda(), 0.2), (LLMRank(), 0.4)]
    assert fit(89) == [(LLMRank(), 0.4), (Wanda(), 0.4)]
    assert fit(69) == []


def test_each_method_has_its_points_by_sparsity(known):
    curves = {m.name: [c.sparsity for c in own] for m, own in known.curves.items()}
    assert curves == {"llm-rank": [0.2, 0.4], "wanda": [0.2, 0.4]}
    choice = known.at(Method(Wanda()), 0.2)
    assert choice.ratio.value == pytest.approx(torch.e**0.1)
    assert choice.n_params == 80
    assert known.at(Method(Wanda()), 0.3) is None


def test_the_best_is_who_costs_least_at_the_nearest_sparsity(known):
    assert known.best(0.2).method == Method(Wanda())
    assert known.best(0.39).method == Method(LLMRank())
    assert known.best(0.9).sparsity == 0.4


@pytest.mark.parametrize(
    ("sparsity", "log_ratio"),
    [(0.0, 0.0), (0.1, 0.05), (0.2, 0.1), (0.3, 0.25), (0.4, 0.4)],
)
def test_between_two_points_the_logarithm_is_straight(known, sparsity, log_ratio):
    between = known.between(Method(Wanda()), sparsity)
    assert torch.tensor(between).log().item() == pytest.approx(log_ratio, abs=1e-6)


def test_beyond_what_was_measured_nothing_is_said(known):
    assert known.between(Method(Wanda()), 0.41) is None
    assert known.between(Method(Random()), 0.1) is None
    assert frontier(replace(BASE, model=ModelSpec(name="other")), []).best(0.3) is None


def test_seeds_are_one_method(store):
    keep(store, BASE.using(criterion=Random(seed=7)).at(0.2), 2.0)
    (choice,) = frontier(BASE, [store]).choices
    assert choice.method == Method(Random())


def test_only_what_was_read_on_the_same_text_stands_beside_another(store):
    longer = replace(BASE, evaluation=EvaluationSpec(eval_tokens=8192))
    for sparsity in (0.1, 0.2):
        keep(store, longer.at(sparsity), 1.1)
    keep(store, BASE.using(criterion=Wanda()).at(0.2), 1.05)
    assert {c.method.name for c in frontier(BASE, [store]).choices} == {"llm-rank"}


def test_ones_own_runs_stand_at_any_length_and_those_in_hand_come_first(store):
    asked = keep(store, BASE.at(0.2), 1.1)
    keep(store, replace(BASE, evaluation=EvaluationSpec(eval_tokens=8192)).at(0.2), 1.3)
    longer = replace(BASE, evaluation=EvaluationSpec(eval_tokens=8192))
    other = keep(store, longer.using(criterion=Wanda()).at(0.2), 1.2)
    keep(store, replace(BASE, evaluation=EvaluationSpec(eval_text="mine")).at(0.4), 1.2)
    keep(store, replace(BASE, model=ModelSpec(name="other")).at(0.4), 1.1)
    own = measured_here(BASE.at(0.2), store)
    assert [choice.run.id for choice in own.choices] == [asked, other]


def test_another_model_and_another_precision_stand_elsewhere(store):
    keep(store, replace(BASE, model=ModelSpec(name="other")).at(0.2), 1.1)
    keep(store, replace(BASE, model=ModelSpec(dtype="bfloat16")).at(0.2), 1.1)
    assert frontier(BASE, [store]).choices == ()


def test_of_two_the_first_store_is_believed_and_the_newest_run(store, tmp_path):
    other = Store(tmp_path / "other.sqlite3")
    old = keep(store, BASE.at(0.2), 1.3)
    keep(other, BASE.at(0.2), 1.4)
    (choice,) = frontier(BASE, [store, other]).choices
    assert choice.run.id == old


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (BASE, True),
        (replace(BASE, evaluation=EvaluationSpec(eval_tokens=2048)), True),
        (replace(BASE, evaluation=EvaluationSpec(eval_text="mine.txt")), False),
        (replace(BASE, calibration=CalibrationSpec(samples=3)), False),
        (replace(BASE, pruning=PruningSpec(multiple_of=8)), False),
        (BASE.using(criterion=Random(seed=3)), False),
        (BASE.using(criterion=LLMRank(theta=0.1)), False),
        (BASE.using(repair=Bias()), False),
    ],
)
def test_ours_stands_for_settings_that_prune_alike_and_read_the_same_text(
    store, other, same
):
    for method in (LLMRank(), Random()):
        keep(store, BASE.using(criterion=method).at(0.3), 1.3)
    found = kept(other.at(0.3), None, store)
    assert (found is not None) == same
    assert kept(other.at(0.31), None, store) is None


def test_an_own_run_stands_before_ours(store, tmp_path):
    own = Store(tmp_path / "own.sqlite3")
    keep(store, BASE.at(0.3), 1.3)
    assert kept(BASE.at(0.3), own, store).ratio.value == pytest.approx(torch.e**0.3)
    run_id = keep(own, BASE.at(0.3), 1.4)
    assert kept(BASE.at(0.3), own, store).id == run_id
    assert kept(BASE.at(0.3), None, None) is None


def test_a_sealed_store_is_read_and_never_written(tmp_path):
    path = tmp_path / "sealed.sqlite3"
    keep(Store(path), BASE.at(0.2), 1.3)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    sealed = Store(path, sealed=True)
    assert len(sealed.runs()) == 1
    with pytest.raises(LLMRankError):
        keep(sealed, BASE.at(0.4), 1.3)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_what_we_ship_is_the_demo_on_the_texts_that_come_along():
    """Deterministic numbers only: a clock of ours says nothing of other machines."""
    store = shipped()
    runs = store.runs()
    assert {run.state for run in runs} == {"done"}
    assert len(frontier(BASE, [store]).choices) == len(runs)
    for comparison in store.comparisons([run.id for run in runs]).values():
        assert comparison.speedup is None
        assert comparison.pruned.latency is None
    assert SHIPPED.stat().st_size < 2_000_000
    assert not os.stat(SHIPPED).st_mode & stat.S_IXUSR


@pytest.mark.slow
def test_two_shipped_cells_measure_the_same_here():
    store, pipeline = shipped(), Pipeline()
    known = frontier(BASE, [store])
    for method, sparsity in ((Method(Random()), 0.1), (Method(L1()), 0.2)):
        choice = known.at(method, sparsity)
        asked = choice.run.experiment
        dense = pipeline.dense_text(asked)
        _, text = pipeline.pruned_text(asked)
        here = perplexity_ratio(dense, text)
        assert here.value == pytest.approx(choice.ratio.value, rel=1e-3)
        assert here.low == pytest.approx(choice.ratio.low, rel=1e-3)


def test_the_readme_shows_what_came_along():
    readme = Path(__file__).parents[2] / "README.md"
    _, between, _ = re.split(r"<!-- /?shipped -->\n", readme.read_text("utf-8"))
    assert between.strip() == benchmark.table()


def test_what_a_training_brought_is_of_the_same_method_size_and_budget_if_it_can(store):
    for criterion, before in ((LLMRank(), 1.4), (L1(), 1.6)):
        for sparsity in (0.2, 0.3):
            base = replace(BASE, method=Method(criterion)).at(sparsity)
            keep(store, base, before + sparsity)
            for n, gain in ((1000, 0.1), (8000, 0.3)):
                trained = base.using(recovery=Distillation(train_tokens=n))
                keep(store, trained, before + sparsity - gain)
    keep(store, BASE.using(recovery=Distillation()).at(0.25), 1.0)  # by the clock
    known = frontier(BASE, [store])

    def found(criterion, sparsity, n_tokens):
        own = Method(criterion, recovery=Distillation())
        before, after = known.trained(own, sparsity, n_tokens)
        assert before.method.criterion == after.method.criterion
        assert before.method == after.method.untrained
        assert before.sparsity == after.sparsity
        return after.method.criterion.name, after.sparsity, after.n_trained

    assert found(LLMRank(), 0.3, 1100) == ("llm-rank", 0.3, 1000)
    assert found(L1(), 0.21, 7000) == ("l1", 0.2, 8000)
    assert found(LLMRank(), 0.9, 10**6) == ("llm-rank", 0.3, 8000)
    assert found(Wanda(), 0.2, 2000)[1:] == (0.2, 1000)  # of another method
    assert frontier(BASE, []).trained(Method(), 0.3, 10) is None


def test_the_gain_of_a_training_is_told_with_its_tokens(store):
    base = replace(BASE, method=Method()).at(0.3)
    keep(store, base, 1.5)
    keep(store, base.using(recovery=Distillation(train_tokens=8000)), 1.2)
    pair = frontier(BASE, [store]).trained(Method(), 0.3, 1)
    assert gain_sentence(*pair) == (
        "Measured: llm-rank at 30 % removed goes from ×1.65 to ×1.22 [1.22, 1.22] by "
        "8,000 tokens."
    )


def text_of(nlls, source="a text"):
    windows = torch.tensor(nlls, dtype=torch.float64)
    return TextEvaluation(windows, windows, source, source)


def test_a_recovery_is_judged_on_the_windows_that_were_read_without_it_too():
    before = text_of([1.0, 1.1, 1.2, 1.1, 9.0])
    for change, verdict in ((-0.1, "helps"), (0.1, "makes it worse")):
        after = text_of(
            [nll + change + i / 1000 for i, nll in enumerate(before.nll[:4].tolist())]
        )
        said = helps_sentence(before, after)
        assert said.startswith(f"**Recovery {verdict}:** ×")
        assert f"the same {after.n_tokens:,} tokens" in said
    mixed = text_of([1.0, 1.2, 1.1, 1.1])
    assert "brings no gain that can be told" in helps_sentence(before, mixed)
    assert helps_sentence(before, text_of([1.0])) == ""
    assert helps_sentence(before, text_of([1.0, 1.0], "another")) == ""
