"""Charts: the numbers in the traces, and that nothing is drawn which was not given."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from llmrank.core.statistics import Estimate
from llmrank.evaluation.speedup import Ratio
from llmrank.methods.allocation import Sensitivity
from llmrank.report import charts
from llmrank.report.charts.pareto import YOURS
from llmrank.report.charts.theme import DARK, LIGHT, plain
from llmrank.report.tables.comparison import Cell, Pair

NASTY = "<script>alert(1)</script> & שלום"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; שלום"


def some_scores(*widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.rand(width, generator=generator) ** 3 + 1e-4 for width in widths]
    return tuple(row / row.sum() for row in rows)


def highest(scores, *n_kept):
    return tuple(
        s.argsort(descending=True, stable=True)[:n].sort().values
        for s, n in zip(scores, n_kept, strict=True)
    )


def traces(fig, name):
    return [t for t in fig.data if (t.name or "").startswith(name)]


def shown(fig):
    """All text that a figure shows, as the browser receives it."""
    return json.dumps(json.loads(fig.to_json()), ensure_ascii=False)


# The heatmap


def test_heatmap_bins_hold_the_means_of_torch():
    """3,000 neurons in bins of 3, the last layer's last bin only partly filled."""
    scores = some_scores(3000, 1000)
    fig = charts.score_heatmap(scores, order="index")
    z, hover = fig.data[0].z, fig.data[0].customdata
    assert z.shape == (2, 1000)
    bins = scores[0].double().view(1000, 3)
    assert hover[0, :, 2] == pytest.approx(bins.mean(1).numpy(), rel=1e-6)
    assert hover[0, :, 3] == pytest.approx(bins.amin(1).numpy(), rel=1e-6)
    assert hover[0, :, 4] == pytest.approx(bins.amax(1).numpy(), rel=1e-6)
    assert z[0] == pytest.approx(bins.mean(1).log10().numpy(), rel=1e-5)
    assert hover[1, 333, :3].tolist() == pytest.approx(
        [999, 999, float(scores[1][999])]
    )
    assert hover[0, 7, :2].tolist() == [21, 23]


@pytest.mark.parametrize(
    ("width", "columns"), [(1, 1), (1024, 1024), (1025, 513), (14336, 1024)]
)
def test_heatmap_has_at_most_1024_columns(width, columns):
    assert charts.score_heatmap(some_scores(width)).data[0].z.shape == (1, columns)


@pytest.mark.parametrize("value", ["score", "percentile"])
@pytest.mark.parametrize("order", ["sorted", "index"])
def test_heatmap_draws_nothing_where_a_layer_has_ended(order, value):
    scores = some_scores(7, 4, 1)
    fig = charts.score_heatmap(scores, None, order=order, value=value)
    ended = np.isnan(fig.data[0].z)
    assert ended.sum(1).tolist() == [0, 3, 6]
    assert not np.isnan(fig.data[0].customdata[~ended]).any()
    assert not fig.data[0].hoverongaps


def test_sorted_heatmap_falls_from_left_to_right_and_shows_each_cut():
    scores = some_scores(9, 5)
    fig = charts.score_heatmap(scores, highest(scores, 6, 2))
    assert (np.diff(fig.data[0].customdata[0, :, 2]) <= 0).all()
    assert (fig.data[0].x0, fig.data[0].dx) == (1, 1)
    (cut,), (dropped,) = traces(fig, "cut"), traces(fig, "removed")
    assert cut.x == (6.5, 6.5, 2.5, 2.5)
    assert cut.y == (-0.5, 0.5, 0.5, 1.5)
    assert (min(dropped.x[:4]), max(dropped.x[:4])) == (6.5, 9.5)
    assert (min(dropped.x[6:10]), max(dropped.x[6:10])) == (2.5, 5.5)
    assert dropped.fillpattern.shape == "/"
    assert fig.data[0].customdata[0, :, 5].tolist() == [0] * 6 + [1] * 3
    assert "removed, 6 of 14 neurons" in fig.layout.title.text


def test_a_second_line_shows_where_one_threshold_over_all_layers_would_cut():
    scores = (
        torch.tensor([0.4, 0.3, 0.2, 0.1]),
        torch.tensor([0.28, 0.26, 0.24, 0.22]),
    )
    keep = highest(scores, 2, 2)
    fig = charts.score_heatmap(scores, keep)
    assert not traces(fig, "global cut")  # 0.1, 0.2, 0.22 and 0.24 would go: the same
    other = charts.score_heatmap(scores, highest(scores, 1, 4))
    (line,) = traces(other, "global cut")  # 0.2, 0.1 and 0.22
    assert (line.x, line.y) == ((2.5, 2.5, 3.5, 3.5), (-0.5, 0.5, 0.5, 1.5))
    assert "dotted: one threshold" in other.layout.title.text


