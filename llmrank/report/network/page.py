"""The neuron graph as one HTML file that opens anywhere and requests nothing."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import networkx as nx
import pyvis.network
from plotly.colors import sample_colorscale

from llmrank.report.charts.theme import SCORES, Palette, palette
from llmrank.report.network.graph import HEIGHT, WIDTH

WIDE_RANGE = 10
"""Highest over lowest score from which the colours are logarithmic."""


def html(graph: nx.DiGraph, *, title: str, theme: Literal["light", "dark"]) -> str:
    """Return a stand-alone page with the graph, its legend and values on hover.

    The edges of one node are lit: of the most central neuron, until another is held.

    The page is pyvis's vis-network in a template of ours: pyvis's own
    links Bootstrap from a CDN, shows hover text that holds "href" as markup, and does
    not escape the heading. A content security policy forbids every request.

    Args:
        graph: from `network`, with at least one neuron.
        title: any text; it is escaped.
        theme: light or dark.
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
            columns=_frame(graph),
            held=most_central(graph),
            nodes=list(_drawn(graph, scale, colours)),
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


def _drawn(graph: nx.DiGraph, scale: _ScoreScale, colours: Palette) -> Iterator[Any]:
    """Yield the nodes as vis-network takes them, and how they look."""
    crowd = Counter(x for _, x in graph.nodes(data="x"))
    for name, node in graph.nodes(data=True):
        room = HEIGHT / (crowd[node["x"]] + 3)
        fill = colours.neutral
        if node["kind"] == "neuron":
            fill = scale.colour(_times_mean(node))
        yield {
            "id": name,
            "shape": "custom",
            "title": _node_text(node),
            "fill": colours.background if node["dropped"] else fill,
            "r": min(14, 0.38 * room),
            "room": 0.95 * room,
            "side": "left" if node["x"] == 0 else "right",
            **{key: node[key] for key in ("label", "kind", "dropped", "x", "y")},
        }


def signed(weight: float) -> str:
    """Write a weight with its sign, in two significant digits."""
    return f"{weight:+.2g}".replace("-", "−")


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
    return {n: getattr(colours, n) for n in names}


def _frame(graph: nx.DiGraph) -> dict[str, Any]:
    """Where the columns' heads and the groups' names go, and what must be in view."""
    columns, groups = defaultdict(list), defaultdict(list)
    names = graph.graph["central"].split()
    central = names[0], names[-1]
    for _, node in graph.nodes(data=True):
        columns[node["x"]].append(node)
        if node["kind"] == "neuron":
            groups[node["x"], node["group"]].append(node)
    return {
        "heads": [
            {"x": x, "y": -64, "head": _head(n), "why": _why(n, *central)}
            for x, n in columns.items()
        ],
        "groups": [
            {
                "x": x,
                "y": nodes[0]["y"] - 0.6 * columns[x][0]["y"],
                "name": _group(nodes),
            }
            for (x, _), nodes in groups.items()
        ],
        "most": max(map(len, columns.values())),
        "middle": HEIGHT / 2 - 45,
        "width": WIDTH,
        "margin": 420,
        "height": HEIGHT + 150,
    }


def _head(nodes: Sequence[dict[str, Any]]) -> str:
    first = nodes[0]
    where = {0.0: "residual in", WIDTH: "residual out"}.get(first["x"], "residual")
    name = f"layer {first['layer']}" if first["kind"] == "neuron" else where
    return f"{name}: {len(nodes)} of {first['size']:,}"


def _why(nodes: Sequence[dict[str, Any]], first: str, last: str) -> str:
    """Say, at either end, why these of all residual dimensions are drawn."""
    central = {0.0: first, WIDTH: last}.get(nodes[0]["x"])
    if central is None or len(nodes) == nodes[0]["size"]:
        return ""
    return f"heaviest edges of {central}, and of all drawn"


def _group(nodes: Sequence[dict[str, Any]]) -> str:
    """Say which ranks stand together, and what happens to them."""
    first, last, n = nodes[0]["rank"], nodes[-1]["rank"], len(nodes)
    name = f"ranks {first:,} to {last:,}" if n > 1 else f"rank {first:,}"
    if first == 1:
        name = "all" if last == nodes[0]["size"] else f"highest {n}"
    elif last == nodes[0]["size"]:
        name = f"lowest {n}"
    return f"{name} · {'removed' if nodes[0]['dropped'] else 'kept'}"


@cache
def _environment() -> jinja2.Environment:
    """Our page, and pyvis's folder for the script and the style it carries."""
    folders = [Path(__file__).parent, Path(pyvis.network.__file__).parent / "templates"]
    loader = jinja2.FileSystemLoader([str(folder) for folder in folders])
    return jinja2.Environment(loader=loader, autoescape=True)
