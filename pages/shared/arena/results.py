"""How an arena stands: the chart, who is ahead beside it, the cell that is held."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.core.formatting import counted, number
from llmrank.core.specs import Option
from llmrank.core.statistics import times_spread
from llmrank.experiments import arena
from llmrank.experiments.arena import AXES, Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import checks
from llmrank.report import charts
from llmrank.report.charts.pareto import YOURS
from llmrank.report.sentences import arena as readings
from llmrank.report.sentences.measurements import checks_sentence
from llmrank.report.sentences.sizes import amount
from llmrank.report.tables import arena as tables
from pages.shared.app import (
    frontier,
    open_run,
    panels,
    row_selection,
    session,
    view_options,
)
from pages.shared.app.escape import plain
from pages.shared.arena import matched

CHART, LIST = "arena_chart", "arena_list"
TABLE, CELL = "arena_table", "arena.cell"
TITLES = {name: AXES[name].title for name in AXES}
NAMES = tuple(AXES)
ACROSS = Option("x", str, "parameters", "What its width shows", choices=NAMES)
UP = Option("y", str, "perplexity_ratio", "What its height shows", choices=NAMES)
ICONS = {"done": "✓", "failed": "✗", "running": "…", "queued": "·", "cancelled": "–"}

SHOWN = "arena_shown"
ALL, MATCHED = "All methods", "Same widths and repair"
HERE = "◆ "
"""Before the name of a method that is measured here, among the shipped ones."""

PAIRED = "Pairs tell more apart than whether two intervals overlap."

NAMED = 3
"""So many who are ahead have a colour and a label."""


def choose_axes() -> tuple[str, str]:
    """Draw the choice of what the chart's width and height show."""
    with st.popover("Axes"):
        across = view_options.choose("arena", ACROSS, "Across", titles=TITLES)
        return across, view_options.choose("arena", UP, "Up", titles=TITLES)


def choose_shown() -> None:
    """Draw the choice of what competes: everything, or only the criterion differs."""
    st.segmented_control(
        "What competes", [ALL, MATCHED], default=ALL, required=True, key=SHOWN,
        label_visibility="collapsed",
    )  # fmt: skip


def show(
    entries: Sequence[Entry],
    axes: tuple[str, str],
    in_hand: Experiment,
    *,
    own: Sequence[Entry] = (),
    is_ours: bool,
) -> None:
    """Draw the chart of the cells known, who is ahead at the sparsity in hand, all.

    Where they are ours (`is_ours`), one's `own` stand beside them; those that only
    read less of what we read are checks, and are told in a sentence.
    """
    mine = every = _of_one_model(entries)
    own, checked = _without_checks(own, every)
    if st.session_state.get(SHOWN) == MATCHED:
        mine, own = (
            [entry for entry in some if matched.is_matched(entry, in_hand.method)]
            for some in (every, own)
        )
    if len(mine) < min(2, len(every)):
        st.info("No two methods measured have the widths and the repair in hand.")
        return
    standings = _standings(mine, own, axes)
    held = session.views().get(CELL)
    _show_held([*mine, *own], held, standings)
    if standings.empty:
        st.info(
            f"No cell has both {TITLES[axes[0]]} and {TITLES[axes[1]]} yet. Cells "
            "appear the moment they are measured; other axes may be known already."
        )
        return
    with st.container(key="arena_standing"):
        picture, beside = st.columns(2, gap="medium")
    sparsity, ids = in_hand.pruning.sparsity, [entry.run.id for entry in own]
    looks = {"named": _named(standings, in_hand, held), "dark": panels.is_dark()}
    titles = _titles(axes)
    with picture:
        panels.chart(
            charts.pareto_chart(
                standings,
                titles=titles,
                marked=(sparsity, held),
                dense=arena.dense(mine, *axes),
                **looks,
            ),
            readings.standings_sentence(
                standings[~standings["run"].isin(ids)], axes[1], sparsity
            ),
            lambda: standings,
            key=CHART,
            on_select=lambda: _take_point(CHART),
        )
        origin = _origin(mine[0], is_ours=is_ours, own=bool(own))
        st.caption(
            f"{origin} {checked} Click a point or a row: its method opens above."
        )
    here = readings.nearest(standings, sparsity)
    judged = [e for e in mine if e.figures.keys() >= set(axes)]
    alike = matched.sentence(every, in_hand.method, float(here["sparsity"].iloc[0]))
    said, *more = filter(None, (alike, readings.told_by(judged, *axes)))
    with beside:
        panels.chart(
            charts.standings_chart(here, title=titles[1], held=held, **looks),
            said,
            lambda: here,
            key=LIST,
            on_select=lambda: _take_point(LIST),
        )
        st.caption(" ".join(more), help=PAIRED)


def _without_checks(
    own: Sequence[Entry], ours: Sequence[Entry]
) -> tuple[list[Entry], str]:
    """Return own entries of our text but those that check ours, and what these say."""
    text = ours[0].experiment.evaluation.eval_text
    own = [entry for entry in own if entry.experiment.evaluation.eval_text == text]
    runs = [entry.run for entry in own]
    twins = checks(runs, [entry.run for entry in ours])
    others = [entry for entry in own if entry.run.id not in twins]
    return others, checks_sentence(runs, twins)


def _of_one_model(entries: Sequence[Entry]) -> list[Entry]:
    """Ask whose cells are shown: those of other models compete among themselves."""
    models = list(dict.fromkeys(entry.experiment.model.name for entry in entries))
    model = models[0]
    if len(models) > 1:
        model = st.segmented_control(
            "Model", models, default=model, required=True, key="arena_model"
        )
    return [entry for entry in entries if entry.experiment.model.name == model]


