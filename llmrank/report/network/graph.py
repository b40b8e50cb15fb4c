"""The neuron graph of one FFN layer or of neighbouring ones, small enough to see."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import networkx as nx
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.errors import OptionError
from llmrank.core.specs import described
from llmrank.core.statistics import ranks
from llmrank.models.ffn import FFN
from llmrank.report.network.columns import (
    Column,
    Layer,
    NetworkSpec,
    arranged,
    sums,
    taken,
)

MAX_NODES = 300
"""What a browser moves fluently, with `MAX_EDGES`."""

WIDTH, HEIGHT = 1500.0, 1000.0
"""The frame that x and y fill."""

GAP = 1.4
"""Rows left free above a group of neurons, for its name: of many more."""

Edge = tuple[str, str, dict[str, Any]]


def network(
    ffns: Sequence[FFN],
    scores: Sequence[Float[Tensor, " _"]],
    keep: Sequence[Int[Tensor, " _"]] | None,
    spec: NetworkSpec,
    *,
    mass: Float[Tensor, " d_model"] | None = None,
    also: tuple[int, int] | None = None,
) -> nx.DiGraph:
    """Build the layered graph: residual, neurons, residual, neurons and so on.

    Nodes carry kind (residual or neuron), layer (of a residual: the layer it enters,
    one past the last at the end), index, size (how many the whole place has), label,
    score, rank (1 = highest of the place), group (which run of neighbouring ranks, all
    kept or all dropped), strength (the sum of the absolute weights
    of all its edges, drawn or not), dropped, x and y. The score of a residual is the
    mass that reaches it: `mass` before the first layer, then the scores of the layer
    before, carried along `share`. Edges carry layer, weight (absolute), signed and
    share (of all that leaves the source: the column-normalised edge of the PageRank).

    Args:
        ffns: of all layers.
        scores: of all layers, each summing to 1.
        keep: the kept neurons of all layers; None marks none as dropped.
        spec: what is drawn.
        mass: of the residual before the first layer, at least 0; None is uniform.
        also: layer and index of a neuron that is drawn whatever its score.

    Raises:
        OptionError: layers that are not there, more than 300 nodes, or a boundary
            without a plan.
    """
    _check(len(ffns), keep is not None, spec)
    layers = [
        Layer(
            ffns[i],
            scores[i].detach().to("cpu", torch.float64),
            None if keep is None else keep[i].cpu(),
        )
        for i in range(spec.layer, spec.layer + spec.n_layers)
    ]
    columns = arranged(layers, mass, spec, also)
    n_nodes = sum(len(column.index) for column in columns)
    if n_nodes > MAX_NODES:
        raise OptionError(
            f"n_neurons and n_residual would draw {n_nodes} nodes, and at most "
            f"{MAX_NODES} are allowed; lower one of them, or n_layers"
        )
    graph = nx.DiGraph(**described(spec))
    for place, column in enumerate(columns):
        graph.add_nodes_from(_nodes(column, WIDTH * place / (len(columns) - 1)))
    graph.add_edges_from(_strongest(layers, columns, spec.n_edges))
    return graph


def _check(n_layers: int, has_plan: bool, spec: NetworkSpec) -> None:
    if spec.layer + spec.n_layers > n_layers:
        raise OptionError(
            f"layer {spec.layer + spec.n_layers - 1} is not there: the model has "
            f"layers 0 to {n_layers - 1}; choose a lower layer or fewer layers"
        )
    if spec.which == "boundary" and not has_plan:
        raise OptionError(
            "which=boundary needs a pruning plan, since the boundary is its cut; "
            "choose a sparsity, or highest, lowest or both"
        )


def _nodes(column: Column, x: float) -> Iterator[tuple[str, dict[str, Any]]]:
    rank = ranks(column.score)
    groups = column.groups
    gap = 0.0 if column.kind == "residual" else max(GAP, len(groups) / 20)
    n_rows = len(groups) + gap * (groups[-1] + 1)
    pairs = zip(column.index.tolist(), groups, strict=True)
    for row, (index, group) in enumerate(pairs):
        yield (
            _name(column, index),
            {
                "kind": column.kind,
                "layer": column.layer,
                "index": index,
                "size": len(rank),
                "label": _label(column, index),
                "score": float(column.score[index]),
                "rank": int(rank[index]),
                "group": group,
                "strength": float(column.strength[index]),
                "dropped": bool(column.dropped[index]),
                "x": x,
                "y": HEIGHT * (row + 0.5 + gap * (group + 1)) / n_rows,
            },
        )


def _label(column: Column, index: int) -> str:
    return f"L{column.layer}·{index}" if column.kind == "neuron" else f"r{index}"


def _name(column: Column, index: int) -> str:
    return f"{column.kind}-{column.layer}-{index}"


def _strongest(
    layers: Sequence[Layer], columns: Sequence[Column], n_edges: int
) -> list[Edge]:
    """Return the strongest edges of all stages together."""
    edges: list[Edge] = []
    for stage, (source, target) in enumerate(itertools.pairwise(columns)):
        edges += _edges(layers[stage // 2], source, target, n_edges)
    return sorted(edges, key=lambda edge: -edge[2]["weight"])[:n_edges]


def _edges(layer: Layer, source: Column, target: Column, n: int) -> Iterator[Edge]:
    """Yield the n strongest edges of one stage; a weight of zero is no edge."""
    is_up = source.kind == "residual"
    weights = layer.ffn.up if is_up else layer.ffn.down
    leaving = sums(weights, 0)
    signed = taken(weights, target.index, source.index).to("cpu", torch.float64)
    order = signed.abs().flatten().argsort(descending=True, stable=True)[:n]
    for flat in order.tolist():
        row, column = divmod(flat, signed.shape[1])
        value = float(signed[row, column])
        index = int(source.index[column])
        if value != 0:
            ends = _name(source, index), _name(target, int(target.index[row]))
            share = abs(value) / float(leaving[index])
            values = {"weight": abs(value), "signed": value, "share": share}
            yield *ends, {"layer": layer.ffn.layer} | values
