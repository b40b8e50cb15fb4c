"""What cuts and repairs at every sparsity, and the second moments it starts from."""

from dataclasses import replace
from functools import partial

from llmrank.calibration.activations import calibrate, drawn
from llmrank.calibration.second_moments import Moments, has_room, moments
from llmrank.core.progress import Progress
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.evidence import Evidence
from llmrank.experiments.pipeline.kept import kept
from llmrank.experiments.pipeline.scores import Scorer
from llmrank.experiments.pipeline.stage import ReadTexts, Stage, reading_key, repair_key
from llmrank.methods.criteria import Scores
from llmrank.methods.method import DEFAULT, Method
from llmrank.methods.repair import Cut, RepairInputs
from llmrank.models.language_model import LanguageModel


class Repairer:
    """Prepares repairs; that of one model, criterion and repair is held.

    It may be large, and so may the second moments, which serve every criterion.
    """

    def __init__(self, evidence: Evidence, scorer: Scorer, read: ReadTexts) -> None:
        self._evidence, self._scorer = evidence, scorer
        self.cutter = Stage(self._prepare, repair_key, limit=1, read=read)
        self._moments = Stage(self._read_moments, reading_key, limit=1, read=read)

    def again(
        self,
        experiment: Experiment,
        lm: LanguageModel,
        scores: Scores,
        progress: Progress,
    ) -> Cut:
        """Prepare the repair of a model that was cut before; nothing is kept."""
        stats = calibrate(lm, experiment.calibration, progress=progress)
        windows = drawn(lm, experiment.calibration)[1]
        inputs = RepairInputs(lm, scores, stats, windows)
        return experiment.method.repair.cutter(inputs, progress=progress)

    def _prepare(self, experiment: Experiment, progress: Progress) -> Cut:
        dense = self._evidence.model(experiment, progress=progress)
        repair, every_moment = experiment.method.repair, None
        scores = self._scorer.scores(experiment, progress=progress)
        stats = self._evidence.stats(experiment, progress=progress)
        if repair.solves and has_room(dense, copies=3):  # two parts, and the factors
            every_moment = partial(self._moments, experiment, progress=progress)
        windows = drawn(dense, experiment.calibration)[1]
        inputs = RepairInputs(dense, scores, stats, windows, every_moment)
        if _is_default(experiment.method):
            inputs = replace(inputs, keep=partial(kept, experiment, dense))
        return repair.cutter(inputs, progress=progress)

    def _read_moments(
        self, experiment: Experiment, progress: Progress
    ) -> tuple[Moments, ...]:
        dense = self._evidence.model(experiment, progress=progress)

        def read() -> tuple[Moments, ...]:
            windows = drawn(dense, experiment.calibration)[1]
            return tuple(moments(dense, windows, progress=progress))

        return kept(experiment, dense, "moments", read)


def _is_default(method: Method) -> bool:
    """Whether factors are worth the disk: every other criterion has its own."""
    return (method.criterion, method.repair) == (DEFAULT.criterion, DEFAULT.repair)
