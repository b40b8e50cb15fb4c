"""What pruning gained on the clock, what it could gain, and what stood between."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llmrank.core.formatting import counted, interval, share, times
from llmrank.core.progress import Progress, silent
from llmrank.evaluation.bare_products import OddWidth, odd_width, stream_gb_per_s
from llmrank.evaluation.decoding import BenchmarkSpec, memory_guard
from llmrank.evaluation.footprint import Footprint, footprint
from llmrank.evaluation.latency import (
    FFNTime,
    Latency,
    Timing,
    ffn_times,
    latency,
    paired,
)
from llmrank.models.language_model import LanguageModel

Phase = Literal["prefill", "decode"]
Outcome = Literal["faster", "not measurably faster", "slower", "disturbed"]


@dataclass(frozen=True)
class Cost:
    """The size of one model, its time, and two facts about the device it ran on."""

    footprint: Footprint
    latency: Latency
    ffn_time: FFNTime
    stream_gb_per_s: float
    odd_width: OddWidth | None


@dataclass(frozen=True)
class Ratio:
    """Dense time / pruned time in one phase, with its 95 % interval.

    `measured` is the median of the rounds' ratios: a drift of the machine meets both
    models of a round, so it cancels there, and not in the ratio of two medians.
    `ideal` is the ratio of the MACs. `attainable` is what is left of it when only the
    time measured inside the dense model's FFN layers shrinks (Amdahl's law). Where the
    timing was `disturbed` the ratio is kept, and nothing is claimed by it.
    """

    measured: float
    low: float
    high: float
    ideal: float
    attainable: float
    n_rounds: int
    disturbed: bool = False

    @property
    def outcome(self) -> Outcome:
        """What may be claimed: a change only where the interval leaves out none."""
        if self.disturbed:
            return "disturbed"
        if self.low <= 1 <= self.high:
            return "not measurably faster"
        return "faster" if self.low > 1 else "slower"


@dataclass(frozen=True)
class Speedup:
    """The speed-ups of both phases, and why they fall short of the ideal ones."""

    prefill: Ratio
    decode: Ratio
    reasons: tuple[str, ...]


def measure(
    models: Sequence[LanguageModel],
    spec: BenchmarkSpec = BenchmarkSpec(),
    *,
    progress: Progress = silent,
) -> tuple[Cost, ...]:
    """Count and time models against each other, in the order given.

    Raises:
        LLMRankError: the run does not fit into memory or a model's positions.
        CancelledError: from `progress`, between two steps.
    """
    times = latency(models, spec, progress=progress)
    inside = ffn_times(models, spec, progress=progress)
    return tuple(
        _cost(lm, spec, time, ffn_time, progress)
        for lm, time, ffn_time in zip(models, times, inside, strict=True)
    )


def _cost(
    lm: LanguageModel,
    spec: BenchmarkSpec,
    time: Latency,
    ffn_time: FFNTime,
    progress: Progress,
) -> Cost:
    with memory_guard(lm, spec):
        stream = stream_gb_per_s(lm, progress=progress)
        odd = odd_width(lm, spec, progress=progress)
    return Cost(footprint(lm), time, ffn_time, stream, odd)


def speedup(dense: Cost, pruned: Cost) -> Speedup:
    """Compare two costs that were measured in the same rounds."""
    ratios: dict[Phase, Ratio] = {
        "prefill": _ratio(dense, pruned, "prefill"),
        "decode": _ratio(dense, pruned, "decode"),
    }
    if dense.latency.disturbed:
        reasons = [disturbance_sentence(dense.latency)]
    else:
        reasons = list(_reasons(dense, pruned, ratios))
    return Speedup(ratios["prefill"], ratios["decode"], tuple(reasons))


def _ratio(dense: Cost, pruned: Cost, phase: Phase) -> Ratio:
    before, after = _timing(dense.latency, phase), _timing(pruned.latency, phase)
    measured, low, high = paired(before, after)
    inside = statistics.median(_ffn_shares(dense, phase))
    return Ratio(
        measured=measured,
        low=low,
        high=high,
        ideal=_macs(dense, phase) / _macs(pruned, phase),
        attainable=_attainable(dense, pruned, inside),
        n_rounds=before.n_rounds,
        disturbed=dense.latency.disturbed,
    )


def _attainable(dense: Cost, pruned: Cost, inside: float) -> float:
    """Apply Amdahl's law to the share of the time inside the dense FFN layers."""
    kept = pruned.footprint.ffn_macs_per_token / dense.footprint.ffn_macs_per_token
    return 1 / (1 - inside + inside * kept)


def _timing(times: Latency | FFNTime, phase: Phase) -> Timing:
    return times.prefill if phase == "prefill" else times.decode


def _ffn_shares(cost: Cost, phase: Phase) -> tuple[float, ...]:
    inside = cost.ffn_time
    return inside.prefill_shares if phase == "prefill" else inside.decode_shares


def _macs(cost: Cost, phase: Phase) -> int:
    """Count what one sequence costs in one step of the phase."""
    if phase == "prefill":
        return cost.footprint.prefill_macs(cost.latency.prompt_tokens)
    return cost.footprint.macs_per_token


