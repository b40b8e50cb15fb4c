"""Between rows of the tables and what the database hands out."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Delete, Select, delete, func, select

from llmrank.core.process import Owner, this_process
from llmrank.core.statistics import Estimate
from llmrank.core.uploads import masked
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.experiments.store.records import Arena, Origin, Run, RunSpec, fingerprint
from llmrank.experiments.store.schema import arenas, cells, runs
from llmrank.experiments.store.serialisation import plain, rebuilt
from llmrank.methods.method import PARTS

Row = Mapping[Any, Any]
"""A row by the names of its columns."""

SAME = ("id", "state", "created", "started", "finished", "n_params", "perplexity")
"""The columns of a run that are fields of a `Run`."""

NOBODY = {"owner_host": None, "owner_pid": None, "owner_started": None}
"""The columns of a run that no process works on."""

RATIO = ("ratio", "ratio_low", "ratio_high", "ratio_windows")
"""The columns of the perplexity ratio, in the order of an `Estimate`."""


def now() -> str:
    """Return the time as it is stored: UTC, sorted as text."""
    return datetime.now(UTC).isoformat("T", "microseconds")


def born() -> dict[str, Any]:
    """Return the first columns of a new run or arena: its id, and when it was made."""
    return {"id": secrets.token_hex(8), "created": now()}


def spec_columns(spec: RunSpec) -> dict[str, Any]:
    """Return the columns of what was asked for."""
    recipe = spec.recipe
    return {
        "recipe": recipe,
        "measures": list(spec.measures),
        "seed": spec.seed,
        "model": recipe["model"]["name"],
        "sparsity": recipe["pruning"]["sparsity"],
        **{p: recipe.get(p, {}).get("name", "none") for p in PARTS if p in runs.c},
    }


def origin_columns(recipe: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """Return the columns of where a run's numbers come from."""
    return {**vars(origin), "fingerprint": fingerprint(recipe, origin)}


def owner_columns() -> dict[str, Any]:
    """Return the columns of a run that this process works on."""
    me = this_process()
    return dict(zip(NOBODY, (me.host, me.pid, me.started), strict=True))


def comparison_columns(comparison: Comparison) -> dict[str, Any]:
    """Return the columns of a run that is done: its figures, and every sample."""
    text, ratio = comparison.pruned.text, comparison.perplexity_ratio
    values: dict[str, Any] = {
        "state": "done",
        "reason": "",
        "finished": now(),
        "n_params": comparison.pruned.footprint.n_params,
        "perplexity": None if text is None else text.perplexity.value,
        "comparison": plain(comparison),
        **NOBODY,
    }
    if ratio is not None:
        values |= zip(RATIO, astuple(ratio), strict=True)
    return values


def owner_lives(row: Row) -> bool:
    """Whether the process that works on a run is there still."""
    host, pid, started = (row[name] for name in NOBODY)
    return Owner(host or "", pid or 0, started or 0.0).is_alive


def as_run(row: Row, arena_ids: tuple[str, ...]) -> Run:
    """Return a row of the runs as a run; another visitor's texts are not named."""
    return Run(
        **{name: row[name] for name in SAME},
        reason=masked(row["reason"]),
        spec=RunSpec(masked(row["recipe"]), row["seed"], tuple(row["measures"])),
        origin=_origin(row),
        arenas=arena_ids,
        ratio=None if row["ratio"] is None else Estimate(*(row[n] for n in RATIO)),
    )


def as_comparison(row: Row) -> Comparison:
    """Return what a run measured, without the hash of a text left unnamed.

    Raises:
        LLMRankError: another version has written it, which this one cannot read.
    """
    comparison = rebuilt(Comparison, row["comparison"])
    said = _unnamed(row, "evaluation")
    if said is None:
        return comparison
    dense, pruned = comparison.dense, comparison.pruned
    return replace(comparison, dense=_hidden(dense, said), pruned=_hidden(pruned, said))


def as_arena(row: Row) -> Arena:
    """Return a row of `all_arenas` as an arena; another's texts are not named."""
    return Arena(**{**row, "description": masked(row["description"])})


def all_arenas() -> Select[Any]:
    """Ask for every arena with the number of its runs by state."""
    counts = [
        func.count(runs.c.id).label("n_runs"),
        func.count().filter(runs.c.state == "done").label("n_done"),
        func.count().filter(runs.c.state == "failed").label("n_failed"),
    ]
    joined = arenas.outerjoin(cells, cells.c.arena_id == arenas.c.id).outerjoin(runs)
    return select(*arenas.c, *counts).select_from(joined).group_by(arenas.c.id)


def delete_idle(run_ids: Sequence[str | None]) -> Delete:
    """Ask to delete those of these runs that were never begun and are in no arena."""
    idle = (runs.c.id.in_(run_ids), runs.c.fingerprint.is_(None))
    return delete(runs).where(*idle, runs.c.id.not_in(select(cells.c.run_id)))


def _origin(row: Row) -> Origin | None:
    """Return where a run's numbers come from, without hashes of texts left unnamed."""
    where = row["environment"]
    if where is None:
        return None
    second = _unnamed(row, "criterion")
    if second is not None and "second_text" in where:
        where = where | {"second_text": second}
    return Origin(
        _unnamed(row, "calibration") or row["calibration_sha256"],
        _unnamed(row, "evaluation") or row["evaluation_sha256"],
        where,
    )


def _unnamed(row: Row, part: str) -> str | None:
    """Return what is said instead of the text of a part, if who asks is not told it."""
    named = row["recipe"].get(part, {})
    return next((s for v in named.values() if (s := masked(v)) != v), None)


def _hidden(side: Side, said: str) -> Side:
    text = side.text
    return replace(side, text=None if text is None else replace(text, text_sha256=said))
