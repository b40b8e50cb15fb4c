"""Stability as tables: to be charted, and to be read."""

import pandas as pd

from llmrank.analysis.stability import Match, Stability
from llmrank.core.formatting import share


def stability_table(stability: Stability) -> pd.DataFrame:
    """Return one row per comparison, for a chart and a CSV.

    Returns:
        Columns compared (halves, sizes), n_tokens, n_tokens_other, dropped_by_both,
        by_chance, moved, mean_spearman, worst_spearman, worst_layer.
    """
    return pd.DataFrame([_row(*m) for m in _matches(stability, "halves", "sizes")])


def shown_table(stability: Stability) -> pd.DataFrame:
    """Return the same rows to be read, their numbers written as in the sentence."""
    matches = _matches(stability, "Two halves", "All against less")
    return pd.DataFrame([_shown(*m) for m in matches])


def _matches(stability: Stability, halves: str, sizes: str) -> list[tuple[str, Match]]:
    """Name the comparisons, those of sizes alike."""
    first = [] if stability.halves is None else [(halves, stability.halves)]
    return [*first, *((sizes, match) for match in stability.sizes)]


def _row(compared: str, match: Match) -> dict[str, object]:
    return {
        "compared": compared,
        "n_tokens": match.n_tokens[0],
        "n_tokens_other": match.n_tokens[1],
        "dropped_by_both": match.dropped_by_both,
        "by_chance": match.by_chance,
        "moved": match.moved,
        "mean_spearman": match.mean_spearman,
        "worst_spearman": match.worst_spearman,
        "worst_layer": match.worst_layer,
    }


def _shown(compared: str, match: Match) -> dict[str, str]:
    mean, worst = match.mean_spearman, match.worst_spearman
    at_worst = f"{worst or 0:.3f} (layer {match.worst_layer})"
    return {
        "Compared": compared,
        "Tokens read": " and ".join(f"{n:,}" for n in match.n_tokens),
        "Dropped by both": _known(match.dropped_by_both),
        "The same by chance": _known(match.by_chance),
        "Moved (chance: 100 %)": _known(match.moved),
        "Rank correlation, mean": "–" if mean is None else f"{mean:.3f}",
        "At worst": "–" if worst is None else at_worst,
    }


def _known(ratio: float | None) -> str:
    return "–" if ratio is None else share(ratio)
