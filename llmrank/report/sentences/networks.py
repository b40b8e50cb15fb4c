"""What a picture of a neuron graph says, in computed sentences."""

from collections.abc import Sequence

import networkx as nx
import numpy as np
import pandas as pd
import torch

from llmrank.core.formatting import share, times
from llmrank.models.ffn import FFN
from llmrank.report.network.columns import sums

PARTS = ("activation", "edges")


def network_sentence(graph: nx.DiGraph, ffns: Sequence[FFN]) -> str:
    """Say how large a layer's graph is, and its heaviest edge."""
    first, n_layers = graph.graph["layer"], graph.graph["n_layers"]
    drawn = ffns[first : first + n_layers]
    n_edges, weight = _edges(drawn)
    width = sum(f.d_ff for f in drawn)
    who = f"Layer {first} joins"
    if n_layers > 1:
        who = f"Layers {first} to {first + n_layers - 1} join"
    said = (
        f"{who} {width:,} neurons and {drawn[0].up.shape[1]:,} residual dimensions by "
        f"{n_edges:,} edges."
    )
    best = max(graph.edges(data=True), key=lambda x: x[2]["weight"], default=None)
    if best is None:
        return said
    source, target, edge = best
    labels = graph.nodes(data="label")
    times_mean = times(edge["weight"] * n_edges / weight)
    ends = f"{labels[source]} → {labels[target]}"
    return f"{said} Heaviest edge drawn: {ends}, {times_mean} the mean weight."


def separation_sentence(parts: pd.DataFrame, layer: int) -> str:
    """Say what the kept neurons have more of than the removed ones.

    Args:
        parts: of `llmrank.report.network.score_parts`.
        layer: whose they are.
    """
    kept = parts["kept"]
    if kept.all():
        return f"Layer {layer} keeps all of its {len(parts):,} neurons."
    said = f"Layer {layer} keeps {kept.sum():,} of {len(parts):,} neurons"
    told = mean_parts(parts).map(times)
    if "edges" not in parts:
        return (
            f"{said}: they score {told['kept']['score']} the layer's mean, the removed "
            f"ones {told['removed']['score']}."
        )
    gap = {p: parts[p][kept].mean() - parts[p][~kept].mean() for p in PARTS}
    main, other = sorted(PARTS, key=gap.__getitem__, reverse=True)
    said += (
        f" **by {main}**, {told['kept'][main]} the mean where kept, "
        f"{told['removed'][main]} where removed"
    )
    if not parts[other].any():
        return f"{said}."
    less = "hardly" if gap[main] > 10 * gap[other] else "less"
    ends = f"{told['kept'][other]} and {told['removed'][other]}"
    return f"{said}; {less} by {other}, {ends}."


def mean_parts(parts: pd.DataFrame) -> pd.DataFrame:
    """Return each part's mean over kept and removed, in times the layer's mean."""
    columns = [name for name in (*PARTS, "score") if name in parts]
    fate = parts["kept"].map({True: "kept", False: "removed"})
    means = parts[columns].groupby(fate).mean() / parts[columns].mean()
    return means.fillna(0).T  # a part that γ leaves out is nothing everywhere


def cut_sentence(parts: pd.DataFrame, ffn: FFN) -> str:
    """Say how close the cut is, and what the bare edges weigh on its two sides."""
    kept, score = parts["kept"].to_numpy(), parts["score"].to_numpy()
    if kept.all():
        return ""
    low = int(np.where(kept, score, np.inf).argmin())
    high = int(np.where(kept, -np.inf, score).argmax())
    close = share(1 - score[high] / score[low]) if score[low] else "nothing"
    strength = (sums(ffn.up, 1) + sums(ffn.down, 0)).numpy()
    weight, removed = strength[kept].mean(), strength[~kept].mean()
    ratio = times(weight / removed if removed else np.inf)
    name = f"L{ffn.layer}·"
    return (
        f"At the cut the least kept, {name}{low}, scores {times(score[low])} the mean, "
        f"the most removed, {name}{high}, {close} less. By Σ|w| over their own edges, "
        f"before anything is spread, the kept weigh {ratio} as much as the removed."
    )


def _edges(ffns: Sequence[FFN]) -> tuple[int, float]:
    """Return how many edges there are and the sum of their absolute weights."""
    weights = [w for f in ffns for w in (f.up, f.down)]
    total = sum(
        float(torch.linalg.vector_norm(w, 1, dtype=torch.float32)) for w in weights
    )
    return sum(int(w.count_nonzero()) for w in weights), total
