"""The neuron graph as one HTML file that opens anywhere and requests nothing."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import networkx as nx
import pandas as pd
import pyvis.network
from plotly.colors import sample_colorscale

from llmrank.core.formatting import times
from llmrank.report.charts.theme import SCORES, Palette, palette
from llmrank.report.network.graph import HEIGHT, WIDTH

WIDE_RANGE = 10
"""Highest over lowest score from which the colours are logarithmic."""

LONGEST = 4
"""Times the mean at which a bar ends, broken: the cut is seen however high a score."""


def html(
    graph: nx.DiGraph,
    *,
    title: str,
    theme: Literal["light", "dark"],
    parts: pd.DataFrame | None = None,
) -> str:
    """Return a stand-alone page with the graph, its legend and values on hover.

    The edges of one node are lit: of the most central neuron, until another is held.

    The page is pyvis's vis-network in a template of ours: pyvis's own
    links Bootstrap from a CDN, shows hover text that holds "href" as markup, and does
    not escape the heading. A content security policy forbids every request.

    Args:
        graph: from `network`, with at least one neuron.
        title: any text; it is escaped.
        theme: light or dark.
        parts: of `score_parts`, of the one layer drawn: each neuron's score is drawn
            beside it, with the cut.
    """
    colours = palette(theme == "dark")
    scale = _ScoreScale(graph)
    heaviest = max((w for *_, w in graph.edges(data="weight")), default=1.0)
    edges = [
        {
            "from": a,
            "to": b,
            "part": e["weight"] / heaviest,
            "told": signed(e["signed"]),
        }
        for a, b, e in graph.edges(data=True)
    ]
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            description=f"{title}: {len(graph)} nodes and {len(edges)} edges",
            c=colours,
            colours=_named(colours),
            gradient=sample_colorscale(SCORES, 12),
            low=f"{scale.low:.3g}",
            high=f"{scale.high:.3g}",
            is_log=scale.is_log,
            has_dropped=any(dropped for _, dropped in graph.nodes(data="dropped")),
            columns=_frame(graph) | _bars(graph, parts),
            has_bars=parts is not None,
            has_parts=parts is not None and "edges" in parts,
            held=most_central(graph),
            nodes=list(_drawn(graph, scale, colours, parts)),
            edges=edges,
        )
    )


def most_central(graph: nx.DiGraph) -> str:
    """Name the drawn neuron that scores highest against the mean of its layer."""
    neurons = [n for n, kind in graph.nodes(data="kind") if kind == "neuron"]
    return max(neurons, key=lambda n: _times_mean(graph.nodes[n]))


class _ScoreScale:
    """Scores of the drawn neurons, in times their layer's mean, as colours."""

    def __init__(self, graph: nx.DiGraph) -> None:
        neurons = [n for _, n in graph.nodes(data=True) if n["kind"] == "neuron"]
        values = [_times_mean(n) for n in neurons]
        self.low, self.high = min(values), max(values)
        self.is_log = self.low > 0 and self.high >= WIDE_RANGE * self.low

    def colour(self, value: float) -> str:
        if self.low == self.high:
            return sample_colorscale(SCORES, 0.5)[0]
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        place = (value - low) / (high - low)
        return sample_colorscale(SCORES, min(max(place, 0.0), 1.0))[0]


def _times_mean(node: dict[str, Any]) -> float:
    return float(node["score"]) * int(node["size"])


def _drawn(
    graph: nx.DiGraph, scale: _ScoreScale, colours: Palette, parts: pd.DataFrame | None
) -> Iterator[Any]:
    """Yield the nodes as vis-network takes them, and how they look."""
    crowd = Counter(x for _, x in graph.nodes(data="x"))
    for name, node in graph.nodes(data=True):
        room = HEIGHT / (crowd[node["x"]] + 3)
        fill, bars = colours.neutral, []
        if node["kind"] == "neuron":
            fill = scale.colour(_times_mean(node))
            if parts is not None:
                bars = [float(parts[c][node["index"]]) for c in _columns(parts)]
        yield {
            "id": name,
            "shape": "custom",
            "title": _node_text(node),
            "fill": colours.background if node["dropped"] else fill,
            "r": min(14, 0.38 * room),
            "room": 0.95 * room,
            "side": "left" if node["x"] == 0 else "right",
            "bars": bars,
            **{key: node[key] for key in ("label", "kind", "dropped", "x", "y")},
        }


