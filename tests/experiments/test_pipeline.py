"""Remembered stages: made once, bounded, and equal to the plain chain."""

import threading
import time

import pytest
import torch

import llmrank
from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.cache import Memo
from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.experiments.pipeline import Stages, StageSpecs
from llmrank.methods.allocation import Global
from llmrank.methods.criteria import Activation, Gblm, GPrune, LLMRank, Taylor
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
    memo, made = Memo(4), []

    def make():
        made.append(1)
        return object()

    assert memo.get("a", make) is memo.get("a", make)
    assert len(made) == 1
    assert memo.get("b", make) is not memo.get("a", make)


def test_equal_specs_are_one_key():
    memo = Memo(4)
    first = memo.get((PruningSpec(sparsity=0), LLMRank(theta=1)), object)
    assert memo.get((PruningSpec(sparsity=0.0), LLMRank(theta=1.0)), object) is first
    assert memo.get((PruningSpec(sparsity=0), LLMRank(theta=0.9)), object) is not first


def test_specs_of_different_classes_are_different_keys():
    """Both have one field, `site`, with the same value."""

    class Other(Activation):
        pass

    memo = Memo(4)
    assert memo.get(Activation(), object) is not memo.get(Other(), object)


def test_many_that_ask_at_once_wait_for_one():
    memo, made, barrier = Memo(4), [], threading.Barrier(6, timeout=WAIT_S)

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
    memo, barrier = Memo(4), threading.Barrier(2, timeout=WAIT_S)

    def make():
        barrier.wait()
        return "made"

    found = in_threads(*[lambda key=key: memo.get(key, make) for key in "ab"])
    assert found == ["made", "made"]


def test_looking_does_not_wait_for_what_is_being_made():
    memo, started, finish = Memo(4), threading.Event(), threading.Event()

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
    memo = Memo(4)

    def fail():
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            memo.get("a", fail)
    assert memo.peek("a") is None
    assert memo.get("a", lambda: "made") == "made"


def test_who_waited_for_a_failure_tries_itself():
    """The first is cancelled; the second, who waits, must not be."""
    memo, started = Memo(4), threading.Event()

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
    memo = Memo(2)
    for key in "ab":
        memo.put(key, key.upper())
    assert memo.peek("a") == "A"
    memo.put("c", "C")
    assert [memo.peek(key) for key in "abc"] == ["A", None, "C"]


def test_memory_stays_bounded_however_much_is_asked():
    memo = Memo(3)
    for key in range(100):
        memo.get(key, object)
    assert len(memo._results) == 3
    assert not memo._making


# The stages


@pytest.fixture(scope="module")
def specs(tiny_folder, tiny_text):
    return StageSpecs(
        ModelSpec(name=str(tiny_folder), device="cpu"),
        CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=64),
        LLMRank(theta=0.7, gamma=0.4, graph="chained"),
        PruningSpec(sparsity=0.4),
        Global(),
    )


@pytest.fixture(scope="module")
def evaluation(tiny_text):
    return EvaluationSpec(eval_text=str(tiny_text), eval_tokens=1024)


@pytest.fixture(scope="module")
def stages():
    return Stages()


@pytest.fixture(scope="module")
def chain(specs):
    """The same by the plain functions, nothing remembered."""
    model, calibration, criterion, pruning, *_ = specs
    dense = llmrank.load(model)
    stats = llmrank.calibrate(dense, calibration)
    scores = llmrank.score(dense, stats, criterion)
    plan = llmrank.plan(scores, pruning, Global())
    return dense, stats, scores, plan, llmrank.prune(dense, plan)


