"""Arena: the grid, its forecast, live standings, the chosen cell, criteria compared."""

import json
import re
import sqlite3
import threading
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest
from visitor import copy_results, finish, open_page, said

from llmrank.analysis.agreement import correlations
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import times
from llmrank.core.statistics import times_spread
from llmrank.evaluation.comparison import Comparison
from llmrank.experiments import arena, settings
from llmrank.experiments.frontier import shipped
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import Report
from llmrank.experiments.store import RunSpec, Store
from llmrank.methods.criteria import LLMRank, Wanda
from llmrank.methods.method import Method, method, written
from llmrank.methods.repair import LeastSquares
from llmrank.report.charts.theme import LIGHT
from pages.shared.app import resources

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("database", "estimated_memory"),
]

PAGE = "pages/arena.py"
CHOICE = "arena.methods.wanda|llm-rank|random,arena.sparsities.30 %25|50 %25"


@pytest.fixture
def opened(asked):
    """A function that opens the page with three methods at two sparsities."""

    def by_link(view: str = CHOICE, **more: str) -> AppTest:
        return open_page(PAGE, **(asked | more), view=view)

    return by_link


def choice(asked, **changes):
    e = settings.experiment(asked)
    grid = {
        "methods": ("wanda", "llm-rank", "random"),
        "sparsities": (0.3, 0.5),
        "seeds": (0,),
        "measures": ("text", "latency"),
    }
    return arena.asked(e, **(grid | changes))


@pytest.fixture(scope="module")
def results(asked, tmp_path_factory):
    """A file that holds the six cells, measured."""
    file = tmp_path_factory.mktemp("results") / "results.sqlite3"
    arena.run(choice(asked), Store(file), pipeline=Pipeline())
    return file


@pytest.fixture
def measured(results, database):
    """The six cells are in the test's own database."""
    copy_results(results, database)


def captions(at: AppTest) -> str:
    return "\n".join(c.value for c in at.main.caption)


def run_it(at: AppTest) -> AppTest:
    at.button(key="run_arena").click().run()
    return finish(at, "arena", state="done")


def cells_shown(at: AppTest):
    tables = (frame.value for frame in at.dataframe)
    return next(t for t in tables if {"sparsity", "method"} <= set(t))


def charts_shown(at: AppTest) -> dict[str, dict]:
    return {c.key: json.loads(c.proto.spec) for c in at.get("plotly_chart")}


def list_shown(at: AppTest) -> list[tuple[str, str]]:
    """The drawn list: each method and what stands beside it, the best first."""
    layout = charts_shown(at)["arena_list"]["layout"]
    texts = [re.sub("<[^>]+>", "", note["text"]) for note in layout["annotations"]]
    half = len(texts) // 2
    return list(zip(texts[:half], texts[half:], strict=True))


def test_before_it_starts_the_page_says_how_many_cells_and_that_time_is_unknown(opened):
    resources.pipeline.cache_clear()
    at = opened()
    assert not at.exception
    assert "6 of 6 cells to measure" in captions(at)
    assert "is known once a text was read here" in captions(at)
    assert "Nothing of this choice is measured yet" in said(at)
    assert not at.button(key="run_arena").disabled


def test_an_arena_runs_from_the_page_and_is_what_the_library_measures(opened, asked):
    at = run_it(opened())
    assert not at.exception
    assert "All 6 cells are measured" in captions(at)
    assert at.button(key="run_arena").disabled
    spec = choice(asked)
    kept = arena.entries(arena.find(spec, Store()), Store())
    shown = cells_shown(at)
    assert shown["perplexity"].tolist() == [
        e.comparison.pruned.text.perplexity.value for e in kept
    ]
    assert len({e.method.name for e in kept}) == 3
    first = "At 50 % removed, by perplexity, × dense: "
    reading = next(m.value for m in at.main.markdown if m.value.startswith(first))
    ranked = sorted(
        (e for e in kept if e.experiment.pruning.sparsity == 0.5),
        key=lambda e: e.comparison.perplexity_ratio.value,
    )
    listed = list_shown(at)
    assert [name for name, _ in listed] == [e.method.name for e in ranked]
    for (name, beside), entry in zip(listed, ranked, strict=True):
        assert beside.startswith(times(entry.comparison.perplexity_ratio.value))
        assert "cannot be told" in beside  # two windows are too few
        assert f"**{name}** (" in reading


@pytest.mark.usefixtures("measured")
def test_a_measured_choice_is_there_at_once_for_another_visitor(opened):
    at = opened()
    assert "All 6 cells are measured" in captions(at)
    assert len(cells_shown(at)) == 6


