"""One cell measured, with what other cells of the arena have measured already."""

from dataclasses import replace
from typing import Any

from llmrank.core.progress import Progress, silent
from llmrank.evaluation.accuracy import TaskResult
from llmrank.evaluation.comparison import Comparison, Measure, Side, beside, compare
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.peak_memory import MemoryPeak
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.evaluation.shape_timing import SpeedPoint, of_comparison
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Stages
from llmrank.models.language_model import ModelSpec

Shape = tuple[ModelSpec, BenchmarkSpec, Footprint]
"""What decides time and memory: which neurons stay does not."""


class Shared:
    """What finished cells of an arena know that the others need not measure again.

    The dense model's text and tasks; and, as time and memory depend on the shape
    alone, the timing and the peak of every shape: cells of one shape share the samples
    (`measured_at` tells).
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[Any, ...], TextEvaluation] = {}
        self._tasks: dict[tuple[Any, ...], tuple[TaskResult, ...]] = {}
        self._times: dict[Shape, SpeedPoint] = {}
        self._peaks: dict[Shape, MemoryPeak] = {}

    def learn(self, of: Experiment, found: Comparison) -> None:
        """Take what a finished cell has measured."""
        for side in (found.dense, found.pruned):
            if side.memory is not None:
                self._peaks[of.model, of.benchmark, side.footprint] = side.memory
        if found.dense.text is not None:
            self._texts[of.model, of.evaluation] = found.dense.text
        if found.dense.tasks:
            self._tasks[of.model, of.tasks] = found.dense.tasks
        timed = of_comparison(found)
        if timed is not None:
            self._times[of.model, of.benchmark, found.pruned.footprint] = timed

    def known(self, of: Experiment, sizes: Comparison) -> Comparison:
        """Return what is known of a cell's two models, whose sizes are given."""
        dense, pruned = sizes.dense.footprint, sizes.pruned.footprint
        timed = self._times.get((of.model, of.benchmark, pruned))
        times = (None, None) if timed is None else (timed.dense, timed.pruned)
        return Comparison(
            Side(
                dense,
                text=self._texts.get((of.model, of.evaluation)),
                tasks=self._tasks.get((of.model, of.tasks), ()),
                latency=times[0],
                memory=self._peaks.get((of.model, of.benchmark, dense)),
            ),
            Side(
                pruned,
                latency=times[1],
                memory=self._peaks.get((of.model, of.benchmark, pruned)),
            ),
            None if timed is None else timed.speedup,
        )


def measure(
    of: Experiment,
    measures: tuple[Measure, ...],
    shared: Shared,
    stages: Stages,
    *,
    progress: Progress = silent,
) -> Comparison:
    """Prune as one cell says and measure what is asked for, dense beside pruned.

    Raises:
        LLMRankError: whatever a stage refuses.
        CancelledError: from `progress`.
    """
    dense = stages.model(of.model, progress=progress)
    of.repair.check(dense)
    pruned = stages.pruned(of.stage_specs, progress=progress)
    known = shared.known(of, beside(dense, pruned))
    if "text" in measures:
        known = _with_texts(known, of, stages, progress)
    asked = replace(of.measures, which=measures)
    return compare(dense, pruned, asked, known=known, progress=progress)


def _with_texts(
    known: Comparison, of: Experiment, stages: Stages, progress: Progress
) -> Comparison:
    """Have the texts read through the stages, which remember what was read."""
    dense = known.dense.text or stages.dense_text(
        of.model, of.evaluation, progress=progress
    )
    _, pruned = stages.pruned_text(of.stage_specs, of.evaluation, progress=progress)
    return replace(
        known,
        dense=replace(known.dense, text=dense),
        pruned=replace(known.pruned, text=pruned),
    )