def _titles(axes: tuple[str, str]) -> tuple[str, str]:
    better = {True: "less is better", False: "more is better"}
    x, y = (f"{TITLES[n]} ({better[AXES[n].lower_is_better]})" for n in axes)
    return x, y


def _origin(entry: Entry, *, is_ours: bool, own: bool) -> str:
    """Say where the points come from."""
    n_tokens = entry.experiment.evaluation.eval_tokens
    shipped = "Shipped with the app: measured on our two cores, on" if is_ours else "On"
    yours = f" {HERE}{YOURS}, told from ours on what both have read." if own else ""
    return f"{shipped} {n_tokens:,} held-out tokens.{yours}"


def _standings(
    entries: Sequence[Entry], own: Sequence[Entry], axes: tuple[str, str]
) -> pd.DataFrame:
    """Return where entries stand, and one's own beside them, marked.

    Who reads less is told from others on that; ours from each other on all they read.
    """
    alone, both = (tables.standings(e, *axes) for e in (entries, [*entries, *own]))
    if not own or both.empty:
        return alone
    is_own = both["run"].isin([entry.run.id for entry in own])
    mine = both[is_own].assign(method=HERE + both["method"])
    counts = {arena.n_windows(e, axes[1]) for e in (entries, [*entries, *own])}
    table = pd.concat([both[~is_own] if len(counts) == 1 else alone, mine])
    lower = AXES[axes[1]].lower_is_better
    return table.sort_values("y", ascending=lower, ignore_index=True)


def _named(
    standings: pd.DataFrame, in_hand: Experiment, held: str | None
) -> dict[str, str]:
    """Name who has a colour, each as on Overview: presets, who is ahead, in hand.

    And the method of the cell that is held.
    """
    by_verdict = standings.groupby("verdict")["method"].unique().to_dict()
    ahead = by_verdict.get("on the frontier", by_verdict.get("cannot be told", ()))
    usual, most, paper = frontier.presets()
    ours = in_hand.method.unseeded.name
    words = {usual: "the default", paper: "the paper's"} | {ours: "in hand"}
    drawn = standings["method"].unique().tolist()
    own = [name for name in drawn if name.startswith(HERE)]
    words |= dict.fromkeys(own, YOURS)
    chosen = standings.loc[standings["run"] == held, "method"]
    order = dict.fromkeys([usual, most, paper, *ahead[:NAMED], ours, *chosen, *own])
    return {name: words.get(name, "") for name in order if name in drawn}


def show_table(entries: Sequence[Entry], *, is_ours: bool) -> None:
    """List the cells: sorted by a click, taken along."""
    table = tables.arena_table(entries)
    with st.container(horizontal=True, vertical_alignment="center"):
        brief = st.toggle("Only columns that differ", value=True, key="arena_brief")
        states = table["state"].value_counts()
        said = ", ".join(f"{ICONS[name]} {n:,} {name}" for name, n in states.items())
        shipped = " shipped with the app" if is_ours else ""
        st.caption(f"{counted(len(table), 'cell')}{shipped}: {said}.")
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
    looks = {
        name: st.column_config.NumberColumn(format="%.4g")
        for name in shown.select_dtypes("float")
    }
    looks |= {
        "method": st.column_config.TextColumn(width="large"),
        "sparsity": st.column_config.NumberColumn(format="percent"),
        "parameters": st.column_config.NumberColumn(format="%,d"),
    }
    row_selection.choose(
        shown,
        list(table["run"]),
        session.views().get(CELL),
        lambda run: session.view(CELL, run),
        key=TABLE,
        column_config=looks,
    )


def _take_point(key: str) -> None:
    points = st.session_state[key]["selection"]["points"]
    run = points[0].get("customdata") if points else None
    if run:
        session.view(CELL, str(run[0]))


def _show_held(
    entries: Sequence[Entry], held: str | None, standings: pd.DataFrame
) -> None:
    """Show what the chosen cell is, its numbers, and how to take it along.

    It stands above the picture: below, it would open out of sight.
    """
    chosen = next((entry for entry in entries if entry.run.id == held), None)
    if chosen is None:
        return
    with st.container(border=True, key="arena_held"):
        said, ways = st.columns(2, vertical_alignment="center")
        with said:
            verdicts = standings.set_index("run")["verdict"] if len(standings) else {}
            told = _numbers(chosen, verdicts.get(held)) if chosen.figures else ""
            st.markdown(f"**{plain(arena.title(chosen.experiment))}**  \n{told}")
            if chosen.run.state == "failed":
                st.error(plain(chosen.run.reason))
            elif chosen.run.state != "done":
                st.caption(f"It is {chosen.run.state}.")
        with ways.container(horizontal=True, horizontal_alignment="right"):
            open_run.show_ways(chosen.run, chosen.comparison, key="arena_open")
            with st.popover("Recipe"):
                open_run.show_recipe(chosen.experiment)


def _numbers(entry: Entry, verdict: str | None) -> str:
    """Write what a cell measured, on how much, and how it stands."""
    figures, text = entry.figures, entry.comparison and entry.comparison.pruned.text
    told = [] if verdict is None else [f"**{verdict}**"]
    if "perplexity_ratio" in figures:
        told.append(f"perplexity {times_spread(figures['perplexity_ratio'])} of dense")
    told.append(f"{amount(figures['parameters'].value)} parameters")
    told.append(f"{number(figures['weights_mb'].value)} MB")
    told += [] if text is None else [f"read on {text.n_tokens:,} tokens"]
    return " · ".join(told)
