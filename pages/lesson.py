"""Lesson: how does it work, on a network that fits in one's head?"""

from pages.shared.frame import classroom

classroom("Lesson", "How does it work, step by step?")

import streamlit as st

from pages.shared import jobs, lesson, panels
from pages.shared.words import plain


@st.fragment
def show() -> None:
    """Draw the lesson; a commit runs this again, and the page stays as it is."""
    at, wrong = lesson.place()
    for complaint in wrong:
        st.warning(plain(complaint))
    lesson.mount(at)
    if at.step == lesson.WHY_CUT:
        with panels.panel():
            lesson.show_race(at)
    if not at.presenter:
        lesson.handout(at)
    if lesson.turned():
        st.rerun()


with panels.panel():
    show()
    jobs.strip()  # below: it moves nothing
