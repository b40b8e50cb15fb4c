"""Uploads: kept for the visitor who gave them, and gone when the visitor has."""

import functools
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from llmrank.core import uploads
from llmrank.core.errors import LLMRankError
from pages.shared.app import visitors
from pages.shared.app.escape import plain
from pages.shared.app.visitors import on_end, visitor_id

_HOLDER, _NAMES = "holder", "upload_names"
_REFUSED, _TAKEN = "upload_refused", "upload_taken"
_sweep_once = functools.cache(uploads.sweep)


def holder() -> str:
    """Return whose uploads this session sees: those of its browser.

    A reload and a second tab see them too. They are removed when the browser's last
    tab has gone and its jobs have ended.
    """
    held_by = st.session_state.get(_HOLDER)
    if held_by is None:
        _sweep_once()
        held_by = st.session_state[_HOLDER] = visitors.owner()
        on_end(visitor_id(), uploads.visit(held_by))
    return str(held_by)


def uploader(
    label: str,
    types: Sequence[str],
    *,
    key: str,
    help: str | None,
    keep: Callable[[bytes, str], str],
) -> str | None:
    """Offer an upload; return what `keep` calls it, in the run that brought it.

    The server's copy is let go as soon as it is kept. What was refused is said until
    the next file.
    """
    uploaded = st.file_uploader(label, type=types, key=key, help=help)
    refused = st.session_state.setdefault(_REFUSED, {})
    taken = st.session_state.setdefault(_TAKEN, {})
    if uploaded is not None and taken.get(key) != uploaded.file_id:
        taken[key] = uploaded.file_id
        refused.pop(key, None)
        try:
            source = keep(uploaded.getvalue(), uploaded.name)
        except LLMRankError as error:
            refused[key] = str(error)
        else:
            st.session_state.setdefault(_NAMES, {})[source] = uploaded.name
            return source
        finally:
            _let_go(uploaded)
    if st.session_state.get(key) is None:  # the visitor has removed it
        refused.pop(key, None)
    if key in refused:
        st.error(plain(refused[key]))
    return None


def named(source: str) -> str:
    """Return how an upload was called where it came from, told to its visitor alone."""
    name = st.session_state.get(_NAMES, {}).get(source)
    if name is not None:
        return str(name)
    own = uploads.masked(source)
    if not own.startswith(uploads.UPLOADED):
        return own
    return f"your upload {own.removeprefix(uploads.UPLOADED)[:8]}"


def _let_go(uploaded: UploadedFile) -> None:
    """Streamlit would hold the content in memory until the tab is closed."""
    context = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, uploaded.file_id)
    uploaded.truncate(0)
