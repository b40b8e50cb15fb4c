"""Bare matrix products on the clock: what a device does where nothing else is done."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from llmrank.core.progress import Progress, silent
from llmrank.evaluation import other_load
from llmrank.evaluation.decoding import BenchmarkSpec, alone, elapsed_ms, prompt_length
from llmrank.evaluation.latency import Timing
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

STREAM_BYTES = 2**28
STREAM_ROUNDS = 5
"""More than any cache holds, so that memory itself is timed."""

WIDTH_ROUNDS = 20
WIDTH_TOKENS = 1024


@dataclass(frozen=True)
class OddWidth:
    """The products of one FFN layer in the prefill, at two widths in turns.

    `odd` is a width that is no multiple of 8, `rounded` is the next one that is.
    """

    odd: Timing
    rounded: Timing


@torch.inference_mode()
def stream_gb_per_s(lm: LanguageModel, *, progress: Progress = silent) -> float:
    """Measure how fast a bare matrix-vector product reads weights, in GB/s.

    On the model's device and in its dtype: no decode at batch 1 reads faster.
    """
    like, linear = next(lm.model.parameters()), nn.functional.linear
    weight = like.new_ones(STREAM_BYTES // like.element_size() // 4096, 4096)
    vector = like.new_ones(1, 4096)
    with alone(progress):
        ms = [
            elapsed_ms(lambda: linear(vector, weight), lm.device)
            for _ in range(1 + STREAM_ROUNDS)
        ]
    return STREAM_BYTES / statistics.median(ms[1:]) / 1e6


@torch.inference_mode()
def odd_width(
    lm: LanguageModel, spec: BenchmarkSpec, *, progress: Progress = silent
) -> OddWidth | None:
    """Measure what the first width that is no multiple of 8 costs, on bare products.

    Returns:
        Rounds that may be paired, after one that warms up; None if no width is odd,
        or other work took more than a tenth of the cores.
    """
    odd = [w for w in ffn.widths(lm.model) if w % 8]
    if not odd:
        return None
    like, d_model = next(lm.model.parameters()), lm.config.hidden_size
    n_tokens = min(spec.batch * prompt_length(lm, spec), WIDTH_TOKENS)
    x = like.new_ones(n_tokens, d_model)

    def runs(width: int) -> Iterator[float]:
        up, down = like.new_ones(width, d_model), like.new_ones(d_model, width)
        linear = nn.functional.linear
        for _ in range(1 + WIDTH_ROUNDS):
            yield elapsed_ms(lambda: linear(linear(x, up), down), lm.device)

    before_s = other_load.now()
    with alone(progress):
        pairs = zip(runs(odd[0]), runs(odd[0] + -odd[0] % 8), strict=True)
        _, *timed = pairs
    if (other_load.now() - before_s).is_disturbed:
        return None
    before, after = zip(*timed, strict=True)
    return OddWidth(Timing(before, WIDTH_ROUNDS), Timing(after, WIDTH_ROUNDS))
