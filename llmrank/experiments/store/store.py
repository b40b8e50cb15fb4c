"""The store: runs and arenas go in as they are measured, and come back the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from llmrank.core.errors import LLMRankError
from llmrank.core.paths import results_file
from llmrank.evaluation.comparison import Comparison
from llmrank.experiments.run import Report
from llmrank.experiments.store import row_mapping
from llmrank.experiments.store.database import Database
from llmrank.experiments.store.records import (
    Arena,
    Origin,
    Run,
    RunSpec,
    RunState,
    fingerprint,
    measured,
)
from llmrank.experiments.store.schema import LIGHT, arenas, cells, runs

WAIT_S = 15.0
"""How long another process's writing is waited for; ours take milliseconds."""


class Store:
    """A file of results; short transactions, from any thread and process.

    `notice` says what happened to the file when it was opened, if anything did. What
    changes a run that was deleted meanwhile changes nothing. `sealed`: it is only read.
    """

    def __init__(
        self, path: Path | None = None, *, wait_s: float = WAIT_S, sealed: bool = False
    ) -> None:
        self._database = Database(path or results_file(), wait_s=wait_s, sealed=sealed)
        self.path = self._database.path
        self.notice = self._database.notice
        self._unended: set[str] = set()  # over, and the file refused to hold it
        if not self._database.read_only:
            self.requeue_abandoned()

    def queue(self, spec: RunSpec) -> str:
        """Queue a run and return its id."""
        with self._database.writing() as connection:
            return _queued(connection, spec)

    def add_report(self, report: Report) -> str:
        """Keep an experiment that was measured outside of an arena; return its id."""
        recipe, comparison = report.experiment.to_json(), report.comparison
        text, seed = comparison.dense.text, report.experiment.calibration.seed
        evaluated = "" if text is None else text.text_sha256
        origin = Origin(report.calibration_sha256, evaluated, report.environment)
        done = row_mapping.origin_columns(recipe, origin)
        done |= row_mapping.comparison_columns(comparison)
        with self._database.writing() as connection:
            run_id = _queued(connection, RunSpec(recipe, seed, measured(comparison)))
            _change(connection, run_id, done)
        return run_id

    def claim(self, run_id: str, origin: Origin) -> bool:
        """Take a run for this process; False where another has it, or it is done."""
        taken = {"state": "running", "reason": "", "started": row_mapping.now()}
        taken |= row_mapping.owner_columns() | {"finished": None}
        with self._database.writing() as connection:
            here = (runs.c.id == run_id, runs.c.state.not_in(["running", "done"]))
            recipe = connection.scalar(select(runs.c.recipe).where(*here))
            if recipe is None:
                return False
            taken |= row_mapping.origin_columns(recipe, origin)
            _change(connection, run_id, taken)
            return True

    def finish(self, run_id: str, comparison: Comparison) -> None:
        """Keep what a run measured, every sample of it."""
        self._change_last(run_id, row_mapping.comparison_columns(comparison))

    def fail(self, run_id: str, reason: str) -> None:
        """Keep why a run could not be measured."""
        self._end(run_id, "failed", reason)

    def cancel(self, run_id: str, reason: str = "it was cancelled") -> None:
        """Say that a run was stopped before its end."""
        self._end(run_id, "cancelled", reason)

    def requeue_abandoned(self) -> int:
        """Put back in line what nobody works on any more; return how many.

        Its process is gone, or could not write how it ended: the disk was full.
        """
        with self._database.reading() as connection:
            running = select(*LIGHT).where(runs.c.state == "running")
            rows = connection.execute(running).mappings()
            dead = {r["id"]: not row_mapping.owner_lives(r) for r in rows}
            lost = [i for i, is_dead in dead.items() if is_dead or i in self._unended]
        if not lost:
            return 0
        back = {"state": "queued", "started": None, **row_mapping.NOBODY}
        with self._database.writing() as connection:
            still = (runs.c.id.in_(lost), runs.c.state == "running")
            n_back = connection.execute(update(runs).where(*still).values(back))
        self._unended.difference_update(lost)
        return n_back.rowcount

    def runs(
        self,
        *,
        arena: str | None = None,
        columns: Mapping[str, Sequence[object]] | None = None,
        recipe: Mapping[str, Any] | None = None,
        states: Sequence[RunState] = (),
        limit: int | None = None,
    ) -> tuple[Run, ...]:
        """List runs by values of columns; an arena's in order, or newest first."""
        wanted = select(*LIGHT)
        if arena is None:
            wanted = wanted.order_by(runs.c.created.desc(), runs.c.id)
        else:
            wanted = wanted.join(cells).where(cells.c.arena_id == arena)
            wanted = wanted.order_by(cells.c.place)
        for name, values in (columns or {}).items():
            wanted = wanted.where(runs.c[name].in_(values))
        if recipe is not None:
            wanted = wanted.where(runs.c.recipe == recipe)
        if states:
            wanted = wanted.where(runs.c.state.in_(states))
        return self._found(wanted.limit(limit))

    def run(self, run_id: str) -> Run:
        """Return one run.

        Raises:
            LLMRankError: there is none of that id.
        """
        for stored in self._found(select(*LIGHT).where(runs.c.id == run_id)):
            return stored
        raise LLMRankError(_gone("run", run_id, self.path))

    def comparison(self, run_id: str) -> Comparison | None:
        """Return what `comparisons` says of one run; None where it is not done."""
        return self.comparisons([run_id]).get(run_id)

    def comparisons(self, run_ids: Sequence[str]) -> dict[str, Comparison]:
        """Return all that several runs measured, of those that are done.

        Raises:
            LLMRankError: another version has written it, which this one cannot read.
        """
        wanted = select(runs.c.id, runs.c.recipe, runs.c.comparison).where(
            runs.c.id.in_(run_ids), runs.c.state == "done"
        )
        with self._database.reading() as connection:
            full = {r["id"]: r for r in connection.execute(wanted).mappings()}
        return {i: row_mapping.as_comparison(full[i]) for i in run_ids if i in full}

    def done(self, spec: RunSpec, origin: Origin) -> Run | None:
        """Return the latest run that measured at least this, from the same origin."""
        same = runs.c.fingerprint == fingerprint(spec.recipe, origin)
        wanted = select(*LIGHT).where(same, runs.c.state == "done")
        stored = self._found(wanted.order_by(runs.c.finished.desc()))
        asked = set(spec.measures)
        return next((r for r in stored if asked <= set(r.spec.measures)), None)

    def delete(self, run_ids: Sequence[str]) -> int:
        """Delete runs with all they measured, from every arena; return how many."""
        with self._database.writing() as connection:
            gone = delete(runs).where(runs.c.id.in_(run_ids))
            return connection.execute(gone).rowcount

    def add_arena(
        self, description: Mapping[str, Any], specs: Sequence[RunSpec]
    ) -> str:
        """Keep what was asked for, every cell queued, and return the arena's id."""
        values = row_mapping.born() | {"description": description}
        with self._database.writing() as connection:
            connection.execute(insert(arenas).values(values))
            for place, spec in enumerate(specs):
                _place(connection, values["id"], place, _queued(connection, spec))
        return str(values["id"])

    def runs_by_place(self, arena_id: str) -> dict[int, Run]:
        """Return the runs of an arena by place; of deleted ones the place is empty."""
        mine = select(cells.c.run_id, cells.c.place).where(cells.c.arena_id == arena_id)
        with self._database.reading() as connection:
            place_of = {r.run_id: r.place for r in connection.execute(mine)}
        own = self.runs(arena=arena_id)
        return {place_of[run.id]: run for run in own if run.id in place_of}

    def run_in(self, arena_id: str, place: int) -> Run | None:
        """Return the run in a place of an arena, or None where the place is empty."""
        here = (cells.c.arena_id == arena_id, cells.c.place == place)
        own = self._found(select(*LIGHT).join(cells).where(*here))
        return own[0] if own else None

    def fill(self, arena_id: str, place: int, run: str | RunSpec) -> str:
        """Let a run, or a new one, stand in a place of an arena, and return its id.

        The run that stood there goes if it was never begun and stands nowhere else.

        Raises:
            LLMRankError: the arena was deleted.
        """
        here = (cells.c.arena_id == arena_id, cells.c.place == place)
        with self._database.writing() as connection:
            there = select(arenas.c.id).where(arenas.c.id == arena_id)
            if connection.scalar(there) is None:
                raise LLMRankError(_gone("arena", arena_id, self.path))
            before = connection.scalar(select(cells.c.run_id).where(*here))
            run_id = run if isinstance(run, str) else _queued(connection, run)
            connection.execute(delete(cells).where(*here))
            _place(connection, arena_id, place, run_id)
            connection.execute(row_mapping.delete_idle([before]))
        return run_id

    def finish_arena(self, arena_id: str) -> None:
        """Say that every cell of an arena was tried."""
        with self._database.writing() as connection:
            mine = update(arenas).where(arenas.c.id == arena_id)
            connection.execute(mine.values(finished=row_mapping.now()))

    def arenas(self) -> tuple[Arena, ...]:
        """List the arenas, the newest first."""
        newest_first = row_mapping.all_arenas().order_by(arenas.c.created.desc())
        with self._database.reading() as connection:
            rows = connection.execute(newest_first).mappings()
            return tuple(row_mapping.as_arena(r) for r in rows)

    def arena(self, arena_id: str) -> Arena:
        """Return one arena.

        Raises:
            LLMRankError: there is none of that id.
        """
        wanted = row_mapping.all_arenas().where(arenas.c.id == arena_id)
        with self._database.reading() as connection:
            row = connection.execute(wanted).mappings().first()
        if row is None:
            raise LLMRankError(_gone("arena", arena_id, self.path))
        return row_mapping.as_arena(row)

    def delete_arena(self, arena_id: str) -> None:
        """Delete an arena; what it measured stays with the runs.

        What was never begun, and stands in no other arena, goes: nobody would begin it.
        """
        mine = select(cells.c.run_id).where(cells.c.arena_id == arena_id)
        with self._database.writing() as connection:
            asked = list(connection.scalars(mine))
            connection.execute(delete(arenas).where(arenas.c.id == arena_id))
            connection.execute(row_mapping.delete_idle(asked))

    def _end(self, run_id: str, state: RunState, reason: str) -> None:
        ended = {"state": state, "reason": reason, "finished": row_mapping.now()}
        self._change_last(run_id, ended | row_mapping.NOBODY)

    def _change_last(self, run_id: str, values: Mapping[str, Any]) -> None:
        try:
            with self._database.writing() as connection:
                _change(connection, run_id, values)
        except LLMRankError:
            self._unended.add(run_id)
            raise

    def _found(self, wanted: Select[Any]) -> tuple[Run, ...]:
        of: dict[str, tuple[str, ...]] = {}
        with self._database.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
            # by the same question: SQLite takes no more than 32,766 values
            mine = cells.c.run_id.in_(wanted.with_only_columns(runs.c.id))
            member = select(cells.c.run_id, cells.c.arena_id).where(mine)
            for run_id, arena_id in connection.execute(member):
                of[run_id] = (*of.get(run_id, ()), arena_id)
        return tuple(row_mapping.as_run(r, of.get(r["id"], ())) for r in rows)


def _queued(connection: Connection, spec: RunSpec) -> str:
    values = row_mapping.born() | {"state": "queued", "reason": ""}
    connection.execute(insert(runs).values(values | row_mapping.spec_columns(spec)))
    return str(values["id"])


def _place(connection: Connection, arena_id: str, place: int, run_id: str) -> None:
    values = {"arena_id": arena_id, "place": place, "run_id": run_id}
    connection.execute(insert(cells).values(values))


def _change(connection: Connection, run_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(runs).where(runs.c.id == run_id).values(**values))


def _gone(noun: str, name: str, path: Path) -> str:
    return f"there is no {noun} {name[:40]!r} in {path}; it may have been deleted"
