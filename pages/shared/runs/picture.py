"""The picture of the runs: what is listed, ours behind it, and who costs least."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmrank.experiments.arena import Entry
from llmrank.experiments.frontier import checks
from llmrank.experiments.store import Run, Store
from llmrank.report import charts
from llmrank.report.sentences import measurements as sentences
from llmrank.report.tables import runs as readings
from llmrank.report.tables.lowest import RATIO
from pages.shared.app import frontier, panels, resources, row_selection

TABLE, CHART = "runs_table", "runs_chart"
FILTERS = {"model": "Models", "criterion": "Criteria", "state": "States"}
HERE, SHIPPED = "Measured here", "Shipped"
WHOSE = "runs_whose"
BEHIND = ", shipped"
GREY = "Grey, or named shipped: measured by us; a click holds it."


def shipped_too(listed: Sequence[Run], store: Store) -> list[Run]:
    """Return the shipped runs of the same models, where others are listed."""
    ours = resources.shipped()
    if ours is None or store is ours:
        return []
    models = {run.spec.recipe["model"]["name"] for run in listed}
    return [r for r in ours.runs() if r.spec.recipe["model"]["name"] in models]


def show(
    runs: Sequence[Run], shown: Sequence[Run], behind: Sequence[Run], store: Store
) -> None:
    """Draw what is listed; a point that is clicked is chosen in the table."""
    table, others = readings.chart_table(runs), readings.chart_table(behind)
    if table.empty:
        st.info("None of these runs has read a text yet.")
        return
    ids = [run.id for run in shown]
    own, grey = _alike(runs, shown[0]), _alike(behind, shown[0])
    best = min((run.ratio.value, run.id) for run in own or runs if run.ratio)[1]
    is_named = table["run"].isin([best, *ids]) | bool(behind)
    *presets, _ = frontier.presets()
    named = list(dict.fromkeys([*presets, *table.loc[is_named, "method"]]))
    mine = set(table["method"])
    named = [m if m in mine else m + BEHIND for m in named]

    def take() -> None:
        points = st.session_state[CHART]["selection"]["points"]
        picked = [str(p["customdata"]) for p in points[:1]]
        if {run.id for run in behind}.intersection(picked):
            st.session_state[WHOSE] = SHIPPED
            for column in (*FILTERS, "text"):  # a filter of one's own may hide it
                st.session_state.pop(f"runs_{column}", None)
        row_selection.take(picked, key=TABLE)

    others["method"] += BEHIND
    others["age"] += len(runs)
    drawn = pd.concat([table, others])
    panels.chart(
        charts.runs_chart(
            drawn,
            named=named,
            chosen=ids,
            dark=panels.is_dark(),
        ),
        _sentence(own, grey, store) + (f" {GREY}" if behind else ""),
        lambda: drawn,
        key=CHART,
        on_select=take,
    )


def _alike(runs: Sequence[Run], held: Run) -> list[Run]:
    """Return those of the model that is held that removed as much and read its text."""

    def asked(run: Run) -> tuple[object, ...]:
        recipe = run.spec.recipe
        text = recipe["evaluation"]["eval_text"]
        return recipe["model"], text, recipe["pruning"]["sparsity"]

    return [run for run in runs if run.ratio and asked(run) == asked(held)]


def _sentence(own: Sequence[Run], grey: Sequence[Run], store: Store) -> str:
    """Say who costs least of what removes as much as what is held."""
    whose = [(store, own), *((s, grey) for s in [resources.shipped()] if s)]
    comparisons = {
        i: c
        for s, some in whose
        for i, c in s.comparisons([r.id for r in some]).items()
    }
    entries = [Entry(run, comparisons.get(run.id)) for run in (*own, *grey)]
    twins = checks(own, grey)
    entries = [entry for entry in entries if RATIO in entry.figures]
    read = [entry for entry in entries if entry.run.id not in twins]
    if not read:
        return "What is held has read no text."
    said = sentences.runs_sentence(read, {run.id for run in grey})
    return f"{said} {sentences.checks_sentence(own, twins)}".strip()
