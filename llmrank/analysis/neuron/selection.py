"""Which neurons a canvas shows, and whose paths it should draw."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.analysis.neuron.neuron import Neuron
from llmrank.methods.pruning import descending

MAX_NODES = 300
"""Neurons in view up to which each is drawn by itself, joined with all the others."""

MAX_PRODUCTS = 5e10
"""Multiplications for one selection: about a second on one core."""


@dataclass(frozen=True)
class Range:
    """Places `first` to `end` (without it) of one layer."""

    layer: int
    first: int
    end: int


@dataclass(frozen=True)
class View:
    """What a canvas shows: places `first` to `end` (without it) of each layer.

    `layer`: the one zoomed into, shown with its neighbours; None shows all. Places are
    ranks from the highest score down, or indices. `end` 0 means all places.
    """

    layer: int | None = None
    first: int = 0
    end: int = 0
    by_rank: bool = True
    held: Neuron | None = None
    brush: Range | None = None


@dataclass(frozen=True)
class Selection:
    """Whose paths are drawn, between which neurons, and how a legend calls them."""

    selected: dict[int, Int[Tensor, " _"]]
    among: dict[int, Int[Tensor, " _"]]
    said: str


def selection(
    scores: Sequence[Float[Tensor, " _"]], view: View, *, d_model: int
) -> Selection | None:
    """Say whose paths belong to a view: few neurons, the one held, or a part.

    When at most 300 neurons are in view, all of them; else, as far as it is in view,
    the neuron held; else the range brushed; else the layer zoomed into. Of very many
    the highest scores, so that it takes about a second. None where nothing is chosen.
    """
    seen = {layer: _places(scores[layer], view) for layer in _layers(scores, view)}
    n_seen = sum(map(len, seen.values()))
    if n_seen <= MAX_NODES:
        return Selection(seen, seen, f"all {n_seen} neurons in view")
    for layer, neurons, said in _chosen(scores, view):
        inside = seen.get(layer, neurons[:0])
        present = inside[torch.isin(inside, neurons)]
        if len(present):
            limit = max(64, int(MAX_PRODUCTS / (2 * d_model * len(scores[layer]))))
            first = descending(scores[layer].cpu()[present])[:limit]
            few = present[first].sort().values
            if len(few) < len(neurons):
                said = f"{len(few):,} of {said}"
            return Selection({layer: few}, seen, said)
    return None


def in_range(
    scores: Sequence[Float[Tensor, " _"]], brush: Range, *, by_rank: bool
) -> Int[Tensor, " _"]:
    """Return the neurons of a range in its order; none where the layer is not there."""
    if brush.layer >= len(scores):
        return torch.empty(0, dtype=torch.long)
    return _ordered(scores[brush.layer], by_rank)[brush.first : brush.end]


def _chosen(scores: Sequence[Tensor], view: View) -> list[tuple[int, Tensor, str]]:
    """List what could be meant, the most particular first."""
    chosen = []
    if view.held is not None:
        at = torch.tensor([view.held.index])
        chosen.append((view.held.layer, at, "the neuron held"))
    if view.brush is not None:
        neurons = in_range(scores, view.brush, by_rank=view.by_rank)
        said = f"the {len(neurons):,} neurons brushed in layer {view.brush.layer}"
        chosen.append((view.brush.layer, neurons, said))
    if view.layer is not None and view.layer < len(scores):
        n = len(scores[view.layer])
        chosen.append(
            (view.layer, torch.arange(n), f"layer {view.layer}'s {n:,} neurons")
        )
    return chosen


def _layers(scores: Sequence[Tensor], view: View) -> range:
    if view.layer is None or view.layer >= len(scores):
        return range(len(scores))
    return range(max(0, view.layer - 1), min(len(scores), view.layer + 2))


def _places(scores: Tensor, view: View) -> Int[Tensor, " _"]:
    """Return the neurons of a layer that are in view, by index."""
    end = view.end or len(scores)
    return _ordered(scores, view.by_rank)[view.first : end].sort().values


def _ordered(scores: Tensor, by_rank: bool) -> Tensor:
    return descending(scores).cpu() if by_rank else torch.arange(len(scores))
