"""Models and what was read of them on calibration texts, remembered by their specs."""

import time
from dataclasses import replace
from typing import Any

from llmrank.calibration.activations import ActivationStats, CalibrationSpec, calibrate
from llmrank.calibration.gradients import Gradients, differentiate
from llmrank.core.cache import Memo
from llmrank.core.progress import Progress, silent
from llmrank.data import texts
from llmrank.methods.criteria import Criterion
from llmrank.models.language_model import LanguageModel, ModelSpec, load


class Evidence:
    """Loads models and collects what criteria need; each is made once.

    Models are few because they are large; what is read of them is small.
    """

    def __init__(self) -> None:
        self._models: Memo[LanguageModel] = Memo(2)
        self._stats: Memo[ActivationStats] = Memo(8)
        self._gradients: Memo[Gradients] = Memo(8)
        self._tokens_per_s: dict[ModelSpec, float] = {}
        self._texts: dict[str, object] = {}
        self._of_texts: list[Memo[Any]] = [self._stats, self._gradients]

    def _watch(self, source: str | None) -> None:
        """Refuse a text that is not opened for who asks: others' results are here too.

        What was read from texts is forgotten when one of them has changed on the disk.
        """
        if source is None:
            return
        texts.check(source)
        state = texts.state_of(source)
        if self._texts.setdefault(source, state) != state:
            self._texts[source] = state
            for memo in self._of_texts:
                memo.clear()

    def has_model(self, model: ModelSpec) -> bool:
        """Whether the dense model is in memory."""
        return self._models.peek(model) is not None

    def has_stats(self, model: ModelSpec, calibration: CalibrationSpec) -> bool:
        """Whether the statistics are measured."""
        self._watch(calibration.calibration_text)
        return self._stats.peek((model, calibration)) is not None

    def has_evidence(
        self, model: ModelSpec, calibration: CalibrationSpec, criterion: Criterion
    ) -> bool:
        """Whether all that a criterion reads is measured: scoring can begin at once."""
        beside = _second(calibration, criterion)
        return (
            self.has_stats(model, calibration)
            and (beside is None or self.has_stats(model, beside))
            and (
                "gradients" not in criterion.needs
                or self._gradients.peek((model, calibration)) is not None
            )
        )

    def tokens_per_s(self, model: ModelSpec) -> float | None:
        """How fast the model last read a text here: for estimates, not a result."""
        return self._tokens_per_s.get(model)

    def model(self, spec: ModelSpec, *, progress: Progress = silent) -> LanguageModel:
        """Return the dense model; see `models.load`."""
        return self._models.get(spec, lambda: load(spec, progress=progress))

    def stats(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        *,
        progress: Progress = silent,
    ) -> ActivationStats:
        """Return the calibration statistics; see `calibration.calibrate`."""

        def make() -> ActivationStats:
            dense = self.model(model, progress=progress)
            start = time.perf_counter()
            stats = calibrate(dense, calibration, progress=progress)
            self._note_pace(model, calibration.samples * calibration.seq_len, start)
            return stats

        self._watch(calibration.calibration_text)
        return self._stats.get((model, calibration), make)

    def gradients(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        *,
        progress: Progress = silent,
    ) -> Gradients:
        """Return the gradients, the same for every criterion; see `differentiate`."""

        def make() -> Gradients:
            dense = self.model(model, progress=progress)
            return differentiate(dense, calibration, progress=progress)

        self._watch(calibration.calibration_text)
        return self._gradients.get((model, calibration), make)

    def evidence(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        *,
        progress: Progress = silent,
    ) -> tuple[ActivationStats, Gradients | None, ActivationStats | None]:
        """Return all that a criterion reads: statistics, gradients, a second text's.

        What it does not need is not read, and None.
        """
        known, gradients, second = (model, calibration), None, None
        stats = self.stats(*known, progress=progress)
        if "gradients" in criterion.needs:
            gradients = self.gradients(*known, progress=progress)
        beside = _second(calibration, criterion)
        if beside is not None:
            second = self.stats(model, beside, progress=progress)
        return stats, gradients, second

    def _note_pace(self, model: ModelSpec, n_tokens: int, start: float) -> None:
        self._tokens_per_s[model] = n_tokens / (time.perf_counter() - start)


def _second(
    calibration: CalibrationSpec, criterion: Criterion
) -> CalibrationSpec | None:
    """Return how a criterion's second text is read: as the first."""
    if criterion.second_text is None:
        return None
    return replace(calibration, calibration_text=criterion.second_text)
