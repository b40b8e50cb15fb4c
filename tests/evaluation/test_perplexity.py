"""Perplexity and accuracy against plain computations, intervals against SciPy."""

import copy
import math

import numpy as np
import pytest
import torch
from conftest import TEXT, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.core.statistics import Estimate, t_interval
from llmrank.evaluation.perplexity import (
    WINDOW,
    EvaluationSpec,
    TextEvaluation,
    evaluate,
    perplexity_ratio,
    top1_retention,
)
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@pytest.fixture(scope="module")
def spec(tiny_text):
    return EvaluationSpec(eval_text=str(tiny_text), eval_tokens=4 * WINDOW)


@pytest.fixture(scope="module")
def found(tiny, spec):
    return evaluate(tiny, spec)


def result(nll, correct=None, sha="x"):
    nll = torch.tensor(nll, dtype=torch.float64)
    correct = torch.full_like(nll, 0.5) if correct is None else torch.tensor(correct)
    return TextEvaluation(nll, correct.double(), "here", sha)


# Against a plain computation


def test_perplexity_equals_a_plain_computation(tiny, found):
    """Probabilities in float64, token by token; each window begins anew."""
    ids = tiny.tokenizer(TEXT[: 4 * WINDOW])["input_ids"]
    windows = torch.tensor(ids).view(4, WINDOW)
    nll, right = [], []
    for window in windows:
        share = tiny.model(window[None]).logits[0].double().softmax(-1)
        pairs = [(share[i], int(window[i + 1])) for i in range(WINDOW - 1)]
        nll.append(-sum(math.log(p[token]) for p, token in pairs) / (WINDOW - 1))
        right.append(sum(int(p.argmax()) == token for p, token in pairs) / (WINDOW - 1))
    assert found.nll.tolist() == pytest.approx(nll, rel=1e-5)
    assert found.correct.tolist() == pytest.approx(right, rel=1e-6)
    assert found.perplexity.value == pytest.approx(math.exp(sum(nll) / 4), rel=1e-5)
    assert found.top1.value == pytest.approx(sum(right) / 4)
    assert found.n_tokens == 4 * WINDOW
    assert found.perplexity.n_windows == 4


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(spec):
    lm = tiny_model()
    lm.model.lm_head.weight.data.zero_()
    found = evaluate(lm, spec)
    assert found.perplexity.value == pytest.approx(257, rel=1e-5)
    assert found.perplexity.low == pytest.approx(257, rel=1e-5)
    assert found.perplexity.high == pytest.approx(257, rel=1e-5)


@pytest.mark.parametrize(("asked", "read"), [(1024, 2), (2000, 3), (10_000_000, 11)])
def test_as_many_whole_windows_are_read_as_asked_for_and_there(
    tiny, tiny_text, asked, read
):
    found = evaluate(tiny, EvaluationSpec(eval_text=str(tiny_text), eval_tokens=asked))
    assert found.n_tokens == read * WINDOW


def test_each_window_is_published_as_it_comes(tiny, spec, found):
    seen, told = [], []
    last = evaluate(
        tiny, spec, publish=seen.append, progress=lambda *step: told.append(step)
    )
    assert [s.n_tokens // WINDOW for s in seen] == [1, 2, 3, 4]
    assert seen[-1] is last
    for n, part in enumerate(seen, start=1):
        assert torch.equal(part.nll, found.nll[:n])
    assert told == [("Reading held-out text", done, 4) for done in range(5)]
    assert math.isinf(seen[0].perplexity.high)


def test_evaluation_can_be_stopped(tiny, spec):
    def stop(_, done, __):
        if done == 2:
            raise CancelledError

    seen = []
    with pytest.raises(CancelledError):
        evaluate(tiny, spec, progress=stop, publish=seen.append)
    assert len(seen) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_output_that_is_not_finite_is_refused(tiny, spec, value):
    model = ffn.shared_copy(tiny.model)
    model.lm_head = copy.deepcopy(tiny.model.lm_head)
    model.lm_head.weight.data[7] = value
    with pytest.raises(LLMRankError) as caught:
        evaluate(LanguageModel(tiny.spec, model, tiny.tokenizer), spec)
    assert str(caught.value) == (
        "the model's output is not finite on this text; it overflows in float32: "
        "use float32, or prune less"
    )


def test_a_text_of_one_window_is_too_short(tiny, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text(TEXT[:1023])
    with pytest.raises(LLMRankError, match="has 1,023 tokens, but 2 windows of 512"):
        evaluate(tiny, EvaluationSpec(eval_text=str(path)))


@pytest.mark.parametrize("tokens", [1023, 0, -1, 10_000_001])
def test_a_number_of_tokens_outside_its_range_is_refused(tokens):
    with pytest.raises(
        OptionError, match=r"eval_tokens must be a whole number and lie"
    ):
        EvaluationSpec(eval_tokens=tokens)


# Intervals


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=30))
@settings(deadline=None)
def test_the_interval_is_scipys(samples):
    ours = t_interval(torch.tensor(samples, dtype=torch.float64))
    mean, error = np.mean(samples), scipy_stats.sem(samples)
    if error < 1e-12:
        assert ours.low == pytest.approx(ours.high)
        return
    low, high = scipy_stats.t.interval(0.95, len(samples) - 1, mean, error)
    assert (ours.value, ours.low, ours.high) == pytest.approx((mean, low, high))
    assert ours.n_windows == len(samples)


