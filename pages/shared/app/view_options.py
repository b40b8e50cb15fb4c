"""What a page shows of the experiment: declared options ↔ controls ↔ the link."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, unquote

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.specs import Option, options
from llmrank.core.uploads import masked
from pages.shared.app import controls, session
from pages.shared.app.escape import plain

_SET = "looks_set"


@dataclass(frozen=True)
class Several:
    """A choice of several names; with `is_open` one may write others."""

    name: str
    label: str
    known: tuple[str, ...]
    usual: tuple[str, ...]
    is_open: bool = False
    help: str | None = None
    width: int | Literal["stretch"] = "stretch"


def option_of(spec: type, name: str) -> Option:
    """Return one declared option of a spec."""
    return next(o for o in options(spec) if o.name == name)


def limited(o: Option, high: int) -> Option:
    """Return an option with the highest value that the model at hand allows."""
    return replace(o, high=high, default=min(o.default, high))


def choose(page: str, o: Option, words: str | None = None, **look: Any) -> Any:
    """Draw the control of one choice and remember what is chosen, also in the link."""
    chosen = controls.control(
        o, words or controls.label(o.name), value(page, o), key=_key(page, o), **look
    )
    session.view(f"{page}.{o.name}", None if chosen == o.default else str(chosen))
    return chosen


def choose_several(
    page: str, o: Several, called: Callable[[str], str] = str
) -> list[str]:
    """Draw a choice of several names and remember it, also in the link."""
    stored = session.views().get(f"{page}.{o.name}")
    start = list(o.usual) if stored is None else stored.split("|")
    if not o.is_open:
        start = [name for name in start if name in o.known]
    elif stored is not None:
        start = masked([unquote(name) for name in start if name])
    chosen = st.multiselect(
        o.label,
        list(dict.fromkeys([*o.known, *start])),
        start,
        format_func=called,
        accept_new_options=o.is_open,
        help=o.help,
        key=f"{_key(page, o)}_{o.label}",
        width=o.width,
    )
    session.view(f"{page}.{o.name}", _written(o, chosen))
    if not o.is_open:
        return chosen
    return list(dict.fromkeys(masked(name.strip()) for name in chosen))


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
        session.view(f"{page}.{name}", None if chosen is None else str(chosen))
    st.session_state[_SET] = st.session_state.get(_SET, 0) + 1


def put_several(page: str, o: Several, chosen: list[str]) -> None:
    """Set a choice of several, from a button's callback."""
    put(page, {o.name: _written(o, chosen)})


def _written(o: Several, chosen: list[str]) -> str | None:
    """Write names as a link holds them; those of visitors may hold its separators."""
    if chosen == list(o.usual):
        return None
    quoted = (quote(n, safe=" +:=-_") for n in chosen) if o.is_open else chosen
    return "|".join(quoted)


def _key(page: str, o: Option | Several) -> str:
    return f"look_{page}.{o.name}_{st.session_state.get(_SET, 0)}"
