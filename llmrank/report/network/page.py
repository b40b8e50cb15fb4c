"""The neuron graph as one HTML file that opens anywhere and requests nothing."""

import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import networkx as nx
import pyvis.network
from plotly.colors import hex_to_rgb, sample_colorscale, unlabel_rgb

from llmrank.core.formatting import share
from llmrank.report.charts.theme import SCORES, Palette, faded, palette
from llmrank.report.network.graph import HEIGHT, WIDTH

WIDE_RANGE = 10
"""Highest over lowest score from which the colours are logarithmic."""

OPTIONS = {
    "physics": {"enabled": False},
    "layout": {"improvedLayout": False},
    "edges": {"smooth": False, "selectionWidth": 1, "hoverWidth": 1},
    "interaction": {
        "dragNodes": False,
        "hover": True,
        "tooltipDelay": 80,
        "keyboard": {"enabled": True, "bindToWindow": True},
    },
}


def html(graph: nx.DiGraph, *, title: str, theme: Literal["light", "dark"]) -> str:
    """Return a stand-alone page with the graph, its legend and values on hover.

    The page is pyvis's data and its vis-network in a template of ours: pyvis's own
    links Bootstrap from a CDN, shows hover text that holds "href" as markup, and does
    not escape the heading. A content security policy forbids every request.

    Args:
        graph: from `network`, with at least one neuron.
        title: any text; it is escaped.
        theme: light or dark.
    """
    colours = palette(theme == "dark")
    scale = _ScoreScale(graph)
    nodes, edges, _, _, _, options = _pyvis(graph, scale, colours).get_network_data()
    heaviest = max((w for *_, w in graph.edges(data="weight")), default=0.0)
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            description=f"{title}: {len(nodes)} nodes and {len(edges)} edges",
            c=colours,
            colours=_named(colours),
            gradient=sample_colorscale(SCORES, 12),
            low=f"{scale.low:.3g}",
            high=f"{scale.high:.3g}",
            is_log=scale.is_log,
            heaviest=f"{heaviest:.3g}",
            has_dropped=any(dropped for _, dropped in graph.nodes(data="dropped")),
            columns=_frame(graph),
            nodes=nodes,
            edges=edges,
            options=options,
        )
    )


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


def _pyvis(
    graph: nx.DiGraph, scale: _ScoreScale, colours: Palette
) -> pyvis.network.Network:
    net = pyvis.network.Network(directed=True, cdn_resources="in_line")
    net.options = OPTIONS
    crowd = Counter(x for _, x in graph.nodes(data="x"))
    for name, node in graph.nodes(data=True):
        room = HEIGHT / crowd[node["x"]]
        is_neuron = node["kind"] == "neuron"
        fill = scale.colour(_times_mean(node)) if is_neuron else colours.neutral
        net.add_node(
            name, label=str(node["label"]), title=_node_text(node), shape="custom",
            x=node["x"], y=node["y"], kind=node["kind"], dropped=node["dropped"],
            fill=fill, ink=_ink(fill),
            r=min(14, 0.38 * room), text=min(20, 0.7 * room),
            side="left" if node["x"] == 0 else "right",
        )  # fmt: skip
    heaviest = max((w for *_, w in graph.edges(data="weight")), default=1.0)
    for source, target, edge in graph.edges(data=True):
        part = math.sqrt(edge["weight"] / heaviest)
        net.add_edge(
            source, target, title=_edge_text(graph, source, target), arrows="",
            width=0.5 + 4 * part,
            color={
                "color": faded(colours.neutral, 0.15 + 0.6 * part),
                "highlight": colours.accent,
                "hover": colours.accent,
            },
        )  # fmt: skip
    return net


def _node_text(node: dict[str, Any]) -> str:
    """Text, not markup: vis-network shows it as it is."""
    place = f"rank {node['rank']:,} of {node['size']:,}"
    score = f"{node['score']:.3g} ({_times_mean(node):.3g} × mean)"
    strength = f"strength {node['strength']:.3g} (sum of its |weights|)"
    if node["kind"] == "residual":
        return f"{node['label']}\nmass {score}\n{place}\n{strength}"
    state = "removed" if node["dropped"] else "kept"
    return f"{node['label']}, {state}\nscore {score}\n{place}\n{strength}"


def node_facts(graph: nx.DiGraph, name: str, n_edges: int = 6) -> list[str]:
    """Say line by line what a node is, and name the heaviest of its edges drawn."""
    edges = [*graph.in_edges(name, "weight"), *graph.out_edges(name, "weight")]
    heaviest = sorted(edges, key=lambda edge: -edge[2])[:n_edges]
    told = [_edge_text(graph, source, target) for source, target, _ in heaviest]
    return [
        *_node_text(graph.nodes[name]).split("\n"),
        *(": ".join(text.split("\n")[:2]) for text in told),
    ]


def _edge_text(graph: nx.DiGraph, source: str, target: str) -> str:
    edge = graph.edges[source, target]
    ends = f"{graph.nodes[source]['label']} → {graph.nodes[target]['label']}"
    part = f"{share(edge['share'])} of all that leaves {graph.nodes[source]['label']}"
    return f"{ends}\nweight {edge['signed']:+.3g}\n{part}"


def _ink(fill: str) -> str:
    """Black or white, whichever is seen on a fill given as #rrggbb or rgb(r, g, b)."""
    red, green, blue = unlabel_rgb(fill) if "(" in fill else hex_to_rgb(fill)
    return "#000000" if 299 * red + 587 * green + 114 * blue > 128_000 else "#ffffff"


def _named(colours: Palette) -> dict[str, str]:
    names = ("background", "text", "neutral", "accent")
    return {n: getattr(colours, n) for n in names} | {
        "middle": sample_colorscale(SCORES, 0.6)[0]
    }


def _frame(graph: nx.DiGraph) -> dict[str, Any]:
    """Where the heads of the columns go, and what must be in view."""
    heads = {n["x"]: _head(n) for _, n in graph.nodes(data=True)}
    last = max(heads)
    heads[last] = "residual out"
    return {
        "heads": [{"x": x, "head": head} for x, head in heads.items()],
        "y": -30,
        "text": 22,
        "middle": HEIGHT / 2 - 25,
        "width": WIDTH,
        "margin": 260,
        "height": HEIGHT + 110,
    }


def _head(node: dict[str, Any]) -> str:
    if node["kind"] == "neuron":
        return f"layer {node['layer']}"
    return "residual in" if node["x"] == 0 else "residual"


@cache
def _environment() -> jinja2.Environment:
    """Our page, and pyvis's folder for the script and the style it carries."""
    folders = [Path(__file__).parent, Path(pyvis.network.__file__).parent / "templates"]
    loader = jinja2.FileSystemLoader([str(folder) for folder in folders])
    return jinja2.Environment(loader=loader, autoescape=True)
