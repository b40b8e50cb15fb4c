"""Explore: which neurons, and how do θ, γ and sparsity decide?"""

from pages.shared.app.frame import frame

CANVAS = ("theta", "gamma", "graph", "sparsity", "allocation", "multiple_of")
in_hand = frame(
    "Explore",
    "Which neurons, and how do θ, γ and sparsity decide?",
    without=CANVAS,
)

import hashlib
from contextlib import suppress
from dataclasses import replace

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.data import texts
from llmrank.experiments.experiment import Experiment
from llmrank.report.payload import of_planes
from pages.shared.app import access, panels, payloads, reading, resources, session
from pages.shared.app.escape import plain
from pages.shared.explore import (
    calibration_check,
    canvas,
    measure_here,
    neuron,
    selection,
)


def named(experiment: Experiment, *more: str) -> str:
    """Name a payload by all that decides it."""
    criterion = experiment.method.criterion
    if reading.has_planes(criterion):
        # all have the same planes
        criterion = replace(criterion, theta=0.5, gamma=0.5)
    text = texts.state_of(experiment.calibration.calibration_text)
    about = repr((experiment.model, experiment.calibration, text, criterion, more))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


@st.cache_data(show_spinner=False, max_entries=4)
def compared_payload(name: str, _experiment: Experiment) -> bytes:
    """Pack the scores of the other criteria with their defaults."""
    pipeline = resources.pipeline()
    others = {
        o.name: pipeline.scores(_experiment.using(criterion=o)).layers
        for o in reading.comparable(_experiment)
    }
    return of_planes(name, others)


def compares(experiment: Experiment) -> bool:
    """Whether the other criteria are wanted beside the canvas."""
    wanted = bool(st.session_state.get("compare_others"))
    return wanted or not reading.is_large(experiment)


@st.fragment
def show_canvas() -> None:
    """Draw every neuron, live; a commit is confirmed before the page follows."""
    e = session.current()
    if reading.is_large(e):
        st.toggle(
            "Compare with other criteria",
            key="compare_others",
            help="Scores by each of them and sends these: a number per neuron each",
        )
    shape = resources.shape_of(e.model)
    widths = shape and shape.widths
    drawn = reading.shown(e, compared=compares(e))
    if drawn is None:
        look = "Reading the model: its first scores come after one window of text …"
        canvas.mount(None, planes=named(e), widths=widths, look=look)
    else:
        mount(drawn, e, widths)
    if canvas.just_committed():
        st.rerun()


def mount(drawn: Experiment, wanted: Experiment, widths: object) -> None:
    """Draw the canvas of what is scored, and send it the numbers."""
    name, compared, look = named(drawn), None, None
    if drawn != wanted:
        read = wanted.calibration
        look = f"a first look: 1 of {read.samples:,} windows of the text is read"
    elif compares(drawn):
        others = [o.name for o in reading.comparable(drawn)]
        compared = named(drawn, "compared", *others)
    links = selection.links(drawn)
    canvas.mount(
        resources.pipeline().plan(drawn),
        planes=name,
        compared=compared,
        links=links and links[0],
        table=canvas.table_of(drawn),
        widths=widths,
        look=look,
    )
    payloads.send(canvas.planes_payload(name, drawn), key="planes")
    if links is not None:
        payloads.send(selection.payload(links[0]["name"], drawn, links[1]), key="links")
    if compared is not None:
        payloads.send(compared_payload(compared, drawn), key="compared")


def show_held() -> None:
    """Show all that is known of the held neuron; let another be typed."""
    held = canvas.held()
    widths = resources.pipeline().plan(in_hand).dense_widths
    wanted = neuron.choose(held, widths)
    if wanted != held and wanted is not None:
        canvas.hold(wanted.layer, wanted.index)
        st.rerun()
    if held is None:
        st.caption("Click a neuron in the canvas, or go there by keys and press Enter.")
    else:
        neuron.show(in_hand, held)


def show_beside(*, committed: bool) -> None:
    """Show what belongs to the setting, and to the neuron that is held."""
    stability = calibration_check.known(in_hand)
    calibration_check.warn(in_hand, stability)
    inspect, measure, stable = st.tabs(
        ["The neuron held", "Measured here", "Does the calibration suffice?"],
        key="beside",
    )
    with inspect, panels.panel():
        show_held()
    with measure, panels.panel():
        measure_here.show(in_hand, committed=committed)
    with stable, panels.panel():
        calibration_check.show(in_hand, stability)


def show_way_back() -> None:
    """Lead back to the lesson's step that led here, and to what was in hand before."""
    step, before = session.views().get(canvas.LESSON), session.aside()
    if step is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        to_lesson = st.button(
            f"Back to step {plain(step[:2])} of the lesson",
            icon=":material/arrow_back:", key="way_back",
        )  # fmt: skip
        to_own = False
        if before is not None:
            st.caption(
                "Its θ, γ, sparsity and uniform widths are in hand.", width="content"
            )
            said = f"Back to {plain(before.method.name)}"
            to_own = st.button(said, type="tertiary", key="own_way_back")
    if not (to_lesson or to_own):
        return
    if before is not None:
        session.adopt(before)
    session.view(canvas.LESSON, None)
    if to_lesson:
        st.switch_page("pages/lesson.py")
    st.rerun()


drawn = None
with panels.panel():
    access.check(in_hand)
    show_way_back()
    drawn = reading.shown(in_hand, compared=compares(in_hand))
    if drawn != in_hand:
        reading.offer(in_hand, compared=compares(in_hand))
    show_canvas()
    held = canvas.held()
    if drawn is not None and held is not None:
        with suppress(LLMRankError):  # said where all of it is shown
            neuron.send(drawn, held)
    reading.wait(in_hand, drawn)
    if drawn is not None:
        selection.show_range(drawn)
with panels.panel():
    if drawn == in_hand:
        show_beside(committed=canvas.just_moved())
