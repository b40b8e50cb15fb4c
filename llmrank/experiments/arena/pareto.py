"""Cells on two axes, and which of them are dominated."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Bool, Float

from llmrank.core.statistics import Estimate
from llmrank.experiments.arena.axes import AXES
from llmrank.experiments.arena.runner import Entry


@dataclass(frozen=True)
class Placed:
    """A cell on two axes; dominated when another is no worse in both, better in one."""

    entry: Entry
    x: Estimate
    y: Estimate
    dominated: bool


def pareto(entries: Sequence[Entry], x: str, y: str) -> tuple[Placed, ...]:
    """Place the cells that have both figures, and mark those that are dominated.

    Values decide, not their intervals: a point that is dominated may well be as good,
    which the chart shows. Models compete with one another.

    Raises:
        OptionError: there is no such axis.
    """
    axes = (AXES[x], AXES[y])
    placed = []
    for entry in entries:
        across, up = entry.figures.get(x), entry.figures.get(y)
        if across is not None and up is not None:
            placed.append((entry, across, up))
    signs = [1 if axis.lower_is_better else -1 for axis in axes]
    values = [[signs[0] * a.value, signs[1] * u.value] for _, a, u in placed]
    marks = dominated(np.array(values, dtype=np.float64).reshape(-1, 2))
    return tuple(Placed(*p, bool(m)) for p, m in zip(placed, marks, strict=True))


def dense(placed: Sequence[Placed], x: str, y: str) -> tuple[float, float] | None:
    """Return where the dense model of cells of one model is, or None."""
    comparison = placed[0].entry.comparison if placed else None
    ends = [
        None if comparison is None else AXES[name].dense(comparison) for name in (x, y)
    ]
    if ends[0] is None or ends[1] is None:
        return None
    return ends[0].value, ends[1].value


def dominated(
    values: Float[np.ndarray, "n_points 2"],
) -> Bool[np.ndarray, " n_points"]:
    """Say which points another is no worse than in both columns and better in one.

    Lower is better; of equal points none dominates the other. NaN is no value: such a
    point dominates none and is dominated by none.
    """
    order = np.lexsort((values[:, 1], values[:, 0]))  # NaN comes last
    beaten = np.zeros(len(values), dtype=bool)
    best, at = np.inf, nan  # the least y so far, and the least x that has it
    for i in order:
        a, b = values[i]
        if np.isnan(a) or np.isnan(b):
            continue
        beaten[i] = b > best or (b == best and a > at)
        if b < best:
            best, at = b, a
    return beaten
