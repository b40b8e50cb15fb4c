"""What fits a budget: the methods that were measured, the cheapest in quality first."""

from collections.abc import Collection, Sequence
from math import ceil

import pandas as pd
import streamlit as st

from llmrank.core.formatting import share
from llmrank.core.specs import Option
from llmrank.core.statistics import times_spread
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import Choice, Frontier, longer, measured_here
from llmrank.report import charts
from pages.shared.app import frontier, panels, resources, session, view_options

KEY = "options"


def show(experiment: Experiment, known: Frontier) -> None:
    """Ask for a budget, draw what fits, and take what is clicked in hand."""
    sizes = sorted(
        frontier.megabytes(experiment, choice.n_params) for choice in known.choices
    )
    usual, high = ceil(sizes[len(sizes) // 2]), ceil(sizes[-1])
    words = "The weights must fit into (MB)"
    budget = Option("budget", int, usual, words, low=ceil(sizes[0]), high=high)
    megabytes = view_options.choose("prune", budget, words)
    most = int(megabytes / frontier.megabytes(experiment, 1))
    store = resources.glance()
    own = Frontier(()) if store is None else measured_here(experiment, store)
    ours = [choice.run for choice in known.choices]
    own = Frontier(tuple(c for c in own.choices if longer(c.run, ours) is None))
    mine = own.at(experiment.method, experiment.pruning.sparsity)
    if mine is None or mine.run.experiment != experiment:
        mine = known.at(experiment.method, experiment.pruning.sparsity) or mine
    fit = _fitting((known, own), mine, most)
    here = {choice.run.id for choice in own.choices}
    table = _table(experiment, fit, here)
    panels.chart(
        charts.options_chart(
            table, in_hand=mine and mine.run.id, dark=panels.is_dark()
        ),
        sentence(megabytes, fit, mine, here) + _tied(experiment, fit),
        lambda: table,
        key=KEY,
        on_select=lambda: _take(fit),
    )
    st.caption(frontier.origin(experiment, known))


def _fitting(
    measured: Sequence[Frontier], mine: Choice | None, most: int
) -> list[Choice]:
    """Return what has at most that many parameters, the least cost first.

    Of each method its best of ours and its best of one's own, and what is in hand.
    """
    fit = [choice for known in measured for choice in known.within(most)]
    fit += [mine] if mine is not None and mine.n_params <= most else []
    once = {choice.run.id: choice for choice in fit}
    return sorted(once.values(), key=lambda choice: choice.ratio.value)


def sentence(
    megabytes: int,
    fit: Sequence[Choice],
    mine: Choice | None,
    here: Collection[str],
) -> str:
    """Say what costs least within a budget, and what is in hand.

    Args:
        megabytes: the budget.
        fit: what fits it, the least cost first.
        mine: what is in hand, where it was measured.
        here: the runs that were measured here; the others are shipped.
    """

    def cost(choice: Choice) -> str:
        tokens = choice.run.experiment.evaluation.eval_tokens
        whose = "measured here" if choice.run.id in here else "shipped"
        return f"{times_spread(choice.ratio)} ({whose}, {tokens:,} tokens)"

    best = fit[0]
    said = (
        f"Within {megabytes:,} MB **{best.method.name}** costs least at "
        f"{share(best.sparsity)} removed: perplexity over dense {cost(best)}"
    )
    if mine is not None and mine.run.id != best.run.id:
        said += f"; what is in hand costs {cost(mine)}"
        said += "" if mine in fit else " and does not fit"
    return f"{said}."


def _tied(experiment: Experiment, fit: Sequence[Choice]) -> str:
    """Say what cannot be told from what costs least, if anything."""
    _, *tied = frontier.lowest_of(experiment, fit)
    if not tied:
        return ""
    more = f" and {len(tied) - 1:,} more" if len(tied) > 1 else ""
    return f" **{tied[0].experiment.method.name}**{more} cannot be told from the first."


def _table(
    experiment: Experiment, choices: Sequence[Choice], here: Collection[str]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": c.method.name,
                "size": f"{share(c.sparsity)} · "
                f"{frontier.megabytes(experiment, c.n_params):,.0f} MB",
                "ratio": c.ratio.value,
                "low": c.ratio.low,
                "high": c.ratio.high,
                "here": c.run.id in here,
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
