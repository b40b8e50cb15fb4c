"""Timings in form, never in speed; speed-ups and their reasons from made-up timings."""

import itertools
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_model

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.evaluation import latency as latency_module
from llmrank.evaluation import other_load, rounds
from llmrank.evaluation.bare_products import (
    WIDTH_ROUNDS,
    OddWidth,
    odd_width,
    stream_gb_per_s,
)
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.latency import (
    FFN_ROUNDS,
    FFNTime,
    Latency,
    Timing,
    ffn_times,
    latency,
)
from llmrank.evaluation.other_load import Load
from llmrank.evaluation.speedup import Cost, Ratio, as_fast, measure, speedup
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

SPEC = BenchmarkSpec(batch=2, prompt_tokens=8, new_tokens=6, repeats=3)
WARM_UP = 1 + 4


# --- timings -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 10, 32, 160])
def test_median_and_p90_equal_numpys(n):
    samples = np.random.default_rng(n).lognormal(size=n).tolist()
    timing = Timing(tuple(samples), 1)
    assert timing.median == pytest.approx(np.median(samples))
    assert timing.p90 == pytest.approx(np.percentile(samples, 90))


def test_round_medians_are_those_of_the_rounds():
    timing = Timing((1.0, 9.0, 2.0, 10.0, 30.0, 20.0), 2)
    assert timing.round_medians_ms == (2.0, 20.0)


def noted(lm, name, calls):
    twin = ffn.shared_copy(lm.model)
    twin.register_forward_pre_hook(lambda *_: calls.append(name))
    return LanguageModel(lm.spec, twin, lm.tokenizer)


def test_rounds_are_interleaved_and_every_other_one_reversed(tiny):
    calls = []
    latency([noted(tiny, "dense", calls), noted(tiny, "pruned", calls)], SPEC)
    dense, pruned = ["dense"] * 7, ["pruned"] * 7
    warm_up = ["dense"] * WARM_UP + ["pruned"] * WARM_UP
    assert calls == warm_up + dense + pruned + pruned + dense + dense + pruned


def test_latency_keeps_all_samples_and_where_they_were_taken(tiny, tiny_gpt2):
    threads = torch.get_num_threads()
    for times in latency([tiny, tiny_gpt2], SPEC):
        assert (len(times.prefill.samples_ms), times.prefill.n_rounds) == (3, 3)
        assert (len(times.decode.samples_ms), times.decode.n_rounds) == (18, 3)
        assert all(0 < ms < 60_000 for ms in times.decode.samples_ms)
        assert (times.batch, times.prompt_tokens, times.new_tokens) == (2, 8, 6)
        assert (times.device, times.dtype, times.n_threads) == (
            "cpu",
            "float32",
            threads,
        )
        assert times.torch_version == torch.__version__
        assert np.datetime64(times.measured_at.removesuffix("+00:00"))


def test_samples_are_milliseconds(tiny):
    """A step that sleeps 20 ms takes 20 and not 0.02 or 20,000."""
    twin = ffn.shared_copy(tiny.model)
    twin.register_forward_pre_hook(lambda *_: _sleep())
    slow = LanguageModel(tiny.spec, twin, tiny.tokenizer)
    (times,) = latency([slow], replace(SPEC, new_tokens=1, repeats=2))
    assert all(20 <= ms < 2_000 for ms in times.decode.samples_ms)


def _sleep():
    time.sleep(0.02)


def test_progress_counts_every_step_and_can_stop_at_any(tiny):
    reports = []
    latency([tiny, tiny], SPEC, progress=lambda *report: reports.append(report))
    total = 2 * (WARM_UP + 3 * 7)
    counted = [("Measuring latency", n, total) for n in range(1, total + 1)]
    assert reports == counted

    def cancel(_, done, __):
        if done == 11:
            raise CancelledError

    calls = []
    with pytest.raises(CancelledError):
        latency([noted(tiny, "dense", calls)], SPEC, progress=cancel)
    assert len(calls) == 11
    assert len(latency([tiny], SPEC)) == 1


def test_writing_beyond_the_positions_is_refused_before_any_step(tiny):
    calls = []
    with pytest.raises(LLMRankError, match="below 512, the positions"):
        latency([noted(tiny, "dense", calls)], replace(SPEC, new_tokens=512))
    assert calls == []


