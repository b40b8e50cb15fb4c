"""Explore: which neurons, and how do θ, γ and sparsity decide?"""

from pages.shared.frame import frame

CANVAS = ("theta", "gamma", "graph", "sparsity", "allocation", "multiple_of")
e = frame(
    "Explore",
    "Which neurons, and how do θ, γ and sparsity decide?",
    without=CANVAS,
)

import hashlib
from dataclasses import replace

import streamlit as st

from llmrank import corpora
from llmrank.criteria import CRITERIA, Criterion, LLMRank
from llmrank.experiment import Experiment
from llmrank.jobs import Job
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


def named(of: Experiment, *more: str) -> str:
    """Name a payload by all that decides it."""
    by = of.criterion
    if explorer.has_planes(by):
        by = replace(by, theta=0.5, gamma=0.5)  # planes are the same for all
    text = corpora.state_of(of.calibration.calibration_text)
    about = repr((of.model, of.calibration, text, by, more))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def others_of(of: Experiment) -> list[Criterion]:
    """Return the criteria that the one in hand is compared with."""
    return [CRITERIA[name]() for name in CRITERIA if name != of.criterion.name]


@st.cache_data(show_spinner=False, max_entries=4)
def compared_payload(name: str, _e: Experiment) -> bytes:
    """Pack the scores of the other criteria with their defaults."""
    stages = cached.stages()
    found = {o.name: stages.scores(_e.model, _e.calibration, o) for o in others_of(_e)}
    return pack(name, {n: s.layers for n, s in found.items()})


def compares(of: Experiment) -> bool:
    """Whether the other criteria are wanted beside the canvas."""
    return not explorer.is_large(of) or bool(st.session_state.get("compare_others"))


def at_hand(of: Experiment) -> bool:
    """Whether drawing needs no more than what is in memory, or soon is."""
    if not explorer.is_large(of):
        return True
    stages, known = cached.stages(), (of.model, of.calibration)
    by, wanted = of.criterion, others_of(of) if compares(of) else []
    if not (isinstance(by, LLMRank) and by.from_planes):
        wanted = [by, *wanted]
    if explorer.has_planes(by) and not stages.has_planes(*known, by.graph, by.site):
        return False
    return all(stages.has_scores(*known, criterion) for criterion in wanted)


def prepare(of: Experiment) -> None:
    """Make the scores of a large model in the worker; once for each that is wanted."""
    name = named(of, str(compares(of)), str(of.criterion))
    if jobs.active("planes"):
        return
    if st.session_state.get("prepared") == name and not st.button(
        "Compute its scores", key="prepare"
    ):
        return  # it was stopped, or failed: not again without being asked
    st.session_state["prepared"] = name
    stages, wanted = cached.stages(), others_of(of) if compares(of) else []

    def work(job: Job) -> None:
        if explorer.has_planes(of.criterion):
            where = (of.criterion.graph, of.criterion.site)
            stages.planes(of.model, of.calibration, *where, progress=job.progress)
        for criterion in (of.criterion, *wanted):
            stages.scores(of.model, of.calibration, criterion, progress=job.progress)

    jobs.start("planes", f"Scoring every neuron of {of.model.name}", work, key=name)


@st.fragment
def show_canvas() -> None:
    """Draw every neuron, live; a commit is confirmed before the page follows."""
    e = state.current()
    if explorer.is_large(e):
        st.toggle(
            "Compare with other criteria",
            key="compare_others",
            help="Scores by each of them and sends these: five numbers per neuron",
        )
    name = named(e)
    compared = named(e, "compared") if compares(e) else None
    if at_hand(e):
        links = selected.links(e)
        plan = cached.stages().plan(e.stage_specs)
        table = explorer.table_of(e)
        explorer.mount(name, plan, compared, links and links[0], table)
        explorer.send(explorer.planes_payload(name, e), key="planes")
        if compared is not None:
            explorer.send(compared_payload(compared, e), key="compared")
        if links is not None:
            explorer.send(selected.payload(links[0]["name"], e, links[1]), key="links")
    else:
        explorer.mount(name, None, None)
        prepare(e)
    if explorer.just_committed():
        st.rerun()


def show_held() -> None:
    """Show all that is known of the held neuron; let another be typed."""
    held = selected.held()
    widths = cached.stages().plan(e.stage_specs).dense_widths
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
    if panels.has_scores(e):
        show_canvas()
        ready = at_hand(e)
if ready:
    with panels.panel():
        selected.show_range(e)
with panels.panel():
    jobs.strip()
    if ready:
        show_beside(committed=explorer.just_moved())
