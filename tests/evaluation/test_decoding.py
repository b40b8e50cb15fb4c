"""The measured run: its tokens, its limits, its waiting and its memory errors."""

import threading

import psutil
import pytest
import torch
from conftest import tiny_model

from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.core.progress import silent
from llmrank.core.specs import options
from llmrank.evaluation.decoding import (
    BenchmarkSpec,
    alone,
    inference_bytes,
    memory_guard,
    prompt_length,
    random_prompt,
    timed_steps,
)
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.latency import latency
from llmrank.models import ffn
from llmrank.models.families import SUPPORTED
from llmrank.models.language_model import LanguageModel

SPEC = BenchmarkSpec(batch=2, prompt_tokens=9, new_tokens=5, repeats=2)


def recorded(lm):
    """A twin that notes the tokens it is given and the logits it returns."""
    twin, calls = ffn.shared_copy(lm.model), []
    twin.register_forward_hook(
        lambda _, args, __, out: calls.append((args[0], out.logits)), with_kwargs=True
    )
    return twin, calls


@pytest.mark.parametrize(
    ("field", "value", "limits"),
    [
        ("batch", 0, "lie in [1, 1024]"),
        ("prompt_tokens", 0, "lie in [1, 131072]"),
        ("new_tokens", 0, "lie in [1, 4096]"),
        ("repeats", 1, "lie in [2, 100]"),
        ("repeats", True, "be a whole number"),
        ("seed", -1, "at least 0"),
    ],
)
def test_bad_spec_values_are_refused_with_their_limits(field, value, limits):
    with pytest.raises(OptionError, match=f"{field} must") as error:
        BenchmarkSpec(**{field: value})
    assert limits in str(error.value)


@pytest.mark.parametrize("text", ["many", "1.5", "", "nan"])
def test_lengths_from_a_link_must_be_whole_numbers(text):
    (new_tokens,) = (o for o in options(BenchmarkSpec) if o.name == "new_tokens")
    assert new_tokens.parse("7") == 7
    with pytest.raises(OptionError, match="new_tokens must be a whole number"):
        new_tokens.parse(text)


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_steps_decode_greedily_over_the_cache(model_type):
    """The other road: no cache, every sequence computed anew from its start."""
    lm = tiny_model(model_type)
    twin, calls = recorded(lm)
    prompt = random_prompt(lm, SPEC)
    samples = list(timed_steps(twin, prompt, SPEC.new_tokens))
    assert len(samples) == 6
    assert all(ms > 0 for ms in samples)
    assert [tuple(given.shape) for given, _ in calls] == [(2, 9)] + [(2, 1)] * 5
    assert {tuple(logits.shape[:2]) for _, logits in calls} == {(2, 1)}
    text = torch.cat([given for given, _ in calls], dim=1)
    whole = lm.model(text).logits[:, 8:]
    seen = torch.cat([logits for _, logits in calls], dim=1)
    torch.testing.assert_close(seen, whole, rtol=1e-3, atol=1e-3)
    assert torch.equal(seen[:, :-1].argmax(-1), text[:, 9:])


def test_prompt_depends_on_the_seed_alone(tiny):
    again = random_prompt(tiny_model(seed=7), SPEC)
    other = random_prompt(tiny, BenchmarkSpec(batch=2, prompt_tokens=9, seed=1))
    assert torch.equal(random_prompt(tiny, SPEC), again)
    assert not torch.equal(again, other)


def test_a_prompt_is_as_long_as_the_positions_leave(tiny):
    for asked, read in ((500, 500), (501, 500), (131_072, 500)):
        spec = BenchmarkSpec(prompt_tokens=asked, new_tokens=12)
        prompt = random_prompt(tiny, spec)
        assert prompt.shape == (1, read)
        assert prompt_length(tiny, spec) == read
    assert len(list(timed_steps(tiny.model, prompt, 12))) == 13


def test_writing_beyond_the_positions_is_refused(tiny):
    with pytest.raises(LLMRankError, match=r"new_tokens must be below 512, .* got 512"):
        random_prompt(tiny, BenchmarkSpec(prompt_tokens=8, new_tokens=512))


def test_measurements_wait_for_each_other_and_waiting_can_be_cancelled():
    reports = []

    def cancel(what, done, total):
        reports.append((what, done, total))
        raise CancelledError

    def wait():
        with pytest.raises(CancelledError), alone(cancel):
            pytest.fail("two measurements at once")

    with alone(silent):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(timeout=30)
    assert reports == [("Waiting for another measurement to end", 0, 1)]
    with alone(silent):
        pass


def test_estimate_by_hand(tiny):
    """2 layers, 2 key-value heads of 4; 9 + 5 positions; d_ff 24, d_model 16."""
    cache = (9 + 5) * 2 * 2 * 2 * 4
    activations = 9 * 2 * (3 * 24 + 4 * 16)
    expected = footprint(tiny).weight_bytes + 4 * 2 * (cache + activations + 257)
    assert inference_bytes(tiny, SPEC) == expected


def test_estimate_counts_the_scores_of_eager_attention():
    lm = tiny_model("gemma2")
    assert lm.config._attn_implementation == "eager"
    short, long = (
        inference_bytes(lm, BenchmarkSpec(prompt_tokens=n, new_tokens=1))
        for n in (100, 200)
    )
    scores = 4 * 2 * 4 * (200**2 - 100**2)
    assert long - short == scores + 4 * 100 * (2 * 2 * 2 * 4 + 2 * (3 * 24 + 4 * 16))


@pytest.mark.parametrize(
    "fail",
    [
        lambda: torch.empty(2**60),  # the real allocator's words
        lambda: bytearray(2**60),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")),
        lambda: (_ for _ in ()).throw(RuntimeError("MPS backend out of memory")),
    ],
)
def test_out_of_memory_becomes_a_sentence_with_the_estimate(tiny, fail):
    estimate = f"{inference_bytes(tiny, SPEC) / 1e9:.2f} GB"
    with (
        pytest.raises(LLMRankError, match=rf"about {estimate}.*smaller batch"),
        memory_guard(tiny, SPEC),
    ):
        list(fail() or ())


def test_other_errors_keep_their_type(tiny):
    with pytest.raises(RuntimeError, match="shapes"), memory_guard(tiny, SPEC):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_run_larger_than_the_free_memory_is_refused_first(tiny, monkeypatch):
    """On the CPU the system would kill the process, not fail the allocation."""
    beyond = inference_bytes(tiny, SPEC) - footprint(tiny).weight_bytes
    memory = psutil.virtual_memory()
    free = {"now": beyond}
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: memory._replace(available=free["now"])
    )
    with memory_guard(tiny, SPEC):
        pass
    free["now"] -= 1
    with pytest.raises(LLMRankError, match=r"2 x \(9 \+ 5\)"), memory_guard(tiny, SPEC):
        pytest.fail("it ran")


def test_out_of_memory_inside_a_run_frees_the_clock(tiny):
    twin = ffn.shared_copy(tiny.model)
    twin.register_forward_pre_hook(lambda *_: torch.empty(2**60))
    hungry = LanguageModel(tiny.spec, twin, tiny.tokenizer)

    with pytest.raises(LLMRankError, match="tiny-llama needs about"):
        latency([hungry], SPEC)
    assert len(latency([tiny], SPEC)) == 1
