"""The neuron held: what stands beside the canvas at once, and all of it below."""

import html
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

import pandas as pd
import streamlit as st

from llmrank.analysis import neuron
from llmrank.analysis.neuron import (
    Neuron,
)
from llmrank.core.errors import LLMRankError
from llmrank.experiments.experiment import Experiment
from llmrank.methods.criteria import CRITERIA
from llmrank.report.payload import pack
from pages.shared.app import jobs, panels, payloads, reading, resources
from pages.shared.app.escape import plain
from pages.shared.explore import canvas, inspection, selection

N_SHOWN = 8
N_BESIDE, N_TOKENS, N_CONTEXTS = 3, 4, 2
"""Edges and neighbours, tokens, contexts beside the canvas; more stands below."""

POSITIVE, NEGATIVE = "0, 114, 178", "213, 94, 0"
"""Blue and vermilion, told apart by colour-blind people."""


def choose(held: Neuron | None, widths: Sequence[int]) -> Neuron | None:
    """Let a neuron be typed; return the one that is held."""
    start = held or Neuron()
    key = f"{start.layer}_{start.index}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        last = len(widths) - 1
        layer = st.number_input(
            "Layer", 0, last, min(start.layer, last), key=f"layer_{key}", width=140
        )
        last = widths[layer] - 1
        index = st.number_input(
            "Neuron", 0, last, min(start.index, last), key=f"neuron_{key}", width=160
        )
        asked = st.button("Hold it", disabled=Neuron(layer, index) == held, key="hold")
    return Neuron(layer, index) if asked else held


def send(experiment: Experiment, place: Neuron) -> None:
    """Send what is known of a neuron to its place beside the canvas.

    What needs reading is read in the worker when the neuron was just taken in hand.
    """

    def again(*_: object) -> None:
        known = facts(experiment, place)
        payloads.send(pack("held", {}, **known), key="held")

    if not jobs.live(inspection.KIND, again):
        again()
    asked = st.session_state.pop(canvas.ASKED, None)
    found = inspection.found_of(experiment, place)
    if asked == "worth" or (asked and found is None):
        inspection.start(experiment, place, worth=asked == "worth")


def facts(experiment: Experiment, place: Neuron) -> dict[str, object]:
    """Return a neuron's tokens, edges and neighbours, and what was read of it."""
    model = resources.pipeline().model(experiment)
    found = inspection.found_of(experiment, place)
    said: dict[str, object] = {
        **canvas.named(place),
        "reading": jobs.active(inspection.KIND),
    }
    wiring = neuron.edges(model, place, N_BESIDE)
    for way in ("incoming", "outgoing"):
        said[way] = [asdict(edge) for edge in getattr(wiring, way)]
    for way in ("preceding", "following"):
        said[way] = [
            canvas.named(path.neuron) | {"times": path.times_even}
            for path in getattr(wiring, way)
        ]
    with suppress(LLMRankError):  # a head that is not on the residual stream
        tokens = neuron.promoted(model, place, N_TOKENS, readable=True)
        said["promotes"] = [t.token for t in tokens.promoted]
        said["suppresses"] = [t.token for t in tokens.suppressed]
    if found is not None:
        said["contexts"] = [
            inspection.scaled(c)[max(0, c.peak - 7) : c.peak + 3]
            for c in found.firing.contexts[:N_CONTEXTS]
        ]
        said["fires"] = inspection.in_short(found.firing)
        if found.effect is not None:
            said["worth"] = inspection.worths(found.effect)
    return said


def show(experiment: Experiment, place: Neuron) -> None:
    """Show its places and edges as tables, and what was measured of it."""
    st.markdown(f"##### Layer {place.layer}, neuron {place.index:,}")
    left, right = st.columns(2)
    with left, panels.panel():
        show_ranks(experiment, place)
    with right, panels.panel():
        model = resources.pipeline().model(experiment)
        show_edges(neuron.edges(model, place, N_SHOWN))
    with panels.panel():
        show_measured(experiment, place)


