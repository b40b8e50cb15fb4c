"""What an arena says, in sentences computed from it: who is ahead, and by chance?"""

import re
from collections.abc import Sequence
from typing import get_args

import pandas as pd

from llmrank.core.formatting import share
from llmrank.experiments.arena import AXES, Entry, Verdict, n_windows
from llmrank.methods.criteria import LLMRank

NAMED = 3
"""How many methods are named before the rest is counted."""


def nearest(standings: pd.DataFrame, sparsity: float) -> pd.DataFrame:
    """Return the rows at the sparsity nearest to one; of equally near, the larger."""
    measured = standings["sparsity"].unique().tolist()
    at = min(measured, key=lambda s: (round(abs(s - sparsity), 9), -s))
    return standings[standings["sparsity"] == at]


def standings_sentence(standings: pd.DataFrame, y: str, sparsity: float) -> str:
    """Say who is on the frontier, cannot be told or is beaten, and where we are.

    Of the sparsity measured that is nearest to the one given.
    """
    if standings.empty:
        return "No cell has both figures yet."
    here = nearest(standings, sparsity)
    groups = {v: here[here["verdict"] == v] for v in get_args(Verdict)}
    told = [
        f"{_listed(rows)} {_is(len(rows), verdict)}"
        for verdict, rows in groups.items()
        if len(rows) and verdict != "beaten"
    ]
    n_beaten = len(groups["beaten"])
    if n_beaten:
        rest = "the other " if told else ""
        told.append(f"{rest}{n_beaten} {_is(n_beaten, 'beaten')}")
    removed = share(here["sparsity"].iloc[0])
    said = f"At {removed} removed, by {AXES[y].title}: {'; '.join(told)}."
    return said + _ours(here)


def told_by(entries: Sequence[Entry], x: str, y: str) -> str:
    """Say how cells are told apart on two axes, and how surely."""
    counts = {n_windows(entries, name) for name in (x, y) if not AXES[name].is_exact}
    ways = [
        "by each figure's own interval"
        if n is None
        else f"window by window on the same {n}, paired"
        for n in counts
    ]
    how = " and ".join(ways) or "by exact figures"
    return f"Judged {how}; all verdicts hold at once, with 95 % confidence."


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


def _is(n: int, verdict: str) -> str:
    if verdict == "cannot be told":
        return f"{verdict} from the frontier"
    return f"{'is' if n == 1 else 'are'} {verdict}"


def _ours(here: pd.DataFrame) -> str:
    """Say plainly where LLM-Rank stands, above all when it loses."""
    ours = here[here["criterion"] == LLMRank.name]
    if ours.empty:
        return " LLM-Rank is not measured there."
    best = ours.iloc[[0]]
    return f" LLM-Rank's best, {_listed(best)}, {_is(1, best['verdict'].iloc[0])}."


def _listed(rows: pd.DataFrame) -> str:
    pairs = zip(rows["method"], rows["said"], strict=True)
    names = [f"**{_clean(name)}** ({said})" for name, said in pairs]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _clean(name: str) -> str:
    """Names may hold a path from outside, and stand in markdown."""
    return re.sub(r"[^\w .+=,-]", "", name)[:120]
