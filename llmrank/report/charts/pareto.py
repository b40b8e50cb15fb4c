"""Many methods on two axes at once: on the frontier, beaten, or not to be told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, number, share
from llmrank.report.charts.theme import (
    SYMBOLS,
    WIDE_RANGE,
    Palette,
    faded,
    figure,
    is_wide,
    palette,
    plain,
)

HEIGHT = 430
SCREEN = (760, 320)
"""About what the axes span, in pixels: what coincides there is spread."""

SIZES = {"on the frontier": 12, "cannot be told": 10, "beaten": 6}
APART = 12
"""Pixels between two points side by side."""

LABELS = 6
"""How many methods are named in the picture."""

LINE = 16
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
    """What is shown of some values: in decades where the axis is logarithmic."""

    low: float
    high: float
    is_log: bool

    def units(self, values: V) -> V:
        """Return where values are, as the layout counts."""
        return np.log10(values) if self.is_log else values

    def pixels(self, values: pd.Series, length: int) -> pd.Series:
        """Return where values are from the low end on."""
        return (self.units(values) - self.low) / (self.high - self.low) * length

    def values(self, pixels: pd.Series, length: int) -> pd.Series:
        """Return what is so many pixels from the low end."""
        units = self.low + pixels / length * (self.high - self.low)
        return 10**units if self.is_log else units


def pareto_chart(
    standings: pd.DataFrame,
    *,
    titles: tuple[str, str],
    here: float | None = None,
    dense: tuple[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw methods on two axes with their intervals and verdicts.

    What is beaten is small and grey, what cannot be told is hollow. Points that would
    lie on one another stand side by side; the hover says where they are.

    Args:
        standings: from `report.tables.arena`; a line joins the points of a method. Who
            is on the frontier most often has the first colour.
        titles: of the axes, with their units.
        here: the sparsity in hand, or None.
        dense: where the dense model is, or None.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=HEIGHT, x=plain(titles[0]), y=plain(titles[1]))
    legend = {
        "itemclick": False,
        "itemdoubleclick": False,
        "y": 1.05,
        "itemsizing": "constant",
    }
    fig.update_layout(margin={"t": 56}, clickmode="event+select", legend=legend)
    fig.add_traces(list(_key(standings, colours)))
    if dense is not None:
        fig.add_scatter(
            x=[dense[0]], y=[dense[1]], mode="markers", name="dense",
            marker={"symbol": "star-open", "size": 14, "color": colours.neutral,
                    "line": {"width": 2}},
            hovertemplate="%{x:.4~g}, %{y:.4~g}",
        )  # fmt: skip
    if standings.empty:
        return fig
    ends = pd.DataFrame([] if dense is None else [dense], columns=["x", "y"])
    known = pd.concat([standings[["x", "y"]], ends]).astype(float)
    axes = _axes(fig, known, colours)
    points = _spread(standings, *axes)
    methods = _ordered(standings)
    loud = set(standings.loc[standings["verdict"] != "beaten", "method"])
    for place, method in reversed(list(enumerate(methods))):
        rows = points[points["method"] == method].sort_values(["sparsity", "seed"])
        fig.add_trace(_curve(rows, place, method in loud, colours))
    named = set(methods) if len(methods) <= LABELS else loud
    _name(fig, points[points["method"].isin(named)], methods, axes, colours)
    _columns(fig, points, here, axes[0], colours)
    return fig


def _ordered(standings: pd.DataFrame) -> list[str]:
    """List the methods: who is on the frontier, then who may be, the best first."""
    verdicts = pd.get_dummies(standings["verdict"]).groupby(standings["method"]).sum()
    verdicts = verdicts.reindex(columns=list(SIZES), fill_value=0)
    verdicts = verdicts.reindex(standings["method"].unique())
    first = verdicts.sort_values(list(SIZES)[:2], ascending=False, kind="stable")
    return [str(name) for name in first.index]


def _key(standings: pd.DataFrame, colours: Palette) -> Iterator[go.Scatter]:
    """Say in the legend how the verdicts look."""
    there = set(standings["verdict"]) if len(standings) else set()
    for verdict, size in SIZES.items():
        if verdict in there:
            colour = colours.neutral if verdict == "beaten" else colours.text
            yield go.Scatter(
                x=[None], y=[None], mode="markers", name=verdict,
                marker={"symbol": _symbol("circle", verdict), "size": size,
                        "color": colour, "line": {"width": 2}},
            )  # fmt: skip


def _symbol(symbol: str, verdict: str) -> str:
    return f"{symbol}-open" if verdict == "cannot be told" else symbol


def _axes(fig: go.Figure, known: pd.DataFrame, colours: Palette) -> tuple[Axis, Axis]:
    """Make room for the points; most of a wide range is shown, the rest on demand."""
    near = known["y"][known["y"] <= WIDE_RANGE * known["y"].min()]
    is_cut = is_wide(known["y"]) and len(known) > len(near) >= len(known) / 2
    if is_cut:
        outside = counted(len(known) - len(near), "point")
        fig.add_annotation(
            text=f"a double-click shows or hides {outside} far above",
            xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="top",
            showarrow=False, font={"color": colours.neutral},
        )  # fmt: skip
    across = _axis(known["x"], is_wide(known["x"]))
    up = _axis(near if is_cut else known["y"], is_wide(known["y"]))
    for update, axis in ((fig.update_xaxes, across), (fig.update_yaxes, up)):
        kind = {"type": "log", **TICKS} if axis.is_log else {"type": "linear"}
        update(range=[axis.low, axis.high], **kind)
    return across, up


def _axis(values: pd.Series, is_log: bool) -> Axis:
    """An endless interval may leave the picture."""
    units = np.log10(values) if is_log else values
    low, high = float(units.min()), float(units.max())
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - room, high + room, is_log)


def _spread(standings: pd.DataFrame, across: Axis, up: Axis) -> pd.DataFrame:
    """Add `at`, where each is drawn: beside those that are drawn there already."""
    x, y = (
        across.pixels(standings["x"], SCREEN[0]),
        up.pixels(standings["y"], SCREEN[1]),
    )
    taken = np.empty((0, 2))
    for own in np.stack([x, y], 1):
        sides = own + np.outer([0, 1, -1, 2, -2, 3, -3, 4, -4], [APART, 0])
        room = (np.hypot(*(taken - side).T).min(initial=np.inf) for side in sides)
        place = next((s for s, r in zip(sides, room, strict=True) if r >= APART), own)
        taken = np.vstack([taken, place])
    return standings.assign(
        at=across.values(pd.Series(taken[:, 0]), SCREEN[0]).to_numpy()
    )


def _curve(
    rows: pd.DataFrame, place: int, is_loud: bool, colours: Palette
) -> go.Scatter:
    """Draw one method's way over sparsities; colour is never alone."""
    colour = colours.series[place % len(colours.series)]
    quiet = faded(colours.neutral, 0.5)
    verdicts = rows["verdict"].tolist()
    symbol = SYMBOLS[place % len(SYMBOLS)]
    line = faded(colour, 0.6) if is_loud else faded(colours.neutral, 0.25)
    texts = [
        f"{share(row['sparsity'])} removed, seed {row['seed']}<br>{number(row['x'])}, "
        f"{row['said']}<br>{row['verdict']}"
        for row in rows.to_dict("records")
    ]
    bars = {a: _bars(rows, a) | {"color": line} for a in ("x", "y")}
    return go.Scatter(
        x=rows["at"].tolist(), y=rows["y"].tolist(),
        error_x=bars["x"], error_y=bars["y"],
        mode="lines+markers", line={"color": line, "width": 1},
        marker={"symbol": [_symbol(symbol, v) for v in verdicts],
                "size": [SIZES[v] for v in verdicts], "opacity": 1,
                "color": [quiet if v == "beaten" else colour for v in verdicts],
                "line": {"width": 2}},
        unselected={"marker": {"opacity": 1}}, selected={"marker": {"size": 18}},
        name=plain(str(rows["method"].iloc[0])), showlegend=False,
        customdata=rows[["run"]].to_numpy().tolist(),
        text=texts, hovertemplate="%{text}",
    )  # fmt: skip


