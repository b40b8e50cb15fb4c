"""What a picture of a neuron graph says, in one computed sentence."""

from collections.abc import Sequence

import networkx as nx
import torch

from llmrank.core.formatting import times
from llmrank.models.ffn import FFN


def network_sentence(graph: nx.DiGraph, ffns: Sequence[FFN]) -> str:
    """Say how large a layer's graph is, what its ends weigh, and its heaviest edge."""
    first, n_layers = graph.graph["layer"], graph.graph["n_layers"]
    drawn = ffns[first : first + n_layers]
    n_edges, weight = _edges(drawn)
    width = sum(f.d_ff for f in drawn)
    who = f"Layer {first} joins"
    if n_layers > 1:
        who = f"Layers {first} to {first + n_layers - 1} join"
    said = (
        f"{who} {width:,} neurons and {drawn[0].up.shape[1]:,} residual dimensions by "
        f"{n_edges:,} edges{_ends(graph)}."
    )
    best = max(graph.edges(data=True), key=lambda x: x[2]["weight"], default=None)
    if best is None:
        return said
    source, target, edge = best
    labels = graph.nodes(data="label")
    times_mean = times(edge["weight"] * n_edges / weight)
    ends = f"{labels[source]} → {labels[target]}"
    return f"{said} Heaviest edge drawn: {ends}, {times_mean} the mean weight."


def _ends(graph: nx.DiGraph) -> str:
    """Set the weight of the highest neurons beside that of the lowest, of one layer."""
    neurons = [n for _, n in graph.nodes(data=True) if n["kind"] == "neuron"]
    k = len(neurons) // 2
    high = [n["strength"] for n in neurons if n["rank"] <= k]
    low = [n["strength"] for n in neurons if n["rank"] > n["size"] - k]
    if graph.graph["n_layers"] > 1 or not len(high) == len(low) == k or not sum(low):
        return ""
    weight = times(sum(high) / sum(low))
    return f"; its {k} highest have {weight} the edge weight of its {k} lowest"


def _edges(ffns: Sequence[FFN]) -> tuple[int, float]:
    """Return how many edges there are and the sum of their absolute weights."""
    weights = [w for f in ffns for w in (f.up, f.down)]
    total = sum(
        float(torch.linalg.vector_norm(w, 1, dtype=torch.float32)) for w in weights
    )
    return sum(int(w.count_nonzero()) for w in weights), total
