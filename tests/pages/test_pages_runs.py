"""Runs: found again, filtered, compared, opened, measured again, exported, deleted."""

import dataclasses
import json
import re

import pytest
from streamlit.testing.v1 import AppTest
from visitor import copy_results, finish, open_page, said

from llmrank.core.formatting import times
from llmrank.experiments import arena, settings
from llmrank.experiments.arena import Entry
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.store import Store
from llmrank.report.tables import runs as readings
from pages.shared.app import frontier, known, resources

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("database", "estimated_memory"),
]

PAGE = "pages/runs.py"


@pytest.fixture(scope="module")
def measured(asked, tmp_path_factory):
    """Four runs of a small arena, and the file that holds them."""
    spec = arena.asked(
        settings.experiment(asked), ("wanda", "l1"), (0.25, 0.5), (0,), ("text",)
    )
    file = tmp_path_factory.mktemp("measured") / "results.sqlite3"
    return arena.run(spec, Store(file), pipeline=Pipeline()), file


@pytest.fixture
def entries(measured, database):
    """The four runs in a database of the test's own."""
    found, file = measured
    copy_results(file, database)
    return found


def opened(asked, **more: str) -> AppTest:
    return open_page(PAGE, **(asked | more))


def runs_shown(at: AppTest):
    return at.dataframe[0].value


def chart(at: AppTest):
    (spec,) = [c.proto.spec for c in at.get("plotly_chart") if c.key == "runs_chart"]
    return json.loads(spec)


def session_experiment(at: AppTest):
    return settings.experiment(settings.applicable(at.session_state["settings"]))


def choose(at: AppTest, *rows: int) -> AppTest:
    """Choose rows as a click does, which AppTest's tables cannot."""
    at.session_state["runs_table"] = {"selection": {"rows": list(rows), "columns": []}}
    return at.run()


def test_an_empty_database_says_what_to_do_next(asked):
    at = opened(asked)
    assert not at.exception
    assert "Nothing of yours is kept yet" in said(at)
    assert at.button(key="measure_bar").label == "Measure"
    shown = runs_shown(at)  # what is shipped, so that nothing is empty
    assert len(shown) == len(resources.shipped().runs())
    assert "runs_delete" not in {b.key for b in at.main.button}
    assert "runs_delete_ask" not in {p.key for p in at.get("popover")}


def test_what_a_page_measures_is_found_here(asked):
    at = opened(asked)
    at.button(key="measure_bar").click().run()
    at = finish(at, "measure", state="done")
    assert not at.exception
    assert not at.main.warning
    [run] = Store().runs()
    assert runs_shown(at)["perplexity"].tolist() == [run.perplexity]
    assert run.experiment == settings.experiment(asked)
    assert set(run.spec.measures) >= {"text", "latency"}
    said_before = at.button(key="measure_bar").label
    resources.reports().clear()  # the app is started anew
    at = open_page("pages/explore.py", **asked)
    assert at.button(key="measure_bar").label == said_before
    assert re.fullmatch(r"Measured \d\d:\d\d", said_before)
    assert "decode **×" in said(at)


def test_a_measurement_that_cannot_be_kept_is_measured_and_says_so(
    asked, tmp_path, monkeypatch
):
    monkeypatch.setenv("LLMRANK_DB", str(tmp_path))  # a folder
    at = open_page("pages/compare.py", **asked)
    at.button(key="measure_Measure dense and pruned").click().run()
    at = finish(at, "measure", state="done")
    assert not at.exception
    assert at.table
    assert ["not kept for Runs" in w.value for w in at.main.warning] == [True]


def test_what_was_measured_before_the_app_started_is_said_on_every_page(entries):
    known = next(e for e in entries if e.experiment.pruning.sparsity == 0.5)
    link = {n: str(v) for n, v in settings.settings(known.experiment).items()}
    at = open_page("pages/explore.py", **link)
    assert not at.exception
    ratio = times(known.comparison.perplexity_ratio.value)
    assert f"ppl **{ratio}**" in said(at)
    assert f"**{known.run.n_params * 4 / 1e6:,.0f}** MB" in said(at)
    at = open_page("pages/explore.py", **(link | {"seq_len": "32"}))
    assert "ppl –" in said(at)


