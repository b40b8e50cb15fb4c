"""The Scores page: what it draws is true, by its link, after others, at its edges."""

import json

import pytest
import torch
from conftest import save_folder, tiny_model
from streamlit.testing.v1 import AppTest
from visitor import buttons, open_page, read, said

import llmrank
from llmrank.analysis.agreement import agreement
from llmrank.methods.criteria import Activation, LLMRank
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningPlan
from pages.shared.app import resources

pytestmark = pytest.mark.slow  # some seconds each, together a minute

PAGE = "pages/scores.py"
SMALL = {"samples": "2", "seq_len": "32", "allocation": "uniform", "repair": "none"}


@pytest.fixture(scope="module")
def uneven_folder(tmp_path_factory):
    """A model of two layers that kept 20 and 9 of their 24 neurons."""
    lm = tiny_model()
    kept = PruningPlan((torch.arange(20), torch.arange(9)), (24, 24))
    folder = tmp_path_factory.mktemp("models") / "uneven"
    llmrank.save(llmrank.prune(lm, kept), str(folder))
    return folder


@pytest.fixture(scope="module")
def one_layer_folder(tmp_path_factory):
    lm = tiny_model()
    lm.model.model.layers = lm.model.model.layers[:1]
    lm.model.config.num_hidden_layers = 1
    return save_folder(lm, tmp_path_factory.mktemp("models") / "one")


@pytest.fixture
def scores_page(tiny_folder, tiny_text):
    """A function that opens the page with further settings."""

    def with_settings(**more: str) -> AppTest:
        texts = {"model": tiny_folder, "calibration_text": tiny_text}
        return open_page(PAGE, **(texts | SMALL | more))

    return with_settings


SCREENS = {"heatmap": 1, "distributions": 2, "two criteria": 2}
"""How many charts each draws, alone."""


def screen(name: str, *more: str) -> str:
    return ",".join([f"scores.screen.{name}", *more])


@pytest.fixture(scope="module")
def ready(tiny_folder, tiny_text):
    """The page's screens with their defaults, once read: not to be changed."""
    texts = {"model": tiny_folder, "calibration_text": tiny_text} | SMALL
    return {name: read(open_page(PAGE, **texts, view=screen(name))) for name in SCREENS}


def scored(at: AppTest, criterion=None):
    """What the pipeline says of the page's experiment, or of another criterion."""
    e = at.session_state["settings"]
    model = llmrank.ModelSpec(name=e["model"])
    calibration = llmrank.CalibrationSpec(
        calibration_text=e["calibration_text"], samples=2, seq_len=32
    )
    by, pipeline = Method(criterion or LLMRank()), resources.pipeline()
    asked = llmrank.Experiment(model, calibration, by).at(e.get("sparsity", 0.3))
    return pipeline.scores(asked).normalised, pipeline.plan(asked)


def figures(at: AppTest) -> list[dict]:
    return [json.loads(c.proto.spec) for c in at.get("plotly_chart")]


def test_not_read_yet_the_page_offers_one_button_and_starts_nothing(scores_page):
    at = scores_page(samples="6")
    assert not at.exception
    assert buttons(at) == ["Read the model"]
    assert not at.session_state["jobs"]
    assert not at.get("plotly_chart")


def test_one_screen_at_a_time_is_drawn_each_chart_with_its_sentence(ready):
    for name, at in ready.items():
        assert not at.exception
        assert not at.error
        assert not at.warning
        charts = at.get("plotly_chart")
        assert len(charts) == SCREENS[name]
        for chart in charts:
            assert chart.proto.alt in said(at)
            assert chart.proto.alt.endswith(".")


def test_another_screen_is_one_click_away_and_in_the_link(scores_page):
    at = read(scores_page())
    assert "scores.screen" not in at.query_params.get("view", "")
    control = next(c for c in at.main.segmented_control if c.label == "Picture")
    control.set_value("distributions").run()
    assert not at.exception
    assert len(figures(at)) == 2
    assert at.query_params["view"] == "scores.screen.distributions"


def test_what_is_said_of_the_cut_is_what_the_plan_does(ready):
    at = ready["distributions"]
    scores, plan = scored(at)
    share = 100 * float(scores[1][plan.drop[1]].sum() / scores[1].sum())
    assert plan.widths == (17, 17)
    text = said(at)
    assert "Layer 1: the 7 of 24 neurons left of the line are removed" in text
    assert f"and {share:.3g} % of the layer's score with them" in text
    assert "14 of 48 neurons" in figures(ready["heatmap"])[0]["layout"]["title"]["text"]


