"""Compare: the table while it fills, two continuations, and the growing curve."""

import dataclasses
import json
import threading
import time

import pytest
from streamlit.testing.v1 import AppTest
from visitor import buttons, finish, open_page

from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.generation import continuation
from llmrank.evaluation.latency import Latency, Timing
from llmrank.evaluation.peak_memory import MemoryPeak
from llmrank.evaluation.perplexity import evaluate
from llmrank.evaluation.speedup import Ratio, Speedup
from llmrank.experiments import settings
from llmrank.experiments.curve import PAPER, curve, ranking
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import Report
from llmrank.experiments.store import Store
from llmrank.methods.criteria import LLMRank, Wanda
from llmrank.report.charts.theme import LIGHT
from llmrank.report.sentences.summary import number, windows
from pages.shared.app import resources

PREFILL = Ratio(1.16, 1.05, 1.28, ideal=1.5, attainable=1.3, n_rounds=2)
DECODE = Ratio(1.1, 0.95, 1.27, ideal=1.5, attainable=1.3, n_rounds=2)


pytestmark = [  # some seconds each, together a minute
    pytest.mark.slow,
    pytest.mark.usefixtures("estimated_memory"),
]


@pytest.fixture
def opened(asked):
    """A function that opens a page by its link, as the first of all."""

    def by_link(page: str = "pages/compare.py", **more: str) -> AppTest:
        return open_page(page, **(asked | more))

    return by_link


@pytest.fixture(scope="module")
def report(asked):
    """A report of exactly these settings: text for real, times by hand."""
    e, pipeline = settings.experiment(asked), Pipeline()
    dense, pruned = pipeline.model(e), pipeline.pruned(e)

    def side(lm, ms: float, peak: int) -> Side:
        times = Latency(
            prefill=Timing((10 * ms, 12 * ms), 2),
            decode=Timing((ms, ms, 2 * ms, 2 * ms), 2),
            batch=1,
            prompt_tokens=8,
            new_tokens=2,
            device="cpu",
            dtype="float32",
            processor="An *Abacus*",
            n_threads=2,
            torch_version="2.13.0",
            measured_at="2026-01-02T03:04:05+00:00",
        )
        text = evaluate(lm, e.evaluation)
        memory = MemoryPeak(0, peak, "child process")
        return Side(footprint(lm), text, (), times, memory)

    faster = Speedup(PREFILL, DECODE, ("Decode: bytes bound it.",))
    found = Comparison(
        side(dense, 12.0, 9_000_000), side(pruned, 10.0, 7_000_000), faster
    )
    where = {
        "device": "cpu",
        "n_threads": "1",
        "dtype": "float32",
        "measured_at": "now",
    }
    return Report(e, where, "x", found)


@pytest.fixture
def measured(report):
    """These settings have been measured before, by anybody."""
    resources.reports().put(report.experiment, report)
    yield report
    resources.reports.cache_clear()


@pytest.fixture
def job():
    """A function that runs work and returns the link to it; it ends with the test."""
    done, started = threading.Event(), []

    def start(partial, kind="measure") -> str:
        def work(job):
            job.publish(partial)
            while not done.wait(0.02):
                job.progress("Measuring", 1, 2)

        mine = resources.worker().submit("somebody", "Measuring", work, key=(kind,))
        started.append(mine.id)
        until(lambda: resources.worker().snapshot(mine.id).partial is partial)
        return mine.id

    yield start
    done.set()
    for job_id in started:
        until(lambda job_id=job_id: resources.worker().snapshot(job_id).finished)


def until(true) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("still not so after a minute")


def table(at: AppTest):
    return at.table[0].value


def picture(at: AppTest):
    (spec,) = [c.proto.spec for c in at.get("plotly_chart") if c.key == "pairs"]
    return json.loads(spec)


def notes(at: AppTest) -> list[str]:
    """What the picture says beside its dots."""
    return [a["text"] for a in picture(at)["layout"]["annotations"]]


