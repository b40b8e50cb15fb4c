"""Graph: what does the network of one layer look like?"""

from pages.shared.app.frame import frame

in_hand = frame("Graph", "What does the network of one layer look like?")

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import streamlit as st
from torch import Tensor

from llmrank.methods.pruning import PruningPlan
from llmrank.models.checkpoints import DEMO_NAME
from llmrank.models.ffn import FFN, ffns
from llmrank.report import network, sentences
from llmrank.report.network import NetworkSpec
from pages.shared.app import (
    access,
    assets,
    panels,
    reading,
    resources,
    view_options,
)
from pages.shared.app.lasting import lasting
from pages.shared.explore import canvas

HEIGHT = 560
HELD = "graph_held"
LABELS = {
    "n_layers": "Layers in a chain",
    "which": "Neurons drawn",
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
        graph = network.network(views, scores, plan.keep, spec, mass=mass.input_norm)
        left, right = st.columns([0.76, 0.24])
        title = title_of(spec)
        theme = "dark" if panels.is_dark() else "light"
        page = network.html(graph, title=title, theme=theme)
        left.iframe(page, height=HEIGHT, alt=title)
        with right, st.container(height=HEIGHT, border=True):
            show_held(graph)
        st.markdown(sentences.network_sentence(graph, views))
        if spec.which == "boundary" and not plan.n_dropped:
            st.caption(
                "Nothing is removed, so there is no boundary: these are the lowest."
            )
        show_edges(graph, page)


def choose(views: Sequence[FFN], plan: PruningPlan) -> NetworkSpec:
    """Draw the controls within what the model has."""

    def ask(name: str, high: int | None = None) -> Any:
        o = view_options.option_of(NetworkSpec, name)
        o = o if high is None else view_options.limited(o, min(high, o.high or high))
        return view_options.choose("graph", o, LABELS.get(name))

    layer, chain, which, more = st.columns(
        [0.3, 0.2, 0.25, 0.25], vertical_alignment="bottom", gap="medium"
    )
    with chain:
        n_layers = ask("n_layers", len(views))
    with layer:
        first = ask("layer", len(views) - n_layers)
    with which:
        drawn_neurons = ask("which")
    with more, st.popover("How much is drawn", width="stretch"):
        return NetworkSpec(
            n_layers=n_layers,
            layer=first,
            which=drawn_neurons,
            n_neurons=ask("n_neurons", max(plan.dense_widths)),
            n_residual=ask("n_residual", views[0].up.shape[1]),
            n_edges=ask("n_edges"),
        )


@lasting
def listener() -> Callable[..., Any]:
    """Register the component that hears the graph's page, once."""
    new = st.components.v2.component
    return new("llmrank_frames", js=assets.module("common/frames.js"))


def show_held(graph: nx.DiGraph) -> None:
    """Say what the node held is, and lead on; it is held on the other pages too."""
    neuron = canvas.held()
    name = None if neuron is None else f"neuron-{neuron.layer}-{neuron.index}"
    told = (st.session_state.get(HELD) or {}).get("node", name)
    listener()(key=HELD, data={"node": told}, on_node_change=lambda: hold(graph))
    if told not in graph:
        st.markdown("**No node held**")
        st.caption(
            "Click one: its rank, its strength and its heaviest edges stand here."
        )
        return
    title, *facts = network.node_facts(graph, told)
    st.markdown("  \n".join([f"**{title}**", *facts]))
    if graph.nodes[told]["kind"] == "neuron":
        st.page_link(
            "pages/explore.py",
            label="Open in Explore",
            icon=":material/arrow_forward:",
        )


def hold(graph: nx.DiGraph) -> None:
    """Hold the node that was clicked; a neuron in Explore as well."""
    node = graph.nodes.get(st.session_state[HELD]["node"], {})
    if node.get("kind") == "neuron":
        canvas.hold(node["layer"], node["index"])


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
        st.subheader("The strongest edges", anchor=False)
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
