"""MLP lab: how does it work on digits I can see?"""

from pages.shared.app.frame import classroom

classroom("MLP lab", "How does it work on digits one can see?", sidebar="Data")

import streamlit as st

from llmrank import mlp
from llmrank.core.specs import Option
from pages.shared.app import panels
from pages.shared.lab import canvas, paper_experiment, retraining, sidebar, training
from pages.shared.lab.sidebar import Lab

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


def show(view: str, lab: Lab, found: mlp.Trained) -> None:
    """Show one view of a network that is there."""
    if view == "prune":
        canvas.show_pruning(lab)
        if found.epochs:
            with st.expander("How the training went"):
                training.show_history(found)
        training.show_files(found.network)
    elif view == "inside":
        canvas.show_inside(lab, found.network)
    elif view == "after":
        retraining.show_recovery(lab, found)
    else:
        retraining.show_robustness(lab, found)


with panels.panel():
    lab = sidebar.asked()
    found = None
    with panels.panel():
        found = training.show(lab)
    view = sidebar.titled(VIEW, TITLES, "View", st.segmented_control)
    with panels.panel():
        if view == "paper":
            paper_experiment.show(lab)
        elif found is None:
            when = (
                "when it is trained" if training.is_running() else "once you train it"
            )
            st.info(f"The network is shown here {when}.")
        else:
            show(view, lab, found)