def dots(at: AppTest) -> list[tuple[str, float]]:
    return [
        (t["name"], t["y"][0])
        for t in picture(at)["data"]
        if t.get("mode") == "markers+text"
    ]


def fillings(at: AppTest) -> set[str]:
    drawn = (t for t in picture(at)["data"] if t.get("mode") == "markers+text")
    return {t["marker"]["color"] for t in drawn}


def texts(elements) -> str:
    return "\n".join(element.value for element in elements)


def chosen(at: AppTest) -> list:
    """The page's own choices of several: criteria and sparsities of the curve."""
    return [m for m in at.main.multiselect if m.label != "Zero-shot tasks"]


def tokens(at: AppTest):
    return next(n for n in at.main.number_input if n.label == "Tokens to write")


def test_the_first_page_of_all_says_what_to_do_and_starts_nothing(opened):
    at = opened()
    assert not at.exception
    assert at.header[0].value == "What did it cost, what did it gain?"
    assert "Not measured here yet" in texts(at.markdown)
    assert buttons(at) == [
        "Measure dense and pruned",
        "Continue it",
        "Draw the curve",
    ]
    assert "Times do not travel: measure them here." in texts(at.markdown)
    assert not at.table
    assert notes(at).count("–") == 6  # quality and size; times have the button
    assert not dots(at)
    assert not at.session_state["jobs"]


def test_what_was_measured_stands_dense_beside_pruned(opened, measured):
    at = opened()
    assert not at.exception
    found = measured.comparison
    dense, pruned = found.dense.text.perplexity, found.pruned.text.perplexity
    row = table(at).loc["Perplexity"]
    assert row["Dense"].startswith(number(dense.value))
    assert row["Pruned"].startswith(f":primary[**{number(pruned.value)}**]")
    assert number(found.perplexity_ratio.value) in row["Pruned against dense"]
    assert table(at).loc["FFN neurons"]["Pruned against dense"] == "−50 %"
    assert "ideal ×1.50" in table(at).loc["Writing a token (decode)"].iloc[-1]
    assert "- Decode: bytes bound it." in texts(at.markdown)
    origin = texts(at.caption).replace("\\", "")
    assert "1,024 tokens of" in origin
    assert "An *Abacus* (cpu, 2 threads" in origin
    assert "\\*Abacus\\*" in texts(at.caption)  # a name from outside is no markdown
    assert [c.key for c in at.get("plotly_chart")] == ["pairs", "prefill", "decode"]
    sizes = [side.footprint.weight_bytes / 1e6 for side in (found.dense, found.pruned)]
    shares = [100 * side.text.top1.value for side in (found.dense, found.pruned)]
    assert dots(at) == [
        ("dense", dense.value), ("pruned", pruned.value),
        ("dense", shares[0]), ("pruned", shares[1]),
        ("dense", sizes[0]), ("pruned", sizes[1]), ("dense", 18.0), ("pruned", 15.0),
        ("dense", 132.0), ("pruned", 110.0),
    ]  # fmt: skip
    order = ["Perplexity", "Top-1 accuracy", "Weights", "Writing a token (decode)"]
    assert table(at).index[:4].tolist() == order  # as the picture's
    assert [b for b in buttons(at) if "easure" in b] == ["Measure again"]


@pytest.mark.usefixtures("database")
def test_what_was_kept_is_shown_after_a_restart_and_stands_in_for_its_neighbours(
    opened, report
):
    Store().add_report(report)
    at = opened()
    pruned = report.comparison.pruned.text.perplexity.value
    assert ("pruned", pruned) in dots(at)
    assert "Measure again" in buttons(at)
    assert fillings(at) == {LIGHT.neutral, LIGHT.accent}
    other = opened(sparsity="0.25")
    assert ("pruned", pruned) in dots(other)
    said = texts(other.markdown)
    assert "this is an earlier run, 50 % removed instead of 25 %." in said
    assert fillings(other) == {LIGHT.background}  # hollow: other settings
    assert "Measure dense and pruned" in buttons(other)


