"""What an allocation is, what it may look at, and how a budget is divided exactly."""

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.calibration.activations import ActivationStats
from llmrank.core.errors import LLMRankError
from llmrank.core.registry import Registry
from llmrank.methods.criteria import Scores

Evidence = Literal["stats", "sensitivity", "searched"]
"""Beside the scores: calibration, what each layer's cut costs, what a search found."""


@dataclass(frozen=True)
class Sensitivity:
    """What cutting one layer alone costs, at several shares of its neurons.

    `costs`: nats per token above the dense model on the same calibration tokens, for
    each layer and share; `sparsities` ascends from 0, where nothing is lost.
    """

    sparsities: tuple[float, ...]
    costs: Float[Tensor, "n_layers n_shares"]
    n_tokens: int

    def cost(self, layer: int, sparsity: float) -> float:
        """Read a layer's cost between the measured shares, on straight lines.

        Beyond the last share its last line goes on.
        """
        own = self.costs[layer].cummax(0).values.tolist()  # noise does not repay
        at = bisect.bisect_right(self.sparsities, sparsity)
        right = min(max(at, 1), len(own) - 1)
        x0, x1 = self.sparsities[right - 1 : right + 1]
        slope = (own[right] - own[right - 1]) / (x1 - x0)
        return own[right - 1] + slope * (sparsity - x0)


@dataclass(frozen=True)
class AllocationInputs:
    """What an allocation may look at; what it does not need may be missing."""

    scores: Scores
    stats: ActivationStats | None = None
    sensitivity: Sensitivity | None = None
    searched: tuple[int, ...] | None = None

    @property
    def dense_widths(self) -> tuple[int, ...]:
        """Neurons per layer before anything is removed."""
        return tuple(len(s) for s in self.scores.layers)


class Allocation(ABC):
    """A way to divide the neurons that stay among the layers."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[Evidence]] = frozenset()

    @property
    def searches(self) -> bool:
        """Whether its widths are found by trial, for one sparsity at a time."""
        return "searched" in self.needs

    @property
    def sets_sparsity(self) -> bool:
        """Whether its widths are its own, whatever the sparsity asked for."""
        return False

    @abstractmethod
    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        """Return how many neurons each layer keeps, before any rounding.

        Raises:
            LLMRankError: it does not apply to this model or this sparsity.
        """

    @property
    @abstractmethod
    def formula(self) -> str:
        """The rule in LaTeX, with the current values of the parameters in it."""


ALLOCATIONS: Registry[type[Allocation]] = Registry(
    "allocation", "How many neurons each layer keeps"
)
allocation = ALLOCATIONS.build


def n_dropped(n: int, sparsity: float) -> int:
    """Return how many of n neurons a sparsity removes: halves are rounded up."""
    return math.floor(sparsity * n + 0.5)


def in_proportion(
    weights: Sequence[float], dense: Sequence[int], sparsity: float
) -> tuple[int, ...]:
    """Keep of each layer a share in proportion to its weight, the total exactly.

    A layer keeps at least one neuron and at most all; what a full layer cannot take
    goes to the others, still in proportion. Of equal remainders the earlier layer is
    served first. Weights are not negative, and only their ratios count.

    Raises:
        LLMRankError: a weight is not finite, or all are zero.
    """
    _check(weights)
    total = max(len(dense), sum(dense) - n_dropped(sum(dense), sparsity))
    wanted = [w * d for w, d in zip(weights, dense, strict=True)]
    low, high = 0.0, sum(dense) / min(w for w in wanted if w > 0)
    for _ in range(200):  # bisection of the one factor that meets the total
        factor = (low + high) / 2
        if sum(_clipped(factor, wanted, dense)) < total:
            low = factor
        else:
            high = factor
    return _whole(_clipped(high, wanted, dense), dense, total)


def _clipped(
    factor: float, wanted: Sequence[float], dense: Sequence[int]
) -> list[float]:
    pairs = zip(wanted, dense, strict=True)
    return [min(float(d), max(1.0, factor * w)) for w, d in pairs]


def _whole(
    shares: Sequence[float], dense: Sequence[int], total: int
) -> tuple[int, ...]:
    """Round to whole neurons that sum to the total: largest remainders first."""
    kept = [math.floor(s) for s in shares]
    remainders = [s - k for s, k in zip(shares, kept, strict=True)]
    order = sorted(range(len(kept)), key=lambda i: -remainders[i])
    while sum(kept) != total:
        step = 1 if sum(kept) < total else -1
        for i in order if step > 0 else reversed(order):
            if sum(kept) != total and 1 <= kept[i] + step <= dense[i]:
                kept[i] += step
    return tuple(kept)


def _check(weights: Sequence[float]) -> None:
    if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
        raise LLMRankError(
            "no width follows from these measurements: a layer's weight is not a "
            "finite number of at least 0, or all are 0; choose another allocation"
        )


def standardised(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return z-scores in doubles; zeros where all values are equal."""
    centred = values.double() - values.double().mean()
    spread = centred.square().mean().sqrt()
    return centred / spread if spread > 0 else torch.zeros_like(centred)
