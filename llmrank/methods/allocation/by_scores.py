"""Allocations that look at the scores alone."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.methods.allocation.base import (
    ALLOCATIONS,
    Allocation,
    AllocationInputs,
    in_proportion,
    n_dropped,
    standardised,
)
from llmrank.methods.pagerank import distribution


@ALLOCATIONS.add("uniform")
@spec
class Uniform(Allocation):
    """The same share in each layer: the result opens in plain transformers.

    Source: Hoffmann et al. 2024, arXiv 2410.13299.
    """

    formula = r"k_l = d_l - \lfloor s\,d_l + \tfrac12 \rfloor"

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        return tuple(n - n_dropped(n, sparsity) for n in known.dense_widths)


@ALLOCATIONS.add("global")
@spec
class Global(Allocation):
    """One threshold over the scores of all layers, each layer's summing to 1.

    Source: the GlobalPruner of the code of arXiv 2410.13299.
    """

    formula = r"k_l = \#\{j : s_{lj} / \textstyle\sum_i s_{li} \ge \tau\}"

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        """Count who is above the threshold; of equals the earlier layer stays."""
        return _above_threshold(known.scores.normalised, sparsity)


@ALLOCATIONS.add("standardised")
@spec
class Standardised(Allocation):
    """One threshold over z-scores: each layer's scores less their mean, per spread.

    Source: An et al. 2023, arXiv 2312.11983 (FLAP), for FFN neurons; FLAP lets
    attention heads compete beside them. A layer keeps at least one neuron.
    """

    formula = r"k_l = \#\{j : (s_{lj} - \bar s_l) / \sigma_l \ge \tau\}"

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        """Count who is above the threshold; of equals the earlier layer stays."""
        z = [standardised(s) for s in known.scores.layers]
        return _above_threshold(z, sparsity)


@ALLOCATIONS.add("pq-index")
@spec
class PQIndex(Allocation):
    """Layers whose scores are spread evenly keep more: by their PQ index.

    Keeps in proportion to `(1 − I)^(pq/(q − p))`, scaled to the budget; the source
    prunes step by step and weights instead of neurons.

    Source: Diao et al. 2023, arXiv 2302.05601.
    """

    p: float = option(
        default=0.5, low=0.01, below=1,
        help="The smaller norm of the index, p < 1; the larger is q = 1",
    )  # fmt: skip

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        power = self.p / (1 - self.p)
        weights = [
            max(0.0, 1 - pq_index(s, p=self.p, q=1.0)) ** power
            for s in known.scores.layers
        ]
        return in_proportion(weights, known.dense_widths, sparsity)

    @property
    def formula(self) -> str:
        p = f"{self.p:g}"
        return (
            rf"I_l = 1 - d_l^{{1 - 1/{p}}} "
            rf"\frac{{\lVert s_l \rVert_{{{p}}}}}{{\lVert s_l \rVert_1}}, \qquad "
            rf"k_l \propto d_l\,(1 - I_l)^{{{self.p / (1 - self.p):.3g}}}"
        )


@ALLOCATIONS.add("effective")
@spec
class Effective(Allocation):
    """Each layer keeps its effective number of neurons, 1 / Σ s².

    Source: Effective Model Pruning, arXiv 2509.25606, which has no target: `own` does
    as it does, whatever the sparsity; `scaled` keeps the proportions and meets it.
    """

    budget: Literal["scaled", "own"] = option(
        default="scaled",
        help="scaled: in proportion to the effective numbers, the sparsity is met; "
        "own: exactly these numbers, whatever the sparsity",
    )

    @property
    def sets_sparsity(self) -> bool:
        return self.budget == "own"

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        n_effective = [effective_neurons(s) for s in known.scores.layers]
        dense = known.dense_widths
        if self.budget == "own":
            # all scores alike give n up to an error of the division
            return tuple(
                max(1, min(d, int(n + 1e-9 * d)))
                for n, d in zip(n_effective, dense, strict=True)
            )
        weights = [n / d for n, d in zip(n_effective, dense, strict=True)]
        return in_proportion(weights, dense, sparsity)

    @property
    def formula(self) -> str:
        n = r"1 / \textstyle\sum_j s_{lj}^2"
        return (
            rf"k_l = \lfloor {n} \rfloor" if self.sets_sparsity else rf"k_l \propto {n}"
        )


def effective_neurons(scores: Float[Tensor, " n"]) -> float:
    """Return the inverse Simpson index `1 / Σ s²` of scores that sum to 1.

    From 1 (one neuron has all) to n (all alike): how many equal neurons would be as
    concentrated. The scores are made to sum to 1 first; all zeros count as equal.

    Source: Simpson 1949, inverted; as a number of neurons to keep arXiv 2509.25606.
    """
    return 1 / float(distribution(scores.double()).square().sum())


def pq_index(scores: Float[Tensor, " n"], *, p: float = 0.5, q: float = 1.0) -> float:
    """Return `1 − n^(1/q − 1/p) ‖s‖_p / ‖s‖_q`: larger means more compressible.

    From 0 (all scores alike) towards 1 (one neuron has all); scale does not matter.

    Args:
        scores: non-negative; all zeros count as equal.
        p: positive and below q; ½ and 1 are what the source prunes with.
        q: above p.

    Raises:
        ValueError: not 0 < p < q.

    Source: Diao et al. 2023, arXiv 2302.05601: the PQ index.
    """
    if not 0 < p < q:
        raise ValueError(f"p and q must satisfy 0 < p < q, got p={p}, q={q}")
    s = distribution(scores.double())
    norm_p, norm_q = (float(s.pow(e).sum()) ** (1 / e) for e in (p, q))
    return 1 - len(s) ** (1 / q - 1 / p) * norm_p / norm_q


def _above_threshold(
    comparable: Sequence[Float[Tensor, " _"]], sparsity: float
) -> tuple[int, ...]:
    every = torch.cat(tuple(comparable))
    layer_of = torch.cat(
        [torch.full((len(s),), layer) for layer, s in enumerate(comparable)]
    )
    ranked = torch.sort(every, descending=True, stable=True).indices
    kept = ranked[: len(every) - n_dropped(len(every), sparsity)]
    counts = torch.bincount(layer_of[kept], minlength=len(comparable))
    return tuple(int(c) for c in counts)
