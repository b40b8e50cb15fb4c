"""MLPs: how training went, what pruning keeps, what comes back, what shakes."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmrank.report.charts.theme import (
    DASHES,
    SYMBOLS,
    Palette,
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
        fig.add_trace(
            go.Scatter(
                x=table["epoch"].tolist(),
                y=table[column].tolist(),
                mode="lines",
                name=column,
                line={
                    "color": (colours.accent, colours.neutral)[place % 2],
                    "dash": DASHES[place],
                },
            )
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
            colour = colours.series[place % len(colours.series)]
            for trace in _band(rows, plain(str(name)), place, colour, column == 1):
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
    fig.add_trace(
        go.Scatter(
            x=[0, max(longest, 1)], y=[dense, dense], mode="lines", name="dense",
            line={"color": colours.neutral, "dash": "dot"},
        )
    )  # fmt: skip
    for place, (name, values) in enumerate(curves.items()):
        fig.add_trace(
            go.Scatter(
                x=list(range(len(values))),
                y=list(values),
                mode="lines+markers",
                name=plain(name),
                line={"color": colours.series[place], "dash": DASHES[place]},
                marker={"symbol": SYMBOLS[place], "size": 7},
            )
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
        for place, name in enumerate(names):
            rows = table[(table["corruption"] == kind) & (table["network"] == name)]
            steps = ["none", *(f"{s:g}" for s in rows["strength"])]
            values = [clean[name], *rows["accuracy"]]
            trace = _steps(steps, values, str(name), place - has_dense, colours)
            trace.showlegend = panel == 0
            fig.add_trace(trace, **at)
    fig.update_layout(
        template=template(dark), height=60 + 270 * n_rows, margin={"t": 48},
        legend={"y": -0.12, "yanchor": "top"},
    )  # fmt: skip
    fig.update_xaxes(type="category")
    fig.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return fig


def _band(
    rows: pd.DataFrame, name: str, place: int, colour: str, legend: bool
) -> tuple[go.Scatter, go.Scatter]:
    """Return the spread as a band and the mean as a line."""
    low = (rows["mean"] - rows["spread"]).clip(lower=0)
    high = rows["mean"] + rows["spread"]
    x = rows["sparsity"].tolist()
    band = go.Scatter(
        x=[*x, *x[::-1]], y=[*high.tolist(), *low.tolist()[::-1]], fill="toself",
        fillcolor=faded(colour, 0.12), line={"width": 0}, hoverinfo="skip",
        legendgroup=name, showlegend=False, mode="lines",
    )  # fmt: skip
    line = go.Scatter(
        x=x, y=rows["mean"].tolist(), name=name, legendgroup=name, showlegend=legend,
        mode="lines+markers",
        line={"color": colour, "dash": DASHES[place % len(DASHES)]},
        marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
        customdata=rows["spread"].tolist(),
        hovertemplate="%{y:.1%} ± %{customdata:.1%}",
    )  # fmt: skip
    return band, line


def _steps(
    steps: Sequence[str],
    values: Sequence[float],
    name: str,
    place: int,
    colours: Palette,
) -> go.Scatter:
    """Draw one network; dense, before the first, is neutral."""
    series = colours.series
    colour = colours.neutral if place < 0 else series[place % len(series)]
    return go.Scatter(
        x=list(steps), y=list(values), mode="lines+markers", name=plain(name),
        legendgroup=name,
        line={
            "color": colour, "dash": DASHES[place % len(DASHES)],
        },
        marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
    )  # fmt: skip
