"""What the server sends to the canvases' shelf, and what they tell it on release."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.shared.app import assets
from pages.shared.app.lasting import lasting


@lasting
def carrier() -> Callable[..., Any]:
    """Register the component that takes payloads and draws nothing, once."""
    new = st.components.v2.component
    return new("llmrank_payload", js=assets.module("common/shelf.js"))


def send(payload: bytes, *, key: str) -> None:
    """Send what llmrank.report packed; equal bytes are sent once."""
    carrier()(key=f"payload_{key}", data=payload, height=1)


def committed(key: str) -> dict[str, Any]:
    """Return what a canvas told last; its `serial` counts, from 1."""
    return (st.session_state.get(key) or {}).get("commit") or {}
