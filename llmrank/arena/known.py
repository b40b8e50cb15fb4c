"""What the store knows of a grid before anything of it runs."""

import json
from collections.abc import Sequence
from typing import Any

from llmrank.arena.grid import ArenaSpec, cells
from llmrank.arena.runner import Entry, find
from llmrank.experiment import Experiment
from llmrank.store import Run, Store

Recipe = dict[str, Any]


def known(spec: ArenaSpec, store: Store) -> tuple[Entry, ...]:
    """Return the cells of a grid as they stand in the store, in their order.

    A cell that its own arena has not measured, or that has no arena yet, is the latest
    run of the same recipe that measured as much, if its texts, versions and machine
    are those of the others. The runner decides anew whether it takes them.
    """
    runs = known_runs(spec, store)
    found = store.comparisons([r.id for r in runs.values()])
    return tuple(Entry(runs[p], found.get(runs[p].id)) for p in sorted(runs))


def known_runs(spec: ArenaSpec, store: Store) -> dict[int, Run]:
    """Return the runs behind `known` by their place in the grid."""
    arena_id, grid = find(spec, store), cells(spec)
    own = {} if arena_id is None else store.places(arena_id)
    found = dict(own)
    for model in spec.models:
        places = [i for i, e in enumerate(grid) if e.model == model]
        reference = next((own[p] for p in places if _is_done(own.get(p))), None)
        latest = _latest(spec, store, model.name, reference)
        for place in (p for p in places if _is_open(own.get(p))):
            elsewhere = latest.get(_key(_recipe(grid[place])))
            if elsewhere is not None:
                found[place] = elsewhere
    return found


def _latest(
    spec: ArenaSpec, store: Store, model: str, reference: Run | None
) -> dict[str, Run]:
    """Return by recipe the latest run that measured enough, all of one origin."""
    wanted = {_key(_recipe(e)) for e in cells(spec) if e.model.name == model}
    asked = set(spec.measures)
    found: dict[str, Run] = {}
    for run in store.runs(model=model, states=("done",)):
        key = _key(run.cell.recipe)
        if key not in wanted or not asked <= set(run.cell.measures):
            continue
        reference = reference or run
        if _where(run) == _where(reference):
            found.setdefault(key, run)
    return found


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


def _recipe(of: Experiment) -> Recipe:
    return of.to_json()


def _key(recipe: Recipe) -> str:
    return json.dumps(recipe, sort_keys=True)