@pytest.mark.parametrize("order", ["sorted", "index"])
def test_the_neuron_at_a_cell_is_the_one_that_is_marked_there(order):
    """3,000 neurons in bins of 3: a click tells the middle of the bin."""
    scores = some_scores(40, 3000)
    for x in (charts.score_heatmap(scores, order=order).data[0].x0, 1500.0):
        neuron = charts.neuron_at(scores[1], x, order)
        fig = charts.score_heatmap(scores, order=order, held=(1, neuron))
        (mark,) = traces(fig, "held")
        assert (mark.x, mark.y) == ((int(x),), (1,))
    last = charts.neuron_at(scores[0], 3000.0, order)
    assert last == (39 if order == "index" else int(scores[0].argmin()))
    for nobody in ((1, 3000), (2, 0), None):
        fig = charts.score_heatmap(scores, order=order, held=nobody)
        assert not traces(fig, "held")


def test_heatmap_draws_no_cut_through_neurons_kept_by_another_criterion():
    scores = some_scores(6)
    lowest = scores[0].argsort()[:3].sort().values
    fig = charts.score_heatmap(scores, (lowest,))
    assert traces(fig, "cut")[0].x == (None,)
    assert fig.data[0].customdata[0, :, 5].tolist() == [1, 1, 1, 0, 0, 0]
    assert "3 of 6 neurons, 0 of them hatched" in fig.layout.title.text


def test_heatmap_by_index_counts_the_dropped_in_each_bin():
    scores = some_scores(2048)
    keep = highest(scores, 1000)
    fig = charts.score_heatmap(scores, keep, order="index")
    flags = torch.ones(2048)
    flags[keep[0]] = 0
    expected = flags.view(1024, 2).sum(1).tolist()
    assert fig.data[0].customdata[0, :, 5].tolist() == expected
    assert len(fig.data) == 1


def test_percentiles_are_among_all_neurons_of_all_layers():
    scores = (torch.tensor([0.1, 0.9]), torch.tensor([0.5, 0.5]))
    fig = charts.score_heatmap(scores, order="index", value="percentile")
    assert fig.data[0].z.tolist() == [[12.5, 87.5], [50, 50]]
    assert (fig.data[0].zmin, fig.data[0].zmax) == (0, 100)


def test_heatmap_of_equal_scores_and_of_zeros_has_a_scale_with_a_length():
    for value in (0.25, 0.0):
        heat = charts.score_heatmap([torch.full((4,), value)]).data[0]
        assert heat.z.tolist() == [[value] * 4]
        assert heat.zmin < heat.zmax


def test_zeros_take_the_lowest_colour_and_the_hover_says_zero():
    heat = charts.score_heatmap([torch.tensor([0.0, 1e-4, 1.0])]).data[0]
    assert heat.z.tolist()[0] == pytest.approx([0, -4, -4])
    assert heat.customdata[0, :, 2].tolist() == pytest.approx([1, 1e-4, 0])
    assert (heat.zmin, heat.zmax) == pytest.approx((-4, 0))
    assert "1e-4" in heat.colorbar.ticktext


# Distributions


def test_histogram_counts_each_neuron_once_on_its_side_of_the_threshold():
    (scores,) = some_scores(1000)
    threshold = float(scores.sort().values[300])
    fig = charts.score_distribution(scores, threshold, layer=4)
    (below,), (above,) = traces(fig, "below"), traces(fig, "at or above")
    assert (below.name, above.name) == ("below: 300", "at or above: 700")
    assert (sum(below.y), sum(above.y)) == (300, 700)
    assert below.marker.pattern.shape == "/"
    assert above.marker.pattern.shape is None
    (line,) = traces(fig, "threshold")
    assert line.x == (threshold, threshold)
    assert max(below.customdata[:, 1]) == pytest.approx(threshold)
    assert min(above.customdata[:, 0]) == pytest.approx(threshold)
    assert fig.layout.xaxis.type == "log"
    assert "Layer 4: 1,000 neurons" in fig.layout.xaxis.title.text


def test_histogram_bins_are_equally_wide_in_log_units():
    (scores,) = some_scores(500)
    fig = charts.score_distribution(scores, float(scores.median()), layer=0)
    edges = np.concatenate([t.customdata for t in fig.data[:2]])
    ratios = edges[:, 1] / edges[:, 0]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


@pytest.mark.parametrize("threshold", [None, 0.25])
def test_histogram_of_equal_scores(threshold):
    fig = charts.score_distribution(torch.full((4,), 0.25), threshold, layer=0)
    assert sum(sum(t.y) for t in fig.data if isinstance(t, go.Bar)) == 4