def test_a_timing_says_how_much_a_short_model_read(tiny):
    (found,) = latency([tiny], replace(SPEC, prompt_tokens=600))
    assert found.prompt_tokens == 512 - SPEC.new_tokens


def pretend(monkeypatch, *shares):
    """Have others take these shares of the cores, round by round, the last for good."""
    left, steps_seen = list(shares), itertools.count()

    def watched(steps, loads):
        is_warm_up = next(steps_seen) < 2  # a call for each model
        share = left[0] if is_warm_up or len(left) == 1 else left.pop(0)
        cores = other_load.n_cores()
        for made in steps:
            loads.append(Load(1.0, 1.0 + share * cores, 1.0, 1.0))
            yield made

    monkeypatch.setattr(rounds, "watched", watched)


def test_rounds_that_others_disturbed_are_repeated(tiny, monkeypatch):
    monkeypatch.setattr(latency_module, "ROUNDS_S", 1e9)
    monkeypatch.setattr(latency_module, "NARROW", math.inf)
    pretend(
        monkeypatch, 0.5, 0.5, 0.02, 0.02, 0.3, 0.0, 0.04
    )  # of one model after another
    calls = []
    dense, pruned = latency(
        [noted(tiny, name, calls) for name in ("dense", "pruned")], SPEC
    )
    # the first and the third round were disturbed, in one model at least
    assert (dense.decode.n_rounds, pruned.prefill.n_rounds) == (3, 3)
    assert calls.count("dense") == WARM_UP + 5 * 7
    assert not dense.disturbed
    assert dense.others == pytest.approx((0.02 + 0.02 + 4 * 0.04) / 6)
    assert dense.others == pruned.others


def test_timings_that_were_always_disturbed_are_kept_with_that_mark(tiny, monkeypatch):
    monkeypatch.setattr(latency_module, "ROUNDS_S", 100.0)  # pretended: 14 s a round
    pretend(monkeypatch, 0.34)
    dense, pruned = measure([tiny, tiny], SPEC)
    assert dense.latency.disturbed
    assert dense.latency.decode.n_rounds == 3 + 2 * 3
    assert len(dense.ffn_time.prefill_shares) == 2 * FFN_ROUNDS
    told = speedup(dense, pruned)
    assert {told.prefill.outcome, told.decode.outcome} == {"disturbed"}
    (reason,) = told.reasons
    assert reason.startswith("Other work took 34 % of the processor meanwhile: ")
    assert "no speed-up is claimed" in reason


@pytest.mark.parametrize(("wide", "n_rounds"), [(0, 3), (1, 5), (3, 9)])
def test_pairs_of_rounds_follow_until_the_ratio_is_known(
    tiny, monkeypatch, wide, n_rounds
):
    """So many looks at three, five ... rounds find the interval of one phase wide."""
    pretend(monkeypatch, 0.0)
    monkeypatch.setattr(latency_module, "ROUNDS_S", 1e9)
    looks = [(1.5, 1.2, 1.8)] * wide

    def paired(*_):
        return looks.pop() if looks else (1.5, 1.45, 1.55)

    monkeypatch.setattr(latency_module, "paired", paired)
    dense, _ = latency([tiny, tiny], SPEC)
    assert dense.prefill.n_rounds == n_rounds


def test_no_more_rounds_follow_when_their_time_is_over(tiny, monkeypatch):
    pretend(monkeypatch, 0.0)
    monkeypatch.setattr(latency_module, "ROUNDS_S", 71.0)  # pretended: 14 s a round
    monkeypatch.setattr(latency_module, "NARROW", 0.0)
    dense, _ = latency([tiny, tiny], SPEC)
    assert dense.prefill.n_rounds == 7


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt"])
def test_ffn_time_is_a_part_of_the_step(model_type):
    lm = tiny_model(model_type)
    (inside,) = ffn_times([lm], SPEC)
    assert len(inside.prefill.samples_ms) == FFN_ROUNDS
    assert len(inside.decode.samples_ms) == FFN_ROUNDS * 6
    for shares in (inside.prefill_shares, inside.decode_shares):
        assert len(shares) == FFN_ROUNDS
        assert all(0 < share < 1 for share in shares)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lm.model.modules())


