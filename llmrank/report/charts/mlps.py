"""MLPs: how training went, what pruning keeps, what comes back, what shakes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmrank.report.charts.theme import (
    DASHES,
    curve_style,
    faded,
    figure,
    palette,
    plain,
    template,
)


def learning_curve(
    table: pd.DataFrame, columns: Sequence[str], title: str, *, dark: bool = False
) -> go.Figure:
    """Draw columns of a table over its epochs."""
    colours = palette(dark)
    fig = figure(dark=dark, height=260, x="epoch", y=title)
    for place, column in enumerate(columns):
        colour = (colours.accent, colours.neutral)[place % 2]
        fig.add_scatter(
            x=table["epoch"].tolist(),
            y=table[column].tolist(),
            mode="lines",
            name=column,
            line={"color": colour, "dash": DASHES[place]},
        )
    if title == "accuracy":
        fig.update_yaxes(tickformat=".0%")
    fig.update_layout(showlegend=len(columns) > 1)
    return fig


def retention_chart(
    summary: pd.DataFrame, *, dark: bool = False, height: int = 420
) -> go.Figure:
    """Draw mean and spread of accuracy retention over sparsity, a panel per data set.

    Args:
        summary: columns data, criterion, sparsity, mean, spread.
        dark: draw for the dark theme.
        height: in pixels.
    """
    colours = palette(dark)
    sets = list(dict.fromkeys(summary["data"]))
    names = list(dict.fromkeys(summary["criterion"]))
    fig = make_subplots(
        rows=1, cols=len(sets), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[plain(str(name)) for name in sets],
    )  # fmt: skip
    for column, data in enumerate(sets, start=1):
        for place, name in enumerate(names):
            rows = summary[(summary["data"] == data) & (summary["criterion"] == name)]
            legend = {"name": plain(str(name)), "showlegend": column == 1}
            for trace in _band(rows, curve_style(place, colours), legend):
                fig.add_trace(trace, row=1, col=column)
    fig.update_layout(
        template=template(dark), height=height, hovermode="x unified",
        legend={"y": -0.22, "yanchor": "top"}, margin={"t": 48},
    )  # fmt: skip
    fig.update_xaxes(tickformat=".0%", title_text="hidden neurons removed")
    fig.update_yaxes(tickformat=".0%", rangemode="tozero")
    fig.update_yaxes(title_text="accuracy kept", col=1)
    return fig


def recovery_chart(
    curves: Mapping[str, Sequence[float]], dense: float, *, dark: bool = False
) -> go.Figure:
    """Draw accuracy on the test set over epochs, one curve for each way back.

    Args:
        curves: by name: accuracy before the first epoch, then after each.
        dense: the dense network's accuracy.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=380, x="epoch", y="test set right")
    longest = max((len(c) for c in curves.values()), default=2) - 1
    fig.add_scatter(
        x=[0, max(longest, 1)],
        y=[dense, dense],
        mode="lines",
        name="dense",
        line={"color": colours.neutral, "dash": "dot"},
    )
    for place, (name, values) in enumerate(curves.items()):
        fig.add_scatter(
            x=list(range(len(values))),
            y=list(values),
            name=plain(name),
            **curve_style(place, colours),
        )
    fig.update_yaxes(tickformat=".0%")
    return fig


def shaken_chart(
    table: pd.DataFrame, units: Mapping[str, str], *, dark: bool = False
) -> go.Figure:
    """Draw accuracy over the strength of each corruption, a panel for each.

    Args:
        table: columns network, corruption (clean has strength 0), strength, accuracy.
        units: what each corruption's strength is in.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    shown = [kind for kind in dict.fromkeys(table["corruption"]) if kind != "clean"]
    names = list(dict.fromkeys(table["network"]))
    n_columns = min(2, len(shown))
    n_rows = -(-len(shown) // n_columns)
    fig = make_subplots(
        rows=n_rows, cols=n_columns, shared_yaxes=True, horizontal_spacing=0.04,
        vertical_spacing=0.2,
        subplot_titles=[f"{kind} ({units[kind]})" for kind in shown],
    )  # fmt: skip
    has_dense = names[:1] == ["dense"]
    clean = table[table["corruption"] == "clean"].set_index("network")["accuracy"]
    for panel, kind in enumerate(shown):
        at = {"row": panel // n_columns + 1, "col": panel % n_columns + 1}
        for place, name in enumerate(names, -has_dense):
            rows = table[(table["corruption"] == kind) & (table["network"] == name)]
            style = curve_style(place, colours)
            if place < 0:
                style["line"]["color"] = colours.neutral
            fig.add_scatter(
                x=["none", *(f"{s:g}" for s in rows["strength"])],
                y=[clean[name], *rows["accuracy"]],
                name=plain(str(name)),
                legendgroup=str(name),
                showlegend=panel == 0,
                **style,
                **at,
            )
    fig.update_layout(
        template=template(dark), height=60 + 270 * n_rows, margin={"t": 48},
        legend={"y": -0.12, "yanchor": "top"},
    )  # fmt: skip
    fig.update_xaxes(type="category")
    fig.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return fig


def _band(
    rows: pd.DataFrame, style: dict[str, Any], legend: dict[str, Any]
) -> tuple[go.Scatter, go.Scatter]:
    """Return the spread as a band and the mean as a line."""
    low = (rows["mean"] - rows["spread"]).clip(lower=0)
    high = rows["mean"] + rows["spread"]
    x = rows["sparsity"].tolist()
    band = go.Scatter(
        x=[*x, *x[::-1]], y=[*high.tolist(), *low.tolist()[::-1]], fill="toself",
        fillcolor=faded(style["line"]["color"], 0.12), line={"width": 0},
        hoverinfo="skip", legendgroup=legend["name"], showlegend=False, mode="lines",
    )  # fmt: skip
    line = go.Scatter(
        x=x,
        y=rows["mean"].tolist(),
        legendgroup=legend["name"],
        customdata=rows["spread"].tolist(),
        hovertemplate="%{y:.1%} ± %{customdata:.1%}",
        **legend,
        **style,
    )
    return band, line
