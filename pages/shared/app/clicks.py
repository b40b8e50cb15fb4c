"""What our own components hear in the browser: clicks on marks, a frame's words."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.shared.app import assets
from pages.shared.app.lasting import lasting


@lasting
def listener(name: str) -> Callable[..., Any]:
    """Register a component that draws nothing, of `assets/common`, once."""
    new, script = st.components.v2.component, assets.module(f"common/{name}.js")
    return new(f"llmrank_{name}", js=script)


def hear(chart: str, take: Callable[[dict[str, Any]], None]) -> None:
    """Call `take` with the x, y and customdata of what is clicked in a chart.

    Streamlit itself tells of points alone, and not of cells, boxes and bars.
    """
    key = f"{chart}_clicked"
    listener("clicks")(
        key=key,
        data={"chart": chart},
        on_point_change=lambda: take(st.session_state[key]["point"]),
    )
