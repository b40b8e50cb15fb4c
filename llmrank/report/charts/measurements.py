"""What pruning costs and gains: dense left and neutral, pruned right and accented."""

from collections.abc import Sequence
from math import inf, isfinite, log10
from statistics import median
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, interval, number, share, times
from llmrank.core.statistics import Estimate
from llmrank.evaluation.speedup import Ratio, as_fast
from llmrank.report.charts.frontier import HEIGHT, HIGHEST, STEPS
from llmrank.report.charts.theme import (
    Palette,
    curve_style,
    faded,
    figure,
    is_wide,
    layer_ticks,
    palette,
    plain,
    segments,
)
from llmrank.report.tables.comparison import Cell, Pair


def paired_chart(
    pairs: Sequence[Pair], *, missing: str = "–", is_old: bool = False, dark: bool
) -> go.Figure:
    """Draw each measure as two dots with their 95 % intervals, from zero.

    Args:
        pairs: side by side, each on an axis of its own.
        missing: stands where a figure is not known.
        is_old: draw it greyed: it belongs to other settings than those in hand.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=340, x="", y="")
    for place, pair in enumerate(pairs):
        left = place / len(pairs)
        known = [e for e in (pair.dense, pair.pruned) if e is not None]
        highest = max((_ends(e)[1] for e in known), default=1.0)
        name = "" if place == 0 else str(place + 1)
        fig.update_layout({
            f"xaxis{name}": {
                "domain": [left, left + 1 / len(pairs) - 0.03], "range": [-0.6, 1.6],
                "tickvals": [0, 1], "ticktext": ["dense", "pruned"], "showgrid": False,
                "zeroline": False, "anchor": f"y{name}", "title": {"text": ""},
            },
            f"yaxis{name}": {
                "range": [0, 1.12 * highest], "anchor": f"x{name}", "showgrid": False,
                "showticklabels": False, "title": {"text": ""},
            },
        })  # fmt: skip
        accent = colours.neutral if is_old else colours.accent
        axes = {"xaxis": f"x{name}", "yaxis": f"y{name}"}
        if len(known) == 2:
            fig.add_scatter(
                x=[0, 1], y=[e.value for e in known], mode="lines", hoverinfo="skip",
                line={"color": faded(accent, 0.35), "width": 3}, **axes,
            )  # fmt: skip
        for at, side, colour in ((0, "dense", colours.neutral), (1, "pruned", accent)):
            estimate: Estimate | None = getattr(pair, side)
            if estimate is None:
                fig.add_annotation(
                    x=at, y=0.5, xref=f"x{name}", yref=f"y{name} domain", text=missing,
                    showarrow=False, font={"size": 20, "color": colours.neutral},
                )  # fmt: skip
            else:
                fig.add_trace(_dot(at, side, estimate, colour).update(axes))
        changed = missing if pair.change == Cell() else pair.change.value
        spread = f' <span style="font-size:14px">{pair.change.spread}</span>'
        for y, size, text in (
            (1.24, 14, plain(pair.title)),
            (1.13, 20, f"<b>{changed}</b>{spread}"),
        ):
            fig.add_annotation(
                x=left, y=y, xref="paper", yref="paper", text=text, showarrow=False,
                xanchor="left", yanchor="middle", font={"size": size},
            )  # fmt: skip
    fig.update_layout(showlegend=False, margin={"t": 84})
    return fig


def runs_chart(
    runs: pd.DataFrame, *, named: Sequence[str], chosen: Sequence[str] = (), dark: bool
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
    highest = min(HIGHEST, runs["ratio"].max() * 1.2)
    steps = [s for s in STEPS if s <= highest]
    fig.update_yaxes(
        type="log", range=[-0.03, log10(max(highest, 1.2))], tickvals=steps,
        ticktext=[f"×{s:g}" for s in steps],
    )  # fmt: skip
    fig.update_xaxes(tickformat=".3s")
    outside = int((runs["ratio"] > HIGHEST).sum())
    if outside:
        said = f"{counted(outside, 'run')} above {times(HIGHEST)}, outside"
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
            with its 95 % interval) and run, which a point that is clicked is known by.
        in_hand: the run that is accented.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=HEIGHT, x="perplexity, × dense", y="")
    accents = [run == in_hand for run in options["run"]]
    ends = zip(("array", "arrayminus"), _bars(options, "ratio"), strict=True)
    marks = [colours.accent if mine else colours.neutral for mine in accents]
    fig.add_scatter(
        x=options["ratio"].tolist(),
        y=list(range(len(options))),
        error_x={**dict(ends), "thickness": 1.5, "width": 4},
        mode="markers",
        marker={"size": 14, "color": marks},
        customdata=options[["run"]].to_numpy().tolist(),
        text=[
            f"{times(ratio)}{_interval(low, high)}"
            for ratio, low, high in options[["ratio", "low", "high"]].to_numpy()
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    names = []
    columns = (options["method"], options["ratio"], options["size"], accents)
    for place, (method, ratio, size, mine) in enumerate(zip(*columns, strict=True)):
        names.append(f"<b>{plain(method)}</b>" if mine else plain(method))
        fig.add_annotation(
            x=1, xref="paper", y=place, xanchor="right", showarrow=False,
            text=f"<b>{times(ratio)}</b>  {size}",
            font={"color": colours.accent if mine else colours.text},
        )  # fmt: skip
    fig.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, showgrid=False,
        zeroline=False, range=[max(len(names), 4) - 0.5, -0.5],
    )  # fmt: skip
    highest = max(1.2, 1.1 * options["high"].where(options["high"] < inf, 1).max())
    steps = [s for s in STEPS if s <= highest]
    fig.update_xaxes(
        type="log", tickvals=steps, ticktext=[f"×{s:g}" for s in steps],
        range=[-0.02, log10(highest)], domain=[0, 0.62], tickangle=0,
    )  # fmt: skip
    fig.update_layout(showlegend=False, margin={"t": 8}, clickmode="event+select")
    return fig


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
    for place, (criterion, rows) in enumerate(known.groupby("criterion", sort=False)):
        fig.add_trace(_curve(plain(str(criterion)), rows, place, colours))
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


def _dot(at: int, side: str, estimate: Estimate, colour: str) -> go.Scatter:
    """Draw one model's figure with its interval, and write it beside."""
    low, high = _ends(estimate)
    spread = f" [{number(low)}, {number(high)}]" if low < high else ""
    return go.Scatter(
        x=[at], y=[estimate.value], mode="markers+text", name=side,
        error_y={"array": [high - estimate.value], "thickness": 2, "width": 6,
                 "arrayminus": [estimate.value - low], "color": colour},
        marker={"size": 18, "color": colour},
        text=[f"  <b>{number(estimate.value)}</b>  "], textfont={"size": 14},
        textposition="middle right" if at else "middle left", cliponaxis=False,
        hovertemplate=f"{side}: {number(estimate.value)}{spread}<extra></extra>",
    )  # fmt: skip


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
        ends = zip(("array", "arrayminus"), _bars(rows, "ratio"), strict=True)
        look["error_y"] = {**dict(ends), "thickness": 1.5}
    spreads = rows[["ratio", "low", "high"]].values
    return go.Scatter(
        x=rows["parameters"].tolist(),
        y=rows["ratio"].tolist(),
        name=name,
        customdata=[
            [run, share(sparsity), f"{times(ratio)}{_interval(low, high)}"]
            for run, sparsity, (ratio, low, high) in zip(
                rows["run"], rows["sparsity"], spreads, strict=True
            )
        ],
        hovertemplate="%{customdata[1]} removed, %{x:.4s}: %{customdata[2]}",
        **look,
    )


