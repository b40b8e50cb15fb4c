"""What the store knows of a grid before anything of it runs."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from llmrank.core.cache import Cache
from llmrank.core.specs import described
from llmrank.experiments.arena.runner import Entry, find
from llmrank.experiments.arena.spec import ArenaSpec, cells
from llmrank.experiments.store import Run, Store
from llmrank.models.language_model import ModelSpec


def known(
    spec: ArenaSpec,
    store: Store,
    runs: Mapping[int, Run] | None = None,
    memory: Cache[Entry] | None = None,
) -> tuple[Entry, ...]:
    """Return the cells of a grid as they stand in the store, in their order.

    A cell that its own arena has not measured, or that has no arena yet, is the latest
    run of the same recipe that measured as much, if its texts, versions and machine
    are those of the others. The runner decides anew whether it takes them.

    Args:
        spec: the grid.
        store: where results are kept.
        runs: what `known_runs` says, where that was asked already.
        memory: entries by their runs' ids; of those that it has and that stand as they
            did, nothing is read again.
    """
    runs = known_runs(spec, store) if runs is None else runs
    kept = {} if memory is None else {r.id: memory.peek(r.id) for r in runs.values()}
    same = {r.id: e for r in runs.values() if (e := kept.get(r.id)) and e.run == r}
    comparisons = store.comparisons([r.id for r in runs.values() if r.id not in same])
    entries = tuple(
        same.get(runs[p].id) or Entry(runs[p], comparisons.get(runs[p].id))
        for p in sorted(runs)
    )
    if memory is not None:
        for entry in entries:
            memory.put(entry.run.id, entry)
    return entries


def measured(model: ModelSpec, store: Store) -> tuple[Entry, ...]:
    """Return all that a store has measured of a model, whatever was asked."""
    runs = store.runs(columns={"model": [model.name]}, states=("done",))
    same = [run for run in runs if run.spec.recipe["model"] == described(model)]
    comparisons = store.comparisons([run.id for run in same])
    return tuple(Entry(run, comparisons[run.id]) for run in same)


def known_runs(spec: ArenaSpec, store: Store) -> dict[int, Run]:
    """Return the runs behind `known` by their place in the grid."""
    arena_id, grid = find(spec, store), cells(spec)
    own = {} if arena_id is None else store.runs_by_place(arena_id)
    every = dict(own)
    keys = _keys(spec)
    for model in spec.models:
        places = [i for i, e in enumerate(grid) if e.model == model]
        if not any(_is_open(own.get(p)) for p in places):
            continue
        reference = next((own[p] for p in places if _is_done(own.get(p))), None)
        latest = _latest(spec, store, model.name, reference)
        for place in (p for p in places if _is_open(own.get(p))):
            elsewhere = latest.get(keys[place])
            if elsewhere is not None:
                every[place] = elsewhere
    return every


def _latest(
    spec: ArenaSpec, store: Store, model: str, reference: Run | None
) -> dict[str, Run]:
    """Return by recipe the latest run that measured enough, all of one origin."""
    wanted, asked = set(_keys(spec)), set(spec.measures)
    columns: dict[str, Sequence[object]] = {
        "model": [model],
        "sparsity": spec.sparsities,
        "criterion": sorted({m.criterion.name for m in spec.methods}),
    }
    latest: dict[str, Run] = {}
    for run in store.runs(columns=columns, states=("done",)):
        key = _key(run.spec.recipe)
        if key not in wanted or not asked <= set(run.spec.measures):
            continue
        reference = reference or run
        if _where(run) == _where(reference):
            latest.setdefault(key, run)
    return latest


def _where(run: Run) -> Sequence[object]:
    """What must be equal for numbers to stand side by side; no method's own text."""
    if run.origin is None:
        return ()
    own = ("measured_at", "second_text")
    kept = {k: v for k, v in run.origin.environment.items() if k not in own}
    return run.origin.calibration_sha256, run.origin.evaluation_sha256, kept


def _is_done(run: Run | None) -> bool:
    return run is not None and run.state == "done"


def _is_open(run: Run | None) -> bool:
    return run is None or run.state in ("queued", "cancelled")


@lru_cache(maxsize=4)
def _keys(spec: ArenaSpec) -> tuple[str, ...]:
    """Return the recipes of the cells as text, in their order."""
    return tuple(_key(e.to_json()) for e in cells(spec))


def _key(recipe: dict[str, Any]) -> str:
    return json.dumps(recipe, sort_keys=True)
