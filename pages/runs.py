"""Runs: what did I measure before?"""

from pages.shared.app.frame import frame

in_hand = frame("Runs", "What did I measure before?")

import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted, number, share, times
from llmrank.evaluation.comparison import Comparison
from llmrank.experiments.arena import Entry
from llmrank.experiments.store import Run, Store
from llmrank.report.sentences.sizes import amount
from llmrank.report.sentences.summary import PAIRED
from llmrank.report.tables import runs as readings
from llmrank.report.tables.lowest import lowest_apart
from pages.shared.app import (
    access,
    open_run,
    panels,
    resources,
    row_selection,
    session,
)
from pages.shared.app.escape import plain
from pages.shared.arena import kept
from pages.shared.runs import picture
from pages.shared.runs.picture import FILTERS, HERE, SHIPPED, TABLE, WHOSE

DOOMED = "runs_doomed"
MOST = 6
"""How many runs fit side by side."""
FORMATS = {
    "sparsity": share, "ratio": times, "perplexity": number, "parameters": amount,
}  # fmt: skip


def choose_store(own: Store) -> Store:
    """Ask whose runs are shown; where there are no own ones, ours are."""
    ours = resources.shipped()
    if ours is None:
        return own
    if own.runs(limit=1):
        shown = st.segmented_control(
            "Whose runs", [HERE, SHIPPED], default=HERE, required=True,
            key=WHOSE, label_visibility="collapsed",
        )  # fmt: skip
        return own if shown == HERE else ours
    st.markdown(
        "**Nothing of yours is kept yet**; these are shipped. What you **Measure** is "
        "kept here with its recipe, texts, versions and every timing.",
        width="stretch",
    )
    return ours


