"""Which nodes stand at each place of the neuron graph, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.core.statistics import ranks
from llmrank.methods.pagerank import divide_or_zero
from llmrank.methods.pruning import descending, drop_mask
from llmrank.models.ffn import FFN

MAX_EDGES = 1000
"""What a browser moves fluently."""


@spec
class NetworkSpec:
    """Which part of the neuron graph is drawn."""

    layer: int = option(default=0, low=0, help="The first layer drawn")
    n_layers: int = option(
        default=1, low=1, high=3, help="Neighbouring layers drawn as one chain"
    )
    n_neurons: int = option(
        default=24, low=1, high=200, help="Neurons drawn of each layer"
    )
    which: Literal["highest", "lowest", "both", "boundary"] = option(
        default="both",
        help="Neurons by score; boundary: the last kept and the first dropped",
    )
    n_residual: int = option(
        default=16, low=1, high=100, help="Residual dimensions drawn at each place: "
        "half are the heaviest of the highest-ranked neuron drawn (or of the one drawn "
        "only because it is held), half have the most edge weight to all neurons drawn",
    )  # fmt: skip
    n_edges: int = option(
        default=MAX_EDGES, low=1, high=MAX_EDGES,
        help="Edges drawn: the strongest by absolute weight",
    )  # fmt: skip


class Layer(NamedTuple):
    """One layer, its scores in float64 and who is kept, on the CPU."""

    ffn: FFN
    score: Float[Tensor, " d_ff"]
    kept: Int[Tensor, " _"] | None


@dataclass(frozen=True)
class Column:
    """The nodes drawn at one place, top first; other tensors are of all there.

    `central` is the neuron whose own edges choose residual dimensions.
    """

    kind: str
    layer: int
    index: Int[Tensor, " _"]
    score: Float[Tensor, " n"]
    strength: Float[Tensor, " n"]
    dropped: Bool[Tensor, " n"]
    central: int = 0

    @property
    def groups(self) -> list[int]:
        """Number the runs of neighbouring ranks that share a fate; 0 of residuals."""
        if self.kind == "residual":
            return [0] * len(self.index)
        rank = ranks(self.score)[self.index]
        fate = self.dropped[self.index]
        begins = (rank.diff() != 1) | (fate[1:] != fate[:-1])
        return [0, *begins.cumsum(0).tolist()]


def sums(weights: Tensor, dim: int) -> Tensor:
    """Sum absolute weights along a dimension, in float64 on the CPU."""
    norms = torch.linalg.vector_norm(weights.detach(), 1, dim=dim, dtype=torch.float32)
    return norms.to("cpu", torch.float64)


def arranged(
    layers: Sequence[Layer],
    mass: Tensor | None,
    spec: NetworkSpec,
    also: tuple[int, int] | None,
) -> list[Column]:
    """Residual, neurons, residual and so on: one residual more than layers."""
    arriving = torch.ones(layers[0].ffn.up.shape[1]) if mass is None else mass
    neurons = [_neurons(layer, spec, also) for layer in layers]
    pairs = list(zip(neurons, [layer.ffn for layer in layers], strict=True))
    before = [(column, ffn.down.T) for column, ffn in pairs]
    after = [(column, ffn.up) for column, ffn in pairs]
    columns: list[Column] = []
    for i, mass in enumerate([arriving, *map(_passed_on, layers)]):
        sides = before[max(i - 1, 0) : i] + after[i : i + 1]
        columns += [_residual(spec.layer + i, sides, mass, spec), *neurons[i : i + 1]]
    return columns


def _passed_on(layer: Layer) -> Float[Tensor, " d_model"]:
    out_edges = layer.ffn.down.detach().abs().to("cpu", torch.float64)
    return out_edges @ divide_or_zero(layer.score, out_edges.sum(0))


def _neurons(layer: Layer, spec: NetworkSpec, also: tuple[int, int] | None) -> Column:
    order = descending(layer.score)
    marked = drop_mask(len(order), layer.kept)
    n_kept = len(order) - int(marked.sum())
    places = _places(len(order), min(spec.n_neurons, len(order)), n_kept, spec.which)
    central = int(order[places[0]])
    if also is not None and also[0] == layer.ffn.layer and also[1] < len(order):
        place = (order == also[1]).nonzero()[0]
        if int(place) not in places:  # else it is lit, and the picture stays
            central, places = also[1], torch.cat([places, place]).sort().values
    return Column(
        kind="neuron",
        layer=layer.ffn.layer,
        index=order[places],
        score=layer.score,
        strength=sums(layer.ffn.up, 1) + sums(layer.ffn.down, 0),
        dropped=marked,
        central=central,
    )


def _places(d_ff: int, n: int, n_kept: int, which: str) -> Tensor:
    """Return the places in the order of scores, 0 the highest, of the n to draw."""
    if which == "both":
        n_low = n // 2
        return torch.cat([torch.arange(n - n_low), torch.arange(d_ff - n_low, d_ff)])
    if which == "highest":
        return torch.arange(n)
    if which == "lowest":
        return torch.arange(d_ff - n, d_ff)
    first = min(max(n_kept - (n + 1) // 2, 0), d_ff - n)
    return torch.arange(first, first + n)


def _residual(
    layer: int,
    sides: Sequence[tuple[Column, Tensor]],
    arriving: Tensor,
    spec: NetworkSpec,
) -> Column:
    """Choose the dimensions with the most edge weight to the drawn neurons.

    First come the heaviest of the central neurons on either side: half of all.
    """
    mass = arriving.detach().to("cpu", torch.float64)
    score = mass / mass.sum() if mass.sum() > 0 else torch.ones_like(mass) / len(mass)
    shown, strength = torch.zeros_like(mass), torch.zeros_like(mass)
    for neurons, weights in sides:
        shown += sums(taken(weights, neurons.index, None), 0)
        strength += sums(weights, 0)
    for neurons, weights in sides:
        own = descending(weights[neurons.central].detach().abs().float())
        shown[own[: spec.n_residual // (2 * len(sides))].cpu()] = torch.inf
    chosen = shown.argsort(descending=True, stable=True)[: spec.n_residual]
    return Column(
        kind="residual",
        layer=layer,
        index=chosen[score[chosen].argsort(descending=True, stable=True)],
        score=score,
        strength=strength,
        dropped=torch.zeros(len(mass), dtype=torch.bool),
    )


def taken(weights: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Return some rows and columns of a matrix; None takes all."""
    if rows is not None:
        weights = weights[rows.to(weights.device)]
    return weights if columns is None else weights[:, columns.to(weights.device)]
