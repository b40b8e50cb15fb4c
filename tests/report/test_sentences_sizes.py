"""What is left, in words: sizes, widths, rounding, and who opens the checkpoint."""

import pytest
import torch

from llmrank.evaluation.footprint import footprint, planned
from llmrank.methods.allocation import Global, Uniform
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan
from llmrank.report.sentences import sizes as readings


def kept(*widths, dense=24):
    return PruningPlan(tuple(torch.arange(w) for w in widths), (dense,) * len(widths))


def test_sizes_before_and_after_with_the_change(tiny):
    dense, smaller = footprint(tiny), planned(tiny, (12, 18))
    shown = readings.sizes(dense, smaller)
    assert shown["FFN neurons"] == ("48", "30", "−37.5 %")
    gone = 18 * 3 * 16
    before, after, less = shown["Parameters"]
    assert (before, after) == (f"{dense.n_params:,}", f"{dense.n_params - gone:,}")
    assert less == f"−{100 * gone / dense.n_params:.3g} %"
    assert shown["MACs per token"][1] == f"{dense.macs_per_token - gone:,}"
    assert set(readings.sizes(dense, dense)["Weights"][2:]) == {"unchanged"}


@pytest.mark.parametrize(
    ("n", "shown"),
    [(48, "48"), (12_345, "12,345"), (134_515_008, "134.5 M"), (7.24e9, "7.2 B")],
)
def test_amounts(n, shown):
    assert readings.amount(n) == shown


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (500, "0.500 kB"),
        (2_096_640, "2.10 MB"),
        (442_498_481, "442 MB"),
        (1.6e10, "16.0 GB"),
    ],
)
def test_bytes(n, shown):
    assert readings.size(n) == shown


def test_growth_has_its_sign():
    assert readings.change(4, 5) == "+25 %"
    assert readings.change(5, 4) == "−20 %"


def test_equal_widths_are_said_once():
    said = readings.widths_sentence(kept(17, 17))
    assert said.startswith("Every layer keeps 17 of 24 neurons")
    assert "29.2 % removed" in said
    assert "Nothing is removed" in readings.widths_sentence(kept(24, 24))


def test_the_layers_that_lose_most_and_least_are_named():
    said = readings.widths_sentence(kept(20, 5, 24))
    assert said.startswith(
        "Layer 1 loses most and keeps 5 of 24 neurons; layer 2 loses"
    )
    assert said.endswith("least and keeps 24.")


@pytest.mark.parametrize("by", [Uniform(), Global()])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5])
def test_rounding_is_said_only_where_it_changes_the_sparsity(by, sparsity):
    scores = Scores(torch.rand(3, 40, generator=torch.Generator()).unbind())
    plain, rough = (PruningSpec(sparsity, m) for m in (1, 16))
    assert readings.rounding_sentence(plan(scores, plain, by), plain) is None
    found = plan(scores, rough, by)
    said = readings.rounding_sentence(found, rough)
    if sparsity == 0:
        assert said is None
    else:
        assert "multiples of 16" in said
        assert f"{100 * found.sparsity:.3g} % of the neurons go instead of" in said


def test_a_plain_checkpoint_is_called_plain(tiny):
    same = planned(tiny, (12, 12))
    said = readings.checkpoint_sentence(same, same, "float32", "Anything opens it")
    assert said == "All layers have one width: a plain checkpoint. Anything opens it."


def test_uneven_widths_say_who_opens_them_and_what_padding_costs(tiny):
    uneven, padded = planned(tiny, (12, 18)), planned(tiny, (18, 18))
    said = readings.checkpoint_sentence(uneven, padded, "bfloat16", "Anything opens it")
    assert "(12 to 18)" in said
    sizes = [readings.size(2 * f.n_params) for f in (padded, uneven)]
    assert "takes {} instead of {}".format(*sizes) in said
    assert "Anything" not in said
    assert "`llmrank.load`" in said
    more = 100 * 6 * 3 * 16 / uneven.n_params
    assert f"({more:.3g} % more)" in said


def test_the_precision_says_what_rounding_does_to_the_size(tiny):
    whole = planned(tiny, (24, 24))
    kept, half = (readings.size(n * whole.n_params) for n in (4, 2))
    said = readings.precision_sentence
    assert said(whole, "float32", "float32") == (
        f"Loaded and written in float32: {kept} of weights; bfloat16 takes {half}."
    )
    assert said(whole, "float32", "bfloat16") == (
        f"Loaded in float32, rounded to bfloat16: {half} of weights."
    )
    assert "bfloat16, written in float32" in said(whole, "bfloat16", "float32")


def test_the_table_of_widths_has_every_layer():
    table = readings.widths_table(kept(20, 5))
    assert table.to_dict("list") == {
        "layer": [0, 1],
        "dense": [24, 24],
        "pruned": [20, 5],
    }
