"""Every page's first call: configuration, links, settings, the experiment in hand."""

from collections.abc import Collection

import streamlit as st

PAGES = {
    "Overview": "app.py",
    "Explore": "pages/explore.py",
    "Prune": "pages/prune.py",
    "Compare": "pages/compare.py",
    "Arena": "pages/arena.py",
    "Runs": "pages/runs.py",
    "Scores": "pages/scores.py",
    "Graph": "pages/graph.py",
    "Lesson": "pages/lesson.py",
}


def frame(title: str, question: str, *, without: Collection[str] = ()):  # noqa: ANN201
    """Draw what all pages share and return the experiment in hand.

    A page names in `without` the settings that it has controls of its own for; its
    sidebar starts closed, and it shows its jobs itself, where they move nothing. (The
    returned type would import torch.)

    The links and the question stand before torch is imported, which takes seconds at
    the first visit of all.
    """
    st.set_page_config(
        f"{title} · LLM-Rank Explorer",
        "assets/logo.svg",
        "wide",
        "collapsed" if without else "expanded",
    )
    st.logo("assets/logo.svg", size="large")
    _links()
    st.header(question, anchor=False)
    st.sidebar.subheader("Model")  # it stands from the first, so that nothing jumps
    with st.spinner("Starting: loading PyTorch (a few seconds, once)"):
        from pages.shared import bar, controls, jobs, panels, state, words

    state.chosen()
    controls.sidebar(without)
    with panels.panel():
        for complaint in state.complaints():
            st.warning(words.plain(complaint))
        experiment = state.current()
        state.write_link(experiment, **jobs.link())
        bar.draw(experiment)
        if not without:
            jobs.strip()
        return experiment
    return st.stop()


def classroom(title: str, question: str) -> None:
    """Draw the frame of a page of Learn, which has an experiment of its own.

    The sidebar and the bar stay away; while a lesson is presented, the links and the
    question do too. The experiment in hand stays in the link.
    """
    st.set_page_config(
        f"{title} · LLM-Rank Explorer", "assets/logo.svg", "wide", "collapsed"
    )
    st.logo("assets/logo.svg", size="large")
    if not _presents():
        _links()
        st.header(question, anchor=False)
    with st.spinner("Starting: loading PyTorch (a few seconds, once)"):
        from pages.shared import jobs, state

    state.write_link(state.current(), **jobs.link())


def _presents() -> bool:
    """Whether the link or the session says so; known before torch is there."""
    seen = st.session_state.get("view")
    if seen is None:
        return "lesson.presenter.on" in st.query_params.get("view", "").split(",")
    return seen.get("lesson.presenter") == "on"


def _links() -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", gap="xxsmall", key="pages"
    ):
        for label, path in PAGES.items():
            st.page_link(path, label=label)