def test_what_is_shipped_of_the_demo_is_shown_at_once_and_labelled():
    at = open_page("pages/compare.py", sparsity="0.3")
    assert not at.exception
    assert "our measurement, shipped with the app" in texts(at.markdown)
    sides = [name for name, _ in dots(at)]
    assert sides == ["dense", "pruned"] * 3  # quality and size: no speed is shipped
    assert fillings(at) == {LIGHT.background}
    measure = [b for b in buttons(at) if "easure" in b]
    assert measure == ["Measure dense and pruned"]


def test_every_speed_up_of_a_measurement_is_one_figure(opened, measured):
    """The rounds' is 1.16, where the medians, 132 and 110 ms, have 1.20."""
    faster = "×1.16 [1.05, 1.28]"
    at = opened()
    assert table(at).loc["Reading the prompt (prefill)"].iloc[-1].startswith("×1.16")
    titles = [
        json.loads(c.proto.spec)["layout"].get("title", {}).get("text")
        for c in at.get("plotly_chart")
    ]
    assert titles[1] == f"{faster} as fast as dense, paired by round"
    assert f"Prefill {faster} as fast as dense" in texts(at.markdown)
    assert "differ from the ratio of the two medians" in texts(at.caption)
    overview = opened("app.py")
    (prefill,) = [m for m in overview.metric if m.label == "Prefill"]
    assert prefill.delta == f"{faster} as fast"
    assert "differ from the ratio of the two medians" in prefill.proto.help
    (perplexity,) = [m for m in overview.metric if m.label == "Perplexity"]
    read = windows(measured.comparison.pruned.text)
    assert read in perplexity.proto.help.replace("\\", "")


@pytest.mark.usefixtures("measured")
def test_faster_is_not_claimed_where_the_interval_holds_one(opened):
    for page in ("app.py", "pages/compare.py"):
        said = texts(opened(page).markdown)
        assert "**Faster** &ensp; Prefill" in said
        assert "**Not measurably faster** &ensp; Decoding ×1.10 [0.950, 1.27]" in said


def test_a_disturbed_speed_is_marked_wherever_it_stands(opened, report):
    comparison = report.comparison
    said = comparison.speedup
    said = dataclasses.replace(
        said,
        prefill=dataclasses.replace(said.prefill, disturbed=True),
        decode=dataclasses.replace(said.decode, disturbed=True),
        reasons=("Other work took 34 % of the processor meanwhile.",),
    )
    disturbed = dataclasses.replace(
        report, comparison=dataclasses.replace(comparison, speedup=said)
    )
    resources.reports().put(report.experiment, disturbed)
    try:
        at, overview = opened(), opened("app.py")
    finally:
        resources.reports.cache_clear()
    for page in (at, overview):
        everything = texts(page.markdown)
        assert "Faster**" not in everything
        assert "**Disturbed** &ensp; Prefill disturbed, ×1.16" in everything
        assert "decode not told" in everything
    assert [said.count("not told") for said in notes(at)].count(1) == 2
    assert "<b>×1.16</b>" not in notes(at)  # no headline
    assert "Time it again" in buttons(at)
    assert "- Other work took 34 %" in texts(at.markdown)
    assert "Why it is not as fast" not in texts(at.markdown)
    assert table(at).loc["Reading the prompt (prefill)"].iloc[-1].count("disturbed")
    (prefill,) = [m for m in overview.metric if m.label == "Prefill"]
    assert prefill.delta.startswith("disturbed, ")


@pytest.mark.usefixtures("measured")
def test_the_brackets_are_explained_once_below_the_numbers(opened):
    at = opened("app.py")
    said = [c.value for c in at.main.caption]
    assert said.count("In brackets: 95 % intervals.") == 1


@pytest.mark.usefixtures("measured")
def test_other_settings_are_not_shown_as_measured(opened):
    at = opened(sparsity="0.25")
    assert not at.table
    assert "Measure dense and pruned" in buttons(at)


