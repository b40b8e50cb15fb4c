"""The header: where one is, what runs, and where else one can go."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.app import assets

PAGES = (
    {
        "Overview": "app.py",
        "Explore": "pages/explore.py",
        "Prune": "pages/prune.py",
        "Compare": "pages/compare.py",
    },
    {"Scores": "pages/scores.py", "Graph": "pages/graph.py"},
    {"Arena": "pages/arena.py", "Runs": "pages/runs.py"},
    {"Lesson": "pages/lesson.py", "MLP lab": "pages/mlp_lab.py"},
)
"""Groups of pages: the experiment, its inspection, methods, lessons."""


def style() -> None:
    """Lay the frame out; own CSS is nowhere else but inside components."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    background = st.get_option(f"theme.{theme}.backgroundColor")
    page = f":root {{ --frame-background: {background}; }}"
    st.html(f"<style>{page} {assets.text('frame.css')}</style>")


def header() -> DeltaGenerator:
    """Draw the links in one line that never moves; return the place of the jobs."""
    with st.container(
        key="header", horizontal=True, vertical_alignment="center", gap="xxsmall"
    ):
        st.image(assets.text("logo.svg"), width=28)
        for i, pages in enumerate(PAGES):
            if i:
                st.space("small")
            for label, path in pages.items():
                st.page_link(path, label=label, width="content")
        st.space("stretch")
        return st.container(width="content", key="header_jobs")


def bar() -> DeltaGenerator:
    """Return the place of the experiment bar, right under the header."""
    with st.container(key="bar"):
        return st.container(horizontal=True, vertical_alignment="center", gap="small")
