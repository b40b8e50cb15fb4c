"""Scores: how are the scores distributed?"""

from pages.shared.app.frame import frame

e = frame("Scores", "How are the scores distributed?")

import inspect
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st
from torch import Tensor

from llmrank.analysis.agreement import Agreement, agreement, extremes
from llmrank.analysis.neuron import Neuron
from llmrank.core.specs import Option, described, options
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank, criterion
from llmrank.methods.pruning import PruningPlan
from llmrank.report import charts, sentences
from pages.shared.app import access, panels, resources, view_options
from pages.shared.arena import criteria_agreement
from pages.shared.explore import selection

AUTHORS = LLMRank(gamma=0.0, site="up")
"""The authors' code: activation at `up`'s output, and γ = 0 unless it is set."""

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
ENDS = Option("ends", int, 10, "How many of the highest and of the lowest", 1, 100)
OTHER = Option(
    "other", str, "activation", "What the experiment's scores are compared with",
    choices=tuple(CRITERIA),
)  # fmt: skip
Scored = Sequence[Tensor]


@st.fragment
def show_all(scores: Scored, plan: PruningPlan, layers: pd.DataFrame) -> None:
    """Draw every neuron of the model, and what is dropped."""
    with st.container(horizontal=True):
        order = view_options.choose("scores", ORDER, "Neurons in order of")
        value = view_options.choose("scores", VALUE, "Colour")
    reading = sentences.heatmap_sentence(layers)
    if value == "percentile":
        reading = sentences.percentiles_sentence(layers)
    elif order == "index":
        reading = sentences.index_sentence(scores)
    dark = panels.is_dark()
    panels.chart(
        charts.score_heatmap(scores, plan.keep, order=order, value=value, dark=dark),
        reading,
        lambda: sentences.neuron_table(scores, plan.keep),
        key="scores",
    )


@st.fragment
def show_thresholds(scores: Scored, plan: PruningPlan, layers: pd.DataFrame) -> None:
    """Draw one layer's scores with the threshold in them, and those of all layers."""
    of = view_options.limited(LAYER, len(scores) - 1)
    layer = view_options.choose("scores", of, "Layer of the histogram")
    left, right = st.columns(2)
    with left:
        show_layer(layer, scores, plan, layers.iloc[layer])
    with right:
        show_layers(scores, plan, layers)


def show_layer(layer: int, scores: Scored, plan: PruningPlan, row: pd.Series) -> None:
    """Draw the histogram of one layer."""
    threshold = float(row["threshold"]) if row["n_dropped"] else None
    dark = panels.is_dark()
    panels.chart(
        charts.score_distribution(scores[layer], threshold, layer=layer, dark=dark),
        sentences.distribution_sentence(row),
        lambda: sentences.neuron_table(scores, plan.keep).query("layer == @layer"),
        key="scores-layer",
    )


def show_layers(scores: Scored, plan: PruningPlan, layers: pd.DataFrame) -> None:
    """Draw the spread of every layer with its threshold."""
    thresholds = layers["threshold"].tolist() if plan.n_dropped else None
    panels.chart(
        charts.distributions(scores, thresholds, dark=panels.is_dark()),
        sentences.distributions_sentence(layers),
        lambda: layers,
        key="scores-layers",
    )


