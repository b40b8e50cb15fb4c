"""The curve of perplexity over sparsity as tables."""

from collections.abc import Sequence

import pandas as pd

from llmrank.evaluation.perplexity import perplexity_ratio, top1_retention
from llmrank.experiments.curve import Metric, Point
from llmrank.methods.method import label


def curve_table(points: Sequence[Point]) -> pd.DataFrame:
    """Return one row per point, with intervals and ratios to dense, for a CSV."""
    return pd.DataFrame([_row(p) for p in points])


def chart_table(points: Sequence[Point], metric: Metric) -> pd.DataFrame:
    """Return what a chart of the curve needs: every line starts at the dense model."""
    names = dict.fromkeys(label(p.criterion) for p in points)
    start = getattr(points[0].dense, metric)
    starts = [(name, 0.0, start) for name in names]
    rows = [(label(p.criterion), p.sparsity, getattr(p.pruned, metric)) for p in points]
    return pd.DataFrame(
        [(name, s, e.value, e.low, e.high) for name, s, e in (*starts, *rows)],
        columns=["criterion", "sparsity", "value", "low", "high"],
    )


def _row(p: Point) -> dict[str, object]:
    row: dict[str, object] = {
        "criterion": label(p.criterion),
        "sparsity": p.sparsity,
        "n_params": p.n_params,
        "n_tokens": p.pruned.n_tokens,
        "text": p.pruned.text_source,
    }
    named = {
        "perplexity": p.pruned.perplexity,
        "top1": p.pruned.top1,
        "dense_perplexity": p.dense.perplexity,
        "dense_top1": p.dense.top1,
        "perplexity_ratio": perplexity_ratio(p.dense, p.pruned),
        "top1_retention": top1_retention(p.dense, p.pruned),
    }
    for name, estimate in named.items():
        row |= {
            name: estimate.value,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
        }
    return row
