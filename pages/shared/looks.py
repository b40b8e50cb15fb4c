"""What a page shows of the experiment: declared options ↔ widgets ↔ the link."""

from dataclasses import replace
from typing import Any

import streamlit as st

from llmrank.errors import LLMRankError
from llmrank.options import Option, options
from pages.shared import state


def option_of(spec: type, name: str, **limits: Any) -> Option:
    """Return one declared option of a spec, with limits of the model at hand."""
    found = next(o for o in options(spec) if o.name == name)
    limited = replace(found, **limits)
    if limited.high is not None and limited.default > limited.high:
        return replace(limited, default=limited.high)
    return limited


def choose(page: str, o: Option, label: str) -> Any:
    """Draw the control of one choice and remember what is chosen, also in the link."""
    name = f"{page}.{o.name}"
    chosen = _widget(o, label, value(page, o), f"look_{name}")
    state.view(name, None if chosen == o.default else str(chosen))
    return chosen


def value(page: str, o: Option) -> Any:
    """Return what is chosen; what cannot be is said and becomes the default."""
    text = state.views().get(f"{page}.{o.name}")
    if text is None:
        return o.default
    try:
        return o.parse(text)
    except LLMRankError as error:
        st.warning(f"{error}; showing {o.default}.")
        return o.default


def put(page: str, values: dict[str, Any]) -> None:
    """Set choices from a button's callback: widgets start from them again."""
    for name, chosen in values.items():
        state.view(f"{page}.{name}", str(chosen))
        st.session_state.pop(f"look_{page}.{name}", None)


def _widget(o: Option, label: str, value: Any, key: str) -> Any:
    if len(o.choices) > 4:
        at = o.choices.index(value)
        return st.selectbox(label, o.choices, at, help=o.help, key=key)
    if o.choices:
        return st.segmented_control(
            label, o.choices, default=value, required=True, help=o.help, key=key
        )
    if o.low == o.high:
        return o.low
    step = 0.01 if o.kind is float else 1
    low, high = o.kind(o.low), o.kind(o.high)
    return st.slider(label, low, high, value, step, help=o.help, key=key)
