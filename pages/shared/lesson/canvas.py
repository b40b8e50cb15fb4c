"""Mounts the lesson of assets/lesson, keeps its state in the link, times its end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.jobs import Job
from llmrank.lesson import network as lesson
from llmrank.lesson import race as timing
from llmrank.lesson.race import Race, RaceSpec
from llmrank.lesson.random_walk import referee
from llmrank.methods.allocation import Uniform
from llmrank.methods.criteria import LLMRank
from llmrank.report.lesson import handout as printable
from llmrank.report.lesson import race
from pages.shared.app import assets, jobs, panels, resources, session
from pages.shared.app.escape import plain
from pages.shared.app.lasting import lasting
from pages.shared.explore.canvas import LESSON
from pages.shared.lesson import place as places
from pages.shared.lesson.place import KEY, Place

KIND = "race"
SURFER, WHY_CUT = 8, 9


@lasting
def component() -> Callable[..., Any]:
    """Register the lesson, once; it wears the canvas' style."""
    css = assets.text("explorer/explorer.css") + assets.text("lesson/lesson.css")
    return st.components.v2.component(
        "llmrank_lesson",
        html=assets.text("lesson/lesson.html"),
        css=css,
        js=assets.module("lesson/lesson.js"),
    )


def mount(place: Place) -> None:
    """Draw the lesson where the visitor is."""
    state = st.session_state.get(KEY) or {}
    serial = (state.get("commit") or {}).get("serial", 0)
    component()(
        key=KEY,
        data={
            "serial": serial,
            "state": asdict(place),
            "names": lesson.NODES,
            "layers": lesson.LAYERS,
            "examples": lesson.EXAMPLES,
            "defaults": asdict(Place()),
            "networkx": _referee(place) if place.step == SURFER else None,
            "race": _raced(place),
        },
        on_commit_change=take,
    )


def take() -> None:
    """Take a commit of the lesson into the session and the link.

    What the page's own lesson could not have sent is let go.
    """
    commit = (st.session_state.get(KEY) or {}).get("commit") or {}
    before = places.place()[0].presenter
    with suppress(TypeError, ValueError, AttributeError):
        places.note(commit.get("state") or {})
        st.session_state[f"{KEY}_leaves"] = bool(commit.get("leaves"))
    st.session_state[f"{KEY}_turned"] = places.place()[0].presenter != before


def turned() -> bool:
    """Whether presenting has just begun or ended: the page around changes too."""
    return bool(st.session_state.pop(f"{KEY}_turned", False))


def leave(place: Place) -> None:
    """Go to Explore, if that was asked for: the whole model as the sliders stand."""
    if not st.session_state.pop(f"{KEY}_leaves", False):
        return
    before = session.current()
    session.take("criterion", LLMRank.name)
    session.take("allocation", Uniform.name)  # the lesson's: each layer loses its share
    for name in ("theta", "gamma", "sparsity"):
        session.take(name, getattr(place, name))
    session.set_aside(before)
    for name in ("zoom", "brush", "pin", "colour", "edges", "neuron"):
        session.view(f"explore.{name}", None)  # nothing of what was looked at before
    session.view(LESSON, str(place.step + 1))
    st.switch_page("pages/explore.py")


def show_race(place: Place) -> None:
    """Time the three ways to prune in front of the class, and show the clock."""
    spec = RaceSpec(sparsity=place.sparsity)
    known = resources.races().peek(spec)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Time them again" if known else "Time them"
        busy = jobs.active(KIND) or not place.sparsity
        if st.button(label, type="primary", disabled=busy, key="race"):
            start(spec)
        if not place.sparsity:
            st.caption("Nothing is pruned yet: choose a share above 0 to time it.")
        elif known is None and not jobs.active(KIND):
            st.caption(
                f"Runs a layer of {spec.d_model:,} → {spec.d_ff:,} → {spec.d_model:,} "
                f"with {spec.rows} examples in turns, {spec.rounds} times each: a few "
                "seconds on this server's processor."
            )
    if known is not None:
        panels.chart(
            race.race_chart(known, dark=panels.is_dark()),
            race.reading(known),
            lambda: race.race_table(known),
            key="race_chart",
        )
        st.caption(plain(race.origin(known)))


def start(spec: RaceSpec) -> None:
    """Take the times in the worker."""
    kept = resources.races()

    def work(job: Job) -> Race:
        raced = timing.race(spec, progress=job.progress)
        kept.put(spec, raced)
        return raced

    jobs.start(KIND, "Timing zeros against cuts", work, key=spec)


def handout(place: Place) -> None:
    """Offer the lesson on paper, with the visitor's own network and numbers."""
    known = resources.races().peek(RaceSpec(sparsity=place.sparsity))
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.download_button(
            "Handout (HTML)",
            lambda: printable.handout(place.network, place.settings, known),
            "llm-rank-lesson.html",
            "text/html",
            on_click="ignore",
            icon=":material/print:",
            help="The whole lesson with your network and its numbers on a few pages; "
            "opens in any browser without a network, and prints",
        )


def _referee(place: Place) -> dict[str, Any]:
    """Ask networkx for these settings, which `of` names as the browser does."""
    theta, gamma = place.theta, place.gamma
    asked = {"theta": theta, "gamma": gamma, "numbers": place.numbers}
    try:
        ranks = referee(place.network, theta=theta, gamma=gamma)
    except LLMRankError as error:
        return asked | {"scores": None, "said": str(error)}
    return asked | {"scores": [layer.tolist() for layer in ranks], "said": ""}


def _raced(place: Place) -> dict[str, Any] | None:
    known = resources.races().peek(RaceSpec(sparsity=place.sparsity))
    if known is None:
        return None
    ratios = [known.ratio(name)[0] for name in timing.VERSIONS[1:]]
    return {"faster": timing.faster(known), "ratios": ratios}
