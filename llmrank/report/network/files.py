"""The neuron graph as a table, a node of it in words, and as GraphML."""

import io
import re

import networkx as nx
import pandas as pd

from llmrank.core.formatting import number

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
N_HEAVIEST = 6
COLUMNS = ["source", "target", "layer", "weight", "signed", "share"]


def network_table(graph: nx.DiGraph) -> pd.DataFrame:
    """List the drawn edges, strongest first, ends by their labels."""
    labels = graph.nodes(data="label")
    rows = [
        [labels[source], labels[target], *(edge[name] for name in COLUMNS[2:])]
        for source, target, edge in graph.edges(data=True)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(
        "weight", ascending=False, kind="stable", ignore_index=True
    )


def node_facts(graph: nx.DiGraph, name: str) -> str:
    """Say in markdown what a node is, and name its heaviest edges that are drawn."""
    node, labels = graph.nodes[name], graph.nodes(data="label")
    is_neuron = node["kind"] == "neuron"
    state = ("removed" if node["dropped"] else "kept") if is_neuron else "residual"
    rows = [
        (
            "score" if is_neuron else "mass",
            f"{number(node['score'] * node['size'])} × mean",
        ),
        ("rank", f"{node['rank']:,} of {node['size']:,}"),
        ("strength", f"{number(node['strength'])}, the sum of its absolute weights"),
    ]
    edges = [*graph.in_edges(name, data=True), *graph.out_edges(name, data=True)]
    heaviest = sorted(edges, key=lambda edge: -edge[2]["weight"])[:N_HEAVIEST]
    rows += [
        (f"{labels[source]} → {labels[target]}", f"{edge['signed']:+.3g}")
        for source, target, edge in heaviest
    ]
    lines = [f"**{node['label']}**, {state}", *(f"{a}: {b}" for a, b in rows)]
    return "  \n".join(lines)


def graphml(graph: nx.DiGraph) -> bytes:
    """Write the graph for Gephi, yEd, Cytoscape or `networkx.read_graphml`.

    Control characters in labels, for which XML has no place, become U+FFFD.
    """
    plain = graph.copy()
    for _, node in plain.nodes(data=True):
        node["label"] = NOT_XML.sub("\ufffd", str(node["label"]))
    file = io.BytesIO()
    nx.write_graphml(plain, file)
    return file.getvalue()
