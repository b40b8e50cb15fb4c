"""Runs as tables: searched, whatever became of them and whoever wrote them."""

import pytest

from llmrank.core.errors import OptionError
from llmrank.experiments.arena import ArenaSpec, Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.store import Run, RunSpec
from llmrank.report.tables.runs import filtered, runs_table, side_by_side

RECIPE = Experiment().to_json()


def run(run_id, state, recipe=RECIPE, **more):
    reason = more.pop("reason", "")
    return Run(
        run_id, state, reason, RunSpec(recipe, 0, ("text",)), None, "now", **more
    )


RUNS = (
    run("a1", "done", perplexity=27.25, n_params=100, finished="2026-01-02T03:04:05"),
    run("b2", "failed", reason="the graph has holes"),
    run("c3", "cancelled"),
    run("d4", "queued", RECIPE | {"criterion": {"name": "long-gone"}}),
    run("e5", "running", RECIPE | {"repair": {"name": "none", "strength": 3}}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HOLES", ["b2"]),
        ("27.25", ["a1"]),
        ("2026-01-02", ["a1"]),
        ("long-gone (not known", ["d4"]),
        ("queued", ["d4"]),
        ("llm-rank (not known", ["e5"]),
        ("demo", ["a1", "b2", "c3", "d4", "e5"]),
        ("nan", []),
        ("none", []),
        ("[no( such", []),
        ("  ", ["a1", "b2", "c3", "d4", "e5"]),
    ],
)
def test_any_text_is_looked_for_in_runs_of_every_state(text, expected):
    table = runs_table(RUNS)
    assert filtered(table, {}, text)["run"].tolist() == expected


@pytest.mark.parametrize("alone", RUNS, ids=lambda r: r.state)
def test_a_run_of_any_state_is_searched_alone(alone):
    table = runs_table([alone])
    assert filtered(table, {"state": [alone.state]}, alone.id)["run"].tolist()
    assert filtered(table, {"state": ["no such"]}, alone.id).empty


def test_runs_of_every_state_stand_side_by_side():
    beside = side_by_side([Entry(r) for r in RUNS])
    assert beside.loc["state"].tolist() == [r.state for r in RUNS]
    assert beside.loc["repair.strength"].tolist() == ["", "", "", "", "3"]


@pytest.mark.parametrize(
    "changes",
    [
        {"models": [{"name": "demo", "wings": 2}]},
        {"methods": [{"wings": {"name": "two"}}]},
        {"base": RECIPE | {"wings": {}}},
    ],
)
def test_an_arena_of_another_version_is_one_sentence(changes):
    with pytest.raises(OptionError, match="wings"):
        ArenaSpec.from_json(ArenaSpec().to_json() | changes)
