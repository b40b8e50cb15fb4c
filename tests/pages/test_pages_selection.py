"""What is selected in the canvas, as the page answers: its edges and its table."""

import pytest
import torch
from test_pages_explore import canvas, components, experiment
from test_pages_explore import opened as opened
from wire import unpacked

from llmrank.analysis.neuron import paths
from llmrank.experiments.pipeline import Pipeline
from llmrank.models import ffn

pytestmark = [  # some seconds each
    pytest.mark.slow,
    pytest.mark.usefixtures("estimated_memory"),
]

APART = "explore.neuron.1-5"
ENDS = ("layer", "source", "target", "flow")


def sent(at) -> dict:
    return {
        header["name"]: (header, values)
        for header, values in map(unpacked, components(at)["llmrank_payload"])
    }


def test_edges_are_sent_only_when_asked_for(opened):
    assert canvas(opened(view=APART))["links"] is None
    at = opened(view=f"explore.edges.on,{APART}")
    assert not at.exception
    given = canvas(at)
    assert given["view"]["edges"] == "on"
    assert given["links"]["said"] == "all 48 neurons in view"
    _, values = sent(at)[given["links"]["name"]]
    assert {k: len(v) for k, v in values.items()} == dict.fromkeys(ENDS, 24 * 24)


def test_edges_sent_are_those_of_the_library(opened):
    at = opened(view="explore.edges.on,explore.zoom.1-0-6,explore.sort.index")
    _, values = sent(at)[canvas(at)["links"]["name"]]
    layers = ffn.ffns(Pipeline().model(experiment(at)).model)
    few = {0: torch.arange(6), 1: torch.arange(6)}
    found = paths(layers, few, among=few)
    for name in ENDS:
        assert values[name].tolist() == getattr(found, name).tolist()


def test_another_setting_of_the_same_order_asks_for_the_same_edges(opened):
    view = "explore.edges.on,explore.sort.index,explore.zoom.all-0-9"
    one, other = opened(view=view), opened(view=view, gamma="0.1", sparsity="0.7")
    assert canvas(one)["links"] == canvas(other)["links"]
    third = opened(view=view.replace("0-9", "0-8"))
    assert canvas(third)["links"]["name"] != canvas(one)["links"]["name"]


def test_a_range_is_listed_in_its_order(opened):
    at = opened(view="explore.brush.1-4-10", sparsity="0.7")
    assert not at.exception
    table = at.dataframe[0].value
    assert table["rank"].tolist() == [5, 6, 7, 8, 9, 10]
    assert table["layer"].unique().tolist() == [1]
    assert table["fate"].tolist() == ["kept"] * 3 + ["removed"] * 3
    scores = Pipeline().scores(experiment(at)).layers[1]
    assert table["neuron"].tolist() == scores.argsort(descending=True)[4:10].tolist()
    assert any("ranks 5 to 10); 3 of them are removed" in m.value for m in at.markdown)


@pytest.mark.parametrize(
    "view",
    ["explore.brush.9-0-5", "explore.brush.1-5-5", "explore.brush.1-500-900",
     "explore.brush.x", "explore.edges.maybe", "explore.edges.on,explore.zoom.9-0-3",
     "explore.edges.on,explore.zoom.1-900-9000"],
)  # fmt: skip
def test_a_range_that_cannot_be_is_none(opened, view):
    at = opened(view=view)
    assert not at.exception
    assert not any("of layer" in m.value for m in at.markdown)
