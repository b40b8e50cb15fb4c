"""Whole methods one click away, in the sidebar of every page."""

import pytest
from visitor import open_page

from llmrank.experiments.settings import PRESETS, applicable, experiment

pytestmark = pytest.mark.slow  # some seconds


def method_of(at):
    e = experiment(applicable(at.session_state["settings"]))
    return e.method


def test_presets_set_the_method_and_its_controls_follow(tiny_folder):
    at = open_page("pages/prune.py", model=tiny_folder, theta="0.9", sparsity="0.45")
    for label, (wanted, _) in PRESETS.items():
        at.button(key=f"preset_{label}").click().run()
        assert not at.exception
        e = experiment(wanted)
        assert method_of(at) == e.method
        shown = {s.label: s.value for s in at.selectbox}
        assert shown["Criterion"] == e.method.criterion.name
        assert shown["Allocation"] == e.method.allocation.name
        assert at.query_params["sparsity"] == "0.45"


def test_every_preset_is_a_method_with_a_reason():
    for wanted, why in PRESETS.values():
        assert experiment(wanted)
        assert why
