"""Overview: from first visit to a measured result, alone and beside others."""

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest
from visitor import finish, open_page, said

from llmrank.core.formatting import times
from llmrank.core.statistics import times_spread
from llmrank.evaluation.comparison import Comparison
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import frontier, kept, shipped
from llmrank.experiments.run import Report
from llmrank.experiments.store import Store
from llmrank.methods.method import DEFAULT
from pages.shared.app import reading, resources

PLAIN = {"allocation": "uniform", "repair": "none"}


@pytest.fixture
def overview(tiny_folder, tiny_text):
    """The page on a tiny model, small enough to be measured in a second or two."""

    def opened(**more: str) -> AppTest:
        asked = {
            "model": str(tiny_folder),
            "calibration_text": str(tiny_text),
            "eval_text": str(tiny_text),
            "samples": "2",
            "seq_len": "64",
            "eval_tokens": "1024",
            "prompt_tokens": "8",
            "new_tokens": "2",
            "repeats": "2",
        }
        return open_page("app.py", **(asked | more))

    return opened


def bar(at: AppTest) -> list[str]:
    """What the buttons of the bar say that open its settings."""
    return [block.proto.popover.label for block in at.get("popover")]


def test_first_visit_offers_one_click_and_starts_nothing(overview):
    at = overview()
    assert not at.exception
    assert at.button(key="measure_bar").label == "Measure"
    assert not at.session_state["jobs"]
    assert "ppl –" in said(at)
    assert "This method is not measured here yet." in said(at)


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_one_click_leads_to_the_verdict(overview):
    at = overview(sparsity="0.5", seed="7")
    at.button(key="measure_bar").click().run()
    at = finish(at, "measure")
    assert not at.exception
    view = resources.worker().snapshot(at.session_state["jobs"]["measure"])
    assert view.state == "done", view.error
    assert isinstance(view.result, Report)
    dense, pruned = view.result.comparison.dense, view.result.comparison.pruned
    assert sum(pruned.footprint.widths) == 24
    text = said(at)
    assert "**Smaller** &ensp; 50 % of the FFN neurons removed" in text
    ratios = view.result.comparison.speedup
    for ratio in (ratios.prefill, ratios.decode):
        claimed = "**Faster**" if ratio.low > 1 else "**Not measurably faster**"
        assert ("**Slower**" if ratio.high < 1 else claimed) in text
    shown = {m.label: m.value for m in at.metric}
    expected = dense.text.perplexity.value
    assert shown["Perplexity"].startswith(f"{expected:,.0f} →")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, "llm-rank θ 0.50 γ 0.50 · block-influence · least-squares"),
        (
            PLAIN | {"graph": "chained", "site": "up"},
            "llm-rank θ 0.50 γ 0.50, chained graph, site up",
        ),
        (PLAIN | {"variant": "modified"}, "llm-rank θ 0.50 γ 0.50, modified variant"),
        (PLAIN | {"criterion": "l1"}, "l1"),
        (PLAIN | {"criterion": "random", "seed": "2000"}, "random seed 2,000"),
        (
            {"criterion": "wanda", "allocation": "global", "repair": "bias"},
            "wanda · global · bias",
        ),
    ],
)
def test_the_bar_names_the_method_so_that_a_newcomer_understands(
    overview, asked, named
):
    assert named in bar(overview(**asked))


def test_the_bar_follows_a_control_in_the_same_run(overview):
    at = overview()
    at.selectbox(key="control_criterion").select("l2").run()
    assert "l2 · block-influence · least-squares" in bar(at)
    at.slider(key="control_sparsity").set_value(40.0).run()
    assert "40 % removed by l2 + block-influence + least-squares" in said(at)


def test_three_methods_are_one_click_away(overview):
    at = overview()
    assert at.button(key="take_Default").disabled
    at.button(key="take_The paper's").click().run()
    assert not at.exception
    assert at.session_state["settings"]["site"] == "up"
    assert at.button(key="take_The paper's").disabled
    at.button(key="take_Best measured").click().run()
    assert "wanda · additive · least-squares-sequential" in " ".join(bar(at))


def test_what_a_link_asks_wrongly_is_said_and_the_rest_is_kept(overview):
    at = overview(sparsity="1.0", theta="abc", gamma="0.25", foo="1")
    warned = "\n".join(w.value for w in at.warning).replace("\\", "")
    assert "sparsity must lie in [0, 1), got 1.0" in warned
    assert "theta must lie in [0, 1], got 'abc'" in warned
    assert "'foo' is unknown" in warned
    assert at.session_state["settings"]["gamma"] == 0.25
    assert not at.exception


