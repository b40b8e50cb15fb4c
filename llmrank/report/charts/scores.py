"""How the scores of one layer or of all are distributed, and where the cut is."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.report.charts.pareto import TICKS
from llmrank.report.charts.theme import (
    Palette,
    caption,
    faded,
    figure,
    layer_ticks,
    palette,
    segments,
)

HEIGHT = 450
N_BINS = 60
TITLE = "score, × its layer's mean (log)"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def score_distribution(
    scores: Float[Tensor, " d_ff"],
    threshold: float | None = None,
    *,
    layer: int,
    dark: bool = False,
) -> go.Figure:
    """Draw the histogram of a layer's scores on a log axis, with the threshold.

    Bins have one width in log units and the threshold is an edge, so that no bin is
    half below it.

    Args:
        scores: of one layer, non-negative, in units of the layer's mean.
        threshold: the lowest score that is kept; None draws no line.
        layer: named in the title.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    values = scores.detach().to("cpu", torch.float64).numpy()
    positive = values[values > 0]
    fig = figure(dark=dark, height=HEIGHT, x=TITLE, y="neurons")
    fig.update_xaxes(type="log", exponentformat="e", showgrid=False)
    fig.update_layout(barmode="overlay")
    n_zero = int((values <= 0).sum())
    zeros = f"; {n_zero:,} of them score 0 and are not drawn" if n_zero else ""
    caption(fig, f"Layer {layer}: {len(values):,} neurons{zeros}")
    if not len(positive):
        return fig
    fig.update_xaxes(_ticks(positive))
    edges = _edges(positive, threshold)
    counts, _ = np.histogram(positive, edges)
    below = edges[1:] <= (threshold or 0)
    n_below = int((values < (threshold or 0)).sum())
    if threshold is not None:
        fig.add_trace(_bars(edges, counts, below, f"below: {n_below:,}", colours))
    n_above = len(values) - n_below
    name = "neurons" if threshold is None else f"at or above: {n_above:,}"
    fig.add_trace(_bars(edges, counts, ~below, name, colours))
    fig.data[-1].marker = {"color": colours.accent}
    if threshold:
        fig.add_scatter(
            x=[threshold, threshold],
            y=[0, int(counts.max())],
            mode="lines",
            line={"color": colours.text, "width": 2, "dash": "dash"},
            name=f"threshold {threshold:.3g}",
            hoverinfo="name",
        )
    return fig


def distributions(
    scores: Sequence[Float[Tensor, " _"]],
    thresholds: Sequence[float] | None = None,
    *,
    layer: int | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw each layer's quartiles and its 5th to 95th percentile, with its threshold.

    Args:
        scores: one vector per layer, non-negative, in units of the layer's mean.
        thresholds: the lowest kept score of each layer.
        layer: stands on a ground of its own.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    layers = list(range(len(scores)))
    five = [_quantiles(s) for s in scores]
    fig = figure(dark=dark, height=HEIGHT, x="layer", y=TITLE)
    low, first, median, third, high = (list(q) for q in zip(*five, strict=True))
    fig.add_box(
        x=layers, lowerfence=low, q1=first, median=median, q3=third, upperfence=high,
        width=0.6, name="5th, 25th, 50th, 75th and 95th percentile",
        line={"color": colours.neutral, "width": 1.5},
        fillcolor=faded(colours.neutral, 0.3),
    )  # fmt: skip
    if thresholds is not None:
        fig.add_scatter(
            **segments(layers, [t or None for t in thresholds]), name="threshold",
            mode="lines", line={"color": colours.accent, "width": 3},
            hovertemplate="threshold %{y:.3g}<extra></extra>",
        )  # fmt: skip
    if layer is not None:
        fig.add_vrect(
            layer - 0.5, layer + 0.5, line_width=0, layer="below",
            fillcolor=faded(colours.accent, 0.15),
        )  # fmt: skip
    fig.update_xaxes(layer_ticks(len(layers)))
    fig.update_yaxes(type="log", exponentformat="e")
    ends = [v for v in (*low, *high) if v]
    fig.update_yaxes(_ticks(np.array(ends)) if ends else {})
    return fig


def _ticks(values: np.ndarray) -> Mapping[str, object]:
    """Name round numbers on a log axis, unless it is too long for them."""
    return TICKS if values.max() < 1000 * values.min() else {}


def _edges(positive: np.ndarray, threshold: float | None) -> np.ndarray:
    """Geometric edges over all values, one of them exactly the threshold."""
    lowest, highest = positive.min(), positive.max()
    ratio = (highest / lowest) ** (1 / N_BINS) if highest > lowest else 1.1
    anchor = threshold if threshold else lowest
    first = np.floor(np.log(lowest / anchor) / np.log(ratio))
    last = np.ceil(np.log(highest / anchor) / np.log(ratio)) + 1
    return anchor * ratio ** np.arange(first, last + 1)


def _bars(
    edges: np.ndarray, counts: np.ndarray, chosen: np.ndarray, name: str, c: Palette
) -> go.Bar:
    """Hatched, until the caller says otherwise: most often what is dropped."""
    low, high = edges[:-1][chosen], edges[1:][chosen]
    return go.Bar(
        x=(low + high) / 2,
        y=counts[chosen],
        width=high - low,
        customdata=np.stack([low, high], -1),
        hovertemplate=(
            "%{y:,} neurons score %{customdata[0]:.3g} to %{customdata[1]:.3g}"
            "<extra></extra>"
        ),
        name=name,
        marker={
            "color": faded(c.neutral, 0.15),
            "line": {"color": c.neutral, "width": 0.5},
            "pattern": {"shape": "/", "size": 6, "fgcolor": c.neutral},
        },
    )


def _quantiles(scores: Tensor) -> tuple[float | None, ...]:
    """A log axis has no place for zero: such a quantile is left out."""
    values = np.quantile(scores.detach().to("cpu", torch.float64).numpy(), QUANTILES)
    return tuple(float(v) if v > 0 else None for v in values)
