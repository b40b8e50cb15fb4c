"""The command that lets methods compete: a line for every cell, then the tables."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from llmrank.cli.run import wanted_experiment
from llmrank.cli.terminal import ProgressBar, check_new_file, each_of, write
from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.formatting import share
from llmrank.core.paths import named_path

GRID = ("model", "sparsity", "seed")
"""The settings that the grid's own options replace."""

WIDTH = 22
"""Of a column of figures with their intervals."""

FIGURES = {
    "text": ("perplexity", "perplexity_ratio"),
    "tasks": ("accuracy",),
    "latency": ("decode_speedup",),
    "memory": ("peak_mb",),
}
"""What is printed of each measure; the files have the rest."""


def add_arena_options(command: argparse.ArgumentParser) -> None:
    """Declare the grid and the files."""
    for name, metavar, help in (
        ("models", "A,B", "Models, separated by commas (default demo)"),
        (
            "methods",
            "A,B+C",
            "Methods, separated by commas: criterion, allocation, repair and recovery "
            "joined by +, parameters after a colon, as in "
            "l1,llm-rank:theta=0.25+least-squares",
        ),
        ("sparsities", "X,Y", "Shares of the FFN neurons removed (default 0.3)"),
        ("seeds", "N,M", "Each sets every seed there is (default 0)"),
        (
            "measures",
            "A,B",
            "Of text, tasks, latency and memory (default text,latency, and tasks where "
            "--tasks names some)",
        ),
        ("db", "FILE", "The database of results; run again, it resumes"),
        ("csv", "FILE|-", "Write every figure there"),
        ("latex", "FILE|-", "Write a table for a paper there"),
    ):
        required = name == "methods"
        command.add_argument(f"--{name}", metavar=metavar, help=help, required=required)


def arena_command(options: argparse.Namespace) -> None:
    """Let methods compete on the same models, texts and clock; run again to resume."""
    from llmrank.experiments import arena
    from llmrank.experiments.pipeline import Pipeline
    from llmrank.experiments.store import Store

    spec = _spec(options)
    for target in (options.csv, options.latex):
        check_new_file(target)
    store = Store(named_path(options.db) if options.db else None)
    if store.notice:
        print(store.notice, file=sys.stderr)
    pipeline, bar = Pipeline(), ProgressBar()
    board = _Lines(spec, bar, lambda: arena.forecast(spec, pipeline, store))
    try:
        entries = arena.run(
            spec, store, pipeline=pipeline, progress=bar, publish=board.publish
        )
    finally:
        bar.clear()
        print(f"kept in {store.path}; the same command goes on", file=sys.stderr)
    _finish(entries, spec, options)


def _spec(options: argparse.Namespace) -> Any:
    """Return the grid that the options describe."""
    from llmrank.experiments.arena import ArenaSpec, check_size
    from llmrank.methods.method import method

    base = wanted_experiment(options)
    usual = "text,latency,tasks" if base.tasks.names else "text,latency"
    model = base.model
    models, methods = _words(options.models or "demo"), _words(options.methods)
    sparsities = _words(options.sparsities or "0.3")
    seeds = _words(options.seeds or "0")
    check_size(len(models), len(methods), len(sparsities), len(seeds))
    return ArenaSpec(
        models=tuple(replace(model, name=name) for name in models),
        methods=tuple(method(words) for words in methods),
        sparsities=_numbers("sparsities", float, sparsities),
        seeds=_numbers("seeds", int, seeds),
        measures=cast("Any", tuple(_words(options.measures or usual))),
        base=base,
    )