@pytest.mark.parametrize("threshold", [1e-9, 10.0])
def test_a_threshold_outside_the_scores_leaves_all_on_one_side(threshold):
    (scores,) = some_scores(50)
    fig = charts.score_distribution(scores, threshold, layer=0)
    counts = [int(sum(t.y)) for t in fig.data if isinstance(t, go.Bar)]
    assert counts == ([0, 50] if threshold < 1 else [50, 0])


def test_scores_of_zero_are_counted_in_words():
    scores = torch.tensor([0.0, 0.0, 0.4, 0.6])
    fig = charts.score_distribution(scores, 0.4, layer=0)
    assert "2 of them score 0 and are not drawn" in fig.layout.xaxis.title.text
    assert traces(fig, "below")[0].name == "below: 2"
    nothing = charts.score_distribution(torch.zeros(3), 0.0, layer=0)
    assert len(nothing.data) == 0
    assert "3 of them score 0" in nothing.layout.xaxis.title.text


def test_layers_show_their_quantiles_and_thresholds():
    scores = some_scores(400, 37, 1)
    fig = charts.distributions(scores, [1e-3, 2e-3, 1.0])
    box = fig.data[0]
    for layer, s in enumerate(scores):
        drawn = [box.lowerfence, box.q1, box.median, box.q3, box.upperfence]
        levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
        expected = torch.quantile(s, levels).tolist()
        assert [q[layer] for q in drawn] == pytest.approx(expected, rel=1e-4)
    (ground,) = charts.distributions(scores, layer=1).layout.shapes
    assert (ground.x0, ground.x1) == (0.5, 1.5)
    (line,) = traces(fig, "threshold")
    assert line.y == (1e-3, 1e-3, None, 2e-3, 2e-3, None, 1.0, 1.0, None)
    assert [math.floor(x + 0.5) for x in line.x[::3]] == [0, 1, 2]


def test_a_quantile_of_zero_is_left_out_of_a_log_axis():
    box = charts.distributions([torch.tensor([0.0, 0.0, 0.0, 1.0])]).data[0]
    assert box.median == (None,)
    assert box.q3 == (0.25,)


# Two criteria


def test_rank_scatter_groups_neurons_by_who_keeps_them():
    a = (torch.tensor([0.4, 0.3, 0.2, 0.1]),)
    b = (torch.tensor([0.4, 0.1, 0.3, 0.2]),)
    keep = (highest(a, 2), highest(b, 2))
    fig = charts.rank_scatter(a, b, keep, names=("one", "two"), said="Jaccard 0.5")
    assert fig.layout.annotations[0].text == "Jaccard 0.5"
    points = {t.name: (t.x.tolist(), t.y.tolist()) for t in fig.data}
    assert points == {
        "both keep: 1": ([1], [1]),
        "one only: 1": ([2], [4]),
        "two only: 1": ([3], [2]),
        "both remove: 1": ([4], [3]),
    }
    assert len({t.marker.symbol for t in fig.data}) == 4
    assert fig.layout.xaxis.title.text.endswith("4 neurons</span>")


def test_rank_scatter_of_equal_scores_claims_no_order():
    a = (torch.full((5,), 0.2),)
    keep = (highest(a, 5), highest(a, 5))
    fig = charts.rank_scatter(a, a, keep)
    assert set(fig.data[0].x.tolist()) == {3}


def test_rank_scatter_draws_a_stated_and_repeatable_sample():
    a, b = some_scores(4000, 3000), some_scores(4000, 3000, seed=1)
    keep = (highest(a, 2800, 2000), highest(b, 2000, 2000))
    fig, again = charts.rank_scatter(a, b, keep), charts.rank_scatter(a, b, keep)
    assert sum(len(t.x) for t in fig.data) == 5000
    stated = "5,000 of 7,000 neurons drawn (random, seed 0)"
    assert stated in fig.layout.xaxis.title.text
    assert fig.to_json() == again.to_json()
    counted = [int(t.name.rsplit(": ")[1].replace(",", "")) for t in fig.data]
    assert sum(counted) == 7000  # the legend counts all, drawn or not
    layer, neuron = (int(v) for v in fig.data[0].customdata[10])
    rank = 1 + int((a[layer] > a[layer][neuron]).sum())
    assert fig.data[0].x[10] == rank


def test_overlap_bars_say_where_nothing_is_dropped():
    fig = charts.overlap_bars([0.5, None, 1.0], by_chance=[0.3, 0.3, 0.3])
    assert fig.data[0].y == (0.5, 0, 1.0)
    assert fig.data[0].text == ("", "none removed", "")
    assert fig.data[1].y[::3] == (0.3, 0.3, 0.3)


# Measurements


def test_widths_before_are_a_hatched_outline_and_after_is_filled():
    fig = charts.widths_chart([8, 8], [8, 3])
    before, after = fig.data
    assert (before.y, after.y) == ((8, 8), (8, 3))
    assert (before.name, after.name) == ("dense: 16", "pruned: 11")
    assert before.marker.pattern.shape == "/"
    assert after.marker.color == LIGHT.accent
    assert fig.layout.barmode == "overlay"


