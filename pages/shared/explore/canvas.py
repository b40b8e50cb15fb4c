"""Mounts the canvas of assets/explorer and takes what it commits."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlit as st

from llmrank.analysis.neuron import Neuron
from llmrank.core.errors import LLMRankError
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.settings import declared
from llmrank.methods.allocation import Additive, BlockInfluence, Global, Uniform
from llmrank.methods.pruning import PruningPlan
from llmrank.report.payload import cut_crc, of_planes, of_response_planes
from pages.shared.app import assets, payloads, reading, resources, session
from pages.shared.app.lasting import lasting

KEY = "explorer"
NAMES = {
    "theta": "theta",
    "gamma": "gamma",
    "sparsity": "sparsity",
    "graph": "graph",
    "allocation": "allocation",
    "multipleOf": "multiple_of",
}
"""What the canvas calls the settings that it alone writes."""

CHOICES = {
    "sort": ("rank", "index"),
    "colour": ("score", "percentile", "change"),
    "edges": ("off", "on"),
}
PAGE = "explore"
LESSON = f"{PAGE}.lesson"
"""The view that names the lesson's step that led here."""

ASKED = f"{KEY}_asked"
"""What is to be read of the neuron that was just taken in hand, and not by a link."""

TABLED = tuple(n / 20 for n in range(20))
"""Sparsities at which an allocation's widths are sent to the canvas."""


@lasting
def component() -> Callable[..., Any]:
    """Register the canvas, once."""
    html = assets.text("explorer/explorer.html")
    css = assets.text("explorer/explorer.css")
    new, script = st.components.v2.component, assets.module("explorer/explorer.js")
    return new("llmrank_explorer", html=html, css=css, js=script)


def mount(plan: PruningPlan | None, **given: Any) -> None:
    """Draw the canvas of a plan; without one the server is still at it.

    Args:
        plan: of what is drawn, for the canvas to agree with.
        given: names of the payloads `planes`, `compared` and `links`, sent beside it;
            `widths` of the dense layers; the `table` of an allocation; the `look` that
            is said where this is not all that was asked for.
    """
    serial = payloads.committed(KEY).get("serial", 0)
    component()(
        key=KEY,
        data={
            **given,
            "serial": serial,
            "settings": {js: session.value(own) for js, own in NAMES.items()},
            "defaults": {js: declared()[own].default for js, own in NAMES.items()},
            "view": view(),
            "pin": _pin(),
            "chosen": named(held()) or None,
            "agreed": plan
            and {
                "serial": serial,
                "crc": cut_crc(plan),
                "nDropped": plan.n_dropped,
            },
        },
        on_commit_change=take,
    )


def table_of(experiment: Experiment) -> dict[str, Any]:
    """Return the widths at several sparsities of what the server alone computes.

    Where the allocation in hand is one of the canvas', block-influence is offered. A
    search has found those of one sparsity; at others stands what it would begin with.
    """
    if isinstance(experiment.method.allocation, Uniform | Global):
        experiment = experiment.using(allocation=BlockInfluence())
    planner, own = resources.pipeline().planner, experiment.pruning.sparsity
    sparsities = sorted({*TABLED, own})
    if experiment.method.allocation.searches:
        kept = planner.widths(experiment.using(allocation=Additive()), sparsities)
        kept[sparsities.index(own)] = planner.widths(experiment, [own])[0]
    else:
        kept = planner.widths(experiment, sparsities)
    return {
        "name": experiment.method.allocation.name,
        "sparsities": sparsities,
        "kept": kept,
    }


@st.cache_data(show_spinner=False, max_entries=8)
def planes_payload(name: str, _experiment: Experiment) -> bytes:
    """Pack what the canvas needs of the experiment's criterion; the name is the key."""
    pipeline, criterion = resources.pipeline(), _experiment.method.criterion
    if reading.has_planes(criterion):
        return of_response_planes(name, pipeline.planes(_experiment))
    return of_planes(name, {criterion.name: pipeline.scores(_experiment).layers})


def just_committed() -> bool:
    """Whether the canvas committed since this was last asked."""
    return st.session_state.pop(f"{KEY}_committed", False)


