"""The heatmap of all scores: layers by neurons, binned, with the cut drawn in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.statistics import average_ranks
from llmrank.methods.pruning import descending, drop_mask
from llmrank.report.charts.theme import SCORES, figure, layer_ticks
from llmrank.report.tables.scores import dropped_globally

MAX_COLUMNS = 1024
WIDE_RANGE = 100
"""Highest over lowest bin mean from which the colours are logarithmic."""

X_TITLE = {
    "sorted": "rank in the layer (1 = highest score)",
    "index": "neuron (index in the layer)",
}
FIRST = {"sorted": 1, "index": 0}
HOVER = {
    "sorted": "layer %{y}, ranks %{customdata[0]:,} to %{customdata[1]:,}",
    "index": "layer %{y}, neurons %{customdata[0]:,} to %{customdata[1]:,}",
}


Table = Float[np.ndarray, "n_layers n_columns"]


@dataclass(frozen=True)
class Bins:
    """Values of each layer in bins of `size` neurons; NaN where a layer has ended."""

    size: int
    start: Table
    end: Table
    mean: Table
    low: Table
    high: Table
    n_dropped: Table


def score_heatmap(
    scores: Sequence[Float[Tensor, " _"]],
    keep: Sequence[Int[Tensor, " _"]] | None = None,
    *,
    order: Literal["index", "sorted"] = "sorted",
    value: Literal["score", "percentile"] = "score",
    held: tuple[int, int] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw every neuron's score, one row per layer, in at most 1,024 columns.

    A cell is the mean of its neurons. Narrower layers end earlier: nothing is drawn
    there. In sorted order a line shows the cut of each layer whose kept neurons are
    its highest, and hatching what is dropped; a dotted line, where it differs, whom
    one threshold over all layers would drop.

    Args:
        scores: one vector per layer.
        keep: the kept neurons of each layer; None draws no cut.
        order: columns by rank (highest first) or by neuron index.
        value: the score, or its percentile among all neurons of all layers.
        held: layer and index of a neuron that is marked.
        dark: draw for the dark theme.
    """
    values = [s.detach().to("cpu", torch.float64).numpy() for s in scores]
    kept = [None] * len(values) if keep is None else keep
    dropped = [drop_mask(len(s), k).numpy() for s, k in zip(values, kept, strict=True)]
    shown = values if value == "score" else _percentiles(values)
    if order == "sorted":
        orders = [np.argsort(-s, stable=True) for s in values]
        shown = [s[o] for s, o in zip(shown, orders, strict=True)]
        dropped = [d[o] for d, o in zip(dropped, orders, strict=True)]
    n_layers, left = len(values), FIRST[order] - 0.5
    height = max(280, min(900, 100 + 10 * n_layers))
    fig = figure(dark=dark, height=height, x=X_TITLE[order], y="layer")
    fig.add_trace(_heatmap(binned(shown, dropped), order, value))
    fig.update_yaxes(layer_ticks(n_layers) | {"range": [n_layers - 0.5, -0.5]})
    fig.update_xaxes(showgrid=False, range=[left, left + max(map(len, values))])
    if order == "sorted" and keep is not None:
        _add_cut(fig, dropped)
        globally = dropped_globally(scores, sum(map(len, keep)))
        if globally != [d.sum() for d in dropped]:
            pairs = zip(dropped, globally, strict=True)
            cuts = [len(flags) - n + 0.5 for flags, n in pairs]
            _add_steps(fig, cuts, "global cut", dash="dot")
            said = f"{fig.layout.title.text}; dotted: one threshold over all layers"
            fig.update_layout(title_text=said)
    if held is not None and held[0] < n_layers and held[1] < len(values[held[0]]):
        place = held[1]
        if order == "sorted":
            place = int(np.flatnonzero(orders[held[0]] == place)[0])
        fig.add_scatter(
            x=[place + FIRST[order]], y=[held[0]], mode="markers", name="held",
            marker={"size": 11, "color": "#fff", "line": {"color": "#000", "width": 2}},
            cliponaxis=False, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    return fig


def neuron_at(
    scores: Float[Tensor, " _"], x: float, order: Literal["index", "sorted"]
) -> int:
    """Return the neuron in the middle of the bin that is drawn at x, of one layer."""
    place = min(int(x) - FIRST[order], len(scores) - 1)
    return place if order == "index" else int(descending(scores.cpu())[place])


def binned(values: Sequence[np.ndarray], dropped: Sequence[np.ndarray]) -> Bins:
    """Put neighbouring neurons into common bins, as few per bin as columns allow."""
    widths = np.array([len(v) for v in values])
    size = -(-int(widths.max()) // MAX_COLUMNS)
    n_columns = -(-int(widths.max()) // size)
    start = np.arange(n_columns)[None] * size
    count = np.clip(widths[:, None] - start, 0, size)

    def cells(vectors: Sequence[np.ndarray], filler: float) -> np.ndarray:
        table = np.full((len(vectors), n_columns * size), filler)
        for row, vector in zip(table, vectors, strict=True):
            row[: len(vector)] = vector
        return table.reshape(len(vectors), n_columns, size)

    def present(table: np.ndarray) -> np.ndarray:
        return np.where(count > 0, table, np.nan)

    return Bins(
        size=size,
        start=present(start),
        end=present(start + count - 1),
        mean=present(cells(values, 0.0).sum(-1) / np.maximum(count, 1)),
        low=present(cells(values, np.inf).min(-1)),
        high=present(cells(values, -np.inf).max(-1)),
        n_dropped=present(cells(dropped, 0.0).sum(-1)),
    )


def _percentiles(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The share of all neurons that score lower; of equals one half counts as lower."""
    together = average_ranks(torch.from_numpy(np.concatenate(values))).numpy()
    ends = np.cumsum([len(v) for v in values])[:-1]
    return np.split(100 * (together - 0.5) / len(together), ends)


def _heatmap(bins: Bins, order: str, value: str) -> go.Heatmap:
    first = FIRST[order]
    fields = (bins.start + first, bins.end + first, bins.mean, bins.low, bins.high)
    hover = np.stack([*fields, bins.n_dropped], -1).astype(np.float32)
    return go.Heatmap(
        z=_colour_values(bins.mean, value),
        x0=first + (bins.size - 1) / 2,
        dx=bins.size,
        customdata=hover,
        hoverongaps=False,
        hovertemplate=(
            HOVER[order] + "<br>mean %{customdata[2]:.3g}, lowest %{customdata[3]:.3g},"
            " highest %{customdata[4]:.3g}<br>removed: %{customdata[5]}<extra></extra>"
        ),
        colorscale=SCORES,
        **_colour_range(bins.mean, value),
    )


def _is_wide(mean: np.ndarray) -> bool:
    above = mean[mean > 0]
    return len(above) > 0 and bool(above.max() >= WIDE_RANGE * above.min())


def _colour_values(mean: np.ndarray, value: str) -> np.ndarray:
    """Zeros take the colour of the lowest positive mean; the hover says zero."""
    if value == "score" and _is_wide(mean):
        mean = np.log10(np.maximum(mean, mean[mean > 0].min()))
    return mean.astype(np.float32)


def _colour_range(mean: np.ndarray, value: str) -> dict[str, object]:
    if value == "percentile":
        return _scale(0.0, 100.0, {"title": {"text": "percentile"}})
    bar: dict[str, object] = {"title": {"text": "score"}, "exponentformat": "e"}
    if not _is_wide(mean):
        lowest, highest = float(np.nanmin(mean)), float(np.nanmax(mean))
        if lowest == highest:  # one colour, on a scale with a length
            lowest, highest = 0.0, highest or 1.0
        return _scale(lowest, highest, bar)
    logs = np.log10(mean[mean > 0])
    ticks = range(math.floor(logs.min()), math.ceil(logs.max()) + 1)
    bar |= {"tickvals": list(ticks), "ticktext": [f"1e{t}" for t in ticks]}
    return _scale(float(logs.min()), float(logs.max()), bar)


def _scale(low: float, high: float, bar: dict[str, object]) -> dict[str, object]:
    return {"zmin": low, "zmax": high, "colorbar": bar | {"thickness": 14}}


def _add_cut(fig: go.Figure, dropped: Sequence[np.ndarray]) -> None:
    """Draw each layer's cut and hatch what lies right of it."""
    cuts: list[float | None] = []
    area_x: list[float | None] = []
    area_y: list[float | None] = []
    n_hatched = 0
    for layer, flags in enumerate(dropped):
        n_dropped = int(flags.sum())
        if not n_dropped or not flags[-n_dropped:].all():  # not the lowest
            cuts.append(None)
            continue
        n_hatched += n_dropped
        right, top, bottom = len(flags) + 0.5, layer - 0.5, layer + 0.5
        left = right - n_dropped
        cuts.append(left)
        area_x += [left, right, right, left, left, None]
        area_y += [top, top, bottom, bottom, top, None]
    fig.add_scatter(
        x=area_x, y=area_y, name="removed", mode="lines", line={"width": 0},
        fill="toself", fillcolor="rgba(0,0,0,0)", hoverinfo="skip",
        fillpattern={
            "shape": "/", "size": 7, "solidity": 0.2, "fillmode": "overlay",
            "fgcolor": "rgba(255,255,255,0.6)",
        },
    )  # fmt: skip
    _add_steps(fig, cuts, "cut")
    fig.update_layout(
        showlegend=False, title={"text": _dropped_in_words(dropped, n_hatched)}
    )


def _add_steps(
    fig: go.Figure, cuts: Sequence[float | None], name: str, **line: str
) -> None:
    """Draw a white line down the layers, at a column of each or (None) not there."""
    x: list[float | None] = []
    y: list[float | None] = []
    for layer, cut in enumerate(cuts):
        x += [None] if cut is None else [cut, cut]
        y += [None] if cut is None else [layer - 0.5, layer + 0.5]
    white = {"color": "#ffffff", "width": 2} | line
    fig.add_scatter(x=x, y=y, name=name, mode="lines", hoverinfo="skip", line=white)


def _dropped_in_words(dropped: Sequence[np.ndarray], n_hatched: int) -> str:
    n_dropped, n = sum(int(d.sum()) for d in dropped), sum(len(d) for d in dropped)
    if n_hatched == n_dropped:
        return f"Hatched, right of the line: removed, {n_dropped:,} of {n:,} neurons"
    return (
        f"Removed: {n_dropped:,} of {n:,} neurons, {n_hatched:,} of them hatched; "
        "the others are not the lowest of their layer"
    )