PAIR = Pair(
    "Perplexity <b>", True,
    Estimate(20.0, 18.0, 22.0, 4), Estimate(30.0, 27.0, 34.0, 4),
    Cell("×1.50", "[1.40, 1.60]"),
)  # fmt: skip


def dots(fig):
    return {t.name: t for t in fig.select_traces({"mode": "markers+text"})}


def notes(fig):
    return [a.text for a in fig.layout.annotations]


def test_dense_is_left_and_neutral_pruned_right_and_accented_from_zero():
    fig = charts.paired_chart([PAIR], dark=False)
    dense, pruned = dots(fig)["dense"], dots(fig)["pruned"]
    assert (dense.x, dense.y, pruned.x, pruned.y) == ((0,), (20,), (1,), (30,))
    assert dense.marker.color == LIGHT.neutral
    assert pruned.marker.color == LIGHT.accent
    assert (pruned.error_y.array, pruned.error_y.arrayminus) == ((4,), (3,))
    assert fig.layout.yaxis.range[0] == 0
    assert fig.layout.yaxis.range[1] > 34
    said = ["Perplexity &lt;b&gt;", "<b>×1.50</b>", "[1.40, 1.60]", "no change"]
    assert notes(fig) == said
    [level, _] = fig.select_traces({"mode": "lines"})
    assert level.y == (20, 20)  # as if nothing had changed
    assert fig.layout.xaxis.title.text == "lower is better"


def test_what_is_not_measured_is_marked_and_draws_nothing():
    for mark in ("–", "…"):
        fig = charts.paired_chart([Pair("Speed")], missing=mark, dark=False)
        assert not fig.data
        assert notes(fig)[1:] == [f"<b>{mark}</b>", "", mark, mark]
    half = dataclasses.replace(PAIR, pruned=None)
    assert set(dots(charts.paired_chart([half], dark=False))) == {"dense"}


def test_what_was_not_measured_here_is_hollow_and_one_window_has_no_interval():
    alone = dataclasses.replace(PAIR, pruned=Estimate(30.0, -np.inf, np.inf, 1))
    pruned = dots(charts.paired_chart([alone], is_hollow=True, dark=False))["pruned"]
    assert pruned.marker.color == LIGHT.background
    assert pruned.marker.line.color == LIGHT.accent
    assert pruned.error_y.array == (0,)


def runs_table():
    rows = [
        ("good", 0.5, 95e6, 2.0, 1.8, 2.2, "a"),
        ("good", 0.1, 126e6, 1.1, 1.0, 1.2, "b"),
        ("grey", 0.1, 126e6, 1.5, 1.4, np.inf, "c"),
        ("lost", 0.5, 95e6, 900.0, 800.0, 999.0, "d"),
    ]
    names = ["method", "sparsity", "parameters", "ratio", "low", "high", "run"]
    return pd.DataFrame(rows, columns=names).assign(age=range(len(rows)))


def test_runs_are_lines_of_their_methods_and_know_their_ids():
    fig = charts.runs_chart(runs_table(), named=["good"], chosen=["b"], dark=False)
    (good,), (grey,) = traces(fig, "good"), traces(fig, "grey")
    assert (good.x, good.y) == ((95e6, 126e6), (2.0, 1.1))
    assert good.customdata == ("a", "b")
    assert good.text[0].endswith("×2.00 [1.80, 2.20]")
    assert good.error_y.array == pytest.approx((0.2, 0.1))
    assert grey.error_y.array is None
    assert not grey.showlegend
    ring = fig.data[-1]
    assert (ring.x, ring.y) == ((126e6,), (1.1,))
    # twice what has a colour
    assert "1 run above ×4.00, outside" in fig.layout.xaxis.title.text


def test_runs_that_lie_upon_one_another_are_outlines_the_newest_on_top_and_least():
    names = ["old", "new", "else", "off"]
    pile = runs_table().assign(
        method=names, parameters=[100e6, 100.5e6, 100e6, 90e6],
        ratio=[1.55, 1.57, 3.0, 1.56], age=[3, 0, 1, 2],
    )  # fmt: skip
    fig = charts.runs_chart(pile, named=names, dark=False)
    drawn = [t for t in fig.data if t.name]
    assert [t.name for t in drawn] == ["old", "off", "else", "new"]
    assert [t.marker.size for t in drawn] == [(16,), (9,), (9,), (9,)]
    assert all(t.marker.symbol.endswith("-open") for t in drawn)
    assert sorted(drawn, key=lambda t: t.legendrank)[0].name == "old"


