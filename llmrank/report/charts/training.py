"""A recovery while it runs: what it costs still, over the tokens trained on."""

from collections.abc import Sequence

import plotly.graph_objects as go

from llmrank.methods.recovery import Moment
from llmrank.report.charts.theme import DASHES, SYMBOLS, faded, figure, palette

SMOOTHED = 8
"""Batches over which the line of fresh batches is averaged."""


def training_chart(
    curve: Sequence[Moment], *, dark: bool = False, height: int = 300
) -> go.Figure:
    """Draw perplexity over dense: of each batch before it was trained on, and held out.

    Args:
        curve: the moments so far.
        dark: draw for the dark theme.
        height: in pixels.
    """
    colours = palette(dark)
    fig = figure(
        dark=dark, height=height, x="Tokens trained on", y="Perplexity, × dense"
    )
    steps = [m for m in curve if m.batch is not None]
    fresh = [m.batch.ratio for m in steps if m.batch is not None]
    fig.add_scatter(
        x=[m.n_tokens for m in steps],
        y=[_mean(fresh[max(0, i - SMOOTHED + 1) : i + 1]) for i in range(len(fresh))],
        mode="lines",
        name="fresh batches",
        line={"color": faded(colours.neutral, 0.6), "width": 1.5},
        hovertemplate="%{x:,} tokens: ×%{y:.3f} in fresh batches<extra></extra>",
    )
    looks = [m for m in curve if m.held_out]
    for place, name in enumerate(looks[0].held_out if looks else ()):
        colour = colours.series[place]
        fig.add_scatter(
            x=[m.n_tokens for m in looks],
            y=[m.held_out[name].ratio for m in looks],
            mode="lines+markers",
            name=f"held out of {name}",
            line={"color": colour, "dash": DASHES[place]},
            marker={"symbol": SYMBOLS[place], "size": 9},
            hovertemplate=f"%{{x:,}} tokens: ×%{{y:.3f}} held out of {name}"
            "<extra></extra>",
        )
    fig.add_hline(1.0, line={"color": colours.grid, "width": 1})
    fig.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    fig.update_xaxes(rangemode="tozero", tickformat=",")
    fig.update_yaxes(tickprefix="×")
    return fig


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
