"""Graph: what does the network of one layer look like?"""

from pages.shared.app.frame import frame

in_hand = frame("Graph", "What does the network of one layer look like?")

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
import streamlit as st
from torch import Tensor

from llmrank.analysis.neuron import Neuron, promoted
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import number
from llmrank.methods.criteria import LLMRank
from llmrank.methods.pruning import PruningPlan
from llmrank.models.checkpoints import DEMO_NAME
from llmrank.models.ffn import FFN, ffns
from llmrank.report import network, sentences
from llmrank.report.network import NetworkSpec
from pages.shared.app import (
    access,
    clicks,
    panels,
    reading,
    resources,
    row_selection,
    session,
    view_options,
)
from pages.shared.app.escape import plain
from pages.shared.explore import canvas, selection

HEIGHT = 460
HEARD = "graph_held"
"""What the picture tells: the node that was clicked."""

DIMENSION = "graph_dimension"
"""The residual dimension held, and the neuron before it: until another is held."""

N_ROWS, N_TOKENS = 3, 6
LABELS = {
    "n_layers": "Layers in a chain",
    "which": "Neurons drawn, by score",
    "n_neurons": "Neurons of each layer",
    "n_residual": "Residual dimensions",
    "n_edges": "Edges",
}


@st.fragment
def show(views: Sequence[FFN], scores: Sequence[Tensor], plan: PruningPlan) -> None:
    """Draw the graph with the node held beside it, and its edges as a table."""
    with panels.panel():
        spec = choose(views, plan)
        mass = resources.pipeline().stats(drawn).layers[spec.layer]
        graph = network.network(
            views, scores, plan.keep, spec, mass=mass.input_norm, also=also(spec)
        )
        parts = parts_of(spec.layer, scores, plan)
        st.markdown(sentences.separation_sentence(parts, spec.layer))
        left, right = st.columns([0.74, 0.26])
        title = title_of(spec)
        theme = "dark" if panels.is_dark() else "light"
        shown = parts if spec.n_layers == 1 else None
        page = network.html(graph, title=title, theme=theme, parts=shown)
        left.iframe(page, height=HEIGHT, alt=title)
        with right, st.container(height=HEIGHT, border=False, gap="xsmall"):
            show_held(graph, views, scores, plan)
        cut = sentences.cut_sentence(parts, views[spec.layer])
        st.markdown(f"{cut} {sentences.network_sentence(graph, views)}")
        if spec.which == "boundary" and not plan.n_dropped:
            st.caption(
                "Nothing is removed, so there is no boundary: these are the lowest."
            )
        show_edges(graph, page)


def parts_of(layer: int, scores: Sequence[Tensor], plan: PruningPlan) -> pd.DataFrame:
    """Return what the scores of a layer are made of, for a criterion that adds up."""
    criterion, activation = drawn.method.criterion, None
    if isinstance(criterion, LLMRank):
        stats = resources.pipeline().stats(drawn).layers[layer]
        activation = criterion.activation_part(stats)
    return network.score_parts(scores[layer], plan.keep[layer], activation)


def choose(views: Sequence[FFN], plan: PruningPlan) -> NetworkSpec:
    """Draw the controls within what the model has."""

    def ask(name: str, high: int | None = None, **look: Any) -> Any:
        o = view_options.option_of(NetworkSpec, name)
        o = o if high is None else view_options.limited(o, min(high, o.high or high))
        if name == "layer":
            o = replace(o, default=min(selection.first_layer(plan), o.high))
        return view_options.choose("graph", o, LABELS.get(name), **look)

    layer, which, more = st.columns(
        [0.38, 0.36, 0.26], vertical_alignment="bottom", gap="medium"
    )
    with more, st.popover("How much is drawn", width="stretch"):
        n_layers = ask("n_layers", len(views))
        amounts = {
            "n_neurons": ask("n_neurons", max(plan.dense_widths)),
            "n_residual": ask("n_residual", views[0].up.shape[1]),
            "n_edges": ask("n_edges"),
        }
    with layer:
        first = ask("layer", len(views) - n_layers)
    with which:
        drawn_neurons = ask("which", form="buttons")
    return NetworkSpec(n_layers=n_layers, layer=first, which=drawn_neurons, **amounts)


def also(spec: NetworkSpec) -> tuple[int, int] | None:
    """Return the neuron held: it is drawn whatever its rank, and no other beside it.

    Whoever leaves its layer lets it go: a page shows no other one as held.
    """
    neuron = canvas.held()
    if neuron is None:
        return None
    if not spec.layer <= neuron.layer < spec.layer + spec.n_layers:
        canvas.let_go()
        return None
    return neuron.layer, neuron.index


def show_held(
    graph: nx.DiGraph, views: Sequence[FFN], scores: Sequence[Tensor], plan: PruningPlan
) -> None:
    """Say what the node held is, and lead on; other pages hold a neuron too."""
    name = held_node(graph)
    hear = clicks.listener("frames")
    hear(key=HEARD, data={"node": name}, on_node_change=lambda: hold(graph))
    node = graph.nodes[name]
    if node["kind"] == "residual":
        show_dimension(node, views)
        return
    neuron = Neuron(node["layer"], node["index"])
    st.markdown(sentences.neuron_sentence(scores, plan.keep, neuron))
    if canvas.held() is None:
        st.caption("The highest drawn; click another's circle, square or name.")
    show_parts(parts_of(neuron.layer, scores, plan), neuron)
    model = resources.pipeline().model(drawn)
    with suppress(LLMRankError):  # a head that is not on the residual stream
        tokens = promoted(model, neuron, N_TOKENS, readable=True).promoted
        st.caption(f"Promotes {plain(' · '.join(t.token.strip() for t in tokens))}")
    selection.open_in_explore(neuron)


