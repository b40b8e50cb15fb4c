"""What every chart shares: colours, one template for each theme, the toolbar, text."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import pandas as pd
import plotly.graph_objects as go

SCORES = "Viridis"
"""The one sequential map: scores, everywhere."""

DIFFERENCES = "PuOr"
"""The one diverging map (colour-blind safe); centre it on zero."""

WIDE_RANGE = 10
"""Highest over lowest value from which an axis is logarithmic."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "triangle-up", "cross", "x", "star", "hexagon")
"""Of curves; a diamond is one's own wherever it stands."""

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,  # plotly.js 4 offers to upload the chart
    "plotlyServerURL": "",
    "modeBarButtons": [["toImage"]],  # more would cover what stands in the corner
    "toImageButtonOptions": {"format": "png", "scale": 2, "filename": "llm-rank"},
}
"""For `st.plotly_chart(config=...)`: the camera saves a PNG of twice the resolution."""

SVG_CONFIG: dict[str, Any] = CONFIG | {
    "toImageButtonOptions": {"format": "svg", "filename": "llm-rank"}
}
"""The same with an SVG; Plotly's camera knows one format at a time."""


@dataclass(frozen=True)
class Palette:
    """The colours of one theme; `neutral` is dense, `accent` is pruned or chosen.

    `assets/common/theme.js` has the same, `.streamlit/config.toml` the backgrounds.
    """

    background: str
    text: str
    grid: str
    neutral: str
    accent: str
    series: tuple[str, ...]


LIGHT = Palette(
    background="#ffffff",
    text="#262730",
    grid="#e4e6eb",
    neutral="#6b7280",
    accent="#0072b2",
    series=("#0072b2", "#b45f06", "#7b3294", "#4d4d4d", "#008b8b", "#a6761d"),
)
DARK = Palette(
    background="#0d1015",
    text="#fafafa",
    grid="#2f3440",
    neutral="#a3a8b4",
    accent="#56b4e9",
    series=("#56b4e9", "#e69f00", "#cc99dd", "#d0d0d0", "#66d9d9", "#e3c878"),
)


def palette(dark: bool) -> Palette:
    """Return the colours of a theme."""
    return DARK if dark else LIGHT


@cache
def template(dark: bool) -> go.layout.Template:
    """Return a theme's Plotly template (`st.plotly_chart(theme=None)` keeps it)."""
    colours = palette(dark)
    axis = {
        "gridcolor": colours.grid,
        "linecolor": colours.grid,
        "zerolinecolor": colours.grid,
        "automargin": True,
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": colours.background,
            "plot_bgcolor": colours.background,
            "font": {
                "color": colours.text,
                "family": '"Source Sans", sans-serif',
                "size": 13,
            },
            "title": {
                "font": {"size": 13},
                "x": 0,
                "xref": "paper",
                "y": 1,
                "yanchor": "top",
                "pad": {"t": 8},
            },
            "colorway": colours.series,
            "colorscale": {"sequential": SCORES, "diverging": DIFFERENCES},
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 8, "r": 8, "t": 36, "b": 8},
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "xanchor": "left",
                "yanchor": "bottom",
            },
            "hoverlabel": {"namelength": -1},
            "separators": ".,",
        }
    )


def figure(*, dark: bool, height: int, x: str, y: str) -> go.Figure:
    """Return an empty figure in the theme with titled axes; units go in the titles."""
    return go.Figure(
        layout={
            "template": template(dark),
            "height": height,
            "xaxis": {"title": {"text": x}},
            "yaxis": {"title": {"text": y}},
        }
    )


def caption(fig: go.Figure, text: str) -> None:
    """Write one small line below the title of the x axis."""
    axis_title = fig.layout.xaxis.title
    small = f'<span style="font-size:12px">{text}</span>'
    axis_title.text = f"{axis_title.text}<br>{small}"


def curve_style(place: int, colours: Palette, *, size: int = 7) -> dict[str, Any]:
    """Return how a chart's nth curve looks: colour is never alone."""
    return {
        "mode": "lines+markers",
        "line": {
            "color": colours.series[place % len(colours.series)],
            "dash": DASHES[place % len(DASHES)],
        },
        "marker": {"symbol": SYMBOLS[place % len(SYMBOLS)], "size": size},
    }


def bars(
    values: pd.Series, low: pd.Series, high: pd.Series, colour: str
) -> dict[str, object]:
    """Return Plotly's error bars; 0 for an end that is infinite or not known."""
    up, down = (
        side.where(side < inf, 0).fillna(0).tolist()
        for side in (high - values, values - low)
    )
    return {"array": up, "arrayminus": down, "thickness": 1.2, "width": 3,
            "color": colour}  # fmt: skip


def is_wide(values: pd.Series) -> bool:
    """Whether an axis is logarithmic: never that of shares, however low they fall."""
    if values.empty or values.min() <= 0 or values.max() <= 1:
        return False
    return bool(values.max() > WIDE_RANGE * values.min())


def layer_ticks(n_layers: int) -> dict[str, object]:
    """Return the settings of an axis of layers: whole numbers, each of them if few."""
    each = {"dtick": 1} if n_layers <= 12 else {}
    span = {"range": [-0.6, n_layers - 0.4], "showgrid": False}
    return {"tickformat": "d", "tick0": 0} | span | each


def segments(
    places: Sequence[int], values: Sequence[float | None]
) -> dict[str, list[float | None]]:
    """Return the x and y of a level line over each place; none where None."""
    x: list[float | None] = []
    y: list[float | None] = []
    for place, value in zip(places, values, strict=True):
        if value is not None:
            x += [place - 0.42, place + 0.42, None]
            y += [value, value, None]
    return {"x": x, "y": y}


def plain(text: str) -> str:
    """Escape a name from outside: Plotly reads tags in titles, ticks and hover."""
    return html.escape(text, quote=False)


def faded(colour: str, alpha: float) -> str:
    """Return a #rrggbb colour as rgba with the given opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def rest(name: str, names: Sequence[str]) -> str:
    """Return what a name adds to the longest other one that it begins with."""
    begun = [other for other in names if name.startswith(f"{other} + ")]
    return name.removeprefix(max(begun, key=len, default="")).lstrip()
