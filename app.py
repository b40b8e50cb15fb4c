"""Overview: what happens if I prune this?"""

from pages.shared.app.frame import frame

in_hand = frame("Overview", "What happens if I prune this?")

import streamlit as st

from llmrank.core.formatting import share
from llmrank.core.jobs import JobView
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import Report
from llmrank.report.sentences.summary import verdict
from pages.shared.app import (
    experiment_bar,
    frontier,
    jobs,
    known,
    panels,
    reading,
    recovering,
    resources,
)
from pages.shared.app.training import Course

NEXT = {
    "pages/explore.py": "See which neurons go",
    "pages/prune.py": "Take the model with you",
    "pages/lesson.py": "How it works, step by step",
}


def show(report: Report) -> None:
    """Show the verdict in words, then the four numbers."""
    panels.numbers(report.comparison, report.environment)
    for heading, said in verdict(report.comparison).items():
        st.markdown(f"**{heading}** &ensp; {said}")
    control = report.environment.get("control")
    if control is not None:
        st.markdown(f"**Control** &ensp; {control}.")
    st.caption("In brackets: 95 % intervals.")


def show_recovery(experiment: Experiment) -> None:
    """Show how the model was recovered, where it was in this process."""
    recovered = resources.pipeline().recovered.peek(experiment)
    if recovered is not None and recovered.curve:
        course = Course(experiment, recovered.curve, recovered.is_kept)
        recovering.show(course, "recovered")


def show_result() -> None:
    """Show what the settings in hand have measured, as far as they have."""
    report = known.in_hand(in_hand)
    if jobs.active("measure"):
        jobs.live("measure", show_running)
    elif report is not None:
        st.session_state["measured"] = report
        show(report)
        show_recovery(in_hand)
    else:
        show_before()


def show_picture(seen: JobView) -> None:
    """Draw the training of what is in hand while there is one, else what is known."""
    if isinstance(seen.partial, Course) and seen.partial.experiment == in_hand:
        recovering.show(seen.partial, "training")
        recovering.stop_early()
    else:
        frontier.show(in_hand, measured)


def show_running(seen: JobView) -> None:
    """Show the numbers as they come in."""
    if isinstance(seen.partial, Report):
        show(seen.partial)
    else:
        show_before()


def show_before() -> None:
    """Keep what was measured last in sight, greyed, until these settings are."""
    ended = jobs.view("measure")
    if ended is not None and isinstance(ended.result, Report):
        st.session_state["measured"] = ended.result
    last: Report | None = st.session_state.get("measured")
    if last is not None:
        with st.container(key="before"):
            st.markdown(f"Measured before: {in_words(last.experiment)}")
            panels.numbers(last.comparison, last.environment)


def in_words(experiment: Experiment) -> str:
    """Name what was removed, and how."""
    removed = share(experiment.pruning.sparsity)
    return f"{removed} removed by {experiment.method.name}"


with panels.panel():
    measured = known.frontier(in_hand)
    picture, choices = st.columns([0.7, 0.3], gap="medium")
    with picture:
        if not (in_hand.method.recovery.trains and jobs.live("measure", show_picture)):
            frontier.show(in_hand, measured)
        show_result()
        experiment_bar.strips(in_hand)
    with choices:
        frontier.cards(in_hand, measured)
        for path, said in NEXT.items():
            st.page_link(path, label=said, icon=":material/arrow_forward:")
with panels.panel():
    if not reading.is_ready(in_hand):
        reading.begin(in_hand)  # what the layers keep follows from it