def test_stages_give_what_the_plain_chain_gives(stages, specs, chain):
    dense, stats, scores, plan, pruned = chain
    kept = stages.plan(specs)
    assert kept.dense_widths == plan.dense_widths
    for ours, theirs in (
        (kept.keep, plan.keep),
        (stages.scores(*specs.scores_key).layers, scores.layers),
        (
            [s.neuron_norm for s in stages.stats(*specs[:2]).layers],
            [s.neuron_norm for s in stats.layers],
        ),
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
    for ours, theirs in (
        (stages.model(specs[0]), dense),
        (stages.pruned(specs), pruned),
    ):
        assert torch.equal(ours.model(PROMPT).logits, theirs.model(PROMPT).logits)


def test_texts_are_measured_as_by_the_plain_chain(stages, specs, evaluation, chain):
    dense, *_, pruned = chain
    found = stages.dense_text(specs[0], evaluation)
    assert torch.equal(found.nll, evaluate(dense, evaluation).nll)
    sizes, text = stages.pruned_text(specs, evaluation)
    expected = evaluate(pruned, evaluation)
    assert torch.equal(text.nll, expected.nll)
    assert torch.equal(text.correct, expected.correct)
    assert sizes == footprint(pruned)


def test_equal_specs_give_the_same_object(stages, specs):
    model = ModelSpec(name=specs[0].name, device="cpu")
    assert stages.model(model) is stages.model(specs[0])
    assert stages.stats(*specs[:2]) is stages.stats(model, specs[1])
    assert stages.pruned(specs) is stages.pruned(specs._replace(model=model))


def test_the_pruned_model_shares_the_dense_models_weights(stages, specs):
    dense, pruned = stages.model(specs[0]).model, stages.pruned(specs).model
    assert pruned.model.embed_tokens.weight is dense.model.embed_tokens.weight


def test_what_is_there_can_be_asked_without_making_it(specs, evaluation):
    stages = Stages()
    asked = [
        lambda: stages.has_model(specs[0]),
        lambda: stages.has_stats(*specs[:2]),
        lambda: stages.has_pruned(*specs),
        lambda: stages.has_sorted(*specs.scores_key),
        lambda: stages.known_dense_text(specs[0], evaluation) is not None,
        lambda: stages.known_pruned_text(specs, evaluation) is not None,
        lambda: stages.tokens_per_s(specs[0]) is not None,
    ]
    assert [ask() for ask in asked] == [False] * 7
    stages.pruned(specs)
    assert [ask() for ask in asked] == [True] * 3 + [False] * 3 + [True]
    stages.dense_text(specs[0], evaluation)
    stages.pruned_text(specs, evaluation)
    assert [ask() for ask in asked] == [True] * 3 + [False] + [True] * 3
    stages.prefix(specs)
    assert [ask() for ask in asked] == [True] * 7
    assert stages.tokens_per_s(specs[0]) > 0


def test_measuring_many_pruned_models_keeps_none_of_them(specs, evaluation):
    stages = Stages()
    for sparsity in (0.1, 0.2, 0.3):
        own = specs._replace(pruning=PruningSpec(sparsity=sparsity))
        stages.pruned_text(own, evaluation)
        assert not stages.has_pruned(*own)
        assert stages.known_pruned_text(own, evaluation) is not None


def test_models_and_pruned_models_are_few(stages, specs, tiny_folder):
    for sparsity in (0.1, 0.2, 0.3, 0.4, 0.5):
        stages.pruned(specs._replace(pruning=PruningSpec(sparsity=sparsity)))
    there = [
        stages.has_pruned(*specs._replace(pruning=PruningSpec(sparsity=s)))
        for s in (0.1, 0.2, 0.3, 0.4, 0.5)
    ]
    assert there == [False, False, True, True, True]
    halves = [
        ModelSpec(name=str(tiny_folder), device="cpu", dtype=d)
        for d in ("bfloat16", "float16")
    ]
    for half in halves:
        stages.model(half)
    assert not stages.has_model(specs[0])
    assert all(stages.has_model(half) for half in halves)


def storages(lm):
    return {p.untyped_storage().data_ptr() for p in lm.model.parameters()}


def test_a_prefix_computes_what_the_pruned_model_computes(specs):
    stages = Stages()
    for sparsity in (0.0, 0.3, 0.8):
        own = specs._replace(pruning=PruningSpec(sparsity=sparsity))
        found, expected = (make(own) for make in (stages.prefix, stages.pruned))
        torch.testing.assert_close(
            found.model(PROMPT).logits,
            expected.model(PROMPT).logits,
            rtol=1e-4,
            atol=1e-4,
        )
        assert footprint(found) == footprint(expected)


def test_all_prefixes_of_a_criterion_share_one_copy(specs):
    stages = Stages()
    first, *others = [
        stages.prefix(specs._replace(pruning=PruningSpec(sparsity=s)))
        for s in (0.1, 0.5, 0.9)
    ]
    assert all(storages(lm) == storages(first) for lm in others)
    assert not any(
        stages.has_pruned(*specs._replace(pruning=PruningSpec(sparsity=s)))
        for s in (0.1, 0.5, 0.9)
    )


def test_one_sorted_model_is_held(specs):
    stages = Stages()
    other = specs._replace(criterion=Activation())
    first = stages.prefix(specs)
    expected = first.model(PROMPT).logits
    assert stages.has_sorted(*specs.scores_key)
    stages.prefix(other)
    assert stages.has_sorted(*other[:3])
    assert not stages.has_sorted(*specs.scores_key)
    assert torch.equal(first.model(PROMPT).logits, expected)


def test_a_text_is_read_with_a_prefix_where_the_neurons_are_sorted(specs, evaluation):
    """To the last bit as the prefix reads it; as a cut model, but for rounding."""
    unsorted, stages = Stages(), Stages()
    asked = specs._replace(pruning=PruningSpec(sparsity=0.55))
    sizes, cut = unsorted.pruned_text(asked, evaluation)
    assert not unsorted.has_sorted(*specs.scores_key)
    stages.prefix(specs)
    same_sizes, text = stages.pruned_text(asked, evaluation)
    assert not stages.has_pruned(*asked)
    assert torch.equal(text.nll, evaluate(stages.prefix(asked), evaluation).nll)
    torch.testing.assert_close(text.nll, cut.nll, rtol=1e-5, atol=1e-5)
    assert same_sizes == sizes


def test_one_backward_pass_serves_every_criterion_that_reads_gradients(specs):
    stages, told = Stages(), []
    known = specs[:2]
    criteria = (Taylor(), Taylor(granularity="vector"), Gblm(), Gblm(alpha=1))
    assert not stages.has_evidence(*known, Taylor())
    for by in criteria:
        stages.scores(*known, by, progress=lambda *step: told.append(step))
    passes = [done for what, done, _ in told if what == "Taking gradients"]
    assert passes == [0, 1, 2, 3, 4]
    assert stages.gradients(*known) is stages.gradients(*known)
    assert all(stages.has_evidence(*known, by) for by in criteria)
    for by in criteria[:1]:
        dense = llmrank.load(known[0])
        stats = llmrank.calibrate(dense, known[1])
        backwards = llmrank.differentiate(dense, known[1])
        expected = llmrank.score(dense, stats, by, gradients=backwards)
        found = stages.scores(*known, by)
        for a, b in zip(found.layers, expected.layers, strict=True):
            assert torch.equal(a, b)


def test_only_what_a_criterion_needs_is_read(specs):
    told = set()
    stages = Stages()
    for by in (Activation(), GPrune(second_text=specs[1].calibration_text)):
        stages.evidence(*specs[:2], by, progress=lambda what, *_: told.add(what))
    assert "Taking gradients" not in told
    assert stages.evidence(*specs[:2], Activation())[1:] == (None, None)


def test_a_second_text_that_changes_is_read_anew(specs, tmp_path):
    path = tmp_path / "second.txt"
    path.write_text("0123456789 " * 100)
    stages, by = Stages(), GPrune(second_text=str(path))
    known = (*specs[:2], by)
    own = StageSpecs(*known, specs.pruning)
    first, pruned = stages.scores(*known), stages.pruned(own)
    assert stages.has_evidence(*known)
    assert stages.scores(*known) is first
    path.write_text("Abc, def. " * 100)
    assert not stages.has_evidence(*known)
    assert stages.pruned(own) is not pruned
    again = stages.scores(*known)
    pairs = zip(first.layers, again.layers, strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_a_stage_that_is_cancelled_begins_anew(specs):
    stages = Stages()

    def stop(what, *_):
        if what == "Calibrating":
            raise CancelledError

    with pytest.raises(CancelledError):
        stages.pruned(specs, progress=stop)
    assert stages.has_model(specs[0])
    assert not stages.has_stats(*specs[:2])
    assert stages.pruned(specs).config.intermediate_size <= 24


def test_a_refusal_is_refused_again(specs):
    stages = Stages()
    model = ModelSpec(name="/nonexistent", device="cpu")
    for _ in range(2):
        with pytest.raises(LLMRankError, match="there is no /nonexistent"):
            stages.stats(model, specs[1])
