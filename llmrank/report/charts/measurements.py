"""What stays, what it does and how fast: widths, trade-offs, timings and tasks."""

from collections.abc import Sequence
from statistics import median

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import number, share
from llmrank.evaluation.speedup import Ratio, as_fast
from llmrank.report.charts.frontier import method_line
from llmrank.report.charts.runs import written
from llmrank.report.charts.theme import (
    figure,
    is_wide,
    layer_ticks,
    palette,
    plain,
    segments,
)

FEW = 3
"""Points, dense among them, below which no line is drawn through a curve."""


def widths_chart(
    before: Sequence[int], after: Sequence[int], *, dark: bool = False
) -> go.Figure:
    """Draw the neurons of each layer before (hatched outline) and after (filled)."""
    colours = palette(dark)
    fig = figure(dark=dark, height=300, x="layer", y="neurons (d_ff)")
    hatched: dict[str, object] = {
        "color": "rgba(0,0,0,0)",
        "line": {"color": colours.neutral, "width": 1},
        "pattern": {"shape": "/", "size": 6, "fgcolor": colours.neutral},
    }
    fig.add_trace(_widths("dense", before, hatched))
    fig.add_trace(_widths("pruned", after, {"color": colours.accent}))
    fig.update_layout(barmode="overlay")
    fig.update_xaxes(layer_ticks(len(before)))
    return fig


def tradeoff(
    points: pd.DataFrame, *, metric: str = "perplexity", dark: bool = False
) -> go.Figure:
    """Draw a metric over sparsity, one curve per criterion, with its intervals.

    Dense and one point more are no line.
    Values that pass 1 and span more than a decade get a log axis.

    Args:
        points: columns criterion, sparsity (in [0, 1)), value, low and high (the ends
            of the interval, or NaN). The dense line is the first value at sparsity 0.
        metric: the title of the axis, with its unit.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    known = points.dropna(subset=["sparsity", "value"])
    fig = figure(dark=dark, height=420, x="FFN neurons removed", y=plain(metric))
    dense = known.loc[known["sparsity"] == 0, "value"]
    if len(dense):
        value = float(dense.iloc[0])
        fig.add_scatter(
            x=[0, float(known["sparsity"].max())],
            y=[value, value],
            mode="lines",
            line={"color": colours.neutral, "width": 2, "dash": "dash"},
            name=f"dense: {value:.3g}",
            hoverinfo="name",
        )
    said = [
        f"{share(sparsity)} removed, {number(value)}{written(low, high)}"
        for sparsity, value, low, high in known[
            ["sparsity", "value", "low", "high"]
        ].to_numpy()
    ]
    known = known.assign(x=known["sparsity"], y=known["value"], said=said, run="")
    for place, (criterion, rows) in enumerate(known.groupby("criterion", sort=False)):
        line = method_line(
            rows.sort_values("x"), name=str(criterion), place=place, colours=colours
        )
        if len(rows) < FEW:
            line.mode = "markers"
        fig.add_trace(line)
    fig.update_xaxes(tickformat=".0%")
    if is_wide(known["value"]):
        fig.update_yaxes(type="log")
    return fig


def latency_chart(
    dense_samples: Sequence[float],
    pruned_samples: Sequence[float],
    unit: str,
    ratio: Ratio | None = None,
    *,
    dark: bool = False,
) -> go.Figure:
    """Draw every timing, dense left and pruned right; the title says the speed-up.

    Args:
        dense_samples: at least one.
        pruned_samples: at least one.
        unit: what one sample is, such as "decode, ms per token".
        ratio: the speed-up of these timings; None leaves the title out.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=320, x="", y=plain(unit))
    sides = (
        ("dense", dense_samples, colours.neutral),
        ("pruned", pruned_samples, colours.accent),
    )
    for side, samples, colour in sides:
        fig.add_box(
            y=list(samples),
            name=f"{side} (median {median(samples):.3g})",
            boxpoints="all",
            jitter=0.4,
            pointpos=0,
            marker={"color": colour, "size": 5, "opacity": 0.7},
            line={"width": 1.5},
            hovertemplate="%{y:.3g}<extra></extra>",
        )
    text = "" if ratio is None else f"{as_fast(ratio)} as dense, paired by round"
    fig.update_layout(showlegend=False, title={"text": text})
    fig.update_yaxes(rangemode="tozero")
    return fig


def task_chart(results: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw accuracy by task, dense beside pruned, and what guessing would give.

    Args:
        results: columns task, side (dense or pruned), acc, stderr and chance, the
            last two NaN where unknown.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    tasks = list(dict.fromkeys(results["task"]))
    fig = figure(dark=dark, height=360, x="", y="accuracy ± standard error")
    for side, colour in (("dense", colours.neutral), ("pruned", colours.accent)):
        rows = results[results["side"] == side]
        if len(rows):
            spread = rows["stderr"].fillna(0).tolist()
            fig.add_bar(
                x=[tasks.index(task) for task in rows["task"]],
                y=rows["acc"].tolist(),
                error_y={"array": spread, "color": colours.text, "thickness": 1.2},
                name=side,
                marker={"color": colour},
                customdata=[[plain(str(task))] for task in rows["task"]],
                hovertemplate=f"%{{customdata[0]}}, {side}: %{{y:.1%}} ± "
                "%{error_y.array:.1%}<extra></extra>",
            )
    known = results.dropna(subset=["chance"]).drop_duplicates("task")
    fig.add_scatter(
        **segments([tasks.index(t) for t in known["task"]], known["chance"].tolist()),
        mode="lines",
        name="guessing",
        line={"color": colours.text, "width": 2, "dash": "dot"},
        hovertemplate="guessing: %{y:.1%}<extra></extra>",
    )
    names = [plain(str(task)) for task in tasks]
    fig.update_xaxes(tickvals=list(range(len(tasks))), ticktext=names, showgrid=False)
    fig.update_yaxes(range=[0, 1], tickformat=".0%")
    fig.update_layout(barmode="group")
    return fig


def _widths(side: str, widths: Sequence[int], marker: dict[str, object]) -> go.Bar:
    return go.Bar(
        x=list(range(len(widths))),
        y=list(widths),
        name=f"{side}: {sum(widths):,}",
        marker=marker,
        hovertemplate=f"layer %{{x}}: %{{y:,}} neurons {side}<extra></extra>",
    )