@pytest.mark.parametrize("model_type", ["llama", "opt"])
def test_ffn_time_sees_the_ffn_layers_and_only_them(model_type):
    """20 ms more in each `down` is FFN time; 20 ms more in the head is not."""
    model = ffn.shared_copy(tiny_model(model_type).model)
    for p in ffn.projections(model):
        p.down.register_forward_hook(lambda *_: _sleep())
    model.get_output_embeddings().register_forward_hook(lambda *_: _sleep())
    slow = LanguageModel(tiny_model().spec, model, None)
    short = replace(SPEC, new_tokens=2)
    (inside,) = ffn_times([slow], short)
    assert inside.decode.median >= 40
    assert max(inside.decode_shares) < 0.75


def test_stream_rate_is_positive(tiny):
    assert 0.01 < stream_gb_per_s(tiny) < 10_000


def test_odd_widths_are_timed_and_even_ones_are_not(tiny, monkeypatch):
    monkeypatch.setattr(other_load, "now", Load)  # nobody else is there

    def uneven(*widths):
        keep = [torch.arange(w) for w in widths]
        return LanguageModel(tiny.spec, ffn.cut(tiny.model, keep), tiny.tokenizer)

    assert odd_width(tiny, SPEC) is None
    assert odd_width(uneven(8, 16), SPEC) is None
    found = odd_width(uneven(8, 15), SPEC)
    for timing in (found.odd, found.rounded):
        assert len(timing.samples_ms) == timing.n_rounds == WIDTH_ROUNDS
        assert all(0 < ms < 60_000 for ms in timing.samples_ms)
    busy = itertools.accumulate(itertools.repeat(Load(1.0, 2.0, 1.0, 1.0)))
    monkeypatch.setattr(other_load, "now", lambda: next(busy))
    monkeypatch.setattr(other_load, "n_cores", lambda: 2)
    assert odd_width(uneven(8, 15), SPEC) is None


def test_measure_puts_the_parts_of_each_model_together(tiny):
    small = LanguageModel(
        tiny.spec, ffn.cut(tiny.model, [torch.arange(8)] * 2), tiny.tokenizer
    )
    dense, pruned = measure([tiny, small], SPEC)
    assert (dense.footprint.widths, pruned.footprint.widths) == ((24, 24), (8, 8))
    ratio = speedup(dense, pruned).decode
    assert ratio.low <= ratio.measured <= ratio.high
    assert ratio.ideal == dense.footprint.macs_per_token / (
        pruned.footprint.macs_per_token
    )


# --- speed-ups -----------------------------------------------------------------------

DENSE = Footprint(
    n_params=1_200_000,
    n_ffn_params=800_000,
    n_ffn_neurons=3200,
    widths=(1600, 1600),
    weight_bytes=4_800_000,
    read_bytes_per_token=4_800_000,
    macs_per_token=1_200_000,
    ffn_macs_per_token=800_000,
    head_macs=200_000,
)
PRUNED = replace(
    DENSE,
    widths=(800, 800),
    read_bytes_per_token=3_200_000,
    macs_per_token=800_000,
    ffn_macs_per_token=400_000,
)
"""Half the neurons gone: decode 1.2 / 0.8 = 1.5; prefill of 101: 101.2 / 60.8."""

IDEAL_PREFILL = (101 * 1.0 + 0.2) / (101 * 0.6 + 0.2)


def cost(sizes, prefill_ms, decode_ms, ffn_ms, share, **facts):
    """One sample a round; the same share and FFN time in both phases."""
    times = Latency(
        prefill=Timing(tuple(prefill_ms), len(prefill_ms)),
        decode=Timing(tuple(decode_ms), len(decode_ms)),
        batch=1,
        prompt_tokens=101,
        new_tokens=1,
        device="cpu",
        dtype="float32",
        processor="none",
        n_threads=1,
        torch_version="2",
        measured_at="2025-01-01T00:00:00+00:00",
    )
    ffn_ms = facts.get("ffn_rounds_ms", (ffn_ms,) * 2)
    inside = Timing(tuple(ffn_ms), len(ffn_ms))
    shares = facts.get("shares", (share, share))
    ffn_time = FFNTime(inside, inside, shares, shares)
    return Cost(sizes, times, ffn_time, facts.get("stream", 100.0), facts.get("odd"))


ROUNDS = (1.0, 1.01, 0.99, 1.005, 0.995)


