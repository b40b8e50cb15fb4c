"""Overview: from first visit to a measured result, alone and beside others."""

import pytest
from streamlit.testing.v1 import AppTest
from visitor import finish, open_page, said

from llmrank.experiments.run import Report
from pages.shared.app import resources


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


def test_first_visit_offers_one_click_and_starts_nothing(overview):
    at = overview()
    assert not at.exception
    assert [b.label for b in at.main.button] == ["Prune it and measure"]
    assert any("not measured yet" in c.value for c in at.caption)


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_one_click_leads_to_the_verdict(overview):
    at = overview(sparsity="0.5", seed="7")
    at.main.button[0].click().run()
    at = finish(at, "measure")
    assert not at.exception
    view = resources.worker().snapshot(at.session_state["jobs"]["measure"])
    assert view.state == "done", view.error
    assert isinstance(view.result, Report)
    dense, pruned = view.result.comparison.dense, view.result.comparison.pruned
    assert pruned.footprint.widths == (12, 12)
    text = said(at)
    assert "**Smaller** &ensp; 50 % of the FFN neurons are gone" in text
    ratios = view.result.comparison.speedup
    for ratio in (ratios.prefill, ratios.decode):
        claimed = "**Faster**" if ratio.low > 1 else "**Not measurably faster**"
        assert ("**Slower**" if ratio.high < 1 else claimed) in text
    shown = {m.label: m.value for m in at.metric}
    expected = dense.text.perplexity.value
    assert shown["Perplexity"].startswith(f"{expected:,.0f} →")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "llm-rank θ 0.50 γ 0.50 &emsp;"),
        (
            {"graph": "chained", "site": "up"},
            "llm-rank θ 0.50 γ 0.50, chained graph, site up &emsp;",
        ),
        ({"variant": "modified"}, "llm-rank θ 0.50 γ 0.50, modified variant &emsp;"),
        ({"criterion": "l1"}, "&emsp; l1 &emsp;"),
        ({"criterion": "random", "seed": "2000"}, "random seed 2,000 &emsp;"),
    ],
)
def test_the_bar_names_the_method_so_that_a_newcomer_understands(overview, asked, said):
    bar = overview(**asked).main.markdown[0].value
    assert said in bar
    assert "weighted" not in bar


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
    at.main.button[0].click().run()
    at = finish(at, "measure")
    assert "no model" in at.error[0].value
    assert "![x](" not in at.error[0].value


def test_two_visitors_keep_their_own_settings(overview):
    one, two = overview(sparsity="0.2"), overview(sparsity="0.6")
    one.sidebar.slider(key="control_gamma").set_value(0.9).run()
    two.run()
    assert one.session_state["settings"]["gamma"] == 0.9
    assert two.session_state["settings"]["gamma"] == 0.5
    assert two.session_state["settings"]["sparsity"] == 0.6


def test_the_address_holds_what_differs_from_the_defaults(overview):
    at = overview()
    at.sidebar.slider(key="control_sparsity").set_value(45.0).run()
    assert at.query_params["sparsity"] == "0.45"
    assert "theta" not in at.query_params
