"""The strongest paths of the chained graph between many neurons at once."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.analysis.neuron.neuron import Neuron, check, check_count
from llmrank.methods.pagerank import divide_or_zero
from llmrank.models.ffn import FFN

MAX_PATHS = 2000
"""What a canvas shows at rest."""

BLOCK = 1024
"""Neurons of either layer that are multiplied at a time.

Memory: two blocks of residual vectors and their product with its mask, so about
`20 · BLOCK · (d_model + BLOCK)` bytes: 100 MB for d_model 4,096, whatever d_ff is.
"""

Neurons = Mapping[int, Int[Tensor, " _"]]
"""Indices of neurons by their layer, ascending, each once."""


@dataclass(frozen=True)
class Paths:
    """Ways over the residual from neurons to neurons of the next layer.

    The strongest first, then by layer, source and target. `flow`, as in `Path`: of the
    mass that leaves the source, the share that arrives at the target when all of it
    follows the absolute weights (θ = γ = 1).
    """

    layer: Int[Tensor, " n"]
    source: Int[Tensor, " n"]
    target: Int[Tensor, " n"]
    flow: Float[Tensor, " n"]


@torch.inference_mode()
def paths(
    layers: Sequence[FFN],
    selected: Neurons,
    n: int = MAX_PATHS,
    *,
    among: Neurons | None = None,
) -> Paths:
    """Return the n strongest paths that begin or end at a selected neuron.

    The same flow as `edges` tells of one neuron. Nothing of size d_ff × d_ff is held:
    a flow is a product of two non-negative vectors, so it is at most the product of
    their lengths, and pairs too short to reach the n-th best so far are not computed.

    Args:
        layers: of a dense model, all of them.
        selected: at least one end of each path.
        n: at most so many; a path without flow is none.
        among: both ends of each path; None is every neuron.

    Raises:
        OptionError: no such neuron, or n below 1.
    """
    check_count("n", n)
    for chosen in (selected, among or {}):
        for layer, neurons in chosen.items():
            highest = int(neurons.max()) if len(neurons) else 0
            check(Neuron(layer, highest), [f.d_ff for f in layers])
    best = _Best(n, max(f.d_ff for f in layers))
    for here, after in itertools.pairwise(layers):
        for sources, targets in _pairs(here, after, selected, among):
            _offer_all(best, here, after, sources, targets)
    return best.paths


class _Best:
    """The n strongest paths offered so far."""

    def __init__(self, n: int, widest: int) -> None:
        self._n, self._widest = n, widest
        none = torch.empty(0, dtype=torch.long)
        self.paths = Paths(none, none, none, torch.empty(0))

    @property
    def least(self) -> float:
        """The flow that a path must have to be among them."""
        full = len(self.paths.flow) == self._n
        return float(self.paths.flow[-1]) if full else 0.0

    def offer(self, layer: int, sources: Tensor, targets: Tensor, flow: Tensor) -> None:
        """Take the strongest of a block of flows [sources, targets]."""
        wanted = self.least
        if flow.numel() > self._n:
            wanted = max(wanted, float(flow.flatten().topk(self._n).values[-1]))
        rows, columns = ((flow >= wanted) & (flow > 0)).nonzero(as_tuple=True)
        values = flow[rows, columns].cpu()
        self._merge(layer, sources[rows.cpu()], targets[columns.cpu()], values)

    def _merge(self, layer: int, source: Tensor, target: Tensor, flow: Tensor) -> None:
        old = self.paths
        layers = torch.cat([old.layer, torch.full_like(source, layer)])
        sources = torch.cat([old.source, source])
        targets = torch.cat([old.target, target])
        flows = torch.cat([old.flow, flow])
        place = (layers * self._widest + sources) * self._widest + targets
        order = place.argsort()
        by_flow = torch.sort(flows[order], descending=True, stable=True).indices
        first = order[by_flow][: self._n]
        self.paths = Paths(layers[first], sources[first], targets[first], flows[first])


def _pairs(
    here: FFN, after: FFN, selected: Neurons, among: Neurons | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the sources and targets to be joined, each pair of neurons once."""

    def all_of(layer: FFN) -> Tensor:
        return torch.arange(layer.d_ff) if among is None else _of(among, layer)

    sources, targets = all_of(here), all_of(after)
    from_here = torch.isin(sources, _of(selected, here))
    to_there = torch.isin(targets, _of(selected, after))
    yield sources[from_here], targets
    yield sources[~from_here], targets[to_there]


def _of(neurons: Neurons, layer: FFN) -> Tensor:
    return neurons.get(layer.layer, torch.empty(0, dtype=torch.long)).cpu()


def _offer_all(
    best: _Best, here: FFN, after: FFN, sources: Tensor, targets: Tensor
) -> None:
    """Multiply block by block, the longest vectors first, as far as they can reach."""
    if not len(sources) or not len(targets):
        return
    arriving = _column_sums(after)

    def leaving(neurons: Tensor) -> Tensor:
        size = _rows(here.down.T, neurons)
        return divide_or_zero(divide_or_zero(size, size.sum(1, keepdim=True)), arriving)

    def received(neurons: Tensor) -> Tensor:
        return _rows(after.up, neurons)

    lengths, reach = (torch.full((len(x),), torch.inf) for x in (sources, targets))
    if min(len(sources), len(targets)) > BLOCK:  # else there is little to leave out
        sources, lengths = _longest_first(sources, leaving)
        targets, reach = _longest_first(targets, received)
    for i in range(0, len(sources), BLOCK):
        some = leaving(sources[i : i + BLOCK])
        for k in range(0, len(targets), BLOCK):
            if float(lengths[i] * reach[k]) * (1 + 1e-4) < best.least:
                break  # none of these, nor of those after them
            others = targets[k : k + BLOCK]
            flow = some @ received(others).T
            best.offer(here.layer, sources[i : i + BLOCK], others, flow)


def _rows(weights: Tensor, neurons: Tensor) -> Float[Tensor, "n d_model"]:
    """Return absolute weights; a piece that lies together is not gathered first."""
    if bool((neurons.diff() == 1).all()):
        rows = weights[int(neurons[0]) : int(neurons[-1]) + 1]
    else:
        rows = weights[neurons.to(weights.device)]
    return rows.float().abs()


def _longest_first(
    neurons: Tensor, vectors: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Sort neurons by the length of their vectors; return the lengths as well."""
    lengths = torch.cat([vectors(n).norm(dim=1).cpu() for n in neurons.split(BLOCK)])
    order = lengths.argsort(descending=True, stable=True)
    return neurons[order], lengths[order]


def _column_sums(layer: FFN) -> Float[Tensor, " d_model"]:
    """Sum the absolute weights that leave each residual dimension."""
    sums = [rows.float().abs().sum(0) for rows in layer.up.split(BLOCK)]
    return torch.stack(sums).sum(0)
