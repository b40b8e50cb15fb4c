"""Models on the clock, side by side: prefill, decode, and the FFN layers' part."""

import itertools
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from llmrank.core.progress import Progress, silent
from llmrank.evaluation.decoding import (
    BenchmarkSpec,
    alone,
    memory_guard,
    prompt_length,
    random_prompt,
    synchronise,
    timed_steps,
)
from llmrank.models import ffn, precision
from llmrank.models.language_model import LanguageModel

WARM_UP_TOKENS = 4
FFN_ROUNDS = 2
FFN_TOKENS = 8
"""Enough for a share: these runs carry hooks and stand beside the real timing."""

Round = tuple[float, ...]
"""One round of one model in ms: the prefill, then every decoded token."""


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
    """How long one model took, and on what: a prefill, and each decoded token."""

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
    in reverse order, so that a drift of the machine meets all of them alike.

    Raises:
        LLMRankError: the run does not fit into memory or a model's positions.
        CancelledError: from `progress`, between two steps.
    """
    rounds = _interleaved(models, spec, "Measuring latency", progress)
    return tuple(_latency(lm, r, spec) for lm, r in zip(models, rounds, strict=True))


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
    watched = [_watched(lm, calls) for lm, calls in pairs]
    rounds = _interleaved(watched, short, "Measuring the FFN layers", progress)
    return tuple(
        _ffn_time(r, _per_round(calls, short))
        for r, calls in zip(rounds, calls_ms, strict=True)
    )


def processor(device: torch.device) -> str:
    """Name the machine's processor, or the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [n for n in lines if n.startswith("model name")]
    return names[0].split(":", 1)[1].strip() if names else platform.processor()


def _interleaved(
    models: Sequence[LanguageModel], spec: BenchmarkSpec, what: str, progress: Progress
) -> list[list[Round]]:
    """Return the rounds of every model."""
    warm_up = _warm_up_tokens(spec)
    total = len(models) * (1 + warm_up + spec.repeats * (1 + spec.new_tokens))
    done = itertools.count(1)
    prompts = [random_prompt(lm, spec) for lm in models]
    order = range(len(models))
    rounds: list[list[Round]] = [[] for _ in models]

    def run(i: int, new_tokens: int) -> Iterator[float]:
        with memory_guard(models[i], spec):
            for ms in timed_steps(models[i].model, prompts[i], new_tokens):
                progress(what, next(done), total)
                yield ms

    with alone(progress):
        for i in order:
            list(run(i, warm_up))
        for n in range(spec.repeats):
            for i in order if n % 2 == 0 else reversed(order):
                rounds[i].append(tuple(run(i, spec.new_tokens)))
    return rounds


def _warm_up_tokens(spec: BenchmarkSpec) -> int:
    return min(WARM_UP_TOKENS, spec.new_tokens)


def _latency(lm: LanguageModel, rounds: list[Round], spec: BenchmarkSpec) -> Latency:
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
    )


def _phases(rounds: list[Round]) -> tuple[Timing, Timing]:
    prefill = tuple(r[0] for r in rounds)
    decode = tuple(ms for r in rounds for ms in r[1:])
    return Timing(prefill, len(rounds)), Timing(decode, len(rounds))


def _watched(lm: LanguageModel, calls_ms: list[float]) -> LanguageModel:
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


def _per_round(calls_ms: list[float], spec: BenchmarkSpec) -> list[Round]:
    """Sum the calls of each step, and drop the warm-up's."""
    steps, warm_up = 1 + spec.new_tokens, 1 + _warm_up_tokens(spec)
    size = len(calls_ms) // (warm_up + spec.repeats * steps)
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