def test_the_second_criterion_is_compared_in_true_numbers(ready):
    at = ready["two criteria"]
    (a, plan_a), (b, plan_b) = scored(at), scored(at, Activation())
    found = agreement(a, b, plan_a, plan_b)
    text = said(at)
    share = f"{100 * found.total.share:.3g} %"
    assert (
        f"Of the 14 neurons that llm-rank removes, activation removes {share}" in text
    )
    both = len(
        {(i, int(n)) for i, d in enumerate(plan_a.drop) for n in d}
        & {(i, int(n)) for i, d in enumerate(plan_b.drop) for n in d}
    )
    numbers = f"Spearman {found.total_spearman:.3f}<br>"
    numbers += f"Jaccard of the removed {both / (28 - both):.3f}"
    assert numbers in [a["text"] for a in figures(at)[0]["layout"]["annotations"]]
    bars = next(f for f in figures(at) if f["data"][0].get("name") == "overlap")
    assert bars["data"][0]["y"] == pytest.approx([o.share for o in found.overlaps])


def test_the_neurons_on_which_two_criteria_differ_most_are_listed(ready):
    at = ready["two criteria"]
    first, second = scored(at)[0], scored(at, Activation())[0]
    table = at.main.dataframe[0].value
    most = table.iloc[0]
    layer, neuron = int(most["layer"]), int(most["neuron"])
    for column, scores in (("rank_a", first), ("rank_b", second)):
        higher = int((scores[layer] > scores[layer][neuron]).sum())
        assert most[column] == higher + 1


def test_the_extremes_are_listed_the_most_extreme_first(ready):
    at = ready["heatmap"]
    highest, lowest = (frame.value for frame in at.main.dataframe)
    times = torch.stack(scored(at)[0]) * 24
    assert highest["times_uniform"].iloc[0] == pytest.approx(float(times.max()))
    assert lowest["times_uniform"].iloc[0] == pytest.approx(float(times.min()))
    assert lowest["rank"].iloc[0] == 24
    assert len(highest) == len(lowest) == 10


@pytest.mark.parametrize("name", SCREENS)
def test_a_neuron_held_is_said_on_every_screen_and_leads_on(scores_page, name):
    at = read(scores_page())
    assert at.button(key="to_explore").disabled
    at = read(scores_page(view=screen(name, "explore.neuron.1-5")))
    scores, plan = scored(at)
    rank = int((scores[1] > scores[1][5]).sum()) + 1
    fate = "kept" if 5 in plan.keep[1].tolist() else "removed"
    times = f"×{24 * float(scores[1][5]):.3g}"
    assert f"**L1·5**: rank {rank} of 24, {times} its layer's mean, **{fate}**" in said(
        at
    )
    assert not at.button(key="to_explore").disabled


def test_moving_the_threshold_moves_what_is_said(scores_page):
    at = read(scores_page(view=screen("distributions")))
    at.slider(key="control_sparsity").set_value(75.0).run()
    assert not at.exception
    assert "the 18 of 24 neurons left of the line" in said(at)


def test_choices_are_kept_over_another_page_and_in_the_link(scores_page):
    at = read(scores_page(view=screen("distributions")))
    at.slider(key="look_scores.layer_0").set_value(0).run()
    link = at.query_params["view"]
    assert link == screen("distributions", "scores.layer.0")
    at.switch_page("pages/graph.py").run()
    assert not at.exception
    at.switch_page(PAGE).run()
    assert not at.exception
    assert "Layer 0: the 7 of 24 neurons" in said(at)
    reopened = read(scores_page(view=link))
    assert "Layer 0: the 7 of 24 neurons" in said(reopened)
    reopened.slider(key="look_scores.layer_0").set_value(1).run()
    assert reopened.query_params["view"] == screen("distributions")


def test_the_papers_setting_is_one_click_away(scores_page):
    """With γ = 0 the ranking is that of the activation at the same site."""
    at = read(scores_page(view=screen("two criteria")))
    button = next(
        b for b in at.main.button if b.label == "Compare with the paper's setting"
    )
    button.click().run()
    assert not at.exception
    (a, plan_a), (b, plan_b) = scored(at), scored(at, Activation(site="up"))
    found = agreement(a, b, plan_a, plan_b)
    expected = f"removes {100 * found.total.share:.3g} % too"
    assert f"llm-rank (γ 0, site up) {expected}" in said(at)


@pytest.mark.parametrize(
    ("name", "wrong", "shown"),
    [
        ("heatmap", ["scores.order.x"], "is the most concentrated: as if"),
        ("distributions", ["scores.layer.99"], "Layer 1: the 7 of 24 neurons"),
        (
            "two criteria",
            ["scores.ranks.z", "scores.other.![x](http://example.org/x.png)"],
            "activation removes",
        ),
    ],
)
def test_a_view_that_cannot_be_is_said_and_the_page_lives(
    scores_page, name, wrong, shown
):
    at = read(scores_page(view=screen(name, *wrong)))
    assert not at.exception
    assert len(at.get("plotly_chart")) == SCREENS[name]
    assert len(at.main.warning) == len(wrong)
    assert shown in said(at)
    assert all("![x](" not in w.value for w in at.warning)


