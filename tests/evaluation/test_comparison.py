"""Dense beside pruned, measured by one loop: what is asked for, and nothing twice."""

import pytest
import torch

from llmrank.core.errors import LLMRankError
from llmrank.evaluation import comparison
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.evaluation.comparison import MEASURES, Measures, beside, compare
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.models import ffn

pytestmark = pytest.mark.usefixtures("estimated_memory")

MEASURING = ("in_turn", "evaluate_task", "measure", "peak_memory")


@pytest.fixture
def pair(tiny):
    scores = Scores(tuple(f.up.norm(dim=1) for f in ffn.ffns(tiny.model)))
    return tiny, prune(tiny, plan(scores, PruningSpec(sparsity=0.5)))


@pytest.fixture
def asked(tiny_text):
    return Measures(
        EvaluationSpec(eval_text=str(tiny_text), eval_tokens=1024),
        TaskSpec(tasks="piqa", items=4),
        BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=2),
    )


def parts(found):
    """List all that a comparison holds beside the sizes."""
    for side in (found.dense, found.pruned):
        yield from (side.text, *side.tasks, side.latency, side.memory)
    yield found.speedup


def forbid(monkeypatch, *names):
    def measuring(*_, **__):
        raise LLMRankError("measured again")

    for name in names:
        monkeypatch.setattr(comparison, name, measuring)


def test_what_is_known_is_not_measured_again(pair, asked, monkeypatch):
    found = compare(*pair, asked)
    assert all(part is not None for part in parts(found))
    forbid(monkeypatch, *MEASURING)
    again = compare(*pair, asked, known=found)
    assert all(a is b for a, b in zip(parts(again), parts(found), strict=True))
    with pytest.raises(LLMRankError, match="measured again"):
        compare(*pair, asked)


@pytest.mark.parametrize("name", MEASURES)
def test_one_measure_is_taken_alone(pair, asked, monkeypatch, name):
    needed = dict(zip(MEASURES, MEASURING, strict=True))[name]
    forbid(monkeypatch, *(other for other in MEASURING if other != needed))
    alone = Measures(asked.evaluation, asked.tasks, asked.benchmark, which=(name,))
    shown = []
    found = compare(*pair, alone, publish=shown.append)
    there = {
        "text": found.dense.text and found.pruned.text,
        "tasks": found.dense.tasks and found.pruned.tasks,
        "latency": found.dense.latency and found.pruned.latency and found.speedup,
        "memory": found.dense.memory and found.pruned.memory,
    }
    assert [m for m in MEASURES if there[m]] == [name]
    assert shown[0] == beside(*pair)
    assert shown[-1] is found


def test_both_models_are_read_in_turn_and_the_ratio_grows_with_them(pair, asked):
    shown, told = [], []
    alone = Measures(asked.evaluation, which=("text",))
    whole = compare(
        *pair, alone, publish=shown.append, progress=lambda *step: told.append(step)
    )
    ratios = [c.perplexity_ratio for c in shown if c.perplexity_ratio is not None]
    n_windows = len(whole.dense.text.nll)
    assert n_windows > 1
    assert [r.n_windows for r in ratios[::2]] == list(range(1, n_windows + 1))
    done = [step[1] / step[2] for step in told]
    assert done == sorted(done)
    assert done[-1] == 1
    for side, lm in (("dense", pair[0]), ("pruned", pair[1])):
        text = getattr(whole, side).text
        assert torch.equal(text.nll, evaluate(lm, asked.evaluation).nll)