def test_options_that_fit_have_the_best_on_top_and_the_one_in_hand_accented():
    table = runs_table().assign(size="50 % · 9 MB", here=[False, False, True, False])
    table = table.sort_values("ratio")  # b, c, a, d
    fig = charts.options_chart(table, in_hand="b", dark=False)
    dots = fig.data[0]
    assert dots.y == (0, 1, 2, 3)
    assert fig.layout.yaxis.range[0] > fig.layout.yaxis.range[1]
    grey, accent = LIGHT.neutral, LIGHT.accent
    assert dots.marker.color == (accent, accent, grey, grey)
    assert dots.marker.symbol == ("circle", "diamond", "circle", "triangle-right")
    assert dots.x == (1.1, 1.5, 2.0, 2.2)  # what is far stands at the edge
    assert "measured here" in fig.layout.xaxis.title.text
    names, beside = notes(fig)[:4], notes(fig)[4:]
    assert names == ["<b>good</b>", "grey", "good", "lost"]
    assert beside[0] == "<b>×1.10</b>  50 % · 9 MB"
    places = [(note.x, note.y) for note in fig.layout.annotations]
    assert places == [(side, row) for side in (0, 1) for row in range(4)]
    assert not fig.layout.yaxis.showticklabels  # the scale has the whole width
    assert [data[0] for data in dots.customdata] == ["b", "c", "a", "d"]
    assert dots.error_x.array == pytest.approx((0.1, 0, 0.2, 0))  # one has no end
    dark = charts.options_chart(table, in_hand="b", dark=True)
    assert dark.data[0].error_x.color == DARK.neutral


def points(values, criterion="llm-rank"):
    rows = [
        (criterion, s, v, v * 0.9, v * 1.2)
        for s, v in zip((0.3, 0.0, 0.1), values, strict=True)
    ]
    names = ["criterion", "sparsity", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def test_tradeoff_draws_curves_with_intervals_and_the_dense_line():
    both = pd.concat([points((49.0, 27.1, 31.3)), points((60.0, 27.1, 40.0), "l1")])
    fig = charts.tradeoff(both, metric="perplexity (WikiText-2)")
    (dense,), (curve,), (other,) = (traces(fig, n) for n in ("dense", "llm-rank", "l1"))
    assert (dense.x, dense.y) == ((0, 0.3), (27.1, 27.1))
    assert (curve.x, curve.y) == ((0, 0.1, 0.3), (27.1, 31.3, 49.0))
    assert curve.error_y.array == pytest.approx((5.42, 6.26, 9.8))
    assert curve.error_y.arrayminus == pytest.approx((2.71, 3.13, 4.9))
    assert curve.mode == "lines+markers"
    one = charts.tradeoff(points((49.0, 27.1, np.nan)))  # dense and one more: no line
    assert traces(one, "llm-rank")[0].mode == "markers"
    assert curve.marker.symbol != other.marker.symbol
    assert curve.line.dash != other.line.dash
    assert curve.line.color != other.line.color
    assert fig.layout.yaxis.title.text == "perplexity (WikiText-2)"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((49.0, 27.1, 31.3), None),
        ((796.0, 27.1, 57.9), "log"),
        ((0.02, 0.41, 0.3), None),  # accuracies stay linear
    ],
)
def test_tradeoff_is_logarithmic_over_more_than_a_decade(values, expected):
    assert charts.tradeoff(points(values)).layout.yaxis.type == expected


def test_tradeoff_leaves_out_what_was_not_measured():
    rows = points((49.0, 27.1, 31.3))
    rows.loc[0, "value"] = np.nan
    rows.loc[2, ["low", "high"]] = np.nan
    fig = charts.tradeoff(rows)
    (curve,) = traces(fig, "llm-rank")
    assert (curve.y, curve.error_y.array[1]) == ((27.1, 31.3), 0)
    assert curve.text[1] == "10 % removed, 31.3"
    assert "NaN" not in shown(fig)
    assert len(charts.tradeoff(rows.head(0)).data) == 0


def test_latency_puts_dense_left_and_neutral_and_says_the_measured_ratio():
    """The medians' ratio is 1.22, the rounds' was 1.18."""
    measured = Ratio(1.18, 1.1, 1.26, ideal=1.5, attainable=1.3, n_rounds=3)
    samples = ([60.0, 90.0, 61.0], [50.0, 49.0, 80.0])
    fig = charts.latency_chart(*samples, "ms", measured)
    dense, pruned = fig.data
    assert (dense.name, pruned.name) == ("dense (median 61)", "pruned (median 50)")
    assert dense.y == (60, 90, 61)
    assert dense.marker.color == LIGHT.neutral
    assert pruned.marker.color == LIGHT.accent
    assert fig.layout.title.text == (
        "×1.18 [1.10, 1.26] as fast as dense, paired by round"
    )
    assert not charts.latency_chart(*samples, "ms").layout.title.text


