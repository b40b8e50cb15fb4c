"""What a picture of a neuron graph says, in one computed sentence."""

from collections.abc import Sequence

import networkx as nx
import torch

from llmrank.core.formatting import number
from llmrank.models.ffn import FFN


def network_sentence(graph: nx.DiGraph, ffns: Sequence[FFN]) -> str:
    """Say how much of a layer's graph is drawn, and which edge is the strongest."""
    first, n_layers = graph.graph["layer"], graph.graph["n_layers"]
    drawn = ffns[first : first + n_layers]
    n_edges, weight = _edges(drawn)
    width = sum(f.d_ff for f in drawn)
    who = f"Layer {first} joins"
    if n_layers > 1:
        who = f"Layers {first} to {first + n_layers - 1} join"
    said = (
        f"{who} {width:,} neurons and {drawn[0].up.shape[1]:,} residual dimensions by "
        f"{n_edges:,} edges; drawn are {_strongest(graph)}"
    )
    best = max(graph.edges(data=True), key=lambda x: x[2]["weight"], default=None)
    if best is None:
        return f"{said}."
    source, target, edge = best
    labels = graph.nodes(data="label")
    times = number(edge["weight"] * n_edges / weight)
    return (
        f"{said}, the heaviest of them {labels[source]} → {labels[target]} with "
        f"{times} times the mean weight."
    )


def _edges(ffns: Sequence[FFN]) -> tuple[int, float]:
    """Return how many edges there are and the sum of their absolute weights."""
    weights = [w for f in ffns for w in (f.up, f.down)]
    total = sum(
        float(torch.linalg.vector_norm(w, 1, dtype=torch.float32)) for w in weights
    )
    return sum(int(w.count_nonzero()) for w in weights), total


def _strongest(graph: nx.DiGraph) -> str:
    n = graph.number_of_edges()
    which = "all" if n < graph.graph["n_edges"] else "the strongest"
    return f"{which} {n:,} among the nodes shown"