def _bars(rows: pd.DataFrame, axis: str) -> dict[str, object]:
    """Leave out the ends that are not finite: one window alone has no interval."""
    above = rows[f"{axis}_high"] - rows[axis]
    below = rows[axis] - rows[f"{axis}_low"]
    finite = [side.where(side < float("inf"), 0).fillna(0) for side in (above, below)]
    up, down = (side.tolist() for side in finite)
    return {"array": up, "arrayminus": down, "thickness": 1.2, "width": 3}


def _name(
    fig: go.Figure,
    points: pd.DataFrame,
    methods: Sequence[str],
    axes: tuple[Axis, Axis],
    colours: Palette,
) -> None:
    """Write methods' names at the outer ends of their lines, one under another."""
    across, up = axes
    seen = points.assign(up=up.pixels(points["y"], SCREEN[1]))
    seen = seen[seen["up"] <= SCREEN[1]].sort_values("sparsity")
    ends = seen.groupby("method").tail(1).sort_values("up", ascending=False)
    is_left = seen["x"].corr(seen["sparsity"]) <= 0
    side, anchor = (-1, "right") if is_left else (1, "left")
    told = [(row, wrap(row["method"], 20)) for row in ends.to_dict("records")[:LABELS]]
    middles: list[float] = []
    below = float("inf")
    for row, lines in told:
        middles.append(min(row["up"], below - LINE * len(lines) / 2))
        below = middles[-1] - LINE * len(lines) / 2
    lift = sum(row["up"] for row, _ in told) - sum(middles)  # as far up as down
    for (row, lines), middle in zip(told, middles, strict=True):
        colour = colours.series[methods.index(row["method"]) % len(colours.series)]
        fig.add_annotation(
            x=across.units(row["at"]), y=up.units(row["y"]),
            ax=32 * side, ay=row["up"] - middle - lift / len(told),
            text="<br>".join(map(plain, lines)), xanchor=anchor, align=anchor,
            arrowhead=0, arrowwidth=1, arrowcolor=faded(colour, 0.6), standoff=6,
            font={"color": colour, "size": 12},
        )  # fmt: skip
    room = 0.38 * (across.high - across.low) * bool(told)
    low, high = across.low - room * is_left, across.high + room * (not is_left)
    fig.update_xaxes(range=[low, high])


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
        if units.max() - units.min() > COLUMN * (across.high - across.low):
            continue
        is_here = sparsity == here
        said = f"{share(sparsity)} removed" if is_here else share(sparsity)
        fig.add_annotation(
            x=units.mean(), y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=said,
            font={"color": colours.text if is_here else colours.neutral, "size": 12},
        )  # fmt: skip
        if is_here:
            line = {"color": faded(colours.text, 0.4), "dash": "dot", "width": 1}
            fig.add_vline(x=rows["x"].mean(), line=line)
