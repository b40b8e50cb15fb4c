"""A goal instead of a sparsity: solved for, measured, and by how much it missed."""

from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, nan
from typing import Literal, get_args

from llmrank.core.errors import OptionError
from llmrank.core.formatting import number, share, times
from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import Estimate
from llmrank.evaluation import shape_timing
from llmrank.evaluation.footprint import footprint, planned
from llmrank.evaluation.perplexity import perplexity_ratio
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.allocation import Uniform

Kind = Literal["size", "speed", "perplexity"]

HIGHEST = 0.95
"""The sparsity beyond which nothing is tried."""

CLOSE = 0.01
"""Two sparsities this near are not told apart by measurements."""

MAX_MEASURED = 8

_EASIER: dict[Kind, str] = {
    "size": "allow more megabytes",
    "speed": "ask for less speed",
    "perplexity": "allow a higher perplexity",
}
_SHOWN: dict[Kind, Callable[[float], str]] = {
    "size": lambda value: f"{number(value)} MB of weights",
    "speed": lambda value: f"decoding {times(value)} as fast as dense",
    "perplexity": lambda value: f"{times(value)} the dense perplexity",
}


@dataclass(frozen=True)
class Target:
    """What the pruned model must be.

    `size`: at most so many megabytes of weights; `speed`: decodes at least so many
    times as fast as dense; `perplexity`: at most so many times the dense one.
    """

    kind: Kind
    value: float

    def __post_init__(self) -> None:
        """Refuse what no pruned model could be asked to be."""
        least = 0.0 if self.kind == "size" else 1.0
        if not least < self.value < float("inf"):
            raise OptionError(
                f"a target for {self.kind} must be above {least:g}, got {self.value:g}"
            )

    def met_by(self, value: float) -> bool:
        """Whether a measured value is as good as asked, or better."""
        return value >= self.value if self.kind == "speed" else value <= self.value

    @property
    def wants_more(self) -> bool:
        """Whether removing more brings one closer to it."""
        return self.kind != "perplexity"


_DISTURBED = " Other work disturbed this timing: measure again before you rely on it."


@dataclass(frozen=True)
class Measured:
    """What one sparsity was found to give, with its 95 % interval where it has one."""

    sparsity: float
    value: float
    low: float
    high: float
    disturbed: bool = False


@dataclass(frozen=True)
class Answer:
    """The sparsity that meets a target, and everything that was measured for it."""

    target: Target
    steps: tuple[Measured, ...]

    @property
    def best(self) -> Measured | None:
        """The least sparsity that meets it, or the largest for perplexity; or None."""
        meet = [s for s in self.steps if self.target.met_by(s.value)]
        if not meet:
            return None
        pick = min if self.target.wants_more else max
        return pick(meet, key=lambda s: s.sparsity)

    @property
    def sentence(self) -> str:
        """What was found, and by how much it misses what was asked."""
        best, shown = self.best, _SHOWN[self.target.kind]
        if best is None:
            pick = max if self.target.wants_more else min
            last = pick(self.steps, key=lambda s: s.sparsity)
            return (
                f"Not to be had: {shown(self.target.value)} was asked, and "
                f"{share(last.sparsity)} removed gives {shown(last.value)}; "
                f"{_EASIER[self.target.kind]}, or choose another method."
            )
        off = abs(best.value / self.target.value - 1)
        ends = ""
        if best.low < best.high:
            ends = f" (95 %: {number(best.low)} to {number(best.high)})"
        return (
            f"{share(best.sparsity)} removed: measured {shown(best.value)}{ends}, "
            f"{share(off)} better than the {shown(self.target.value)} asked."
            + (_DISTURBED if best.disturbed else "")
        )


