"""Whose perplexity is the lowest, and who is best of all, where that can be told."""

from collections.abc import Sequence

from llmrank.experiments.arena import AXES, Entry, Verdict, verdicts
from llmrank.experiments.store import Run

RATIO = "perplexity_ratio"
"""The axis of perplexity over dense."""

FRONT: Verdict = "on the frontier"


def lowest(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return what has the lowest perplexity over dense, and all not told from it.

    Those that have read as much of the same text are told apart all at once; each other
    one from the best alone, on what both have read or by their intervals.

    Args:
        entries: at least one, each with that ratio.
    """
    best, *others = sorted(entries, key=lambda e: e.figures[RATIO].value)
    alike = [best, *(e for e in others if _read(e) == _read(best))]
    groups = [alike, *([best, entry] for entry in others if entry not in alike)]
    beaten = {
        entry.run.id
        for group in groups
        for entry, verdict in zip(group, verdicts(group, RATIO, RATIO), strict=True)
        if verdict == "beaten"
    }
    return (best, *(entry for entry in others if entry.run.id not in beaten))


def _read(entry: Entry) -> object:
    text = entry.comparison and entry.comparison.pruned.text
    return text and text.windows


def lowest_apart(runs: Sequence[Run]) -> float | None:
    """Return the lowest ratio, if its interval lies apart from every other's."""
    ratios = [run.ratio for run in runs if run.ratio is not None]
    ratios.sort(key=lambda ratio: ratio.value)
    is_told = len(ratios) > 1 and ratios[0].high < min(r.low for r in ratios[1:])
    return ratios[0].value if is_told else None


def best_of_each(entries: Sequence[Entry]) -> dict[str, set[str]]:
    """Return by axis the run that is surely ahead of the others; sizes have none."""
    best: dict[str, set[str]] = {}
    for name in AXES:
        known = [entry for entry in entries if name in entry.figures]
        is_told = len(known) > 1 and not AXES[name].is_exact
        judged = verdicts(known, name, name) if is_told else ()
        ahead = {known[i].run.id for i, v in enumerate(judged) if v == FRONT}
        best[name] = ahead if len(ahead) == 1 else set()
    return best
