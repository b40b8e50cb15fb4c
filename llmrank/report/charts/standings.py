"""Who competes at one sparsity: a list that is drawn, the best on top."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import share
from llmrank.report.charts.pareto import (
    HEIGHT,
    SIZES,
    axis_of,
    bars,
    look,
    ring,
    said_of,
    symbol_of,
)
from llmrank.report.charts.theme import figure, is_wide, palette, plain

ROW, FEW = 22, 8
"""Of the list: pixels of a method, and the methods that there is room for at least."""

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
    colours, rows = palette(dark), here.assign(place=range(len(here)))
    height = max(HEIGHT, 90 + ROW * len(rows))
    fig = figure(dark=dark, height=height, x=plain(title), y="")
    lowest, edge = rows["y"].min(), rows["y"].max()
    if is_wide(rows["y"]) and rows["y"].iloc[0] == lowest:
        edge = max(FAR * lowest, rows["y"].median())
    is_near = rows["y"] <= edge
    shown = rows.assign(at=rows["y"].clip(upper=rows["y"][is_near].max()))
    looks = [look(method, named, colours) for method in rows["method"]]
    symbols = zip(looks, rows["verdict"], is_near, strict=True)
    fig.add_scatter(
        x=shown["at"].tolist(), y=rows["place"].tolist(), mode="markers",
        error_x=bars(rows.where(is_near), "y", colours.neutral),
        marker={"size": rows["verdict"].map(SIZES).tolist(), "opacity": 1,
                "color": [colour for colour, _ in looks],
                "line": {"width": 2, "color": [colour for colour, _ in looks]},
                "symbol": [symbol_of(symbol, verdict) if near else "triangle-right"
                           for (_, symbol), verdict, near in symbols]},
        unselected={"marker": {"opacity": 1}},
        customdata=rows[["run"]].to_numpy().tolist(),
        text=[said_of(row) for row in rows.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    fig.add_trace(ring(shown.assign(y=rows["place"])[rows["run"] == held], colours))
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
        names.append(f'<span style="color:{colour}">{plain(method)}</span>')
    fig.update_yaxes(
        tickvals=rows["place"].tolist(), ticktext=names, tickfont={"size": 12},
        range=[max(len(rows), FEW) - 0.5, -0.5], showgrid=False, zeroline=False,
    )  # fmt: skip
    ends = rows.loc[is_near, ["y", "y_low", "y_high"]].stack()
    span = ends[np.isfinite(ends)]
    fig.update_xaxes(axis_of(span, is_wide(span)).layout, nticks=5, tickangle=0)
    fig.update_layout(
        title=f"<b>At {share(rows['sparsity'].iloc[0])} removed</b>", showlegend=False,
        margin={"t": 36, "r": 126}, clickmode="event+select", hovermode="y",
    )  # fmt: skip
    return fig