def meet(
    experiment: Experiment,
    target: Target,
    *,
    pipeline: Pipeline | None = None,
    progress: Progress = silent,
    publish: Callable[[Answer], None] = lambda _: None,
) -> Answer:
    """Find the sparsity that meets a target, by measuring at a few.

    The method, the texts and the benchmark are the experiment's; its sparsity is not
    used. Sizes are counted, to a tenth of a per cent; speed and perplexity are measured
    between two sparsities that enclose the target, until these are a per cent apart.
    """
    known = pipeline or Pipeline()
    if target.kind == "size":
        return _fitting(experiment, target, known, progress)
    measure = _speed if target.kind == "speed" else _perplexity
    steps: tuple[Measured, ...] = ()
    low, high = Measured(0.0, 1.0, 1.0, 1.0), None
    for _ in range(MAX_MEASURED):
        sparsity = _next(target, low, high)
        point = measure(experiment.at(sparsity), known, progress)
        steps = (*steps, point)
        publish(Answer(target, steps))
        if target.met_by(point.value) == target.wants_more:
            high = point
        else:
            low = point
        if high is None and low.sparsity >= HIGHEST:
            break
        if high is not None and high.sparsity - low.sparsity <= CLOSE:
            break
    return Answer(target, steps)


def _next(target: Target, low: Measured, high: Measured | None) -> float:
    """Guess on the straight line between the two that enclose the target."""
    if high is None:
        return HIGHEST if low.sparsity >= 0.5 else max(0.3, 2 * low.sparsity)
    span = high.value - low.value
    at = 0.5 if span == 0 else (target.value - low.value) / span
    at = min(0.9, max(0.1, at))
    guess = low.sparsity + at * (high.sparsity - low.sparsity)
    return round(guess, 3)


def _fitting(
    experiment: Experiment, target: Target, pipeline: Pipeline, progress: Progress
) -> Answer:
    """Bisect the counted size; then cut, and count the model that came out.

    Widths that are searched take minutes for every sparsity: others of the same total
    are counted in their place, and what rounding them adds is made up for.
    """
    dense, quick = pipeline.model(experiment, progress=progress), experiment
    if experiment.method.allocation.searches:
        quick = experiment.using(allocation=Uniform())

    def size(thousandths: int) -> float:
        cell = quick.at(thousandths / 1000)
        widths = pipeline.plan(cell, progress=progress).widths
        return planned(dense, widths).weight_bytes / 1e6

    highest = round(1000 * HIGHEST)
    per_thousandth = (size(0) - size(highest)) / highest
    at = bisect_left(range(highest), x=True, key=lambda n: size(n) <= target.value)
    reached = _counted(experiment, at, pipeline, progress)
    while not target.met_by(reached.value) and at < highest:
        more = ceil((reached.value - target.value) / per_thousandth)
        at = min(at + max(1, more), highest)
        reached = _counted(experiment, at, pipeline, progress)
    return Answer(target, (reached,))


def _counted(
    experiment: Experiment, thousandths: int, pipeline: Pipeline, progress: Progress
) -> Measured:
    pruned = pipeline.pruned(experiment.at(thousandths / 1000), progress=progress)
    value = footprint(pruned).weight_bytes / 1e6
    return Measured(thousandths / 1000, value, value, value)


def _speed(experiment: Experiment, pipeline: Pipeline, progress: Progress) -> Measured:
    dense = pipeline.model(experiment, progress=progress)
    pruned = pipeline.pruned(experiment, progress=progress)
    timed = shape_timing.time_pair(
        dense, pruned, experiment.benchmark, progress=progress
    )
    sparsity, decode = experiment.pruning.sparsity, timed.speedup.decode
    return Measured(
        sparsity, decode.measured, decode.low, decode.high, decode.disturbed
    )


def _perplexity(
    experiment: Experiment, pipeline: Pipeline, progress: Progress
) -> Measured:
    dense = pipeline.dense_text(experiment, progress=progress)
    _, text = pipeline.pruned_text(experiment, progress=progress)
    ratio: Estimate = perplexity_ratio(dense, text)
    return Measured(experiment.pruning.sparsity, ratio.value, ratio.low, ratio.high)


def parsed(text: str) -> Target:
    """Read a target as the command line gives it, `size=400` or `speed=1.2`.

    Raises:
        OptionError: it is not of this form.
    """
    kind, _, value = text.partition("=")
    if kind in get_args(Kind):
        number = nan
        with suppress(ValueError):
            number = float(value)
        return Target(kind, number)  # type: ignore[arg-type]
    raise OptionError(
        "a target is size=MEGABYTES, speed=TIMES or perplexity=TIMES, "
        f"got {text[:80]!r}"
    )
