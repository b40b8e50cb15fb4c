"""The arena: many methods on the same models, texts and clock, and who is ahead."""

from llmrank.experiments.arena.axes import AXES, Axis
from llmrank.experiments.arena.forecast import Forecast, expected_steps, forecast
from llmrank.experiments.arena.methods_text import PAPER, USUAL, asked, offered
from llmrank.experiments.arena.pareto import Verdict, dense, n_windows, verdicts
from llmrank.experiments.arena.runner import Entry, entries, find, run, title
from llmrank.experiments.arena.spec import MAX_CELLS, ArenaSpec, cells, check_size
from llmrank.experiments.arena.stored import known, known_runs, measured
