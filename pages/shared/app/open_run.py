"""An experiment from elsewhere: its recipe, and how it becomes the one in hand."""

from dataclasses import replace

import streamlit as st

from llmrank.evaluation.comparison import Comparison
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.settings import command_line, snippet
from llmrank.experiments.store import Run
from pages.shared.app import known, resources, session

PLACES = {
    "Explore": "pages/explore.py",
    "Compare": "pages/compare.py",
}


def show_recipe(experiment: Experiment) -> None:
    """Show how the experiment is repeated without the app."""
    shell, python = st.tabs(["Command line", "Python"])
    shell.code(command_line(experiment), language="bash", wrap_lines=True)
    python.code(snippet(experiment), language="python")


def show_ways(run: Run, comparison: Comparison | None, *, key: str) -> None:
    """Offer to open exactly this experiment on the other pages."""
    with st.container(horizontal=True):
        for name, path in PLACES.items():
            if st.button(
                f"Open in {name}",
                key=f"{key}_{name}",
                icon=":material/arrow_forward:",
                help="The settings in hand become those of this run",
            ):
                take(run, comparison)
                st.switch_page(path)


def take(run: Run, comparison: Comparison | None) -> None:
    """Take a run's experiment in hand, with what it measured where nothing newer is."""
    session.adopt(run.experiment)
    in_hand, reports = session.current(), resources.reports()
    if comparison is not None and reports.peek(in_hand) is None:
        report = known.report_of(run, comparison)
        reports.put(in_hand, replace(report, experiment=in_hand))