def show_ranks(experiment: Experiment, place: Neuron) -> None:
    """List its rank under every criterion."""
    pipeline, own = resources.pipeline(), experiment.method.criterion.name
    others = reading.comparable(experiment)
    unread = sorted(set(CRITERIA) - {own, *(other.name for other in others)})
    if reading.is_large(experiment):  # the canvas compares with the rest when asked to
        peek = pipeline.scores.peek
        others = [by for by in others if peek(experiment.using(criterion=by))]
    shown = (experiment.method.criterion, *others)
    scores = {c.name: pipeline.scores(experiment.using(criterion=c)) for c in shown}
    ranks = neuron.ranks(place, scores, pipeline.planner.planner(experiment))
    st.markdown(f"**Its rank** among {ranks[0].n_layer:,} of its layer")
    rows = [
        {
            "criterion": r.criterion,
            "in layer": r.in_layer,
            "in model": r.in_model,
            "at this sparsity": "removed" if r.dropped else "kept",
        }
        for r in ranks
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=dict.fromkeys(
            ("in layer", "in model"), st.column_config.NumberColumn(format="%,d")
        ),
        key="inspector-ranks",
    )
    n_removing = sum(r.dropped for r in ranks)
    st.caption(
        f"{n_removing} of {len(ranks)} criteria remove it. Rank 1 is the highest "
        "score; the others have their default parameters."
        + (
            f" More would have to be read for {', '.join(sorted(unread))}."
            if unread
            else ""
        )
    )


def show_edges(wiring: neuron.Edges) -> None:
    """List its strongest edges, and where they lead in the chained graph."""
    st.markdown("**Its strongest edges**, in and out of the residual stream")
    rows = [
        {
            "edge": way,
            "residual": e.residual,
            "weight": e.weight,
            "share": 100 * e.share,
        }
        for way, edges in (("in", wiring.incoming), ("out", wiring.outgoing))
        for e in edges[: N_SHOWN // 2]
    ]
    shares = {
        "weight": st.column_config.NumberColumn(format="%.3g"),
        "share": st.column_config.NumberColumn(
            format="%.3g %%", help="Of all its absolute weights on that side"
        ),
    }
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, column_config=shares, key="inspector-edges"
    )
    rows = [
        {
            "neighbour": way,
            "neuron": f"L{p.neuron.layer} · {p.neuron.index:,}",
            "flow": p.times_even,
        }
        for way, paths in (("before", wiring.preceding), ("after", wiring.following))
        for p in paths[: N_SHOWN // 2]
    ]
    flow = st.column_config.NumberColumn(
        "× even",
        format="%.3g",
        help="Flow: the share of the mass that reaches the other end along the "
        "weights, against an even split. Attention is no part of the graph.",
    )
    selection.choosable(
        pd.DataFrame(rows),
        [
            p.neuron
            for paths in (wiring.preceding, wiring.following)
            for p in paths[: N_SHOWN // 2]
        ],
        key="inspector-paths",
        column_config={"flow": flow},
    )


def show_measured(experiment: Experiment, place: Neuron) -> None:
    """Show where it fires and what it is worth; measure it when asked."""
    if jobs.live(inspection.KIND, lambda _: _show_found(experiment, place)):
        return
    _show_found(experiment, place)
    found = inspection.found_of(experiment, place)
    if found is None or found.effect is None or found.experiment != experiment:
        st.button(
            "Read where it fires and measure what it is worth",
            type="primary",
            on_click=inspection.start,
            args=(experiment, place),
            key=inspection.KIND,
            help="One pass over the calibration text, then the held-out text with the "
            "neuron and without it.",
        )


def _show_found(experiment: Experiment, place: Neuron) -> None:
    found = inspection.found_of(experiment, place)
    if found is None:
        return
    left, right = st.columns([2, 1])
    with left:
        st.markdown("**Where it fires most**")
        for context in found.firing.contexts:
            tokens = (_token(*pair) for pair in inspection.scaled(context))
            st.html(f"<p>{''.join(tokens)}</p>")
        colours = (
            "Blue: positive, orange: negative, as deep as the activation is large."
        )
        st.caption(f"{plain(inspection.how_often(found.firing))} {colours}")
    with right:
        if found.effect is None:
            return
        panels.other_settings(found.experiment, experiment)
        st.markdown("**What it is worth**")
        for said in inspection.worths(found.effect):
            st.markdown(plain(said))
        inputs = plain(found.effect.inputs)
        st.caption(f"It is {inputs}; 95 % intervals, paired by window.")


def _token(text: str, share: float) -> str:
    """Write a token on a ground as deep as its activation; all text is escaped."""
    colour = POSITIVE if share > 0 else NEGATIVE
    shown = html.escape(text).replace("\n", "↵")
    return f'<span style="background: rgba({colour}, {abs(share):.2f})">{shown}</span>'