def test_what_each_layer_kept_is_known_before_anything_is_read(entries, monkeypatch):
    for entry in entries:
        kept = entry.comparison.pruned.footprint.widths
        assert known.widths(entry.experiment) == kept
        assert known.widths(entry.experiment.at(0.125)) is None
    ours = Store()  # those of the tests, as if they had come along
    monkeypatch.setattr(resources, "shipped", lambda: ours)
    monkeypatch.setattr(resources, "glance", lambda: None)
    assert known.widths(entries[0].experiment) is not None


def test_the_first_measurement_of_a_new_database_is_known_at_once(asked):
    """The bar looked before there was a file; it looks again."""
    asked = asked | {"allocation": "uniform", "repair": "none"}
    at = opened(asked)
    assert "ppl –" in said(at)
    e = settings.experiment(asked)
    spec = arena.asked(e, ("llm-rank",), (0.5,), (0,), ("text", "latency"))
    arena.run(spec, Store(), pipeline=resources.pipeline())
    at.run()
    assert "ppl **×" in said(at)


def test_every_run_is_listed_the_newest_first(asked, entries):
    at = opened(asked)
    shown = runs_shown(at)
    assert sorted(shown["method"]) == ["l1", "l1", "wanda", "wanda"]
    by_id = {r.id: r.perplexity for r in Store().runs()}
    assert shown["perplexity"].tolist() == list(by_id.values())
    assert set(by_id) == {e.run.id for e in entries}


def test_the_chart_has_every_run_and_rings_the_one_that_is_held(asked, entries):
    at = opened(asked)
    points = {
        run: (x, y)
        for trace in chart(at)["data"]
        if ", shipped" not in trace.get("name", "")
        for x, y, run in zip(
            trace["x"], trace["y"], trace.get("customdata", ()), strict=False
        )
    }
    assert points == {
        e.run.id: (e.run.n_params, e.run.ratio.value)
        for e in entries
    }  # fmt: skip
    wanted = entries[2].run
    row = [r.id for r in Store().runs()].index(wanted.id)
    at = choose(at, row)
    assert settings.command_line(wanted.experiment) in [c.value for c in at.main.code]
    ring = chart(at)["data"][-1]
    assert (ring["x"], ring["y"]) == ([wanted.n_params], [wanted.ratio.value])


def test_what_is_shipped_of_the_model_stands_grey_behind_ones_own(
    asked, entries, measured, monkeypatch
):
    ours = Store(measured[1])
    monkeypatch.setattr(resources, "shipped", lambda: ours)
    monkeypatch.setattr(frontier, "presets", lambda: ("l1", "wanda", "random"))
    Store().delete([e.run.id for e in entries if e.method.name == "l1"])
    at = opened(asked)
    behind = [t for t in chart(at)["data"] if ", shipped" in t.get("name", "")]
    drawn = {run for trace in behind for run in trace["customdata"]}
    assert drawn == {run.id for run in ours.runs()}
    named = [t["name"] for t in behind if t.get("showlegend", True)]
    assert named == [
        "l1, shipped"
    ]  # one's own has the preset's colour, if there is one
    assert "Grey, or named shipped: measured by us" in said(at)
    assert "the lowest perplexity over dense" in said(at)
    assert len(runs_shown(at)) == len(entries) // 2


def test_the_lowest_ratio_is_marked_where_it_is_told(asked, entries):
    at = opened(asked)
    best, *others = sorted((e.run.ratio for e in entries), key=lambda r: r.value)
    is_told = best.high < min(r.low for r in others)
    shown = at.dataframe[0].proto.arrow_data.styler.display_values
    assert shown.count("★ ×".encode()) == is_told
    assert shown.count(f"★ {times(best.value)}".encode()) == is_told


