"""Scores: how are the scores distributed?"""

from pages.shared.app.frame import frame

in_hand = frame("Scores", "How are the scores distributed?")

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from llmrank.analysis.agreement import extremes
from llmrank.analysis.neuron import Neuron
from llmrank.core.formatting import counted
from llmrank.core.specs import Option
from llmrank.experiments.experiment import Experiment
from llmrank.methods.criteria import LLMRank
from llmrank.methods.pruning import PruningPlan
from llmrank.report import charts, sentences
from pages.shared.app import access, clicks, panels, reading, resources, view_options
from pages.shared.explore import canvas, selection
from pages.shared.scores import two_criteria

SCREENS = {
    "heatmap": "All neurons",
    "distributions": "Layer by layer",
    "two criteria": "Two criteria",
}
SCREEN = Option("screen", str, "heatmap", "What is drawn", choices=tuple(SCREENS))
ORDER = Option(
    "order", str, "sorted", "sorted: each layer from its highest score down; index: "
    "as the model stores its neurons", choices=("sorted", "index"),
)  # fmt: skip
VALUE = Option(
    "value", str, "percentile", "percentile: the share of all neurons of all layers "
    "that score lower; score: the neuron's share of its layer's sum",
    choices=("percentile", "score"),
)  # fmt: skip
LAYER = Option("layer", int, 0, "Whose scores are drawn; the first layer is 0", 0, 0)
ENDS = 10
"""How many of the highest and of the lowest neurons are listed."""

Scored = Sequence[Tensor]


@st.fragment
def show(drawn: Experiment, scores: Scored, plan: PruningPlan) -> None:
    """Draw the screen that is chosen, and nothing of the others."""
    with st.container(horizontal=True):
        screen = view_options.choose("scores", SCREEN, "Picture", titles=SCREENS)
        controls = st.container(horizontal=True, vertical_alignment="bottom")
        with st.popover(f"How {drawn.method.criterion.name} scores", type="tertiary"):
            show_formula(drawn)
    layers = sentences.layer_table(scores, plan.keep)
    if screen == "heatmap":
        show_heatmap(controls, scores, plan, layers)
    elif screen == "distributions":
        show_distributions(controls, scores, plan, layers)
    else:
        two_criteria.show(controls, drawn, scores, plan)


def show_heatmap(
    controls: DeltaGenerator, scores: Scored, plan: PruningPlan, layers: pd.DataFrame
) -> None:
    """Draw every neuron of the model, and what is removed; list the extremes."""
    with controls:
        order = view_options.choose("scores", ORDER, "Neurons in order of")
        value = view_options.choose("scores", VALUE, "Colour")
    held = canvas.held()
    fig = charts.score_heatmap(
        scores,
        plan.keep,
        order=order,
        value=value,
        held=held and (held.layer, held.index),
        dark=panels.is_dark(),
    )
    panels.chart(
        fig,
        sentences.heatmap_sentence(layers, lined=order == "sorted"),
        lambda: sentences.neuron_table(scores, plan.keep),
        key="scores",
    )

    def take(cell: dict[str, Any]) -> None:
        layer = int(cell["y"])
        canvas.hold(layer, charts.neuron_at(scores[layer], cell["x"], order))

    selection.show_held(scores, plan.keep, "Click a cell to hold its neuron.")
    show_extremes(scores)
    clicks.hear("scores", take)


def show_distributions(
    controls: DeltaGenerator, scores: Scored, plan: PruningPlan, layers: pd.DataFrame
) -> None:
    """Draw one layer's scores with the threshold in them, beside those of all."""
    with controls:
        option = view_options.limited(LAYER, len(scores) - 1)
        option = replace(option, default=selection.first_layer(plan))
        layer = view_options.choose("scores", option, "Layer of the histogram")
        if st.button(f"Layer {layer} in Graph", icon=":material/arrow_forward:"):
            view_options.put("graph", {"layer": str(layer)})
            st.switch_page("pages/graph.py")
    row, dark = layers.iloc[layer], panels.is_dark()
    times = sentences.times_uniform(scores)
    thresholds = (layers["threshold"] * layers["n_neurons"]).tolist()
    neurons = sentences.neuron_table(scores, plan.keep)
    left, right = st.columns(2, gap="medium")
    with left:
        threshold = thresholds[layer] if row["n_dropped"] else None
        panels.chart(
            charts.score_distribution(times[layer], threshold, layer=layer, dark=dark),
            sentences.distribution_sentence(row),
            lambda: neurons.query("layer == @layer"),
            key="scores-layer",
        )
    with right:
        panels.chart(
            charts.distributions(
                times, thresholds if plan.n_dropped else None, layer=layer, dark=dark
            ),
            sentences.distributions_sentence(layers),
            lambda: layers,
            key="scores-layers",
        )

    def take_bar(bar: dict[str, Any]) -> None:
        if not bar["customdata"]:  # the threshold
            return
        own = neurons.query("layer == @layer").sort_values("rank")
        inside = own[own["times_uniform"].between(*bar["customdata"])]
        if len(inside):
            canvas.hold(layer, int(inside["neuron"].iloc[0]))

    selection.show_held(
        scores, plan.keep, "A box draws its layer; a bar holds its highest neuron."
    )
    clicks.hear("scores-layer", take_bar)
    clicks.hear(
        "scores-layers",
        lambda box: view_options.put("scores", {"layer": round(box["x"])}),
    )


def show_extremes(scores: Scored) -> None:
    """List the highest and the lowest neurons of the model."""
    table = extremes(scores, min(ENDS, max(1, sum(map(len, scores)) // 2)))
    for column, end in zip(st.columns(2), ("highest", "lowest"), strict=True):
        rows = table[table["extreme"] == end]
        if end == "lowest":
            rows = rows[::-1]
        layers = counted(rows["layer"].nunique(), "layer")
        column.markdown(f"**The {len(rows)} {end} of all**, {end} first, in {layers}")
        with column:
            selection.choosable(
                rows,
                [Neuron(*at) for at in rows[["layer", "neuron"]].to_numpy().tolist()],
                key=f"extremes_{end}",
                column_order=["layer", "neuron", "times_uniform", "rank"],
                column_config={
                    "times_uniform": "score, × its layer's mean",
                    "neuron": st.column_config.NumberColumn(format="%,d"),
                    "rank": st.column_config.NumberColumn(
                        "rank in its layer", format="%,d", help="1 is the highest"
                    ),
                },
            )
    panels.csv(lambda: table, key="scores-extremes")


def show_formula(drawn: Experiment) -> None:
    """Show the criterion in words and as its formula with the values at hand."""
    criterion = drawn.method.criterion
    st.markdown(inspect.getdoc(type(criterion)))
    st.latex(criterion.formula)
    if isinstance(criterion, LLMRank):
        zeros = resources.zero_share(drawn.model)
        st.markdown(sentences.rho_sentence(criterion, zeros))


with panels.panel():
    access.check(in_hand)
    drawn = reading.shown(in_hand)
    if drawn != in_hand:
        reading.offer(in_hand)
    if drawn is not None:
        with st.spinner(f"Scoring by {in_hand.method.criterion.name}"):
            scores = resources.pipeline().scores(drawn).normalised
            plan = resources.pipeline().plan(drawn)
        show(drawn, scores, plan)
    reading.wait(in_hand, drawn)
