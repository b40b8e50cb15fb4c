"""Accuracy over sparsity for several criteria, point by point, and who is ahead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import Estimate, t_interval
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.perplexity import READING, TextEvaluation
from llmrank.experiments.expected_steps import TOKENS_PER_S
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.pipeline.stage import pruned_key
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
class Ranking:
    """Who is ahead at one sparsity; `tied` cannot be told from the best."""

    best: Point
    tied: tuple[Point, ...]
    behind: tuple[Point, ...]


def curve(
    base: Experiment,
    criteria: Sequence[Criterion],
    sparsities: Sequence[float],
    *,
    pipeline: Pipeline | None = None,
    progress: Progress = silent,
    publish: Callable[[tuple[Point, ...]], None] = lambda _: None,
) -> tuple[Point, ...]:
    """Measure perplexity and top-1 accuracy at each criterion and sparsity.

    All else of a point is as in `base`. Criteria take turns at each sparsity; what the
    pipeline knows is not measured again. `publish` is given the points so far after
    each.
    """
    known = pipeline or Pipeline()
    dense = known.dense_text(base, progress=progress)
    known.stats(base, progress=progress)
    cells = _cells(base, criteria, sparsities)
    missing = [c for c in cells if known.pruned_text.peek(c) is None]
    points: tuple[Point, ...] = ()
    for cell in cells:
        place = missing.index(cell) if cell in missing else 0
        counted = _overall(progress, place, len(missing))
        points += (_point(cell, dense, known.pruned_text(cell, progress=counted)),)
        publish(points)
    return points


def known_points(
    base: Experiment,
    criteria: Sequence[Criterion],
    sparsities: Sequence[float],
    pipeline: Pipeline,
) -> tuple[Point, ...]:
    """Return those points of a curve that are measured already; compute nothing."""
    dense = pipeline.dense_text.peek(base)
    cells = () if dense is None else _cells(base, criteria, sparsities)
    return _points(dense, {c: pipeline.pruned_text.peek(c) for c in cells})


def measured_points(base: Experiment, pipeline: Pipeline) -> tuple[Point, ...]:
    """Return every point measured so far, whatever the criterion and the sparsity.

    Of the same model, texts, allocation, rounding and repair; compute nothing.
    """
    known = pipeline.evaluator.known_on_text(base).items()
    alike = {cell: measured for cell, measured in known if _is_alike(cell, base)}
    return _points(pipeline.dense_text.peek(base), alike)


def estimated_s(base: Experiment, n_points: int, pipeline: Pipeline) -> float | None:
    """Estimate the seconds to measure points; None where the model was never read.

    The embedded model was read by us.
    """
    pace = pipeline.tokens_per_s(base.model)
    if pace is None and base.model.name == "demo":
        pace = TOKENS_PER_S
    if pace is None:
        return None
    unread = pipeline.dense_text.peek(base) is None
    n_tokens = (n_points + unread) * base.evaluation.eval_tokens
    if pipeline.stats.peek(base) is None and not pipeline.evidence.is_kept(base):
        n_tokens += base.calibration.samples * base.calibration.seq_len
    return n_tokens / pace


def rivals(in_hand: Criterion) -> tuple[Criterion, ...]:
    """List what a criterion can be compared with: every registered one, the paper's."""
    every = (*(CRITERIA[name]() for name in CRITERIA), PAPER)
    return tuple(c for c in dict.fromkeys(every) if c != in_hand)


def usual_rivals(in_hand: Criterion) -> tuple[Criterion, ...]:
    """List the comparison to begin with: ours, the paper's, baselines."""
    usual = (PAPER, Random(), Activation(), Wanda())
    ours = () if isinstance(in_hand, LLMRank) else (LLMRank(),)
    return tuple(c for c in (*ours, *usual) if c != in_hand)


def ranking(
    points: Sequence[Point], sparsity: float, metric: Metric = "perplexity"
) -> Ranking | None:
    """Say who is ahead at a sparsity, and who cannot be told from the best.

    A criterion is behind when its 95 % interval against the best, paired by window
    (each pair on its own, not corrected for their number), leaves out zero. None where
    nothing is measured at that sparsity.
    """
    here = [p for p in points if p.sparsity == sparsity]
    if not here:
        return None
    best, *others = sorted(here, key=lambda p: _loss(p, metric))
    worse = [(p, margin(p, best, metric).low > 0) for p in others]
    return Ranking(
        best,
        tied=tuple(p for p, is_behind in worse if not is_behind),
        behind=tuple(p for p, is_behind in worse if is_behind),
    )


def margin(point: Point, best: Point, metric: Metric = "perplexity") -> Estimate:
    """Return how much worse a point is than another, paired by window.

    In nats per token for perplexity, in the share of right first guesses for top1.
    """
    if metric == "perplexity":
        return t_interval(point.pruned.nll - best.pruned.nll)
    return t_interval(best.pruned.correct - point.pruned.correct)


def _cells(
    base: Experiment, criteria: Sequence[Criterion], sparsities: Sequence[float]
) -> tuple[Experiment, ...]:
    return tuple(base.using(criterion=c).at(s) for s in sparsities for c in criteria)


def _is_alike(cell: Experiment, base: Experiment) -> bool:
    """Whether two differ in nothing but the criterion and the sparsity."""
    cell = cell.using(criterion=base.method.criterion).at(base.pruning.sparsity)
    return pruned_key(cell) == pruned_key(base)


def _points(
    dense: TextEvaluation | None,
    measured: Mapping[Experiment, tuple[Footprint, TextEvaluation] | None],
) -> tuple[Point, ...]:
    return tuple(
        _point(cell, dense, of_cell)
        for cell, of_cell in measured.items()
        if dense is not None and of_cell is not None
    )


def _point(
    cell: Experiment, dense: TextEvaluation, measured: tuple[Footprint, TextEvaluation]
) -> Point:
    sizes, pruned = measured
    sparsity = cell.pruning.sparsity
    return Point(cell.method.criterion, sparsity, sizes.n_params, dense, pruned)


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
