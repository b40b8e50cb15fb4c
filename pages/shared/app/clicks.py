"""What is clicked in a chart whose marks cannot be selected: cells, boxes, bars."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.shared.app import assets
from pages.shared.app.lasting import lasting


@lasting
def _listener() -> Callable[..., Any]:
    """Register the component that listens, once."""
    new = st.components.v2.component
    return new("llmrank_clicks", js=assets.module("common/clicks.js"))


def hear(chart: str, take: Callable[[dict[str, Any]], None]) -> None:
    """Call `take` with what is clicked in a chart, as Plotly tells it.

    Args:
        chart: the key of the chart.
        take: gets x, y and customdata; runs before the page does.
    """
    key = f"{chart}_clicked"

    def told() -> None:
        point = st.session_state[key]["point"]
        if point is not None:
            take(point)

    _listener()(key=key, data={"chart": chart}, on_point_change=told)
