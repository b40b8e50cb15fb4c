"""Dense beside pruned, line by line: each value with its uncertainty, as text."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from llmrank.core.formatting import interval, number, share, times
from llmrank.core.statistics import Estimate
from llmrank.evaluation.accuracy import Retained, TaskResult, retention
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.latency import Timing
from llmrank.evaluation.speedup import Ratio
from llmrank.experiments.arena import AXES
from llmrank.report.sentences.sizes import change, size, sizes

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True)
class Cell:
    """A value and its uncertainty, as text; a dash stands for not measured."""

    value: str = "–"
    spread: str = ""


@dataclass(frozen=True)
class Line:
    """One measure: dense, pruned, and what pruning changed."""

    name: str
    dense: Cell = Cell()
    pruned: Cell = Cell()
    change: Cell = Cell()


@dataclass(frozen=True)
class Pair:
    """One measure as a picture shows it: both models' figures, and the change."""

    title: str
    lower_is_better: bool = True
    dense: Estimate | None = None
    pruned: Estimate | None = None
    change: Cell = Cell()


_TITLES = {
    "perplexity": "Perplexity",
    "top1": "Top-1 accuracy, %",
    "weights_mb": "Weights, MB",
    "decode_ms": "Writing a token, ms",
    "prefill_ms": "Reading the prompt, ms",
}
BLANK = tuple(
    Pair(title, AXES[name].lower_is_better) for name, title in _TITLES.items()
)
"""Quality, size and speed before anything is measured."""

NOT_TOLD = "not told"
"""Stands for a speed that other work disturbed."""

N_UNTIMED = 3
"""So many of the pairs need no clock; they stand first."""


def pairs(comparison: Comparison) -> tuple[Pair, ...]:
    """Return quality, size and speed of both models, as far as they are measured."""
    sizes = (s.footprint.weight_bytes for s in (comparison.dense, comparison.pruned))
    changes = (
        _parted(_perplexity(comparison).change, "of dense"),
        _parted(_top1(comparison).change, "kept"),
        Cell(change(*sizes)),
        _parted(_time(comparison, "decode").change, "as fast"),
        _parted(_time(comparison, "prefill").change, "as fast"),
    )
    return tuple(
        replace(
            blank,
            dense=_shown(name, AXES[name].dense(comparison), comparison.dense),
            pruned=_shown(name, AXES[name].pruned(comparison), comparison.pruned),
            change=changed,
        )
        for (name, blank), changed in zip(
            zip(_TITLES, BLANK, strict=True), changes, strict=True
        )
    )


def _shown(name: str, figure: Estimate | None, side: Side) -> Estimate | None:
    """Return a share in per cent, and a time as the median that stands in the table."""
    if figure is None:
        return None
    if name == "top1":
        ends = {end: 100 * getattr(figure, end) for end in ("value", "low", "high")}
        return replace(figure, **ends)
    timing = timing_of(side, "decode" if name == "decode_ms" else "prefill")
    if not name.endswith("_ms") or timing is None:
        return figure
    low, high = min(figure.low, timing.median), max(figure.high, timing.median)
    return replace(figure, value=timing.median, low=low, high=high)


def _parted(change: Cell, words: str) -> Cell:
    """Part a figure from its words, and leave the interval; disturbed tells nothing."""
    interval, _, more = change.spread.partition(";")
    figure = change.value.removesuffix(f" {words}")
    if "disturbed" in more:
        return Cell(NOT_TOLD, f"{figure} {interval}\nwhile other work disturbed it")
    said = f"{words} {interval}".strip()
    said += "\nmedian of paired rounds" if words == "as fast" else ""
    return change if change == Cell() else Cell(figure, said)


def pairs_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return one row per measure and model, with the interval."""
    rows = [
        (pair.title, side, e.value, e.low, e.high)
        for pair in pairs
        for side, e in (("dense", pair.dense), ("pruned", pair.pruned))
        if e is not None
    ]
    return pd.DataFrame(rows, columns=["measure", "side", "value", "low", "high"])


def lines(comparison: Comparison) -> tuple[Line, ...]:
    """List what pruning costs and gains, as far as it is measured: first the pairs."""
    counted = sizes(comparison.dense.footprint, comparison.pruned.footprint)
    weights = counted.pop("Weights")
    return (
        _perplexity(comparison),
        _top1(comparison),
        Line("Weights", *map(Cell, weights)),
        _time(comparison, "decode"),
        _time(comparison, "prefill"),
        *(Line(name, *map(Cell, texts)) for name, texts in counted.items()),
        _memory(comparison),
        *_tasks(comparison),
    )


def timing_of(side: Side, phase: Phase) -> Timing | None:
    """Return one phase's timings; None while they are not taken."""
    if side.latency is None:
        return None
    return side.latency.prefill if phase == "prefill" else side.latency.decode


