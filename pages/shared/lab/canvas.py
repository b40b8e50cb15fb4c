"""Mounts the canvases of assets/lab and takes what they commit."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from llmrank.mlp.network import Network
from llmrank.report import mlp_payload
from pages.shared.app import assets, payloads, session
from pages.shared.app.escape import plain
from pages.shared.app.lasting import lasting
from pages.shared.lab import trained
from pages.shared.lab.settings import PAGE, Lab

KEY = "lab_canvas"


@lasting
def components() -> dict[str, Callable[..., Any]]:
    """Register both canvases, once."""
    css = assets.text("lab/lab.css")
    new = st.components.v2.component
    return {
        name: new(
            f"llmrank_lab_{name}",
            html=assets.text(f"lab/{name}.html"),
            css=css,
            js=assets.module(f"lab/{name}.js"),
        )
        for name in ("prune", "inside")
    }


def show_pruning(lab: Lab) -> None:
    """Drag the sparsity: accuracy, confusions, new mistakes follow in the browser."""
    with st.spinner("Pruning to every sparsity by every criterion"):
        swept = {name: trained.sweep(lab, by) for name, by in lab.criteria.items()}
    images, sweeps = (
        _name("images", lab.data),
        _name("sweeps", lab.network_key, lab.criteria),
    )
    _mount("prune", lab, images=images, sweeps=sweeps)
    if "random" in swept:
        st.caption("random is one draw, seed 0; the paper's experiment has several.")
    payloads.send(mlp_payload.of_images(images, trained.data(lab)), key="images")
    payloads.send(mlp_payload.of_sweeps(sweeps, swept), key="sweeps")


def show_inside(lab: Lab, network: Network) -> None:
    """Show the network with an example at its input; neurons answer to clicks."""
    if network.n_params > mlp_payload.MAX_DRAWN_WEIGHTS:
        st.info(
            f"This network has {network.n_params:,} weights; up to "
            f"{mlp_payload.MAX_DRAWN_WEIGHTS:,} are drawn. Train a narrower one to "
            "look inside."
        )
        return
    with st.spinner("Looking for what every neuron likes"):
        liked, scores = trained.likes(lab), trained.scores(lab, lab.by)
    images, net = _name("images", lab.data), _name("net", lab.network_key, lab.by)
    _mount("inside", lab, images=images, network=net)
    payloads.send(mlp_payload.of_images(images, trained.data(lab)), key="images")
    payloads.send(mlp_payload.of_network(net, network, liked, scores), key="net")


def _mount(kind: str, lab: Lab, **names: str) -> None:
    components()[kind](
        key=f"{KEY}_{kind}",
        data={
            **names,
            "serial": payloads.committed(f"{KEY}_{kind}").get("serial", 0),
            "percent": lab.percent,
            "criterion": lab.chosen,
            "at": session.views().get(f"{PAGE}.at", ""),
        },
        on_commit_change=lambda: _take(kind),
    )


def _take(kind: str) -> None:
    """Take what was chosen in a canvas; runs before the page."""
    commit = payloads.committed(f"{KEY}_{kind}")
    percent, criterion, at = (commit.get(n) for n in ("percent", "criterion", "at"))
    if isinstance(percent, int | float) and 0 <= percent <= 99:
        session.view(f"{PAGE}.sparsity", None if percent == 30 else str(round(percent)))
    if isinstance(criterion, str) and len(criterion) < 40:
        usual = criterion == "mlp-rank"
        session.view(f"{PAGE}.criterion", None if usual else criterion)
    if isinstance(at, str) and at.replace("-", "").isdecimal() and len(at) < 20:
        session.view(f"{PAGE}.at", at)


def _name(kind: str, *spec: object) -> str:
    """Name a payload by what it follows from; equal names are one to the browser."""
    return f"{kind} {plain(repr(spec), limit=4000)}"
