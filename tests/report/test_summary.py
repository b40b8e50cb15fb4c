"""The verdict and the table of the command line, by hand-made measurements."""

import dataclasses

import pytest
import torch
from test_sentences_measurements import latency, text

from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.peak_memory import MemoryPeak
from llmrank.evaluation.speedup import Ratio, Speedup
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel
from llmrank.report.sentences.summary import PAIRED, table, verdict
from llmrank.report.tables import comparison


def ratio(low, measured, high):
    return Ratio(measured, low, high, ideal=1.5, attainable=1.3, n_rounds=2)


@pytest.fixture(scope="module")
def found(tiny):
    """The medians' ratio of prefill, 105 / 85 = 1.24, is not the rounds', 1.18."""
    keep = (torch.arange(12), torch.arange(12))
    pruned = LanguageModel(tiny.spec, ffn.cut(tiny.model, keep), tiny.tokenizer)
    sides = [
        Side(
            footprint(lm),
            text(nll, [0.5, 0.6, 0.4]),
            (),
            latency(prefill, [10.0, 11.0]),
            MemoryPeak(404_000_000, 404_000_000 + used, "child process"),
        )
        for lm, nll, prefill, used in (
            (tiny, [1.0, 1.2, 1.1], [100.0, 110.0], 556_000_000),
            (pruned, [1.1, 1.31, 1.2], [80.0, 90.0], 460_000_000),
        )
    ]
    return Comparison(*sides, Speedup(ratio(1.1, 1.18, 1.26), ratio(0.9, 1.0, 1.1), ()))


@pytest.mark.parametrize(
    ("prefill", "decode", "headings"),
    [
        ((1.1, 1.2, 1.3), (1.01, 1.2, 1.3), ["Faster"]),
        ((0.95, 1.2, 1.5), (1.0, 1.2, 1.5), ["Not measurably faster"]),
        ((0.7, 0.8, 0.9), (0.7, 0.8, 0.99), ["Slower"]),
        ((1.1, 1.2, 1.3), (0.9, 1.0, 1.1), ["Faster", "Not measurably faster"]),
        ((0.9, 1.0, 1.1), (0.7, 0.8, 0.9), ["Not measurably faster", "Slower"]),
    ],
)
def test_faster_is_claimed_of_a_phase_whose_interval_leaves_out_one(
    found, prefill, decode, headings
):
    faster = Speedup(ratio(*prefill), ratio(*decode), ())
    said = verdict(dataclasses.replace(found, speedup=faster))
    assert list(said)[2:] == headings
    last = said[headings[-1]]
    assert ("Prefill" in last) == (len(headings) == 1)
    assert "ecoding" in last


@pytest.mark.parametrize(
    ("nll", "heading"),
    [
        ([1.1, 1.31, 1.2], "Worse"),
        ([1.5, 1.0, 1.1], "Not measurably worse"),
        ([0.9, 1.09, 1.0], "Better"),
    ],
)
def test_worse_is_claimed_where_the_interval_leaves_out_one(found, nll, heading):
    side = dataclasses.replace(found.pruned, text=text(nll, [0.5, 0.6, 0.4]))
    assert list(verdict(dataclasses.replace(found, pruned=side)))[1] == heading


def test_of_one_window_no_verdict_is_given(found):
    one = {
        name: dataclasses.replace(getattr(found, name), text=text([nll], [0.5]))
        for name, nll in (("dense", 1.0), ("pruned", 1.4))
    }
    said = verdict(dataclasses.replace(found, **one))
    assert list(said)[1:] == ["Faster", "Not measurably faster"]


def test_nothing_removed_is_not_called_smaller(found):
    same = dataclasses.replace(found, pruned=found.dense)
    said = verdict(same)["Not smaller"]
    assert said.startswith("0 % of the FFN neurons removed")


def test_sentences_have_the_measured_ratio_and_intervals(found):
    said = verdict(found)
    assert said["Smaller"].startswith("50 % of the FFN neurons removed")
    assert said["Faster"] == (
        "Prefill ×1.18 [1.10, 1.26] as fast as dense, ×1.50 by arithmetic."
    )
    assert "Perplexity ×1.11 [" in said["Worse"]
    assert "it keeps 100 % [100, 100] of the dense" in said["Worse"]


def test_the_table_says_which_ratio_it_prints_and_from_where_memory_counts(found):
    printed = table(found)
    assert "Faster: Prefill ×1.18 [1.10, 1.26] as fast as dense" in printed
    assert "Not measurably faster: Decoding ×1.00 [0.900, 1.10]" in printed
    assert "1.24" not in printed
    assert PAIRED in printed
    assert "In brackets: 95 % intervals." in printed
    assert "beyond an empty process" in printed


def test_the_table_and_the_page_have_the_same_peak_memory(found):
    (row,) = [x for x in table(found).splitlines() if x.startswith("peak memory")]
    assert row.split()[-2:] == ["556", "460"]
    line = next(x for x in comparison.lines(found) if x.name == "Peak memory")
    assert (line.dense.value, line.pruned.value) == ("556 MB", "460 MB")


def test_before_anything_is_measured_there_is_no_footnote(found):
    bare = Comparison(Side(found.dense.footprint), Side(found.pruned.footprint))
    assert table(bare).splitlines()[-1].startswith("Smaller: ")
