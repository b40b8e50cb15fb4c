"""MLP lab: how does it work on digits I can see?"""

from pages.shared.frame import classroom

classroom("MLP lab", "How does it work on digits one can see?", sidebar="Data")

import streamlit as st

from llmrank import mlp
from llmrank.options import Option
from pages.shared import panels
from pages.shared.lab import after, claim, dragging, settings, training
from pages.shared.lab.settings import Lab

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
        dragging.show_pruning(lab)
        if found.epochs:
            with st.expander("How the training went"):
                training.show_history(found)
        training.show_files(found.network)
    elif view == "inside":
        dragging.show_inside(lab, found.network)
    elif view == "after":
        after.show_recovery(lab, found)
    else:
        after.show_robustness(lab, found)


with panels.panel():
    lab = settings.asked()
    found = None
    with panels.panel():
        found = training.show(lab)
    view = settings.titled(VIEW, TITLES, "View", st.segmented_control)
    with panels.panel():
        if view == "paper":
            claim.show(lab)
        elif found is None:
            when = (
                "when it is trained" if training.is_running() else "once you train it"
            )
            st.info(f"The network is shown here {when}.")
        else:
            show(view, lab, found)
