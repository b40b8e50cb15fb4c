"""The neuron graph of one FFN layer or of neighbouring ones, small enough to see."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import networkx as nx
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmrank.core.errors import OptionError
from llmrank.core.specs import described, option, spec
from llmrank.core.statistics import ranks
from llmrank.methods.pagerank import divide_or_zero
from llmrank.methods.pruning import descending, drop_mask
from llmrank.models.ffn import FFN

MAX_NODES = 300
MAX_EDGES = 1000
"""What a browser moves fluently."""

WIDTH, HEIGHT = 1500.0, 1000.0
"""The frame that x and y fill."""

GAP = 1.4
"""Rows left free above a group of neurons, for its name."""

Edge = tuple[str, str, dict[str, Any]]


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
class _Layer:
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
class _Column:
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
        _layer(ffns[i], scores[i], None if keep is None else keep[i])
        for i in range(spec.layer, spec.layer + spec.n_layers)
    ]
    columns = _columns(layers, mass, spec, also)
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


def _layer(ffn: FFN, score: Tensor, kept: Tensor | None) -> _Layer:
    score = score.detach().to("cpu", torch.float64)
    leaving = _sums(ffn.down, 0)
    out_edges = ffn.down.detach().abs().to("cpu", torch.float64)
    return _Layer(
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


def _columns(
    layers: Sequence[_Layer],
    mass: Tensor | None,
    spec: NetworkSpec,
    also: tuple[int, int] | None,
) -> list[_Column]:
    """Residual, neurons, residual and so on: one residual more than layers."""
    arriving = torch.ones(layers[0].ffn.up.shape[1]) if mass is None else mass
    columns: list[_Column] = []
    before: tuple[_Layer, _Column] | None = None
    for layer in layers:
        after = layer, _neurons(layer, spec, also)
        columns += [_residual(before, after, arriving, spec), after[1]]
        before, arriving = after, layer.passed_on
    return [*columns, _residual(before, None, arriving, spec)]


def _neurons(layer: _Layer, spec: NetworkSpec, also: tuple[int, int] | None) -> _Column:
    order = descending(layer.score)
    marked = drop_mask(len(order), layer.kept)
    n_kept = len(order) - int(marked.sum())
    places = _places(len(order), min(spec.n_neurons, len(order)), n_kept, spec.which)
    central = int(order[places[0]])
    if also is not None and also[0] == layer.ffn.layer and also[1] < len(order):
        central = also[1]
        places = torch.cat([places, (order == central).nonzero()[0]]).unique()
    return _Column(
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
    before: tuple[_Layer, _Column] | None,
    after: tuple[_Layer, _Column] | None,
    arriving: Tensor,
    spec: NetworkSpec,
) -> _Column:
    """Choose the dimensions with the most edge weight to the drawn neurons.

    First come the heaviest of the central neurons on either side: half of all.
    """
    mass = arriving.detach().to("cpu", torch.float64)
    score = mass / mass.sum() if mass.sum() > 0 else torch.ones_like(mass) / len(mass)
    shown, strength = torch.zeros_like(mass), torch.zeros_like(mass)
    layer, own = 0, []
    if before is not None:
        layer = before[0].ffn.layer + 1
        down = before[0].ffn.down
        shown += _sums(_taken(down, None, before[1].index), 1)
        own.append(down[:, before[1].central])
        strength += before[0].down_by_residual
    if after is not None:
        layer = after[0].ffn.layer
        up = after[0].ffn.up
        shown += _sums(_taken(up, after[1].index, None), 0)
        own.append(up[after[1].central])
        strength += after[0].up_by_residual
    for weights in own:
        n_own = spec.n_residual // (2 * len(own))
        shown[descending(weights.detach().abs().float())[:n_own].cpu()] = torch.inf
    chosen = shown.argsort(descending=True, stable=True)[: spec.n_residual]
    return _Column(
        kind="residual",
        layer=layer,
        index=chosen[score[chosen].argsort(descending=True, stable=True)],
        score=score,
        strength=strength,
        dropped=torch.zeros(len(mass), dtype=torch.bool),
    )


def _taken(weights: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    if rows is not None:
        weights = weights[rows.to(weights.device)]
    return weights if columns is None else weights[:, columns.to(weights.device)]


def _nodes(column: _Column, x: float) -> Iterator[tuple[str, dict[str, Any]]]:
    rank = ranks(column.score)
    mark = f"L{column.layer}·" if column.kind == "neuron" else "r"
    gap = 0.0 if column.kind == "residual" else GAP
    groups = column.groups
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
                "label": f"{mark}{index}",
                "score": float(column.score[index]),
                "rank": int(rank[index]),
                "group": group,
                "strength": float(column.strength[index]),
                "dropped": bool(column.dropped[index]),
                "x": x,
                "y": HEIGHT * (row + 0.5 + gap * (group + 1)) / n_rows,
            },
        )


def _name(column: _Column, index: int) -> str:
    return f"{column.kind}-{column.layer}-{index}"


def _strongest(
    layers: Sequence[_Layer], columns: Sequence[_Column], n_edges: int
) -> list[Edge]:
    """Return the strongest edges of all stages together."""
    edges: list[Edge] = []
    for stage, (source, target) in enumerate(itertools.pairwise(columns)):
        edges += _edges(layers[stage // 2], source, target, n_edges)
    return sorted(edges, key=lambda edge: -edge[2]["weight"])[:n_edges]


def _edges(layer: _Layer, source: _Column, target: _Column, n: int) -> Iterator[Edge]:
    """Yield the n strongest edges of one stage; a weight of zero is no edge."""
    is_up = source.kind == "residual"
    weights = layer.ffn.up if is_up else layer.ffn.down
    leaving = layer.up_by_residual if is_up else layer.down_by_neuron
    signed = _taken(weights, target.index, source.index).to("cpu", torch.float64)
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
