"""Remembered pipeline: made once, bounded, and equal to the plain chain."""

import threading
import time
from dataclasses import replace

import pytest
import torch

import llmrank
from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.cache import Cache
from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.allocation import Global
from llmrank.methods.criteria import Activation, Gblm, GPrune, LLMRank, Taylor
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningSpec
from llmrank.models.language_model import ModelSpec

PROMPT = torch.arange(1, 40)[None]
WAIT_S = 30


def in_threads(*functions):
    """Run functions at once; return what they returned or raised, in their order."""
    found = [None] * len(functions)

    def run(place, function):
        try:
            found[place] = function()
        except Exception as error:
            found[place] = error

    threads = [
        threading.Thread(target=run, args=(place, function))
        for place, function in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    return found


# One memo


def test_a_result_is_made_once_and_is_the_same_object():
    memo, made = Cache(4), []

    def make():
        made.append(1)
        return object()

    assert memo.get("a", make) is memo.get("a", make)
    assert len(made) == 1
    assert memo.get("b", make) is not memo.get("a", make)


def test_equal_specs_are_one_key():
    memo = Cache(4)
    first = memo.get((PruningSpec(sparsity=0), LLMRank(theta=1)), object)
    assert memo.get((PruningSpec(sparsity=0.0), LLMRank(theta=1.0)), object) is first
    assert memo.get((PruningSpec(sparsity=0), LLMRank(theta=0.9)), object) is not first


def test_specs_of_different_classes_are_different_keys():
    """Both have one field, `site`, with the same value."""

    class Other(Activation):
        pass

    memo = Cache(4)
    assert memo.get(Activation(), object) is not memo.get(Other(), object)


def test_many_that_ask_at_once_wait_for_one():
    memo, made, barrier = Cache(4), [], threading.Barrier(6, timeout=WAIT_S)

    def make():
        made.append(1)
        time.sleep(0.1)
        return object()

    def ask():
        barrier.wait()
        return memo.get("a", make)

    found = in_threads(*[ask] * 6)
    assert len(made) == 1
    assert all(one is found[0] for one in found)


def test_different_results_are_made_side_by_side():
    """Each make waits for the other: one after the other would never end."""
    memo, barrier = Cache(4), threading.Barrier(2, timeout=WAIT_S)

    def make():
        barrier.wait()
        return "made"

    found = in_threads(*[lambda key=key: memo.get(key, make) for key in "ab"])
    assert found == ["made", "made"]


def test_looking_does_not_wait_for_what_is_being_made():
    memo, started, finish = Cache(4), threading.Event(), threading.Event()

    def make():
        started.set()
        assert finish.wait(WAIT_S)
        return "made"

    def look():
        assert started.wait(WAIT_S)
        seen = memo.peek("a")
        finish.set()
        return seen

    assert in_threads(lambda: memo.get("a", make), look) == ["made", None]
    assert memo.peek("a") == "made"


@pytest.mark.parametrize("error", [LLMRankError("no"), CancelledError(), KeyError("b")])
def test_a_failure_is_not_remembered(error):
    memo = Cache(4)

    def fail():
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            memo.get("a", fail)
    assert memo.peek("a") is None
    assert memo.get("a", lambda: "made") == "made"


def test_who_waited_for_a_failure_tries_itself():
    """The first is cancelled; the second, who waits, must not be."""
    memo, started = Cache(4), threading.Event()

    def fail():
        started.set()
        time.sleep(0.1)
        raise CancelledError

    def second():
        assert started.wait(WAIT_S)
        return memo.get("a", lambda: "made")

    first, found = in_threads(lambda: memo.get("a", fail), second)
    assert isinstance(first, CancelledError)
    assert found == "made"


def test_the_result_asked_for_longest_ago_is_forgotten():
    memo = Cache(2)
    for key in "ab":
        memo.put(key, key.upper())
    assert memo.peek("a") == "A"
    memo.put("c", "C")
    assert [memo.peek(key) for key in "abc"] == ["A", None, "C"]


def test_memory_stays_bounded_however_much_is_asked():
    memo = Cache(3)
    for key in range(100):
        memo.get(key, object)
    assert len(memo._results) == 3
    assert not memo._making


# The stages


@pytest.fixture(scope="module")
def base(tiny_folder, tiny_text):
    return Experiment(
        ModelSpec(name=str(tiny_folder), device="cpu"),
        CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=64),
        Method(LLMRank(theta=0.7, gamma=0.4, graph="chained"), Global()),
        PruningSpec(sparsity=0.4),
        EvaluationSpec(eval_text=str(tiny_text), eval_tokens=1024),
    )


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


