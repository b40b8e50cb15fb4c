"""The grid's cells one after the other, each kept the moment it is whole."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from llmrank.core.errors import CancelledError, LLMRankError, explained
from llmrank.core.formatting import share
from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import Estimate
from llmrank.data.texts import state_of
from llmrank.evaluation.comparison import Comparison, Measure
from llmrank.experiments.arena.axes import AXES
from llmrank.experiments.arena.cell import Shared, measure
from llmrank.experiments.arena.provenance import criterion_origin, origin
from llmrank.experiments.arena.spec import ArenaSpec, cells
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import check_names, check_room
from llmrank.experiments.store import Origin, Run, RunSpec, Store
from llmrank.methods.method import Method

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A cell of an arena as it stands: its run, and all it measured once it is done."""

    run: Run
    comparison: Comparison | None = None

    @cached_property
    def experiment(self) -> Experiment:
        """Its recipe.

        Raises:
            OptionError: this version has not all that it names.
        """
        return self.run.experiment

    @cached_property
    def method(self) -> Method:
        """What competes."""
        return self.experiment.method.unseeded

    @cached_property
    def figures(self) -> Mapping[str, Estimate]:
        """What it is judged by: the axes on which it has a figure."""
        comparison = self.comparison
        every = (
            {} if comparison is None else {n: AXES[n].pruned(comparison) for n in AXES}
        )
        return {name: value for name, value in every.items() if value is not None}


def title(cell: Experiment) -> str:
    """Name a cell: its method and how much it removes."""
    return f"{cell.method.name} at {share(cell.pruning.sparsity)}"


def find(spec: ArenaSpec, store: Store) -> str | None:
    """Return the id of the arena with exactly this description, or None."""
    plain = spec.to_json()
    same = (arena.id for arena in store.arenas() if arena.description == plain)
    return next(same, None)


def entries(arena_id: str, store: Store) -> tuple[Entry, ...]:
    """Return the cells of an arena as they stand, whoever measures them."""
    runs = store.runs(arena=arena_id)
    comparisons = store.comparisons([run.id for run in runs])
    return tuple(Entry(run, comparisons.get(run.id)) for run in runs)


def run(
    spec: ArenaSpec,
    store: Store,
    *,
    pipeline: Pipeline | None = None,
    progress: Progress = silent,
    publish: Callable[[tuple[Entry, ...]], None] = lambda _: None,
) -> tuple[Entry, ...]:
    """Measure every cell that is not measured yet; keep each the moment it is whole.

    To resume an arena, run it again: what was done from the same recipe, texts,
    weights and versions, in this arena or elsewhere, is taken from the store. A cell
    that fails is kept with its reason, and the rest goes on. What another process
    works on is left to it.

    Args:
        spec: the grid.
        store: where results are kept.
        pipeline: shared results.
        progress: called by every stage; it may raise `CancelledError`.
        publish: given all cells as they stand, whenever one has changed.

    Raises:
        LLMRankError: the store refuses; at most one cell is lost.
        CancelledError: from `progress`; at most one cell is lost.
    """
    store.requeue_abandoned()
    grid = cells(spec)
    asked = [_asked(e, spec.measures) for e in grid]
    arena_id = find(spec, store) or store.add_arena(spec.to_json(), asked)
    pipeline = pipeline or Pipeline()
    board = _Board(arena_id, grid, asked, store, pipeline, progress, publish)
    for model in spec.models:
        board.measure([i for i, e in enumerate(grid) if e.model == model])
    store.finish_arena(arena_id)
    return board.entries


