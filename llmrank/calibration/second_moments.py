"""Second moments of a layer's neurons over calibration tokens: what repairs solve."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmrank.calibration.activations import BATCH_TOKENS
from llmrank.calibration.residual_stream import StopWalkError, run
from llmrank.core.devices import free_bytes
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

HELD_OUT = 8
"""One window in so many is held out, to choose how strongly to regularise."""

SHARE_OF_MEMORY = 0.25
"""Of the memory free on the model's device, what the matrices of one pass may take."""


@dataclass(frozen=True, eq=False)
class Moments:
    """`Σ x xᵀ` of one layer's neuron vectors (the input of `down`), in two parts.

    `fitted` sums over most tokens, `held_out` over the rest, on which the strength of
    a repair is chosen; without a second window the latter is None.
    """

    fitted: Float[Tensor, "d_ff d_ff"]
    held_out: Float[Tensor, "d_ff d_ff"] | None
    n_tokens: int

    @property
    def total(self) -> Float[Tensor, "d_ff d_ff"]:
        """The sum over all tokens."""
        return self.fitted if self.held_out is None else self.fitted + self.held_out


@torch.inference_mode()
def moments(
    lm: LanguageModel,
    windows: Int[Tensor, "n_windows seq_len"],
    *,
    at_once: int | None = None,
    progress: Progress = silent,
) -> Iterator[Moments]:
    """Yield each layer's second moments, first layer first.

    As many layers share a pass over the text as a quarter of the free memory holds the
    matrices of, or `at_once`; with little memory that is one, and the text is read once
    per layer.

    Raises:
        LLMRankError: not even one layer's matrices fit, or values are not finite.
    """
    widths = ffn.widths(lm.model)
    size = at_once or _at_once(max(widths), lm.device)
    groups = [range(a, min(a + size, len(widths))) for a in range(0, len(widths), size)]
    n_held = len(windows) // HELD_OUT
    parts = (windows[n_held:], windows[:n_held])
    per_batch = max(1, BATCH_TOKENS // windows.shape[1])
    n_batches = sum(-(-len(p) // per_batch) for p in parts)
    done = 0
    for group in groups:
        sums: list[dict[int, Tensor]] = []
        for part in parts:
            moments_of: dict[int, Tensor] = {}
            model = _hooked(lm, group, moments_of)
            for batch in part.split(per_batch) if len(part) else ():
                progress("Reading second moments", done, n_batches * len(groups))
                run(model, batch.to(lm.device))
                done += 1
            sums.append(moments_of)
        for layer in group:
            held_out = sums[1].pop(layer, None)
            yield _checked(layer, sums[0].pop(layer), held_out, windows.numel())
    progress("Reading second moments", done, done)


def _hooked(
    lm: LanguageModel, group: Sequence[int], sums: dict[int, Tensor]
) -> nn.Module:
    model = ffn.shared_copy(lm.model)
    every = ffn.projections(model)

    def hook(layer: int) -> Any:
        def on_down(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].flatten(0, -2).float()
            if layer in sums:
                sums[layer].addmm_(x.T, x)
            else:
                sums[layer] = x.T @ x
            if layer == group[-1]:
                raise StopWalkError

        return on_down

    for layer in group:
        every[layer].down.register_forward_pre_hook(hook(layer))
    return model


def has_room(lm: LanguageModel, *, copies: int = 1) -> bool:
    """Whether a matrix for every layer, or several, may be held in memory."""
    needed = copies * sum(4 * d * d for d in ffn.widths(lm.model))
    return needed < SHARE_OF_MEMORY * (free_bytes(lm.device) or 0)


def _at_once(d_ff: int, device: torch.device) -> int:
    has = free_bytes(device)
    if has is None:
        return 1
    free, one = has * SHARE_OF_MEMORY, 2 * 4 * d_ff * d_ff
    if free < one:
        raise LLMRankError(
            f"the second moments of one layer of {d_ff:,} neurons need "
            f"{one / 1e9:.2f} GB, and a quarter of what {device} has free is "
            f"{free / 1e9:.2f} GB; close what needs memory, or choose repair none"
        )
    return int(free // one)


def _checked(
    layer: int,
    fitted: Float[Tensor, "d_ff d_ff"],
    held_out: Float[Tensor, "d_ff d_ff"] | None,
    n_tokens: int,
) -> Moments:
    for matrix in (fitted, held_out):
        if matrix is not None and not matrix.isfinite().all():
            raise LLMRankError(
                f"the second moments of layer {layer} are not finite; the model "
                "overflows here: use float32, or choose repair none"
            )
    return Moments(fitted, held_out, n_tokens)
