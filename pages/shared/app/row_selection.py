"""Rows chosen in a table, known by what they are and not by where they stand."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st


def chosen(
    table: pd.DataFrame, ids: Sequence[str], *, key: str, **looks: Any
) -> list[str]:
    """Show a table whose rows have ids, and return the ids of those that are chosen.

    A browser tells which rows, of the table that it shows: another one may be above
    them by now, from another tab or a job. What was chosen stays chosen.
    """
    told = st.session_state.get(key)
    rows = list(told["selection"]["rows"]) if told is not None else []
    shown = st.session_state.get(f"{key}_ids", list(ids))
    picked = [shown[row] for row in rows if row < len(shown) and shown[row] in ids]
    now = [list(ids).index(one) for one in picked]
    if rows != now:
        st.session_state[key] = {"selection": {"rows": now}}
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_default={"selection": {"rows": now}},
        **looks,
    )
    st.session_state[f"{key}_ids"] = list(ids)
    return picked


def forget(key: str) -> None:
    """Choose nothing; before the table is shown."""
    st.session_state.pop(key, None)
