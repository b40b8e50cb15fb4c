"""MLP lab: how does it work on digits I can see?"""

from pages.shared.app.frame import classroom

classroom("MLP lab", "How does it work on digits one can see?")

import streamlit as st

from llmrank import mlp
from llmrank.core.specs import Option
from pages.shared.app import panels, view_options
from pages.shared.lab import canvas, paper_experiment, retraining, settings, training
from pages.shared.lab.settings import PAGE, Lab

VIEW = Option(
    "view", str, "prune", "What is shown of the network; the paper's experiment trains "
    "networks of its own",
    choices=("prune", "inside", "paper", "after", "shaken"),
)  # fmt: skip
TITLES = {
    "prune": "Prune it",
    "inside": "Look inside",
    "paper": "The paper's experiment",
    "after": "After the cut",
    "shaken": "Robustness",
}


def show(view: str, lab: Lab, trained: mlp.Trained) -> None:
    """Show one view of a network that is there."""
    if view == "prune":
        canvas.show_pruning(lab)
    elif view == "inside":
        canvas.show_inside(lab, trained.network)
    elif view == "after":
        retraining.show_recovery(lab, trained)
    else:
        retraining.show_robustness(lab, trained)


with panels.panel():
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = view_options.choose(PAGE, VIEW, "View", titles=TITLES, form="buttons")
        st.space("stretch")
        lab = settings.asked()
    network = None
    with panels.panel():
        network = training.show(lab)
    with panels.panel():
        if view == "paper":
            paper_experiment.show(lab)
        elif network is not None:
            show(view, lab, network)
    if view != "paper":
        with panels.panel():
            training.show_recipe(lab, network)