def show_runs(own: Store) -> None:
    """Draw the runs, list them, and show what can be done with those that are chosen.

    The choice is made in the chart or in the table, which stands below it.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        store = choose_store(own)
        groups = {g[0].id: g for g in readings.merged(store.runs())}
        if not groups:
            st.markdown("**Nothing is kept yet**: what you **Measure** is kept here.")
            return
        firsts = [group[0] for group in groups.values()]
        with st.popover("Filter", icon=":material/filter_list:", width="content"):
            table = filters(readings.runs_table(firsts))
    if table.empty:
        st.caption(f"None of {counted(len(groups), 'run')} is like that.")
        return
    drawn, held = st.columns([0.66, 0.34], gap="medium")
    listed = [groups[i][0] for i in table["run"]]
    chosen = [groups[i] for i in choose(table, listed)]
    first = table["run"].iloc[0] if store is own else like_in_hand(table)
    shown = [group[0] for group in chosen] or [groups[first][0]]
    with drawn:
        picture.show(listed, shown, picture.shipped_too(listed, store), store)
    with held, panels.panel():
        show_held(shown, store)
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = chosen or [groups[i] for i in table["run"]]
        show_exports([run.id for group in wanted for run in group], table, store)
        if store is own:
            show_delete([run for group in chosen for run in group], store)
    if 1 < len(chosen) <= MOST:
        show_side_by_side([group[0] for group in chosen], store)


def like_in_hand(table: pd.DataFrame) -> str:
    """Return the run of the method in hand, or any, that removed nearly as much."""
    read = table[table["ratio"].notna()]
    same = read[read["method"] == in_hand.method.name]
    rows = next(some for some in (same, read, table) if len(some))
    apart = (rows["sparsity"] - in_hand.pruning.sparsity).abs()
    return str(rows.loc[apart.idxmin(), "run"])


def filters(table: pd.DataFrame) -> pd.DataFrame:
    """Draw the filters and return the rows that pass them."""
    chosen = {
        column: st.multiselect(
            label, sorted(table[column].unique()), placeholder="all",
            key=f"runs_{column}",
        )
        for column, label in FILTERS.items()
    }  # fmt: skip
    text = st.text_input("Containing", key="runs_text", placeholder="any words")
    return readings.filtered(table, chosen, text)


def choose(table: pd.DataFrame, listed: Sequence[Run]) -> list[str]:
    """Show the table, ★ the lowest ratio, and return the ids that are chosen."""
    shown, shared = readings.differing(table.drop(columns="criterion"))
    best = lowest_apart(listed)
    starred = FORMATS | {"ratio": lambda v: "★ " * (v == best) + times(v)}
    ids = row_selection.chosen(
        shown.drop(columns="run").style.format(
            {c: write for c, write in starred.items() if c in shown}, na_rep="–"
        ),
        table["run"].tolist(),
        key=TABLE,
        selection_mode="multi-row",
        height=min(420, 38 + 35 * len(table)),
        placeholder="–",
        column_config={
            "method": st.column_config.TextColumn(width="large"),
            "sparsity": "removed",
            "ratio": "perplexity, × dense",
            "ratio 95 %": "95 %",
            "finished": "finished, UTC",
        },
    )
    if len(table) > 1:
        alike = " · ".join(f"{name} {plain(value)}" for name, value in shared.items())
        said = f"{counted(len(table), 'row')}, the newest first"
        star = "; ★ the lowest, its interval apart from the next"
        said += "." if best is None else f"{star}."
        st.caption(f"{said} All alike: {alike}." if alike else said)
    return ids


def show_held(shown: Sequence[Run], store: Store) -> None:
    """Show the run that is held, or say where several are."""
    if len(shown) == 1:
        show_one(Entry(shown[0], store.comparison(shown[0].id)), store)
    elif len(shown) > MOST:
        st.info(f"At most {MOST} runs are shown side by side; choose fewer.")
    else:
        st.markdown(f"**{len(shown)} runs** stand side by side below the table.")


def show_side_by_side(chosen: Sequence[Run], store: Store) -> None:
    """Show what differs, the best marked; texts, versions and machines folded."""
    comparisons = store.comparisons([run.id for run in chosen])
    entries = [Entry(run, comparisons.get(run.id)) for run in chosen]
    st.markdown(
        "**Side by side**: the settings that differ, and every figure; ★ best, if told."
    )
    st.dataframe(readings.side_by_side(entries), key="runs_beside")
    origins = readings.origins_beside(entries)
    with st.expander("Texts, versions and machines that differ"):
        st.dataframe(origins, key="runs_origins")


def show_one(entry: Entry, store: Store) -> None:
    """Show one run: what it measured, and the ways to go on with it."""
    run = entry.run
    st.markdown(
        f"**{plain(readings.name(run))}**, "
        f"{share(run.spec.recipe['pruning']['sparsity'])} removed · {run.state} "
        f"{readings.time(run.finished)}"
    )
    if run.reason:
        st.error(plain(run.reason))
    if entry.comparison is not None and run.origin is not None:
        show_figures(entry.comparison, run.origin.environment)
    is_ours = store is resources.shipped()
    open_run.show_ways(run, None if is_ours else entry.comparison, key="runs_open")
    if st.button(
        "Measure it again", key="runs_again",
        help="All of it, with today's texts and versions; this run stays",
    ):  # fmt: skip
        session.adopt(run.experiment)
        panels.start_measuring(session.current())
    with st.expander("Recipe"):
        open_run.show_recipe(run.experiment)
    st.caption("Click a point or tick a row to hold another; tick two to compare them.")


def show_figures(comparison: Comparison, origin: dict[str, str]) -> None:
    """List the numbers of a run, one under the other."""
    for figure in panels.figures(comparison, origin, "–"):
        panels.listed(*figure)
    if "recovery" in origin:
        panels.listed("Recovery", origin["recovery"], None, "How its training went.")
    if comparison.speedup is not None:
        st.caption(PAIRED)


def show_exports(wanted: Sequence[str], table: pd.DataFrame, store: Store) -> None:
    """Offer the chosen runs, or else all shown, as files."""

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


with panels.panel():
    store = resources.store()
    if store.notice:
        st.warning(plain(store.notice))
    with panels.panel():
        show_runs(store)
    with panels.panel():
        kept.show(store)