def _reasons(dense: Cost, pruned: Cost, ratios: dict[Phase, Ratio]) -> Iterator[str]:
    for phase, ratio in ratios.items():
        if ratio.outcome == "not measurably faster":
            yield (
                f"{phase.capitalize()}: {_measured(ratio)} is not distinguishable from "
                f"no change in {counted(ratio.n_rounds, 'round')}."
            )
        if _falls_short(ratio):
            yield from _shortfall(dense, pruned, phase, ratio)
    if any(_falls_short(r) for r in ratios.values()):
        yield from _odd_widths(pruned)
    if _falls_short(ratios["decode"]):
        yield from _slow_arithmetic(dense, pruned)


def _falls_short(ratio: Ratio) -> bool:
    return ratio.measured < ratio.ideal and ratio.ideal > 1


def _measured(ratio: Ratio) -> str:
    return f"{times(ratio.measured)} {interval(ratio.low, ratio.high)}"


def _shortfall(dense: Cost, pruned: Cost, phase: Phase, ratio: Ratio) -> Iterator[str]:
    name, sizes = phase.capitalize(), (dense.footprint, pruned.footprint)
    if ratio.ideal <= ratio.high:
        yield (
            f"{name}: the ideal {times(ratio.ideal)} lies within {_measured(ratio)}; "
            f"{ratio.n_rounds} rounds do not establish that it is missed."
        )
    shares = _ffn_shares(dense, phase)
    if _attainable(dense, pruned, max(shares)) < ratio.ideal:  # in every round
        least, most = share(1 - max(shares)), share(1 - min(shares))
        outside = least if least == most else f"{least} to {most}"
        yield (
            f"{name}: {outside} of the dense model's time is "
            f"spent outside the FFN layers, with {share(_macs_outside(dense, phase))} "
            f"of the MACs; so {times(ratio.attainable)} is attainable, not the ideal "
            f"{times(ratio.ideal)}."
        )
    allowed = sizes[0].ffn_macs_per_token / sizes[1].ffn_macs_per_token
    inside = [_timing(c.ffn_time, phase) for c in (dense, pruned)]
    measured, low, high = paired(*inside)
    if high < allowed:
        before, after = (timing.median for timing in inside)
        yield (
            f"{name}: the FFN layers themselves went from {before:.4g} to {after:.4g} "
            f"ms, {times(measured)} {interval(low, high)}, where their MACs allow "
            f"{times(allowed)}."
        )


def _macs_outside(cost: Cost, phase: Phase) -> float:
    n_tokens = cost.latency.prompt_tokens if phase == "prefill" else 1
    return 1 - n_tokens * cost.footprint.ffn_macs_per_token / _macs(cost, phase)


def _odd_widths(pruned: Cost) -> Iterator[str]:
    widths, is_odd = pruned.footprint.widths, pruned.odd_width
    odd = [w for w in widths if w % 8]
    if not odd or is_odd is None:
        return
    measured, low, high = paired(is_odd.odd, is_odd.rounded)
    rounded = odd[0] + -odd[0] % 8
    if low <= 1 <= high:
        return
    verdict = "would not help here" if high < 1 else "(multiple_of 8) would help"
    yield (
        f"{len(odd)} of {len(widths)} layers keep a width that is no multiple of 8; "
        f"measured, the bare products of width {odd[0]:,} take {times(measured)} "
        f"{interval(low, high)} as long as those of {rounded:,}: "
        f"rounding the widths {verdict}."
    )


def _slow_arithmetic(dense: Cost, pruned: Cost) -> Iterator[str]:
    """Tell what decode waits for, when it is not arithmetic."""
    reading, writing = (_gmacs_per_s(dense, p) for p in ("prefill", "decode"))
    if writing >= reading / 2:
        return
    before, after = (c.footprint.read_bytes_per_token / 1e6 for c in (dense, pruned))
    rate, stream = before / dense.latency.decode.median, dense.stream_gb_per_s
    rates = (
        f"Decode at batch {dense.latency.batch} does {writing:.3g} GMAC/s, the prefill "
        f"{reading:.3g}; it reads its weights at {rate:.3g} GB/s, a bare matrix-vector "
        f"product at {stream:.3g}"
    )
    if rate > stream / 2:
        yield (
            f"{rates}: bytes bound it, not MACs ({before:.4g} MB a token dense, "
            f"{after:.4g} MB pruned: {times(before / after)})."
        )
    else:
        yield (
            f"{rates}: neither MACs nor bytes bound it, but the start of many small "
            "operations, or other work on this machine."
        )


def _gmacs_per_s(cost: Cost, phase: Phase) -> float:
    macs = cost.latency.batch * _macs(cost, phase)
    return macs / _timing(cost.latency, phase).median / 1e6


def as_fast(ratio: Ratio) -> str:
    """Write a speed-up with its 95 % interval: ×1.18 [1.10, 1.26] as fast."""
    mark = "disturbed, " if ratio.disturbed else ""
    return f"{mark}{times(ratio.measured)} {interval(ratio.low, ratio.high)} as fast"


def disturbance_sentence(timed: Latency) -> str:
    """Say what others took of the processor meanwhile, and what follows from it."""
    if timed.others is None:
        return "What other work took of the processor meanwhile is not known."
    taken = f"Other work took {share(timed.others)} of the processor meanwhile"
    if timed.disturbed:
        return f"{taken}: the times are disturbed, and no speed-up is claimed."
    return f"{taken}."
