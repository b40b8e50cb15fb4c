"""Lesson: how does it work, on a network that fits in one's head?"""

from pages.shared.app.frame import classroom

classroom("Lesson", "How does it work, step by step?")

import streamlit as st

from pages.shared.app import jobs, panels
from pages.shared.app.escape import plain
from pages.shared.lesson import canvas
from pages.shared.lesson.place import place


@st.fragment
def show() -> None:
    """Draw the lesson; a commit runs this again, and the page stays as it is."""
    at, wrong = place()
    canvas.leave(at)
    for complaint in wrong:
        st.warning(plain(complaint))
    canvas.mount(at)
    if at.step == canvas.WHY_CUT:
        with panels.panel():
            canvas.show_race(at)
    if not at.presenter:
        canvas.handout(at)
    if canvas.turned():
        st.rerun()


with panels.panel():
    show()
    jobs.here(canvas.KIND)
    if not place()[0].presenter:
        jobs.endings()
