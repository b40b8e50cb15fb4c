"""The tables behind pictures of scores: by neuron, by layer, by pair of criteria."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.analysis.agreement import Agreement
from llmrank.core.statistics import ranks
from llmrank.methods.allocation.by_scores import effective_neurons
from llmrank.methods.pruning import PruningPlan, descending, drop_mask

QUANTILES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
CLOSE = 0.05
"""A score is close to the threshold when it differs from it by at most this share."""


def neuron_table(
    scores: Sequence[Float[Tensor, " _"]], keep: Sequence[Int[Tensor, " _"]]
) -> pd.DataFrame:
    """List every neuron: layer, neuron, score, times_uniform, rank, kept."""
    return pd.concat(
        [_neurons(i, s, k) for i, (s, k) in enumerate(zip(scores, keep, strict=True))],
        ignore_index=True,
    )


def layer_table(
    scores: Sequence[Float[Tensor, " _"]], keep: Sequence[Int[Tensor, " _"]]
) -> pd.DataFrame:
    """Describe the distribution of each layer's scores, one row per layer.

    Args:
        scores: one normalised vector (sum 1) per layer.
        keep: the kept neurons of each layer.

    Returns:
        Columns layer, n_neurons, n_dropped, threshold (the lowest kept score; 0 where
        none is dropped), n_close (neurons within 5 % of it), n_tied (dropped
        neurons that score exactly it), dropped_score (the share of the layer's score
        that is dropped), n_effective (how many equal neurons would be as
        concentrated), p05 to p95, and n_dropped_globally (how many one threshold over
        all layers would drop, if it dropped as many in all).
    """
    values = [s.detach().to("cpu", torch.float64) for s in scores]
    globally = dropped_globally(values, sum(map(len, keep)))
    rows = [
        _layer(layer, v, k.cpu()) | {"n_dropped_globally": n}
        for layer, (v, k, n) in enumerate(zip(values, keep, globally, strict=True))
    ]
    return pd.DataFrame(rows)


def dropped_globally(scores: Sequence[Float[Tensor, " _"]], n_kept: int) -> list[int]:
    """Count by layer whom one threshold over all layers would drop."""
    every = torch.cat(tuple(scores))
    mask = drop_mask(len(every), descending(every)[:n_kept])
    return [int(part.sum()) for part in mask.split([len(s) for s in scores])]


def times_uniform(
    scores: Sequence[Float[Tensor, " _"]],
) -> tuple[Float[Tensor, " _"], ...]:
    """Return normalised scores in units of their layer's mean."""
    return tuple(s.to("cpu", torch.float64) * len(s) for s in scores)


def agreement_table(agreement: Agreement, second: PruningPlan) -> pd.DataFrame:
    """List by layer how far two criteria agree.

    Returns:
        Columns layer, spearman, dropped_by_first, dropped_by_second, dropped_by_both,
        share (of what the first drops) and by_chance (what that share would be if the
        second dropped as many at random).
    """
    chance = [
        1 - width / dense
        for width, dense in zip(second.widths, second.dense_widths, strict=True)
    ]
    overlaps = agreement.overlaps
    return pd.DataFrame(
        {
            "layer": range(len(overlaps)),
            "spearman": agreement.spearman,
            "dropped_by_first": [o.n_a for o in overlaps],
            "dropped_by_second": [o.n_b for o in overlaps],
            "dropped_by_both": [o.n_both for o in overlaps],
            "share": [o.share for o in overlaps],
            "by_chance": chance,
        }
    )


def pair_table(
    scores: tuple[Sequence[Float[Tensor, " _"]], Sequence[Float[Tensor, " _"]]],
    keep: tuple[Sequence[Int[Tensor, " _"]], Sequence[Int[Tensor, " _"]]],
) -> pd.DataFrame:
    """List every neuron under two criteria, told apart by _first and _second."""
    first, second = (neuron_table(s, k) for s, k in zip(scores, keep, strict=True))
    return first.merge(
        second, on=["layer", "neuron"], suffixes=("_first", "_second"), validate="1:1"
    )


def _neurons(layer: int, scores: Tensor, keep: Tensor) -> pd.DataFrame:
    values = scores.detach().to("cpu", torch.float64)
    kept = torch.zeros(len(values), dtype=torch.bool)
    kept[keep.cpu()] = True
    return pd.DataFrame(
        {
            "layer": layer,
            "neuron": range(len(values)),
            "score": values.numpy(),
            "times_uniform": (values * len(values)).numpy(),
            "rank": ranks(scores).numpy(),
            "kept": kept.numpy(),
        }
    )


def _layer(layer: int, values: Tensor, keep: Tensor) -> dict[str, int | float]:
    n, kept = len(values), values[keep]
    is_cut = len(keep) < n
    threshold = float(kept.min()) if is_cut else 0.0
    close = (values - threshold).abs() <= CLOSE * threshold
    tied = n - len(keep) - int((values < threshold).sum())
    quantiles = np.quantile(values.numpy(), list(QUANTILES.values()))
    return {
        "layer": layer,
        "n_neurons": n,
        "n_dropped": n - len(keep),
        "threshold": threshold,
        "n_close": int(close.sum()) if is_cut else 0,
        "n_tied": tied if is_cut else 0,
        "dropped_score": float(1 - kept.sum() / values.sum()) if is_cut else 0.0,
        "n_effective": effective_neurons(values),
        **dict(zip(QUANTILES, quantiles.tolist(), strict=True)),
    }