@dataclass
class _Board:
    """The cells of an arena in the store: measured model by model, and published."""

    arena_id: str
    grid: Sequence[Experiment]
    asked: Sequence[RunSpec]
    store: Store
    pipeline: Pipeline
    progress: Progress
    publish: Callable[[tuple[Entry, ...]], None]

    def __post_init__(self) -> None:
        """Begin with what stands there."""
        there = self.store.runs_by_place(self.arena_id)
        self._entries = {place: Entry(run) for place, run in there.items()}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The cells in their order."""
        return tuple(self._entries[place] for place in sorted(self._entries))

    def measure(self, places: Sequence[int]) -> None:
        """Take what is known of one model's cells, then measure the rest."""
        first = self.grid[places[0]]
        self._shared, self._read = Shared(), dict[str, object]()
        self._has_changed(first)
        try:
            check_names(first)
            check_room(first, self.pipeline)
            dense = self.pipeline.model(first, progress=self.progress)
            self._origin = origin(first, dense)
        except LLMRankError as error:
            for place in places:
                self._refuse(place, str(error))
            return
        for place in [p for p in places if not self._is_known(p)]:
            self._step(place)

    def _is_known(self, place: int) -> bool:
        """Fill a place with what was measured already, if it was."""
        done = self.store.done(self.asked[place], self._origin_of(place))
        comparison = None if done is None else self.store.comparison(done.id)
        if done is None or comparison is None:
            return False
        there = self.store.run_in(self.arena_id, place)
        if there is None or there.id != done.id:
            self.store.fill(self.arena_id, place, done.id)
        self._show(place, comparison)
        self._shared.learn(self.grid[place], comparison)
        return True

    def _step(self, place: int) -> None:
        """Measure one cell and keep it, whatever way it ends."""
        if self._is_known(place):  # another process was faster
            return
        run_id = self._claim(place)
        if run_id is None:
            return
        comparison = None
        try:
            comparison = self._measured(place)
        except LLMRankError as error:
            self.store.fail(run_id, str(error))
        except (CancelledError, KeyboardInterrupt, SystemExit):
            self.store.cancel(run_id)
            self._show(place)
            raise
        except Exception as error:  # a fault in one method must not end the others
            _log.exception("a cell failed: %r", self._title(place))
            self.store.fail(run_id, explained(error))
        else:
            self.store.finish(run_id, comparison)
            self._shared.learn(self.grid[place], comparison)
        self._show(place, comparison)

    def _claim(self, place: int) -> str | None:
        """Take the run in a place, a new one where that is over; None if it is taken.

        What is done was measured on other texts or with other versions, or it would
        have been known.
        """
        run, asked = self.store.run_in(self.arena_id, place), self.asked[place]
        if run is None or run.state == "done" or run.spec != asked:
            run_id = self.store.fill(self.arena_id, place, asked)
        else:
            run_id = run.id
        taken = self.store.claim(run_id, self._origin_of(place))
        self._show(place)
        return run_id if taken else None

    def _measured(self, place: int) -> Comparison:
        cell, what = self.grid[place], self._title(place)

        def report(stage: str, done: int, total: int) -> None:
            self.progress(f"{what}: {stage}", done, total)

        measures = self.asked[place].measures
        self._has_changed(cell)  # its criterion may read a text that no other does
        comparison = measure(
            cell, measures, self._shared, self.pipeline, progress=report
        )
        if self._has_changed(cell):
            raise LLMRankError(
                "a text was changed while it was read; run the arena again, which "
                "measures all cells on the new one"
            )
        return comparison

    def _refuse(self, place: int, reason: str) -> None:
        """Say why a cell cannot even begin; what it measured before stays."""
        run = self.store.run_in(self.arena_id, place)
        if run is not None and run.state in ("queued", "failed", "cancelled"):
            self.store.fail(run.id, reason)
        self._show(place)

    def _show(self, place: int, comparison: Comparison | None = None) -> None:
        """Publish how a place stands now; it is empty when its run was deleted."""
        run = self.store.run_in(self.arena_id, place)
        if run is None:
            self._entries.pop(place, None)
        else:
            self._entries[place] = Entry(run, comparison)
        self.publish(self.entries)

    def _has_changed(self, cell: Experiment) -> bool:
        """Whether a text is another file than when a cell first asked for it."""
        now = {source: state_of(source) for source in cell.texts}
        return any(self._read.setdefault(s, state) != state for s, state in now.items())

    def _origin_of(self, place: int) -> Origin:
        return criterion_origin(self._origin, self.grid[place].method.criterion)

    def _title(self, place: int) -> str:
        n_cells = len(self.grid)
        return f"Cell {place + 1} of {n_cells}, {title(self.grid[place])}"


def _asked(cell: Experiment, measures: tuple[Measure, ...]) -> RunSpec:
    return RunSpec(cell.to_json(), cell.calibration.seed, measures)
