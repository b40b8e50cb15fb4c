"""Runs on two axes: quality over size, method by method."""

from collections.abc import Sequence
from math import isfinite, log10

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, interval, share, times
from llmrank.report.charts.frontier import HEIGHT, HIGHEST, STEPS, method_line
from llmrank.report.charts.theme import caption, figure, palette

LEAST = 3.0
"""Ratios up to it are in the picture, and up to twice those that have a colour."""


def runs_chart(
    runs: pd.DataFrame,
    *,
    named: Sequence[str],
    chosen: Sequence[str] = (),
    dark: bool,
) -> go.Figure:
    """Draw perplexity over dense against the parameters kept, one line a method.

    Args:
        runs: columns method, sparsity, parameters, ratio, low, high (of its 95 %
            interval) and run (what a point that is clicked is known by).
        named: the methods that have a colour and intervals; others are grey.
        chosen: the runs that are ringed.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=HEIGHT, x="parameters kept", y="perplexity, × dense")
    said = [
        f"{share(row['sparsity'])} removed, {row['parameters'] / 1e6:,.1f} M, "
        f"{times(row['ratio'])}{written(row['low'], row['high'])}"
        for row in runs.to_dict("records")
    ]
    points = runs.assign(x=runs["parameters"], y=runs["ratio"], said=said)
    quiet = [m for m in dict.fromkeys(runs["method"]) if m not in named]
    for method in (*quiet, *named):
        rows = points[points["method"] == method]
        place = named.index(method) if method in named else None
        if len(rows):
            line = method_line(rows, name=method, place=place, colours=colours)
            fig.add_trace(line)
    held = runs[runs["run"].isin(list(chosen))]
    fig.add_scatter(
        x=held["parameters"].tolist(), y=held["ratio"].tolist(), mode="markers",
        hoverinfo="skip", showlegend=False,
        marker={"symbol": "circle-open", "size": 22, "color": colours.text,
                "line": {"width": 2}},
    )  # fmt: skip
    least = 2 * runs.loc[runs["method"].isin(list(named)), "ratio"].max()
    highest = min(HIGHEST, runs["ratio"].max() * 1.2, max(least, LEAST))
    steps = [s for s in STEPS if s <= highest]
    fig.update_yaxes(
        type="log", range=[-0.1, log10(max(highest, 1.2))], tickvals=steps,
        ticktext=[f"×{s:g}" for s in steps],
    )  # fmt: skip
    sizes = runs["parameters"]
    room = 0.03 * sizes.max()  # one size alone would make all ticks the same
    ends = [sizes.max() + room, sizes.min() - room]  # the smaller to the right
    fig.update_xaxes(tickformat="~s", range=ends)
    outside = int((runs["ratio"] > highest).sum())
    if outside:
        caption(fig, f"{counted(outside, 'run')} above {times(highest)}, outside")
    fig.update_layout(clickmode="event+select", legend={"y": -0.27, "yanchor": "top"},
                      margin={"t": 12})  # fmt: skip
    return fig


def written(low: float, high: float) -> str:
    """Write an interval behind its value; nothing where it has no end."""
    return f" {interval(low, high)}" if isfinite(low + high) else ""
