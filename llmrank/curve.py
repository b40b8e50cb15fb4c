"""Accuracy over sparsity for several criteria: one point at a time."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from llmrank.criteria import Criterion
from llmrank.evaluation import (
    Estimate,
    TextEvaluation,
    evaluate,
    perplexity_ratio,
    top1_retention,
)
from llmrank.experiment import Experiment
from llmrank.progress import Progress, silent
from llmrank.stages import Stages


@dataclass(frozen=True)
class Point:
    """One pruned model on the curve, beside the dense one on the same windows."""

    criterion: Criterion
    sparsity: float
    n_params: int
    dense: TextEvaluation
    pruned: TextEvaluation


def curve(
    base: Experiment,
    criteria: Sequence[Criterion],
    sparsities: Sequence[float],
    *,
    stages: Stages | None = None,
    progress: Progress = silent,
    publish: Callable[[tuple[Point, ...]], None] = lambda _: None,
) -> tuple[Point, ...]:
    """Measure perplexity and top-1 accuracy at each criterion and sparsity.

    Args:
        base: model, texts, scope and rounding of every point.
        criteria: each gives one line.
        sparsities: the points of each line; criteria take turns at each.
        stages: shared results; the dense model is evaluated once.
        progress: called per window.
        publish: given the points so far after each.

    Raises:
        LLMRankError: whatever a stage refuses.
    """
    known = stages or Stages()
    dense = known.dense_text(base.model, base.evaluation, progress=progress)
    cells = [(s, c) for s in sparsities for c in criteria]
    points: tuple[Point, ...] = ()
    for number, (sparsity, criterion) in enumerate(cells, start=1):

        def numbered(what: str, done: int, total: int, number: int = number) -> None:
            progress(f"Point {number} of {len(cells)}: {what.lower()}", done, total)

        pruning = dataclasses.replace(base.pruning, sparsity=sparsity)
        lm = known.pruned(
            base.model, base.calibration, criterion, pruning, progress=numbered
        )
        text = evaluate(lm, base.evaluation, progress=numbered)
        n_params = sum(p.numel() for p in lm.model.parameters())
        points = (*points, Point(criterion, sparsity, n_params, dense, text))
        publish(points)
    return points


def as_table(points: Sequence[Point]) -> pd.DataFrame:
    """Return one row per point, with intervals and ratios to dense, for a CSV."""
    return pd.DataFrame([_row(p) for p in points])


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
        row |= _columns(name, estimate)
    return row


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }


def label(criterion: Criterion) -> str:
    """Name a criterion with the parameters that differ from its defaults."""
    changed = [
        f"{f.name}={getattr(criterion, f.name)}"
        for f in dataclasses.fields(criterion)  # type: ignore[arg-type]
        if getattr(criterion, f.name) != f.default
    ]
    return " ".join([criterion.name, *changed])