def test_the_table_fills_while_it_is_measured(opened, report, job):
    found = report.comparison
    half = Comparison(found.dense, dataclasses.replace(Side(found.pruned.footprint)))
    running = dataclasses.replace(report, comparison=half)
    at = opened(jobs=f"measure.{job(running)}")
    assert not at.exception
    row = table(at).loc["Perplexity"]
    assert row["Dense"].startswith(number(found.dense.text.perplexity.value))
    assert row["Pruned"] == "…"
    assert "…" in notes(at)
    assert ("dense", found.dense.text.perplexity.value) in dots(at)
    assert "Measure again" not in buttons(at)
    assert "Stop" in buttons(at)


def test_a_link_that_names_a_job_of_another_kind_shows_nothing_of_it(
    opened, report, job
):
    running = job(report, "export")
    at = opened(jobs=f"measure.{running}")
    assert not at.exception
    assert "Stop" not in buttons(at)


@pytest.mark.parametrize("tasks", ["foo", "piqa, foo", "<b>"])
def test_a_link_with_an_unknown_task_says_so(opened, tasks):
    at = opened(tasks=tasks)
    assert not at.exception
    assert "piqa" in texts(at.warning)  # what there is


def test_a_link_with_spaces_between_tasks_keeps_them(opened):
    at = opened(tasks="piqa, boolq")
    assert not at.exception
    assert at.multiselect[0].value == ["piqa", "boolq"]


@pytest.mark.parametrize("sparsity", ["0.97", "0.3333", "0.999"])
def test_a_link_keeps_a_sparsity_between_or_beyond_the_sliders_steps(opened, sparsity):
    at = opened(sparsity=sparsity)
    assert not at.exception
    assert at.session_state["settings"]["sparsity"] == float(sparsity)


def test_the_skeleton_stands_while_the_model_loads(opened, job):
    at = opened(jobs=f"measure.{job('loading')}")
    assert notes(at).count("…") == 10


def test_other_settings_being_measured_are_not_taken_for_these(opened, report, job):
    at = opened(jobs=f"measure.{job(report)}", sparsity="0.25")
    assert not at.table
    assert "Other settings are being measured" in texts(at.info)


@pytest.mark.usefixtures("measured")
def test_what_was_measured_stays_while_anything_is_measured(opened, job):
    at = opened(jobs=f"measure.{job('loading')}")
    assert not at.exception
    assert "…" not in table(at).loc["Perplexity"]["Pruned"]


def test_a_stopped_measurement_keeps_what_it_found(opened, report, job):
    job_id = job(report)
    resources.worker().cancel(job_id, "somebody")
    until(lambda: resources.worker().snapshot(job_id).finished)
    at = opened(jobs=f"measure.{job_id}")
    assert not at.exception
    assert "was stopped after" in texts(at.info)
    assert "this is what had been measured" in texts(at.info)
    assert (
        number(report.comparison.dense.text.perplexity.value)
        in (table(at).loc["Perplexity"]["Dense"])
    )
    assert "Measure dense and pruned" in buttons(at)


def test_one_click_measures_everything(opened):
    at = opened(sparsity="0.4", tasks="piqa", items="4")
    at.button(key="measure_Measure dense and pruned").click().run()
    at = finish(at, "measure")
    assert not at.exception
    seen = resources.worker().snapshot(at.session_state["jobs"]["measure"])
    assert seen.state == "done", seen.error
    found = seen.result.comparison
    assert (
        number(found.pruned.text.perplexity.value)
        in table(at).loc["Perplexity"].iloc[1]
    )
    piqa = table(at).loc["piqa (guessing 50 %)"]
    assert piqa["Dense"].startswith(f"{100 * found.dense.tasks[0].acc:.3g} %")
    assert "…" not in "".join(table(at).to_numpy().ravel())
    charts = {chart.key for chart in at.get("plotly_chart")}
    assert charts == {"pairs", "prefill", "decode", "tasks", "curve_chart"}


