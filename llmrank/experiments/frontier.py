"""What each method costs at every sparsity that was measured, and where one stands."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import exp, log
from pathlib import Path
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.core.statistics import Estimate
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.store import Run, Store
from llmrank.methods.method import PARTS, Method
from llmrank.methods.recovery import Trained

SHIPPED = Path(__file__).with_name("shipped.sqlite3")
"""What we measured on the demo model: `python -m benchmarks.shipped` makes it anew."""


@dataclass(frozen=True)
class Choice:
    """One pruned model that was measured: its method, its size, what it costs."""

    method: Method
    sparsity: float
    n_params: int
    ratio: Estimate
    """Perplexity, pruned over dense, paired by window."""
    run: Run

    @property
    def n_trained(self) -> int:
        """The tokens it was trained on; 0 where it was not, or by the clock."""
        recovery = self.method.recovery
        return recovery.train_tokens if isinstance(recovery, Trained) else 0


@dataclass(frozen=True)
class Frontier:
    """Every method of one model, read on the same texts; by method and sparsity."""

    choices: tuple[Choice, ...]

    @property
    def curves(self) -> dict[Method, tuple[Choice, ...]]:
        """Each method's choices, by sparsity."""
        groups = groupby(self.choices, lambda choice: choice.method)
        return {method: tuple(group) for method, group in groups}

    def at(self, method: Method, sparsity: float) -> Choice | None:
        """Return what was measured of a method at exactly a sparsity."""
        own = self.curves.get(method.unseeded, ())
        return next((c for c in own if abs(c.sparsity - sparsity) < 1e-9), None)

    def between(self, method: Method, sparsity: float) -> float | None:
        """Return the ratio of a method at a sparsity between two that were measured.

        On a straight line over the logarithm; the dense model is ×1 at 0.
        """
        own = self.curves.get(method.unseeded, ())
        known = [(0.0, 1.0), *((c.sparsity, c.ratio.value) for c in own)]
        for (low, before), (high, after) in pairwise(known):
            if low <= sparsity <= high:
                share = (sparsity - low) / (high - low)
                return exp((1 - share) * log(before) + share * log(after))
        return None

    def trained(
        self, method: Method, sparsity: float, n_tokens: int
    ) -> tuple[Choice, Choice] | None:
        """Return what is nearest of what was measured before and after a training.

        Of the same method where it was trained, else of another; then by sparsity, then
        by the tokens that were trained on.
        """
        pairs = [
            (before, after)
            for after in self.choices
            if after.n_trained
            and (before := self.at(after.method.untrained, after.sparsity))
        ]

        def apart(pair: tuple[Choice, Choice]) -> tuple[bool, float, float]:
            before, after = pair
            times = abs(log(after.n_trained / max(1, n_tokens)))
            is_other = before.method != method.untrained.unseeded
            return is_other, abs(after.sparsity - sparsity), times

        return min(pairs, key=apart, default=None)

    def within(self, n_params: int) -> tuple[Choice, ...]:
        """Return each method's choice of at most that many parameters that costs least.

        By what they cost, the least first; a method that has none is left out.
        """
        fit = [
            [choice for choice in choices if choice.n_params <= n_params]
            for choices in self.curves.values()
        ]
        least = [min(some, key=lambda c: c.ratio.value) for some in fit if some]
        return tuple(sorted(least, key=lambda choice: choice.ratio.value))

    def best(self, sparsity: float) -> Choice | None:
        """Return who costs least at the measured sparsity that is nearest."""
        if not self.choices:
            return None
        nearest = min(
            (c.sparsity for c in self.choices), key=lambda s: abs(s - sparsity)
        )
        there = [c for c in self.choices if c.sparsity == nearest]
        return min(there, key=lambda choice: choice.ratio.value)


def frontier(experiment: Experiment, stores: Iterable[Store]) -> Frontier:
    """Gather what was measured of a model, on the texts on which most was.

    Of two runs of one method at one sparsity the first found stays: stores are asked
    in their order, each for its newest first.
    """
    asked = experiment.to_json()["model"]
    columns = {"model": [experiment.model.name]}
    runs = [r for s in stores for r in s.runs(columns=columns, states=("done",))]
    same = [r for r in runs if r.spec.recipe["model"] == asked]
    counts = Counter(_texts(run) for run in same)
    if not counts:
        return Frontier(())
    most = counts.most_common(1)[0][0]
    return _gathered(run for run in same if _texts(run) == most)