def pair(prefill=1.2, decode=1.2, *, ffn=2.0, share=0.99, noise=ROUNDS, **sides):
    """Dense and pruned costs with these speed-ups, up to the noise of the rounds.

    Dense does 1.2 MMAC in 0.12 ms of decode and 101.2 in 10.12 of prefill, both 10
    GMAC/s, so that nothing speaks for bytes or overhead unless `sides` says so.
    """
    decode_ms, stream = sides.get("decode_ms", 0.12), sides.get("stream", 100.0)
    facts = {"stream": stream, "shares": sides.get("shares", (share, share))}
    dense = cost(DENSE, [10.12] * 5, [decode_ms] * 5, 4.0, share, **facts)
    pruned = cost(
        sides.get("pruned", PRUNED),
        [10.12 / prefill * n for n in noise],
        [decode_ms / decode * n for n in noise],
        4.0 / ffn,
        share,
        odd=sides.get("odd"),
        ffn_rounds_ms=sides.get("ffn_rounds_ms", (4.0 / ffn,) * 2),
    )
    return dense, pruned


def reasons(*args, **kwargs):
    return "\n".join(speedup(*pair(*args, **kwargs)).reasons)


def test_ratios_by_hand():
    found = speedup(*pair(prefill=1.25, decode=1.2, share=0.5))
    assert found.prefill.measured == pytest.approx(1.25)
    assert found.decode.measured == pytest.approx(1.2)
    assert found.prefill.ideal == pytest.approx(IDEAL_PREFILL)
    assert found.decode.ideal == pytest.approx(1.5)
    assert found.decode.attainable == pytest.approx(1 / (0.5 + 0.5 * 0.5))
    assert found.prefill.n_rounds == 5


def test_interval_by_hand():
    """t(4 degrees, 0.975) = 2.776; standard error of a median sqrt(pi / 2)."""
    ratio = speedup(*pair(decode=1.2)).decode
    deviation = np.std(np.log(ROUNDS), ddof=1)
    half = 2.776 * math.sqrt(math.pi / 2) * deviation / math.sqrt(5)
    assert math.log(ratio.high / ratio.measured) == pytest.approx(half, rel=1e-3)
    assert math.log(ratio.measured / ratio.low) == pytest.approx(half, rel=1e-3)


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_interval_covers_the_truth_however_the_machine_drifts(n, drift):
    """95 % are promised; 0.92 is three standard errors of 400 draws below."""
    rng, covered = np.random.default_rng(n), 0
    for _ in range(400):
        mood = rng.lognormal(sigma=drift, size=n)
        before, after = (mood * rng.lognormal(sigma=0.02, size=n) for _ in range(2))
        dense = cost(DENSE, before * 12, before, 4.0, 0.9)
        pruned = cost(PRUNED, after * 10, after, 2.0, 0.9)
        ratio = speedup(dense, pruned).prefill
        covered += ratio.low <= 1.2 <= ratio.high
        assert n == 2 or ratio.high - ratio.low < 0.7
    assert covered / 400 >= 0.92


def test_measured_ratio_is_the_median_of_the_paired_rounds():
    """The medians of the sides, 20 and 20, would say 1."""
    dense = cost(DENSE, [10.0, 20.0, 40.0], [1.0, 1.0, 1.0], 4.0, 0.9)
    pruned = cost(PRUNED, [8.0, 20.0, 32.0], [1.0, 1.0, 1.0], 2.0, 0.9)
    assert speedup(dense, pruned).prefill.measured == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(1.01, 1.2, "faster"), (1.0, 1.2, "not measurably faster"),
     (0.8, 1.0, "not measurably faster"), (0.8, 0.99, "slower")],
)  # fmt: skip
def test_no_change_is_claimed_that_the_interval_leaves_open(low, high, outcome):
    assert Ratio(1.0, low, high, 1.5, 1.3, 5).outcome == outcome


def test_a_disturbed_timing_claims_nothing_and_says_why():
    dense, pruned = pair(prefill=1.05, decode=1.05)
    times = replace(dense.latency, others=0.34, disturbed=True)
    told = speedup(replace(dense, latency=times), pruned)
    assert told.decode.outcome == "disturbed"
    assert as_fast(told.decode).startswith("disturbed, ×")
    assert told.reasons == (
        "Other work took 34 % of the processor meanwhile: the times are disturbed, "
        "and no speed-up is claimed.",
    )


