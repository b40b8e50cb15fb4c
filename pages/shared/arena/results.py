"""How an arena stands: the chart, the table, and the cell that is chosen."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted, share
from llmrank.core.specs import Option
from llmrank.experiments import arena
from llmrank.experiments.arena import AXES, ArenaSpec, Entry
from llmrank.experiments.experiment import Experiment
from llmrank.report import charts
from llmrank.report.sentences import arena as readings
from llmrank.report.tables import arena as tables
from pages.shared.app import open_run, panels, row_selection, session, view_options
from pages.shared.app.escape import plain

CHART, TABLE, CELL = "arena_chart", "arena_table", "arena.cell"
TITLES = {name: AXES[name].title for name in AXES}
NAMES = tuple(AXES)
ACROSS = Option("x", str, "parameters", "What its width shows", choices=NAMES)
UP = Option("y", str, "perplexity_ratio", "What its height shows", choices=NAMES)
ICONS = {"done": "✓", "failed": "✗", "running": "…", "queued": "·", "cancelled": "–"}


def show(spec: ArenaSpec, entries: Sequence[Entry], experiment: Experiment) -> None:
    """Draw all of an arena as far as it is known."""
    if not entries:
        st.markdown(
            "Nothing of this choice is measured yet. **Run the arena**: every cell "
            "appears here the moment it is done, is kept, and is never measured twice; "
            "the arena can be stopped and goes on where it was."
        )
        return
    table = _filtered(tables.arena_table(entries))
    wanted = [entries[place] for place in table.index]
    if not wanted:
        st.caption("No cell is of these methods and sparsities.")
        return
    _show_chart(spec, wanted, experiment)
    _show_table(table)
    _show_chosen(wanted)


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    """Draw what is left out, of the chart and of the table."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for column, label in (("method", "Only methods"), ("sparsity", "Only at")):
            values = list(dict.fromkeys(table[column]))
            wanted = st.multiselect(
                label, values, format_func=_told, placeholder="all",
                key=f"arena_only_{column}",
            )  # fmt: skip
            if wanted:
                table = table[table[column].isin(wanted)]
    return table


def _show_chart(
    spec: ArenaSpec, entries: Sequence[Entry], experiment: Experiment
) -> None:
    """Draw two axes of one model: the other models compete among themselves."""
    with st.container(horizontal=True):
        model = _choose_model(spec)
        across = view_options.choose("arena", ACROSS, "Across", titles=TITLES)
        up = view_options.choose("arena", UP, "Up", titles=TITLES)
    mine = [entry for entry in entries if entry.experiment.model.name == model]
    placed = arena.pareto(mine, across, up)
    if not placed:
        st.info(
            f"No cell has both {AXES[across].title} and {AXES[up].title} yet. Cells "
            "appear the moment they are measured; other axes may be known already."
        )
        return
    points = tables.chart_table(placed)
    panels.chart(
        charts.pareto_chart(
            points,
            titles=(AXES[across].title, AXES[up].title),
            methods=[m.name for m in spec.methods],
            dense=arena.dense(placed, across, up),
            dark=panels.is_dark(),
        ),
        readings.pareto_sentence(placed, up, experiment.pruning.sparsity),
        lambda: points,
        key=CHART,
        on_select=_take_point,
    )


def _choose_model(spec: ArenaSpec) -> str:
    names = [m.name for m in spec.models]
    if len(names) == 1:
        return names[0]
    return st.selectbox("Model", names, key="arena_model")


def _take_point() -> None:
    points = st.session_state[CHART]["selection"]["points"]
    named = points[0].get("customdata") if points else None
    if named:
        session.view(CELL, str(named[0]))


def _show_table(table: pd.DataFrame) -> None:
    """List the cells: sorted by a click, taken along."""
    brief = st.toggle("Only columns that differ", value=True, key="arena_brief")
    shown = tables.brief(table) if brief else table
    _show_cells(tables.shown(shown), list(table["run"]))
    states = table["state"].value_counts()
    said = [f"{ICONS[name]} {n:,} {name}" for name, n in states.items()]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{counted(len(table), 'cell')}: {', '.join(said)}. Choose a row.")
        panels.csv(lambda: table, key="arena")
        st.download_button(
            "LaTeX",
            lambda: tables.latex(table),
            "llm-rank-arena.tex",
            "text/plain",
            key="arena_latex",
            on_click="ignore",
            icon=":material/download:",
        )


def _told(value: object) -> str:
    return share(value) if isinstance(value, float) else str(value)


def _show_cells(shown: pd.DataFrame, runs: list[str]) -> None:
    """Show the table; the cell that is chosen, here or in the chart, is its row."""
    numbers = {
        name: st.column_config.NumberColumn(format="%.4g")
        for name in shown.select_dtypes("float")
    }
    fixed = {"method": st.column_config.TextColumn(width="medium")}
    percent = {"sparsity": st.column_config.NumberColumn(format="percent")}
    row_selection.choose(
        shown,
        runs,
        session.views().get(CELL),
        lambda run: session.view(CELL, run),
        key=TABLE,
        column_config=numbers | percent | fixed,
    )


def _show_chosen(entries: Sequence[Entry]) -> None:
    """Show what the chosen cell is, why it failed, and how to take it along."""
    at = session.views().get(CELL)
    chosen = next((entry for entry in entries if entry.run.id == at), None)
    if chosen is None:
        return
    with st.container(border=True):
        st.markdown(f"**{plain(arena.title(chosen.experiment))}**")
        if chosen.run.state == "failed":
            st.error(plain(chosen.run.reason))
        elif chosen.run.state != "done":
            st.caption(f"It is {chosen.run.state}.")
        open_run.show_ways(chosen.run, chosen.comparison, key="arena_open")
        open_run.show_recipe(chosen.experiment)