def _perplexity(comparison: Comparison) -> Line:
    texts = (comparison.dense.text, comparison.pruned.text)
    dense, pruned = (_cell(t.perplexity) if t else Cell() for t in texts)
    ratio = comparison.perplexity_ratio
    return Line("Perplexity", dense, pruned, _cell(ratio, times) if ratio else Cell())


def _top1(comparison: Comparison) -> Line:
    texts = (comparison.dense.text, comparison.pruned.text)
    dense, pruned = (_share_cell(t.top1) if t else Cell() for t in texts)
    kept = comparison.top1_retention
    changed = _share_cell(kept, " kept") if kept else Cell()
    return Line("Top-1 accuracy", dense, pruned, changed)


def _tasks(comparison: Comparison) -> Iterator[Line]:
    pruned = {t.name: t for t in comparison.pruned.tasks}
    for dense in comparison.dense.tasks:
        name, other = dense.name, pruned.get(dense.name)
        chance = f"{name} (guessing {share(dense.chance_level)})"
        yield _task(chance, "acc", dense, other)
        yield _task(f"{name}, by length", "acc_norm", dense, other)


def _task(
    name: str, measure: str, dense: TaskResult, pruned: TaskResult | None
) -> Line:
    before = _accuracy(dense, measure)
    if pruned is None:
        return Line(name, before)
    kept: Retained = getattr(retention(dense, pruned), measure)
    return Line(name, before, _accuracy(pruned, measure), _kept(kept))


def _accuracy(task: TaskResult, measure: str) -> Cell:
    stderr = task.stderr if measure == "acc" else task.stderr_norm
    return Cell(share(getattr(task, measure)), f"± {100 * stderr:.2g}")


def _kept(retained: Retained) -> Cell:
    low, high = 100 * retained.low, 100 * retained.high
    points = f"{100 * retained.difference:+.3g} [{low:+.3g}, {high:+.3g}] points"
    if retained.ratio is None:
        return Cell(points, retained.note)
    above = retained.above_chance
    chance = [] if above is None else [f"{share(above)} above chance"]
    note = [retained.note] if retained.note else []
    return Cell(f"{share(retained.ratio)} kept", "; ".join([*chance, points, *note]))


def _time(comparison: Comparison, phase: Phase) -> Line:
    timings = (timing_of(comparison.dense, phase), timing_of(comparison.pruned, phase))
    dense, pruned = (_ms(t) if t else Cell() for t in timings)
    name = "Reading the prompt" if phase == "prefill" else "Writing a token"
    line = Line(f"{name} ({phase})", dense, pruned)
    if comparison.speedup is None:
        return line
    ratio: Ratio = getattr(comparison.speedup, phase)
    spread = f"{interval(ratio.low, ratio.high)}; ideal {times(ratio.ideal)}"
    spread += "; disturbed" if ratio.disturbed else ""
    return replace(line, change=Cell(f"{times(ratio.measured)} as fast", spread))


def _memory(comparison: Comparison) -> Line:
    dense, pruned = comparison.dense.memory, comparison.pruned.memory
    name, before = "Peak memory", Cell(size(dense.used_bytes)) if dense else Cell()
    if dense is None or pruned is None:
        return Line(name, before)
    less = change(dense.used_bytes, pruned.used_bytes)
    return Line(name, before, Cell(size(pruned.used_bytes)), Cell(less))


def _ms(timing: Timing) -> Cell:
    return Cell(f"{number(timing.median)} ms", f"(9 in 10 within {number(timing.p90)})")


def _cell(estimate: Estimate, write: Callable[[float], str] = number) -> Cell:
    low, high = estimate.low, estimate.high
    return Cell(
        write(estimate.value), interval(low, high) if math.isfinite(high) else ""
    )


def _share_cell(estimate: Estimate, after: str = "") -> Cell:
    ends = (100 * estimate.low, 100 * estimate.high)
    spread = interval(*ends) if math.isfinite(estimate.high) else ""
    return Cell(f"{number(100 * estimate.value)} %{after}", spread)
