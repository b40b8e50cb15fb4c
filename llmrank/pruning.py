"""From scores to a plan of what is kept, and from a plan to a smaller model."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank import ffn
from llmrank.criteria import Scores
from llmrank.models import LanguageModel
from llmrank.options import option, spec
from llmrank.progress import Progress, silent


@spec
class PruningSpec:
    """How many neurons are dropped, and from where."""

    sparsity: float = option(
        default=0.3, low=0, below=1, help="Share of the FFN neurons that is removed"
    )
    scope: Literal["layer", "global"] = option(
        default="layer",
        help="layer: the same share in each layer (exports as a plain checkpoint); "
        "global: one threshold over all layers' normalised scores",
    )
    multiple_of: int = option(
        default=1, low=1, high=1024,
        help="Round each layer's width up to a multiple (8, 32, 64 suit hardware)",
    )  # fmt: skip


@dataclass(frozen=True)
class PruningPlan:
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
            _complement(k, d) for k, d in zip(self.keep, self.dense_widths, strict=True)
        )


def plan(
    scores: Scores,
    spec: PruningSpec = PruningSpec(),
) -> PruningPlan:
    """Choose the neurons to keep: the highest scores; of equals the lower index.

    `floor(sparsity · n + 0.5)` neurons are dropped per layer (`layer`) or in all
    (`global`); each width is then rounded up to `multiple_of`, at most d_ff, at
    least 1.
    """
    dense = tuple(len(s) for s in scores.layers)
    if spec.scope == "layer":
        kept = tuple(n - _n_dropped(n, spec.sparsity) for n in dense)
    else:
        kept = _global_widths(scores.normalised, spec.sparsity)
    widths = [
        _rounded(k, n, spec.multiple_of) for k, n in zip(kept, dense, strict=True)
    ]
    keep = tuple(
        descending(s)[:width].sort().values
        for s, width in zip(scores.layers, widths, strict=True)
    )
    return PruningPlan(keep, dense)


def prune(
    lm: LanguageModel, by: PruningPlan, *, progress: Progress = silent
) -> LanguageModel:
    """Return a really smaller model; the dense one is untouched, the rest is shared.

    Raises:
        ValueError: the plan is of a model with other widths.
    """
    if ffn.widths(lm.model) != by.dense_widths:
        raise ValueError("the plan was made for a model with other FFN widths")
    return dataclasses.replace(lm, model=ffn.cut(lm.model, by.keep, progress=progress))


def descending(scores: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Order neurons from the highest score down; of equals the lower index first."""
    return torch.sort(scores, descending=True, stable=True).indices


def _n_dropped(n: int, sparsity: float) -> int:
    return math.floor(sparsity * n + 0.5)


def _global_widths(
    normalised: Sequence[Float[Tensor, " _"]], sparsity: float
) -> tuple[int, ...]:
    every = torch.cat(tuple(normalised))
    layer_of = torch.cat(
        [torch.full((len(s),), layer) for layer, s in enumerate(normalised)]
    )
    kept = descending(every)[: len(every) - _n_dropped(len(every), sparsity)]
    counts = torch.bincount(layer_of[kept], minlength=len(normalised))
    return tuple(int(c) for c in counts)


def _rounded(width: int, d_ff: int, multiple_of: int) -> int:
    return max(1, min(d_ff, math.ceil(width / multiple_of) * multiple_of))


def _complement(kept: Tensor, d_ff: int) -> Tensor:
    dropped = torch.ones(d_ff, dtype=torch.bool)
    dropped[kept] = False
    return dropped.nonzero().flatten()
