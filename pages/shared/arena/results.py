"""How an arena stands: the chart, who is ahead beside it, the cell that is held."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted
from llmrank.core.specs import Option
from llmrank.experiments import arena
from llmrank.experiments.arena import AXES, Entry
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
MARKS = {"on the frontier": "●", "cannot be told": "○", "beaten": "·"}
LISTED = 318
"""Pixels of the list beside the chart: eight methods and its heading."""


def choose_axes() -> tuple[str, str]:
    """Draw the choice of what the chart's width and height show."""
    with st.popover("Axes"):
        across = view_options.choose("arena", ACROSS, "Across", titles=TITLES)
        return across, view_options.choose("arena", UP, "Up", titles=TITLES)


def show(entries: Sequence[Entry], axes: tuple[str, str], in_hand: Experiment) -> None:
    """Draw the chart of the cells known, who is ahead at the sparsity in hand, all."""
    models = list(dict.fromkeys(entry.experiment.model.name for entry in entries))
    model = models[0]
    if len(models) > 1:  # the others compete among themselves
        model = st.segmented_control(
            "Model", models, default=model, required=True, key="arena_model"
        )
    mine = [entry for entry in entries if entry.experiment.model.name == model]
    standings = tables.standings(mine, *axes)
    if standings.empty:
        st.info(
            f"No cell has both {TITLES[axes[0]]} and {TITLES[axes[1]]} yet. Cells "
            "appear the moment they are measured; other axes may be known already."
        )
        _show_held(mine)
        return
    picture, beside = st.columns([0.62, 0.38], gap="medium")
    with picture:
        _show_chart(standings, mine, axes, in_hand.pruning.sparsity)
    with beside:
        here = readings.nearest(standings, in_hand.pruning.sparsity)
        _show_standings(here, axes[1])
        _show_held(mine)


def show_table(entries: Sequence[Entry]) -> None:
    """List the cells: sorted by a click, taken along."""
    table = tables.arena_table(entries)
    with st.container(horizontal=True, vertical_alignment="center"):
        brief = st.toggle("Only columns that differ", value=True, key="arena_brief")
        states = table["state"].value_counts()
        said = ", ".join(f"{ICONS[name]} {n:,} {name}" for name, n in states.items())
        st.caption(f"{counted(len(table), 'cell')}: {said}.")
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
    shown = tables.shown(tables.brief(table) if brief else table)
    numbers = {
        name: st.column_config.NumberColumn(format="%.4g")
        for name in shown.select_dtypes("float")
    }
    numbers |= {
        "sparsity": st.column_config.NumberColumn(format="percent"),
        "parameters": st.column_config.NumberColumn(format="%,d"),
    }
    _choose(shown, list(table["run"]), TABLE, column_config=numbers)


def _show_chart(
    standings: pd.DataFrame,
    entries: Sequence[Entry],
    axes: tuple[str, str],
    sparsity: float,
) -> None:
    better = {True: "less is better", False: "more is better"}
    across, up = (
        f"{TITLES[name]} ({better[AXES[name].lower_is_better]})" for name in axes
    )
    panels.chart(
        charts.pareto_chart(
            standings,
            titles=(across, up),
            here=sparsity,
            dense=arena.dense(entries, *axes),
            dark=panels.is_dark(),
        ),
        readings.standings_sentence(standings, axes[1], sparsity),
        lambda: standings,
        key=CHART,
        on_select=_take_point,
    )
    beside = "Points that coincide stand side by side; hover tells their size."
    st.caption(f"{readings.told_by(entries, *axes)} {beside}")


def _take_point() -> None:
    points = st.session_state[CHART]["selection"]["points"]
    named = points[0].get("customdata") if points else None
    if named:
        session.view(CELL, str(named[0]))


def _show_standings(here: pd.DataFrame, y: str) -> None:
    """List who competes at one sparsity, the best first."""
    said = here["verdict"].map(MARKS) + " " + here["said"]
    shown = pd.DataFrame({TITLES[y]: said, "method": here["method"]})
    shown["verdict"] = here["verdict"]
    widths = {TITLES[y]: 130, "method": 230, "verdict": 105}
    _choose(
        shown,
        list(here["run"]),
        "arena_standings",
        height=min(LISTED, 38 + 35 * len(shown)),
        column_config={n: st.column_config.Column(width=w) for n, w in widths.items()},
    )


def _choose(shown: pd.DataFrame, runs: list[str], key: str, **look: object) -> None:
    """Show cells as rows; the one that is held, here or in the chart, is chosen."""
    held = session.views().get(CELL)
    row_selection.choose(
        shown, runs, held, lambda run: session.view(CELL, run), key=key, **look
    )


def _show_held(entries: Sequence[Entry]) -> None:
    """Show what the chosen cell is, why it failed, and how to take it along."""
    at = session.views().get(CELL)
    chosen = next((entry for entry in entries if entry.run.id == at), None)
    if chosen is None:
        st.caption("Click a point or a row: its method opens here.")
        return
    with st.container(border=True):
        st.markdown(f"**{plain(arena.title(chosen.experiment))}**")
        if chosen.run.state == "failed":
            st.error(plain(chosen.run.reason))
        elif chosen.run.state != "done":
            st.caption(f"It is {chosen.run.state}.")
        open_run.show_ways(chosen.run, chosen.comparison, key="arena_open")
        with st.popover("Recipe", type="tertiary"):
            open_run.show_recipe(chosen.experiment)
