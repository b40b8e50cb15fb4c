"""Results in a notebook: the same numbers as on the pages, and nothing from outside."""

import re

import pytest
import torch

from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import footprint
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.models import ffn
from llmrank.report import notebook
from llmrank.report.tables.comparison import Cell, Line, lines


@pytest.fixture
def scores(tiny):
    return Scores(tuple(f.up.norm(dim=1) for f in ffn.ffns(tiny.model)))


def cells(html):
    return re.findall("<td>(.*?)</td>", html)


def test_a_comparison_shows_the_lines_of_the_compare_page(tiny, scores):
    pruned = prune(tiny, plan(scores, PruningSpec(sparsity=0.5)))
    found = Comparison(Side(footprint(tiny)), Side(footprint(pruned)), None)
    shown = found._repr_html_()
    for line in lines(found):
        for text in (line.name, line.dense.value, line.pruned.value, line.change.value):
            assert text in shown
    assert "Smaller" in shown


def test_a_plan_shows_what_stays_of_each_layer(scores):
    shown = plan(scores, PruningSpec(sparsity=0.5))._repr_html_()
    assert cells(shown) == ["0", "12", "24", "50 %", "1", "12", "24", "50 %"]
    assert "50 % of 48 neurons removed." in shown


def test_scores_show_how_they_are_spread():
    shown = Scores((torch.tensor([1.0] * 9 + [11.0]), torch.ones(4)))._repr_html_()
    assert cells(shown)[:6] == [
        "0",
        "10",
        "3.08",
        "0.500",
        "0.500",
        "3.25",
    ]  # 20² / (9 + 11²)
    assert cells(shown)[6:8] == ["1", "4"]


def test_what_a_model_calls_itself_is_text_in_a_notebook(monkeypatch, tiny):
    hostile = Line("<img src=x>", Cell("<b>", "&"), Cell(), Cell())
    monkeypatch.setattr(notebook, "lines", lambda _: (hostile,))
    found = Comparison(Side(footprint(tiny)), Side(footprint(tiny)), None)
    shown = found._repr_html_()
    assert "&lt;img src=x&gt;" in shown
    assert "<img" not in shown


def test_of_other_things_nothing_is_drawn():
    with pytest.raises(TypeError, match="nothing is drawn of a int"):
        notebook.html(1)