@pytest.mark.usefixtures("measured")
def test_a_smaller_choice_takes_what_is_known_and_says_so(opened):
    at = opened(CHOICE.replace("|random", "|l1"))
    assert "2 of 6 cells to measure" in captions(at)
    assert "4 cells known already" in captions(at)
    assert len(cells_shown(at)) == 4
    assert at.button(key="run_arena").label == "Measure the 2 cells here"


def test_the_method_in_hand_is_added_by_a_button(opened):
    at = opened(theta="0.25")
    at.button(key="add_in_hand").click().run()
    box = next(m for m in at.main.multiselect if m.label == "Methods")
    own = "llm-rank:theta=0.25+block-influence+least-squares"
    assert box.value == ["wanda", "llm-rank", "random", own]
    assert "8 of 8 cells" in captions(at)


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        ("arena.methods.wanda|nonsense", "unknown part of a method"),
        ("arena.methods.wanda,arena.sparsities.many", "is no number"),
        ("arena.methods.wanda,arena.sparsities.100", "sparsity must"),
        ("arena.methods.wanda,arena.measures.tasks", "none is named"),
        ("arena.id.0123456789abcdef", "there is no arena"),
    ],
)
def test_what_is_no_grid_is_one_sentence(opened, view, sentence):
    at = opened(view)
    assert not at.exception
    assert [sentence in e.value for e in at.main.error] == [True]


@pytest.mark.usefixtures("measured")
def test_a_chosen_cell_shows_its_recipe_and_opens_as_the_experiment(opened, asked):
    spec = choice(asked)
    kept = arena.entries(arena.find(spec, Store()), Store())
    chosen = next(e for e in kept if e.method == Method(Wanda()))
    at = opened(f"{CHOICE},arena.cell.{chosen.run.id}")
    shown = [c.value for c in at.main.code]
    assert settings.command_line(chosen.experiment) in shown
    assert settings.snippet(chosen.experiment) in shown
    text = chosen.comparison.pruned.text
    assert f"perplexity {times_spread(chosen.run.ratio)} of dense" in said(at)
    assert f"read on {text.n_tokens:,} tokens" in said(at)
    at.button(key="arena_open_Compare").click().run()
    assert not at.exception
    assert at.selectbox(key="control_criterion_1").value == "wanda"
    assert at.slider(key="control_sparsity_1").value == 30.0
    in_hand = settings.experiment(settings.applicable(at.session_state["settings"]))
    assert in_hand == chosen.experiment
    assert at.table  # what it measured stands there without measuring again


def test_a_failed_cell_says_why_and_the_rest_is_there(opened, asked, monkeypatch):
    def refuse(_self, _graphs):
        raise LLMRankError("the graph has holes")

    of_wanda = Wanda.layers
    monkeypatch.setattr(Wanda, "layers", refuse)
    resources.pipeline.cache_clear()
    at = run_it(opened())
    assert sorted(set(cells_shown(at)["state"])) == ["done", "failed"]
    kept = arena.entries(arena.find(choice(asked), Store()), Store())
    failed = next(e for e in kept if e.run.state == "failed")
    at = opened(f"{CHOICE},arena.cell.{failed.run.id}")
    assert any(failed.run.reason in e.value.replace("\\", "") for e in at.main.error)
    said_of_them = "2 of 6 cells to measure (2 failed; another run tries again)"
    assert said_of_them in captions(at).replace("\\", "")
    assert at.button(key="run_arena").label == "Try the failed cells again"
    monkeypatch.setattr(Wanda, "layers", of_wanda)
    at = run_it(at)
    assert "All 6 cells are measured" in captions(at)


def test_a_stopped_arena_goes_on_where_it_was(opened, monkeypatch):
    reached = threading.Event()
    finish_run = Store.finish

    def after_one(self, run_id, found):
        finish_run(self, run_id, found)
        reached.set()

    monkeypatch.setattr(Store, "finish", after_one)
    at = opened()
    at.button(key="run_arena").click().run()
    assert reached.wait(60)
    stop = [b for b in at.main.button if b.key.startswith("stop_here")]
    if stop:
        stop[0].click().run()
    at = finish(at, "arena")
    n_done = sum(r.state == "done" for r in Store().runs())
    assert n_done >= 1
    if n_done < 6:
        assert at.button(key="run_arena").label.startswith("Measure the ")
        at = run_it(at)
    assert sum(r.state == "done" for r in Store().runs()) == 6


@pytest.mark.usefixtures("measured")
def test_only_columns_that_differ_are_shown_unless_all_are_asked_for(opened):
    at = opened()
    brief = set(cells_shown(at))
    assert {"method", "sparsity", "perplexity"} <= brief
    assert "device" not in brief
    at.toggle(key="arena_brief").set_value(False).run()
    assert "device" in set(cells_shown(at))
    assert not at.exception


