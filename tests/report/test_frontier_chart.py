"""The landing page's two pictures: the frontier, and the layers in small."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from math import log10

import pytest

from llmrank.core.statistics import Estimate
from llmrank.report.charts import frontier_chart, layer_strips
from llmrank.report.charts.frontier import PER_DECADE

CURVES = {
    "good": [
        (0.1, Estimate(1.1, 1.0, 1.2, 4), "a"),
        (0.3, Estimate(2.0, 1.8, 2.2, 4), "b"),
    ],
    "grey": [(0.1, Estimate(1.5, 1.4, 1.6, 4), "c")],
    "lost": [(0.1, Estimate(900.0, 800.0, 999.0, 4), "d")],
}
SIZES = {0.0: 500.0, 0.1: 480.0, 0.3: 440.0}


HERE = (0.3, 2.0, Estimate(2.0, 1.8, 2.2, 4))


def drawn(here=HERE, **more):
    return frontier_chart(CURVES, named=["good", "lost"], here=here, **more)


def notes(fig):
    return [a.text for a in fig.layout.annotations]


def test_each_method_is_a_line_from_the_dense_model_and_names_its_runs():
    lines = {t.name: t for t in drawn().data}
    assert set(lines) == {"good", "grey", "lost", "you are here"}
    assert list(lines["good"].x) == [0.0, 0.1, 0.3]
    assert list(lines["good"].y) == [1.0, 1.1, 2.0]
    assert list(lines["good"].customdata) == ["", "a", "b"]
    assert lines["good"].error_y.array[2] == pytest.approx(0.2)
    assert lines["grey"].error_y.array is None


def test_only_lines_within_the_picture_are_named():
    assert notes(drawn()) == ["good", "<b>you are here: ×2.00</b>"]


def test_a_name_that_goes_on_from_another_says_only_the_rest():
    point = [(0.3, Estimate(1.5, 1.4, 1.6, 4), "e")]
    curves = CURVES | {"good + distil": point, "good + distil + more": point}
    curves |= {"goodness": point}
    fig = frontier_chart(curves, named=[*curves], here=None)
    assert sorted(notes(fig)) == ["+ distil", "+ more", "good", "goodness", "grey"]


@pytest.mark.parametrize(
    ("here", "symbol", "said"),
    [
        (HERE, "diamond", "you are here: ×2.00"),
        ((0.2, 1.5, None), "diamond-open", "you are here: about ×1.50"),
        ((0.2, None, None), "diamond-open", "you are here: not measured"),
    ],
)
def test_the_marker_is_filled_only_where_the_settings_were_measured(here, symbol, said):
    fig = drawn(here)
    assert fig.data[-1].marker.symbol == symbol
    assert fig.data[-1].y == (here[1],)  # nothing where no height is known
    assert notes(fig)[-1] == f"<b>{said}</b>"
    bars = fig.data[-1].error_y.array
    assert bars == (None if here[2] is None else (pytest.approx(0.2),))
    assert fig.layout.annotations[-1].y == log10(here[1] or 12)


def test_settings_that_stand_nowhere_have_no_marker():
    assert "you are here" not in [t.name for t in drawn(None).data]


def test_sizes_stand_under_what_is_removed():
    axis = drawn(megabytes=SIZES).layout.xaxis
    assert list(axis.ticktext) == [
        "0 %<br>500 MB", "10 %<br>480 MB", "30 %<br>440 MB",
    ]  # fmt: skip
    assert list(drawn().layout.xaxis.ticktext) == ["10 %", "30 %"]


def rectangles(svg):
    return [e for e in ET.fromstring(svg).iter() if e.tag.endswith("rect")][1:]


def test_a_bar_a_layer_what_is_removed_stands_above_what_is_kept():
    svg = layer_strips((100, 50), (60, 50), width=80, height=40, dark=False)
    removed, kept, none, whole = rectangles(svg)
    assert [float(r.get("height")) for r in (removed, kept)] == [16, 24]
    assert [float(r.get("height")) for r in (none, whole)] == [0, 20]
    assert "110 kept" in svg


def test_what_is_not_known_yet_is_faint():
    svg = layer_strips((100, 50), None, width=80, height=40, dark=True)
    assert {r.get("opacity") for r in rectangles(svg)[1::2]} == {"0.35"}
    assert "not known yet" in svg


def test_names_at_one_end_do_not_touch():
    near = {
        f"a method of a long name {n}": [(0.5, Estimate(2 + n / 100, 1.9, 2.2, 8), "r")]
        for n in range(3)
    }
    fig = frontier_chart(near, named=list(near), here=None)
    boxes = sorted(
        (log10_pixels(a.y) + a.yshift, a.text.count("<br>") + 1)
        for a in fig.layout.annotations
        if "method" in a.text
    )
    assert len(boxes) == 3
    for (low, n_low), (high, n_high) in pairwise(boxes):
        assert high - low >= 15 * (n_low + n_high) / 2 - 1e-6


def log10_pixels(y):
    return y * PER_DECADE