class _Lines:
    """The table on stdout, a line whenever a cell is over."""

    def __init__(
        self, spec: Any, bar: ProgressBar, forecast: Callable[[], Any]
    ) -> None:
        from llmrank.experiments.arena import AXES

        self._bar, self._forecast = bar, forecast
        self._shown: set[str] = set()
        self._is_timed = False
        measured = [n for m in spec.measures for n in FIGURES[m]]
        axes = [("model", len(spec.models)), ("seed", len(spec.seeds))]
        self._columns = ["method", *(n for n, count in axes if count > 1), "sparsity"]
        self._columns += ["parameters", *measured]
        self._widths = {"sparsity": 10, "seed": 8}
        self._widths["method"] = max(len(m.name) for m in spec.methods) + 2
        self._widths["model"] = max(len(m.name) for m in spec.models) + 2
        self._print([AXES[n].title if n in AXES else n for n in self._columns])

    def publish(self, entries: Sequence[Any]) -> None:
        """Print the cells that are over since the last time."""
        over = [e for e in entries if e.comparison or e.run.state == "failed"]
        news = [e for e in over if e.run.id not in self._shown]
        if not news:
            return
        self._bar.clear()
        for entry in news:
            self._shown.add(entry.run.id)
            self._line(entry)
        self._say_when()

    def _say_when(self) -> None:
        """Say once how long it will take: as soon as a text was read here."""
        if self._is_timed:
            return
        forecast = self._forecast()
        if not forecast.is_ours or forecast.n_missing == 0:
            self._is_timed = True
            print(forecast.sentence, file=sys.stderr)

    def _line(self, entry: Any) -> None:
        from llmrank.report.tables.arena import arena_table, printed

        row = printed(arena_table([entry])).iloc[0]
        faster = None if entry.comparison is None else entry.comparison.speedup
        if faster is not None and faster.decode.disturbed:
            row["decode_speedup"] = "disturbed"
        cells = [str(row[column]) for column in self._columns]
        if entry.run.state == "failed":
            n_names = self._columns.index("sparsity") + 1
            cells = [*cells[:n_names], f"failed: {entry.run.reason}"]
        self._print(cells)

    def _print(self, cells: Sequence[str]) -> None:
        widths = [self._widths.get(column, WIDTH) for column in self._columns]
        padded = (f"{c:<{w - 2}}  " for c, w in zip(cells, widths, strict=False))
        print("".join(padded).rstrip(), flush=True)


def _finish(entries: Sequence[Any], spec: Any, options: argparse.Namespace) -> None:
    """Say who is ahead and write the files.

    Raises:
        LLMRankError: no cell could be measured.
    """
    from llmrank.report.tables.arena import arena_table, latex

    if not any(e.comparison for e in entries):
        why = next((e.run.reason for e in entries if e.run.reason), "nothing was done")
        raise LLMRankError(f"no cell could be measured; the first says: {why}")
    table = arena_table(entries)
    each_of(
        lambda: print(_ahead(entries, spec)),
        lambda: write(options.csv, lambda: table.to_csv(index=False)),
        lambda: write(options.latex, lambda: latex(table)),
    )


def _ahead(entries: Sequence[Any], spec: Any) -> str:
    """Name the cells that are on the frontier, or may be."""
    from llmrank.experiments.arena import AXES
    from llmrank.report.tables.arena import standings

    quality = (FIGURES[m][0] for m in ("text", "tasks") if m in spec.measures)
    y = next(quality, "weights_mb")
    timed = any("decode_speedup" in e.figures for e in entries)  # undisturbed
    x = "decode_speedup" if timed else "parameters"
    told = [f"\n{AXES[y].title} and {AXES[x].title}:"]
    for verdict, rows in standings(entries, x, y).groupby("verdict", sort=False):
        names = (
            f"{method} at {share(sparsity)}"
            for method, sparsity in zip(rows["method"], rows["sparsity"], strict=True)
        )
        told.append(f"  {verdict}: {'; '.join(names)}")
    return "\n".join(told)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(name: str, kind: type, words: Sequence[str]) -> tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in words)
    except ValueError:
        raise OptionError(
            f"{name} must be numbers separated by commas, got {','.join(words)[:80]!r}"
        ) from None
