"""Every page's first call: configuration, links, settings, the experiment in hand."""

from collections.abc import Collection

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from llmrank.core import threads
from pages.shared.app import access, header
from pages.shared.app.assets import ASSETS
from pages.shared.app.visitors import mark_browser, visitor_id

threads.settle()  # before anything imports torch

LOGO = str(ASSETS / "logo.svg")


def frame(title: str, question: str, *, without: Collection[str] = ()):  # noqa: ANN201
    """Draw what all pages share and return the experiment in hand.

    A page names in `without` the settings that it has controls of its own for. (The
    returned type would import torch.)

    The links and the question stand before torch is imported, which takes seconds at
    the first visit of all.
    """
    jobs_place, bar_place = _head(title, question)
    with st.spinner("Starting: loading PyTorch (a few seconds, once)"):
        from pages.shared.app import (
            escape,
            experiment_bar,
            experiment_settings,
            jobs,
            panels,
            session,
        )

    access.asker()  # a tab more of its browser: its uploads stay as long
    session.chosen()
    experiment_settings.adopt_controls()
    with panels.panel():
        for complaint in session.complaints():
            st.warning(escape.plain(complaint))
        experiment = session.current()
        with bar_place:
            experiment_bar.draw(experiment, without)
        if session.current() != experiment:
            st.rerun()  # a file was brought: the bar tells of it from the start
        session.write_link(experiment, **jobs.link())
        with jobs_place:
            jobs.menu()
        jobs.endings()
        return experiment
    return st.stop()


def classroom(title: str, question: str) -> None:
    """Draw the frame of a page of Learn, which has a subject of its own.

    The experiment stays in the session and in the link; its controls are elsewhere.
    While a lesson is presented, the links and the question stay away too.
    """
    bare = _presents(title)
    jobs_place, _ = _head(title, question, bar=False, bare=bare)
    with st.spinner("Starting: loading PyTorch (a few seconds, once)"):
        from pages.shared.app import jobs, panels, session

    access.asker()
    with panels.panel():
        session.write_link(session.current(), **jobs.link())
        if not bare:
            with jobs_place:
                jobs.menu()


def _presents(title: str) -> bool:
    """Whether the link or the session says so; known before torch is there."""
    name, seen = f"{title.lower()}.presenter", st.session_state.get("view")
    if seen is None:
        return f"{name}.on" in st.query_params.get("view", "").split(",")
    return seen.get(name) == "on"


def _head(
    title: str,
    question: str,
    *,
    bar: bool = True,
    bare: bool = False,
) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw what stands before torch; return the places of the jobs and of the bar."""
    st.set_page_config(f"{title} · LLM-Rank Explorer", LOGO, "wide")
    header.style()
    visitor_id()
    if bare:
        return st.container(), st.container()
    with st.container(gap=None):  # so that the mark takes no room
        jobs_place = header.header()
        mark_browser()
    bar_place = header.bar() if bar else st.container()
    with st.container(key="question"):
        st.header(question, anchor=False)
    return jobs_place, bar_place