def just_moved() -> bool:
    """Whether the last commit changed the experiment; true once."""
    return st.session_state.pop(f"{KEY}_moved", False)


def take() -> None:
    """Take a commit of the canvas as the session's settings; runs before the page."""
    st.session_state[f"{KEY}_committed"] = True
    commit, neuron = payloads.committed(KEY), held()
    given, view = commit.get("settings") or {}, commit.get("view") or {}
    before = dict(session.chosen())
    for js, own in NAMES.items():
        _take_setting(own, given.get(js))
    st.session_state[f"{KEY}_moved"] = session.chosen() != before
    for name, choices in CHOICES.items():
        if view.get(name) in choices:
            session.view(f"{PAGE}.{name}", view[name])
    _note("zoom", _joined(view.get("layer"), view.get("from"), view.get("to")))
    pin = commit.get("pin") or {}
    _note("pin", "_".join(str(pin.get(js)) for js in NAMES) if pin else None)
    brush = view.get("brush") or {}
    places = (brush.get("layer"), brush.get("from"), brush.get("to"))
    _note("brush", _joined(*places) if brush else None)
    at = commit.get("chosen") or {}
    _note("neuron", _joined(at.get("layer"), at.get("neuron")) if at else None)
    if held() != neuron:
        st.session_state[ASKED] = "contexts"
        session.view("graph.layer", None)
    if commit.get("ask") == "worth":
        st.session_state[ASKED] = "worth"


def held() -> Neuron | None:
    """Return the neuron held, if it can be one."""
    numbers = _numbers("neuron", 2)
    return None if numbers is None else Neuron(*numbers)


def named(neuron: Neuron | None) -> dict[str, int]:
    """Say a neuron as the canvas does."""
    return {} if neuron is None else {"layer": neuron.layer, "neuron": neuron.index}


def hold(layer: int, index: int) -> None:
    """Hold a neuron, as a click in the canvas does; Graph opens on its layer."""
    _note("neuron", _joined(layer, index))
    session.view("graph.layer", None)
    st.session_state[ASKED] = "contexts"


def view() -> dict[str, Any]:
    """Return what the canvas shows: its order, colours, edges, zoom and range."""
    view_state: dict[str, Any] = {"layer": None, "from": 0, "to": 0, "brush": None}
    for name, choices in CHOICES.items():
        text = session.views().get(f"{PAGE}.{name}")
        view_state[name] = text if text in choices else choices[0]
    brush = _numbers("brush", 3)
    if brush is not None and brush[1] < brush[2]:
        view_state["brush"] = dict(zip(("layer", "from", "to"), brush, strict=True))
    zoom = session.views().get(f"{PAGE}.zoom", "").split("-")
    if len(zoom) == 3 and all(part.isdecimal() or part == "all" for part in zoom):
        view_state["layer"] = None if zoom[0] == "all" else int(zoom[0][:9])
        view_state["from"], view_state["to"] = (
            int(part[:9]) if part != "all" else 0 for part in zoom[1:]
        )
    return view_state


def let_go() -> None:
    """Hold no neuron."""
    _note("neuron", None)


def _take_setting(name: str, value: Any) -> None:
    """Set it, unless the page's own canvas could not have sent it."""
    with suppress(LLMRankError):
        session.choose(name, declared()[name].parse(str(value)))


def _pin() -> dict[str, Any] | None:
    parts = session.views().get(f"{PAGE}.pin", "").split("_")
    if len(parts) != len(NAMES):
        return None
    try:
        pairs = zip(NAMES.items(), parts, strict=True)
        return {js: declared()[own].parse(text) for (js, own), text in pairs}
    except LLMRankError:
        return None


def _numbers(name: str, n: int) -> list[int] | None:
    parts = session.views().get(f"{PAGE}.{name}", "").split("-")
    valid = len(parts) == n and all(p.isdecimal() and len(p) < 10 for p in parts)
    return [int(p) for p in parts] if valid else None


def _joined(*numbers: Any) -> str | None:
    """Write numbers as a link holds them; None stands for all."""
    return "-".join("all" if n is None else str(round(n)) for n in numbers)


def _note(name: str, text: str | None) -> None:
    session.view(f"{PAGE}.{name}", text)
