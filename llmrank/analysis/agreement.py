"""How far two criteria agree: on ranks, on what is dropped; and the extreme neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.statistics import average_ranks, rank_correlation, ranks
from llmrank.methods.pruning import PruningPlan


@dataclass(frozen=True)
class Overlap:
    """How many neurons are dropped by a, by b, and by both."""

    n_a: int
    n_b: int
    n_both: int

    @property
    def share(self) -> float | None:
        """The share of a's dropped neurons that b drops too; None if a drops none."""
        return self.n_both / self.n_a if self.n_a else None

    @property
    def jaccard(self) -> float | None:
        """The share of what either drops that both drop; None if both drop none."""
        either = self.n_a + self.n_b - self.n_both
        return self.n_both / either if either else None


@dataclass(frozen=True)
class Agreement:
    """Rank correlation and overlap of two criteria, by layer and over all neurons.

    A correlation is None where it is not defined: one neuron, or all scores equal.
    """

    spearman: tuple[float | None, ...]
    overlaps: tuple[Overlap, ...]
    total_spearman: float | None
    total: Overlap


def agreement(
    scores_a: Sequence[Float[Tensor, " _"]],
    scores_b: Sequence[Float[Tensor, " _"]],
    plan_a: PruningPlan,
    plan_b: PruningPlan,
) -> Agreement:
    """Compare two criteria layer by layer, and over all neurons at once.

    `total_spearman` ranks all neurons together by their scores as they are, as one
    global threshold would.
    """
    pairs = list(zip(scores_a, scores_b, strict=True))
    overlaps = [overlap(a, b) for a, b in zip(plan_a.drop, plan_b.drop, strict=True)]
    return Agreement(
        spearman=tuple(rank_correlation(a, b) for a, b in pairs),
        overlaps=tuple(overlaps),
        total_spearman=rank_correlation(_joined(scores_a), _joined(scores_b)),
        total=Overlap(
            n_a=sum(o.n_a for o in overlaps),
            n_b=sum(o.n_b for o in overlaps),
            n_both=sum(o.n_both for o in overlaps),
        ),
    )


def correlations(scores: Mapping[str, Sequence[Float[Tensor, " _"]]]) -> pd.DataFrame:
    """Return Spearman's coefficient of each two criteria, its mean over the layers.

    Neurons compete within their layer. A layer in which one of the two scores all
    neurons alike says nothing and is left out; NaN where no layer says anything.
    """
    squares = [
        pd.DataFrame(
            {name: s.cpu().numpy() for name, s in zip(scores, layer, strict=True)}
        ).corr(method="spearman")
        for layer in zip(*scores.values(), strict=True)
    ]
    return pd.concat(squares).groupby(level=0, sort=False).mean()


def overlap(drop_a: Int[Tensor, " _"], drop_b: Int[Tensor, " _"]) -> Overlap:
    """Count the dropped neurons of one layer, by index: in a, in b, in both."""
    both = torch.isin(drop_a.cpu(), drop_b.cpu()).sum()
    return Overlap(n_a=len(drop_a), n_b=len(drop_b), n_both=int(both))


def disagreements(
    scores_a: Sequence[Float[Tensor, " _"]],
    scores_b: Sequence[Float[Tensor, " _"]],
    n: int,
) -> pd.DataFrame:
    """List the n neurons whose place in their layer two criteria see most differently.

    Places are compared as shares of the layer's width, so that a wide layer counts no
    more than a narrow one; equal scores share the mean of their places, so that no
    order by index is taken for an opinion.

    Returns:
        Columns layer, neuron, rank_a and rank_b (1 = the highest of its layer; of
        equals the lower index first) and apart (in [-1, 1], above 0 where a ranks the
        neuron higher than b), the largest in size first.
    """
    pairs = zip(scores_a, scores_b, strict=True)
    table = pd.concat(
        [_disagreement(layer, a, b) for layer, (a, b) in enumerate(pairs)],
        ignore_index=True,
    )
    order = table["apart"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order[:n]].reset_index(drop=True)


def extremes(scores: Sequence[Float[Tensor, " _"]], n: int) -> pd.DataFrame:
    """List the n highest and the n lowest neurons of the model, highest first.

    The scores of a layer sum to 1. Layers are compared by `times_uniform`, the score in
    units of the layer's mean, so that a wide layer is not called unimportant. No neuron
    is listed twice.

    Returns:
        Columns extreme (highest, lowest), layer, neuron, score, times_uniform and rank
        (1 = the highest of its layer).
    """
    table = pd.concat([_neurons(layer, s) for layer, s in enumerate(scores)])
    table = table.sort_values("times_uniform", ascending=False, kind="stable")
    n_high = min(n, len(table))
    n_low = min(n, len(table) - n_high)
    shown = pd.concat([table.head(n_high), table.tail(n_low)], ignore_index=True)
    shown.insert(0, "extreme", ["highest"] * n_high + ["lowest"] * n_low)
    return shown


def _neurons(layer: int, scores: Tensor) -> pd.DataFrame:
    values = scores.to("cpu", torch.float64)
    return pd.DataFrame(
        {
            "layer": layer,
            "neuron": range(len(values)),
            "score": values.numpy(),
            "times_uniform": (values * len(values)).numpy(),
            "rank": ranks(scores).numpy(),
        }
    )


def _disagreement(layer: int, a: Tensor, b: Tensor) -> pd.DataFrame:
    steps = max(len(a) - 1, 1)  # the highest and the lowest place are 1 apart
    return pd.DataFrame(
        {
            "layer": layer,
            "neuron": range(len(a)),
            "rank_a": ranks(a).numpy(),
            "rank_b": ranks(b).numpy(),
            "apart": ((average_ranks(a) - average_ranks(b)) / steps).numpy(),
        }
    )


def _joined(scores: Sequence[Tensor]) -> Tensor:
    return torch.cat([s.to("cpu", torch.float64) for s in scores])
