"""The lesson's network as an SVG, for paper."""

from typing import Any

import torch
from plotly.colors import sample_colorscale
from torch import Tensor

from llmrank.lesson.network import LAYERS, NODES, Network
from llmrank.report.charts.theme import SCORES

WIDTH, HEIGHT, LEFT = 700, 440, 70
RADIUS = 20
LABELS = 46
"""From a node's middle down to its edges' labels: a row that no other edge crosses."""


def drawing(
    net: Network,
    scores: tuple[Tensor, ...] | None = None,
    *,
    keep: tuple[Tensor, ...] | None = None,
) -> dict[str, Any]:
    """Place nodes and edges; with scores nodes show them, with `keep` the rest is gone.

    Args:
        net: the whole network.
        scores: of the nodes of each layer; without, edges show their weights.
        keep: which hidden neurons stay.

    Returns:
        All that the template's `picture` draws, in its own units.
    """
    stays = {} if keep is None else {n: k.tolist() for n, k in enumerate(keep, 1)}
    gone = [
        [i not in stays.get(layer, [i]) for i in range(len(names))]
        for layer, names in enumerate(NODES)
    ]
    nodes = [
        {"name": name, "gone": gone[layer][i]} | _node(layer, i, scores)
        for layer, names in enumerate(NODES)
        for i, name in enumerate(names)
    ]
    heaviest = max(float(w.abs().max()) for w in net.weights) or 1.0
    edges = []
    for layer, weights in enumerate(net.weights):
        for j, i in torch.nonzero(weights).tolist():
            weight = float(weights[j, i])
            label = "" if scores else f"{weight:g}".replace("-", "−")
            edges.append(
                _edge(layer, i, j)
                | {"label": label, "width": 0.5 + 3 * abs(weight) / heaviest}
                | {"gone": gone[layer][i] or gone[layer + 1][j]}
            )
    heads = [(name, _place(layer, 0)[1]) for layer, name in enumerate(LAYERS)]
    return {
        "nodes": nodes, "edges": edges, "names": heads, "width": WIDTH, "height": HEIGHT
    }  # fmt: skip


def _node(layer: int, i: int, scores: tuple[Tensor, ...] | None) -> dict[str, Any]:
    """Return a circle: its place, radius and colour, and the score beside it."""
    x, y = _place(layer, i)
    if scores is None:
        return {"x": x, "y": y, "r": 0.7 * RADIUS, "value": "", "fill": "#ffffff"}
    score = float(scores[layer][i])
    share = score / (float(scores[layer].max()) or 1.0)
    return {
        "x": x, "y": y, "r": RADIUS * max(share, 0.12) ** 0.5, "value": f"{score:.3f}",
        "fill": sample_colorscale(SCORES, share)[0],
    }  # fmt: skip


def _edge(layer: int, i: int, j: int) -> dict[str, float]:
    """Return the ends of a line, and where it passes: the place of its label."""
    (x1, y1), (x2, y2) = _place(layer, i), _place(layer + 1, j)
    n_targets = len(NODES[layer + 1])
    spacing = (WIDTH - LEFT) / (len(NODES[layer]) * n_targets)
    x = x1 + (j - (n_targets - 1) / 2) * min(spacing, 56)
    ends = {"x1": x1, "y1": y1 + RADIUS, "x2": x2, "y2": y2 - RADIUS}
    return ends | {"x": x, "y": y1 + LABELS}


def _place(layer: int, i: int) -> tuple[float, float]:
    share = (i + 0.5) / len(NODES[layer])
    return LEFT + share * (WIDTH - LEFT), (layer + 0.5) * HEIGHT / len(NODES)
