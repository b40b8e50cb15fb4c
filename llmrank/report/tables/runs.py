"""The runs that are kept as tables: one row each, or a few side by side."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import interval, number
from llmrank.core.statistics import Estimate, spread
from llmrank.experiments.arena import AXES, Entry
from llmrank.experiments.store import Arena, Run
from llmrank.report.tables.lowest import best_of_each

Group = tuple[Run, ...]


def merged(runs: Sequence[Run]) -> tuple[Group, ...]:
    """Group the runs that measured the same, on a page or in an arena.

    A run joins one that measured all that it did, from the same recipe, texts and
    machine. Of each group the fullest is first, and of equals the newest.
    """
    groups: dict[str, list[list[Run]]] = {}
    for run in sorted(runs, key=lambda r: -len(r.spec.measures)):
        alike = groups.setdefault(_cut(run), [])
        group = next((g for g in alike if _covers(g[0], run)), None)
        if group is None:
            alike.append([run])
        else:
            group.append(run)
    place = {run.id: i for i, run in enumerate(runs)}
    every = [tuple(group) for alike in groups.values() for group in alike]
    return tuple(sorted(every, key=lambda group: min(place[r.id] for r in group)))


def runs_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per run: its figures, its id, and the settings that differ."""
    rows = pd.DataFrame([_row(run) for run in runs], columns=_COLUMNS)
    settings = pd.DataFrame([_settings(run) for run in runs], index=rows.index)
    differ = [c for c in settings if settings[c].nunique() > 1]
    return pd.concat([rows, settings[differ]], axis="columns")


def chart_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return what a chart of runs needs, of those that read a text; by size.

    Their age counts from 0, the first.
    """
    several = len({run.spec.recipe["model"]["name"] for run in runs}) > 1
    rows = [
        (name(run) + (f", {run.spec.recipe['model']['name']}" if several else ""),
         run.spec.recipe["pruning"]["sparsity"], run.n_params, run.ratio.value,
         run.ratio.low, run.ratio.high, run.id, age)
        for age, run in enumerate(runs)
        if run.ratio is not None and run.n_params is not None
    ]  # fmt: skip
    columns = ["method", "sparsity", "parameters", "ratio", "low", "high", "run", "age"]
    return pd.DataFrame(rows, columns=columns).sort_values("parameters")


def differing(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Part a table into the columns that differ, and what several rows share."""
    few = table.nunique(dropna=False) < 2
    shared = [c for c in map(str, table) if few[c] and c not in _ALWAYS]
    values = {c: _searched(table[c].iloc[0]) for c in shared}
    return table.drop(columns=shared), {c: v for c, v in values.items() if v}


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
    """Return the settings that differ between runs, and every figure.

    ★ the best, where it can be told from every other.

    One row per field, one column per run, all as text.
    """
    best = best_of_each(entries)

    def fields(entry: Entry) -> dict[str, str]:
        run = entry.run
        plain = {"state": run.state, "reason": run.reason, "seed": str(run.spec.seed)}
        figures = {
            AXES[n].title: ("★ " if run.id in best[n] else "") + _written(value)
            for n, value in entry.figures.items()
        }
        return plain | _recipe(run) | figures

    return _beside(entries, fields)


def origins_beside(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the texts, versions and machines that differ between runs."""
    return _beside(entries, lambda entry: _origin(entry.run))


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
    "method", "sparsity", "ratio", "ratio 95 %", "perplexity", "parameters", "model",
    "seed", "state", "measures", "arenas", "finished", "reason", "criterion", "run",
]  # fmt: skip
_ALWAYS = (
    "method",
    "sparsity",
    "ratio",
    "ratio 95 %",
    "perplexity",
    "parameters",
    "run",
)
_SETTINGS = ("model", "calibration", "pruning", "evaluation")
"""Sections of a recipe beside the method, for whatever is measured."""
_OWN = {"tasks": {"tasks"}, "benchmark": {"latency", "memory"}}
"""Sections that count for some measures alone."""
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


def _beside(
    entries: Sequence[Entry], fields: Callable[[Entry], dict[str, str]]
) -> pd.DataFrame:
    """Keep what differs; figures are shown even where they are equal."""
    columns = {_heading(entry.run): fields(entry) for entry in entries}
    table = pd.DataFrame(columns, dtype=object).fillna("")
    kept = [n in _TITLES or table.loc[n].nunique() > 1 for n in table.index]
    return table[kept].rename_axis("")


def _cut(run: Run) -> str:
    """Return what is equal where two runs read the same texts with the same cut."""
    if run.state != "done" or run.origin is None:
        return run.id
    where, recipe = run.origin.environment, dict(run.spec.recipe)
    for section in _OWN:
        recipe.pop(section, None)
    machine = [where.get(n) for n in ("device", "n_threads", "torch", "transformers")]
    texts = (run.origin.calibration_sha256, run.origin.evaluation_sha256)
    return json.dumps([recipe, texts, machine], sort_keys=True)


def _covers(full: Run, run: Run) -> bool:
    """Whether a run measured all that another did, asked in the same way."""
    return set(run.spec.measures) <= set(full.spec.measures) and all(
        full.spec.recipe.get(s) == run.spec.recipe.get(s) for s in _asked(run)
    )


def _asked(run: Run) -> list[str]:
    """Return the sections that only some measures ask, of those that the run made."""
    measures = set(run.spec.measures)
    return [section for section, needed in _OWN.items() if needed & measures]


def _recipe(run: Run) -> dict[str, str]:
    return {
        f"{section}.{field}": str(value)
        for section, values in run.spec.recipe.items()
        for field, value in values.items()
    }


def _settings(run: Run) -> dict[str, str]:
    """Return the settings that no other column tells."""
    told = ("model.name", "pruning.sparsity")
    return {
        name: value
        for name, value in _recipe(run).items()
        if name.partition(".")[0] in (*_SETTINGS, *_asked(run)) and name not in told
    }


def _written(value: Estimate) -> str:
    return number(value.value) if value.low == value.high else spread(value)


def _origin(run: Run) -> dict[str, str]:
    if run.origin is None:
        return {}
    texts = {
        "calibration_sha256": run.origin.calibration_sha256,
        "evaluation_sha256": run.origin.evaluation_sha256,
    }
    return texts | run.origin.environment