def test_both_models_continue_one_prompt(opened, asked):
    at = opened()
    at.main.text_area[0].set_value("The river bends")
    tokens(at).set_value(6)
    at.button(key="continue").click().run()
    at = finish(at, "prompt")
    assert not at.exception
    e, pipeline = settings.experiment(asked), Pipeline()
    expected = [
        continuation(lm, "The river bends", new_tokens=6)
        for lm in (pipeline.model(e), pipeline.pruned(e))
    ]
    assert [t.value for t in at.text] == ["“The river bends”", *expected]
    assert "Words in common from the start: " in texts(at.caption)
    other = opened(sparsity="0.25", jobs=at.query_params["jobs"])
    assert [t.value for t in other.text] == ["“The river bends”", *expected]
    assert "Made with other settings than now:" in texts(other.caption)


def test_a_prompt_that_is_too_long_is_one_sentence(opened):
    at = opened()
    at.main.text_area[0].set_value("mill " * 300)
    at.button(key="continue").click().run()
    at = finish(at, "prompt")
    assert not at.exception
    assert "the prompt must have 1 to 472 tokens" in texts(at.error)
    assert not at.text
    at.main.text_area[0].set_value("  ").run()
    assert at.button(key="continue").disabled


def test_the_curve_is_measured_and_found_again_by_its_link(opened, asked):
    at = opened()
    assert "20 points to measure" in texts(at.caption)
    chosen(at)[0].set_value(["wanda", "llm-rank site=up"])
    chosen(at)[1].set_value(["20 %"]).run()
    assert "6 points to measure" in texts(at.caption)
    at = finish(at.button(key="curve").click().run(), "curve")
    assert not at.exception
    assert "Every point of this choice is measured" in texts(at.caption)
    assert at.button(key="curve").disabled
    e = settings.experiment(asked)
    points = curve(e, [LLMRank(), Wanda(), PAPER], [0.2, 0.5])
    best = ranking(points, 0.5).best
    said = next(m.value for m in at.markdown if m.value.startswith("At 50 % removed"))
    assert number(best.pruned.perplexity.value) in said
    assert [c.key for c in at.get("plotly_chart")] == ["pairs", "curve_chart"]

    again = opened(**{k: at.query_params[k] for k in ("jobs", "view")})
    assert chosen(again)[0].value == ["wanda", "llm-rank site=up"]
    assert said in texts(again.markdown)
    metric = next(s for s in again.main.segmented_control if s.label == "Measure")
    metric.set_value("top1").run()
    assert not again.exception
    assert any("top-1 accuracy, " in m.value for m in again.markdown)


@pytest.mark.usefixtures("measured")
def test_choices_made_on_another_page_are_kept(opened):
    at = opened("app.py", sparsity="0.3")
    at.slider(key="control_sparsity").set_value(50.0).run()
    at = at.switch_page("pages/compare.py").run()
    assert "FFN neurons" in table(at).index
    chosen(at)[0].set_value(["l1"]).run()
    at.main.text_area[0].set_value("Once").run()
    at = at.switch_page("app.py").run().switch_page("pages/compare.py").run()
    assert not at.exception
    assert chosen(at)[0].value == ["l1"]
    assert at.main.text_area[0].value == "Once"


def test_a_link_that_asks_wrongly_is_said_and_the_page_stands(opened):
    at = opened(sparsity="nan", view="compare.against.nobody|wanda,compare.at.x,broken")
    assert not at.exception
    assert "sparsity must lie in [0, 1)" in texts(at.warning).replace("\\", "")
    assert chosen(at)[0].value == ["wanda"]
    assert chosen(at)[1].value == []


def test_nothing_to_prune_leaves_no_curve_to_measure(opened):
    at = opened(sparsity="0", view="compare.at.")
    assert not at.exception
    assert "Choose a sparsity above 0." in texts(at.caption)
    assert at.button(key="curve").disabled
