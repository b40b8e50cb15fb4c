"""What a page shows of the experiment: declared options ↔ widgets ↔ the link."""

from dataclasses import replace
from typing import Any

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.specs import Option, options
from pages.shared.app import session, sidebar
from pages.shared.app.escape import plain

MAX_SLIDER = 10_000
_SET = "looks_set"


def option_of(spec: type, name: str) -> Option:
    """Return one declared option of a spec."""
    return next(o for o in options(spec) if o.name == name)


def limited(o: Option, high: int) -> Option:
    """Return an option with the highest value that the model at hand allows."""
    return replace(o, high=high, default=min(o.default, high))


def label(name: str) -> str:
    """Return the words of a setting, the same as in the sidebar."""
    return sidebar.LABELS.get(name, name.replace("_", " ").capitalize())


def choose(page: str, o: Option, words: str | None = None) -> Any:
    """Draw the control of one choice and remember what is chosen, also in the link."""
    name = f"{page}.{o.name}"
    generation = st.session_state.get(_SET, 0)
    chosen = _widget(
        o, words or label(o.name), value(page, o), f"look_{name}_{generation}"
    )
    session.view(name, None if chosen == o.default else str(chosen))
    return chosen


def value(page: str, o: Option) -> Any:
    """Return what is chosen; what cannot be is said, and the nearest taken."""
    text = session.views().get(f"{page}.{o.name}")
    if text is None:
        return o.default
    try:
        return o.parse(text)
    except LLMRankError as error:
        nearest = _nearest(o, text)
        st.warning(f"{plain(str(error))}; showing {nearest}.")
        return nearest


def _nearest(o: Option, text: str) -> Any:
    if o.kind is int and o.high is not None and text.isdecimal() and len(text) < 20:
        return max(o.low, min(o.high, int(text)))
    return o.default


def put(page: str, values: dict[str, Any]) -> None:
    """Set choices, from a button's callback: new widgets start from them."""
    for name, chosen in values.items():
        session.view(f"{page}.{name}", str(chosen))
    st.session_state[_SET] = st.session_state.get(_SET, 0) + 1


def _widget(o: Option, label: str, value: Any, key: str) -> Any:
    if len(o.choices) > 3:
        at = o.choices.index(value)
        return st.selectbox(label, o.choices, at, help=o.help, key=key)
    if o.choices:
        return st.segmented_control(
            label, o.choices, default=value, required=True, help=o.help, key=key
        )
    if o.low == o.high:
        return o.low
    if o.high is None or o.high > MAX_SLIDER:
        return st.number_input(label, o.low, o.high, value, help=o.help, key=key)
    step = 0.01 if o.kind is float else 1
    low, high = o.kind(o.low), o.kind(o.high)
    return st.slider(label, low, high, value, step, help=o.help, key=key)
