"""Overview: what happens if I prune this?"""

from pages.shared.app.frame import frame

e = frame("Overview", "What happens if I prune this?")

import streamlit as st

from llmrank.core.jobs import JobView
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import Report
from llmrank.report.sentences.summary import verdict
from pages.shared.app import jobs, panels, resources

NEXT = {
    "pages/explore.py": "Explore: move θ, γ and the sparsity, and every neuron answers",
    "pages/prune.py": "Prune: take the smaller model with you",
    "pages/compare.py": "Compare: everything it costs, and the curve over sparsity",
}


def show(report: Report) -> None:
    """Show the verdict in words, then the four numbers."""
    for heading, said in verdict(report.comparison).items():
        st.markdown(f"**{heading}** &ensp; {said}")
    panels.numbers(report.comparison, report.environment)
    st.caption("In brackets: 95 % intervals.")


def show_running(seen: JobView) -> None:
    """Show the numbers as they come in."""
    if isinstance(seen.partial, Report):
        show(seen.partial)
    elif seen.state == "running":
        st.caption("Loading the model and measuring its activations first.")


def show_next(experiment: Experiment) -> None:
    """Offer the next step."""
    st.markdown("**Next**")
    for path, label in NEXT.items():
        st.page_link(path, label=label, icon=":material/arrow_forward:")
    panels.measure(experiment, "Measure again", primary=False)


st.markdown(
    "The feed-forward layers of a language model are networks of neurons. This app "
    "ranks every neuron by its centrality in that network (LLM-Rank), removes the "
    "least central ones for real, and measures on the spot what that does to accuracy "
    "and speed. Change the method and the sparsity in the sidebar; every page answers "
    "one question about the same experiment."
)
with panels.panel():
    report = resources.reports().peek(e)
    if jobs.active("measure"):
        jobs.live("measure", show_running)
    elif report is not None:
        show(report)
        show_next(e)
    else:
        panels.measure(e, "Prune it and measure")
        st.caption(
            "Loads the model, scores its neurons, cuts it, and measures dense and "
            "pruned side by side, with progress, remaining time and a way to stop."
        )