def test_tasks_stand_dense_beside_pruned_with_chance():
    rows = [
        ("piqa", "dense", 0.68, 0.01, 0.5),
        ("piqa", "pruned", 0.63, 0.02, 0.5),
        ("boolq", "dense", 0.6, np.nan, np.nan),
    ]
    names = ["task", "side", "acc", "stderr", "chance"]
    fig = charts.task_chart(pd.DataFrame(rows, columns=names))
    dense, pruned, chance = fig.data
    assert (dense.x, dense.y) == ((0, 1), (0.68, 0.6))
    assert (pruned.x, pruned.y) == ((0,), (0.63,))
    assert dense.error_y.array == (0.01, 0)
    assert chance.y == (0.5, 0.5, None)
    assert fig.layout.xaxis.ticktext == ("piqa", "boolq")
    assert "NaN" not in shown(fig)


# All of them


def every_chart(dark, name="llm-rank"):
    """Each chart once, of one layer of one neuron or little more."""
    one = (torch.ones(1),)
    keep = (torch.tensor([0]),)
    task = pd.DataFrame(
        [(name, "dense", 0.5, 0.1, 0.5)],
        columns=["task", "side", "acc", "stderr", "chance"],
    )
    names = (name, name)
    return [
        charts.score_heatmap(one, keep, dark=dark),
        charts.score_distribution(one[0], 1.0, layer=0, dark=dark),
        charts.distributions(one, [1.0], dark=dark),
        charts.rank_scatter(one, one, (keep, keep), names=names, dark=dark),
        charts.overlap_bars([None], names=names, dark=dark),
        charts.widths_chart([1], [1], dark=dark),
        charts.tradeoff(points((3.0, 2.0, 2.5), name), metric=name, dark=dark),
        charts.latency_chart([1.0], [1.0], name, dark=dark),
        charts.task_chart(task, dark=dark),
        charts.paired_chart([dataclasses.replace(PAIR, title=name)], dark=dark),
        charts.runs_chart(
            runs_table().assign(method=name), named=[name], chosen=["a"], dark=dark
        ),
        charts.options_chart(
            runs_table().assign(method=name, size="9 MB", here=True),
            in_hand="a",
            dark=dark,
        ),
    ]


@pytest.mark.parametrize(("dark", "colours"), [(False, LIGHT), (True, DARK)])
def test_every_chart_of_one_layer_of_one_neuron_is_in_its_theme(dark, colours):
    for fig in every_chart(dark):
        assert fig.layout.template.layout.paper_bgcolor == colours.background
        assert fig.layout.template.layout.font.color == colours.text
        assert fig.layout.height >= 100
        assert "NaN" not in shown(fig)
        other = LIGHT if dark else DARK
        assert other.accent not in shown(fig)


def test_no_name_reaches_a_chart_as_markup():
    assert plain(NASTY) == ESCAPED
    for fig in every_chart(False, NASTY):
        assert "<script" not in shown(fig)
    assert sum(ESCAPED in shown(fig) for fig in every_chart(False, NASTY)) == 8


def test_a_name_is_no_template_either():
    fig = charts.tradeoff(points((3.0, 2.0, 2.5), "%{x} of %{customdata}"))
    assert not any("of %{customdata}" in (t.hovertemplate or "") for t in fig.data)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_accent_contrast_with_the_background(dark):
    """WCAG 2.1: 4.5 for text (AA); 3 for graphical objects."""
    colours = DARK if dark else LIGHT
    assert contrast(colours.text, colours.background) >= 4.5
    for colour in (colours.accent, colours.neutral, *colours.series):
        assert contrast(colour, colours.background) >= 3


def contrast(first, second):
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_toolbar_saves_pictures_and_offers_no_upload():
    assert charts.CONFIG["toImageButtonOptions"]["format"] == "png"
    assert charts.SVG_CONFIG["toImageButtonOptions"]["format"] == "svg"
    for config in (charts.CONFIG, charts.SVG_CONFIG):
        assert config["showSendToCloud"] is False
        assert config["plotlyServerURL"] == ""


def a_standing(**changes) -> pd.DataFrame:
    rows = [
        ("wanda", 0.2, 100.0, 1.4, "on the frontier", "r1"),
        ("wanda", 0.5, 80.0, 4.0, "beaten", "r2"),
        ("random", 0.2, 100.0, 9.0, "beaten", "r5"),
        ("llm-rank", 0.2, 100.0, 1.9, "beaten", "r3"),
        ("llm-rank", 0.5, 80.0, 3.0, "cannot be told", "r4"),
    ]
    columns = ["method", "sparsity", "x", "y", "verdict", "run"]
    table = pd.DataFrame(rows, columns=columns).assign(seed=0, said="×1")
    for axis, half in (("x", 0.0), ("y", 0.1)):
        table[f"{axis}_low"] = table[axis] - half
        table[f"{axis}_high"] = table[axis] + half
    return table.assign(**changes)