def test_what_is_shipped_can_be_looked_at_and_not_deleted(asked, entries):
    at = opened(asked)
    assert len(runs_shown(at)) == len(entries)
    at.segmented_control(key="runs_whose").set_value("Shipped").run()
    assert not at.exception
    assert len(runs_shown(at)) == len(resources.shipped().runs())
    at = choose(at, 0)
    assert "runs_delete" not in {b.key for b in at.main.button}
    at.button(key="runs_open_Compare").click().run()
    assert resources.reports().peek(session_experiment(at)) is None
    assert "shipped with the app" in said(at)


def test_filters_narrow_the_table(asked, entries):
    assert entries
    at = opened(asked)
    at.multiselect(key="runs_criterion").set_value(["wanda"]).run()
    assert runs_shown(at)["method"].tolist() == ["wanda", "wanda"]
    at.text_input(key="runs_text").set_value("0.25").run()
    assert runs_shown(at)["sparsity"].tolist() == [0.25]
    at.text_input(key="runs_text").set_value("[no( such").run()
    assert not at.exception
    assert any("None of 4 runs" in c.value for c in at.main.caption)


def test_one_run_opens_and_the_settings_become_its_own(asked, entries):
    assert entries
    at = choose(opened(asked), 0)
    run = Store().runs()[0]
    assert settings.command_line(run.experiment) in [c.value for c in at.main.code]
    at.button(key="runs_open_Compare").click().run()
    assert not at.exception
    assert session_experiment(at) == run.experiment
    assert (
        at.selectbox(key="control_criterion_1").value
        == run.spec.recipe["criterion"]["name"]
    )
    shown = at.table[0].value
    dense = Store().comparison(run.id).dense.text.perplexity.value
    assert any(f"{dense:.0f}"[:2] in str(v) for v in shown["Dense"])


def test_a_control_follows_what_was_opened_and_can_be_moved_again(asked, entries):
    assert entries
    at = choose(opened(asked), 0)
    at.button(key="runs_open_Explore").click().run()
    at.switch_page("pages/compare.py").run()
    at.slider(key="control_sparsity_1").set_value(60.0).run()
    assert at.session_state["settings"]["sparsity"] == 0.6


def test_two_runs_stand_side_by_side_with_what_differs(asked, entries):
    assert entries
    at = choose(opened(asked), 0, 2)
    beside = next(d.value for d in at.dataframe if "criterion.name" in d.value.index)
    assert beside.shape[1] == 2
    assert "calibration.samples" not in beside.index
    assert "model.name" not in beside.index
    assert "perplexity" in beside.index


def test_a_run_is_measured_again_beside_the_old_one(asked, entries):
    assert entries
    at = choose(opened(asked), 0)
    before = Store().runs()[0]
    at.button(key="runs_again").click().run()
    at = finish(at, "measure", state="done")
    newest = Store().runs()[0]
    assert len(Store().runs()) == 5
    assert newest.experiment == before.experiment
    assert newest.perplexity == pytest.approx(before.perplexity, rel=1e-6)


def test_deleting_asks_first_and_deletes_only_what_is_chosen(asked, entries):
    assert entries
    at = choose(opened(asked), 1)
    victim = Store().runs()[1].id
    at.button(key="runs_delete").click().run()
    assert not at.exception
    left = [r.id for r in Store().runs()]
    assert len(left) == 3
    assert victim not in left
    assert len(runs_shown(at)) == 3


def test_what_was_chosen_is_deleted_though_a_newer_run_came_above_it(asked, entries):
    at = choose(opened(asked), 1)
    victim = Store().runs()[1].id
    newer = Store().queue(entries[0].run.spec)  # another tab, another process
    at.button(key="runs_delete").click().run()
    assert not at.exception
    left = {r.id for r in Store().runs()}
    assert left == {newer, *(e.run.id for e in entries)} - {victim}


def test_what_was_chosen_stays_chosen_where_a_newer_run_came_above_it(asked, entries):
    at = choose(opened(asked), 0)
    held = Store().runs()[0]
    Store().queue(entries[0].run.spec)
    at.run()
    assert at.session_state["runs_table"]["selection"]["rows"] == [1]
    assert settings.command_line(held.experiment) in [c.value for c in at.main.code]
    assert any(held.id[:6] in c.value for c in at.main.caption)  # what Delete names


