"""Explore: which neurons, and how do θ, γ and sparsity decide?"""

from pages.shared.frame import frame

CANVAS = ("theta", "gamma", "graph", "sparsity", "scope", "multiple_of")
e = frame(
    "Explore",
    "Which neurons, and how do θ, γ and sparsity decide?",
    without=CANVAS,
)

import hashlib
from dataclasses import replace

import streamlit as st

from llmrank.criteria import CRITERIA, LLMRank
from llmrank.experiment import Experiment
from llmrank.payload import pack
from pages.shared import (
    access,
    cached,
    explorer,
    jobs,
    measured,
    neuron,
    panels,
    selected,
    state,
    steady,
)

MAX_COMPARED = 100_000
"""Neurons up to which other criteria are compared without being asked."""


def named(of: Experiment, *more: str) -> str:
    """Name a payload by all that decides it."""
    by = of.criterion
    if isinstance(by, LLMRank) and by.variant == "weighted":
        by = replace(by, theta=0.5, gamma=0.5)  # planes are the same for all
    about = repr((of.model, of.calibration, by, more))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


@st.cache_data(show_spinner=False, max_entries=4)
def compared_payload(name: str, _e: Experiment) -> bytes:
    """Pack the scores of the other criteria with their defaults."""
    others = [CRITERIA[n]() for n in CRITERIA if n != _e.criterion.name]
    found = {
        o.name: cached.stages().scores(_e.model, _e.calibration, o) for o in others
    }
    return pack(name, {n: s.layers for n, s in found.items()})


@st.fragment
def show_canvas() -> None:
    """Draw every neuron, live; a commit is confirmed before the page follows."""
    e = state.current()
    plan = cached.stages().plan(*e.stage_specs)
    name = named(e)
    few = sum(plan.dense_widths) <= MAX_COMPARED
    asked = few or st.toggle(
        "Compare with other criteria",
        key="compare_others",
        help="Sends their scores to the browser: five numbers per neuron",
    )
    compared = named(e, "compared") if asked else None
    links = selected.links(e)
    explorer.mount(name, plan, compared, links and links[0])
    explorer.send(explorer.planes_payload(name, e), key="planes")
    if compared is not None:
        explorer.send(compared_payload(compared, e), key="compared")
    if links is not None:
        explorer.send(selected.payload(links[0]["name"], e, links[1]), key="links")
    if explorer.just_committed():
        st.rerun()


def show_held() -> None:
    """Show all that is known of the held neuron; let another be typed."""
    held = selected.held()
    widths = cached.stages().plan(*e.stage_specs).dense_widths
    wanted = neuron.choose(held, widths)
    if wanted != held and wanted is not None:
        explorer.hold(wanted.layer, wanted.index)
        st.rerun()
    if held is None:
        st.caption("Click a neuron in the canvas, or go there by keys and press Enter.")
    else:
        neuron.show(e, held)


def show_beside(*, committed: bool) -> None:
    """Show what belongs to the setting, and to the neuron that is held."""
    found = steady.known(e)
    steady.warn(e, found)
    inspect, measure, stable = st.tabs(
        ["The neuron held", "Measured here", "Does the calibration suffice?"],
        key="beside",
    )
    with inspect, panels.panel():
        show_held()
    with measure, panels.panel():
        measured.show(e, committed=committed)
    with stable, panels.panel():
        steady.show(e, found)


ready = False
with panels.panel():
    access.check(e)
    ready = panels.has_scores(e)
    if ready:
        show_canvas()
if ready:
    with panels.panel():
        selected.show_range(e)
with panels.panel():
    jobs.strip()
    if ready:
        show_beside(committed=explorer.just_moved())
