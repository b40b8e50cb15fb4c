"""Criteria side by side: rank against rank, what both would drop, all at once."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.statistics import average_ranks
from llmrank.methods.pruning import drop_mask
from llmrank.report.charts.theme import (
    DIFFERENCES,
    Palette,
    caption,
    figure,
    layer_ticks,
    palette,
    plain,
    segments,
)

HEIGHT = 420
MAX_POINTS = 5000
SAMPLE_SEED = 0


def rank_scatter(
    a: Sequence[Float[Tensor, " _"]],
    b: Sequence[Float[Tensor, " _"]],
    keep: tuple[Sequence[Int[Tensor, " _"]], Sequence[Int[Tensor, " _"]]],
    *,
    names: tuple[str, str] = ("a", "b"),
    said: str = "",
    dark: bool = False,
) -> go.Figure:
    """Draw each neuron's rank under two criteria, by what each of them keeps.

    Ranks are within the layer, 1 = highest; equal scores share their mean rank. Of
    more than 5,000 neurons a seeded sample is drawn, and the title says so.

    Args:
        a: scores by the first criterion, one vector per layer; a list of one for one.
        b: the same by the second.
        keep: the kept neurons of each layer, by the first and by the second.
        names: of the two criteria.
        said: what stands in the empty corner; may hold `<br>`.
        dark: draw for the dark theme.
    """
    table = _table(a, b, *keep)
    sample = _sample(len(table))
    first, second = plain(names[0]), plain(names[1])
    fig = figure(
        dark=dark,
        height=HEIGHT,
        x=f"rank by {first} (1 = highest)",
        y=f"rank by {second} (1 = highest)",
    )
    drawn = table[sample]
    groups = _groups(first, second, palette(dark))
    for code, (name, marker) in enumerate(groups):
        rows = drawn[drawn[:, 4] == code]
        total = int((table[:, 4] == code).sum())
        fig.add_scatter(
            x=rows[:, 2].numpy(),
            y=rows[:, 3].numpy(),
            customdata=rows[:, :2].tolist(),
            mode="markers",
            name=f"{name}: {total:,}",
            marker={"size": 6, "opacity": 0.8} | marker,
            unselected={"marker": {"opacity": 0.5}},
            selected={"marker": {"size": 14}},
            hovertemplate="layer %{customdata[0]}, neuron %{customdata[1]}"
            "<br>ranks %{x:,} and %{y:,}<extra></extra>",
        )
    n_drawn = f"{len(table):,} neurons"
    if len(sample) < len(table):
        n_drawn = f"{len(sample):,} of {n_drawn} drawn (random, seed {SAMPLE_SEED})"
    caption(fig, n_drawn)
    fig.add_annotation(
        text=said, x=1, y=0, xref="paper", yref="paper", xanchor="right",
        yanchor="bottom", showarrow=False, align="right", font={"size": 14},
    )  # fmt: skip
    fig.update_xaxes(rangemode="tozero")
    fig.update_yaxes(rangemode="tozero")
    fig.update_layout(clickmode="event+select")
    return fig


def overlap_bars(
    shares: Sequence[float | None],
    *,
    names: tuple[str, str] = ("a", "b"),
    by_chance: Sequence[float] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw, by layer, the share of a's dropped neurons that b drops too.

    Args:
        shares: one per layer, in [0, 1]; None where a drops nothing.
        names: of the two criteria.
        by_chance: the share that a random choice would give, which is b's sparsity.
        dark: draw for the dark theme.
    """
    colours = palette(dark)
    first, second = plain(names[0]), plain(names[1])
    fig = figure(
        dark=dark,
        height=HEIGHT,
        x="layer",
        y=f"removed by {first}<br>and by {second} too",
    )
    layers = list(range(len(shares)))
    texts = ["" if s is not None else "none removed" for s in shares]
    fig.add_bar(
        x=layers, y=[s or 0 for s in shares], text=texts, name="overlap",
        marker={"color": colours.accent}, textposition="outside",
        textangle=-90, constraintext="none",
        hovertemplate="layer %{x}: %{y:.1%} %{text}<extra></extra>",
    )  # fmt: skip
    if by_chance is not None:
        fig.add_scatter(
            **segments(layers, by_chance), name="by chance", mode="lines",
            line={"color": colours.text, "width": 2, "dash": "dot"},
            hovertemplate="by chance: %{y:.1%}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(layer_ticks(len(layers)))
    fig.update_yaxes(range=[0, 1.05], tickformat=".0%")
    return fig


def _table(
    a: Sequence[Tensor],
    b: Sequence[Tensor],
    keep_a: Sequence[Tensor],
    keep_b: Sequence[Tensor],
) -> Tensor:
    """Rows of layer, neuron, rank by a, rank by b, group (0 both … 3 neither)."""
    rows = []
    pairs = zip(a, b, keep_a, keep_b, strict=True)
    for layer, (x, y, kept_x, kept_y) in enumerate(pairs):
        neurons = torch.arange(len(x))
        group = 2 * drop_mask(len(x), kept_x) + drop_mask(len(x), kept_y)
        layers = torch.full((len(x),), layer)
        from_top = [len(x) + 1 - average_ranks(s) for s in (x, y)]
        rows.append(torch.stack([layers, neurons, *from_top, group], -1))
    return torch.cat(rows).to(torch.float64)


def _sample(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    return torch.randperm(n, generator=generator)[:MAX_POINTS].sort().values


def _groups(first: str, second: str, c: Palette) -> list[tuple[str, dict[str, object]]]:
    return [
        ("both keep", {"symbol": "circle-open", "color": c.neutral}),
        (f"{first} only", {"symbol": "triangle-up", "color": c.series[0]}),
        (f"{second} only", {"symbol": "square", "color": c.series[1]}),
        ("both remove", {"symbol": "x-thin-open", "color": c.neutral}),
    ]


def correlation_map(table: pd.DataFrame, *, dark: bool = False) -> go.Figure:
    """Draw how much each two criteria agree on ranks, from −1 to 1.

    Args:
        table: a square of correlations with the criteria's names on both sides.
        dark: draw for the dark theme.
    """
    names = [plain(str(name)) for name in table.index]
    values = table.to_numpy(dtype=float)
    fig = figure(dark=dark, height=120 + 34 * max(len(names), 4), x="", y="")
    places = list(range(len(names)))
    fig.add_heatmap(
        x=places, y=places, z=values, zmin=-1, zmax=1, colorscale=DIFFERENCES,
        text=[["" if v != v else f"{v:.2f}" for v in row] for row in values],
        texttemplate="%{text}", xgap=1, ygap=1,
        customdata=[[[a, b] for b in names] for a in names],
        colorbar={"title": {"text": "Spearman", "side": "right"}, "thickness": 12},
        hovertemplate="%{customdata[0]}, %{customdata[1]}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False}
    fig.update_xaxes(ticks | {"tickangle": -35})
    fig.update_yaxes(ticks | {"autorange": "reversed"})
    return fig
