"""Allocations by what each block does to the residual stream while text is read."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.methods.allocation.base import (
    ALLOCATIONS,
    Allocation,
    AllocationInputs,
    Evidence,
    in_proportion,
    standardised,
)

STATS: frozenset[Evidence] = frozenset({"stats"})


@ALLOCATIONS.add("block-influence")
@spec
class BlockInfluence(Allocation):
    """Blocks that turn the residual stream further keep more of their neurons.

    The influence of a block is the angle between its input and its output, averaged
    over tokens; z-scores of it pass through a sigmoid, and layers keep in proportion.

    Source: Wang et al. 2024, arXiv 2409.13199 (CFSP), the coarse part. There angles
    are summed and centred; we also divide by their spread, so that neither the number
    of tokens nor the model decides how steep the sigmoid is.
    """

    needs: ClassVar[frozenset[Evidence]] = STATS
    steepness: float = option(
        default=0.5, low=0, high=5,
        help="How much influence counts: 0 is uniform",
    )  # fmt: skip

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        assert known.stats is not None
        angles = torch.tensor([s.block_angle for s in known.stats.layers])
        weights = torch.sigmoid(self.steepness * standardised(angles))
        return in_proportion(weights.tolist(), known.dense_widths, sparsity)

    @property
    def formula(self) -> str:
        return (
            r"I_l = \tfrac1\pi \arccos\cos(h_l, h_{l+1}), \qquad "
            rf"k_l \propto d_l\,\sigma\bigl({self.steepness:g}\,(I_l - \bar I)"
            r"/\sigma_I\bigr)"
        )


@ALLOCATIONS.add("similarity")
@spec
class Similarity(Allocation):
    """Blocks whose output resembles their input lose more of their neurons.

    Layer sparsity = the asked sparsity − amplitude × importance; importance is
    1 − cosine of input and output, centred and scaled into [−1, 1].

    Source: Adapt-Pruner, arXiv 2502.03460, which prunes in many small steps with
    amplitude 0.02; for one step a larger one is allowed. Layers that would lose all or
    less than nothing are clipped, and the others make up for it.
    """

    needs: ClassVar[frozenset[Evidence]] = STATS
    amplitude: float = option(
        default=0.1, low=0, high=1,
        help="How much the sparsity of a layer may differ from the mean",
    )  # fmt: skip

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        assert known.stats is not None
        cosines = [s.block_cosine for s in known.stats.layers]
        importance = _centred(1 - torch.tensor(cosines, dtype=torch.float64))
        kept = (1 - sparsity + self.amplitude * importance).clamp(min=0, max=1)
        return in_proportion(kept.tolist(), known.dense_widths, sparsity)

    @property
    def formula(self) -> str:
        return (
            rf"s_l = s - {self.amplitude:g}\,\frac{{c_l - \bar c}}"
            r"{\max_i |c_i - \bar c|}, \qquad c_l = 1 - \cos(h_l, h_{l+1})"
        )


def _centred(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    centred = values - values.mean()
    largest = centred.abs().max()
    return centred / largest if largest > 0 else centred
