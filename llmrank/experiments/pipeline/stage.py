"""A stage: one computation, remembered by what of an experiment decides it."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from llmrank.core.cache import Cache
from llmrank.core.progress import Progress, silent
from llmrank.data import texts
from llmrank.experiments.experiment import Experiment
from llmrank.methods.method import PARTS

T = TypeVar("T")

Key = Callable[[Experiment], Experiment]
"""Leaves of an experiment what decides a result, and all else at its default."""


class ReadTexts:
    """The texts that stages have read, and what is forgotten when one changes."""

    def __init__(self) -> None:
        self._states: dict[str, object] = {}
        self._results: list[Cache[Any]] = []

    def forget_with(self, results: Cache[Any]) -> None:
        """Have results forgotten when a text has changed on the disk."""
        self._results.append(results)

    def check(self, experiment: Experiment) -> None:
        """Look at the texts of an experiment again.

        Raises:
            LLMRankError: one is not open to who asks: others' results are here too.
        """
        for source in experiment.texts:
            texts.check(source)
            state = texts.state_of(source)
            if self._states.setdefault(source, state) != state:
                self._states[source] = state
                for results in self._results:
                    results.clear()


class Stage(Generic[T]):
    """One computation on an experiment: its last results are kept, each made once.

    Args:
        make: computes it, given what decides it, `progress`, and what else one asks.
        key: says what decides it.
        limit: how many results are kept.
        read: the texts, where they decide it.
    """

    def __init__(
        self,
        make: Callable[..., T],
        key: Key,
        *,
        limit: int,
        read: ReadTexts | None = None,
    ) -> None:
        self._make, self._key, self._read = make, key, read
        self._results: Cache[T] = Cache(limit)
        if read is not None:
            read.forget_with(self._results)

    def __call__(
        self, experiment: Experiment, *, progress: Progress = silent, **options: Any
    ) -> T:
        """Return the result, computing it where it is missing."""
        key = self._decisive(experiment)

        def make() -> T:
            return self._make(key, progress=progress, **options)

        return self._results.get(key, make)

    def peek(self, experiment: Experiment) -> T | None:
        """Return the result if it is there; never wait."""
        return self._results.peek(self._decisive(experiment))

    def put(self, experiment: Experiment, result: T) -> None:
        """Remember what was computed elsewhere, so that nobody computes it again."""
        self._results.put(self._decisive(experiment), result)

    def items(self) -> list[tuple[Experiment, T]]:
        """Return every result, by what decides it of its experiment."""
        return self._results.items()

    def _decisive(self, experiment: Experiment) -> Experiment:
        key = self._key(experiment)
        if self._read is not None:
            self._read.check(key)
        return key


def leaves(*names: str) -> Key:
    """Return the key that leaves these specs and parts of the method; see `only`."""
    return lambda experiment: experiment.only(*names)


model_key = leaves("model")
reading_key = leaves("model", "calibration")
scores_key = leaves("model", "calibration", "criterion")
repair_key = leaves("model", "calibration", "criterion", "repair")
plan_key = leaves(
    "model", "calibration", "criterion", "allocation", "repair", "pruning"
)
pruned_key = leaves("model", "calibration", *PARTS, "pruning")
dense_text_key = leaves("model", "evaluation")
pruned_text_key = leaves("model", "calibration", *PARTS, "pruning", "evaluation")
