"""The arenas that are kept: one that is chosen opens on its page, or is deleted."""

import streamlit as st

from llmrank.experiments.store import Store
from llmrank.report.tables.runs import arenas_table
from pages.shared.app import access, row_selection, session
from pages.shared.arena.spec_controls import SHOWN

TABLE = "runs_arenas"


def show(store: Store) -> None:
    """List the arenas; one that is chosen opens on its page."""
    arenas = store.arenas()
    if not arenas:
        return
    st.markdown("##### Arenas")
    table = arenas_table(arenas)
    chosen = row_selection.chosen(
        table.drop(columns="id"),
        table["id"].tolist(),
        key=TABLE,
        selection_mode="single-row",
    )
    if not chosen:
        st.caption("Choose an arena to open it.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open it in Arena", type="primary", key="open_arena"):
            session.view(SHOWN, chosen[0])
            st.switch_page("pages/arena.py")
        _show_delete(chosen[0], store)


def _show_delete(arena_id: str, store: Store) -> None:
    """Delete the description of an arena; its runs stay."""
    if access.is_shared():
        return
    with st.popover("Delete", icon=":material/delete:", key="arena_delete_ask"):
        st.markdown("The list of its cells is lost; what it measured stays as runs.")
        if st.button("Delete the arena", type="primary", key="arena_delete"):
            store.delete_arena(arena_id)
            row_selection.forget(TABLE)
            st.rerun()
