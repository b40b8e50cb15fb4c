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
from llmrank.evaluation.shape_timing import SpeedPoint, speed_point
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
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

    def learn(self, cell: Experiment, measured: Comparison) -> None:
        """Take what a finished cell has measured."""
        for side in (measured.dense, measured.pruned):
            if side.memory is not None:
                self._peaks[cell.model, cell.benchmark, side.footprint] = side.memory
        if measured.dense.text is not None:
            self._texts[cell.model, cell.evaluation] = measured.dense.text
        if measured.dense.tasks:
            self._tasks[cell.model, cell.tasks] = measured.dense.tasks
        timed = speed_point(measured)
        if timed is not None:
            self._times[cell.model, cell.benchmark, measured.pruned.footprint] = timed

    def known(self, cell: Experiment, sizes: Comparison) -> Comparison:
        """Return what is known of a cell's two models, whose sizes are given."""
        dense, pruned = sizes.dense.footprint, sizes.pruned.footprint
        timed = self._times.get((cell.model, cell.benchmark, pruned))
        times = (None, None) if timed is None else (timed.dense, timed.pruned)
        return Comparison(
            Side(
                dense,
                text=self._texts.get((cell.model, cell.evaluation)),
                tasks=self._tasks.get((cell.model, cell.tasks), ()),
                latency=times[0],
                memory=self._peaks.get((cell.model, cell.benchmark, dense)),
            ),
            Side(
                pruned,
                latency=times[1],
                memory=self._peaks.get((cell.model, cell.benchmark, pruned)),
            ),
            None if timed is None else timed.speedup,
        )


def measure(
    experiment: Experiment,
    measures: tuple[Measure, ...],
    shared: Shared,
    pipeline: Pipeline,
    *,
    progress: Progress = silent,
) -> Comparison:
    """Prune as one cell says and measure what is asked for, dense beside pruned.

    Raises:
        LLMRankError: whatever a stage refuses.
        CancelledError: from `progress`.
    """
    dense = pipeline.model(experiment, progress=progress)
    experiment.method.repair.check(dense)
    pruned = pipeline.pruned(experiment, progress=progress)
    known = shared.known(experiment, beside(dense, pruned))
    if "text" in measures:
        known = _with_texts(known, experiment, pipeline, progress)
    asked = replace(experiment.measures, which=measures)
    return compare(dense, pruned, asked, known=known, progress=progress)


def _with_texts(
    known: Comparison, experiment: Experiment, pipeline: Pipeline, progress: Progress
) -> Comparison:
    """Have the texts read through the pipeline, which remembers what was read."""
    dense = known.dense.text or pipeline.dense_text(experiment, progress=progress)
    _, pruned = pipeline.pruned_text(experiment, progress=progress)
    return replace(
        known,
        dense=replace(known.dense, text=dense),
        pruned=replace(known.pruned, text=pruned),
    )
