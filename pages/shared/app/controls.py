"""Declared options as controls: the one place where an `Option` becomes a widget."""

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from llmrank.core.specs import Option

MAX_SLIDER = 10_000
LABELS = {
    "theta": "θ: weight against degree",
    "gamma": "γ: graph against activation",
    "seq_len": "Tokens per sample",
    "eval_tokens": "Evaluation tokens",
    "multiple_of": "Round widths up to a multiple of",
    "dtype": "Precision",
    "bos": "Begin texts with BOS",
    "control_tokens": "Quoted control tokens are",
    "new_tokens": "Decoded tokens",
    "prompt_tokens": "Prompt tokens",
    "repeats": "Timed rounds",
    "items": "Items per task",
    "minutes": "Minutes of training",
    "train_tokens": "Tokens of training, not minutes",
    "recovery_text": "Text to train on",
    "lr": "Learning rate",
    "step_windows": "Windows per step",
    "trained": "Trained weights",
}

Form = Literal["field", "buttons"]


def label(name: str) -> str:
    """Return the words of a setting, the same on every page."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def control(
    o: Option,
    words: str,
    value: Any,
    *,
    key: str,
    titles: Mapping[str, str] | None = None,
    form: Form | None = None,
) -> Any:
    """Draw the control of an option, as its kind and limits ask, and return its value.

    Args:
        o: with its choices, limits and help.
        words: beside the control.
        value: that it starts from.
        key: of the widget.
        titles: what the choices are called, where not by their names.
        form: a number to type instead of a slider; many choices side by side.
    """
    if o.choices:
        called = titles.__getitem__ if titles else str
        if len(o.choices) > 3 and form != "buttons":
            at = o.choices.index(value)
            return st.selectbox(
                words, o.choices, at, format_func=called, help=o.help, key=key
            )
        return st.segmented_control(
            words, o.choices, default=value, required=True, format_func=called,
            help=o.help, key=key,
        )  # fmt: skip
    if o.kind is str:
        return st.text_input(words, value, help=o.help, key=key).strip() or o.default
    if o.low == o.high:
        return o.low
    low, high = (None if end is None else o.kind(end) for end in (o.low, o.high))
    step = 0.01 if o.kind is float else 1
    is_small = 0 < o.default < step
    if form == "field" or high is None or high / step > MAX_SLIDER or is_small:
        fine = {"step": 1e-4 if is_small else 0.001, "format": "%.4g"}
        more = fine if o.kind is float else {}
        return st.number_input(words, low, high, value, help=o.help, key=key, **more)
    return st.slider(words, low, high, value, step, help=o.help, key=key)
