"""Rows chosen in a table, known by what they are and not by where they stand."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

T = TypeVar("T")


def chosen(
    table: pd.DataFrame | Styler, ids: Sequence[str], *, key: str, **looks: Any
) -> list[str]:
    """Show a table whose rows have ids, and return the ids of those that are chosen.

    A browser tells which rows, of the table that it shows: another one may be above
    them by now, from another tab or a job. What was chosen stays chosen.
    """
    shown = st.session_state.get(f"{key}_ids", list(ids))
    told = [shown[row] for row in _rows(key) if row < len(shown)]
    picked = [one for one in told if one in ids]
    _show(table, [ids.index(one) for one in picked], key, on_select="rerun", **looks)
    st.session_state[f"{key}_ids"] = list(ids)
    return picked


def choose(
    table: pd.DataFrame | Styler,
    ids: Sequence[T],
    held: T | None,
    take: Callable[[T | None], None],
    *,
    key: str,
    **looks: Any,
) -> None:
    """Show a table of which one row is held, which may be chosen elsewhere too.

    `take` is called with the id of the row that a visitor chooses, or with None.
    """

    def told() -> None:
        rows = _rows(key)
        take(ids[rows[0]] if rows else None)

    rows = [ids.index(held)] if held in ids else []
    _show(table, rows, key, on_select=told, selection_mode="single-row", **looks)


def take(picked: Sequence[str], *, key: str) -> None:
    """Choose rows by their ids from elsewhere than the table; a callback."""
    st.session_state[f"{key}_ids"] = list(picked)
    rows = list(range(len(picked)))
    st.session_state[key] = {"selection": {"rows": rows, "columns": []}}


def forget(key: str) -> None:
    """Choose nothing; before the table is shown."""
    st.session_state.pop(key, None)


def _rows(key: str) -> list[int]:
    told = st.session_state.get(key)
    return [] if told is None else list(told["selection"]["rows"])


def _show(
    table: pd.DataFrame | Styler, rows: list[int], key: str, **looks: Any
) -> None:
    selection = {"selection": {"rows": rows}}
    if key in st.session_state and _rows(key) != rows:
        st.session_state[key] = selection
    st.dataframe(table, hide_index=True, key=key, selection_default=selection, **looks)