def drawn_pareto(standings, **more):
    titles = ("parameters", "perplexity, × dense")
    named = more.pop("named", {"llm-rank": "in hand", "wanda": ""})
    return charts.pareto_chart(standings, named=named, titles=titles, **more)


def methods_drawn(fig):
    return {t.name: t for t in fig.data if t.customdata}


def test_a_verdict_is_a_size_a_filling_and_a_colour_and_who_is_named_has_intervals():
    fig = drawn_pareto(a_standing(), dense=(120.0, 1.0))
    looks = {
        run: (symbol.endswith("open"), size, t.marker.color)
        for t in methods_drawn(fig).values()
        for [run], symbol, size in zip(
            t.customdata, t.marker.symbol, t.marker.size, strict=True
        )
    }
    assert looks == {
        "r1": (False, 13, LIGHT.series[1]), "r2": (False, 6, LIGHT.series[1]),
        "r3": (False, 6, LIGHT.accent), "r4": (True, 11, LIGHT.accent),
        "r5": (False, 5, LIGHT.neutral),
    }  # fmt: skip
    drawn = methods_drawn(fig)
    assert drawn.pop("random").error_y.array is None
    for t in drawn.values():
        assert list(t.error_y.array) == pytest.approx([0.1] * len(t.x))
        assert list(t.error_x.array) == [0.0] * len(t.x)
    dense = next(t for t in fig.data if t.name == "dense")
    assert (dense.x[0], dense.y[0]) == (120.0, 1.0)
    assert dense.marker.color == LIGHT.neutral
    key = [t.name for t in fig.data if t.showlegend is not False]
    assert key == ["on the frontier", "cannot be told", "beaten"]
    assert dense.text == "dense"


def test_who_is_named_has_a_colour_a_symbol_and_a_label_by_what_it_is():
    fig = drawn_pareto(a_standing(), marked=(0.2, "r3"))
    drawn = methods_drawn(fig)
    assert [drawn[m].marker.symbol[0] for m in ("llm-rank", "wanda")] == [
        "circle", "square",
    ]  # fmt: skip
    said = set(notes(fig))
    assert {"in hand", "wanda"} <= said
    assert not {"random", "llm-rank"} & said
    [ring] = [t for t in fig.data if t.marker.size == 22]
    assert (ring.x, ring.y) == ((100.0,), (1.9,))


def test_what_is_ones_own_looks_alike_has_one_entry_and_hides_nothing():
    named = {"wanda": "", "llm-rank": YOURS, "random": YOURS}
    fig = drawn_pareto(a_standing(), named=named)
    drawn = methods_drawn(fig)
    assert [*drawn][-1] != "wanda"  # on top
    looks = {(drawn[m].marker.color, drawn[m].marker.symbol[0]) for m in named}
    assert looks == {
        (LIGHT.series[0], "circle"), (LIGHT.text, "diamond"),
    }  # fmt: skip
    assert [t.name for t in fig.data if t.showlegend is not False].count(YOURS) == 1
    labels = [n for n in fig.layout.annotations if n.showarrow is not False]
    assert [n.text for n in labels] == ["wanda"]
    assert labels[0].bgcolor is None
    assert fig.layout.xaxis.range[1] > 75  # nothing is beyond the least, 80


def test_the_more_is_removed_the_farther_to_the_right():
    for flipped in (a_standing(), a_standing().iloc[[0]]):  # one alone: beside dense
        high, low = drawn_pareto(flipped, dense=(120.0, 1.0)).layout.xaxis.range
        assert high > 120 > 100 > low
    low, high = drawn_pareto(a_standing(x=[1.0, 3.0, 1.0, 1.0, 3.0])).layout.xaxis.range
    assert low < 1 < 3 < high


def test_labels_leave_each_other_room():
    pile = a_standing(method=list("abcde"), y=[2.0, 2.01, 2.02, 2.03, 4.0])
    fig = drawn_pareto(pile, named=dict.fromkeys("abcde", ""))
    low, high = fig.layout.yaxis.range
    places = sorted(
        (n.y - low) / (high - low) * 320 - n.ay
        for n in fig.layout.annotations if n.showarrow is not False
    )  # fmt: skip
    assert len(places) == 5
    assert min(b - a for a, b in itertools.pairwise(places)) >= 14.9


def listed(**changes):
    here = a_standing(**changes).query("sparsity == 0.2").sort_values("y")
    return charts.standings_chart(
        here, named={"llm-rank": "in hand", "random": "the paper's"},
        title="perplexity", held="r1",
    )  # fmt: skip