def test_a_view_that_names_nothing_is_harmless(scores_page):
    at = read(scores_page(view="x,a.b,....,,nobody.knows.this,scores.layer."))
    assert not at.exception
    assert len(at.get("plotly_chart")) == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("distributions", "Layer 1: nothing is removed"),
        ("two criteria", "activation removes nothing here"),
    ],
)
def test_at_sparsity_zero_nothing_is_removed_and_the_page_says_so(
    scores_page, name, sentence
):
    """And activation is not compared with itself until somebody asks for it."""
    at = read(scores_page(sparsity="0", criterion="activation", view=screen(name)))
    assert not at.exception
    assert sentence in said(at)


def test_layers_of_different_widths_are_drawn_with_their_own(
    scores_page, uneven_folder
):
    more = {"model": str(uneven_folder)}
    at = read(scores_page(**more, view=screen("distributions", "scores.layer.1")))
    assert not at.exception
    assert not at.error
    assert "Layer 1: the 3 of 9 neurons" in said(at)
    at = read(scores_page(**more))
    assert "9 of 29 neurons" in figures(at)[0]["layout"]["title"]["text"]


@pytest.mark.parametrize("name", SCREENS)
def test_one_layer_is_enough(scores_page, one_layer_folder, name):
    at = read(scores_page(model=str(one_layer_folder), view=screen(name)))
    assert not at.exception
    assert not at.error
    assert len(at.get("plotly_chart")) == SCREENS[name]
    assert not [s for s in at.main.slider if "Layer" in s.label]


def test_where_all_neurons_tie_nothing_false_is_said(scores_page):
    ties = {"gamma": "1", "theta": "0"}
    at = read(scores_page(**ties, view=screen("distributions")))
    assert not at.exception
    assert "left of the line" not in said(at)
    assert "7 of these score exactly the threshold" in said(at)
    at = read(scores_page(**ties))
    assert "Each layer is as concentrated: as if 24.0 of its 24 neurons" in said(at)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"graph": "chained", "allocation": "global", "sparsity": "0.9"},
        {"variant": "modified", "view": screen("distributions")},
        {"criterion": "random", "view": screen("two criteria")},
        {"criterion": "wanda", "multiple_of": "8", "view": screen("distributions")},
        {"view": "scores.order.index,scores.value.score"},
        {"view": screen("two criteria", "scores.ranks.1")},
    ],
)
def test_every_way_to_score_is_drawn(scores_page, settings):
    at = read(scores_page(**settings))
    assert not at.exception
    assert not at.error
    assert at.get("plotly_chart")
    assert len(at.main.latex) == 1


def test_the_formula_holds_the_values_in_hand(scores_page):
    at = read(scores_page(theta="0.25", gamma="0.8"))
    formula = at.main.latex[0].value
    for number in ("0.8", "0.25", "0.75", "0.2", "= 1"):
        assert number in formula
    assert "Every θ and γ with the same ρ = 1 rank" in said(at)


def test_a_model_that_is_not_there_is_said_and_the_page_lives(scores_page):
    at = scores_page(model="/nowhere/at/all")
    assert not at.exception
    assert any("nowhere" in x.value for x in [*at.error, *at.info])


@pytest.mark.slow
def test_a_model_that_was_forgotten_is_read_again(scores_page, uneven_folder, tmp_path):
    """Two models are kept; statistics are kept for longer."""
    at = read(scores_page())
    other = save_folder(tiny_model("gpt2"), tmp_path / "other")
    for folder in (uneven_folder, other):
        read(scores_page(model=str(folder)))
    at.run()
    assert not at.get("plotly_chart")
    assert read(at).get("plotly_chart")


def test_a_second_criterion_that_would_read_more_asks_first(scores_page):
    """Gradients of this calibration have never been taken: a button, then its ranks."""
    link = {"view": screen("two criteria", "scores.other.taylor"), "seed": "78"}
    at = read(scores_page(**link))
    assert not at.exception
    assert any("taylor needs gradients" in i.value for i in at.info)
    assert not figures(at)
    at = read(at)
    assert not at.exception
    assert not any("needs gradients" in i.value for i in at.info)
    assert len(figures(at)) == 2


def test_a_free_text_of_the_second_criterion_is_its_usual_one(scores_page):
    read(scores_page())  # or the one button that is pressed would be the second's
    at = scores_page(view=screen("two criteria", "scores.other.gprune"))
    assert not at.exception
    assert "look_scores.second_text" not in str(at.text_input)
    assert any("gprune reads as much of a second text" in i.value for i in at.info)