@st.fragment
def show_extremes(scores: Scored) -> None:
    """List the highest and the lowest neurons of the model."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n_neurons = sum(map(len, scores))
        ends = view_options.limited(ENDS, min(100, max(1, n_neurons // 2)))
        n = view_options.choose("scores", ends, "Neurons at each end")
        table = extremes(scores, n)
        panels.csv(lambda: table, key="scores-extremes")
    st.markdown(sentences.extremes_sentence(table))
    for column, end in zip(st.columns(2), ("highest", "lowest"), strict=True):
        column.markdown(f"**{end.capitalize()}**")
        rows = table[table["extreme"] == end]
        with column:
            selection.choosable(
                rows,
                [Neuron(*at) for at in rows[["layer", "neuron"]].to_numpy().tolist()],
                key=f"extremes_{end}",
                column_order=["layer", "neuron", "score", "times_uniform", "rank"],
                column_config={
                    "score": st.column_config.NumberColumn(format="%.3g"),
                    "times_uniform": st.column_config.NumberColumn(
                        "× mean", format="%.3g", help="Times its layer's mean"
                    ),
                    "neuron": st.column_config.NumberColumn(format="%,d"),
                    "rank": st.column_config.NumberColumn(
                        format="%,d", help="In its layer, from 1"
                    ),
                },
            )
    selection.show_way()


@st.fragment
def show_other(scores: Scored, plan: PruningPlan) -> None:
    """Set a second criterion beside the experiment's."""
    with panels.panel():
        other, layer = choose_other(len(scores))
        second = e.using(criterion=other)
        if not panels.has_scores(second):
            return
        with st.spinner(f"Scoring by {other.name}"):
            others = resources.pipeline().scores(second).normalised
            its_plan = resources.pipeline().plan(second)
        agreed = agreement(scores, others, plan, its_plan)
        names = sentences.names(e.method.criterion, other)
        criteria_agreement.show_overlap(agreed, names, its_plan, key="overlap")
        show_ranks(agreed, names, (scores, others), (plan, its_plan), layer)


def choose_other(n_layers: int) -> tuple[Criterion, int | None]:
    """Draw the controls; return the second criterion and whose ranks are drawn."""
    rival = "activation" if e.method.criterion.name != "activation" else "llm-rank"
    every = tuple(str(layer) for layer in range(n_layers))
    of = Option("ranks", str, "all", "Whose ranks are drawn", choices=("all", *every))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = view_options.choose(
            "scores", replace(OTHER, default=rival), "Compare with"
        )
        st.button(
            "The paper's own setting",
            on_click=view_options.put,
            args=("scores", {"other": AUTHORS.name, **described(AUTHORS)}),
            help="The authors' code measures activation at the output of up_proj and "
            "leaves γ at 0 unless it is set.",
        )
        shown = view_options.choose("scores", of, "Ranks in layer")
    with st.container(horizontal=True):
        own = [o for o in options(CRITERIA[name]) if o.kind is not str or o.choices]
        values = {o.name: view_options.choose("scores", o) for o in own}
    return criterion(name, **values), None if shown == "all" else int(shown)


def show_ranks(
    agreement: Agreement,
    names: tuple[str, str],
    scores: tuple[Scored, Scored],
    plans: tuple[PruningPlan, PruningPlan],
    layer: int | None,
) -> None:
    """Draw each neuron's rank by one criterion against its rank by the other."""
    drawn = slice(None) if layer is None else slice(layer, layer + 1)
    keep = (plans[0].keep[drawn], plans[1].keep[drawn])
    first, second = (s[drawn] for s in scores)
    panels.chart(
        charts.rank_scatter(first, second, keep, names=names, dark=panels.is_dark()),
        sentences.ranks_sentence(agreement, names, layer),
        lambda: sentences.pair_table(scores, (plans[0].keep, plans[1].keep)),
        key="ranks",
    )


def show_formula() -> None:
    """Show the criterion in words and as its formula with the values at hand."""
    st.markdown(inspect.getdoc(type(e.method.criterion)))
    st.latex(e.method.criterion.formula)
    if isinstance(e.method.criterion, LLMRank):
        st.markdown(
            sentences.rho_sentence(e.method.criterion, resources.zero_share(e.model))
        )


with panels.panel():
    access.check(e)
    if panels.has_scores(e):
        with st.spinner(f"Scoring by {e.method.criterion.name}"):
            scores = resources.pipeline().scores(e).normalised
            plan = resources.pipeline().plan(e)
            layers = sentences.layer_table(scores, plan.keep)
        show_all(scores, plan, layers)
        st.subheader("Where the threshold falls", anchor=False)
        show_thresholds(scores, plan, layers)
        st.subheader("The extremes", anchor=False)
        show_extremes(scores)
        st.subheader("Beside another criterion", anchor=False)
        show_other(scores, plan)
        st.subheader(f"How {e.method.criterion.name} scores", anchor=False)
        show_formula()
