"""Models on the clock, side by side: prefill, decode, and the FFN layers' part."""

import itertools
import math
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import half_width
from llmrank.evaluation.decoding import (
    BenchmarkSpec,
    prompt_length,
    synchronise,
)
from llmrank.evaluation.other_load import Load
from llmrank.evaluation.rounds import Round, Rounds, warm_up_tokens
from llmrank.models import ffn, precision
from llmrank.models.language_model import LanguageModel

FFN_ROUNDS = 2
FFN_TOKENS = 8
"""Enough for a share: these runs carry hooks and stand beside the real timing."""

ROUNDS_S = 10.0
"""For how long rounds follow those asked for while the ratio is not known well."""

NARROW = 0.05
"""How far the 95 % interval of a known ratio reaches to either side, relative to it."""

MEDIAN_ERROR = math.sqrt(math.pi / 2)
"""Standard error of a median over that of a mean, for many normal samples (1.25)."""


@dataclass(frozen=True)
class Timing:
    """All samples in the order taken; every round has equally many."""

    samples_ms: tuple[float, ...]
    n_rounds: int

    @property
    def median(self) -> float:
        """The median of all samples, in ms."""
        return statistics.median(self.samples_ms)

    @property
    def p90(self) -> float:
        """The 90th percentile of all samples (interpolated), in ms."""
        return float(np.quantile(self.samples_ms, 0.9))

    @property
    def round_medians_ms(self) -> tuple[float, ...]:
        """The median of each round, to be paired with another model's rounds."""
        size = len(self.samples_ms) // self.n_rounds
        starts = range(0, len(self.samples_ms), size)
        return tuple(statistics.median(self.samples_ms[s : s + size]) for s in starts)


@dataclass(frozen=True)
class Latency:
    """How long one model took, and on what: a prefill, and each decoded token.

    `others` is the share of the cores that other work took meanwhile, None where that
    is not known; `disturbed` says that it was too much for a fair timing.
    """

    prefill: Timing
    decode: Timing
    batch: int
    prompt_tokens: int
    new_tokens: int
    device: str
    dtype: str
    processor: str
    n_threads: int
    torch_version: str
    measured_at: str
    others: float | None = None
    disturbed: bool = False


@dataclass(frozen=True)
class FFNTime:
    """The time inside the FFN layers, and its share of each round's whole time."""

    prefill: Timing
    decode: Timing
    prefill_shares: tuple[float, ...]
    decode_shares: tuple[float, ...]


def latency(
    models: Sequence[LanguageModel],
    spec: BenchmarkSpec = BenchmarkSpec(),
    *,
    progress: Progress = silent,
) -> tuple[Latency, ...]:
    """Time models against each other, in the order given.

    All are warmed up first; then each round times every model once, every other round
    in reverse order, so that a drift of the machine meets all of them alike. After the
    rounds that were asked for, pairs of rounds follow until the ratio to the first
    model is known within `NARROW` in both phases from rounds that nothing disturbed,
    or `ROUNDS_S` have passed.

    Raises:
        LLMRankError: the run does not fit into memory or a model's positions.
        CancelledError: from `progress`, between two steps.
    """
    rounds = Rounds(models, spec, "Measuring latency", progress)
    rounds.take(spec.repeats)
    while rounds.lasted_s < ROUNDS_S and not (
        rounds.are_clean and _is_narrow(rounds.kept)
    ):
        rounds.take(2)
    load = sum((rounds.loads[n] for n in rounds.kept_places), Load())
    return tuple(
        _latency(lm, own, spec, load)
        for lm, own in zip(models, rounds.kept, strict=True)
    )


def ffn_times(
    models: Sequence[LanguageModel],
    spec: BenchmarkSpec = BenchmarkSpec(),
    *,
    progress: Progress = silent,
) -> tuple[FFNTime, ...]:
    """Time the FFN layers inside the run, by hooks on twins, in a few rounds of it.

    Where a family has no module around its FFN (OPT), the projections are summed and
    the activation function between them is left out.

    Raises:
        LLMRankError: the run does not fit into memory or a model's positions.
        CancelledError: from `progress`, between two steps.
    """
    tokens = min(spec.new_tokens, FFN_TOKENS)
    short = replace(spec, repeats=FFN_ROUNDS, new_tokens=tokens)
    calls_ms: list[list[float]] = [[] for _ in models]
    pairs = zip(models, calls_ms, strict=True)
    twins = [_with_clocks(lm, calls) for lm, calls in pairs]
    rounds = Rounds(twins, short, "Measuring the FFN layers", progress)
    rounds.take(FFN_ROUNDS)
    if not rounds.are_clean and ROUNDS_S > 0:
        rounds.take(FFN_ROUNDS)
    inside = [_per_round(calls, short, len(rounds.loads)) for calls in calls_ms]
    return tuple(
        _ffn_time(own, [every[n] for n in rounds.kept_places])
        for own, every in zip(rounds.kept, inside, strict=True)
    )


