"""Quality over size: every method's curve, and where one stands."""

from collections.abc import Mapping, Sequence
from math import log10
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from llmrank.core.formatting import number, share, times
from llmrank.core.statistics import Estimate
from llmrank.report.charts.theme import (
    DASHES,
    SYMBOLS,
    Palette,
    faded,
    figure,
    palette,
    plain,
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
    for name in [n for n in curves if n not in named]:
        fig.add_trace(_quiet(name, curves[name], colours))
    drawn = [name for name in named if name in curves]
    for place, name in enumerate(drawn):
        fig.add_trace(_loud(name, curves[name], place, colours))
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
    fig.update_layout(showlegend=False, margin={"t": 12}, clickmode="event+select")
    return fig


def _tick(sparsity: float, megabytes: Mapping[float, float] | None) -> str:
    size = "" if megabytes is None else f"<br>{megabytes[sparsity]:,.0f} MB"
    return f"{share(sparsity)}{size}"


def _quiet(name: str, curve: Curve, colours: Palette) -> go.Scatter:
    return go.Scatter(
        x=[0.0, *(s for s, *_ in curve)],
        y=[1.0, *(ratio.value for _, ratio, _ in curve)],
        mode="lines+markers",
        line={"color": faded(colours.neutral, 0.35), "width": 1},
        marker={"size": 6, "color": faded(colours.neutral, 0.35)},
        name=plain(name),
        customdata=["", *(run for *_, run in curve)],
        hovertemplate="%{x:.0%} removed: ×%{y:.3~g}",
    )


def _loud(name: str, curve: Curve, place: int, colours: Palette) -> go.Scatter:
    colour = colours.series[place % len(colours.series)]
    above = [ratio.high - ratio.value for _, ratio, _ in curve]
    below = [ratio.value - ratio.low for _, ratio, _ in curve]
    spread = [
        f"{times(ratio.value)} [{number(ratio.low)}, {number(ratio.high)}]"
        for _, ratio, _ in curve
    ]
    return go.Scatter(
        x=[0.0, *(s for s, *_ in curve)],
        y=[1.0, *(ratio.value for _, ratio, _ in curve)],
        error_y={"array": [0.0, *above], "arrayminus": [0.0, *below],
                 "thickness": 1.2, "width": 3, "color": colour},
        mode="lines+markers",
        line={"color": colour, "width": 2, "dash": DASHES[place % len(DASHES)]},
        marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8, "color": colour},
        name=plain(name),
        customdata=["", *(run for *_, run in curve)],
        text=["dense", *spread],
        hovertemplate="%{x:.0%} removed: %{text}",
    )  # fmt: skip


def _labels(
    fig: go.Figure, curves: Sequence[tuple[str, Curve]], colours: Palette
) -> None:
    """Write each method's name at the end of its line, where it is in the picture.

    Of names at one end the upper are moved up until they do not touch.
    """
    ends = []
    for place, (name, curve) in enumerate(curves):
        inside = [(s, log10(r.value)) for s, r, _ in curve if r.value <= HIGHEST]
        if inside:
            x, y = inside[-1]
            colour = colours.series[place % len(colours.series)]
            ends.append((x, y, [plain(line) for line in wrap(name, 16)], colour))
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
        yshift=-14 if y > HIGHEST / 1.3 else 14,  # stays inside of the picture
        font={"color": colours.text, "size": 13},
    )  # fmt: skip