def test_of_the_demo_what_comes_along_is_drawn_until_one_has_compared_oneself(database):
    at = open_page(PAGE, sparsity="0.3")
    assert not at.exception
    assert "Shipped with the app: measured on our two cores" in captions(at)
    assert "Judged window by window on the same 32, paired" in captions(at)
    alike = "cfsp ×1.54, llm-rank ×1.55 and wanda ×1.56 cannot be told apart"
    assert alike in said(at)
    assert "widths and repair do (llm-rank without them ×2.11)" in said(at)
    first, *_, last = listed = list_shown(at)
    assert "on the frontier" in first[1]
    assert "told" not in last[1]
    ours = shipped().runs(columns={"sparsity": [0.3]}, states=("done",))
    assert len(listed) == len({r.id for r in ours})  # every method, none is cut
    labels = charts_shown(at)["arena_chart"]["layout"]["annotations"]
    assert {"in hand", "the paper's"} <= {label["text"] for label in labels}
    assert "about" in captions(at)
    assert "Here: 33 of 33 cells to measure" in captions(at)
    assert "on two cores like ours" in captions(at)
    n_shipped = len(shipped().runs(states=("done",)))
    assert f"{n_shipped} cells shipped with the app: ✓ {n_shipped} done." in captions(
        at
    )
    store = Store(database)
    e = settings.experiment({"model": "demo"})
    spec = arena.asked(e, arena.USUAL, (0.2, 0.3, 0.5), (0,), ("text", "latency"))
    asked = [RunSpec(c.to_json(), 0, spec.measures) for c in arena.cells(spec)]
    arena_id = store.add_arena(spec.to_json(), asked)
    of_one, *_, of_another = store.runs_by_place(arena_id).values()
    for run, is_shipped in ((of_one, True), (of_another, False)):
        store.fail(run.id, "no room")
        resources.store.cache_clear()
        at = open_page(PAGE, sparsity="0.3")
        assert not at.exception
        assert ("Shipped with the app" in captions(at)) is is_shipped


def test_the_method_of_the_cell_that_is_held_has_a_colour_and_its_name():
    (cell,) = (
        run.id
        for run in shipped().runs(columns={"sparsity": [0.3]}, states=("done",))
        if run.experiment.method.name == "activation"
    )
    for view, is_held in (("", False), (f"arena.cell.{cell}", True)):
        at = open_page(PAGE, sparsity="0.3", view=view)
        chart = charts_shown(at)["arena_chart"]
        notes = [note["text"] for note in chart["layout"]["annotations"]]
        (line,) = (t for t in chart["data"] if t.get("name") == "activation")
        assert ("activation" in notes) is is_held
        assert (line["marker"]["color"] != LIGHT.neutral) is is_held
        opens = [b.key for b in at.main.button if b.key == "arena_open_Explore"]
        assert bool(opens) is is_held


def test_ones_own_runs_stand_marked_among_the_shipped(database):
    ours = shipped().runs(columns={"sparsity": [0.3]}, states=("done",))[0]
    full = shipped().comparison(ours.id)
    sides = (replace(s, text=s.text.first(8)) for s in (full.dense, full.pruned))
    own = settings.experiment({"model": "demo", "gamma": "0.85"})
    origin = ours.origin.environment
    Store(database).add_report(Report(own, origin, "c", Comparison(*sides)))
    at = open_page(PAGE, sparsity="0.3")
    assert not at.exception
    mine = "◆ llm-rank gamma=0.85 + block-influence + least-squares"
    assert mine in dict(list_shown(at))
    assert "◆ measured here" in captions(at)
    at.segmented_control(key="arena_shown").set_value("Same widths and repair").run()
    assert not at.exception
    shown = [name for name, _ in list_shown(at)]
    assert len(shown) == 4
    assert all("block-influence + least-squares" in name for name in shown)


def test_a_shorter_reading_of_what_is_shipped_is_a_check_and_no_entry(database):
    ours = next(
        run
        for run in shipped().runs(columns={"sparsity": [0.3]}, states=("done",))
        if run.experiment.method == settings.experiment({}).method
    )
    full = shipped().comparison(ours.id)
    sides = (replace(s, text=s.text.first(8)) for s in (full.dense, full.pruned))
    evaluation = replace(ours.experiment.evaluation, eval_tokens=4096)
    own = replace(ours.experiment, evaluation=evaluation)
    report = Report(own, ours.origin.environment, "c", Comparison(*sides))
    before = list_shown(open_page(PAGE, sparsity="0.3"))
    Store(database).add_report(report)
    at = open_page(PAGE, sparsity="0.3")
    assert not at.exception
    assert list_shown(at) == before
    assert "◆" not in captions(at)
    said_of_it = f"Your reading of {own.method.name} at 30 % on 4,096 tokens (×"
    assert said_of_it in captions(at)
    assert "agrees with ours" in captions(at)