def paired(before: Timing, after: Timing) -> tuple[float, float, float]:
    """Return the ratio of two timings and its 95 % interval.

    The rounds are paired, as their medians share the machine's mood: Student's t over
    their ratios' logarithms, widened from a mean to a median.
    """
    pairs = zip(before.round_medians_ms, after.round_medians_ms, strict=True)
    logs = [math.log(a / b) for a, b in pairs]
    centre = statistics.median(logs)
    half = MEDIAN_ERROR * half_width(statistics.stdev(logs), len(logs))
    return math.exp(centre), math.exp(centre - half), math.exp(centre + half)


def processor(device: torch.device) -> str:
    """Name the machine's processor, or the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [n for n in lines if n.startswith("model name")]
    return names[0].split(":", 1)[1].strip() if names else platform.processor()


def _is_narrow(rounds: list[list[Round]]) -> bool:
    first, *others = map(_phases, rounds)
    ratios = (
        paired(a, b) for phases in others for a, b in zip(first, phases, strict=True)
    )
    return all(high / ratio - 1 <= NARROW for ratio, _, high in ratios)


def _latency(
    lm: LanguageModel, rounds: list[Round], spec: BenchmarkSpec, load: Load
) -> Latency:
    prefill, decode = _phases(rounds)
    return Latency(
        prefill=prefill,
        decode=decode,
        batch=spec.batch,
        prompt_tokens=prompt_length(lm, spec),
        new_tokens=spec.new_tokens,
        device=str(lm.device),
        dtype=precision.computed_in(lm.model),
        processor=processor(lm.device),
        n_threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        others=load.others,
        disturbed=load.is_disturbed,
    )


def _phases(rounds: list[Round]) -> tuple[Timing, Timing]:
    prefill = tuple(r[0] for r in rounds)
    decode = tuple(ms for r in rounds for ms in r[1:])
    return Timing(prefill, len(rounds)), Timing(decode, len(rounds))


def _with_clocks(lm: LanguageModel, calls_ms: list[float]) -> LanguageModel:
    """Return a twin that appends the time of every FFN call."""
    model, device = ffn.shared_copy(lm.model), lm.device
    started: list[float] = []

    def now() -> float:
        synchronise(device)
        return 1e3 * time.perf_counter()

    whole = ffn.family(model).ffn != ""
    for part in itertools.chain.from_iterable(
        (p.holder,) if whole else p.modules for p in ffn.projections(model)
    ):
        part.register_forward_pre_hook(lambda *_: started.append(now()))
        part.register_forward_hook(lambda *_: calls_ms.append(now() - started.pop()))
    return LanguageModel(lm.spec, model, lm.tokenizer)


def _per_round(
    calls_ms: list[float], spec: BenchmarkSpec, n_rounds: int
) -> list[Round]:
    """Sum the calls of each step, and drop the warm-up's."""
    steps, warm_up = 1 + spec.new_tokens, 1 + warm_up_tokens(spec)
    size = len(calls_ms) // (warm_up + n_rounds * steps)
    sums = [sum(calls_ms[s : s + size]) for s in range(0, len(calls_ms), size)]
    return [tuple(sums[s : s + steps]) for s in range(warm_up, len(sums), steps)]


def _ffn_time(whole: list[Round], inside: list[Round]) -> FFNTime:
    prefill, decode = _phases(inside)
    whole_prefill, whole_decode = _phases(whole)
    shares = _shares(prefill, whole_prefill), _shares(decode, whole_decode)
    return FFNTime(prefill, decode, *shares)


def _shares(part: Timing, whole: Timing) -> tuple[float, ...]:
    pairs = zip(part.samples_ms, whole.samples_ms, strict=True)
    return Timing(tuple(p / w for p, w in pairs), part.n_rounds).round_medians_ms
