"""Who competes: lists that are drawn, the best on top."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import share, times
from llmrank.report.charts.pareto import (
    HEIGHT,
    SIZES,
    axis_of,
    look,
    ring,
    said_of,
    symbol_of,
)
from llmrank.report.charts.runs import written
from llmrank.report.charts.theme import (
    bars,
    caption,
    figure,
    is_wide,
    palette,
    plain,
)

ROW, FEW = 24, 8
"""Of a list: pixels of a method, and the methods that there is room for at least."""

MARK = 0.6
"""Of its size elsewhere, a mark: its interval is seen on both sides."""

FAR = 2
"""Times the best: what is farther than that and the half stands at the list's edge."""


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
        named: as it takes them.
        title: of the figure that decides, with its unit.
        held: the run that is ringed.
        dark: draw for the dark theme.
    """
    colours = palette(dark)

    def drawn(row: dict[Hashable, Any]) -> dict[Hashable, Any]:
        method, verdict = row["method"], row["verdict"]
        colour, symbol = look(method, named, colours)
        words = named.get(method, "") if verdict == "beaten" else verdict
        return row | {
            "colour": colour,
            "symbol": symbol_of(symbol, verdict),
            "size": SIZES[verdict],
            "ink": colour if method in named else colours.text,
            "name": plain(method),
            "beside": f"<b>{row['said'].partition(' ')[0]}</b> {words}",
            "hover": said_of(row),
        }

    rows = pd.DataFrame([drawn(row) for row in here.to_dict("records")])
    fig = _list(rows, title=title, held=held, dark=dark)
    fig.update_layout(
        title=f"<b>At {share(here['sparsity'].iloc[0])} removed</b>", margin={"t": 30},
        height=max(HEIGHT, 84 + ROW * len(here)),
    )  # fmt: skip
    return fig


def options_chart(
    options: pd.DataFrame, *, in_hand: str | None, dark: bool
) -> go.Figure:
    """Draw the methods that fit a budget, the one that costs least on top.

    Args:
        options: columns method, size (as text), ratio, low, high (perplexity over dense
            with its 95 % interval), here (measured here, not shipped) and run, which a
            point that is clicked is known by.
        in_hand: the run that is accented, as all that were measured here are.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    is_mine = options["run"] == in_hand
    is_accented = is_mine | options["here"]
    names, ratios = options["method"].map(plain), options["ratio"].map(times)
    spreads = [written(*ends) for ends in options[["low", "high"]].to_numpy()]
    rows = options.rename(columns={"ratio": "y", "low": "y_low", "high": "y_high"})
    rows = rows.assign(
        colour=is_accented.map({True: colours.accent, False: colours.neutral}),
        symbol=options["here"].map({True: "diamond", False: "circle"}),
        size=SIZES["on the frontier"],
        ink=is_accented.map({True: colours.accent, False: colours.text}),
        name=names.where(~is_mine, "<b>" + names + "</b>"),
        beside="<b>" + ratios + "</b>  " + options["size"],
        hover=ratios + spreads,
    )
    fig = _list(rows, title="perplexity, × dense", held=None, dark=dark)
    if options["here"].any():
        caption(fig, "◆ measured here · ● shipped with the app")
    return fig


def _list(rows: pd.DataFrame, *, title: str, held: str | None, dark: bool) -> go.Figure:
    """Draw rows from the top down; a click anywhere in one chooses it.

    Where less is better, what is far behind stands at the edge without an interval.

    Args:
        rows: columns y with y_low and y_high (the figure), run; colour, symbol and size
            of the mark; name, `beside` it and hover (texts), ink (their colour).
        title: of the figure.
        held: the run that is ringed.
        dark: draw for the dark theme.
    """
    colours, places = palette(dark), list(range(len(rows)))
    fig = figure(dark=dark, height=max(350, 54 + ROW * len(rows)), x=plain(title), y="")
    lowest, edge = rows["y"].min(), rows["y"].max()
    if rows["y"].iloc[0] == lowest:
        edge = max(FAR * lowest, rows["y"].median())
    is_near = rows["y"] <= edge
    near = rows.where(is_near)
    ends = rows.loc[is_near, ["y", "y_low", "y_high"]].stack()
    span = ends[np.isfinite(ends)]
    shown = rows.assign(x=rows["y"].where(is_near, span.max()), y=places)
    fig.add_scatter(
        x=shown["x"].tolist(), y=places, mode="markers",
        error_x=bars(near["y"], near["y_low"], near["y_high"], colours.neutral),
        marker={"size": (MARK * rows["size"]).tolist(), "opacity": 1,
                "color": rows["colour"].tolist(),
                "line": {"width": 1, "color": rows["colour"].tolist()},
                "symbol": rows["symbol"].where(is_near, "triangle-right").tolist()},
        unselected={"marker": {"opacity": 1}},
        customdata=rows[["run"]].to_numpy().tolist(),
        text=rows["hover"].tolist(), hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    fig.add_trace(ring(shown[rows["run"] == held], colours))
    for x, side in enumerate(("left", "right")):
        texts = rows["beside" if x else "name"]
        for place, text, ink in zip(places, texts, rows["ink"], strict=True):
            fig.add_annotation(
                x=x, xref="paper", y=place, xanchor=side,
                yanchor="bottom", yshift=2, borderpad=0, text=text, showarrow=False,
                font={"size": 12, "color": ink},
            )  # fmt: skip
    fig.update_yaxes(
        tickvals=places, showticklabels=False, zeroline=False,
        range=[max(len(rows), FEW) - 0.5, -0.9],
    )  # fmt: skip
    fig.update_xaxes(axis_of(span, is_wide(span)).layout, nticks=10, tickangle=0)
    fig.update_layout(
        showlegend=False, margin={"t": 0, "l": 8, "r": 8}, clickmode="event+select",
        hovermode="y",
    )  # fmt: skip
    return fig
