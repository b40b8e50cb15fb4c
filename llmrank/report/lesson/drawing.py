"""The lesson's network as an SVG, for paper."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from plotly.colors import sample_colorscale
from torch import Tensor

from llmrank.lesson.network import LAYERS, NODES, Network
from llmrank.report.charts.theme import SCORES

WIDTH, HEIGHT, LEFT = 700, 440, 70
RADIUS = 20
LABEL_WIDTH, LABEL_HEIGHT = 36, 15
ALONG = (0.3, 0.42, 0.54, 0.66, 0.2, 0.36, 0.48, 0.6, 0.75)
"""Places of a label along its edge, tried in turn until none hides another."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """A circle with its name; `gone` is crossed out."""

    x: float
    y: float
    r: float
    name: str
    value: str
    fill: str
    gone: bool


@dataclass(frozen=True)
class Edge:
    """A line with its number; `gone` is dashed."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    label: str
    label_x: float
    label_y: float
    gone: bool


@dataclass(frozen=True)
class Drawing:
    """All that the template draws, in its own units."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    names: tuple[tuple[str, float], ...]
    width: int = WIDTH
    height: int = HEIGHT


def drawing(
    net: Network,
    scores: tuple[Tensor, ...] | None = None,
    *,
    keep: tuple[Tensor, ...] | None = None,
) -> Drawing:
    """Place nodes and edges; with scores nodes show them, with `keep` the rest is gone.

    Args:
        net: the whole network.
        scores: of the nodes of each layer; without, edges show their weights.
        keep: which hidden neurons stay.
    """
    gone = _gone(keep)
    nodes = []
    for layer, names in enumerate(NODES):
        most = float(scores[layer].max()) if scores else 1.0
        for i, name in enumerate(names):
            share = float(scores[layer][i]) / (most or 1.0) if scores else None
            fill = "#ffffff" if share is None else sample_colorscale(SCORES, share)[0]
            nodes.append(
                Node(
                    *_place(layer, i),
                    r=RADIUS * (max(share, 0.12) ** 0.5 if share is not None else 0.7),
                    name=name,
                    value="" if scores is None else f"{float(scores[layer][i]):.3f}",
                    fill=fill,
                    gone=gone(layer, i),
                )
            )
    heads = [(name, _row(layer)) for layer, name in enumerate(LAYERS)]
    edges = _edges(net, gone, labelled=scores is None)
    return Drawing(tuple(nodes), edges, tuple(heads))


def _edges(
    net: Network, gone: Callable[[int, int], bool], *, labelled: bool
) -> tuple[Edge, ...]:
    heaviest = max(float(w.abs().max()) for w in net.weights) or 1.0
    edges: list[Edge] = []
    taken: list[Point] = []
    for layer, weights in enumerate(net.weights):
        for j, i in torch.nonzero(weights).tolist():
            weight = float(weights[j, i])
            (x1, y1), (x2, y2) = _place(layer, i), _place(layer + 1, j)
            ends = (x1, y1 + RADIUS), (x2, y2 - RADIUS)
            taken.append(_free(*ends, taken))
            edges.append(
                Edge(
                    *ends[0], *ends[1],
                    width=0.5 + 3 * abs(weight) / heaviest,
                    label=f"{weight:g}".replace("-", "−") if labelled else "",
                    label_x=taken[-1][0],
                    label_y=taken[-1][1],
                    gone=gone(layer, i) or gone(layer + 1, j),
                )
            )  # fmt: skip
    return tuple(edges)


def _free(start: Point, end: Point, taken: list[Point]) -> Point:
    """Return the first place on an edge that hides no label, or hides least."""
    (x1, y1), (x2, y2) = start, end
    tried = [(x1 + t * (x2 - x1), y1 + t * (y2 - y1)) for t in ALONG]
    return min(tried, key=lambda at: sum(_overlap(at, other) for other in taken))


def _overlap(a: Point, b: Point) -> float:
    width, height = LABEL_WIDTH - abs(a[0] - b[0]), LABEL_HEIGHT - abs(a[1] - b[1])
    return max(width, 0.0) * max(height, 0.0)


def _gone(keep: tuple[Tensor, ...] | None) -> Callable[[int, int], bool]:
    if keep is None:
        return lambda *_: False
    stay = [set(k.tolist()) for k in keep]
    return lambda layer, i: 0 < layer <= len(stay) and i not in stay[layer - 1]


def _place(layer: int, i: int) -> tuple[float, float]:
    share = (i + 0.5) / len(NODES[layer])
    return LEFT + share * (WIDTH - LEFT), _row(layer)


def _row(layer: int) -> float:
    return (layer + 0.5) * HEIGHT / len(NODES)
