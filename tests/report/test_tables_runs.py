"""Runs as tables: searched, whatever became of them and whoever wrote them."""

import dataclasses

import pytest

from llmrank.core.errors import OptionError
from llmrank.core.statistics import Estimate
from llmrank.experiments.arena import ArenaSpec, Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.store import Origin, Run, RunSpec
from llmrank.report.tables.lowest import lowest_apart
from llmrank.report.tables.runs import (
    chart_table,
    differing,
    filtered,
    merged,
    origins_beside,
    runs_table,
    side_by_side,
)

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


def done(run_id, measures=("text",), recipe=RECIPE, **origin):
    """A finished run; a page knows less of its machine than an arena does."""
    where = {"device": "cpu", "n_threads": "2", "torch": "2.13"} | origin
    return Run(
        run_id, "done", "", RunSpec(recipe, 0, measures), Origin("c", "e", where),
        "now", finished="2026-01-02T03:04:05", n_params=100,
        ratio=Estimate(1.5, 1.4, 1.6, 4),
    )  # fmt: skip


def with_(section, **fields):
    return RECIPE | {section: RECIPE[section] | fields}


def test_a_pages_run_and_an_arenas_cell_of_one_recipe_are_one_row():
    page = done("page", ("text", "latency"), measured_at="noon")
    cell = done("cell", ("text",), weights_sample_sha256="w", measured_at="today")
    unasked = done("unasked", ("text",), with_("benchmark", repeats=9))
    other = done("other", ("text",), with_("calibration", seed=9))
    groups = merged([cell, other, page, unasked])
    assert [[run.id for run in group] for group in groups] == [
        ["page", "cell", "unasked"],  # the fullest first
        ["other"],
    ]


@pytest.mark.parametrize(
    "other",
    [
        done("b", recipe=with_("calibration", samples=3)),
        done("b", ("text", "latency"), with_("benchmark", repeats=9)),
        done("b", ("text", "tasks"), with_("tasks", tasks="piqa")),
        done("b", torch="2.14"),
        done("b", device="cuda"),
        run("b", "failed"),
    ],
)
def test_what_was_measured_otherwise_is_a_row_of_its_own(other):
    assert len(merged([done("a", ("text", "latency")), other])) == 2


def test_only_what_differs_stands_in_columns_and_the_rest_is_said_once():
    recipe = with_("calibration", samples=3) | {"benchmark": {"repeats": 9}}
    few = done("b", recipe=recipe)
    table, shared = differing(runs_table([done("a"), few]))
    assert table["calibration.samples"].tolist() == [
        str(RECIPE["calibration"]["samples"]),
        "3",
    ]
    assert {"method", "sparsity", "run"} <= set(table)
    assert "calibration.seq_len" not in table
    assert "benchmark.repeats" not in table  # nothing was timed
    assert "model" not in table
    assert (shared["model"], shared["state"]) == ("demo", "done")
    assert "reason" not in shared  # empty ones say nothing
    assert "ratio" in table  # a figure stays, also where it is the same
    assert "model" not in differing(runs_table([few]))[0]  # as of one row alone


def test_the_best_of_each_figure_is_marked_and_versions_are_apart():
    def entry(run_id, value, torch):
        found = Entry(done(run_id, torch=torch))
        figure = {"perplexity": Estimate(value, value, value, 1)}
        found.__dict__["figures"] = figure | {"top1": Estimate(0.5, 0.5, 0.5, 1)}
        return found

    entries = [entry("a", 30.0, "2.13"), entry("b", 20.0, "2.14")]
    beside = side_by_side(entries)
    assert beside.loc["perplexity"].tolist() == ["30.0", "★ 20.0"]
    assert beside.loc["top-1 accuracy"].tolist() == ["0.500", "0.500"]  # equal
    assert "torch" not in beside.index
    assert origins_beside(entries).loc["torch"].tolist() == ["2.13", "2.14"]


def test_no_figure_is_marked_where_intervals_meet():
    def entry(run_id, low, high):
        found = Entry(done(run_id))
        found.__dict__["figures"] = {
            "decode_speedup": Estimate((low + high) / 2, low, high, 30)
        }
        return found

    beside = side_by_side([entry("a", 1.0, 1.4), entry("b", 1.1, 1.5)])
    assert "★" not in "".join(beside.to_numpy().ravel())
    beside = side_by_side([entry("a", 1.0, 1.4), entry("b", 1.9, 2.1)])
    assert beside.loc["decode, × as fast"].iloc[1].startswith("★")


@pytest.mark.parametrize(("low", "told"), [(1.7, 1.5), (1.55, None)])
def test_the_lowest_ratio_counts_where_its_interval_lies_apart(low, told):
    other = dataclasses.replace(done("b"), ratio=Estimate(1.8, low, 1.9, 4))
    assert lowest_apart([other, done("a"), run("c", "failed")]) == told
    assert lowest_apart([done("a")]) is None


def test_the_chart_has_the_runs_that_read_a_text_and_tells_models_apart():
    other = done("b", recipe=with_("model", name="tiny"))
    table = chart_table([done("a"), other, run("c", "failed")])
    assert table["run"].tolist() == ["a", "b"]
    assert table["method"].tolist() == ["llm-rank, demo", "llm-rank, tiny"]
    assert chart_table([done("a")])["method"].tolist() == ["llm-rank"]


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
