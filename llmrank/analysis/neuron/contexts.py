"""The calibration text as a neuron sees it: where it fires, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmrank.analysis.neuron.neuron import Neuron, check, check_count
from llmrank.analysis.neuron.tokens import token_strings
from llmrank.calibration.activations import BATCH_TOKENS, CalibrationSpec, drawn
from llmrank.calibration.residual_stream import run
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent, track
from llmrank.methods.pruning import descending
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

MAX_TOKENS = 65_536
"""Of a larger calibration only the first windows are read: minutes, not hours."""

ACTIVE = 0.1
"""From this share of its largest magnitude on a neuron counts as active."""


@dataclass(frozen=True)
class Context:
    """Some tokens of one window and the neuron's signed activation on each.

    `peak` is the place among them where the activation is largest in magnitude;
    `window` and `start` say where they stand in the calibration text as sampled.
    """

    window: int
    start: int
    peak: int
    tokens: tuple[str, ...]
    activations: Float[Tensor, " n"]

    @property
    def activation(self) -> float:
        """The signed activation at the peak."""
        return float(self.activations[self.peak])


@dataclass(frozen=True)
class Firing:
    """One neuron on the calibration text: the strongest contexts first, and all of it.

    `activations` is the neuron's own signal, the input of `down`, on every token.
    `n_calibration_tokens` is what the calibration has; fewer are read if it is large.
    """

    neuron: Neuron
    contexts: tuple[Context, ...]
    activations: Float[Tensor, "n_windows seq_len"]
    n_calibration_tokens: int
    text_source: str

    @property
    def n_tokens(self) -> int:
        """How many tokens were read."""
        return self.activations.numel()

    @property
    def mean(self) -> float:
        """The mean signed activation."""
        return float(self.activations.double().mean())

    @property
    def norm(self) -> float:
        """The L2 norm over the tokens read: of all, calibration's `neuron_norm`."""
        return float(torch.linalg.vector_norm(self.activations.double()))

    @property
    def active_share(self) -> float:
        """The share of tokens with at least a tenth of the largest magnitude.

        Smooth activations are never exactly zero, so that a share of what is not zero
        would say nothing. 0 for a neuron that never fires.
        """
        size = self.activations.abs()
        return float(((size >= ACTIVE * size.max()) & (size > 0)).double().mean())

    def quantile(self, share: float) -> float:
        """Return the signed activation that the share of tokens does not exceed."""
        return float(self.activations.double().quantile(share))


@torch.inference_mode()
def firing(
    lm: LanguageModel,
    spec: CalibrationSpec,
    neurons: Sequence[Neuron],
    *,
    n_contexts: int = 8,
    width: int = 24,
    progress: Progress = silent,
) -> tuple[Firing, ...]:
    """Read calibration's windows once and note when each of the neurons fires.

    Args:
        lm: the dense model.
        spec: the windows are those that `calibrate` reads, in their order.
        neurons: of any layers; one pass serves all.
        n_contexts: kept per neuron, without overlap; those around the largest
            magnitudes. Fewer where the text is short or the neuron silent.
        width: tokens of a context; fewer at the edge of a window.
        progress: called per batch; may cancel.

    Raises:
        OptionError: no such neuron, or a count below 1.
        LLMRankError: the text is unusable, or an activation is not finite.
    """
    for neuron in neurons:
        check(neuron, ffn.widths(lm.model))
    check_count("n_contexts", n_contexts)
    check_count("width", width)
    source, windows = drawn(lm, spec)
    read = windows[: max(1, MAX_TOKENS // windows.shape[1])]
    return tuple(
        Firing(
            neuron=neuron,
            contexts=_contexts(lm.tokenizer, read, signal, n_contexts, width),
            activations=signal,
            n_calibration_tokens=windows.numel(),
            text_source=source.source,
        )
        for neuron, signal in zip(
            neurons, activations(lm, read, neurons, progress=progress), strict=True
        )
    )


@torch.inference_mode()
def activations(
    lm: LanguageModel,
    windows: Int[Tensor, "n_windows seq_len"],
    neurons: Sequence[Neuron],
    *,
    progress: Progress = silent,
) -> tuple[Float[Tensor, "n_windows seq_len"], ...]:
    """Return what each neuron hands to `down` on every token, signed.

    The tokens run through a twin that ends after the last layer asked for.

    Raises:
        LLMRankError: an activation is not finite (naming the layer).
    """
    model = ffn.shared_copy(lm.model)
    # no earlier neuron depends on what lies behind the last layer asked for
    del ffn.blocks(model)[1 + max((n.layer for n in neurons), default=0) :]
    seen = [_watched(model, neuron) for neuron in neurons]
    size = max(1, BATCH_TOKENS // windows.shape[1])
    for chunk in track(windows.split(size), "Reading calibration text", progress):
        run(model, chunk.to(lm.device))
    signals = tuple(torch.cat(s).view(windows.shape) for s in seen)
    for neuron, signal in zip(neurons, signals, strict=True):
        if not signal.isfinite().all():
            raise LLMRankError(
                f"activations of layer {neuron.layer} are not finite; the model "
                "overflows here: use float32, or check its weights"
            )
    return signals


def _watched(model: nn.Module, neuron: Neuron) -> list[Tensor]:
    """Hook one neuron; the list grows by a flat batch with every forward pass."""
    seen: list[Tensor] = []

    def on_down(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0][..., neuron.index].flatten().float().cpu())

    ffn.projections(model)[neuron.layer].down.register_forward_pre_hook(on_down)
    return seen


def _contexts(
    tokenizer: Any, windows: Tensor, signal: Tensor, n_contexts: int, width: int
) -> tuple[Context, ...]:
    contexts = [
        Context(
            window=window,
            start=start,
            peak=int(signal[window, start:stop].abs().argmax()),
            tokens=token_strings(tokenizer, windows[window, start:stop].tolist()),
            activations=signal[window, start:stop],
        )
        for window, start, stop in _spans(signal, n_contexts, width)
    ]
    return tuple(sorted(contexts, key=lambda c: abs(c.activation), reverse=True))


def _spans(
    signal: Float[Tensor, "n_windows seq_len"], n_contexts: int, width: int
) -> list[tuple[int, int, int]]:
    """Choose windows and ranges in them, from the largest magnitude down.

    A place whose range would overlap a chosen one is passed over, and may then lie in
    the range of a weaker one: the peak of a context is looked up again.
    """
    size, seq_len = signal.abs().flatten(), signal.shape[1]
    spans: list[tuple[int, int, int]] = []
    for place in descending(size).tolist():
        if len(spans) == n_contexts or size[place] == 0:
            break
        window, peak = divmod(place, seq_len)
        start, stop = _around(peak, width, seq_len)
        if all(w != window or stop <= a or b <= start for w, a, b in spans):
            spans.append((window, start, stop))
    return spans


def _around(peak: int, width: int, seq_len: int) -> tuple[int, int]:
    """Place most of the width before the peak: later tokens cannot have caused it."""
    start = max(0, peak - (width - 1) * 3 // 4)
    return start, min(seq_len, start + width)
