"""What fits a budget: the methods that were measured, the cheapest in quality first."""

from collections.abc import Sequence
from math import ceil

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted, share
from llmrank.core.specs import Option
from llmrank.core.statistics import times_spread
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import Choice, Frontier
from llmrank.report import charts
from pages.shared.app import frontier, panels, session, view_options

KEY = "options"
MOST = 8


def show(experiment: Experiment, known: Frontier) -> None:
    """Ask for a budget, draw what fits, and take what is clicked in hand."""
    sizes = sorted(
        frontier.megabytes(experiment, choice.n_params) for choice in known.choices
    )
    usual, high = ceil(sizes[len(sizes) // 2]), ceil(sizes[-1])
    words = "The weights must fit into (MB)"
    budget = Option("budget", int, usual, words, low=ceil(sizes[0]), high=high)
    megabytes = view_options.choose("prune", budget, words)
    per_parameter = frontier.megabytes(experiment, 1)
    fit = known.within(int(megabytes / per_parameter))
    mine = known.at(experiment.method, experiment.pruning.sparsity)
    shown = [*fit[:MOST], *(c for c in fit[MOST:] if c == mine)]
    table = _table(experiment, shown)
    panels.chart(
        charts.options_chart(
            table, in_hand=mine and mine.run.id, dark=panels.is_dark()
        ),
        sentence(megabytes, shown, mine, len(fit) - len(shown), mine in fit),
        lambda: table,
        key=KEY,
        on_select=lambda: _take(shown),
    )
    st.caption(frontier.origin(experiment, known))


def sentence(
    megabytes: int,
    shown: Sequence[Choice],
    mine: Choice | None,
    n_more: int,
    mine_fits: bool,
) -> str:
    """Say what costs least within a budget, what is in hand, and what is left out."""
    best = shown[0]
    said = (
        f"Within {megabytes:,} MB **{best.method.name}** costs least: perplexity "
        f"{times_spread(best.ratio)} of dense at {share(best.sparsity)} removed"
    )
    if mine is not None and mine.run.id != best.run.id:
        said += f"; what is in hand costs {times_spread(mine.ratio)}"
        said += "" if mine_fits else " and does not fit"
    if n_more:
        said += f". {counted(n_more, 'method')} that cost more are left out"
    return f"{said}."


def _table(experiment: Experiment, choices: Sequence[Choice]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": c.method.name,
                "size": f"{share(c.sparsity)} · "
                f"{frontier.megabytes(experiment, c.n_params):,.0f} MB",
                "ratio": c.ratio.value,
                "low": c.ratio.low,
                "high": c.ratio.high,
                "run": c.run.id,
            }
            for c in choices
        ]
    )


def _take(shown: Sequence[Choice]) -> None:
    """Take the method and the sparsity of the point that was clicked in hand."""
    points = st.session_state[KEY]["selection"]["points"]
    runs = {choice.run.id: choice for choice in shown}
    for point in points:
        choice = runs.get(str(point["customdata"][0]))
        if choice is not None:
            session.adopt_method(choice.method, choice.sparsity)