def test_no_reasons_when_the_ideal_is_reached():
    assert reasons(prefill=IDEAL_PREFILL + 0.1, decode=1.6, share=0.3) == ""


def test_no_reasons_when_nothing_was_pruned():
    dense, _ = pair()
    slower = cost(DENSE, [10.5] * 5, [0.13] * 5, 4.4, 0.9)
    assert speedup(dense, slower).reasons == ()


def test_no_change_is_said_with_the_rounds():
    noisy = (0.6, 1.4, 1.0, 0.7, 1.3)
    text = reasons(prefill=1.05, decode=1.05, noise=noisy)
    assert "Prefill: ×1.05 [" in text
    assert text.count("is not distinguishable from no change in 5 rounds") == 2
    assert text.count("5 rounds do not establish that it is missed") == 2
    steady = reasons(prefill=1.05, decode=1.05)
    assert "distinguishable" not in steady
    assert "establish" not in steady


def test_time_outside_the_ffn_layers_is_a_reason_only_beyond_its_macs():
    text = reasons(share=0.5)
    assert (
        "Decode: 50 % of the dense model's time is spent outside the FFN layers, with "
        "33.3 % of the MACs; so ×1.33 is attainable, not the ideal ×1.50."
    ) in text
    assert "Prefill: 50 % of" in text
    assert "outside" not in reasons(share=0.9)


def test_a_share_of_the_time_is_a_reason_only_if_every_round_says_so():
    text = reasons(shares=(0.4, 0.6))
    assert "Decode: 40 % to 60 % of the dense model's time is spent outside" in text
    assert "outside" not in reasons(shares=(0.4, 0.9))


def test_slow_ffn_layers_are_a_reason_only_beyond_what_their_rounds_leave_open():
    text = reasons(ffn=1.6)
    allow = "where their MACs allow ×2.00"
    assert f"went from 4 to 2.5 ms, ×1.60 [1.60, 1.60], {allow}" in text
    assert "themselves" not in reasons(ffn=2.0)
    assert "themselves" in reasons(ffn_rounds_ms=(2.49, 2.51))
    assert "themselves" not in reasons(ffn_rounds_ms=(2.2, 2.8))


def odd_width_of(ratio, noise=ROUNDS):
    odd = tuple(ratio * n for n in noise)
    return OddWidth(Timing(odd, len(odd)), Timing((1.0,) * len(odd), len(odd)))


def test_widths_that_are_no_multiple_of_8_are_counted_and_judged():
    odd = replace(PRUNED, widths=(800, 807))
    text = reasons(pruned=odd, odd=odd_width_of(1.25))
    assert "1 of 2 layers keep a width that is no multiple of 8" in text
    assert "width 807 take ×1.25 [" in text
    assert "] as long as those of 808" in text
    assert "(multiple_of 8) would help" in text
    quicker = reasons(pruned=odd, odd=odd_width_of(0.9))
    assert "rounding the widths would not help here" in quicker
    assert "multiple" not in reasons()
    fast = reasons(prefill=1.8, decode=1.6, pruned=odd, odd=odd_width_of(1.25))
    assert "multiple" not in fast


@pytest.mark.parametrize("noise", [(12.9, 1.0, 1.1, 0.9, 1.0), (0.5, 3.0, 12.9, 0.8)])
def test_an_odd_width_is_blamed_only_where_the_interval_excludes_no_change(noise):
    odd = replace(PRUNED, widths=(800, 807))
    text = reasons(pruned=odd, odd=odd_width_of(1.0, noise))
    assert "807" not in text


def test_decode_bound_by_bytes_or_overhead_or_neither():
    """4.8 MB a token in 1.2 ms are 4 GB/s, and 1 GMAC/s where prefill does 10."""
    text = reasons(decode_ms=1.2, stream=5.0)
    assert "Decode at batch 1 does 1 GMAC/s, the prefill 10" in text
    assert "at 4 GB/s, a bare matrix-vector product at 5: bytes bound it" in text
    assert "4.8 MB a token dense, 3.2 MB pruned: ×1.50" in text
    assert "neither MACs nor bytes bound it" in reasons(decode_ms=1.2, stream=9.0)
    assert "GMAC/s" not in reasons(decode_ms=0.2, stream=9.0)
    assert "GMAC/s" not in reasons(decode=1.6, decode_ms=1.2, stream=5.0)
