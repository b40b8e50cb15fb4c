"""One cell measured, with what other cells of the arena have measured already."""

from dataclasses import replace
from typing import Any

from llmrank.core.progress import Progress, silent
from llmrank.evaluation.accuracy import TaskResult, evaluate_task
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import Footprint, footprint
from llmrank.evaluation.peak_memory import MemoryPeak, peak_memory
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.evaluation.shape_timing import SpeedPoint, of_comparison, time_pair
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Stages
from llmrank.experiments.store import Measure
from llmrank.models.language_model import LanguageModel, ModelSpec

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

    def text(self, of: Experiment) -> TextEvaluation | None:
        """Return the dense model's evaluation on the text, if it is known."""
        return self._texts.get((of.model, of.evaluation))

    def tasks(self, of: Experiment) -> tuple[TaskResult, ...] | None:
        """Return the dense model's tasks, if they are known."""
        return self._tasks.get((of.model, of.tasks))

    def time(self, of: Experiment, sizes: Footprint) -> SpeedPoint | None:
        """Return the timing of a shape against the dense one, if it is known."""
        return self._times.get((of.model, of.benchmark, sizes))

    def peak(self, of: Experiment, sizes: Footprint) -> MemoryPeak | None:
        """Return the peak memory of a shape, dense or pruned, if it is known."""
        return self._peaks.get((of.model, of.benchmark, sizes))


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
    cell = _Cell(of, shared, stages, progress)
    for name in measures:
        getattr(cell, name)()
    return cell.found


class _Cell:
    """A comparison while it fills."""

    def __init__(
        self, of: Experiment, shared: Shared, stages: Stages, progress: Progress
    ) -> None:
        self._of, self._shared, self._stages = of, shared, stages
        self._progress = progress
        self._dense = stages.model(of.model, progress=progress)
        of.repair.check(self._dense)
        pruned = stages.pruned(of.stage_specs, progress=progress)
        self.found = Comparison(Side(footprint(self._dense)), Side(footprint(pruned)))

    @property
    def _pruned(self) -> LanguageModel:
        return self._stages.pruned(self._of.stage_specs, progress=self._progress)

    def text(self) -> None:
        of, stages, progress = self._of, self._stages, self._progress
        dense = self._shared.text(of) or stages.dense_text(
            of.model, of.evaluation, progress=progress
        )
        _, pruned = stages.pruned_text(of.stage_specs, of.evaluation, progress=progress)
        self._show(text=(dense, pruned))

    def tasks(self) -> None:
        dense = self._shared.tasks(self._of) or self._asked(self._dense)
        self._show(tasks=(dense, self._asked(self._pruned)))

    def latency(self) -> None:
        point = self._shared.time(self._of, self.found.pruned.footprint)
        if point is None:
            pair = (self._dense, self._pruned)
            point = time_pair(*pair, self._of.benchmark, progress=self._progress)
        self._show(latency=(point.dense, point.pruned))
        self.found = replace(self.found, speedup=point.speedup)

    def memory(self) -> None:
        self._show(memory=(self._peak(self._dense), self._peak(self._pruned)))

    def _peak(self, lm: LanguageModel) -> MemoryPeak:
        known = self._shared.peak(self._of, footprint(lm))
        return known or peak_memory(lm, self._of.benchmark, progress=self._progress)

    def _asked(self, lm: LanguageModel) -> tuple[TaskResult, ...]:
        asked, progress = self._of.tasks, self._progress
        return tuple(
            evaluate_task(
                lm, name, n_items=asked.items, seed=asked.items_seed, progress=progress
            )
            for name in asked.names
        )

    def _show(self, **measured: tuple[Any, Any]) -> None:
        sides = [
            replace(side, **{name: pair[i] for name, pair in measured.items()})
            for i, side in enumerate((self.found.dense, self.found.pruned))
        ]
        self.found = replace(self.found, dense=sides[0], pruned=sides[1])
