"""Widths on the page Prune: measured costs, a search, your own, and goals."""

import pytest
from visitor import finish, listed, open_page, read, said

pytestmark = pytest.mark.slow  # some seconds each


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))


@pytest.fixture
def opened(tiny_folder, tiny_text):
    def by_link(**more: str):
        asked = {
            "model": str(tiny_folder),
            "calibration_text": str(tiny_text),
            "eval_text": str(tiny_text),
            "eval_tokens": "1024",
            "samples": "3",
            "seq_len": "61",
            "sparsity": "0.5",
        }
        return read(open_page("pages/prune.py", **(asked | more)))

    return by_link


def neurons(at):
    return listed(at)["FFN neurons"][0]


def test_an_allocation_that_needs_measuring_offers_it_and_then_answers(opened):
    at = opened(allocation="additive", samples="5")
    assert any("follows measurements" in i.value for i in at.info)
    at = finish(at.button(key="measure_widths").click().run(), "widths", state="done")
    assert not at.exception
    assert neurons(at) == "24"
    assert "costs most in layer" in said(at)


def test_a_search_shows_how_far_it_came(opened):
    at = opened(allocation="search", evaluations="8", samples="6")
    at = finish(at.button(key="measure_widths").click().run(), "widths", state="done")
    assert neurons(at) == "24"
    assert "8 candidates tried" in said(at)


def test_costs_can_be_measured_for_any_allocation(opened):
    at = opened(samples="7")
    at = finish(at.button(key="costs").click().run(), "widths", state="done")
    assert "Removing 55 % of one layer alone costs most in layer" in said(at)
    assert neurons(at) == "24"


def test_a_slider_sets_one_layers_width(opened):
    at = opened(allocation="by-hand")
    assert neurons(at) == "48"
    assert "Sparsity" not in [s.label for s in at.slider]
    at.slider(key="width_1_24").set_value(5).run()
    assert not at.exception
    assert neurons(at) == "29"
    assert at.query_params["kept"] == "24,5"
    (kept,) = [t for t in at.text_input if t.label == "Kept"]
    assert kept.value == "24,5"
    at.slider(key="width_0_24").set_value(7).run()
    assert at.query_params["kept"] == "7,5"


def test_widths_that_do_not_fit_are_said(opened):
    at = opened(allocation="by-hand", kept="1,2,3")
    assert "kept names 3 widths, and the model has 2 layers" in at.error[0].value


def test_a_goal_finds_a_sparsity_and_gives_it(opened):
    at = opened(samples="4")
    megabytes = float(listed(at)["Weights"][0].split()[0])
    at.number_input(key="goal_value_size").set_value(megabytes / 1000 * 0.98).run()
    at = finish(at.button(key="find_goal").click().run(), "goal", state="done")
    assert "better than the" in at.success[0].value
    rounding = next(n for n in at.number_input if n.label.startswith("Round"))
    at = rounding.set_value(8).run()
    assert "Found with other settings than now:" in [c.value for c in at.main.caption]
    assert not [b for b in at.button if b.key == "take_goal"]
    rounding = next(n for n in at.number_input if n.label.startswith("Round"))
    at = rounding.set_value(1).run()
    before = at.query_params["sparsity"]
    at.button(key="take_goal").click().run()
    assert at.query_params["sparsity"] != before
    assert not [b for b in at.button if b.key == "take_goal"]


def test_a_goal_that_cannot_be_met_says_what_can(opened):
    at = opened(samples="4")
    at.number_input(key="goal_value_size").set_value(1e-6).run()
    at = finish(at.button(key="find_goal").click().run(), "goal", state="done")
    assert any("Not to be had" in w.value for w in at.warning)


def test_sliders_follow_widths_that_are_written(opened):
    at = opened(allocation="by-hand", kept="20,10")
    at.slider(key="width_0_24").set_value(18).run()
    (kept,) = [t for t in at.text_input if t.label == "Kept"]
    kept.set_value("5,6").run()
    assert not at.exception
    assert neurons(at) == "11"
    assert [at.slider(key=f"width_{layer}_24").value for layer in (0, 1)] == [5, 6]
    at.slider(key="width_1_24").set_value(7).run()
    assert at.query_params["kept"] == "5,7"
