"""Accuracy over sparsity for several criteria, point by point, and who is ahead."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Literal

from llmrank.core.formatting import choice
from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import Estimate, t_interval
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.perplexity import READING, TextEvaluation
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Stages, StageSpecs
from llmrank.methods.criteria import (
    CRITERIA,
    Activation,
    Criterion,
    LLMRank,
    Random,
    Wanda,
)

PAPER = LLMRank(site="up")
"""The paper's own graph: activation measured at the output of `up_proj`."""

Metric = Literal["perplexity", "top1"]


@dataclass(frozen=True)
class Point:
    """One pruned model on the curve, beside the dense one on the same windows."""

    criterion: Criterion
    sparsity: float
    n_params: int
    dense: TextEvaluation
    pruned: TextEvaluation


@dataclass(frozen=True)
class Standing:
    """Who is ahead at one sparsity; `tied` cannot be told from the best."""

    best: Point
    tied: tuple[Point, ...]
    behind: tuple[Point, ...]


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
        base: model, texts, allocation, rounding and repair of every point.
        criteria: each gives one line.
        sparsities: the points of each line; criteria take turns at each.
        stages: shared results; what was measured with them is not measured again.
        progress: called per window, of all that are to be read.
        publish: given the points so far after each.

    Raises:
        LLMRankError: whatever a stage refuses.
    """
    known = stages or Stages()
    dense = known.dense_text(base.model, base.evaluation, progress=progress)
    known.stats(base.model, base.calibration, progress=progress)
    cells = _cells(base, criteria, sparsities)
    missing = [c for c in cells if _known(c, known) is None]
    points: tuple[Point, ...] = ()
    for cell in cells:
        place = missing.index(cell) if cell in missing else 0
        counted = _overall(progress, place, len(missing))
        found = known.pruned_text(cell.stage_specs, cell.evaluation, progress=counted)
        points += (_point(cell, dense, found),)
        publish(points)
    return points


def known_points(
    base: Experiment,
    criteria: Sequence[Criterion],
    sparsities: Sequence[float],
    stages: Stages,
) -> tuple[Point, ...]:
    """Return those points of a curve that are measured already; compute nothing."""
    dense = stages.known_dense_text(base.model, base.evaluation)
    cells = () if dense is None else _cells(base, criteria, sparsities)
    found = [(cell, _known(cell, stages)) for cell in cells]
    return tuple(
        _point(cell, dense, there)
        for cell, there in found
        if dense is not None and there is not None
    )


def measured_points(base: Experiment, stages: Stages) -> tuple[Point, ...]:
    """Return every point measured so far, whatever the criterion and the sparsity.

    Of the same model, texts, allocation, rounding and repair; compute nothing.
    """
    dense = stages.known_dense_text(base.model, base.evaluation)
    known = stages.known_pruned_texts(base.model, base.evaluation)
    return tuple(
        Point(of.criterion, of.pruning.sparsity, sizes.n_params, dense, pruned)
        for of, (sizes, pruned) in known.items()
        if dense is not None and _alike(of, base.stage_specs)
    )


def estimated_s(base: Experiment, n_points: int, stages: Stages) -> float | None:
    """Estimate the time to measure points, from how fast the model last read.

    Returns:
        Seconds, or None while the model has not been read here.
    """
    pace = stages.tokens_per_s(base.model)
    if pace is None:
        return None
    unread = stages.known_dense_text(base.model, base.evaluation) is None
    return (n_points + unread) * base.evaluation.eval_tokens / pace


def rivals(in_hand: Criterion) -> tuple[Criterion, ...]:
    """List what a criterion can be compared with: every registered one, the paper's."""
    every = (*(CRITERIA[name]() for name in CRITERIA), PAPER)
    return tuple(c for c in dict.fromkeys(every) if c != in_hand)


def usual_rivals(in_hand: Criterion) -> tuple[Criterion, ...]:
    """List the comparison to begin with: ours, the paper's, baselines."""
    usual = (PAPER, Random(), Activation(), Wanda())
    ours = () if isinstance(in_hand, LLMRank) else (LLMRank(),)
    return tuple(c for c in (*ours, *usual) if c != in_hand)


def standing(
    points: Sequence[Point], sparsity: float, metric: Metric = "perplexity"
) -> Standing | None:
    """Say who is ahead at a sparsity, and who cannot be told from the best.

    A criterion is behind when its 95 % interval against the best, paired by window
    (each pair on its own, not corrected for their number), leaves out zero.

    Returns:
        None where nothing is measured at that sparsity.
    """
    here = [p for p in points if p.sparsity == sparsity]
    if not here:
        return None
    best, *others = sorted(here, key=lambda p: _loss(p, metric))
    worse = [margin(p, best, metric).low > 0 for p in others]
    return Standing(
        best,
        tied=tuple(compress(others, [not w for w in worse])),
        behind=tuple(compress(others, worse)),
    )


def margin(point: Point, best: Point, metric: Metric = "perplexity") -> Estimate:
    """Return how much worse a point is than another, paired by window.

    In nats per token for perplexity, in the share of right first guesses for top1.
    """
    if metric == "perplexity":
        return t_interval(point.pruned.nll - best.pruned.nll)
    return t_interval(best.pruned.correct - point.pruned.correct)


def label(criterion: Criterion) -> str:
    """Name a criterion with the parameters that differ from its defaults."""
    changed = [
        f"{f.name}={choice(getattr(criterion, f.name))}"
        for f in dataclasses.fields(criterion)  # type: ignore[arg-type]
        if getattr(criterion, f.name) != f.default
    ]
    return " ".join([criterion.name, *changed])


def _cells(
    base: Experiment, criteria: Sequence[Criterion], sparsities: Sequence[float]
) -> tuple[Experiment, ...]:
    return tuple(
        dataclasses.replace(
            base, criterion=c, pruning=dataclasses.replace(base.pruning, sparsity=s)
        )
        for s in sparsities
        for c in criteria
    )


def _alike(of: StageSpecs, base: StageSpecs) -> bool:
    """Whether two differ in nothing but the criterion and the sparsity."""
    same = dataclasses.replace(of.pruning, sparsity=base.pruning.sparsity)
    return of._replace(criterion=base.criterion, pruning=same) == base


def _known(cell: Experiment, stages: Stages) -> tuple[Footprint, TextEvaluation] | None:
    return stages.known_pruned_text(cell.stage_specs, cell.evaluation)


def _point(
    cell: Experiment, dense: TextEvaluation, found: tuple[Footprint, TextEvaluation]
) -> Point:
    sizes, pruned = found
    sparsity = cell.pruning.sparsity
    return Point(cell.criterion, sparsity, sizes.n_params, dense, pruned)


def _overall(progress: Progress, place: int, n_points: int) -> Progress:
    """Count the windows of all points, so that the time to the end is known.

    Scoring and cutting before a point take little; they report for themselves.
    """

    def report(what: str, done: int, total: int) -> None:
        if what != READING:
            progress(what, done, total)
            return
        points = "1 point" if n_points == 1 else f"{n_points} points"
        progress(f"{what}, {points}", place * total + done, n_points * total)

    return report


def _loss(p: Point, metric: Metric) -> float:
    return float(
        p.pruned.nll.mean() if metric == "perplexity" else -p.pruned.correct.mean()
    )