def test_criteria_are_compared_after_one_button(opened, asked):
    resources.pipeline.cache_clear()
    at = opened()
    at.button(key="criteria").click().run()
    at = finish(at, "criteria", state="done")
    assert not at.exception
    assert any("rank most alike" in m.value for m in at.main.markdown)
    drawn = json.loads(at.get("plotly_chart")[-1].proto.spec)["data"][0]
    e, known = settings.experiment(asked), resources.pipeline()
    first, second = (
        known.scores(e.using(criterion=c)).normalised for c in (Wanda(), LLMRank())
    )
    table = correlations({"wanda": first, "llm-rank": second})
    assert drawn["text"][0][1] == f"{table.loc['wanda', 'llm-rank']:.2f}"


def test_a_damaged_database_is_moved_aside_and_said(opened, database):
    database.write_text("no database " * 100)
    at = opened()
    assert not at.exception
    assert any("was damaged" in w.value for w in at.main.warning)
    assert at.button(key="run_arena")


def test_a_database_that_cannot_be_is_one_sentence(opened, database, monkeypatch):
    monkeypatch.setenv("LLMRANK_DB", str(database.parent))
    at = opened()
    assert not at.exception
    assert ["is no file" in e.value for e in at.main.error] == [True]


def test_a_locked_database_is_one_sentence(opened, database, monkeypatch):
    at = opened()
    monkeypatch.setattr(resources, "store", lambda: Store(wait_s=0.2))
    with sqlite3.connect(database) as other:
        other.execute("BEGIN IMMEDIATE")
        at.run()
        at.button(key="run_arena").click().run()
        at = finish(at, "arena", state="failed")
        assert not at.exception
        assert any("is locked by another process" in e.value for e in at.main.error)
        other.rollback()


@pytest.mark.usefixtures("measured")
def test_a_read_only_database_is_shown_and_running_says_why(opened, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    at = opened(CHOICE.replace("|random", "|l1"))
    assert not at.exception
    assert len(cells_shown(at)) == 4
    at.button(key="run_arena").click().run()
    at = finish(at, "arena", state="failed")
    assert any("not written to" in e.value for e in at.main.error)


def test_words_of_a_method_come_back():
    for words in arena.offered():
        assert written(method(words)) == words
    by = Method(LLMRank(theta=0.25), repair=LeastSquares())
    assert method(written(by)) == by


def test_the_arena_stays_the_same_when_another_setting_is_in_hand(asked):
    other = {"sparsity": "0.2", "criterion": "wanda"}
    assert choice(asked) == choice(asked | other)
    assert choice(asked) != choice(asked | {"samples": "3"})


@pytest.fixture
def held(monkeypatch):
    """Two events: a first cell is done, and the arena may go on."""
    reached, go_on = threading.Event(), threading.Event()
    finish_run = Store.finish

    def wait(self, run_id, found):
        finish_run(self, run_id, found)
        reached.set()
        go_on.wait(60)

    monkeypatch.setattr(Store, "finish", wait)
    yield reached, go_on
    go_on.set()


def test_a_running_arena_fills_in_and_is_found_again_after_a_reload(opened, held):
    reached, go_on = held
    at = opened()
    at.button(key="run_arena").click().run()
    assert reached.wait(60)
    job_id = at.session_state["jobs"]["arena"]
    again = opened(jobs=f"arena.{job_id}")
    assert not again.exception
    assert again.button(key="run_arena").disabled
    assert [b for b in again.main.button if b.key.startswith("stop_here")]
    assert len(cells_shown(again)) == 6
    go_on.set()
    at = finish(at, "arena", state="done")
    assert "6 done" in captions(at)


def test_two_visitors_at_once_measure_no_cell_twice(opened, held):
    reached, go_on = held
    one, other = opened(), opened()
    one.button(key="run_arena").click().run()
    assert reached.wait(60)
    other.run()
    assert not other.exception
    assert set(cells_shown(other)["state"]) >= {"queued"}
    other.button(key="run_arena").click().run()
    go_on.set()
    finish(one, "arena", state="done")
    other = finish(other, "arena", state="done")
    assert not other.exception
    assert [r.state for r in Store().runs()] == ["done"] * 6
    assert len(Store().arenas()) == 1
