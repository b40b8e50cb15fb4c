"""The arena: many methods on the same models, texts and clock, and who is ahead."""

from llmrank.arena.axes import AXES, Axis, Placed, pareto
from llmrank.arena.forecast import Forecast, forecast
from llmrank.arena.grid import ArenaSpec, Method, cells, method
from llmrank.arena.runner import Entry, entries, find, run, title
from llmrank.arena.tables import as_table, differing, latex, printed

__all__ = [
    "AXES",
    "ArenaSpec",
    "Axis",
    "Entry",
    "Forecast",
    "Method",
    "Placed",
    "as_table",
    "cells",
    "differing",
    "entries",
    "find",
    "forecast",
    "latex",
    "method",
    "pareto",
    "printed",
    "run",
    "title",
]
