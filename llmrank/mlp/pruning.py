"""Every sparsity of a network at once: what a curve and a confusion matrix need."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from llmrank.methods.allocation import Allocation, Uniform
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, PruningSpec, descending, plan
from llmrank.mlp.network import Network, cut, predictions

DRAGGED = tuple(percent / 100 for percent in range(100))
"""The sparsities one can drag to: 0 to 99 %."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a network pruned to each of several sparsities takes every example for."""

    sparsities: tuple[float, ...]
    widths: tuple[tuple[int, ...], ...]
    """Neurons kept in each hidden layer, sparsity by sparsity."""

    n_params: tuple[int, ...]
    predictions: UInt8[Tensor, "n_sparsities n"]

    def accuracies(self, y: Int[Tensor, " n"]) -> tuple[float, ...]:
        """Return the share of examples taken for what they are, by sparsity."""
        return tuple((self.predictions == y).double().mean(1).tolist())


def prune(network: Network, plan: PruningPlan) -> Network:
    """Return the really smaller network of a plan."""
    if network.widths != plan.dense_widths:
        raise ValueError("the plan was made for a network with other widths")
    return cut(network, plan.keep)


def planned(
    scores: Scores, sparsity: float, allocation: Allocation = Uniform()
) -> PruningPlan:
    """Choose what stays: in every layer the same share, the highest scores."""
    return plan(scores, PruningSpec(sparsity=sparsity), allocation)


def sweep(
    network: Network,
    scores: Scores,
    x: Float[Tensor, "n d_in"],
    sparsities: Sequence[float] = DRAGGED,
) -> Sweep:
    """Prune to every sparsity and run the examples through what is left.

    Neurons are sorted by score once; each smaller network is then a prefix of the
    sorted one, which computes what the cut one computes.
    """
    orders = [descending(s) for s in scores.layers]
    ordered = cut(network, orders)
    widths = [planned(scores, s).widths for s in sparsities]
    known: dict[tuple[int, ...], tuple[Tensor, int]] = {}
    for kept in widths:
        if kept not in known:
            small = cut(ordered, [slice(n) for n in kept])
            known[kept] = predictions(small, x).to(torch.uint8), small.n_params
    return Sweep(
        tuple(sparsities),
        tuple(widths),
        tuple(known[kept][1] for kept in widths),
        torch.stack([known[kept][0] for kept in widths]),
    )