def measured_here(experiment: Experiment, own: Store) -> Frontier:
    """Gather the newest own runs of a model on the text in hand, of any length.

    One of just these settings comes before others of its method and sparsity.
    """
    asked = experiment.to_json()
    runs = own.runs(columns={"model": [experiment.model.name]}, states=("done",))
    same = [
        run
        for run in runs
        if run.spec.recipe["model"] == asked["model"]
        and run.spec.recipe["evaluation"]["eval_text"]
        == experiment.evaluation.eval_text
    ]
    return _gathered(sorted(same, key=lambda run: run.spec.recipe != asked))


def _gathered(runs: Iterable[Run]) -> Frontier:
    """Keep the first run of each method and sparsity."""
    found: dict[tuple[Method, float], Choice] = {}
    for run in runs:
        choice = _choice(run)
        if choice is not None:
            found.setdefault((choice.method, choice.sparsity), choice)
    by_method = sorted(found.values(), key=lambda c: (c.method.name, c.sparsity))
    return Frontier(tuple(by_method))


def _is_same(run: Run, experiment: Experiment) -> bool:
    """Whether a run pruned alike and read the same text, of any length."""
    decisive = ("model", "calibration", *PARTS, "pruning")
    other = run.experiment
    return (
        other.only(*decisive) == experiment.only(*decisive)
        and other.evaluation.eval_text == experiment.evaluation.eval_text
    )


def kept(experiment: Experiment, own: Store | None, ours: Store | None) -> Run | None:
    """Return the run of just these settings that read most: an own one before ours.

    Raises:
        LLMRankError: a store cannot be read.
    """
    found: list[Run] = []
    if own is not None:
        found += own.runs(recipe=experiment.to_json(), states=("done",), limit=1)
    if ours is not None:
        columns = {part: [getattr(experiment.method, part).name] for part in PARTS}
        columns["sparsity"] = [experiment.pruning.sparsity]
        runs = ours.runs(columns=columns, states=("done",))
        found += [run for run in runs if _is_same(run, experiment)][:1]
    return max(found, key=n_tokens, default=None)


def longer(run: Run, others: Iterable[Run]) -> Run | None:
    """Return the one of others that pruned alike and read more of the same text."""
    more = (other for other in others if n_tokens(other) > n_tokens(run))
    return next((other for other in more if _is_same(other, run.experiment)), None)


def checks(own: Iterable[Run], ours: Collection[Run]) -> dict[str, Run]:
    """Return the longer run of ours that an own one checks, by the own one's id."""
    found = ((run.id, longer(run, ours)) for run in own)
    return {run: twin for run, twin in found if twin is not None}


def agree(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals overlap."""
    return one.low <= other.high and other.low <= one.high


def n_tokens(run: Run) -> int:
    """Return how many tokens of its text a run was asked to read."""
    return int(run.spec.recipe["evaluation"]["eval_tokens"])


def shipped() -> Store | None:
    """Open what we measured on the demo model, or None where it does not open."""
    try:
        return Store(SHIPPED, sealed=True) if SHIPPED.is_file() else None
    except LLMRankError:
        return None


def _texts(run: Run) -> str:
    """Return what must be equal for two ratios to stand on one axis."""
    recipe: dict[str, Any] = run.spec.recipe
    parts = (recipe["calibration"], recipe["evaluation"])
    return repr((*(sorted(p.items()) for p in parts), recipe["pruning"]["multiple_of"]))


def _choice(run: Run) -> Choice | None:
    if run.ratio is None or run.n_params is None:
        return None
    try:
        experiment = run.experiment
    except LLMRankError:
        return None  # another version's: this one has not all that it names
    sparsity, method = experiment.pruning.sparsity, experiment.method.unseeded
    return Choice(method, sparsity, run.n_params, run.ratio, run)