@pytest.fixture(scope="module")
def chain(base):
    """The same by the plain functions, nothing remembered."""
    dense = llmrank.load(base.model)
    stats = llmrank.calibrate(dense, base.calibration)
    scores = llmrank.score(dense, stats, base.method.criterion)
    plan = llmrank.plan(scores, base.pruning, Global())
    return dense, stats, scores, plan, llmrank.prune(dense, plan)


def test_stages_give_what_the_plain_chain_gives(pipeline, base, chain):
    dense, stats, scores, plan, pruned = chain
    kept = pipeline.plan(base)
    assert kept.dense_widths == plan.dense_widths
    for ours, theirs in (
        (kept.keep, plan.keep),
        (pipeline.scores(base).layers, scores.layers),
        (
            [s.neuron_norm for s in pipeline.stats(base).layers],
            [s.neuron_norm for s in stats.layers],
        ),
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
    for ours, theirs in (
        (pipeline.model(base), dense),
        (pipeline.pruned(base), pruned),
    ):
        assert torch.equal(ours.model(PROMPT).logits, theirs.model(PROMPT).logits)


def test_texts_are_measured_as_by_the_plain_chain(pipeline, base, chain):
    dense, *_, pruned = chain
    found = pipeline.dense_text(base)
    assert torch.equal(found.nll, evaluate(dense, base.evaluation).nll)
    sizes, text = pipeline.pruned_text(base)
    expected = evaluate(pruned, base.evaluation)
    assert torch.equal(text.nll, expected.nll)
    assert torch.equal(text.correct, expected.correct)
    assert sizes == footprint(pruned)


def test_equal_specs_give_the_same_object(pipeline, base):
    same = replace(base, model=ModelSpec(name=base.model.name, device="cpu"))
    for stage in (pipeline.model, pipeline.stats, pipeline.pruned):
        assert stage(base) is stage(same)


def test_the_pruned_model_shares_the_dense_models_weights(pipeline, base):
    dense, pruned = pipeline.model(base).model, pipeline.pruned(base).model
    assert pruned.model.embed_tokens.weight is dense.model.embed_tokens.weight


def test_what_is_there_can_be_asked_without_making_it(base):
    pipeline = Pipeline()
    ways = [
        lambda: pipeline.model.peek(base) is not None,
        lambda: pipeline.stats.peek(base) is not None,
        lambda: pipeline.pruned.peek(base) is not None,
        lambda: pipeline.pruner.sorted.peek(base) is not None,
        lambda: pipeline.dense_text.peek(base) is not None,
        lambda: pipeline.pruned_text.peek(base) is not None,
        lambda: pipeline.tokens_per_s(base.model) is not None,
    ]
    assert [ask() for ask in ways] == [False] * 7
    pipeline.pruned(base)
    assert [ask() for ask in ways] == [True] * 3 + [False] * 3 + [True]
    pipeline.dense_text(base)
    pipeline.pruned_text(base)
    assert [ask() for ask in ways] == [True] * 3 + [False] + [True] * 3
    pipeline.pruner.prefix(base)
    assert [ask() for ask in ways] == [True] * 7
    assert pipeline.tokens_per_s(base.model) > 0


def test_measuring_many_pruned_models_keeps_none_of_them(base):
    pipeline = Pipeline()
    for sparsity in (0.1, 0.2, 0.3):
        own = base.at(sparsity)
        pipeline.pruned_text(own)
        assert pipeline.pruned.peek(own) is None
        assert pipeline.pruned_text.peek(own) is not None


def test_models_and_pruned_models_are_few(pipeline, base):
    for sparsity in (0.1, 0.2, 0.3, 0.4, 0.5):
        pipeline.pruned(base.at(sparsity))
    there = [
        pipeline.pruned.peek(base.at(s)) is not None for s in (0.1, 0.2, 0.3, 0.4, 0.5)
    ]
    assert there == [False, False, True, True, True]
    halves = [
        replace(base, model=replace(base.model, dtype=d))
        for d in ("bfloat16", "float16")
    ]
    for half in halves:
        pipeline.model(half)
    assert pipeline.model.peek(base) is None
    assert all(pipeline.model.peek(half) is not None for half in halves)


def storages(lm):
    return {p.untyped_storage().data_ptr() for p in lm.model.parameters()}


def test_a_prefix_computes_what_the_pruned_model_computes(base):
    pipeline = Pipeline()
    for sparsity in (0.0, 0.3, 0.8):
        own = base.at(sparsity)
        found, expected = (
            make(own) for make in (pipeline.pruner.prefix, pipeline.pruned)
        )
        torch.testing.assert_close(
            found.model(PROMPT).logits,
            expected.model(PROMPT).logits,
            rtol=1e-4,
            atol=1e-4,
        )
        assert footprint(found) == footprint(expected)


def test_all_prefixes_of_a_criterion_share_one_copy(base):
    pipeline = Pipeline()
    first, *others = [pipeline.pruner.prefix(base.at(s)) for s in (0.1, 0.5, 0.9)]
    assert all(storages(lm) == storages(first) for lm in others)
    assert not any(
        pipeline.pruned.peek(base.at(s)) is not None for s in (0.1, 0.5, 0.9)
    )


def test_one_sorted_model_is_held(base):
    pipeline = Pipeline()
    other = base.using(criterion=Activation())
    first = pipeline.pruner.prefix(base)
    expected = first.model(PROMPT).logits
    assert pipeline.pruner.sorted.peek(base) is not None
    pipeline.pruner.prefix(other)
    assert pipeline.pruner.sorted.peek(other) is not None
    assert pipeline.pruner.sorted.peek(base) is None
    assert torch.equal(first.model(PROMPT).logits, expected)


def test_a_text_is_read_with_a_prefix_where_the_neurons_are_sorted(base):
    """To the last bit as the prefix reads it; as a cut model, but for rounding."""
    unsorted, pipeline = Pipeline(), Pipeline()
    at = base.at(0.55)
    sizes, cut = unsorted.pruned_text(at)
    assert unsorted.pruner.sorted.peek(base) is None
    pipeline.pruner.prefix(base)
    same_sizes, text = pipeline.pruned_text(at)
    assert pipeline.pruned.peek(at) is None
    assert torch.equal(
        text.nll, evaluate(pipeline.pruner.prefix(at), base.evaluation).nll
    )
    torch.testing.assert_close(text.nll, cut.nll, rtol=1e-5, atol=1e-5)
    assert same_sizes == sizes


def test_one_backward_pass_serves_every_criterion_that_reads_gradients(base):
    pipeline, told = Pipeline(), []
    criteria = (Taylor(), Taylor(granularity="vector"), Gblm(), Gblm(alpha=1))
    assert not pipeline.evidence.is_known(base.using(criterion=Taylor()))
    for by in criteria:
        pipeline.scores(
            base.using(criterion=by), progress=lambda *step: told.append(step)
        )
    passes = [done for what, done, _ in told if what == "Taking gradients"]
    assert passes == [0, 1, 2, 3, 4]
    assert pipeline.gradients(base) is pipeline.gradients(base)
    assert all(pipeline.evidence.is_known(base.using(criterion=by)) for by in criteria)
    for by in criteria[:1]:
        dense = llmrank.load(base.model)
        stats = llmrank.calibrate(dense, base.calibration)
        backwards = llmrank.differentiate(dense, base.calibration)
        expected = llmrank.score(dense, stats, by, gradients=backwards)
        found = pipeline.scores(base.using(criterion=by))
        for a, b in zip(found.layers, expected.layers, strict=True):
            assert torch.equal(a, b)


def test_only_what_a_criterion_needs_is_read(base):
    told = set()
    pipeline = Pipeline()
    for by in (Activation(), GPrune(second_text=base.calibration.calibration_text)):
        cell = base.using(criterion=by)
        pipeline.evidence.collect(cell, progress=lambda what, *_: told.add(what))
    assert "Taking gradients" not in told
    assert pipeline.evidence.collect(base.using(criterion=Activation()))[1:] == (
        None,
        None,
    )


def test_a_second_text_that_changes_is_read_anew(base, tmp_path):
    path = tmp_path / "second.txt"
    path.write_text("0123456789 " * 100)
    pipeline, by = Pipeline(), GPrune(second_text=str(path))
    own = base.using(criterion=by)
    first, pruned = pipeline.scores(own), pipeline.pruned(own)
    assert pipeline.evidence.is_known(own)
    assert pipeline.scores(own) is first
    path.write_text("Abc, def. " * 100)
    assert not pipeline.evidence.is_known(own)
    assert pipeline.pruned(own) is not pruned
    again = pipeline.scores(own)
    pairs = zip(first.layers, again.layers, strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_a_stage_that_is_cancelled_begins_anew(base):
    pipeline = Pipeline()

    def stop(what, *_):
        if what == "Calibrating":
            raise CancelledError

    with pytest.raises(CancelledError):
        pipeline.pruned(base, progress=stop)
    assert pipeline.model.peek(base) is not None
    assert pipeline.stats.peek(base) is None
    assert pipeline.pruned(base).config.intermediate_size <= 24


def test_a_refusal_is_refused_again(base):
    pipeline = Pipeline()
    missing = replace(base, model=ModelSpec(name="/nonexistent", device="cpu"))
    for _ in range(2):
        with pytest.raises(LLMRankError, match="there is no /nonexistent"):
            pipeline.stats(missing)
