"""The runs that are kept as tables: one row each, or a few side by side."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import interval, number
from llmrank.core.statistics import Estimate
from llmrank.experiments.arena import AXES, Entry
from llmrank.experiments.store import Arena, Run


def runs_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per run: what it is, how it stands, its main figures, its id."""
    return pd.DataFrame([_row(run) for run in runs], columns=_COLUMNS)


def filtered(
    table: pd.DataFrame, chosen: dict[str, Sequence[str]], text: str
) -> pd.DataFrame:
    """Keep the rows of chosen values that hold a text somewhere, in any case."""
    for column, values in chosen.items():
        if values:
            table = table[table[column].isin(values)]
    words = text.strip().lower()
    if not words or table.empty:
        return table
    rows = table.itertuples(index=False)
    return table[[words in " ".join(map(_searched, row)).lower() for row in rows]]


def side_by_side(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return what differs between runs: settings, origin, and every figure measured.

    One row per field, one column per run, all as text.
    """
    columns = {_heading(entry.run): _fields(entry) for entry in entries}
    names = list(dict.fromkeys(name for fields in columns.values() for name in fields))
    kept = [
        name
        for name in names
        if name in _TITLES or len({f.get(name, "") for f in columns.values()}) > 1
    ]
    cells = {head: [f.get(n, "") for n in kept] for head, f in columns.items()}
    return pd.DataFrame(cells, index=pd.Index(kept, name=""))


def arenas_table(arenas: Sequence[Arena]) -> pd.DataFrame:
    """Return one row per arena: when, what it is, how far it is."""
    return pd.DataFrame(
        [
            {
                "created": time(a.created),
                "models": ", ".join(m.get("name", "") for m in a.description["models"]),
                "methods": len(a.description["methods"]),
                "sparsities": ", ".join(
                    f"{100 * s:.3g} %" for s in a.description["sparsities"]
                ),
                "seeds": len(a.description["seeds"]),
                "measures": ", ".join(a.description["measures"]),
                "cells": a.n_runs,
                "done": a.n_done,
                "failed": a.n_failed,
                "id": a.id,
            }
            for a in arenas
        ]
    )


def exported(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return runs as plain values: recipe, origin, state, and all that was measured."""
    return [
        {
            "id": e.run.id,
            "state": e.run.state,
            "reason": e.run.reason,
            "created": e.run.created,
            "finished": e.run.finished,
            "seed": e.run.spec.seed,
            "measures": list(e.run.spec.measures),
            "recipe": e.run.spec.recipe,
            "origin": _origin(e.run),
            "measured": None if e.comparison is None else e.comparison.to_json(),
        }
        for e in entries
    ]


def name(run: Run) -> str:
    """Name a run's method; of one that this version cannot rebuild its criterion."""
    try:
        return run.experiment.method.name
    except LLMRankError:
        criterion = run.spec.recipe.get("criterion", {}).get("name", "")
        return f"{criterion} (not known to this version)"


def listed(runs: Sequence[Run], most: int) -> list[str]:
    """Name runs one by one, as many as may be named; the rest is counted."""
    more = len(runs) - most
    named = [_heading(run) for run in runs[:most]]
    return [*named, f"and {more:,} more"] if more > 0 else named


def time(stored: str | None) -> str:
    """Write a time as it is stored, to the minute: 2026-01-02 03:04."""
    return "" if stored is None else stored[:16].replace("T", " ")


_COLUMNS = [
    "finished", "model", "criterion", "method", "sparsity", "seed", "state",
    "perplexity", "ratio", "ratio 95 %", "parameters", "measures", "arenas", "reason",
    "run",
]  # fmt: skip
_TITLES = {AXES[n].title for n in AXES}
"""Figures are shown beside one another even where they are equal."""


def _searched(value: Any) -> str:
    """What was not measured holds no text; pandas makes NaN of it."""
    return "" if pd.isna(value) else str(value)


def _row(run: Run) -> dict[str, object]:
    recipe, ratio = run.spec.recipe, run.ratio
    return {
        "finished": time(run.finished),
        "model": recipe["model"]["name"],
        "criterion": recipe.get("criterion", {}).get("name", ""),
        "method": name(run),
        "sparsity": recipe["pruning"]["sparsity"],
        "seed": run.spec.seed,
        "state": run.state,
        "perplexity": run.perplexity,
        "ratio": None if ratio is None else ratio.value,
        "ratio 95 %": "" if ratio is None else interval(ratio.low, ratio.high),
        "parameters": run.n_params,
        "measures": ", ".join(run.spec.measures),
        "arenas": len(run.arenas),
        "reason": run.reason,
        "run": run.id,
    }


def _heading(run: Run) -> str:
    """Columns need names of their own."""
    removed = f"{100 * run.spec.recipe['pruning']['sparsity']:.3g} %"
    when = time(run.finished) or run.state
    return f"{name(run)} at {removed} · {when} · {run.id[:6]}"


def _fields(entry: Entry) -> dict[str, str]:
    """Return everything about a run as text by its name; figures last."""
    run = entry.run
    plain = {"state": run.state, "reason": run.reason, "seed": str(run.spec.seed)}
    for section, values in run.spec.recipe.items():
        plain |= {f"{section}.{field}": str(value) for field, value in values.items()}
    plain |= {k: str(v) for k, v in _origin(run).items() if k != "measured_at"}
    return plain | _figures(entry)


def _figures(entry: Entry) -> dict[str, str]:
    return {AXES[n].title: _written(value) for n, value in entry.figures.items()}


def _written(estimate: Estimate) -> str:
    if estimate.low == estimate.high:
        return number(estimate.value)
    return f"{number(estimate.value)} {interval(estimate.low, estimate.high)}"


def _origin(run: Run) -> dict[str, str]:
    if run.origin is None:
        return {}
    texts = {
        "calibration_sha256": run.origin.calibration_sha256,
        "evaluation_sha256": run.origin.evaluation_sha256,
    }
    return texts | run.origin.environment
