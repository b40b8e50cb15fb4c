"""Two criteria on one model: their ranks, and what both remove."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from llmrank.analysis.agreement import Agreement, agreement, disagreements
from llmrank.analysis.neuron import Neuron
from llmrank.core.specs import Option, described, options
from llmrank.experiments.experiment import Experiment
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank, criterion
from llmrank.methods.pruning import PruningPlan
from llmrank.report import charts, sentences
from pages.shared.app import clicks, panels, reading, resources, view_options
from pages.shared.explore import canvas, selection

AUTHORS = LLMRank(gamma=0.0, site="up")
"""The authors' code: activation at `up`'s output, and γ = 0 unless it is set."""

MOST = 50
"""How many neurons are listed on which two criteria disagree."""

OTHER = Option(
    "other", str, "activation", "What the experiment's scores are compared with",
    choices=tuple(CRITERIA),
)  # fmt: skip


def show(
    controls: DeltaGenerator,
    drawn: Experiment,
    scores: Sequence[Tensor],
    plan: PruningPlan,
) -> None:
    """Set a second criterion beside the experiment's."""
    with panels.panel():
        own = drawn.method.criterion
        with controls:
            other, layer = _choose_other(own, len(scores))
        second = drawn.using(criterion=other)
        if not reading.has_scores(second):
            return
        with st.spinner(f"Scoring by {other.name}"):
            others = resources.pipeline().scores(second).normalised
            its_plan = resources.pipeline().plan(second)
        agreed = agreement(scores, others, plan, its_plan)
        names = sentences.names(own, other)
        ranks, overlap = st.columns(2, gap="medium")
        apart = disagreements(scores, others, MOST)
        said = sentences.disagreements_sentence(apart, names)
        numbers = sentences.agreement_words(agreed, layer)
        with ranks:
            draw = slice(None) if layer is None else slice(layer, layer + 1)
            keep = (plan.keep[draw], its_plan.keep[draw])
            panels.chart(
                charts.rank_scatter(
                    scores[draw], others[draw], keep,
                    names=names, said=numbers, dark=panels.is_dark(),
                ),
                said,
                lambda: sentences.pair_table(
                    (scores, others), (plan.keep, its_plan.keep)
                ),
                key="ranks",
                on_select=_hold_point,
            )  # fmt: skip
        with overlap:
            _show_overlap(agreed, names, its_plan)
        selection.show_held(
            scores,
            plan.keep,
            "A point holds its neuron; a bar draws its layer's ranks.",
        )
        _show_apart(apart, names)
        clicks.hear(
            "overlap",
            lambda bar: view_options.put("scores", {"ranks": round(bar["x"])}),
        )


def _choose_other(own: Criterion, n_layers: int) -> tuple[Criterion, int | None]:
    """Draw the controls; return the second criterion and whose ranks are drawn."""
    rival = "activation" if own.name != "activation" else "llm-rank"
    every = tuple(str(layer) for layer in range(n_layers))
    choices = ("all", *every)
    ranks = Option("ranks", str, "all", "Whose ranks are drawn", choices=choices)
    name = view_options.choose("scores", replace(OTHER, default=rival), "Compare with")
    shown = view_options.choose("scores", ranks, "Ranks in layer")
    with st.popover(f"Settings of {name}"):
        declared = options(CRITERIA[name])
        closed = [o for o in declared if o.kind is not str or o.choices]
        values = {o.name: view_options.choose("scores", o) for o in closed}
    st.button(
        "Compare with the paper's setting",
        on_click=view_options.put,
        args=("scores", {"other": AUTHORS.name, **described(AUTHORS)}),
        help="The authors' code measures activation at the output of up_proj and "
        "leaves γ at 0 unless it is set.",
    )
    return criterion(name, **values), None if shown == "all" else int(shown)


def _show_overlap(
    agreement: Agreement, names: tuple[str, str], second: PruningPlan
) -> None:
    """Draw by layer how much of what one removes the other removes too."""
    table = sentences.agreement_table(agreement, second)
    n_removed = [o.n_a for o in agreement.overlaps]
    chance = (table["by_chance"] * n_removed).sum() / max(1, agreement.total.n_a)
    panels.chart(
        charts.overlap_bars(
            [o.share for o in agreement.overlaps],
            names=names,
            by_chance=table["by_chance"].tolist(),
            dark=panels.is_dark(),
        ),
        sentences.overlap_sentence(agreement, names, chance),
        lambda: table,
        key="overlap",
    )


def _show_apart(table: pd.DataFrame, names: tuple[str, str]) -> None:
    """List the neurons on which two criteria disagree most; a row is held."""
    st.markdown(f"**The {len(table)} neurons on which they differ most**")
    selection.choosable(
        table,
        [Neuron(*at) for at in table[["layer", "neuron"]].to_numpy().tolist()],
        key="apart_" + "_".join(names),
        height=250,
        column_config={
            "neuron": st.column_config.NumberColumn(format="%,d"),
            "rank_a": st.column_config.NumberColumn(
                f"rank by {names[0]}", format="%,d", help="In its layer, from 1"
            ),
            "rank_b": st.column_config.NumberColumn(
                f"rank by {names[1]}", format="%,d", help="In its layer, from 1"
            ),
            "apart": st.column_config.NumberColumn(
                format="%+.2f", help="Places apart, as a share of the layer's width"
            ),
        },
    )
    panels.csv(lambda: table, key="apart")


def _hold_point() -> None:
    """Hold the neuron whose point was clicked, here and in Explore."""
    for point in st.session_state["ranks"]["selection"]["points"]:
        layer, neuron = point["customdata"]
        canvas.hold(int(layer), int(neuron))
