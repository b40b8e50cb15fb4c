"""Whose perplexity is the lowest, and who is best of all, where that can be told."""

from collections.abc import Sequence

from llmrank.evaluation.perplexity import perplexity_ratio
from llmrank.experiments.arena import AXES, Entry, Verdict, n_windows, verdicts
from llmrank.experiments.store import Run

RATIO = "perplexity_ratio"
"""The axis of perplexity over dense."""

FRONT: Verdict = "on the frontier"


def lowest(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return what has the lowest perplexity over dense, and all not told from it.

    Those that read the same windows are told apart by them, paired; one that read fewer
    of the same text by those; others by whether their intervals lie apart.

    Args:
        entries: at least one, each with that ratio.
    """
    best, *others = sorted(entries, key=lambda e: e.figures[RATIO].value)
    alike = [best, *(e for e in others if n_windows([best, e], RATIO) is not None)]
    judged = zip(alike, verdicts(alike, RATIO, RATIO), strict=True)
    told = {entry.run.id: verdict == "beaten" for entry, verdict in judged}
    apart = {e.run.id: _costs_more(e, best) for e in others} | told
    return (best, *(e for e in others if not apart[e.run.id]))


def _costs_more(entry: Entry, best: Entry) -> bool:
    comparisons = [e.comparison for e in (best, entry) if e.comparison is not None]
    texts = [c.pruned.text for c in comparisons if c.pruned.text is not None]
    if len({(t.text_sha256, t.seq_len, t.bos) for t in texts}) == 1 < len(texts):
        n = min(len(text.nll) for text in texts)
        return perplexity_ratio(*(text.first(n) for text in texts)).low > 1
    return entry.figures[RATIO].low > best.figures[RATIO].high


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