def _bars(rows: pd.DataFrame, value: str) -> tuple[list[float], list[float]]:
    """Return how far the interval reaches up and down; 0 where it has no end."""
    above, below = rows["high"] - rows[value], rows[value] - rows["low"]
    ends = (side.where(side < inf, 0).fillna(0).tolist() for side in (above, below))
    return next(ends), next(ends)


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Return the interval; one window alone has none."""
    if not isfinite(estimate.high):
        return estimate.value, estimate.value
    return estimate.low, estimate.high


def _widths(side: str, widths: Sequence[int], marker: dict[str, object]) -> go.Bar:
    return go.Bar(
        x=list(range(len(widths))),
        y=list(widths),
        name=f"{side}: {sum(widths):,}",
        marker=marker,
        hovertemplate=f"layer %{{x}}: %{{y:,}} neurons {side}<extra></extra>",
    )


def _curve(name: str, rows: pd.DataFrame, place: int, colours: Palette) -> go.Scatter:
    rows = rows.sort_values("sparsity")
    above, below = _bars(rows, "value")
    return go.Scatter(
        x=rows["sparsity"].tolist(),
        y=rows["value"].tolist(),
        error_y={
            "array": above,
            "arrayminus": below,
            "thickness": 1.5,
        },
        name=name,
        customdata=[
            [_interval(low, high)] for low, high in rows[["low", "high"]].values
        ],
        hovertemplate="%{x:.0%}: %{y:.3g}%{customdata[0]}",
        **curve_style(place, colours, size=8),
    )


def _interval(low: float, high: float) -> str:
    return f" {interval(low, high)}" if isfinite(low + high) else ""
