"""From scores to a plan of what is kept, and from a plan to a smaller model."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmrank.calibration.activations import ActivationStats
from llmrank.core.notebook import Shown
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.allocation import (
    Allocation,
    AllocationInputs,
    Sensitivity,
    Uniform,
)
from llmrank.methods.criteria import Scores
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@spec
class PruningSpec:
    """How many neurons are dropped."""

    sparsity: float = option(
        default=0.3, low=0, below=1, help="Share of the FFN neurons that is removed"
    )
    multiple_of: int = option(
        default=1, low=1, high=1024,
        help="Round each layer's width up to a multiple (8, 32, 64 suit hardware)",
    )  # fmt: skip


@dataclass(frozen=True)
class PruningPlan(Shown):
    """Which neurons of each layer stay, ascending, and how many there were."""

    keep: tuple[Int[Tensor, " _"], ...]
    dense_widths: tuple[int, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons kept per layer."""
        return tuple(len(k) for k in self.keep)

    @property
    def n_dropped(self) -> int:
        """Neurons dropped in all layers."""
        return sum(self.dense_widths) - sum(self.widths)

    @property
    def sparsity(self) -> float:
        """The share of neurons really dropped, after rounding."""
        return self.n_dropped / sum(self.dense_widths)

    @property
    def uniform(self) -> bool:
        """Whether all layers keep the same number of neurons."""
        return len(set(self.widths)) == 1

    @property
    def drop(self) -> tuple[Int[Tensor, " _"], ...]:
        """Which neurons of each layer go, ascending."""
        return tuple(
            drop_mask(d, k).nonzero().flatten()
            for k, d in zip(self.keep, self.dense_widths, strict=True)
        )


def plan(
    scores: Scores,
    spec: PruningSpec = PruningSpec(),
    allocation: Allocation = Uniform(),
    *,
    stats: ActivationStats | None = None,
    sensitivity: Sensitivity | None = None,
    searched: tuple[int, ...] | None = None,
) -> PruningPlan:
    """Choose the neurons to keep: the highest scores; of equals the lower index.

    The allocation says how many each layer keeps; each width is then rounded up to
    `multiple_of`, at most d_ff, at least 1. Its `needs` name what must be given beside
    the scores: statistics, what each layer's cut costs, the widths a search found.

    Raises:
        LLMRankError: the allocation does not apply to this model.
        ValueError: what the allocation needs is not given.
    """
    known = AllocationInputs(scores, stats, sensitivity, searched)
    missing = [need for need in allocation.needs if getattr(known, need) is None]
    if missing:
        raise ValueError(
            f"allocation {allocation.name} needs {', '.join(sorted(missing))}"
        )
    dense = known.dense_widths
    kept = allocation.widths(known, spec.sparsity)
    pairs = zip(kept, dense, strict=True)
    return top(scores, [_rounded(k, n, spec.multiple_of) for k, n in pairs])


def top(scores: Scores, widths: Sequence[int]) -> PruningPlan:
    """Plan to keep the highest scores of each layer, so many as the widths say."""
    keep = tuple(
        descending(s)[:width].sort().values
        for s, width in zip(scores.layers, widths, strict=True)
    )
    return PruningPlan(keep, tuple(len(s) for s in scores.layers))


def prune(
    lm: LanguageModel, plan: PruningPlan, *, progress: Progress = silent
) -> LanguageModel:
    """Return a really smaller model; the dense one is untouched, the rest is shared.

    Raises:
        ValueError: the plan is of a model with other widths.
    """
    if ffn.widths(lm.model) != plan.dense_widths:
        raise ValueError("the plan was made for a model with other FFN widths")
    smaller = ffn.cut(lm.model, plan.keep, progress=progress)
    return dataclasses.replace(lm, model=smaller)


def descending(scores: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Order neurons from the highest score down; of equals the lower index first."""
    return torch.sort(scores, descending=True, stable=True).indices


def drop_mask(d_ff: int, keep: Tensor | None) -> Bool[Tensor, " d_ff"]:
    """Mark the neurons that go: those that do not stay, none where none is said to."""
    mask = torch.full((d_ff,), keep is not None)
    if keep is not None:
        mask[keep.cpu()] = False
    return mask


def _rounded(width: int, d_ff: int, multiple_of: int) -> int:
    return max(1, min(d_ff, math.ceil(width / multiple_of) * multiple_of))
