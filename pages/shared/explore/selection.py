"""What is selected in the canvas: its strongest edges, and its neurons as a table."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from llmrank.analysis.neuron import (
    Neuron,
    Paths,
    Range,
    Selection,
    View,
    in_range,
    paths,
    selection,
)
from llmrank.core.formatting import number
from llmrank.experiments.experiment import Experiment
from llmrank.methods.pruning import PruningPlan
from llmrank.models.ffn import ffns
from llmrank.report import sentences
from llmrank.report.payload import pack
from pages.shared.app import panels, resources, row_selection
from pages.shared.explore import canvas

COLUMNS = ["layer", "neuron", "times_uniform", "rank", "fate"]
HEIGHT = 250


def brushed() -> Range | None:
    """Return the range that is brushed."""
    brush = canvas.view()["brush"]
    return brush and Range(brush["layer"], brush["from"], brush["to"])


def links(experiment: Experiment) -> tuple[dict[str, str], Selection] | None:
    """Say whose edges the canvas should draw, and under which name they are sent."""
    seen = canvas.view()
    if seen["edges"] == "off":
        return None
    pipeline = resources.pipeline()
    view = View(
        layer=seen["layer"],
        first=seen["from"],
        end=seen["to"],
        by_rank=seen["sort"] == "rank",
        held=canvas.held(),
        brush=brushed(),
    )
    d_model = ffns(pipeline.model(experiment).model)[0].up.shape[1]
    selected = selection(pipeline.scores(experiment).layers, view, d_model=d_model)
    if selected is None:
        return None
    return {"name": _name(experiment, selected), "said": selected.said}, selected


@st.cache_data(show_spinner=False, max_entries=32)
def payload(name: str, _experiment: Experiment, _selection: Selection) -> bytes:
    """Pack the strongest edges of a selection; the name tells it and the model."""
    model = resources.pipeline().model(_experiment)
    strongest: Paths = paths(
        ffns(model.model), _selection.selected, among=_selection.among
    )
    ends = {name: getattr(strongest, name) for name in ("layer", "source", "target")}
    sections = {end: neurons.to(torch.int32) for end, neurons in ends.items()}
    return pack(name, sections | {"flow": strongest.flow.float()})


def show_range(experiment: Experiment) -> None:
    """List the neurons of the range that is brushed; a row that is chosen is held."""
    brush = brushed()
    if brush is None:
        return
    pipeline, by_rank = resources.pipeline(), canvas.view()["sort"] == "rank"
    scores = pipeline.scores(experiment).normalised
    neurons = in_range(scores, brush, by_rank=by_rank).tolist()
    if not neurons:
        return
    plan = pipeline.plan(experiment)
    of_layer = sentences.neuron_table([scores[brush.layer]], [plan.keep[brush.layer]])
    table = of_layer.iloc[neurons].assign(layer=brush.layer)
    table["fate"] = table["kept"].map({True: "kept", False: "removed"})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown(_about(table, brush, by_rank))
        panels.csv(lambda: table[COLUMNS], key="range")
    choosable(
        table[COLUMNS],
        [Neuron(brush.layer, n) for n in neurons],
        key=f"range_{brush.layer}_{brush.first}_{brush.end}_{by_rank}",
        height=min(HEIGHT, 38 + 35 * len(table)),
        column_config={
            "times_uniform": st.column_config.NumberColumn(
                "score, × mean", help="Times its layer's mean"
            ),
            "rank": st.column_config.NumberColumn(help="In its layer, from 1"),
            "fate": st.column_config.TextColumn("at this sparsity"),
        },
    )


def choosable(
    table: pd.DataFrame, neurons: list[Neuron], *, key: str, **looks: Any
) -> None:
    """Show a table of neurons: a row that is chosen is held, what is held is chosen."""

    def take(neuron: Neuron | None) -> None:
        if neuron is not None:
            canvas.hold(neuron.layer, neuron.index)
        elif canvas.held() in neurons:
            canvas.let_go()

    written = table.style.format(number, [c for c in table if c == "times_uniform"])
    row_selection.choose(written, neurons, canvas.held(), take, key=key, **looks)


def first_layer(plan: PruningPlan) -> int:
    """Open on the layer of the neuron held, or of those that lose most the middle."""
    neuron = canvas.held()
    if neuron is not None and neuron.layer < len(plan.keep):
        return neuron.layer
    lost = [n - k for n, k in zip(plan.dense_widths, plan.widths, strict=True)]
    most = [layer for layer, n in enumerate(lost) if n == max(lost)]
    return most[len(most) // 2]


def show_held(scores: Sequence[Tensor], keep: Sequence[Tensor], hint: str) -> None:
    """Say what the neuron held is and lead to it; without one, how to hold one."""
    neuron = canvas.held()
    if neuron is not None and neuron.layer >= len(scores):
        neuron = None
    with st.container(horizontal=True, vertical_alignment="center"):
        said = neuron and sentences.neuron_sentence(scores, keep, neuron)
        st.markdown(said or f":gray[{hint}]", width="content")
        open_in_explore(neuron)


def open_in_explore(neuron: Neuron | None) -> None:
    """Lead to a neuron in the canvas, where it is held."""
    arrow, is_none = ":material/arrow_forward:", neuron is None
    if st.button("Open in Explore", icon=arrow, key="to_explore", disabled=is_none):
        canvas.hold(neuron.layer, neuron.index)
        st.switch_page("pages/explore.py")


def _about(table: pd.DataFrame, brush: Range, by_rank: bool) -> str:
    order = "ranks" if by_rank else "indices"
    first = brush.first + by_rank
    last = first + len(table) - 1
    n_removed = int((table["fate"] == "removed").sum())
    return (
        f"**{len(table):,} neurons of layer {brush.layer}** ({order} {first:,} to "
        f"{last:,}); {n_removed:,} of them are removed. Choose a row to hold that "
        "neuron."
    )


def _name(experiment: Experiment, selection: Selection) -> str:
    """Name the edges of a selection by all that decides them."""
    about = hashlib.sha256(repr(experiment.model).encode())
    for part in (selection.selected, selection.among):
        for layer, neurons in part.items():
            about.update(f"{layer}, {len(neurons)}:".encode())
            about.update(neurons.numpy().tobytes())
        about.update(b"among")
    return about.hexdigest()[:16]