def test_the_list_has_every_method_of_a_sparsity_whole_and_the_best_on_top():
    fig = listed()
    points, ring = fig.data
    assert [run for [run] in points.customdata] == ["r1", "r3", "r5"]
    assert fig.layout.yaxis.range[0] > fig.layout.yaxis.range[1]  # downwards
    assert (ring.x, ring.y) == ((1.4,), (0,))
    assert notes(fig) == [
        "wanda", "llm-rank", "random",
        "<b>×1</b> on the frontier", "<b>×1</b> in hand", "<b>×1</b> the paper's",
    ]  # fmt: skip
    assert list(points.error_x.array) == pytest.approx([0.1, 0.1, 0])  # 9.0 is far
    low, high = listed(y_low=1.0, y_high=20.0).layout.xaxis.range
    assert low < 0 < math.log10(20) < high  # the whiskers too
    assert len(listed(y_high=float("inf")).data[0].x) == 3


def test_who_is_far_behind_stands_at_the_lists_edge_without_an_interval():
    points, _ = listed(y=[1.4, 4.0, 90.0, 1.9, 3.0]).data
    assert points.x == (1.4, 1.9, 2.0)  # where the last interval ends
    assert points.marker.symbol[2] == "triangle-right"
    assert points.error_x.array[2] == 0


def test_a_column_says_its_sparsity_and_the_one_in_hand_is_marked():
    fig = drawn_pareto(a_standing(), marked=(0.5, None))
    assert {"50 % removed", "20 %"} <= set(notes(fig))
    [line] = fig.layout.shapes
    assert line.x0 == 80.0
    scattered = drawn_pareto(a_standing(x=[100.0, 80.0, 120.0, 90.0, 60.0]))
    assert not {"50 %", "20 %"} & set(notes(scattered))


def test_pareto_of_a_wide_range_is_logarithmic_and_of_shares_is_not():
    wide = drawn_pareto(a_standing(y=[1.4, 400.0, 1.9, 3.0, 3.0]))
    assert wide.layout.yaxis.type == "log"
    low, high = wide.layout.yaxis.range
    assert low < math.log10(1.4)
    assert math.log10(3) < high < 1
    said = "a double-click shows or hides 1 point far above"
    assert said in wide.layout.xaxis.title.text
    far = drawn_pareto(a_standing(y=[1.4, 400.0, 500.0, 600.0, 600.0]))
    assert far.layout.yaxis.range[1] > math.log10(600)
    assert "double-click" not in far.layout.xaxis.title.text
    shares = drawn_pareto(a_standing(y=[0.01, 0.4, 0.5, 0.6, 0.6]))
    assert shares.layout.yaxis.type == "linear"


def test_pareto_leaves_out_an_interval_without_ends():
    fig = drawn_pareto(a_standing(y_high=float("inf"), y_low=float("-inf")))
    points = methods_drawn(fig).values()
    assert {bar for t in points for bar in t.error_y.array or ()} == {0.0}


def test_pareto_of_nothing_is_an_empty_chart():
    fig = drawn_pareto(a_standing().iloc[:0], dense=(120.0, 1.0))
    assert [t.name for t in fig.data] == ["dense"]


def test_one_point_alone_is_drawn_in_the_middle():
    fig = drawn_pareto(a_standing().iloc[:1])
    low, high = fig.layout.yaxis.range
    assert low < 1.4 < high


def test_correlations_are_drawn_from_minus_one_to_one_with_their_values():
    square = [[1.0, -0.25], [-0.25, 1.0]]
    table = pd.DataFrame(square, index=["a", "<b>"], columns=["a", "<b>"])
    fig = charts.correlation_map(table, dark=True)
    [heat] = fig.data
    assert (heat.zmin, heat.zmax) == (-1, 1)
    assert heat.text[0][1] == "-0.25"
    assert list(fig.layout.xaxis.ticktext) == ["a", "&lt;b&gt;"]


def test_a_correlation_that_is_not_defined_has_no_value():
    table = pd.DataFrame([[1.0, float("nan")], [float("nan"), 1.0]], ["a", "b"])
    assert charts.correlation_map(table).data[0].text[0][1] == ""


def test_the_cost_map_places_a_plan_between_the_shares_it_was_measured_at():
    """Rows are numbers with names: a name like 20 % alone would be read as 20."""
    costs = Sensitivity((0.0, 0.2, 0.4, 0.55, 0.7), torch.rand(3, 5) + 0.1, 64)
    fig = charts.cost_map(costs, (80, 70, 30), (100, 100, 100))
    heat, plan = fig.data
    assert list(heat.y) == list(fig.layout.yaxis.tickvals) == [0, 1, 2, 3]
    assert list(fig.layout.yaxis.ticktext) == ["20 %", "40 %", "55 %", "70 %"]
    assert list(plan.y) == pytest.approx([0.0, 0.5, 3.0])
    assert heat.customdata[3][1][0] == pytest.approx(float(costs.costs[1, 4]))
    assert heat.customdata[3][1][1] == "70 %"
