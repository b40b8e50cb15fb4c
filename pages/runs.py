"""Runs: what did I measure before?"""

from pages.shared.app.frame import frame

e = frame("Runs", "What did I measure before?")

import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted
from llmrank.experiments.arena import Entry
from llmrank.experiments.store import Run, Store
from llmrank.report.tables import runs as readings
from pages.shared.app import access, open_run, panels, resources, row_selection, session
from pages.shared.app.escape import plain
from pages.shared.arena import spec_controls

TABLE, ARENAS, DOOMED = "runs_table", "runs_arenas", "runs_doomed"
FILTERS = {"model": "Models", "criterion": "Criteria", "state": "States"}
MOST = 6
"""How many runs fit side by side."""


def show_runs(store: Store) -> None:
    """List the runs, and what can be done with those that are chosen."""
    runs = store.runs()
    if not runs:
        st.markdown(
            "Nothing is kept yet. Whatever is measured, here or in a terminal, is kept "
            "with its recipe, seed, texts, versions and every timing. **Next:** "
            "measure the setting in hand, or let methods compete."
        )
        panels.measure(e, "Measure the setting in hand")
        st.page_link(
            "pages/arena.py", label="Arena: which method is best?",
            icon=":material/arrow_forward:",
        )  # fmt: skip
        return
    table = filters(readings.runs_table(runs))
    if table.empty:
        st.caption(f"None of {counted(len(runs), 'run')} is like that.")
        return
    chosen = choose(table, {run.id: run for run in runs})
    st.caption(
        f"{len(table):,} of {counted(len(runs), 'run')}, the newest first; choose one "
        "to open it, two or more to compare them."
    )
    with panels.panel():
        show_chosen(chosen, table, store)


def filters(table: pd.DataFrame) -> pd.DataFrame:
    """Draw the filters and return the rows that pass them."""
    chosen = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for column, label in FILTERS.items():
            values = sorted(table[column].unique())
            chosen[column] = st.multiselect(
                label, values, placeholder="all", key=f"runs_{column}"
            )
        text = st.text_input("Containing", key="runs_text", placeholder="any words")
    return readings.filtered(table, chosen, text)


def choose(table: pd.DataFrame, runs: dict[str, Run]) -> list[Run]:
    """Show the table and return the runs whose rows are chosen."""
    ids = row_selection.chosen(
        table.drop(columns=["criterion", "run"]),
        table["run"].tolist(),
        key=TABLE,
        selection_mode="multi-row",
        height=min(420, 38 + 35 * len(table)),
        column_config={
            "finished": st.column_config.TextColumn("finished, UTC"),
            "sparsity": st.column_config.NumberColumn(format="percent"),
            "perplexity": st.column_config.NumberColumn(format="%.4g"),
            "ratio": st.column_config.NumberColumn("× dense", format="%.3f"),
            "parameters": st.column_config.NumberColumn(format="localized"),
        },
    )
    return [runs[i] for i in ids]


def show_chosen(chosen: Sequence[Run], table: pd.DataFrame, store: Store) -> None:
    """Offer what can be done with the runs that are chosen, or with all that are shown.

    Exports are made of all rows shown where none is chosen.
    """
    ids = [run.id for run in chosen]
    comparisons = store.comparisons(ids)
    entries = [Entry(run, comparisons.get(run.id)) for run in chosen]
    with st.container(horizontal=True, vertical_alignment="center"):
        show_exports(ids, table, store)
        show_delete(chosen, store)
    if len(chosen) == 1:
        show_one(entries[0])
    elif len(chosen) > MOST:
        st.info(f"At most {MOST} runs are shown side by side; choose fewer.")
    elif chosen:
        st.markdown("**Side by side**: the settings that differ, and every figure.")
        st.dataframe(readings.side_by_side(entries), key="runs_beside")


def show_one(entry: Entry) -> None:
    """Show one run: what it measured, and the ways to go on with it."""
    run = entry.run
    with st.container(border=True):
        st.markdown(f"**{plain(readings.name(run))}** · {run.state}")
        if run.reason:
            st.error(plain(run.reason))
        if entry.comparison is not None and run.origin is not None:
            panels.numbers(entry.comparison, run.origin.environment)
        open_run.show_ways(run, entry.comparison, key="runs_open")
        if st.button(
            "Measure it again", key="runs_again",
            help="All of it, with today's texts and versions; this run stays",
        ):  # fmt: skip
            session.adopt(run.experiment)
            panels.start_measuring(session.current())
        open_run.show_recipe(run.experiment)


def show_exports(ids: Sequence[str], table: pd.DataFrame, store: Store) -> None:
    """Offer the chosen runs, or else all shown, as files."""
    wanted = list(ids) or table["run"].tolist()

    def as_json() -> str:
        comparisons = store.comparisons(wanted)
        entries = [Entry(store.run(i), comparisons.get(i)) for i in wanted]
        return json.dumps(readings.exported(entries), indent=1)

    st.download_button(
        "JSON", as_json, "llm-rank-runs.json", "application/json", key="runs_json",
        on_click="ignore", icon=":material/download:",
    )  # fmt: skip
    panels.csv(lambda: table[table["run"].isin(wanted)], key="runs")


def show_delete(chosen: Sequence[Run], store: Store) -> None:
    """Delete what is chosen, once that is confirmed; never on a shared server.

    What goes is what the confirmation named, whatever was chosen or measured since.
    """
    if access.is_shared():
        st.caption("This server is shared: whoever runs it deletes runs.")
        return
    doomed = st.session_state.pop(DOOMED, ())
    if doomed:
        store.delete(doomed)
        row_selection.forget(TABLE)
        st.rerun()
    with st.popover(
        f"Delete {counted(len(chosen), 'run')}" if chosen else "Delete",
        disabled=not chosen, icon=":material/delete:", key="runs_delete_ask",
    ):  # fmt: skip
        st.markdown("All they measured is lost, in every arena too.")
        st.caption("  \n".join(plain(said) for said in readings.listed(chosen, MOST)))
        st.button(
            "Delete for good", type="primary", key="runs_delete", on_click=_doom,
            args=([run.id for run in chosen],),
        )  # fmt: skip


def _doom(ids: Sequence[str]) -> None:
    st.session_state[DOOMED] = ids


def show_arenas(store: Store) -> None:
    """List the arenas; one that is chosen opens on its page."""
    arenas = store.arenas()
    if not arenas:
        return
    st.subheader("Arenas", anchor=False)
    table = readings.arenas_table(arenas)
    chosen = row_selection.chosen(
        table.drop(columns="id"),
        table["id"].tolist(),
        key=ARENAS,
        selection_mode="single-row",
    )
    if not chosen:
        st.caption("Choose an arena to open it.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open it in Arena", type="primary", key="open_arena"):
            session.view(spec_controls.SHOWN, chosen[0])
            st.switch_page("pages/arena.py")
        show_delete_arena(chosen[0], store)


def show_delete_arena(arena_id: str, store: Store) -> None:
    """Delete the description of an arena; its runs stay."""
    if access.is_shared():
        return
    with st.popover("Delete", icon=":material/delete:", key="arena_delete_ask"):
        st.markdown("The list of its cells is lost; what it measured stays as runs.")
        if st.button("Delete the arena", type="primary", key="arena_delete"):
            store.delete_arena(arena_id)
            row_selection.forget(ARENAS)
            st.rerun()


with panels.panel():
    store = resources.store()
    if store.notice:
        st.warning(plain(store.notice))
    with panels.panel():
        show_runs(store)
    with panels.panel():
        show_arenas(store)
