"""How an arena stands: the chart, who is ahead beside it, the cell that is held."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted
from llmrank.core.specs import Option
from llmrank.experiments import arena
from llmrank.experiments.arena import AXES, Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.settings import PRESETS
from llmrank.experiments.settings import experiment as built
from llmrank.report import charts
from llmrank.report.sentences import arena as readings
from llmrank.report.tables import arena as tables
from pages.shared.app import open_run, panels, row_selection, session, view_options
from pages.shared.app.escape import plain

CHART, LIST = "arena_chart", "arena_list"
TABLE, CELL = "arena_table", "arena.cell"
TITLES = {name: AXES[name].title for name in AXES}
NAMES = tuple(AXES)
ACROSS = Option("x", str, "parameters", "What its width shows", choices=NAMES)
UP = Option("y", str, "perplexity_ratio", "What its height shows", choices=NAMES)
ICONS = {"done": "✓", "failed": "✗", "running": "…", "queued": "·", "cancelled": "–"}

NAMED = 3
"""So many who are ahead have a colour and a label."""


def choose_axes() -> tuple[str, str]:
    """Draw the choice of what the chart's width and height show."""
    with st.popover("Axes"):
        across = view_options.choose("arena", ACROSS, "Across", titles=TITLES)
        return across, view_options.choose("arena", UP, "Up", titles=TITLES)


def show(
    entries: Sequence[Entry],
    axes: tuple[str, str],
    in_hand: Experiment,
    *,
    is_ours: bool,
) -> None:
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
        _show_held(mine, session.views().get(CELL))
        return
    better = {True: "less is better", False: "more is better"}
    titles = [f"{TITLES[n]} ({better[AXES[n].lower_is_better]})" for n in axes]
    sparsity, held = in_hand.pruning.sparsity, session.views().get(CELL)
    here = readings.nearest(standings, sparsity)
    both = [e for e in mine if e.figures.keys() >= set(axes)]
    looks = {"named": _named(standings, in_hand), "dark": panels.is_dark()}
    picture, beside = st.columns(2, gap="medium")
    with picture:
        panels.chart(
            charts.pareto_chart(
                standings,
                titles=tuple(titles),
                marked=(sparsity, held),
                dense=arena.dense(mine, *axes),
                **looks,
            ),
            readings.standings_sentence(standings, axes[1], sparsity),
            lambda: standings,
            key=CHART,
            on_select=lambda: _take_point(CHART),
        )
        n_tokens = mine[0].experiment.evaluation.eval_tokens
        shipped = (
            "Shipped with the app: measured on our two cores, on "
            f"{n_tokens:,} held-out tokens. "
        )
        st.caption(
            f"{shipped if is_ours else ''}Points that coincide stand a few pixels "
            "aside; hover tells their size."
        )
    with beside:
        panels.chart(
            charts.standings_chart(here, title=titles[1], held=held, **looks),
            readings.told_by(both, *axes),
            lambda: here,
            key=LIST,
            on_select=lambda: _take_point(LIST),
        )
        _show_held(mine, held)


def _named(standings: pd.DataFrame, in_hand: Experiment) -> dict[str, str]:
    """Name who has a colour, each as on Overview: presets, who is ahead, in hand."""
    by_verdict = standings.groupby("verdict")["method"].unique().to_dict()
    ahead = by_verdict.get("on the frontier", by_verdict.get("cannot be told", ()))
    usual, paper, most = (built(asked).method.name for asked, _ in PRESETS.values())
    ours = in_hand.method.unseeded.name
    words = {usual: "the default", paper: "the paper's"} | {ours: "in hand"}
    drawn = set(standings["method"])
    order = dict.fromkeys([usual, most, paper, *ahead[:NAMED], ours])
    return {name: words.get(name, "") for name in order if name in drawn}


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
    row_selection.choose(
        shown,
        list(table["run"]),
        session.views().get(CELL),
        lambda run: session.view(CELL, run),
        key=TABLE,
        column_config=numbers,
    )


def _take_point(key: str) -> None:
    points = st.session_state[key]["selection"]["points"]
    run = points[0].get("customdata") if points else None
    if run:
        session.view(CELL, str(run[0]))


def _show_held(entries: Sequence[Entry], held: str | None) -> None:
    """Show what the chosen cell is, why it failed, and how to take it along."""
    chosen = next((entry for entry in entries if entry.run.id == held), None)
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
