"""What each layer costs, and how a search for widths is doing."""

from collections.abc import Sequence
from itertools import pairwise

import plotly.graph_objects as go

from llmrank.core.formatting import share
from llmrank.methods.allocation import Sensitivity
from llmrank.methods.width_search import Searched
from llmrank.report.charts.theme import SCORES, figure, layer_ticks, palette

FLOOR = 1e-4
"""Nats per token: smaller costs are drawn alike, they are within the noise."""

DECADES = range(-4, 3)


def cost_map(
    costs: Sensitivity,
    widths: Sequence[int],
    dense_widths: Sequence[int],
    *,
    dark: bool = False,
) -> go.Figure:
    """Draw the cost of every layer at every share, and what a plan removes.

    Colour is on a logarithmic scale; the line with dots is the share that the plan
    removes of each layer.
    """
    fig = figure(dark=dark, height=340, x="layer", y="share of its neurons removed")
    z = costs.costs[:, 1:].T.clamp(min=FLOOR)
    shares = costs.sparsities[1:]
    bar = {
        "title": {"text": "nats a token"},
        "tickvals": list(DECADES),
        "ticktext": [f"{10.0**d:g}" for d in DECADES],
        "thickness": 12,
    }
    rows, labels = list(range(len(shares))), [share(s) for s in shares]
    pairs = zip(z.tolist(), labels, strict=True)
    fig.add_heatmap(
        z=z.log10().tolist(),
        y=rows,  # "20 %" would be taken for the number 20
        customdata=[[[cost, label] for cost in row] for row, label in pairs],
        colorscale=SCORES,
        colorbar=bar,
        hovertemplate="layer %{x}, %{customdata[1]} removed: "
        "%{customdata[0]:.3g} nats a token<extra></extra>",
    )
    fig.update_yaxes({"tickvals": rows, "ticktext": labels})
    ends = zip(widths, dense_widths, strict=True)
    removed = [1 - width / dense for width, dense in ends]
    line = palette(dark).background
    fig.add_scatter(
        x=list(range(len(removed))),
        y=[_row(part, shares) for part in removed],
        customdata=[share(part) for part in removed],
        mode="lines+markers",
        line={"color": line, "width": 3},
        marker={"size": 7, "color": line, "line": {"color": "#808080", "width": 1}},
        name="removed by this plan",
        hovertemplate="layer %{x}: %{customdata} removed<extra></extra>",
    )
    fig.update_xaxes(layer_ticks(len(dense_widths)))
    return fig


def search_chart(searched: Searched, *, dark: bool = False) -> go.Figure:
    """Draw the divergence of the best widths over the candidates tried."""
    fig = figure(
        dark=dark, height=260, x="candidates tried", y="KL divergence, nats a token"
    )
    tried, best = zip(*searched.history, strict=True)
    fig.add_scatter(
        x=tried,
        y=best,
        mode="lines+markers",
        line={"color": palette(dark).accent, "shape": "hv"},
        hovertemplate="%{x} tried: %{y:.4g} nats a token<extra></extra>",
    )
    return fig


def _row(part: float, shares: Sequence[float]) -> float:
    """Return where a share lies among rows at 0, 1, 2 …, at most half a row out.

    The map's rows are not evenly far apart.
    """
    if part <= shares[0]:
        return max(-0.5, (part - shares[0]) / shares[0])
    for row, (low, high) in enumerate(pairwise(shares)):
        if part <= high:
            return row + (part - low) / (high - low)
    return len(shares) - 0.5
