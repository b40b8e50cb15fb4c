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
    caption,
    faded,
    figure,
    is_wide,
    palette,
    plain,
)

HEIGHT = 460
SCREEN = (480, 320)
"""About what the axes span, in pixels: what coincides there is spread."""

SIZES = {"on the frontier": 13, "cannot be told": 10, "beaten": 8}
APART = 7
"""Pixels between two points side by side, at most two to either side."""

LINE = 15
"""Pixels that a line of a label takes."""

ROW, FEW = 22, 8
"""Of the list: pixels of a method, and the methods that there is room for at least."""

TICKS = {
    "tickvals": [m * 10**d for d in range(-3, 9) for m in (1, 1.2, 1.5, 2, 3, 5, 8)],
    "tickformat": ",~g",
}
"""Of a logarithmic axis; those close to one another are left out where it is long."""

FAR = 2
"""Times the best: what is farther than that and the half stands at the list's edge."""

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
    named: Mapping[str, str],
    titles: tuple[str, str],
    marked: tuple[float | None, str | None] = (None, None),
    dense: tuple[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw methods on two axes with their intervals and verdicts.

    What is beaten is small, what cannot be told is hollow. Points that would lie on one
    another stand side by side; the hover says where they are.

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
    axes = _axes(fig, known)
    is_named = standings["method"].isin(list(named))
    points = _spread(pd.concat([standings[is_named], standings[~is_named]]), *axes)
    quiet = [m for m in points["method"].unique() if m not in named]
    for method in (*quiet, *reversed(list(named))):
        rows = points[points["method"] == method].sort_values(["sparsity", "seed"])
        if len(rows):
            fig.add_trace(_curve(rows, *_look(method, named, colours), colours))
    fig.add_trace(_ring(points[points["run"] == marked[1]], colours))
    _name(fig, points[points["method"].isin(list(named))], named, axes, colours)
    _columns(fig, points, marked[0], axes[0], colours)
    return fig


def standings_chart(
    here: pd.DataFrame,
    *,
    named: Mapping[str, str],
    title: str,
    held: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw who competes at one sparsity, the best on top, with intervals and verdicts.

    Args:
        here: the rows of one sparsity, as `pareto_chart` takes them, at least one.
        named: as it takes them; the first is set in bold.
        title: of the figure that decides, with its unit.
        held: the run that is ringed.
        dark: draw for the dark theme.
    """
    colours, rows = palette(dark), here.assign(place=range(len(here)))
    height = max(HEIGHT, 90 + ROW * len(rows))
    fig = figure(dark=dark, height=height, x=plain(title), y="")
    edge = rows["y"].max()
    if is_wide(rows["y"]):
        edge = max(FAR * rows["y"].min(), rows["y"].median())
    is_near = rows["y"] <= edge
    near = rows["y"][is_near]
    shown = rows.assign(at=rows["y"].clip(upper=near.max()))
    looks = [_look(method, named, colours) for method in rows["method"]]
    symbols = zip(looks, rows["verdict"], is_near, strict=True)
    fig.add_scatter(
        x=shown["at"].tolist(), y=rows["place"].tolist(), mode="markers",
        error_x=_bars(rows.where(is_near), "y") | {"color": colours.neutral},
        marker={"size": rows["verdict"].map(SIZES).tolist(), "line": {"width": 2},
                "color": [colour for colour, _ in looks],
                "symbol": [_symbol(symbol, verdict) if near else "triangle-right"
                           for (_, symbol), verdict, near in symbols]},
        unselected={"marker": {"opacity": 1}},
        customdata=rows[["run"]].to_numpy().tolist(),
        text=[_said(row) for row in rows.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    fig.add_trace(_ring(shown.assign(y=rows["place"])[rows["run"] == held], colours))
    names = []
    for row, (colour, _) in zip(rows.to_dict("records"), looks, strict=True):
        method = row["method"]
        colour = colour if method in named else colours.text
        is_beaten = row["verdict"] == "beaten"
        said = named.get(method, "") if is_beaten else row["verdict"]
        fig.add_annotation(
            x=1, xref="paper", y=row["place"], xanchor="left", xshift=10,
            text=f"<b>{row['said'].partition(' ')[0]}</b> {said}", showarrow=False,
            font={"size": 12, "color": colour},
        )  # fmt: skip
        name = f"<b>{plain(method)}</b>" if method in [*named][:1] else plain(method)
        names.append(f'<span style="color:{colour}">{name}</span>')
    fig.update_yaxes(
        tickvals=rows["place"].tolist(), ticktext=names, tickfont={"size": 12},
        range=[max(len(rows), FEW) - 0.5, -0.5], showgrid=False, zeroline=False,
    )  # fmt: skip
    axis = _axis(near, is_wide(near))
    fig.update_xaxes(range=[axis.low, axis.high], nticks=5, tickangle=0, **_ticks(axis))
    fig.update_layout(
        title=f"<b>At {share(rows['sparsity'].iloc[0])} removed</b>", showlegend=False,
        margin={"t": 36, "r": 132}, clickmode="event+select", hovermode="y",
    )  # fmt: skip
    return fig


def _look(method: str, named: Mapping[str, str], colours: Palette) -> tuple[str, str]:
    """Return a method's colour and symbol: colour is never alone."""
    if method not in named:
        return colours.neutral, "circle"
    place = list(named).index(method)
    return (
        colours.series[place % len(colours.series)],
        SYMBOLS[place % len(SYMBOLS)],
    )


def _ring(rows: pd.DataFrame, colours: Palette) -> go.Scatter:
    """Draw a ring around what is held."""
    return go.Scatter(
        x=rows["at"].tolist(), y=rows["y"].tolist(), mode="markers",
        hoverinfo="skip", showlegend=False,
        marker={"symbol": "circle-open", "size": 22, "color": colours.text,
                "line": {"width": 2}},
    )  # fmt: skip


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


def _axes(fig: go.Figure, known: pd.DataFrame) -> tuple[Axis, Axis]:
    """Make room for the points; most of a wide range is shown, the rest on demand."""
    near = known["y"][known["y"] <= WIDE_RANGE * known["y"].min()]
    is_cut = is_wide(known["y"]) and len(known) > len(near) >= len(known) / 2
    if is_cut:
        outside = counted(len(known) - len(near), "point")
        caption(fig, f"a double-click shows or hides {outside} far above")
    across = _axis(known["x"], is_wide(known["x"]))
    up = _axis(near if is_cut else known["y"], is_wide(known["y"]))
    for update, axis in ((fig.update_xaxes, across), (fig.update_yaxes, up)):
        update(range=[axis.low, axis.high], **_ticks(axis))
    return across, up


def _ticks(axis: Axis) -> dict[str, object]:
    return {"type": "log", **TICKS} if axis.is_log else {"type": "linear"}


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
        sides = own + np.outer([0, 1, -1, 2, -2], [APART, 0])
        room = (np.hypot(*(taken - side).T).min(initial=np.inf) for side in sides)
        place = next((s for s, r in zip(sides, room, strict=True) if r >= APART), own)
        taken = np.vstack([taken, place])
    return standings.assign(
        at=across.values(pd.Series(taken[:, 0]), SCREEN[0]).to_numpy()
    )


def _curve(
    rows: pd.DataFrame, colour: str, symbol: str, colours: Palette
) -> go.Scatter:
    """Draw one method's way over sparsities."""
    is_quiet = colour == colours.neutral
    line = faded(colour, 0.25 if is_quiet else 0.7)
    verdicts = rows["verdict"].tolist()
    bars = {a: _bars(rows, a) | {"color": line} for a in ("x", "y")}
    return go.Scatter(
        x=rows["at"].tolist(), y=rows["y"].tolist(),
        error_x=bars["x"], error_y=bars["y"],
        mode="lines+markers", line={"color": line, "width": 1 if is_quiet else 2},
        marker={"symbol": [_symbol(symbol, v) for v in verdicts],
                "size": [SIZES[v] for v in verdicts],
                "opacity": 0.5 if is_quiet else 1, "color": colour,
                "line": {"width": 2}},
        unselected={"marker": {"opacity": 0.5 if is_quiet else 1}},
        name=plain(str(rows["method"].iloc[0])), showlegend=False,
        customdata=rows[["run"]].to_numpy().tolist(),
        text=[_said(row) for row in rows.to_dict("records")], hovertemplate="%{text}",
    )  # fmt: skip


def _said(row: Mapping[Hashable, Any]) -> str:
    """Say in the hover what a point is and where it is."""
    return (
        f"{share(row['sparsity'])} removed, seed {row['seed']}<br>{number(row['x'])}, "
        f"{row['said']}<br>{row['verdict']}"
    )


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
    named: Mapping[str, str],
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
    told = [
        (row, wrap(named[row["method"]] or row["method"], 18))
        for row in ends.to_dict("records")
    ]
    middles: list[float] = []
    below = float("inf")
    for row, lines in told:
        middles.append(min(row["up"], below - LINE * len(lines) / 2))
        below = middles[-1] - LINE * len(lines) / 2
    lift = sum(row["up"] for row, _ in told) - sum(middles)  # as far up as down
    for (row, lines), middle in zip(told, middles, strict=True):
        colour, _ = _look(row["method"], named, colours)
        fig.add_annotation(
            x=across.units(row["at"]), y=up.units(row["y"]),
            ax=20 * side, ay=row["up"] - middle - lift / len(told),
            text="<br>".join(map(plain, lines)), xanchor=anchor, align=anchor,
            arrowhead=0, arrowwidth=1, arrowcolor=faded(colour, 0.6), standoff=6,
            font={"color": colour, "size": 12},
        )  # fmt: skip
    room = 0.42 * (across.high - across.low) * bool(told)
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
