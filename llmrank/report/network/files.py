"""The neuron graph as a table and as GraphML."""

import io
import re
from collections.abc import Sequence

import networkx as nx
import pandas as pd

from llmrank.methods.pruning import descending
from llmrank.models.ffn import FFN

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


def dimension_tables(
    ffns: Sequence[FFN], layer: int, residual: int, n: int
) -> dict[str, pd.DataFrame]:
    """List the n neurons with the most weight to a residual dimension, either side.

    Returns:
        "written" by the layer before and "read" by `layer`, each with columns layer,
        neuron, weight (signed) and share (of all that layer's weight to it); a side
        where the model has no layer is left out.
    """
    tables = {}
    for side, place in (("written", layer - 1), ("read", layer)):
        if 0 <= place < len(ffns):
            ffn = ffns[place]
            line = ffn.down[residual] if side == "written" else ffn.up[:, residual]
            weights = line.detach().float().cpu()
            chosen = descending(weights.abs())[:n]
            table = pd.DataFrame({"neuron": chosen, "weight": weights[chosen]})
            table["share"] = table["weight"].abs() / float(weights.abs().sum())
            tables[side] = table.assign(layer=place)
    return tables


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
