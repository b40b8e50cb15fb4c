"""What cells are judged by: one figure of each with its interval."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.core.registry import Registry
from llmrank.core.statistics import NORMAL_95, Estimate, t_interval
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.latency import Timing
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.evaluation.speedup import Ratio

Value = Callable[[Comparison], Estimate | None]
Windows = Callable[[TextEvaluation, TextEvaluation], Float[Tensor, " n_windows"]]


@dataclass(frozen=True)
class Axis:
    """One figure of a cell with its 95 % interval, and which way is better.

    A figure that is exact (a count, one peak) is an interval of no length; one that was
    not measured is None. `dense` is the same figure of the dense model. `windows`: what
    the windows say that the dense and the pruned model have read, less being better.
    """

    title: str
    lower_is_better: bool
    pruned: Value
    dense: Value
    is_exact: bool = False
    windows: Windows | None = None


AXES: Registry[Axis] = Registry("axis")


def _side(title: str, lower: bool, read: Callable[[Side], Estimate | None]) -> Axis:
    """Make the axis of a figure that a model has by itself."""
    return Axis(title, lower, lambda c: read(c.pruned), lambda c: read(c.dense))


def _count(title: str, read: Callable[[Side], int | float | None]) -> Axis:
    """Make the axis of an exact figure, of which less is better."""

    def exact(side: Side) -> Estimate | None:
        value = read(side)
        return None if value is None else _exact(value)

    return replace(_side(title, True, exact), is_exact=True)


def _ratio(title: str, lower: bool, value: Value) -> Axis:
    """Make the axis of a figure relative to the dense model, where that is 1."""

    def dense(comparison: Comparison) -> Estimate | None:
        return None if value(comparison) is None else _exact(1.0)

    return Axis(title, lower, value, dense)


def _exact(value: int | float) -> Estimate:
    return Estimate(float(value), float(value), float(value), 1)


def _perplexity(side: Side) -> Estimate | None:
    return None if side.text is None else side.text.perplexity


def _top1(side: Side) -> Estimate | None:
    return None if side.text is None else side.text.top1


def _accuracy(side: Side) -> Estimate | None:
    """Mean over tasks of the share of right answers; items are independent draws."""
    if not side.tasks:
        return None
    mean = sum(t.acc for t in side.tasks) / len(side.tasks)
    error = sum(t.stderr**2 for t in side.tasks) ** 0.5 / len(side.tasks)
    n_items, half = sum(t.n_items for t in side.tasks), NORMAL_95 * error
    return Estimate(mean, mean - half, mean + half, n_items)


def _ms(timing: Timing) -> Estimate:
    """Geometric mean over rounds of each round's median: times are never negative."""
    medians = torch.tensor(timing.round_medians_ms, dtype=torch.float64)
    log = t_interval(medians.log())
    return Estimate(exp(log.value), exp(log.low), exp(log.high), log.n_windows)


def _prefill(side: Side) -> Estimate | None:
    return None if side.latency is None else _ms(side.latency.prefill)


def _decode(side: Side) -> Estimate | None:
    return None if side.latency is None else _ms(side.latency.decode)


def _peak_mb(side: Side) -> float | None:
    return None if side.memory is None else side.memory.used_bytes / 1e6


def _times(ratio: Ratio) -> Estimate | None:
    """Return the speed-up as it may be compared: not where it was disturbed."""
    if ratio.disturbed:
        return None
    return Estimate(ratio.measured, ratio.low, ratio.high, ratio.n_rounds)


def _faster_prefill(comparison: Comparison) -> Estimate | None:
    return None if comparison.speedup is None else _times(comparison.speedup.prefill)


def _faster_decode(comparison: Comparison) -> Estimate | None:
    return None if comparison.speedup is None else _times(comparison.speedup.decode)


for _name, _axis in {
    "perplexity": replace(
        _side("perplexity", True, _perplexity), windows=lambda _, pruned: pruned.nll
    ),
    "perplexity_ratio": replace(
        _ratio("perplexity, × dense", True, lambda c: c.perplexity_ratio),
        windows=lambda dense, pruned: pruned.nll - dense.nll,
    ),
    "top1": replace(
        _side("top-1 accuracy", False, _top1), windows=lambda _, pruned: -pruned.correct
    ),
    "accuracy": _side("task accuracy (mean)", False, _accuracy),
    "decode_ms": _side("decode, ms a token", True, _decode),
    "prefill_ms": _side("prefill, ms", True, _prefill),
    "decode_speedup": _ratio("decode, × as fast", False, _faster_decode),
    "prefill_speedup": _ratio("prefill, × as fast", False, _faster_prefill),
    "parameters": _count("parameters", lambda s: s.footprint.n_params),
    "weights_mb": _count("weights, MB", lambda s: s.footprint.weight_bytes / 1e6),
    "peak_mb": _count("peak memory, MB", _peak_mb),
}.items():
    AXES.add(_name)(_axis)
