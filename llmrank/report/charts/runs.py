"""Runs on two axes: quality over size, method by method."""

from collections.abc import Sequence
from math import isfinite, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, interval, share, times
from llmrank.report.charts.frontier import HEIGHT, HIGHEST, STEPS
from llmrank.report.charts.theme import (
    Palette,
    bars,
    caption,
    curve_style,
    faded,
    figure,
    palette,
    plain,
)

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
    quiet = [m for m in dict.fromkeys(runs["method"]) if m not in named]
    for method in (*quiet, *named):
        rows = runs[runs["method"] == method]
        if len(rows):
            place = named.index(method) if method in named else None
            fig.add_trace(_runs(plain(method), rows, place, colours))
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


def _runs(
    name: str, rows: pd.DataFrame, place: int | None, colours: Palette
) -> go.Scatter:
    """Draw one method's runs; without a place it stays in the background."""
    if place is None:
        quiet = faded(colours.neutral, 0.4)
        look: dict[str, Any] = {
            "mode": "lines+markers", "showlegend": False,
            "line": {"color": quiet, "width": 1}, "marker": {"color": quiet, "size": 7},
        }  # fmt: skip
    else:
        look = curve_style(place, colours, size=10)
        look["error_y"] = bars(
            rows["ratio"], rows["low"], rows["high"], look["line"]["color"]
        )
    spreads = rows[["ratio", "low", "high"]].values
    return go.Scatter(
        x=rows["parameters"].tolist(),
        y=rows["ratio"].tolist(),
        name=name,
        customdata=[
            [run, share(sparsity), f"{times(ratio)}{written(low, high)}"]
            for run, sparsity, (ratio, low, high) in zip(
                rows["run"], rows["sparsity"], spreads, strict=True
            )
        ],
        hovertemplate="%{fullData.name}: %{customdata[1]} removed, %{x:.4s}, "
        "%{customdata[2]}<extra></extra>",
        **look,
    )
