"""Explore: which neurons, and how do θ, γ and sparsity decide?"""

from pages.shared.app.frame import frame

CANVAS = ("theta", "gamma", "graph", "sparsity", "allocation", "multiple_of")
e = frame(
    "Explore",
    "Which neurons, and how do θ, γ and sparsity decide?",
    without=CANVAS,
)

import hashlib
from dataclasses import replace

import streamlit as st

from llmrank.core.jobs import Job
from llmrank.data import texts
from llmrank.experiments.experiment import Experiment
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank
from llmrank.report.payload import of_planes
from pages.shared.app import access, jobs, panels, payloads, resources, session
from pages.shared.explore import (
    calibration_check,
    canvas,
    measure_here,
    neuron,
    selection,
)


def named(experiment: Experiment, *more: str) -> str:
    """Name a payload by all that decides it."""
    by = experiment.method.criterion
    if canvas.has_planes(by):
        by = replace(by, theta=0.5, gamma=0.5)  # planes are the same for all
    text = texts.state_of(experiment.calibration.calibration_text)
    about = repr((experiment.model, experiment.calibration, text, by, more))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def others_of(experiment: Experiment) -> list[Criterion]:
    """Return the criteria that the one in hand is compared with.

    Those that would have to read more text first are left out: a page does not wait.
    """
    others = [
        CRITERIA[name]()
        for name in CRITERIA
        if name != experiment.method.criterion.name
    ]
    is_known = resources.pipeline().evidence.is_known
    return [by for by in others if is_known(experiment.using(criterion=by))]


@st.cache_data(show_spinner=False, max_entries=4)
def compared_payload(name: str, _experiment: Experiment) -> bytes:
    """Pack the scores of the other criteria with their defaults."""
    pipeline = resources.pipeline()
    others = {
        o.name: pipeline.scores(_experiment.using(criterion=o))
        for o in others_of(_experiment)
    }
    return of_planes(name, {n: s.layers for n, s in others.items()})


def compares(experiment: Experiment) -> bool:
    """Whether the other criteria are wanted beside the canvas."""
    return not canvas.is_large(experiment) or bool(
        st.session_state.get("compare_others")
    )


def at_hand(experiment: Experiment) -> bool:
    """Whether drawing needs no more than what is in memory, or soon is."""
    if not canvas.is_large(experiment):
        return True
    pipeline, by = resources.pipeline(), experiment.method.criterion
    wanted = others_of(experiment) if compares(experiment) else []
    if not (isinstance(by, LLMRank) and by.from_planes):
        wanted = [by, *wanted]
    if canvas.has_planes(by) and pipeline.planes.peek(experiment) is None:
        return False
    return None not in [
        pipeline.scores.peek(experiment.using(criterion=c)) for c in wanted
    ]


def prepare(experiment: Experiment) -> None:
    """Make the scores of a large model in the worker; once for each that is wanted."""
    name = named(
        experiment, str(compares(experiment)), str(experiment.method.criterion)
    )
    if jobs.active("planes"):
        return
    if st.session_state.get("prepared") == name and not st.button(
        "Compute its scores", key="prepare"
    ):
        return  # it was stopped, or failed: not again without being asked
    st.session_state["prepared"] = name
    pipeline, wanted = (
        resources.pipeline(),
        others_of(experiment) if compares(experiment) else [],
    )

    def work(job: Job) -> None:
        if canvas.has_planes(experiment.method.criterion):
            pipeline.planes(experiment, progress=job.progress)
        for criterion in (experiment.method.criterion, *wanted):
            pipeline.scores(
                experiment.using(criterion=criterion), progress=job.progress
            )

    title = f"Scoring every neuron of {experiment.model.name}"
    jobs.start("planes", title, work, key=name, lane="light")


@st.fragment
def show_canvas() -> None:
    """Draw every neuron, live; a commit is confirmed before the page follows."""
    e = session.current()
    if canvas.is_large(e):
        st.toggle(
            "Compare with other criteria",
            key="compare_others",
            help="Scores by each of them and sends these: a number per neuron each",
        )
    name = named(e)
    others = [o.name for o in others_of(e)]
    compared = named(e, "compared", *others) if compares(e) else None
    if at_hand(e):
        links = selection.links(e)
        plan = resources.pipeline().plan(e)
        table = canvas.table_of(e)
        canvas.mount(name, plan, compared, links and links[0], table)
        payloads.send(canvas.planes_payload(name, e), key="planes")
        if compared is not None:
            payloads.send(compared_payload(compared, e), key="compared")
        if links is not None:
            payloads.send(selection.payload(links[0]["name"], e, links[1]), key="links")
    else:
        canvas.mount(name, None, None)
        prepare(e)
    if canvas.just_committed():
        st.rerun()


def show_held() -> None:
    """Show all that is known of the held neuron; let another be typed."""
    held = selection.held()
    widths = resources.pipeline().plan(e).dense_widths
    wanted = neuron.choose(held, widths)
    if wanted != held and wanted is not None:
        canvas.hold(wanted.layer, wanted.index)
        st.rerun()
    if held is None:
        st.caption("Click a neuron in the canvas, or go there by keys and press Enter.")
    else:
        neuron.show(e, held)


def show_beside(*, committed: bool) -> None:
    """Show what belongs to the setting, and to the neuron that is held."""
    stability = calibration_check.known(e)
    calibration_check.warn(e, stability)
    inspect, measure, stable = st.tabs(
        ["The neuron held", "Measured here", "Does the calibration suffice?"],
        key="beside",
    )
    with inspect, panels.panel():
        show_held()
    with measure, panels.panel():
        measure_here.show(e, committed=committed)
    with stable, panels.panel():
        calibration_check.show(e, stability)


ready = False
with panels.panel():
    access.check(e)
    if panels.has_scores(e):
        show_canvas()
        ready = at_hand(e)
if ready:
    with panels.panel():
        selection.show_range(e)
with panels.panel():
    if ready:
        show_beside(committed=canvas.just_moved())
