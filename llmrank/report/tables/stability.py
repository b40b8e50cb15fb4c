"""Stability as tables: to be charted, and to be read."""

import pandas as pd

from llmrank.analysis.stability import Match, Stability
from llmrank.core.formatting import share


def as_table(found: Stability) -> pd.DataFrame:
    """Return one row per comparison, for a chart and a CSV.

    Returns:
        Columns compared (halves, sizes), n_tokens, n_tokens_other, dropped_by_both,
        by_chance, moved, mean_spearman, worst_spearman, worst_layer.
    """
    halves = [] if found.halves is None else [("halves", found.halves)]
    rows = [*halves, *(("sizes", m) for m in found.sizes)]
    return pd.DataFrame([_row(compared, m) for compared, m in rows])


def shown_table(found: Stability) -> pd.DataFrame:
    """Return the same rows to be read, their numbers written as in the sentence."""
    halves = [] if found.halves is None else [("Two halves", found.halves)]
    rows = [*halves, *(("All against less", m) for m in found.sizes)]
    return pd.DataFrame([_shown(compared, m) for compared, m in rows])


def _row(compared: str, found: Match) -> dict[str, object]:
    return {
        "compared": compared,
        "n_tokens": found.n_tokens[0],
        "n_tokens_other": found.n_tokens[1],
        "dropped_by_both": found.dropped_by_both,
        "by_chance": found.by_chance,
        "moved": found.moved,
        "mean_spearman": found.mean_spearman,
        "worst_spearman": found.worst_spearman,
        "worst_layer": found.worst_layer,
    }


def _shown(compared: str, found: Match) -> dict[str, str]:
    mean, worst = found.mean_spearman, found.worst_spearman
    at_worst = f"{worst or 0:.3f} (layer {found.worst_layer})"
    return {
        "Compared": compared,
        "Tokens read": " and ".join(f"{n:,}" for n in found.n_tokens),
        "Dropped by both": _known(found.dropped_by_both),
        "The same by chance": _known(found.by_chance),
        "Moved (chance: 100 %)": _known(found.moved),
        "Rank correlation, mean": "–" if mean is None else f"{mean:.3f}",
        "At worst": "–" if worst is None else at_worst,
    }


def _known(ratio: float | None) -> str:
    return "–" if ratio is None else share(ratio)
