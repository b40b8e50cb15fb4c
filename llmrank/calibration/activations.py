"""One streaming pass over calibration text: the norms the graph is drawn with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmrank.calibration.residual_stream import run
from llmrank.core.devices import with_doubles
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent, track
from llmrank.core.specs import option, spec
from llmrank.data import texts
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

BATCH_TOKENS = 1024
"""Tokens in one forward pass: enough to fill the cores, small enough for memory."""


@spec
class CalibrationSpec:
    """Which tokens the activations are measured on."""

    calibration_text: str = option(
        default=texts.EMBEDDED,
        help="embedded (Wikipedia passages), or a UTF-8 text file",
    )
    samples: int = option(
        default=64, low=1, high=4096, help="How many windows of text are read"
    )
    seq_len: int = option(
        default=256, low=2, high=8192, help="Tokens per window, or what the model takes"
    )
    seed: int = option(
        default=0, low=0, high=2**31, help="Which windows are drawn from the text"
    )


@dataclass(frozen=True)
class LayerStats:
    """L2 norms over all calibration tokens at one FFN layer, in float64 sums.

    `input_norm`: the FFN's input; `up_norm`: the output of `up`; `neuron_norm`,
    `neuron_mean` and `neuron_abs_mean` (of the absolute values): the input of `down`,
    which is the neuron's own signal; `output_norm`: the output of `down`, before the
    residual addition. `block_cosine`, `block_angle`: the residual stream before and
    after the whole block (attention and FFN), token by token: the mean cosine, and the
    mean angle as a share of a half turn.
    """

    input_norm: Float[Tensor, " d_model"]
    up_norm: Float[Tensor, " d_ff"]
    neuron_norm: Float[Tensor, " d_ff"]
    neuron_mean: Float[Tensor, " d_ff"]
    neuron_abs_mean: Float[Tensor, " d_ff"]
    output_norm: Float[Tensor, " d_out"]
    block_cosine: float
    block_angle: float


@dataclass(frozen=True)
class ActivationStats:
    """What calibration measured, layer by layer, and on what."""

    layers: tuple[LayerStats, ...]
    n_tokens: int
    text_source: str
    text_sha256: str


def calibrate(
    lm: LanguageModel,
    spec: CalibrationSpec = CalibrationSpec(),
    *,
    progress: Progress = silent,
) -> ActivationStats:
    """Measure activations on calibration text.

    Raises:
        LLMRankError: the text is unusable, or the model's activations are not finite.
    """
    source, windows = drawn(lm, spec)
    layers = measure(lm, windows, progress=progress)
    return ActivationStats(layers, windows.numel(), source.source, source.sha256)


def calibrate_parts(
    lm: LanguageModel,
    spec: CalibrationSpec,
    n_windows: Sequence[int],
    *,
    progress: Progress = silent,
) -> tuple[ActivationStats, ...]:
    """Measure leading parts of the calibration text, then the last, in one pass.

    `n_windows` of each part sum to the samples. The windows come in the order drawn, so
    that leading parts are what fewer samples of the same seed measure.

    Returns:
        For each part, the statistics of all windows up to its end; and those of the
        last part alone.

    Raises:
        LLMRankError: as in `calibrate`.
        ValueError: the parts are not the whole, or one is empty.
    """
    if sum(n_windows) != spec.samples or min(n_windows) < 1:
        raise ValueError(f"parts {n_windows} must be at least 1 and sum to the samples")
    source, windows = drawn(lm, spec)
    parts = windows.split(list(n_windows))
    running = list(_running_sums(lm, parts, progress=progress))
    *_, before, after = running
    last = [
        {name: sums[name] - less.get(name, 0) for name in sums}
        for less, sums in zip(before, after, strict=True)
    ]
    sizes = [*accumulate(part.numel() for part in parts), parts[-1].numel()]
    return tuple(
        ActivationStats(_finished(sums, n), n, source.source, source.sha256)
        for sums, n in zip([*running[1:], last], sizes, strict=True)
    )


@torch.inference_mode()
def measure(
    lm: LanguageModel,
    windows: Int[Tensor, "n_windows seq_len"],
    *,
    batch: int | None = None,
    progress: Progress = silent,
) -> tuple[LayerStats, ...]:
    """Run the tokens through a twin with hooks and return each layer's norms.

    Windows do not see each other; a `batch` of them goes through at a time, which
    changes the memory and not the result.

    Raises:
        LLMRankError: an activation is not finite (naming the layer).
    """
    _, sums = _running_sums(lm, [windows], batch=batch, progress=progress)
    return _finished(sums, windows.numel())


def drawn(
    lm: LanguageModel, spec: CalibrationSpec
) -> tuple[texts.Text, Int[Tensor, "n_windows seq_len"]]:
    """Return the calibration text and the windows drawn from it, in that order.

    Raises:
        LLMRankError: the text is unusable, or too short.
    """
    source = texts.text(spec.calibration_text, "calibration")
    windows = texts.sampled_windows(
        lm, source, n_samples=spec.samples, seq_len=spec.seq_len, seed=spec.seed
    )
    return source, windows


@torch.inference_mode()
def _running_sums(
    lm: LanguageModel,
    parts: Sequence[Int[Tensor, "_ seq_len"]],
    *,
    batch: int | None = None,
    progress: Progress,
) -> Iterator[list[dict[str, Tensor]]]:
    """Yield each layer's sums before the first part of a text, and after each."""
    model = ffn.shared_copy(lm.model)
    pairs = zip(ffn.blocks(model), ffn.projections(model), strict=True)
    sums = [_hooked(block, p) for block, p in pairs]
    size = batch or max(1, BATCH_TOKENS // parts[0].shape[1])
    batches = [part.split(size) for part in parts]
    tracked = track([b for part in batches for b in part], "Calibrating", progress)
    for part in ((), *batches):
        for chunk in islice(tracked, len(part)):
            run(model, chunk.to(lm.device))
        yield [dict(own) for own in sums]
    next(tracked, None)


def _hooked(block: nn.Module, p: ffn.Projections) -> dict[str, Tensor]:
    """Hook a block and its FFN so that their sums grow with every forward pass.

    Of the residual stream, before and after the block are compared token by token.
    """
    sums: dict[str, Tensor] = {}

    def on_up(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _add(sums, "input_norm", _squares(inputs[0]))
        _add(sums, "up_norm", _squares(output))

    def on_down(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        signal = inputs[0].float()
        _add(sums, "neuron_norm", _sums(signal.square()))
        _add(sums, "neuron_mean", _sums(signal))
        _add(sums, "neuron_abs_mean", _sums(signal.abs()))
        _add(sums, "output_norm", _squares(output))

    def on_block(
        _: nn.Module, args: tuple[Any, ...], named: dict[str, Any], after: Tensor
    ) -> None:
        before = args[0] if args else named["hidden_states"]
        cosine = nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
        cosine = with_doubles(cosine).double().clamp(-1, 1)
        _add(sums, "block_cosine", cosine.sum())
        _add(sums, "block_angle", cosine.acos().sum() / math.pi)

    p.up.register_forward_hook(on_up)
    p.down.register_forward_hook(on_down)
    block.register_forward_hook(on_block, with_kwargs=True)
    return sums


def _sums(x: Tensor) -> Tensor:
    """Sum over tokens: in float32 within a window, in float64 over windows.

    A product with ones: ten times faster on a CPU than a norm along the token axis.
    The sums stay where the model is: fetching each would hold an accelerator up.
    """
    windows = x if x.dim() == 3 else x[None]
    ones = windows.new_ones(1, windows.shape[1])
    return with_doubles((ones @ windows)[:, 0]).double().sum(0)


def _squares(x: Tensor) -> Tensor:
    return _sums(x.float().square())


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value


def _finished(
    layers: Sequence[dict[str, Tensor]], n_tokens: int
) -> tuple[LayerStats, ...]:
    return tuple(_stats(layer, sums, n_tokens) for layer, sums in enumerate(layers))


def _stats(layer: int, sums: dict[str, Tensor], n_tokens: int) -> LayerStats:
    """Take the roots of sums of squares, and the means of the others."""
    for name, value in sums.items():
        if not value.isfinite().all():
            raise LLMRankError(
                f"activations of layer {layer} ({name}) are not finite; the model "
                "overflows here: use float32, or check its weights"
            )
    values: dict[str, Any] = {
        name: (total.sqrt() if name.endswith("norm") else total / n_tokens)
        .float()
        .cpu()
        for name, total in sums.items()
    }
    blocks = {n: float(sums[n]) / n_tokens for n in ("block_cosine", "block_angle")}
    return LayerStats(**values | blocks)