def show_parts(parts: pd.DataFrame, neuron: Neuron) -> None:
    """Set a neuron's score and its parts beside those of the kept and the removed."""
    means = sentences.mean_parts(parts)
    own = parts.loc[neuron.index, means.index] / parts[means.index].mean()
    means.insert(0, "this", own.fillna(0))
    st.table(means.map(number).rename_axis("× mean"))
    criterion = drawn.method.criterion
    if "edges" in parts:
        rest = 1 - criterion.gamma
        st.caption(
            f"score = γ {criterion.gamma:.2f} × edges + {rest:.2f} × activation (Eq. 7)"
        )


def held_node(graph: nx.DiGraph) -> str:
    """Name the node that is held, or else the most central neuron."""
    neuron = canvas.held()
    dimension, before = st.session_state.get(DIMENSION, (None, None))
    if dimension in graph and before == canvas.named(neuron):
        return dimension
    name = neuron and f"neuron-{neuron.layer}-{neuron.index}"
    return name if name in graph else network.most_central(graph)


def hold(graph: nx.DiGraph) -> None:
    """Hold the node that was clicked; a neuron in Explore as well."""
    name = st.session_state[HEARD]["node"]
    node = graph.nodes.get(name, {})
    if node.get("kind") == "residual":
        st.session_state[DIMENSION] = (name, canvas.named(canvas.held()))
    elif node:
        canvas.hold(node["layer"], node["index"])
        session.view("graph.layer", str(graph.graph["layer"]))  # the chain stays
        st.session_state.pop(DIMENSION, None)


def show_dimension(node: dict[str, Any], views: Sequence[FFN]) -> None:
    """List who writes most to a residual dimension, and who reads most from it."""

    def go(neuron: Neuron | None) -> None:
        if neuron is not None:
            canvas.hold(neuron.layer, neuron.index)
            view_options.put("graph", {"layer": str(neuron.layer)})

    st.markdown(f"**Residual dimension {node['index']}**")
    tables = network.dimension_tables(views, node["layer"], node["index"], N_ROWS)
    for side, table in tables.items():
        layer = int(table["layer"].iloc[0])
        st.caption(f"Most {side} by these neurons of layer {layer}; a row holds one.")
        row_selection.choose(
            table.assign(share=100 * table["share"]),
            [Neuron(layer, n) for n in table["neuron"].tolist()],
            None,
            go,
            key=f"dimension_{side}_{node['layer']}_{node['index']}",
            column_order=["neuron", "weight", "share"],
            column_config={
                "neuron": st.column_config.NumberColumn(format="%,d"),
                "weight": st.column_config.NumberColumn(format="%+.2g"),
                "share": st.column_config.NumberColumn(format="%.2g %%"),
            },
        )


def title_of(spec: NetworkSpec) -> str:
    """Name what is drawn, for the page that leaves this one."""
    model = DEMO_NAME if in_hand.model.name == "demo" else Path(in_hand.model.name).name
    last = spec.layer + spec.n_layers - 1
    layers = f"layer {last}" if spec.n_layers == 1 else f"layers {spec.layer} to {last}"
    return f"{model}, {layers}, {in_hand.method.criterion.name}"


def show_edges(graph: nx.DiGraph, page: str) -> None:
    """List the edges that are drawn, the strongest first, and offer all as files."""
    table = network.network_table(graph)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown("##### The strongest edges", width="stretch")
        st.download_button(
            "Page (HTML)", lambda: page, "llm-rank-graph.html", "text/html",
            on_click="ignore", icon=":material/download:",
            help="Opens in any browser, without a network",
        )  # fmt: skip
        st.download_button(
            "GraphML", lambda: network.graphml(graph), "llm-rank-graph.graphml",
            "application/graphml+xml", on_click="ignore", icon=":material/download:",
            help="For Gephi, yEd, Cytoscape or networkx",
        )  # fmt: skip
        panels.csv(lambda: table, key="graph-edges")
    st.dataframe(
        table.assign(share=100 * table["share"]),
        hide_index=True,
        column_config={
            "weight": st.column_config.NumberColumn("|weight|", format="%.3g"),
            "signed": st.column_config.NumberColumn("weight", format="%.3g"),
            "share": st.column_config.NumberColumn(
                format="%.3g %%", help="Of all weight that leaves the source"
            ),
        },
        key="edges",
    )


with panels.panel():
    access.check(in_hand)
    drawn = reading.shown(in_hand)
    if drawn != in_hand:
        reading.offer(in_hand)
    if drawn is not None:
        pipeline = resources.pipeline()
        views = ffns(pipeline.model(drawn).model)
        show(views, pipeline.scores(drawn).normalised, pipeline.plan(drawn))
    reading.wait(in_hand, drawn)
