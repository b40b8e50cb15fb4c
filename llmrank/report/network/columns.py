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
        "half are the heaviest of the most central neuron (or of the one held), half "
        "have the most edge weight to all neurons drawn",
    )  # fmt: skip
    n_edges: int = option(
        default=MAX_EDGES, low=1, high=MAX_EDGES,
        help="Edges drawn: the strongest by absolute weight",
    )  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer, the sums of its absolute weights, and the mass that it passes on."""

    ffn: FFN
    score: Float[Tensor, " d_ff"]
    kept: Int[Tensor, " _"] | None
    up_by_neuron: Float[Tensor, " d_ff"]
    up_by_residual: Float[Tensor, " d_model"]
    down_by_neuron: Float[Tensor, " d_ff"]
    down_by_residual: Float[Tensor, " d_model"]
    passed_on: Float[Tensor, " d_model"]


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


class _Side(NamedTuple):
    """Neurons beside a residual, all weights between them, and those of each one."""

    neurons: Column
    weights: Float[Tensor, "d_ff d_model"]
    strength: Float[Tensor, " d_model"]


def summed(ffn: FFN, score: Tensor, kept: Tensor | None) -> Layer:
    """Sum a layer's absolute weights on every side."""
    score = score.detach().to("cpu", torch.float64)
    leaving = _sums(ffn.down, 0)
    out_edges = ffn.down.detach().abs().to("cpu", torch.float64)
    return Layer(
        ffn=ffn,
        score=score,
        kept=None if kept is None else kept.cpu(),
        up_by_neuron=_sums(ffn.up, 1),
        up_by_residual=_sums(ffn.up, 0),
        down_by_neuron=leaving,
        down_by_residual=_sums(ffn.down, 1),
        passed_on=out_edges @ divide_or_zero(score, leaving),
    )


def _sums(weights: Tensor, dim: int) -> Tensor:
    sums = torch.linalg.vector_norm(weights.detach(), 1, dim=dim, dtype=torch.float32)
    return sums.to("cpu", torch.float64)


def arranged(
    layers: Sequence[Layer],
    mass: Tensor | None,
    spec: NetworkSpec,
    also: tuple[int, int] | None,
) -> list[Column]:
    """Residual, neurons, residual and so on: one residual more than layers."""
    arriving = torch.ones(layers[0].ffn.up.shape[1]) if mass is None else mass
    neurons = [_neurons(layer, spec, also) for layer in layers]
    both = list(zip(neurons, layers, strict=True))
    before = [_Side(c, x.ffn.down.T, x.down_by_residual) for c, x in both]
    after = [_Side(c, x.ffn.up, x.up_by_residual) for c, x in both]
    columns: list[Column] = []
    for i, mass in enumerate([arriving, *(layer.passed_on for layer in layers)]):
        sides = before[max(i - 1, 0) : i] + after[i : i + 1]
        columns += [_residual(spec.layer + i, sides, mass, spec), *neurons[i : i + 1]]
    return columns


def _neurons(layer: Layer, spec: NetworkSpec, also: tuple[int, int] | None) -> Column:
    order = descending(layer.score)
    marked = drop_mask(len(order), layer.kept)
    n_kept = len(order) - int(marked.sum())
    places = _places(len(order), min(spec.n_neurons, len(order)), n_kept, spec.which)
    central = int(order[places[0]])
    if also is not None and also[0] == layer.ffn.layer and also[1] < len(order):
        central = also[1]
        places = torch.cat([places, (order == central).nonzero()[0]]).unique()
    return Column(
        kind="neuron",
        layer=layer.ffn.layer,
        index=order[places],
        score=layer.score,
        strength=layer.up_by_neuron + layer.down_by_neuron,
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
    layer: int, sides: Sequence[_Side], arriving: Tensor, spec: NetworkSpec
) -> Column:
    """Choose the dimensions with the most edge weight to the drawn neurons.

    First come the heaviest of the central neurons on either side: half of all.
    """
    mass = arriving.detach().to("cpu", torch.float64)
    score = mass / mass.sum() if mass.sum() > 0 else torch.ones_like(mass) / len(mass)
    rows = [taken(side.weights, side.neurons.index, None) for side in sides]
    shown = torch.stack([_sums(row, 0) for row in rows]).sum(0)
    for side in sides:
        own = descending(side.weights[side.neurons.central].detach().abs().float())
        shown[own[: spec.n_residual // (2 * len(sides))].cpu()] = torch.inf
    chosen = shown.argsort(descending=True, stable=True)[: spec.n_residual]
    return Column(
        kind="residual",
        layer=layer,
        index=chosen[score[chosen].argsort(descending=True, stable=True)],
        score=score,
        strength=torch.stack([side.strength for side in sides]).sum(0),
        dropped=torch.zeros(len(mass), dtype=torch.bool),
    )


def taken(weights: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Return some rows and columns of a matrix; None takes all."""
    if rows is not None:
        weights = weights[rows.to(weights.device)]
    return weights if columns is None else weights[:, columns.to(weights.device)]
