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

SIZE, WIDER = 9, 7
"""Pixels of a mark, and how much wider it is for each that lies upon it."""

NEAR_X, NEAR_Y = 0.01, 0.06
"""Runs that differ by less of their parameters and ratios lie upon one another."""


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
            interval), run (what a point that is clicked is known by) and age: the
            lower lies upon the higher, which is wider, so that both are seen.
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
    seen = points[points["method"].isin(list(named))]
    newest = seen.groupby("method")["age"].min().sort_values(ascending=False)
    quiet = [m for m in dict.fromkeys(runs["method"]) if m not in named]
    for method in (*quiet, *newest.index):
        rows = points[points["method"] == method]
        place = named.index(method) if method in named else None
        line = method_line(rows, name=method, place=place, colours=colours)
        fig.add_trace(line if place is None else _open(line, place, rows, seen))
    held = points[points["run"].isin(list(chosen))]
    fig.add_scatter(
        x=held["parameters"].tolist(), y=held["ratio"].tolist(), mode="markers",
        hoverinfo="skip", showlegend=False,
        marker={"symbol": "circle-open", "size": 32, "color": colours.text,
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
    legend = {"y": -0.27, "yanchor": "top"}
    fig.update_layout(clickmode="event+select", legend=legend, margin={"t": 12})
    return fig


def _open(
    line: go.Scatter, place: int, rows: pd.DataFrame, among: pd.DataFrame
) -> go.Scatter:
    """Draw a method's points as outlines, wider by each newer point upon them."""
    x, y, age = rows[["x", "y", "age"]].to_numpy(float).T[..., None]
    others = among[["x", "y", "age"]].to_numpy(float).T
    is_near = (abs(others[0] / x - 1) < NEAR_X) & (abs(others[1] / y - 1) < NEAR_Y)
    sizes = SIZE + WIDER * (is_near & (others[2] < age)).sum(axis=1)
    symbol, width = f"{line.marker.symbol}-open", {"width": 2}
    marker = {"symbol": symbol, "size": sizes.tolist(), "line": width}
    return line.update(legendrank=place, marker=marker)


def written(low: float, high: float) -> str:
    """Write an interval behind its value; nothing where it has no end."""
    return f" {interval(low, high)}" if isfinite(low + high) else ""
