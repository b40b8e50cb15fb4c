"""Many methods on two axes at once: on the frontier, beaten, or not to be told."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, number, share
from llmrank.report.charts.theme import (
    SYMBOLS,
    WIDE_RANGE,
    Palette,
    bars,
    caption,
    faded,
    figure,
    is_wide,
    palette,
    plain,
    rest,
)

HEIGHT = 460
SCREEN = (480, 320)
"""About what the axes span, in pixels: labels leave one another room there."""

YOURS = "measured here"
"""What one's own methods are to the reader: all look alike, and the legend says it."""

LABELS = 112
"""Pixels right of the axes, where labels hide no point."""

SIZES = {"on the frontier": 13, "cannot be told": 11, "beaten": 6}
LINE = 15
"""Pixels that a line of a label takes."""

TICKS = {
    "tickvals": [m * 10**d for d in range(-3, 9) for m in (1, 1.2, 1.5, 2, 3, 5, 8)],
    "tickformat": ",~g",
}
"""Of a logarithmic axis; those close to one another are left out where it is long."""

COLUMN = 0.02
"""Of the width: points at one sparsity that lie within it are one column."""

V = TypeVar("V", float, pd.Series)


@dataclass(frozen=True)
class Axis:
    """What is shown of some values: in decades where the axis is logarithmic.

    An axis that falls has its highest value at the `low` end.
    """

    low: float
    high: float
    is_log: bool

    @property
    def layout(self) -> dict[str, object]:
        """The settings of Plotly's axis."""
        kind = {"type": "log", **TICKS} if self.is_log else {"type": "linear"}
        return {"range": [self.low, self.high], **kind}

    def units(self, values: V) -> V:
        """Return where values are, as the layout counts."""
        return np.log10(values) if self.is_log else values

    def pixels(self, values: pd.Series, length: int) -> pd.Series:
        """Return where values are from the low end on."""
        return (self.units(values) - self.low) / (self.high - self.low) * length


def pareto_chart(
    standings: pd.DataFrame,
    *,
    named: Mapping[str, str],
    titles: tuple[str, str],
    marked: tuple[float | None, str | None] = (None, None),
    dense: tuple[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw methods on two axes with their intervals and verdicts.

    What is beaten is small, what cannot be told is hollow; the more is removed, the
    farther to the right. Who is named has intervals.

    Args:
        standings: from `report.tables.arena`; a line joins the points of a method.
        named: the methods that have a colour and a label, in the colours' order, and
            what each is to the reader (or ""); the others are grey.
        titles: of the axes, with their units.
        marked: the sparsity in hand, and the run that is ringed.
        dense: where the dense model is, or None.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=HEIGHT, x=plain(titles[0]), y=plain(titles[1]))
    legend = {"itemclick": False, "itemdoubleclick": False, "y": 1.06}
    fig.update_layout(margin={"t": 56}, clickmode="event+select", legend=legend)
    fig.add_traces(list(_key(standings, named, colours)))
    if dense is not None:
        fig.add_scatter(
            x=[dense[0]], y=[dense[1]], mode="markers+text", name="dense",
            text="dense", textposition="top center", showlegend=False,
            marker={"symbol": "star-open", "size": 14, "color": colours.neutral,
                    "line": {"width": 2}},
            hovertemplate="%{x:.4~g}, %{y:.4~g}",
        )  # fmt: skip
    if standings.empty:
        return fig
    ends = pd.DataFrame([] if dense is None else [dense], columns=["x", "y"])
    known = pd.concat([standings[["x", "y", "sparsity"]], ends.assign(sparsity=0.0)])
    axes = _axes(fig, known.astype(float))
    quiet = [m for m in standings["method"].unique() if m not in named]
    labelled = [method for method, what in named.items() if what != YOURS]
    own = named.keys() - set(labelled)
    for method in (*quiet, *reversed(labelled), *own):
        rows = standings[standings["method"] == method]
        if len(rows):
            fig.add_trace(
                _curve(
                    rows.sort_values(["sparsity", "seed"]),
                    *look(method, named, colours),
                    colours,
                )
            )
    fig.add_trace(ring(standings[standings["run"] == marked[1]], colours))
    _name(fig, standings[standings["method"].isin(labelled)], named, axes, colours)
    _columns(fig, standings, marked[0], axes[0], colours)
    return fig


def look(method: str, named: Mapping[str, str], colours: Palette) -> tuple[str, str]:
    """Return a method's colour and symbol: colour is never alone."""
    if method not in named:
        return colours.neutral, "circle"
    if named[method] == YOURS:
        return colours.text, "diamond"
    n = [*named].index(method)
    return colours.series[n % len(colours.series)], SYMBOLS[n % len(SYMBOLS)]


def symbol_of(symbol: str, verdict: str) -> str:
    """Return a symbol as a verdict shows it."""
    return f"{symbol}-open" if verdict == "cannot be told" else symbol


def axis_of(values: pd.Series, is_log: bool) -> Axis:
    """Make room for some values; an endless interval may leave the picture."""
    units = np.log10(values) if is_log else values
    low, high = float(units.min()), float(units.max())
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - room, high + room, is_log)


def ring(rows: pd.DataFrame, colours: Palette) -> go.Scatter:
    """Draw a ring around what is held."""
    return go.Scatter(
        x=rows["x"].tolist(), y=rows["y"].tolist(), mode="markers",
        hoverinfo="skip", showlegend=False,
        marker={"symbol": "circle-open", "size": 22, "color": colours.text,
                "line": {"width": 2}},
    )  # fmt: skip


