"""The arena: many methods on the same models, texts and clock, and who is ahead."""

from llmrank.experiments.arena.axes import AXES, Axis
from llmrank.experiments.arena.forecast import Forecast, forecast
from llmrank.experiments.arena.methods_text import PAPER, USUAL, asked, offered, written
from llmrank.experiments.arena.pareto import Placed, dense, pareto
from llmrank.experiments.arena.runner import Entry, entries, find, run, title
from llmrank.experiments.arena.spec import (
    MAX_CELLS,
    ArenaSpec,
    Method,
    cells,
    check_size,
    method,
)
from llmrank.experiments.arena.stored import known, known_runs
from llmrank.report.tables.arena import (
    as_table,
    brief,
    chart_table,
    differing,
    latex,
    printed,
    shown,
)

__all__ = [
    "AXES",
    "MAX_CELLS",
    "PAPER",
    "USUAL",
    "ArenaSpec",
    "Axis",
    "Entry",
    "Forecast",
    "Method",
    "Placed",
    "as_table",
    "asked",
    "brief",
    "cells",
    "chart_table",
    "check_size",
    "dense",
    "differing",
    "entries",
    "find",
    "forecast",
    "known",
    "known_runs",
    "latex",
    "method",
    "offered",
    "pareto",
    "printed",
    "run",
    "shown",
    "title",
    "written",
]
