"""The canvas on random planes of any shape: what benchmarks.explorer drives."""

import streamlit as st
import torch

from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningSpec, plan
from llmrank.methods.response_planes import Planes
from llmrank.report.payload import of_response_planes
from pages.shared.app import payloads, session
from pages.shared.explore import canvas


@st.cache_resource
def made(n_layers: int, width: int) -> tuple[Planes, bytes]:
    """Draw planes with the spread of real ones, and pack them."""
    generator = torch.Generator().manual_seed(0)
    layers = []
    for _ in range(n_layers):
        planes = torch.randn(3, width, generator=generator).exp()
        planes[1] = 1.0  # the edge count gives each neuron nearly the same
        layers.append(planes / planes.sum(1, keepdim=True))
    found = Planes("isolated", "neuron", tuple(layers), (0.0,) * n_layers)
    return found, of_response_planes("random", found)


@st.fragment
def show() -> None:
    """Mount the canvas; answer a commit as the page Explore does."""
    asked = st.query_params
    planes, packed = made(int(asked["layers"]), int(asked["width"]))
    scores = Scores(planes.scores(session.value("theta"), session.value("gamma")))
    spec = PruningSpec(sparsity=session.value("sparsity"))
    canvas.mount(plan(scores, spec), planes="random")
    payloads.send(packed, key="planes")


st.set_page_config(layout="wide")
session.chosen()
show()
