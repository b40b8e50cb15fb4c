"""Many methods on two axes at once: who is on the front, who is dominated."""

from collections.abc import Iterator, Sequence
from math import log10

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted
from llmrank.report.charts.theme import (
    WIDE_RANGE,
    Palette,
    curve_style,
    faded,
    figure,
    is_wide,
    palette,
    plain,
)

FADED = 0.4
HEIGHT = 520


def pareto_chart(
    points: pd.DataFrame,
    *,
    titles: tuple[str, str],
    methods: Sequence[str],
    dense: tuple[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw methods on two axes with their intervals; dominated points are faded.

    Args:
        points: columns method, sparsity, seed, x, x_low, x_high, y, y_low, y_high,
            dominated and run (what a point that is chosen is known by).
        titles: of the axes, with their units.
        methods: all that compete: a method keeps its colour and symbol when others
            are left out.
        dense: where the dense model is, or None.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=HEIGHT, x=plain(titles[0]), y=plain(titles[1]))
    if dense is not None:
        fig.add_scatter(
            x=[dense[0]],
            y=[dense[1]],
            mode="markers",
            name="dense",
            marker={"symbol": "star-open", "size": 14, "color": colours.neutral,
                    "line": {"width": 2}},
            hovertemplate="%{x:.4~g}, %{y:.4~g}",
        )  # fmt: skip
    for place, method in enumerate(methods):
        rows = points[points["method"] == method] if len(points) else points
        if len(rows):
            fig.add_traces(list(_method(method, rows, place, colours)))
    known = points if dense is None else _with(points, dense)
    if is_wide(known["x"]):
        fig.update_xaxes(type="log", range=_decades(known["x"]))
    if is_wide(known["y"]):
        near = _near(known["y"])
        fig.update_yaxes(type="log", range=_decades(near))
        if len(near) < len(known):
            outside = counted(len(known) - len(near), "point")
            fig.add_annotation(
                text=f"a double-click shows or hides {outside} far above",
                xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="top",
                showarrow=False, font={"color": colours.text},
            )  # fmt: skip
    fig.update_layout(legend={"y": -0.16, "yanchor": "top"}, clickmode="event+select")
    return fig


def _method(
    name: str, rows: pd.DataFrame, place: int, colours: Palette
) -> Iterator[go.Scatter]:
    """Draw the way over sparsities, what is dominated, the front, and the legend."""
    style, name = curve_style(place, colours, size=9), plain(name)
    colour, marker = style["line"]["color"], style["marker"]
    yield go.Scatter(
        x=rows["x"].tolist(),
        y=rows["y"].tolist(),
        mode="lines",
        line=style["line"] | {"color": faded(colour, FADED), "width": 1},
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
    )
    for hidden, alpha in ((True, FADED), (False, 1.0)):
        some = rows[rows["dominated"] == hidden]
        if len(some):
            yield _points(name, some, marker | {"color": faded(colour, alpha)})
    yield go.Scatter(
        x=[None], y=[None], mode="markers", name=name, legendgroup=name,
        marker=marker | {"color": colour},
    )  # fmt: skip


def _points(name: str, rows: pd.DataFrame, marker: dict[str, object]) -> go.Scatter:
    """Draw points with their intervals; colour is never alone."""
    bars = {a: _bars(rows, a) | {"color": marker["color"]} for a in ("x", "y")}
    return go.Scatter(
        x=rows["x"].tolist(),
        y=rows["y"].tolist(),
        error_x=bars["x"],
        error_y=bars["y"],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=False,
        marker=marker,
        customdata=rows[["run", "sparsity", "seed"]].to_numpy().tolist(),
        hovertemplate="%{customdata[1]:.0%} removed, seed %{customdata[2]}"
        "<br>%{x:.4~g}, %{y:.4~g}",
    )


def _bars(rows: pd.DataFrame, axis: str) -> dict[str, object]:
    """Leave out the ends that are not finite: one window alone has no interval."""
    above = rows[f"{axis}_high"] - rows[axis]
    below = rows[axis] - rows[f"{axis}_low"]
    finite = [side.where(side < float("inf"), 0).fillna(0) for side in (above, below)]
    up, down = (side.tolist() for side in finite)
    return {"array": up, "arrayminus": down, "thickness": 1.2, "width": 3}


def _with(points: pd.DataFrame, dense: tuple[float, float]) -> pd.DataFrame:
    here = points[["x", "y"]] if len(points) else pd.DataFrame(columns=["x", "y"])
    return pd.concat(
        [here.astype(float), pd.DataFrame([dense], columns=["x", "y"], dtype=float)]
    )


def _decades(values: pd.Series) -> list[float]:
    """Make room for the points; an endless interval may leave the picture."""
    low, high = log10(values.min()), log10(values.max())
    return [low - 0.08 * (high - low), high + 0.08 * (high - low)]


def _near(values: pd.Series) -> pd.Series:
    """Return what is not many times the lowest, where that is most of the values.

    The rest lies outside the picture until a double-click shows all.
    """
    near = values[values <= WIDE_RANGE * values.min()]
    return near if 2 * len(near) >= len(values) else values
