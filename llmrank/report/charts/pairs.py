"""What pruning costs and gains: dense left and neutral, pruned right and accented."""

from collections.abc import Sequence
from math import isfinite

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmrank.core.formatting import interval, number
from llmrank.core.statistics import Estimate
from llmrank.report.charts.theme import Palette, faded, palette, plain, template
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
    fig = make_subplots(cols=len(pairs), horizontal_spacing=0.02)
    inside = {"color": colours.background} if is_hollow else {}
    sides = (("dense", colours.neutral), ("pruned", colours.accent))
    for place, pair in enumerate(pairs, 1):
        _heading(fig, place, pair, missing, colours)
        _slope(fig, place, pair, colours)
        for at, (side, colour) in enumerate(sides):
            estimate: Estimate | None = getattr(pair, side)
            if estimate is None:
                fig.add_annotation(
                    x=at, y=_highest(pair) / 2, row=1, col=place, text=missing,
                    showarrow=False, font={"size": 20, "color": colours.neutral},
                )  # fmt: skip
                continue
            fig.add_bar(
                x=[at], y=[estimate.value], row=1, col=place, width=0.36,
                hoverinfo="skip",
                marker={"color": faded(colour, 0.15), "line": {"width": 0}},
            )  # fmt: skip
            dot = _dot(at, side, estimate, colour).update(marker=inside)
            fig.add_trace(dot, 1, place)
    fig.update_xaxes(
        range=[-0.8, 1.8], tickvals=[0, 1], ticktext=["dense", "pruned"],
        showgrid=False, zeroline=False, title_font_size=12,
    )  # fmt: skip
    fig.update_yaxes(showgrid=False, showticklabels=False, automargin=False)
    fig.update_layout(
        template=template(dark), height=360, margin={"t": 104, "l": 0, "r": 12},
        showlegend=False, modebar={"orientation": "v"},
    )  # fmt: skip
    return fig


def _heading(
    fig: go.Figure, place: int, pair: Pair, missing: str, colours: Palette
) -> None:
    """Say what a measure is, how much it changed, and which way is better."""
    better = "lower" if pair.lower_is_better else "higher"
    fig.update_xaxes(title_text=f"{better} is better", col=place)
    fig.update_yaxes(range=[0, 1.12 * _highest(pair)], col=place)
    left = fig.get_subplot(1, place).xaxis.domain[0]
    changed = missing if pair.change == Cell() else pair.change.value
    height, large = (76, 32) if any(map(str.isdigit, changed)) else (64, 20)
    for above, size, text, colour in (
        (98, 14, plain(pair.title), colours.text),
        (height, large, f"<b>{changed}</b>", colours.text),
        (32, 12, plain(pair.change.spread).replace("\n", "<br>"), colours.neutral),
    ):
        fig.add_annotation(
            x=left, y=1, xref="paper", yref="paper", text=text, showarrow=False,
            xanchor="left", align="left", yanchor="top", yshift=above,
            font={"size": size, "color": colour},
        )  # fmt: skip


def _slope(fig: go.Figure, place: int, pair: Pair, colours: Palette) -> None:
    """Draw the way from dense to pruned, and where it would be without a change."""
    if pair.dense is None:
        return
    dense, pruned = pair.dense.value, pair.pruned
    quiet = faded(colours.neutral, 0.7)
    fig.add_scatter(
        x=[0, 1.8], y=[dense, dense], row=1, col=place, mode="lines",
        hoverinfo="skip", line={"color": quiet, "width": 1, "dash": "dot"},
    )  # fmt: skip
    rises = pruned is not None and pruned.value > dense > 0.2 * _highest(pair)
    fig.add_annotation(
        x=0.58, y=dense, row=1, col=place, showarrow=False, text="no change",
        yanchor="top" if rises else "bottom",
        font={"size": 12, "color": colours.neutral},
    )  # fmt: skip
    if pruned is not None:
        fig.add_scatter(
            x=[0, 1], y=[dense, pruned.value], row=1, col=place, mode="lines",
            hoverinfo="skip", line={"color": faded(colours.accent, 0.5), "width": 3},
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
