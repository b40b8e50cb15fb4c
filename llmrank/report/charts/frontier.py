"""Quality over size: every method's curve, and where one stands."""

from collections.abc import Mapping, Sequence
from math import log10
from textwrap import wrap
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import share, times
from llmrank.core.statistics import Estimate, times_spread
from llmrank.report.charts.theme import (
    Palette,
    bars,
    curve_style,
    faded,
    figure,
    palette,
    plain,
    rest,
)

HEIGHT = 350
HIGHEST = 12.0
"""Ratios above it are outside of the picture: such a model is of no use."""

LINE, PER_DECADE = 15, 270
"""Pixels: of a line of a label, and of a factor of ten on the vertical axis."""

STEPS = (1, 1.2, 1.5, 2, 3, 5, 8, 12)
"""Ticks of a ratio's axis."""

Curve = Sequence[tuple[float, Estimate, str]]
"""Points of one method: sparsity, perplexity ratio, the run's id; by sparsity."""

Here = tuple[float, float | None, Estimate | None]


def frontier_chart(
    curves: Mapping[str, Curve],
    *,
    named: Sequence[str],
    here: Here | None,
    megabytes: Mapping[float, float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw perplexity over dense against what is removed, one line a method.

    Args:
        curves: each method's points by its name.
        named: the methods that have a colour, intervals and a label; others are grey.
        here: sparsity, ratio (None: unknown) and the ratio with its interval where it
            was measured; None where the settings in hand stand at no sparsity.
        megabytes: weights at some sparsities, shown beside them.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    title = "FFN neurons removed" + (" · size of the weights" if megabytes else "")
    fig = figure(dark=dark, height=HEIGHT, x=title, y="Perplexity, × dense")
    drawn = [name for name in named if name in curves]
    for name in (*(n for n in curves if n not in named), *drawn):
        place = drawn.index(name) if name in drawn else None
        points = _from_dense(curves[name])
        fig.add_trace(method_line(points, name=name, place=place, colours=colours))
    _labels(fig, [(name, curves[name]) for name in drawn], colours)
    ticks = sorted(megabytes or {s for c in curves.values() for s, *_ in c})
    end = max([*ticks, 0.5]) + 0.13
    if here is not None:
        _here(fig, here, end, colours)
    fig.update_yaxes(type="log", range=[-0.02, log10(HIGHEST)], tickvals=STEPS,
                     ticktext=[f"×{s:g}" for s in STEPS])  # fmt: skip
    fig.update_xaxes(
        range=[-0.01, end],
        tickvals=ticks,
        ticktext=[_tick(s, megabytes) for s in ticks],
    )
    fig.update_layout(showlegend=False, margin={"t": 26}, clickmode="event+select")
    return fig


def _tick(sparsity: float, megabytes: Mapping[float, float] | None) -> str:
    size = "" if megabytes is None else f"<br>{megabytes[sparsity]:,.0f} MB"
    return f"{share(sparsity)}{size}"


def method_line(
    points: pd.DataFrame, *, name: str, place: int | None, colours: Palette
) -> go.Scatter:
    """Draw one method over sizes; without a place it stays in the background.

    Args:
        points: columns x, y, low, high (of its 95 % interval), said (in the hover)
            and run (what a point that is clicked is known by).
        name: of the method.
        place: of its colour.
        colours: of the theme.
    """
    if place is None:
        quiet = faded(colours.neutral, 0.4)
        look: dict[str, Any] = {
            "mode": "lines+markers", "showlegend": False,
            "line": {"color": quiet, "width": 1}, "marker": {"color": quiet, "size": 6},
        }  # fmt: skip
    else:
        look = curve_style(place, colours, size=9)
        colour = look["line"]["color"]
        look["error_y"] = bars(points["y"], points["low"], points["high"], colour)
    return go.Scatter(
        x=points["x"].tolist(),
        y=points["y"].tolist(),
        name=plain(name),
        customdata=points["run"].tolist(),
        text=points["said"].tolist(),
        hovertemplate="%{fullData.name}: %{text}<extra></extra>",
        **look,
    )


def _from_dense(curve: Curve) -> pd.DataFrame:
    rows = [(0.0, 1.0, 1.0, 1.0, "dense", "")]
    rows += [
        (
            sparsity, ratio.value, ratio.low, ratio.high,
            f"{share(sparsity)} removed, {times_spread(ratio)}", run,
        )
        for sparsity, ratio, run in curve
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["x", "y", "low", "high", "said", "run"])


def _labels(
    fig: go.Figure, curves: Sequence[tuple[str, Curve]], colours: Palette
) -> None:
    """Write each method's name at the end of its line, where it is in the picture.

    Of names at one end the upper are moved up until they do not touch; of one that goes
    on from another's only the rest is written.
    """
    ends = []
    names = [name for name, _ in curves]
    for place, (name, curve) in enumerate(curves):
        inside = [(s, log10(r.value)) for s, r, _ in curve if r.value <= HIGHEST]
        if inside:
            x, y = inside[-1]
            colour = colours.series[place % len(colours.series)]
            lines = [plain(line) for line in wrap(rest(name, names), 16)]
            ends.append((x, y, lines, colour))
    free_from: dict[float, float] = {}
    for x, y, lines, colour in sorted(ends, key=lambda end: end[:2]):
        half = len(lines) * LINE / 2
        middle = max(y * PER_DECADE, free_from.get(x, -half) + half)
        free_from[x] = middle + half
        fig.add_annotation(
            x=x, y=y, text="<br>".join(lines), showarrow=False,
            xanchor="left", align="left",
            xshift=8, yshift=middle - y * PER_DECADE,
            font={"color": colour, "size": 12},
        )  # fmt: skip


def _ends(ratio: Estimate | None, colour: str) -> dict[str, Any]:
    """Return the interval that a marker has, if its ratio was measured."""
    if ratio is None:
        return {}
    above, below = ratio.high - ratio.value, ratio.value - ratio.low
    ends = {"array": [above], "arrayminus": [below]}
    return ends | {"thickness": 2, "width": 6, "color": colour}


def _here(fig: go.Figure, here: Here, end: float, colours: Palette) -> None:
    """Mark where the settings in hand are: filled where measured, else hollow, or not.

    Beyond the end of the axis it stands at the end: no point moves under a pointer.
    """
    sparsity, ratio, measured = here
    where = f" at {share(sparsity)}" if sparsity > end else ""
    sparsity = min(sparsity, end)
    fig.add_vline(x=sparsity, line={"color": faded(colours.text, 0.4), "dash": "dot"})
    y = HIGHEST if ratio is None else min(ratio, HIGHEST)
    said = f"you are here{where}"
    if ratio is None:
        said += ": not measured"
    elif measured is None:
        said += f": about {times(ratio)}"
    else:
        said += f": {times(ratio)}"
    symbol = "diamond-open" if measured is None else "diamond"
    fig.add_trace(
        go.Scatter(
            x=[sparsity],
            y=[None if ratio is None else y],  # the line alone: no height is known
            error_y=_ends(measured, colours.text),
            mode="markers",
            marker={"symbol": symbol, "size": 15, "color": colours.text,
                    "line": {"width": 2, "color": colours.text}},
            cliponaxis=False,
            hoverinfo="skip",
            name="you are here",
        )
    )  # fmt: skip
    fig.add_annotation(
        x=sparsity, y=log10(y), text=f"<b>{said}</b>", showarrow=False,
        xanchor="right" if sparsity > 0.25 else "left",
        xshift=-12 if sparsity > 0.25 else 12,
        yshift=12 if ratio is None else -14 if y > HIGHEST / 1.3 else 14,
        font={"color": colours.text, "size": 13},
    )  # fmt: skip
