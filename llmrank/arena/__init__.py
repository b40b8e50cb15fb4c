"""The arena: many methods on the same models, texts and clock, and who is ahead."""

from llmrank.arena.asking import PAPER, USUAL, asked, offered, written
from llmrank.arena.axes import AXES, Axis
from llmrank.arena.forecast import Forecast, forecast
from llmrank.arena.grid import MAX_CELLS, ArenaSpec, Method, cells, check_size, method
from llmrank.arena.known import known, known_runs
from llmrank.arena.pareto import Placed, dense, pareto
from llmrank.arena.runner import Entry, entries, find, run, title
from llmrank.arena.tables import (
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
