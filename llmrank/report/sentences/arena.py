"""What an arena says, in sentences computed from it: who is ahead, and by chance?"""

import re
from collections.abc import Sequence

import pandas as pd

from llmrank.core.formatting import counted, number, share
from llmrank.core.statistics import Estimate, spread, t_interval
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.experiments.arena import AXES, Axis, Placed
from llmrank.methods.criteria import LLMRank

TEXT_AXES = ("perplexity", "perplexity_ratio", "top1")
"""Of these, two methods are told apart window by window."""

NAMED = 3
"""How many methods are named before the rest is counted."""


def pareto_sentence(placed: Sequence[Placed], y: str, sparsity: float) -> str:
    """Say who is ahead on the upright axis, whether chance may be it, and where we are.

    At the measured sparsity that is nearest to the one in hand. Intervals of 95 %, each
    pair on its own; on text the two are paired by window.
    """
    if not placed:
        return "No cell has both figures yet."
    axis = AXES[y]
    here = _at(placed, sparsity)
    best, *others = sorted(here, key=lambda p: p.y.value * _sign(axis))
    removed = share(best.entry.experiment.pruning.sparsity)
    said = f"At {removed} removed, {_named(best)} has the best {axis.title}, "
    said += _spread(best.y)
    rest = _front(placed)
    if not others:
        return f"{said}, and is alone so far.{rest}"
    tied = [p for p in others if not is_behind(p, best, y)]
    return f"{said}{_against(others, tied)}. {_ours(best, others, tied)}{rest}"


def is_behind(point: Placed, best: Placed, y: str) -> bool:
    """Whether a point is worse on the upright axis by more than chance explains."""
    if y in TEXT_AXES:
        texts = [_text(p) for p in (point, best)]
        if texts[0] is not None and texts[1] is not None:
            return _worse_text(texts[0], texts[1], y)
    if AXES[y].lower_is_better:
        return point.y.low > best.y.high
    return point.y.high < best.y.low


def correlations_sentence(table: pd.DataFrame) -> str:
    """Say which two criteria agree most, and which least."""
    names = list(table.index)
    pairs = {
        (a, b): float(table.loc[a, b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if not pd.isna(table.loc[a, b])
    }
    if not pairs:
        return "Two criteria that rank neurons are needed."
    most, least = max(pairs, key=pairs.__getitem__), min(pairs, key=pairs.__getitem__)
    said = (
        f"{_clean(most[0])} and {_clean(most[1])} rank most alike ({pairs[most]:.2f})"
    )
    if most == least:
        return f"{said}; 1 is the same order within every layer, 0 is chance."
    return (
        f"{said}, {_clean(least[0])} and {_clean(least[1])} least "
        f"({pairs[least]:.2f}); 1 is the same order within every layer, 0 is chance."
    )


def _front(placed: Sequence[Placed]) -> str:
    n_faded = sum(p.dominated for p in placed)
    if not n_faded:
        return ""
    front = f"{len(placed) - n_faded} of {counted(len(placed), 'point')}"
    return f" {front} are dominated by no other; the rest is faded."


def _at(placed: Sequence[Placed], sparsity: float) -> list[Placed]:
    """Return the points at one sparsity; of equally near ones where most are."""
    there = [p.entry.experiment.pruning.sparsity for p in placed]
    nearest = min(there, key=lambda s: (abs(s - sparsity), -there.count(s)))
    return [p for p, s in zip(placed, there, strict=True) if s == nearest]


def _against(others: Sequence[Placed], tied: Sequence[Placed]) -> str:
    n_behind = len(others) - len(tied)
    said = ""
    if tied:
        said = f"; its interval does not part {_listed(tied)} from it"
    if n_behind and tied:
        return f"{said}, and {n_behind} more {'is' if n_behind == 1 else 'are'} behind"
    if n_behind == 1:
        return f"; {_named(others[0])} is behind by more than chance explains"
    if n_behind:
        every = "both" if n_behind == 2 else f"all {n_behind}"
        return f"; {every} others are behind by more than chance explains"
    return said


def _ours(best: Placed, others: Sequence[Placed], tied: Sequence[Placed]) -> str:
    """Say plainly where LLM-Rank stands, above all when it loses."""
    if _is_ours(best):
        return "LLM-Rank leads." if not tied else "LLM-Rank is among the best."
    mine = [p for p in others if _is_ours(p)]
    if not mine:
        return "LLM-Rank is not measured there."
    if mine[0] in tied:
        return "LLM-Rank cannot be told from it."
    return (
        f"LLM-Rank loses: its best there, {_named(mine[0])}, has {_spread(mine[0].y)}."
    )


def _is_ours(point: Placed) -> bool:
    return isinstance(point.entry.method.criterion, LLMRank)


def _text(point: Placed) -> TextEvaluation | None:
    comparison = point.entry.comparison
    return None if comparison is None else comparison.pruned.text


def _worse_text(point: TextEvaluation, best: TextEvaluation, y: str) -> bool:
    if len(point.nll) != len(best.nll):
        return False
    if y == "top1":
        return t_interval(best.correct - point.correct).low > 0
    return t_interval(point.nll - best.nll).low > 0


def _sign(axis: Axis) -> int:
    return 1 if axis.lower_is_better else -1


def _listed(points: Sequence[Placed]) -> str:
    names = [f"{_named(p)} ({number(p.y.value)})" for p in points[:NAMED]]
    more = len(points) - NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _named(point: Placed) -> str:
    return f"**{_clean(point.entry.method.name)}**"


def _clean(name: str) -> str:
    """Names may hold a path from outside, and stand in markdown."""
    return re.sub(r"[^\w .+=,-]", "", name)[:120]


def _spread(estimate: Estimate) -> str:
    is_exact = estimate.low == estimate.high
    return number(estimate.value) if is_exact else spread(estimate)
