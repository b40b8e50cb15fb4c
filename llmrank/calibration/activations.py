"""One streaming pass over calibration text: the norms the graph is drawn with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
    """Measure disjoint parts of the calibration text apart, in one pass over it.

    The windows come in the order drawn, so that the first parts together are what
    fewer samples of the same seed measure.

    Args:
        lm: the dense model.
        spec: which tokens; its `samples` are cut into the parts.
        n_windows: how many windows each part has; their sum is `samples`.
        progress: called per batch, counting the windows of all parts.

    Raises:
        LLMRankError: as in `calibrate`.
        ValueError: the parts are not the whole, or one is empty.
    """
    if sum(n_windows) != spec.samples or min(n_windows) < 1:
        raise ValueError(f"parts {n_windows} must be at least 1 and sum to the samples")
    source, windows = drawn(lm, spec)
    parts, before = [], 0
    for part in windows.split(list(n_windows)):
        counted = _counted(progress, before, len(part), len(windows))
        layers = measure(lm, part, progress=counted)
        before += len(part)
        parts.append(
            ActivationStats(layers, part.numel(), source.source, source.sha256)
        )
    return tuple(parts)


def combined(parts: Sequence[ActivationStats]) -> ActivationStats:
    """Return the statistics of disjoint parts of one text as those of their union.

    Norms add in squares, means by their tokens; both in float64.

    Raises:
        ValueError: the parts are of different texts.
    """
    first = parts[0]
    if any(p.text_sha256 != first.text_sha256 for p in parts):
        raise ValueError("statistics of different texts are not parts of one")
    n_tokens = [p.n_tokens for p in parts]
    by_layer = zip(*(p.layers for p in parts), strict=True)
    layers = tuple(_combined_layer(layer, n_tokens) for layer in by_layer)
    return ActivationStats(layers, sum(n_tokens), first.text_source, first.text_sha256)


@torch.inference_mode()
def measure(
    lm: LanguageModel,
    windows: Int[Tensor, "n_windows seq_len"],
    *,
    batch: int | None = None,
    progress: Progress = silent,
) -> tuple[LayerStats, ...]:
    """Run the tokens through a twin with hooks and return each layer's norms.

    Args:
        lm: the dense model.
        windows: token ids; windows do not see each other.
        batch: windows per forward pass; changes the memory, not the result.
        progress: called per batch.

    Raises:
        LLMRankError: an activation is not finite (naming the layer).
    """
    model = ffn.shared_copy(lm.model)
    sums = [_hooked(p) for p in ffn.projections(model)]
    for block, own in zip(ffn.blocks(model), sums, strict=True):
        _hook_block(block, own)
    size = batch or max(1, BATCH_TOKENS // windows.shape[1])
    for chunk in track(windows.split(size), "Calibrating", progress):
        run(model, chunk.to(lm.device))
    return tuple(_finished(s, windows.numel(), layer) for layer, s in enumerate(sums))


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


def _counted(progress: Progress, before: int, n_windows: int, total: int) -> Progress:
    """Count windows of the whole where `measure` counts batches of a part."""

    def report(what: str, done: int, n_batches: int) -> None:
        progress(what, before + done * n_windows // n_batches, total)

    return report


def _combined_layer(parts: Sequence[LayerStats], n_tokens: Sequence[int]) -> LayerStats:
    def norm(name: str) -> Tensor:
        squares = [getattr(p, name).double().square() for p in parts]
        return _norm(torch.stack(squares).sum(0))

    pairs = list(zip(parts, n_tokens, strict=True))

    def mean(name: str) -> Tensor:
        sums = [torch.as_tensor(getattr(p, name)).double() * n for p, n in pairs]
        return (torch.stack(sums).sum(0) / sum(n_tokens)).float()

    return LayerStats(
        input_norm=norm("input_norm"),
        up_norm=norm("up_norm"),
        neuron_norm=norm("neuron_norm"),
        neuron_mean=mean("neuron_mean"),
        neuron_abs_mean=mean("neuron_abs_mean"),
        output_norm=norm("output_norm"),
        block_cosine=float(mean("block_cosine")),
        block_angle=float(mean("block_angle")),
    )


def _hooked(p: ffn.Projections) -> dict[str, Tensor]:
    """Hook one FFN so that its sums grow with every forward pass."""
    sums: dict[str, Tensor] = {}

    def on_up(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _add(sums, "input", _squares(inputs[0]))
        _add(sums, "up", _squares(output))

    def on_down(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        signal = inputs[0].float()
        _add(sums, "neuron", _sums(signal.square()))
        _add(sums, "mean", _sums(signal))
        _add(sums, "magnitude", _sums(signal.abs()))
        _add(sums, "output", _squares(output))

    p.up.register_forward_hook(on_up)
    p.down.register_forward_hook(on_down)
    return sums


def _hook_block(block: nn.Module, sums: dict[str, Tensor]) -> None:
    """Compare the residual stream before and after the block, token by token."""

    def on_block(
        _: nn.Module, args: tuple[Any, ...], named: dict[str, Any], after: Tensor
    ) -> None:
        before = args[0] if args else named["hidden_states"]
        cosine = nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
        cosine = with_doubles(cosine).double().clamp(-1, 1)
        _add(sums, "cosine", cosine.sum())
        _add(sums, "angle", cosine.acos().sum() / math.pi)

    block.register_forward_hook(on_block, with_kwargs=True)


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


def _finished(sums: dict[str, Tensor], n_tokens: int, layer: int) -> LayerStats:
    for name, value in sums.items():
        if not value.isfinite().all():
            raise LLMRankError(
                f"activations of layer {layer} ({name}) are not finite; the model "
                "overflows here: use float32, or check its weights"
            )
    return LayerStats(
        input_norm=_norm(sums["input"]),
        up_norm=_norm(sums["up"]),
        neuron_norm=_norm(sums["neuron"]),
        neuron_mean=(sums["mean"] / n_tokens).float().cpu(),
        neuron_abs_mean=(sums["magnitude"] / n_tokens).float().cpu(),
        output_norm=_norm(sums["output"]),
        block_cosine=float(sums["cosine"]) / n_tokens,
        block_angle=float(sums["angle"]) / n_tokens,
    )


def _norm(squares: Tensor) -> Tensor:
    return squares.sqrt().float().cpu()