def test_a_run_that_is_not_over_has_no_time_of_its_end(entries):
    queued = Store().queue(entries[0].run.spec)
    table = readings.runs_table([Store().run(queued), entries[0].run])
    assert table["finished"][0] == ""
    assert table["finished"][1].startswith("20")


def test_nobody_deletes_on_a_shared_server(asked, entries, monkeypatch):
    assert entries
    monkeypatch.setenv("LLMRANK_SHARED", "1")
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", "/")
    at = choose(opened(asked), 0)
    assert "runs_delete" not in {b.key for b in at.main.button}
    assert any("whoever runs it" in c.value for c in at.main.caption)


def test_an_arena_opens_on_its_page(asked, entries):
    at = opened(asked)
    at.session_state["runs_arenas"] = {"selection": {"rows": [0], "columns": []}}
    at.run()
    at.button(key="open_arena").click().run()
    assert not at.exception
    assert any("All 4 cells are measured" in c.value for c in at.main.caption)
    [spec] = [c.proto.spec for c in at.get("plotly_chart") if c.key == "arena_list"]
    points = json.loads(spec)["data"][0]["customdata"]
    assert len(points) == len(entries) / 2  # those of the sparsity in hand


def test_an_arena_is_listed_with_its_counts(asked, entries):
    at = opened(asked)
    row = at.dataframe[-1].value.iloc[0]
    assert (row["cells"], row["done"], row["failed"]) == (len(entries), 4, 0)
    assert not isinstance(Store().arenas()[0].n_done, bool)


def test_deleting_an_arena_leaves_its_runs(asked, entries):
    at = opened(asked)
    at.session_state["runs_arenas"] = {"selection": {"rows": [0], "columns": []}}
    at.run()
    at.button(key="arena_delete").click().run()
    assert Store().arenas() == ()
    assert len(Store().runs()) == len(entries)


def test_a_run_that_another_visitor_deletes_meanwhile_breaks_nothing(asked, entries):
    at = choose(opened(asked), 3)
    Store().delete([e.run.id for e in entries[:2]])
    at.run()
    assert not at.exception
    assert len(runs_shown(at)) == 2


def test_exports_hold_the_recipe_and_every_sample(entries):
    store = Store()
    found = store.comparisons([e.run.id for e in entries])
    plain = readings.exported([Entry(e.run, found[e.run.id]) for e in entries])
    back = json.loads(json.dumps(plain))
    assert [r["recipe"] for r in back] == [e.run.spec.recipe for e in entries]
    first = back[0]["measured"]["pruned"]["perplexity"]["value"]
    assert first == entries[0].comparison.pruned.text.perplexity.value


def test_a_run_of_a_newer_version_is_listed_all_the_same(entries):
    import dataclasses

    cell = dataclasses.replace(
        entries[0].run.spec,
        recipe=entries[0].run.spec.recipe | {"criterion": {"name": "of-tomorrow"}},
    )
    run = dataclasses.replace(entries[0].run, spec=cell)
    table = readings.runs_table([run])
    assert table["method"].tolist() == ["of-tomorrow (not known to this version)"]


def test_a_database_that_cannot_be_is_one_sentence(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_DB", str(tmp_path))
    at = opened(asked)
    assert not at.exception
    assert ["is no file" in e.value for e in at.main.error] == [True]


def test_runs_of_every_state_are_searched_and_compared(asked, entries):
    """A run that failed has no figures, and one may be of another version."""
    store, cell = Store(), entries[0].run.spec
    store.fail(store.queue(cell), "the graph has holes")
    store.cancel(store.queue(cell))
    gone = cell.recipe | {"criterion": {"name": "long-gone"}}
    store.queue(dataclasses.replace(cell, recipe=gone))
    at = opened(asked)
    at.text_input(key="runs_text").set_value("HOLES").run()
    assert not at.exception
    assert len(runs_shown(at)) == 1
    assert [e.value for e in at.error] == ["the graph has holes"]
    at.text_input(key="runs_text").set_value("").run()
    for rows in ((0,), (1,), (2,), (0, 1, 2, 3)):
        assert not choose(at, *rows).exception
