"""MLPs: how training went, what pruning keeps, what comes back, what shakes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from llmrank.mlp.criteria import SHARED
from llmrank.report.charts.theme import (
    DASHES,
    SYMBOLS,
    Palette,
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


def criterion_place(name: str) -> int:
    """Return a criterion's place among colours, dashes and symbols, in every view.

    MLP-Rank is the first, in any of its forms (`mlp-rank modified`).
    """
    order = ("mlp-rank", *SHARED)
    kind = name.partition(" ")[0].rstrip(",")
    return order.index(kind) if kind in order else len(order)


def retention_chart(
    summary: pd.DataFrame, leads: pd.DataFrame, *, dark: bool = False
) -> go.Figure:
    """Draw accuracy retention over sparsity for each data set, then who is ahead.

    The forms of MLP-Rank share a colour. The two that `leads` compares first have their
    spread as a band; of that lead the last panel has the 95 % intervals.

    Args:
        summary: columns data, criterion, sparsity, mean, spread.
        leads: of `llmrank.mlp.leads`; with no rows there is no last panel.
        dark: draw for the dark theme.
    """
    sets = list(dict.fromkeys(summary["data"]))
    named = {*leads["criterion"].iloc[:1], *leads["rival"].iloc[:1]}
    last = [f"mlp-rank ahead of {name}, points" for name in leads["rival"].iloc[:1]]
    fig = make_subplots(
        rows=1, cols=len(sets) + len(last), horizontal_spacing=0.055,
        subplot_titles=[*(f"accuracy kept, {plain(str(n))}" for n in sets), *last],
    )  # fmt: skip
    looks = _looks(summary["criterion"], palette(dark))
    for column, data in enumerate(sets, start=1):
        for name, look in looks.items():
            rows = summary[(summary["data"] == data) & (summary["criterion"] == name)]
            legend = {"name": plain(name), "showlegend": column == 1}
            band, line = _band(rows, look, legend)
            fig.add_traces([band, line] if name in named else [line], 1, column)
    if last:
        fig.add_traces(list(_lead_lines(leads, looks)), 1, len(sets) + 1)
        zero = {"zerolinecolor": palette(dark).text}
        fig.update_yaxes(tickformat="d", col=len(sets) + 1, **zero)
    fig.update_layout(
        template=template(dark), height=400, hovermode="x unified",
        legend={"y": 1.1}, margin={"t": 76},
    )  # fmt: skip
    fig.update_xaxes(tickformat=".0%", title_text="hidden neurons removed")
    for column in range(1, len(sets) + 1):
        fig.update_yaxes(tickformat=".0%", rangemode="tozero", col=column)
    return fig


def _looks(names: Iterable[object], colours: Palette) -> dict[str, dict[str, Any]]:
    """Give each criterion the look of its place; a further form another dash."""
    looks: dict[str, dict[str, Any]] = {}
    seen: Counter[int] = Counter()
    for name in dict.fromkeys(map(str, names)):
        place = criterion_place(name)
        look = curve_style(place, colours)
        if seen[place]:
            look["line"]["dash"] = DASHES[(place + seen[place]) % len(DASHES)]
            look["marker"]["symbol"] = SYMBOLS[-seen[place]]
        seen[place] += 1
        looks[name] = look
    return looks


def _lead_lines(
    leads: pd.DataFrame, looks: Mapping[str, dict[str, Any]]
) -> Iterator[go.Scatter]:
    """Yield each form's lead in points, the first with its intervals."""
    for place, (name, rows) in enumerate(leads.groupby("criterion", sort=False)):
        points = 100 * rows[["value", "low", "high"]]
        ends = {"array": (points["high"] - points["value"]).tolist(), "thickness": 1.5}
        yield go.Scatter(
            x=rows["sparsity"].tolist(),
            y=points["value"].tolist(),
            error_y=ends if place == 0 else None,
            customdata=points[["low", "high"]].to_numpy(),
            hovertemplate="%{y:+.1f} [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]",
            name=plain(str(name)),
            showlegend=False,
            **looks[str(name)],
        )