def test_the_interval_by_hand():
    """Mean 2, standard deviation 1, n = 3; t(0.975, 2) = 4.302653 by the tables."""
    found = t_interval(torch.tensor([1.0, 2.0, 3.0]))
    half = 4.302653 / 3**0.5
    expected = (2, 2 - half, 2 + half)
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=1e-6)


def test_one_sample_has_no_finite_interval():
    assert t_interval(torch.tensor([3.0])) == Estimate(3.0, -math.inf, math.inf, 1)


def test_perplexity_is_exponentiated_after_averaging():
    """Windows of perplexity 2 and 8: 4 together, not 5."""
    found = result([math.log(2), math.log(8)]).perplexity
    assert found.value == pytest.approx(4)
    half = 12.7062047 * (math.log(8) - math.log(2)) / 2  # t(0.975, 1), sem by hand
    assert found.low == pytest.approx(4 * math.exp(-half))
    assert found.high == pytest.approx(4 * math.exp(half))


def test_the_ratio_is_paired_by_window():
    """Each window is e^0.5 worse: certain, however different the windows are."""
    dense, pruned = result([1.0, 5.0, 2.0]), result([1.5, 5.5, 2.5])
    found = perplexity_ratio(dense, pruned)
    expected = math.exp(0.5)
    assert (found.value, found.low, found.high) == pytest.approx((expected,) * 3)
    assert dense.perplexity.high / dense.perplexity.low > 10


def test_the_ratio_is_that_of_the_perplexities():
    dense, pruned = result([1.0, 5.0, 2.0]), result([1.1, 6.5, 1.9])
    found = perplexity_ratio(dense, pruned)
    plain = pruned.perplexity.value / dense.perplexity.value
    assert found.value == pytest.approx(plain)
    low, high = scipy_stats.ttest_rel(
        pruned.nll.numpy(), dense.nll.numpy()
    ).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_retention_is_the_ratio_of_the_means():
    dense, pruned = (
        result([1, 1, 1], [0.5, 0.6, 0.7]),
        result([1, 1, 1], [0.4, 0.5, 0.3]),
    )
    found = top1_retention(dense, pruned)
    assert found.value == pytest.approx(1.2 / 1.8)
    # residuals pruned - ratio * dense, over the dense mean 0.6, by hand
    residuals = np.array([0.4 - 1 / 3, 0.5 - 0.4, 0.3 - 1.4 / 3]) / 0.6
    half = 4.302653 * residuals.std(ddof=1) / 3**0.5
    assert found.high - found.value == pytest.approx(half, rel=1e-6)
    assert found.value - found.low == pytest.approx(half, rel=1e-6)


def test_keeping_every_guess_is_a_certain_retention_of_one():
    same = result([1, 1, 1], [0.5, 0.6, 0.7])
    found = top1_retention(same, same)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_without_right_guesses_retention_is_unknown():
    none = result([1, 1], [0.0, 0.0])
    assert math.isinf(top1_retention(none, none).high)


@pytest.mark.parametrize("ratio", [perplexity_ratio, top1_retention])
@pytest.mark.parametrize(
    "other", [result([1.0, 2.0, 3.0]), result([1.0, 2.0], sha="y")]
)
def test_results_that_are_not_paired_are_refused(ratio, other):
    with pytest.raises(LLMRankError, match="not measured on the same text"):
        ratio(result([1.0, 2.0]), other)
