"""A neuron's strongest edges, and the neurons that they lead to."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.analysis.neuron.neuron import Neuron, check, check_count
from llmrank.methods.pagerank import divide_or_zero
from llmrank.methods.pruning import descending
from llmrank.models import ffn
from llmrank.models.ffn import FFN
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True)
class Edge:
    """An edge between a residual dimension and the neuron.

    `weight` is signed. `share`: of the absolute weight of all edges that arrive at
    the neuron (or leave it). `share_of_residual`: of the absolute weight of all edges
    that leave the residual dimension into this layer (or arrive there from it).
    """

    residual: int
    weight: float
    share: float
    share_of_residual: float


@dataclass(frozen=True)
class Path:
    """All ways over the residual between two neurons of neighbouring layers.

    `flow`: of the mass that leaves the earlier neuron, the share that arrives at the
    later one when all of it follows the absolute weights (θ = γ = 1). `times_even`:
    the same in units of an even split over the later layer. `neuron` is the other end.
    """

    neuron: Neuron
    flow: float
    times_even: float


@dataclass(frozen=True)
class Edges:
    """The strongest edges, and the strongest paths of the chained graph.

    `following` and `preceding` are of the next and the previous layer; empty where
    there is none. Attention is no part of the graph.
    """

    incoming: tuple[Edge, ...]
    outgoing: tuple[Edge, ...]
    following: tuple[Path, ...]
    preceding: tuple[Path, ...]


@torch.inference_mode()
def edges(lm: LanguageModel, neuron: Neuron, n: int = 10) -> Edges:
    """Return a neuron's n strongest edges and paths on either side, strongest first.

    With Ŵ the absolute weights divided by their column sums, the flow from neuron j
    to neuron k of the next layer is `Ŵ_up_next[k, :] · Ŵ_down[:, j]`. Only weights
    count here: no activation, no number of edges. A gate is no edge.

    Raises:
        OptionError: no such neuron, or n below 1.

    Source: the edges of Hoffmann et al. 2024, arXiv 2410.13299, Eq. 7, with θ = γ = 1.
    """
    layers = ffn.ffns(lm.model)
    check(neuron, [layer.d_ff for layer in layers])
    check_count("n", n)
    here, j = layers[neuron.layer], neuron.index
    return Edges(
        incoming=_strongest(here.up[j], _absolute(here.up).sum(0), n),
        outgoing=_strongest(here.down[:, j], _absolute(here.down).sum(1), n),
        following=_following(layers, neuron, n),
        preceding=_preceding(layers, neuron, n),
    )


def _strongest(
    weights: Float[Tensor, " d_model"], totals: Float[Tensor, " d_model"], n: int
) -> tuple[Edge, ...]:
    """List the n edges largest in magnitude; a weight of zero is no edge.

    Args:
        weights: signed, between each residual dimension and the neuron.
        totals: the absolute weights at each residual dimension, of all neurons.
        n: at most so many.
    """
    signed, size = weights.float().cpu(), _absolute(weights).cpu()
    at_neuron = divide_or_zero(size, size.sum())
    at_residual = divide_or_zero(size, totals.cpu())
    return tuple(
        Edge(i, float(signed[i]), float(at_neuron[i]), float(at_residual[i]))
        for i in descending(size)[:n].tolist()
        if size[i] > 0
    )


def _following(layers: tuple[FFN, ...], neuron: Neuron, n: int) -> tuple[Path, ...]:
    if neuron.layer + 1 == len(layers):
        return ()
    size = _absolute(layers[neuron.layer].down[:, neuron.index])
    up = _absolute(layers[neuron.layer + 1].up)
    flow = up @ divide_or_zero(divide_or_zero(size, size.sum()), up.sum(0))
    return _paths(flow, neuron.layer + 1, len(flow), n)


def _preceding(layers: tuple[FFN, ...], neuron: Neuron, n: int) -> tuple[Path, ...]:
    if neuron.layer == 0:
        return ()
    up = _absolute(layers[neuron.layer].up)
    down = _absolute(layers[neuron.layer - 1].down)
    arriving = divide_or_zero(up[neuron.index], up.sum(0))
    flow = divide_or_zero(arriving @ down, down.sum(0))
    return _paths(flow, neuron.layer - 1, len(up), n)


def _paths(
    flow: Float[Tensor, " _"], layer: int, n_later: int, n: int
) -> tuple[Path, ...]:
    values = flow.cpu()
    return tuple(
        Path(Neuron(layer, k), float(values[k]), float(values[k]) * n_later)
        for k in descending(values)[:n].tolist()
        if values[k] > 0
    )


def _absolute(weights: Tensor) -> Tensor:
    return weights.float().abs()