def said_of(row: Mapping[Hashable, Any]) -> str:
    """Say in the hover what a point is and where it is."""
    return (
        f"{share(row['sparsity'])} removed, seed {row['seed']}<br>{number(row['x'])}, "
        f"{row['said']}<br>{row['verdict']}"
    )


def _key(
    standings: pd.DataFrame, named: Mapping[str, str], colours: Palette
) -> Iterator[go.Scatter]:
    """Say in the legend how the verdicts look, and one's own."""
    if YOURS in named.values():
        yield go.Scatter(
            x=[None], y=[None], mode="markers", name=YOURS,
            marker={"symbol": "diamond", "size": 11, "color": colours.text},
        )  # fmt: skip
    for verdict, size in SIZES.items():
        if verdict in set(standings.get("verdict", ())):
            colour = colours.neutral if verdict == "beaten" else colours.text
            yield go.Scatter(
                x=[None], y=[None], mode="markers", name=verdict,
                marker={"symbol": symbol_of("circle", verdict), "size": size,
                        "color": colour, "line": {"width": 2}},
            )  # fmt: skip


def _axes(fig: go.Figure, known: pd.DataFrame) -> tuple[Axis, Axis]:
    """Make room for the points; most of a wide range is shown, the rest on demand."""
    near = known["y"][known["y"] <= WIDE_RANGE * known["y"].min()]
    is_cut = is_wide(known["y"]) and len(known) > len(near) >= len(known) / 2
    if is_cut:
        outside = counted(len(known) - len(near), "point")
        caption(fig, f"a double-click shows or hides {outside} far above")
    across = axis_of(known["x"], is_wide(known["x"]))
    if known["x"].corr(known["sparsity"]) < 0:
        across = Axis(across.high, across.low, across.is_log)
    up = axis_of(near if is_cut else known["y"], is_wide(known["y"]))
    fig.update_layout(xaxis=across.layout, yaxis=up.layout)
    return across, up


def _curve(
    rows: pd.DataFrame, colour: str, symbol: str, colours: Palette
) -> go.Scatter:
    """Draw one method's way over sparsities."""
    is_quiet = colour == colours.neutral
    line = faded(colour, 0.25 if is_quiet else 0.7)
    return go.Scatter(
        x=rows["x"].tolist(), y=rows["y"].tolist(),
        **{} if is_quiet else {f"error_{axis}": bars(
            rows[axis], rows[f"{axis}_low"], rows[f"{axis}_high"], line)
            for axis in "xy"},
        mode="lines+markers", line={"color": line, "width": 1 if is_quiet else 2},
        marker={"symbol": [symbol_of(symbol, v) for v in rows["verdict"]],
                "size": (rows["verdict"].map(SIZES) - is_quiet).tolist(),
                "opacity": 0.5 if is_quiet else 1, "color": colour,
                "line": {"width": 1 if is_quiet else 2, "color": colour}},
        unselected={"marker": {"opacity": 0.5 if is_quiet else 1}},
        name=plain(str(rows["method"].iloc[0])), showlegend=False,
        customdata=rows[["run"]].to_numpy().tolist(),
        text=[said_of(row) for row in rows.to_dict("records")], hovertemplate="%{text}",
    )  # fmt: skip


def _name(
    fig: go.Figure,
    points: pd.DataFrame,
    named: Mapping[str, str],
    axes: tuple[Axis, Axis],
    colours: Palette,
) -> None:
    """Write methods' names at the outer ends of their lines, one under another."""
    across, up = axes
    seen = points.assign(up=up.pixels(points["y"], SCREEN[1]))
    seen = seen[seen["up"] <= SCREEN[1]].sort_values("sparsity")
    ends = seen.groupby("method").tail(1).sort_values("up", ascending=False)
    told = [
        (row, wrap(named[row["method"]] or rest(row["method"], [*named]), 18))
        for row in ends.to_dict("records")
    ]
    middles: list[float] = []
    below = float("inf")
    for row, lines in told:
        middles.append(min(row["up"], below - LINE * len(lines) / 2))
        below = middles[-1] - LINE * len(lines) / 2
    lift = sum(row["up"] for row, _ in told) - sum(middles)  # as far up as down
    for (row, lines), middle in zip(told, middles, strict=True):
        colour, _ = look(row["method"], named, colours)
        fig.add_annotation(
            x=across.units(row["x"]), y=up.units(row["y"]),
            ax=20, ay=row["up"] - middle - lift / len(told),
            text="<br>".join(map(plain, lines)), xanchor="left", align="left",
            arrowhead=0, arrowwidth=1, arrowcolor=faded(colour, 0.6), standoff=6,
            font={"color": colour, "size": 12},
        )  # fmt: skip
    fig.update_layout(margin={"r": LABELS})


def _columns(
    fig: go.Figure,
    points: pd.DataFrame,
    here: float | None,
    across: Axis,
    colours: Palette,
) -> None:
    """Say above the points of one sparsity which it is, where they are a column."""
    for sparsity in points["sparsity"].unique().tolist():
        rows = points[points["sparsity"] == sparsity]
        units = across.units(rows["x"])
        if units.max() - units.min() > COLUMN * abs(across.high - across.low):
            continue
        is_here = sparsity == here
        fig.add_annotation(
            x=units.mean(), y=1, yref="paper", yanchor="bottom",
            text=share(sparsity) + " removed" * is_here,
            showarrow=False,
            font={"color": colours.text if is_here else colours.neutral, "size": 12},
        )  # fmt: skip
        if is_here:
            line = {"color": faded(colours.text, 0.4), "dash": "dot", "width": 1}
            fig.add_vline(x=rows["x"].mean(), line=line)
