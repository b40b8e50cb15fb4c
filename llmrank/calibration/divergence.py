"""How far a changed model's next-token distributions are from the dense model's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.calibration.residual_stream import begin_at, enters
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent, track
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class DenseBatch:
    """One batch of windows as the dense model read it.

    `entering`: the residual stream before each block; `log_probs`: of every next
    token, in half precision, which is enough to compare with.
    """

    ids: Int[Tensor, "batch pos"]
    entering: tuple[Float[Tensor, "batch pos d_model"], ...]
    log_probs: Float[Tensor, "batch pos d_vocab"]


@torch.inference_mode()
def read(
    lm: LanguageModel,
    windows: Int[Tensor, "n_windows seq_len"],
    *,
    batch: int = 2,
    progress: Progress = silent,
) -> tuple[DenseBatch, ...]:
    """Read windows with the dense model, and keep what comparing needs."""
    model = ffn.shared_copy(lm.model)
    entering: list[Tensor] = []
    for block in ffn.blocks(model):
        enters(block, entering.append)
    batches = []
    for ids in track(windows.split(batch), "Reading with the dense model", progress):
        entering.clear()
        log_probs = _log_probs(model, ids.to(lm.device)).half()
        batches.append(DenseBatch(ids.to(lm.device), tuple(entering), log_probs))
    return tuple(batches)


@torch.inference_mode()
def divergence(
    lm: LanguageModel, reads: Sequence[DenseBatch], *, first_changed: int = 0
) -> float:
    """Return the mean KL divergence, dense from changed, in nats per token.

    Blocks before `first_changed` are as in the dense model, and not computed again.

    Raises:
        LLMRankError: the changed model's output is not finite.
    """
    model = ffn.shared_copy(lm.model)
    entering = begin_at(model, first_changed)
    total, n_tokens = 0.0, 0
    for one in reads:
        entering[:] = [one.entering[first_changed]]
        theirs = _log_probs(model, one.ids)
        ours = one.log_probs.float()
        total += float((ours.exp() * (ours - theirs)).sum())
        n_tokens += one.ids.numel()
    if total != total or total == float("inf"):
        raise LLMRankError(
            "the pruned model's output is not finite on calibration text; use float32, "
            "or prune less"
        )
    return max(0.0, total / n_tokens)


def _log_probs(model: Any, ids: Tensor) -> Tensor:
    return model(ids, use_cache=False).logits.float().log_softmax(-1)
