"""Rounds in which models are timed in turns, and which of them count."""

from collections.abc import Iterator, Sequence

from llmrank.core.progress import Progress
from llmrank.evaluation.decoding import (
    BenchmarkSpec,
    alone,
    memory_guard,
    random_prompt,
    timed_steps,
)
from llmrank.evaluation.other_load import Load, watched
from llmrank.models.language_model import LanguageModel

WARM_UP_TOKENS = 4

Round = tuple[float, ...]
"""One round of one model in ms: the prefill, then every decoded token."""


class Rounds:
    """Rounds of models against each other, and what ran beside each of them."""

    def __init__(
        self,
        models: Sequence[LanguageModel],
        spec: BenchmarkSpec,
        what: str,
        progress: Progress,
    ) -> None:
        self._models, self._spec = models, spec
        self._what, self._progress = what, progress
        self._prompts = [random_prompt(lm, spec) for lm in models]
        self._done = self._total = 0
        self._taken: list[tuple[Round, ...]] = []
        self.loads: list[Load] = []

    def take(self, n_rounds: int) -> None:
        """Time every model once in each round, after a warm-up before the first."""
        warm_up = 0 if self._taken else warm_up_tokens(self._spec) + 1
        steps = warm_up + n_rounds * (1 + self._spec.new_tokens)
        self._total += len(self._models) * steps
        if warm_up:
            with alone(self._progress):
                for i in range(len(self._models)):
                    list(self._run(i, warm_up - 1, []))
        for _ in range(n_rounds):
            with alone(self._progress):
                self._round()

    def _round(self) -> None:
        order, loads = range(len(self._models)), list[Load]()
        times: dict[int, Round] = {}
        for i in order if len(self._taken) % 2 == 0 else reversed(order):
            times[i] = tuple(self._run(i, self._spec.new_tokens, loads))
        self._taken.append(tuple(times[i] for i in order))
        self.loads.append(sum(loads, Load()))

    def _run(self, i: int, new_tokens: int, loads: list[Load]) -> Iterator[float]:
        lm = self._models[i]
        with memory_guard(lm, self._spec):
            steps = timed_steps(lm.model, self._prompts[i], new_tokens)
            for ms in watched(steps, loads):
                self._done += 1
                self._progress(self._what, self._done, self._total)
                yield ms

    @property
    def lasted_s(self) -> float:
        """How long the rounds took, without what was between their steps."""
        return sum(load.wall_s for load in self.loads)

    @property
    def _clean(self) -> list[int]:
        return [n for n, load in enumerate(self.loads) if not load.is_disturbed]

    @property
    def are_clean(self) -> bool:
        """Whether as many rounds as were asked for had the machine to themselves."""
        return len(self._clean) >= self._spec.repeats

    @property
    def kept_places(self) -> list[int]:
        """The rounds that count: those not disturbed, or all where these are few."""
        return self._clean if self.are_clean else list(range(len(self.loads)))

    @property
    def kept(self) -> list[list[Round]]:
        """The rounds that count, of every model."""
        return [
            [self._taken[n][i] for n in self.kept_places]
            for i in range(len(self._models))
        ]


def warm_up_tokens(spec: BenchmarkSpec) -> int:
    """Return how many tokens a model writes before its first round."""
    return min(WARM_UP_TOKENS, spec.new_tokens)