def test_a_link_to_an_unknown_model_starts_nothing_and_says_how(overview):
    at = overview(model="![x](http://example.org/x.png)")
    assert not at.exception
    assert not at.session_state["jobs"]
    at.button(key="measure_bar").click().run()
    at = finish(at, "measure")
    assert "no model" in at.error[0].value
    assert "![x](" not in at.error[0].value


def test_two_visitors_keep_their_own_settings(overview):
    one, two = overview(sparsity="0.2"), overview(sparsity="0.6")
    one.slider(key="control_gamma").set_value(0.9).run()
    two.run()
    assert one.session_state["settings"]["gamma"] == 0.9
    assert two.session_state["settings"]["gamma"] == 0.5
    assert two.session_state["settings"]["sparsity"] == 0.6


def test_the_address_holds_what_differs_from_the_defaults(overview):
    at = overview()
    at.slider(key="control_sparsity").set_value(45.0).run()
    assert at.query_params["sparsity"] == "0.45"
    assert "theta" not in at.query_params


def test_the_landing_page_shows_what_we_measured_before_anything_is_read(
    monkeypatch,
):
    """The demo model by its configuration alone; its numbers came with the app."""
    before, asked = resources.pipeline().model.items(), []
    monkeypatch.setattr(reading, "_start", lambda e, _: asked.append(e))
    at = open_page("app.py")
    assert not at.exception
    known = frontier(Experiment(), [shipped()])
    (chart,) = [json.loads(c.proto.spec) for c in at.get("plotly_chart")]
    lines = {t["name"]: t for t in chart["data"] if t["name"] != "you are here"}
    assert set(lines) == {m.name.replace("&", "&amp;") for m in known.curves}
    own = known.at(DEFAULT, 0.3)
    assert f"Perplexity {times_spread(own.ratio)} of dense" in said(at)
    best = known.best(0.3)
    assert best.ratio.value <= own.ratio.value
    assert best.method.name in said(at)
    assert any("calibrated on 64 × 256 others" in c.value for c in at.caption)
    assert resources.pipeline().model.items() == before
    assert asked == [Experiment(method=DEFAULT)]


@pytest.mark.slow
def test_what_the_layers_keep_follows_unasked():
    at = finish(open_page("app.py"), "read", state="done")
    assert not at.exception
    assert any("of 46,080 stay, hatched ones go" in c.value for c in at.caption)


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_once_measured_the_picture_the_bar_and_the_sentence_say_one_number(overview):
    at = overview(sparsity="0.4", seed="9")
    at = finish(at.button(key="measure_bar").click().run(), "measure", state="done")
    assert not at.exception
    report = resources.worker().snapshot(at.session_state["jobs"]["measure"]).result
    ratio = report.comparison.perplexity_ratio
    assert f"ppl **{times(ratio.value)}**" in said(at)
    assert f"Perplexity {times_spread(ratio)} of dense." in said(at)
    (chart,) = [json.loads(c.proto.spec) for c in at.get("plotly_chart")]
    marker = chart["data"][-1]
    assert marker["name"] == "you are here"
    assert marker["marker"]["symbol"] == "diamond"
    assert marker["x"] == [0.4]
    assert marker["y"] == [pytest.approx(ratio.value)]
    at.slider(key="control_sparsity").set_value(41.0).run()
    assert "Measured before: 40 % removed by llm-rank" in said(at)
    assert "ppl –" in said(at)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("more", "agrees"), [(0.0, True), (0.4, False)])
def test_a_shorter_reading_of_ones_own_is_a_check_of_what_is_shipped(more, agrees):
    """What read most stands in the bar and in words, and one's own says if it fits."""
    asked = Experiment(method=DEFAULT, evaluation=EvaluationSpec(eval_tokens=4096))
    ours = kept(asked, None, shipped())
    full = shipped().comparison(ours.id)
    dense, pruned = (
        replace(side, text=side.text.first(8)) for side in (full.dense, full.pruned)
    )
    worse = replace(pruned.text, nll=pruned.text.nll + more)
    comparison = Comparison(dense, replace(pruned, text=worse))
    Store().add_report(Report(asked, ours.origin.environment, "c", comparison))
    at = open_page("app.py", eval_tokens="4096")
    assert not at.exception
    own, usual = comparison.perplexity_ratio, times_spread(ours.ratio)
    assert own.value != pytest.approx(ours.ratio.value, abs=0.01)
    assert f"ppl **{times(ours.ratio.value)}**" in said(at)
    assert f"Perplexity {usual} of dense." in said(at)
    check = f"Measured here on 4,096 tokens: {times_spread(own)}, which "
    assert (f"{check}agrees." in said(at)) == agrees
    assert (f"**{check}does not agree:**" in said(at)) != agrees