def signed(weight: float) -> str:
    """Write a weight with its sign, in two significant digits and four decimals."""
    return f"{round(weight, 4):+.2g}".replace("-", "−")


def _node_text(node: dict[str, Any]) -> str:
    """Text, not markup: vis-network shows it as it is."""
    place = f"rank {node['rank']:,} of {node['size']:,}"
    score = f"{node['score']:.3g} ({_times_mean(node):.3g} × mean)"
    strength = f"strength {node['strength']:.3g} = Σ|weight|"
    if node["kind"] == "residual":
        return f"{node['label']}\nmass {score}\n{place}\n{strength}"
    state = "removed" if node["dropped"] else "kept"
    return f"{node['label']}, {state}\nscore {score}\n{place}\n{strength}"


def _named(colours: Palette) -> dict[str, str]:
    names = ("background", "text", "neutral", "accent")
    return {n: getattr(colours, n) for n in names} | {"activation": colours.series[1]}


def _columns(parts: pd.DataFrame) -> list[str]:
    return ["edges", "activation"] if "edges" in parts else ["score"]


def _bars(graph: nx.DiGraph, parts: pd.DataFrame | None) -> dict[str, Any]:
    """Where the cut lies and how far the bars go, in times the layer's mean score."""
    if parts is None:
        return {"cut": None, "longest": None}
    scores, kept = parts["score"], parts["kept"]
    drawn = [n["index"] for n in graph.nodes.values() if n["kind"] == "neuron"]
    cut = None if kept.all() else float(scores[kept].min())
    return {
        "cut": cut,
        "told": cut and times(cut),
        "longest": min(max(cut or 0, float(scores[drawn].max())), LONGEST),
    }


def _frame(graph: nx.DiGraph) -> dict[str, Any]:
    """Where the columns' heads and the groups' names go, and what must be in view."""
    columns, groups = defaultdict(list), defaultdict(list)
    is_chain = graph.graph["n_layers"] > 1
    for _, node in graph.nodes(data=True):
        columns[node["x"]].append(node)
        if node["kind"] == "neuron":
            groups[node["x"], node["group"]].append(node)
    return {
        "heads": [
            {"x": x, "y": -64, "head": _head(n, is_chain)} for x, n in columns.items()
        ],
        "groups": [
            {
                "x": x,
                "y": nodes[0]["y"] - 0.6 * columns[x][0]["y"],
                "name": _group(nodes, is_chain),
            }
            for (x, _), nodes in groups.items()
        ],
        "most": max(map(len, columns.values())),
        "middle": HEIGHT / 2 - 35,
        "width": WIDTH,
        "margin": 420,
        "height": HEIGHT + 170,
    }


def _head(nodes: Sequence[dict[str, Any]], is_chain: bool) -> str:
    first = nodes[0]
    where = {0.0: "residual in", WIDTH: "residual out"}.get(first["x"], "residual")
    name = f"layer {first['layer']}" if first["kind"] == "neuron" else where
    return name if is_chain else f"{name}: {len(nodes)} of {first['size']:,}"


def _group(nodes: Sequence[dict[str, Any]], is_chain: bool) -> str:
    """Say which ranks stand together, and what happens to them; briefly in a chain."""
    fate = "removed" if nodes[0]["dropped"] else "kept"
    if is_chain:
        return f"{len(nodes)} {fate}"
    first, last, n = nodes[0]["rank"], nodes[-1]["rank"], len(nodes)
    name = f"ranks {first:,} to {last:,}" if n > 1 else f"rank {first:,}"
    if first == 1:
        name = "all" if last == nodes[0]["size"] else f"highest {n}"
    elif last == nodes[0]["size"]:
        name = f"lowest {n}"
    return f"{name} · {fate}"


@cache
def _environment() -> jinja2.Environment:
    """Our page, and pyvis's folder for the script and the style it carries."""
    folders = [Path(__file__).parent, Path(pyvis.network.__file__).parent / "templates"]
    loader = jinja2.FileSystemLoader([str(folder) for folder in folders])
    return jinja2.Environment(loader=loader, autoescape=True)
