"""Points of speed: what was timed, over the share of neurons removed."""

from dataclasses import replace

import torch

from llmrank.evaluation import shape_timing
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.latency import Latency, Timing
from llmrank.evaluation.speedup import Ratio, Speedup
from llmrank.methods.pruning import PruningPlan, prune
from llmrank.report.sentences import measurements as readings
from llmrank.report.tables import speed as speed_tables


def cut(lm, *widths):
    return prune(lm, PruningPlan(tuple(torch.arange(w) for w in widths), (24, 24)))


def point(removed, prefill, decode, reasons=()):
    ratio = {
        "prefill": Ratio(prefill, prefill - 0.1, prefill + 0.1, 2.0, 1.8, 5),
        "decode": Ratio(decode, decode - 0.2, decode + 0.2, 1.5, 1.4, 5),
    }
    return shape_timing.SpeedPoint(
        removed, (1,), Speedup(**ratio, reasons=reasons), TIMED, TIMED
    )


TIMED = Latency(
    prefill=Timing((2.0, 3.0), 2),
    decode=Timing((1.0, 1.0), 2),
    batch=1,
    prompt_tokens=8,
    new_tokens=1,
    device="cpu",
    dtype="float32",
    processor="",
    n_threads=1,
    torch_version="",
    measured_at="",
)


def test_a_pair_is_timed_and_placed_by_what_was_removed(tiny):
    spec = BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=2)
    found = shape_timing.time_pair(tiny, cut(tiny, 18, 6), spec)
    assert found.removed == 0.5
    assert found.widths == (18, 6)
    assert found.dense.prefill.n_rounds == found.pruned.prefill.n_rounds == 2
    table = speed_tables.speed_table([found])
    assert list(table["phase"]) == ["prefill", "decode"]
    assert (table["low"] <= table["times_as_fast"]).all()
    assert (table["dense_ms"] > 0).all()
    assert (table["ideal"] > 1).all()
    for row in table.to_dict("records"):
        assert row["times_as_fast"] == shape_timing.phase(found, row["phase"]).measured


def test_a_comparison_that_timed_nothing_is_no_point(tiny):
    side = Side(footprint(tiny))
    assert shape_timing.speed_point(Comparison(side, side)) is None


def test_every_line_of_the_chart_starts_at_dense():
    table = speed_tables.chart_table([point(0.5, 1.7, 1.3), point(0.2, 1.2, 1.1)])
    lines = dict(list(table.groupby("criterion", sort=False)))
    assert list(lines) == [
        "prefill",
        "decode",
        "prefill, by its arithmetic",
        "decode, by its arithmetic",
    ]
    for rows in lines.values():
        assert rows["value"].iloc[0] == 1.0
        assert rows["sparsity"].iloc[0] == 0.0
        assert len(rows) == 3
    assert sorted(lines["decode"]["value"]) == [1.0, 1.1, 1.3]
    assert sorted(lines["prefill, by its arithmetic"]["value"]) == [1.0, 2.0, 2.0]


def test_the_sentence_names_the_nearest_point_and_says_when_it_is_another():
    points = [point(0.5, 1.7, 1.3, ("Because.",)), point(0.2, 1.2, 1.1)]
    at = readings.speeds_sentence(points[0], 0.5, (1,))
    assert at.startswith(
        "With 50 % of the neurons removed prefill is ×1.70 [1.60, 1.80"
    )
    assert "decode is ×1.30 [1.10, 1.50] as fast (its arithmetic allows ×1.50)" in at
    assert at.endswith("Because.")
    near = readings.speeds_sentence(points[1], 0.3, (2,))
    assert near.startswith("30 % with these widths is not timed; with 20 % removed pre")


def test_the_point_of_the_same_widths_is_preferred_to_a_closer_share():
    uneven = replace(point(0.3, 1.1, 1.1), widths=(3, 9))
    even = replace(point(0.3, 1.5, 1.2), widths=(6, 6))
    for points in ([uneven, even], [even, uneven]):
        assert shape_timing.nearest(points, 0.3, (6, 6)) is even
        assert shape_timing.nearest(points, 0.3, (3, 9)) is uneven
    far = replace(point(0.6, 2.0, 1.2), widths=(4, 4))
    assert shape_timing.nearest([far, even], 0.32, (5, 5)) is even
