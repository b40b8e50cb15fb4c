"""How many neurons each layer keeps: what that costs, a search live, and by hand."""

from collections.abc import Sequence

import streamlit as st

from llmrank.core.formatting import number
from llmrank.core.jobs import JobView
from llmrank.experiments.experiment import Experiment
from llmrank.methods.allocation import ByHand, Sensitivity
from llmrank.methods.width_search import Searched
from llmrank.report import charts
from llmrank.report.sentences import allocations as readings
from pages.shared.app import jobs, panels, resources, session

COLUMNS = 3


def show_costs(
    experiment: Experiment, kept: Sequence[int], dense: Sequence[int]
) -> None:
    """Show what each layer costs, or offer to measure it."""
    st.markdown("##### What each layer costs")
    costs = resources.pipeline().sensitivity.peek(experiment)
    if costs is None:
        st.caption(
            "Cut one layer alone, read again, and see what it costs: the layers differ "
            "a hundredfold. Allocation additive and search follow these costs."
        )
        if not jobs.active(panels.WIDTHS) and st.button(
            "Measure the layers", key="costs"
        ):
            panels.measure_widths(experiment)
        return
    panels.chart(
        charts.cost_map(costs, kept, dense, dark=panels.is_dark()),
        readings.costs_sentence(costs),
        lambda: readings.costs_table(costs),
        key="costs",
    )
    searched = resources.pipeline().searched.peek(experiment)
    if searched is not None:
        show_search(searched)


def live() -> None:
    """Show a search while it runs."""
    jobs.live(panels.WIDTHS, _watch)


def show_search(searched: Searched) -> None:
    """Show how far a search came."""
    panels.chart(
        charts.search_chart(searched, dark=panels.is_dark()),
        readings.search_sentence(searched),
        lambda: readings.search_table(searched),
        key="search",
    )


def by_hand(experiment: Experiment, dense: tuple[int, ...]) -> None:
    """Draw a slider per layer, with what its width costs where that is measured."""
    if not isinstance(experiment.method.allocation, ByHand):
        return
    st.markdown("##### Your own widths")
    kept = experiment.method.allocation.checked(dense)
    costs = resources.pipeline().sensitivity.peek(experiment)
    columns = st.columns(COLUMNS)
    for layer, d_ff in enumerate(dense):
        key = f"width_{layer}_{d_ff}"
        st.session_state[key] = kept[layer]  # widths come from elsewhere too
        columns[layer % COLUMNS].slider(
            f"Layer {layer}{_cost(costs, layer, 1 - kept[layer] / d_ff)}",
            1,
            d_ff,
            key=key,
            on_change=_move,
            args=(kept, layer, d_ff),
            help="Neurons kept. The cost, where it is measured, is of this layer "
            "alone, in nats a token, read between the measured widths.",
        )


def _move(kept: tuple[int, ...], layer: int, d_ff: int) -> None:
    new = st.session_state[f"width_{layer}_{d_ff}"]
    widths = (*kept[:layer], new, *kept[layer + 1 :])
    session.take("kept", ",".join(map(str, widths)))


def _cost(costs: Sensitivity | None, layer: int, removed: float) -> str:
    return "" if costs is None else f" · {number(costs.cost(layer, removed))} nats"


def _watch(seen: JobView) -> None:
    if isinstance(seen.partial, Searched):
        show_search(seen.partial)
