"""The results of every stage by the specs that made them, shared by all sessions."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from llmrank.calibration import ActivationStats, CalibrationSpec, calibrate
from llmrank.criteria import Criterion, Scores, score
from llmrank.evaluation import EvaluationSpec, Publish, TextEvaluation, evaluate
from llmrank.models import LanguageModel, ModelSpec, load
from llmrank.progress import Progress, silent
from llmrank.pruning import PruningPlan, PruningSpec, plan, prune

T = TypeVar("T")


class Memo(Generic[T]):
    """The last few results of one stage; made once, however many ask at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def peek(self, key: Hashable) -> T | None:
        """Return the result if it is there; never wait."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: Hashable, result: T) -> None:
        """Remember a result; the oldest is forgotten."""
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._limit:
                self._results.popitem(last=False)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result, making it first where it is missing."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            found = self.peek(key)
            if found is not None:
                return found
            made = make()
            self.put(key, made)
            with self._lock:
                self._making.pop(key, None)
            return made


class Stages:
    """Runs stages and remembers what they gave, bounded, keyed by whole specs.

    Models are few because they are large; timings are not remembered at all.
    """

    def __init__(self) -> None:
        self._models: Memo[LanguageModel] = Memo(2)
        self._pruned: Memo[LanguageModel] = Memo(3)
        self._stats: Memo[ActivationStats] = Memo(8)
        self._scores: Memo[Scores] = Memo(32)
        self._plans: Memo[PruningPlan] = Memo(64)
        self._dense_text: Memo[TextEvaluation] = Memo(32)

    def has_model(self, model: ModelSpec) -> bool:
        """Whether the dense model is in memory."""
        return self._models.peek(model) is not None

    def has_pruned(self, *specs: Hashable) -> bool:
        """Whether the smaller model is in memory."""
        return self._pruned.peek(specs) is not None

    def has_stats(self, model: ModelSpec, calibration: CalibrationSpec) -> bool:
        """Whether scoring can begin at once."""
        return self._stats.peek((model, calibration)) is not None

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
            return calibrate(dense, calibration, progress=progress)

        return self._stats.get((model, calibration), make)

    def scores(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        *,
        progress: Progress = silent,
    ) -> Scores:
        """Return a criterion's scores; see `criteria.score`."""

        def make() -> Scores:
            stats = self.stats(model, calibration, progress=progress)
            return score(self.model(model, progress=progress), stats, criterion)

        return self._scores.get((model, calibration, criterion), make)

    def plan(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        pruning: PruningSpec,
        *,
        progress: Progress = silent,
    ) -> PruningPlan:
        """Return what is kept; see `pruning.plan`."""
        scores = self.scores(model, calibration, criterion, progress=progress)
        key = (model, calibration, criterion, pruning)
        return self._plans.get(key, lambda: plan(scores, pruning))

    def pruned(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        pruning: PruningSpec,
        *,
        progress: Progress = silent,
    ) -> LanguageModel:
        """Return the smaller model; see `pruning.prune`."""

        def make() -> LanguageModel:
            kept = self.plan(model, calibration, criterion, pruning, progress=progress)
            return prune(self.model(model, progress=progress), kept)

        return self._pruned.get((model, calibration, criterion, pruning), make)

    def dense_text(
        self,
        model: ModelSpec,
        evaluation: EvaluationSpec,
        *,
        progress: Progress = silent,
        publish: Publish | None = None,
    ) -> TextEvaluation:
        """Return the dense model's evaluation: the same for every pruning."""
        return self._dense_text.get(
            (model, evaluation),
            lambda: evaluate(
                self.model(model, progress=progress),
                evaluation,
                progress=progress,
                publish=publish,
            ),
        )
