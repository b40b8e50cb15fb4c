"""Runs on two axes, and what fits a budget: quality over size, method by method."""

from collections.abc import Sequence
from math import inf, isfinite, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, interval, share, times
from llmrank.report.charts.frontier import HEIGHT, HIGHEST, STEPS
from llmrank.report.charts.theme import (
    Palette,
    caption,
    curve_style,
    faded,
    figure,
    palette,
    plain,
)

LEAST = 3.0
"""Ratios up to it are in the picture, and up to twice those that have a colour."""

ROW, FAR = 22, 2
"""Pixels of an option's row; times the best, beyond which it may stand at the edge."""


def runs_chart(
    runs: pd.DataFrame,
    *,
    named: Sequence[str],
    chosen: Sequence[str] = (),
    labelled: Sequence[str] = (),
    dark: bool,
) -> go.Figure:
    """Draw perplexity over dense against the parameters kept, one line a method.

    Args:
        runs: columns method, sparsity, parameters, ratio, low, high (of its 95 %
            interval) and run (what a point that is clicked is known by).
        named: the methods that have a colour and intervals; others are grey.
        chosen: the runs that are ringed.
        labelled: the runs whose method is written under them.
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
    for row in runs[runs["run"].isin(list(labelled))].to_dict("records"):
        fig.add_annotation(
            x=row["parameters"], y=log10(row["ratio"]), ax=0, ay=24, arrowhead=0,
            arrowcolor=colours.neutral, standoff=5, text=plain(row["method"]),
            font={"size": 12, "color": colours.text}, bgcolor=colours.background,
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
    fig.update_xaxes(tickformat=".3s", range=ends)
    outside = int((runs["ratio"] > highest).sum())
    if outside:
        said = f"{counted(outside, 'run')} above {times(highest)}, outside"
        fig.add_annotation(
            text=said, xref="paper", yref="paper", x=1, y=1, xanchor="right",
            yanchor="top", showarrow=False, font={"size": 12, "color": colours.neutral},
        )  # fmt: skip
    fig.update_layout(clickmode="event+select", legend={"y": -0.2, "yanchor": "top"},
                      margin={"t": 12})  # fmt: skip
    return fig


def options_chart(
    options: pd.DataFrame, *, in_hand: str | None, dark: bool
) -> go.Figure:
    """Draw the methods that fit a budget, the one that costs least on top.

    Args:
        options: columns method, size (as text), ratio, low, high (perplexity over dense
            with its 95 % interval), here (measured here, not shipped) and run, which a
            point that is clicked is known by. What costs far more than most stands at
            the edge.
        in_hand: the run that is accented, as all that were measured here are.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    height = max(HEIGHT, 60 + ROW * len(options))
    fig = figure(dark=dark, height=height, x="perplexity, × dense", y="")
    best, usual = options["ratio"].min(), options["ratio"].median()
    near = options[options["ratio"] <= max(FAR * best, usual)]
    edge = near["ratio"].max()
    is_near = options["ratio"] <= edge
    ends = zip(
        ("array", "arrayminus"), bars(options.where(is_near), "ratio"), strict=True
    )
    is_mine = options["run"] == in_hand
    is_accented = is_mine | options["here"]
    marks = is_accented.map({True: colours.accent, False: colours.neutral}).tolist()
    symbols = options["here"].map({True: "diamond", False: "circle"})
    fig.add_scatter(
        x=options["ratio"].clip(upper=edge).tolist(),
        y=list(range(len(options))),
        error_x={**dict(ends), "thickness": 1.5, "width": 4, "color": colours.neutral},
        mode="markers",
        marker={
            "size": 13,
            "color": marks,
            "symbol": symbols.where(is_near, "triangle-right").tolist(),
        },
        customdata=options[["run"]].to_numpy().tolist(),
        text=[
            f"{times(ratio)}{written(low, high)}"
            for ratio, low, high in options[["ratio", "low", "high"]].to_numpy()
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    names = []
    columns = (options["method"], options["ratio"], options["size"])
    rows = zip(*columns, is_mine, is_accented, strict=True)
    for place, (method, ratio, size, mine, accented) in enumerate(rows):
        names.append(f"<b>{plain(method)}</b>" if mine else plain(method))
        fig.add_annotation(
            x=1, xref="paper", y=place, xanchor="left", xshift=8, showarrow=False,
            text=f"<b>{times(ratio)}</b>  {size}",
            font={"color": colours.accent if accented else colours.text, "size": 14},
        )  # fmt: skip
    fig.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, showgrid=False,
        zeroline=False, range=[max(len(names), 4) - 0.5, -0.5], tickfont={"size": 14},
    )  # fmt: skip
    highest = max(1.2, 1.05 * near["high"].where(near["high"] < inf, edge).max())
    steps = [s for s in STEPS if s <= highest]
    fig.update_xaxes(
        type="log", tickvals=steps, ticktext=[f"×{s:g}" for s in steps],
        range=[-0.02, log10(highest)], tickangle=0,
    )  # fmt: skip
    if options["here"].any():
        caption(fig, "◆ measured here · ● shipped with the app")
    fig.update_layout(
        showlegend=False, margin={"t": 8, "r": 150}, clickmode="event+select"
    )
    return fig


def bars(rows: pd.DataFrame, value: str) -> tuple[list[float], list[float]]:
    """Return how far the interval reaches up and down; 0 where it has no end."""
    above, below = rows["high"] - rows[value], rows[value] - rows["low"]
    ends = (side.where(side < inf, 0).fillna(0).tolist() for side in (above, below))
    return next(ends), next(ends)


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
        ends = zip(("array", "arrayminus"), bars(rows, "ratio"), strict=True)
        look["error_y"] = {**dict(ends), "thickness": 1.5}
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
