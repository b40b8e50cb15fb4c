"""How many neurons each layer keeps: what allocations need, and their plans."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llmrank.calibration.activations import drawn
from llmrank.calibration.divergence import DenseBatch, read
from llmrank.core.progress import Progress, silent
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.evidence import Evidence
from llmrank.experiments.pipeline.kept import kept
from llmrank.experiments.pipeline.repair import Repairer
from llmrank.experiments.pipeline.scores import Scorer
from llmrank.experiments.pipeline.search_file import SearchFile
from llmrank.experiments.pipeline.stage import (
    ReadTexts,
    Stage,
    plan_key,
    reading_key,
    repair_key,
)
from llmrank.methods.allocation import (
    Additive,
    AllocationInputs,
    BlockInfluence,
    Search,
    Sensitivity,
)
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, plan
from llmrank.methods.width_search import Searched, Trial, search, sensitivity
from llmrank.models.language_model import weights_sample

TRIAL_TOKENS = 1024
"""Of the calibration tokens, those on which widths are tried."""


class Planner:
    """Plans what is kept, and measures or searches what allocations ask for."""

    def __init__(
        self, evidence: Evidence, scorer: Scorer, repairer: Repairer, texts: ReadTexts
    ) -> None:
        self._evidence, self._scorer, self._repairer = evidence, scorer, repairer
        self.plan = Stage(self._plan, plan_key, limit=64, read=texts)
        self.sensitivity = Stage(self._measure, trial_key, limit=32, read=texts)
        self.searched = Stage(self._search, plan_key, limit=64, read=texts)
        self._reads = Stage(self._read, reading_key, limit=1, read=texts)

    def widths(
        self, experiment: Experiment, sparsities: Sequence[float]
    ) -> list[tuple[int, ...]]:
        """Return what the allocation keeps of each layer, before any rounding."""
        scores = self._scorer.scores(experiment)
        known = AllocationInputs(scores, **self._beside(experiment, silent))
        return [experiment.method.allocation.widths(known, s) for s in sparsities]

    def planner(
        self, experiment: Experiment, *, progress: Progress = silent
    ) -> Callable[[Scores], PruningPlan]:
        """Return what plans any scores as the method says, with what that needs."""
        known = self._beside(experiment, progress)
        allocation = experiment.method.allocation
        return partial(plan, spec=experiment.pruning, allocation=allocation, **known)

    def has_widths(self, experiment: Experiment) -> bool:
        """Whether the allocation can answer at once."""
        needs = experiment.method.allocation.needs
        if "searched" in needs and self.searched.peek(experiment) is None:
            return False
        return (
            "sensitivity" not in needs or self.sensitivity.peek(experiment) is not None
        )

    def _plan(self, experiment: Experiment, progress: Progress) -> PruningPlan:
        scores = self._scorer.scores(experiment, progress=progress)
        return self.planner(experiment, progress=progress)(scores)

    def _beside(self, experiment: Experiment, progress: Progress) -> dict[str, Any]:
        """Return what the allocation needs beside the scores."""
        needs, known = experiment.method.allocation.needs, dict[str, Any]()
        if "stats" in needs:
            known["stats"] = self._evidence.stats(experiment, progress=progress)
        if "sensitivity" in needs:
            known["sensitivity"] = self.sensitivity(experiment, progress=progress)
        if "searched" in needs:
            known["searched"] = self.searched(experiment, progress=progress).widths
        return known

    def _measure(self, experiment: Experiment, progress: Progress) -> Sensitivity:
        def read() -> Sensitivity:
            trial = self._trial(experiment, progress)
            return sensitivity(trial.reads, trial.scores, trial.cut, progress=progress)

        dense = self._evidence.model(experiment, progress=progress)
        return kept(experiment, dense, "sensitivity", read)

    def _search(
        self,
        experiment: Experiment,
        progress: Progress,
        publish: Callable[[Searched], None] = lambda _: None,
    ) -> Searched:
        """Search for widths; a search that was stopped goes on.

        It begins with the additive widths or those by block influence, whichever come
        closer, and is kept on the disk after each generation.
        """
        allocation = experiment.method.allocation
        assert isinstance(allocation, Search)
        trial = self._trial(experiment, progress)
        stats, dense = (
            self._evidence.stats(experiment),
            self._evidence.model(experiment),
        )
        kept = SearchFile(experiment, stats.text_sha256, weights_sample(dense))
        start: Searched | tuple[int, ...] | None = kept.read()
        if start is None:
            start = self._start(experiment, trial)

        def show(so_far: Searched) -> None:
            kept.write(so_far)
            publish(so_far)

        return search(
            trial,
            start,
            allocation.evaluations,
            seed=experiment.calibration.seed,
            progress=progress,
            publish=show,
        )

    def _start(self, experiment: Experiment, trial: Trial) -> tuple[int, ...]:
        stats, costs = self._evidence.stats(experiment), self.sensitivity(experiment)
        known = AllocationInputs(trial.scores, stats=stats, sensitivity=costs)
        sparsity = experiment.pruning.sparsity
        both = [a.widths(known, sparsity) for a in (Additive(), BlockInfluence())]
        return min(both, key=lambda widths: trial(widths, trial.reads))

    def _trial(self, experiment: Experiment, progress: Progress) -> Trial:
        reads = self._reads(experiment, progress=progress)
        cut = self._repairer.cutter(trial_key(experiment), progress=progress)
        return Trial(reads, self._scorer.scores(experiment, progress=progress), cut)

    def _read(
        self, experiment: Experiment, progress: Progress
    ) -> tuple[DenseBatch, ...]:
        dense = self._evidence.model(experiment, progress=progress)
        windows = drawn(dense, experiment.calibration)[1]
        few = windows[: max(1, TRIAL_TOKENS // windows.shape[1])]
        return read(dense, few, progress=progress)


def trial_key(experiment: Experiment) -> Experiment:
    """Leave what decides what a layer's cut costs, with the repair used on trial."""
    on_trial = experiment.method.repair.on_trial
    return repair_key(experiment.using(repair=on_trial))
