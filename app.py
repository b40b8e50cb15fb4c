"""Overview: what happens if I prune this?"""

from pages.shared.app.frame import frame

e = frame("Overview", "What happens if I prune this?")

import streamlit as st

from llmrank.core.jobs import JobView
from llmrank.experiments.run import Report
from llmrank.report.sentences.summary import verdict
from pages.shared.app import experiment_bar, frontier, jobs, panels, resources


def show(report: Report) -> None:
    """Show the verdict in words, then the four numbers."""
    panels.numbers(report.comparison, report.environment)
    for heading, said in verdict(report.comparison).items():
        st.markdown(f"**{heading}** &ensp; {said}")
    st.caption("In brackets: 95 % intervals.")


def show_running(seen: JobView) -> None:
    """Show the numbers as they come in."""
    if isinstance(seen.partial, Report):
        show(seen.partial)


with panels.panel():
    known = frontier.of(e)
    picture, choices = st.columns([0.7, 0.3], gap="medium")
    with picture:
        frontier.show(e, known)
        experiment_bar.strips(e)
    with choices:
        frontier.cards(e, known)
with panels.panel():
    report = resources.reports().peek(e)
    if jobs.active("measure"):
        jobs.live("measure", show_running)
    elif report is not None:
        show(report)
with st.expander("What this app does"):
    st.markdown(
        "The feed-forward layers of a language model are networks of neurons. This app "
        "ranks every neuron by its centrality in that network (LLM-Rank), removes the "
        "least central ones for real, and measures on the spot what that does to "
        "accuracy and speed. Every page answers one question about the same experiment."
    )
