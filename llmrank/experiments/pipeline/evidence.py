"""Dense models and what criteria read of them on calibration texts."""

import time
from dataclasses import replace

from llmrank.calibration.activations import ActivationStats, calibrate
from llmrank.calibration.gradients import Gradients, differentiate
from llmrank.core.progress import Progress, silent
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.kept import is_kept, kept
from llmrank.experiments.pipeline.stage import ReadTexts, Stage, model_key, reading_key
from llmrank.models.language_model import LanguageModel, ModelSpec, load


class Evidence:
    """Loads models and collects what criteria need; each is made once.

    Models are few because they are large; what is read of them is small.
    """

    def __init__(self, read: ReadTexts) -> None:
        self.model = Stage(_load, model_key, limit=2)
        self.stats = Stage(self._calibrate, reading_key, limit=8, read=read)
        self.gradients = Stage(self._differentiate, reading_key, limit=8, read=read)
        self._tokens_per_s: dict[ModelSpec, float] = {}

    def tokens_per_s(self, model: ModelSpec) -> float | None:
        """How fast the model last read a text here: for estimates, not a result."""
        return self._tokens_per_s.get(model)

    def note_pace(self, model: ModelSpec, n_tokens: int, start: float) -> None:
        """Remember how fast a model has read since a moment of `perf_counter`."""
        self._tokens_per_s[model] = n_tokens / (time.perf_counter() - start)

    def is_known(self, experiment: Experiment) -> bool:
        """Whether all that the criterion reads is there: scoring can begin at once."""
        second = _second(experiment)
        return (
            self.stats.peek(experiment) is not None
            and (second is None or self.stats.peek(second) is not None)
            and (
                "gradients" not in experiment.method.criterion.needs
                or self.gradients.peek(experiment) is not None
            )
        )

    def is_kept(self, experiment: Experiment) -> bool:
        """Whether the model's statistics were read before, in another process."""
        dense = self.model.peek(experiment)
        key = reading_key(experiment)
        return dense is not None and is_kept(key, dense, "statistics")

    def collect(
        self, experiment: Experiment, *, progress: Progress = silent
    ) -> tuple[ActivationStats, Gradients | None, ActivationStats | None]:
        """Return all that the criterion reads: statistics, gradients, a second text's.

        What it does not need is not read, and None.
        """
        stats, gradients = self.stats(experiment, progress=progress), None
        if "gradients" in experiment.method.criterion.needs:
            gradients = self.gradients(experiment, progress=progress)
        second = _second(experiment)
        beside = None if second is None else self.stats(second, progress=progress)
        return stats, gradients, beside

    def _calibrate(self, experiment: Experiment, progress: Progress) -> ActivationStats:
        dense, spec = self.model(experiment, progress=progress), experiment.calibration

        def read() -> ActivationStats:
            start = time.perf_counter()
            stats = calibrate(dense, spec, progress=progress)
            self.note_pace(experiment.model, spec.samples * spec.seq_len, start)
            return stats

        return kept(experiment, dense, "statistics", read)

    def _differentiate(self, experiment: Experiment, progress: Progress) -> Gradients:
        dense = self.model(experiment, progress=progress)
        return differentiate(dense, experiment.calibration, progress=progress)


def _load(experiment: Experiment, progress: Progress) -> LanguageModel:
    return load(experiment.model, progress=progress)


def _second(experiment: Experiment) -> Experiment | None:
    """Return how a criterion's second text is read, if it has one: as the first."""
    second = experiment.method.criterion.second_text
    if second is None:
        return None
    calibration = replace(experiment.calibration, calibration_text=second)
    return replace(experiment, calibration=calibration)
