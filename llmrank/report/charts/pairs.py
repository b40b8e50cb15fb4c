"""What pruning costs and gains: dense left and neutral, pruned right and accented."""

from collections.abc import Sequence
from math import isfinite

import plotly.graph_objects as go

from llmrank.core.formatting import interval, number
from llmrank.core.statistics import Estimate
from llmrank.report.charts.theme import Palette, faded, figure, palette, plain
from llmrank.report.tables.comparison import Cell, Pair


def paired_chart(
    pairs: Sequence[Pair], *, missing: str = "–", is_hollow: bool = False, dark: bool
) -> go.Figure:
    """Draw each measure as two dots with their 95 % intervals, from zero.

    Args:
        pairs: side by side, each on an axis of its own.
        missing: stands where a figure is not known.
        is_hollow: it was not measured here, or not with the settings in hand.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=360, x="", y="")
    inside = {"color": colours.background} if is_hollow else {}
    for place, pair in enumerate(pairs):
        name = "" if place == 0 else str(place + 1)
        axes = {"xaxis": f"x{name}", "yaxis": f"y{name}"}
        left = place / len(pairs)
        fig.update_layout(_frame(pair, name, [left, left + 1 / len(pairs) - 0.02]))
        _heading(fig, left, pair, missing, colours)
        _slope(fig, pair, axes, colours)
        sides = (("dense", colours.neutral), ("pruned", colours.accent))
        for at, (side, colour) in enumerate(sides):
            estimate: Estimate | None = getattr(pair, side)
            if estimate is None:
                fig.add_annotation(
                    x=at, y=0.5, xref=f"x{name}", yref=f"y{name} domain", text=missing,
                    showarrow=False, font={"size": 20, "color": colours.neutral},
                )  # fmt: skip
                continue
            fig.add_bar(
                x=[at], y=[estimate.value], width=0.36, hoverinfo="skip",
                marker={"color": faded(colour, 0.15), "line": {"width": 0}}, **axes,
            )  # fmt: skip
            dot = _dot(at, side, estimate, colour)
            fig.add_trace(dot.update(marker=inside, **axes))
    fig.update_layout(showlegend=False, margin={"t": 104, "l": 0, "r": 0},
                      modebar={"orientation": "v"})  # fmt: skip
    return fig


def _frame(pair: Pair, name: str, domain: list[float]) -> dict[str, object]:
    """Return the axes of a measure, named as Plotly counts them."""
    better = "lower" if pair.lower_is_better else "higher"
    return {
        f"xaxis{name}": {
            "domain": domain, "range": [-0.8, 1.8], "anchor": f"y{name}",
            "tickvals": [0, 1], "ticktext": ["dense", "pruned"],
            "showgrid": False, "zeroline": False,
            "title": {"text": f"{better} is better", "font": {"size": 12}},
        },
        f"yaxis{name}": {
            "range": [0, 1.12 * _highest(pair)], "anchor": f"x{name}",
            "showgrid": False, "showticklabels": False, "automargin": False,
        },
    }  # fmt: skip


def _heading(
    fig: go.Figure, left: float, pair: Pair, missing: str, colours: Palette
) -> None:
    """Write above a measure what it is and how much it changed."""
    changed = missing if pair.change == Cell() else pair.change.value
    for above, size, text, colour in (
        (98, 14, plain(pair.title), colours.text),
        (76, 32, f"<b>{changed}</b>", colours.text),
        (32, 12, plain(pair.change.spread).replace("\n", "<br>"), colours.neutral),
    ):
        fig.add_annotation(
            x=left, y=1, xref="paper", yref="paper", text=text, showarrow=False,
            xanchor="left", align="left", yanchor="top", yshift=above,
            font={"size": size, "color": colour},
        )  # fmt: skip


def _slope(fig: go.Figure, pair: Pair, axes: dict[str, str], colours: Palette) -> None:
    """Draw the way from dense to pruned, and where it would be without a change."""
    if pair.dense is None:
        return
    dense, pruned = pair.dense.value, pair.pruned
    quiet = faded(colours.neutral, 0.7)
    fig.add_scatter(
        x=[0, 1.8], y=[dense, dense], mode="lines", hoverinfo="skip",
        line={"color": quiet, "width": 1, "dash": "dot"}, **axes,
    )  # fmt: skip
    rises = pruned is not None and pruned.value > dense
    has_room = dense > 0.2 * _highest(pair)
    fig.add_annotation(
        x=0.58, y=dense, xref=axes["xaxis"], yref=axes["yaxis"], showarrow=False,
        yanchor="top" if rises and has_room else "bottom", text="no change",
        font={"size": 12, "color": colours.neutral},
    )  # fmt: skip
    if pruned is not None:
        fig.add_scatter(
            x=[0, 1], y=[dense, pruned.value], mode="lines", hoverinfo="skip",
            line={"color": faded(colours.accent, 0.5), "width": 3}, **axes,
        )  # fmt: skip


def _dot(at: int, side: str, estimate: Estimate, colour: str) -> go.Scatter:
    """Draw one model's figure with its interval, and write it beside."""
    low, high = _ends(estimate)
    spread = f" {interval(low, high)}" if low < high else ""
    return go.Scatter(
        x=[at], y=[estimate.value], mode="markers+text", name=side,
        error_y={"array": [high - estimate.value], "thickness": 2, "width": 6,
                 "arrayminus": [estimate.value - low], "color": colour},
        marker={"size": 18, "color": colour, "line": {"color": colour, "width": 3}},
        text=[f"  <b>{number(estimate.value)}</b>  "], textfont={"size": 14},
        textposition="middle right" if at else "middle left", cliponaxis=False,
        hovertemplate=f"{side}: {number(estimate.value)}{spread}<extra></extra>",
    )  # fmt: skip


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Return the interval; one window alone has none."""
    if not isfinite(estimate.high):
        return estimate.value, estimate.value
    return estimate.low, estimate.high


def _highest(pair: Pair) -> float:
    known = [e for e in (pair.dense, pair.pruned) if e is not None]
    return max((_ends(e)[1] for e in known), default=1.0)