def recovery_chart(
    curves: Mapping[str, Sequence[float]],
    dense: float,
    criterion: str,
    *,
    dark: bool = False,
) -> go.Figure:
    """Draw accuracy on the test set over epochs, one curve for each way back.

    Args:
        curves: by name: accuracy before the first epoch, then after each.
        dense: the dense network's accuracy.
        criterion: by which was pruned; the first curve has its colour.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    fig = figure(dark=dark, height=360, x="epoch", y="test set right")
    longest = max((len(c) for c in curves.values()), default=2) - 1
    fig.add_scatter(
        x=[0, max(longest, 1)],
        y=[dense, dense],
        mode="lines",
        name="dense",
        line={"color": colours.neutral, "dash": "dot"},
    )
    own = curve_style(criterion_place(criterion), colours)["line"]["color"]
    ways = (own, colours.text, colours.neutral)
    for place, (name, values) in enumerate(curves.items()):
        style = curve_style(place, colours)
        style["line"]["color"] = ways[place]
        fig.add_scatter(
            x=list(range(len(values))),
            y=list(values),
            name=plain(name),
            **style,
        )
    fig.update_yaxes(tickformat=".0%")
    return fig


def shaken_chart(
    table: pd.DataFrame,
    brittle: pd.DataFrame,
    units: Mapping[str, str],
    *,
    dark: bool = False,
) -> go.Figure:
    """Draw who falls further than dense; beside it accuracy over each strength.

    Args:
        table: columns network, corruption (clean has strength 0), strength, accuracy.
        brittle: of `llmrank.mlp.brittleness`.
        units: what each corruption's strength is in.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    kinds = [kind for kind in dict.fromkeys(table["corruption"]) if kind != "clean"]
    n_rows = 2 if len(kinds) > 2 else 1
    first = {"rowspan": n_rows}
    specs = [[first, {}, {}], [None, {}, {}]] if n_rows == 2 else [[first, {}]]
    n_columns = 3 if n_rows == 2 else 2
    fig = make_subplots(
        rows=n_rows, cols=n_columns, specs=specs, horizontal_spacing=0.05,
        vertical_spacing=0.2,
        subplot_titles=["falls further than dense, points",
                        *(f"{kind} ({units[kind]})" for kind in kinds)],
    )  # fmt: skip
    looks = _looks(table["network"], colours)
    if "dense" in looks:
        line = {"color": colours.neutral, "dash": "dot", "width": 3}
        looks["dense"] = {"mode": "lines", "line": line}
    fig.add_traces(list(_falls(brittle, looks)), 1, 1)
    clean = table[table["corruption"] == "clean"].set_index("network")["accuracy"]
    for panel, kind in enumerate(kinds):
        for name, look in looks.items():
            rows = table[(table["corruption"] == kind) & (table["network"] == name)]
            fig.add_scatter(
                x=["none", *(f"{s:g}" for s in rows["strength"])],
                y=[clean[name], *rows["accuracy"]],
                name=plain(name),
                legendgroup=name,
                showlegend=panel == 0,
                row=panel // 2 + 1,
                col=panel % 2 + 2,
                **look,
            )
    fig.update_layout(
        template=template(dark), height=430, legend={"y": 1.1}, margin={"t": 76}
    )
    fig.update_xaxes(type="category")
    fig.update_yaxes(tickformat=".0%", range=[0, 1.02])
    fig.update_xaxes(type="linear", zerolinecolor=colours.text, tickformat="d", col=1)
    fig.update_yaxes(
        range=None, autorange="reversed", tickformat="", showgrid=False, col=1
    )
    return fig


def _falls(
    brittle: pd.DataFrame, looks: Mapping[str, dict[str, Any]]
) -> Iterator[go.Scatter]:
    """Yield one point with its 95 % interval for each pruned network."""
    pruned = brittle[brittle["network"] != "dense"]
    for row in pruned.sort_values("extra", ascending=False).to_dict("records"):
        low, value, high = (100 * row[n] for n in ("extra_low", "extra", "extra_high"))
        yield go.Scatter(
            x=[value],
            y=[plain(row["network"])],
            error_x={"array": [high - value]},
            hovertemplate=f"{value:+.1f} [{low:+.1f}, {high:+.1f}]<extra></extra>",
            showlegend=False,
            **(looks[row["network"]] | {"mode": "markers"}),
        )


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
