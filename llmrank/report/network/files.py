"""The neuron graph as a table and as GraphML."""

import io
import re

import networkx as nx
import pandas as pd

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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
