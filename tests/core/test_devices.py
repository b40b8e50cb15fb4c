"""Everything that computes, on a second device: the numbers of the CPU, none mixed."""

import dataclasses
import sys

import pretend
import pytest
import torch

from llmrank.analysis.neuron import Neuron, activations, edges, paths, promoted
from llmrank.calibration import divergence as nearness
from llmrank.calibration import gradients, second_moments
from llmrank.calibration.activations import (
    ActivationStats,
    CalibrationSpec,
    calibrate_parts,
    measure,
)
from llmrank.calibration.gradients import Gradients
from llmrank.calibration.second_moments import moments
from llmrank.core import devices
from llmrank.core.devices import free_bytes, with_doubles
from llmrank.core.progress import silent
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.generation import continuation
from llmrank.evaluation.latency import latency
from llmrank.evaluation.likelihood import log_likelihoods
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.methods.criteria import CRITERIA, criterion, score
from llmrank.methods.graph import graphs
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.methods.repair import REPAIRS, RepairInputs, repair
from llmrank.methods.response_planes import planes
from llmrank.methods.sorted_model import prefix, sort_neurons
from llmrank.models.ffn import ffns

DRAWN = torch.Generator().manual_seed(0)
WINDOWS = torch.randint(257, (9, 32), generator=DRAWN)
OTHERS = WINDOWS.flip(0) // 2
READ = CalibrationSpec(calibration_text=__file__, samples=4, seq_len=32)
TEXT = EvaluationSpec(eval_text=__file__, eval_tokens=1024)
VARIANTS = (
    *((name, {}) for name in CRITERIA),
    ("llm-rank", {"graph": "chained"}),
    ("llm-rank", {"variant": "modified"}),
    ("reverse-rank", {"graph": "chained"}),
    ("reverse-rank", {"direction": "both"}),
    ("reverse-rank", {"direction": "both", "graph": "chained"}),
    ("taylor", {"granularity": "vector", "taylor_order": "second"}),
    ("cfsp", {"relative_to": "neuron"}),
    ("l1", {"weights": "all"}),
)


def stats(lm, windows=WINDOWS):
    return ActivationStats(measure(lm, windows), windows.numel(), "", "")


def scores(lm, name="wanda", **fields):
    by, known = criterion(name, **fields), {}
    if "gradients" in by.needs:
        slopes = gradients.measure(lm, WINDOWS[:3])[0]
        known["gradients"] = Gradients(slopes, 3, "", "")
    if "second text" in by.needs:
        known["second"] = stats(lm, OTHERS)
    return score(lm, stats(lm), by, **known)


def chosen(lm):
    return plan(scores(lm), PruningSpec(sparsity=0.3))


def logits(lm):
    return lm.model(WINDOWS[:2].to(lm.device)).logits.detach().cpu()


def repaired(lm, name):
    inputs = RepairInputs(lm, scores(lm), stats(lm), WINDOWS)
    return logits(repair(name).cutter(inputs)(chosen(lm), silent))


def read_on_chained_planes(lm):
    made = planes(graphs(ffns(lm.model), stats(lm)), graph="chained", site="neuron")
    return made.scores(0.3, 0.7)


def divergence(lm):
    reads = nearness.read(lm, WINDOWS[:3])
    return [nearness.divergence(prune(lm, chosen(lm)), reads, first_changed=1)]


def timed(lm):
    spec = BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=2)
    return [len(one.decode.samples_ms) for one in latency((lm, lm), spec)]


WORK = {
    "calibration": lambda lm: measure(lm, WINDOWS),
    "parts of a calibration": lambda lm: calibrate_parts(lm, READ, [1, 3]),
    "gradients": lambda lm: gradients.measure(lm, WINDOWS[:3]),
    "second moments": lambda lm: [list(moments(lm, WINDOWS, at_once=2))],
    "chained planes": read_on_chained_planes,
    "cut": lambda lm: logits(prune(lm, chosen(lm))),
    "prefix": lambda lm: logits(prefix(sort_neurons(lm, scores(lm)), chosen(lm))),
    "divergence": divergence,
    "evaluation": lambda lm: evaluate(lm, TEXT),
    "timing": timed,
    "continuation": lambda lm: [*map(ord, continuation(lm, "The river", new_tokens=4))],
    "log-likelihoods": lambda lm: log_likelihoods(lm, [("a b", " c"), ("a b", " de")]),
    "edges": lambda lm: edges(lm, Neuron(1, 3), 4),
    "promoted tokens": lambda lm: promoted(lm, Neuron(0, 3), 4),
    "activations": lambda lm: activations(lm, WINDOWS, [Neuron(0, 3), Neuron(1, 2)]),
    "paths": lambda lm: paths(ffns(lm.model), {0: torch.arange(3)}),
    **{
        f"{name} {fields}": lambda lm, n=name, f=fields: scores(lm, n, **f)
        for name, fields in VARIANTS
    },
    **{f"repair {name}": lambda lm, n=name: repaired(lm, n) for name in REPAIRS},
}


def values(found):
    """List the numbers in a result, in order."""
    if isinstance(found, torch.Tensor):
        return [float(x) for x in found.detach().cpu().flatten()]
    if dataclasses.is_dataclass(found):
        return values([getattr(found, f.name) for f in dataclasses.fields(found)])
    if isinstance(found, list | tuple):
        return [x for one in found for x in values(one)]
    return [] if isinstance(found, str) else [found]


@pytest.mark.parametrize("doubles", [True, False], ids=["cuda-like", "mps-like"])
@pytest.mark.parametrize("work", WORK)
def test_a_second_device_gives_the_numbers_of_the_cpu(tiny, work, doubles, monkeypatch):
    ours = values(WORK[work](tiny))
    if not doubles:
        monkeypatch.setattr(devices, "WITHOUT_DOUBLES", ["meta"])
    with pretend.Elsewhere(doubles=doubles):
        theirs = values(WORK[work](pretend.moved(tiny)))
    assert theirs == pytest.approx(ours, rel=2e-4, abs=2e-5)


@pytest.mark.parametrize("works", ["a + 1", "a * number", "a[kept]", "a.cpu() + b"])
def test_the_second_device_takes_what_cuda_takes(works):
    with pretend.Elsewhere():
        b = torch.arange(4.0)
        a, number, kept = b.to(pretend.DEVICE), torch.tensor(2.0), torch.tensor([0, 2])
        known = {"a": a, "b": b, "number": number, "kept": kept}
        assert torch.isfinite(eval(works, known).cpu()).all()


@pytest.mark.parametrize(
    "fails", ["a + b", "b[index]", "a.index_select(0, kept)", "a.double()", "a.numpy()"]
)
def test_the_second_device_refuses_what_mps_refuses(fails):
    with pretend.Elsewhere(doubles=False):
        b, kept = torch.arange(4.0), torch.tensor([0, 2])
        a, index = b.to(pretend.DEVICE), kept.to(pretend.DEVICE)
        with pytest.raises((RuntimeError, TypeError)):
            eval(fails, {"a": a, "b": b, "index": index, "kept": kept})


def test_the_second_device_refuses_to_draw_with_the_cpu_s_generator():
    with pretend.Elsewhere(), pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device=pretend.DEVICE, generator=torch.Generator())


def test_second_moments_ask_the_memory_of_the_model_s_device(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(
        second_moments, "free_bytes", lambda device: asked.append(device.type) or 10**9
    )
    with pretend.Elsewhere():
        other = pretend.moved(tiny)
        assert second_moments.has_room(other)
        list(moments(other, WINDOWS[:1]))
    assert asked == ["meta", "meta"]


def test_where_free_memory_cannot_be_asked_layers_are_read_one_at_a_time(
    tiny, monkeypatch
):
    """As on a machine with torch and transformers alone."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert free_bytes(torch.device("cpu")) is None
    told = []
    list(moments(tiny, WINDOWS[:1], progress=lambda *step: told.append(step)))
    assert told[-1] == ("Reading second moments", 2, 2)
    assert not second_moments.has_room(tiny)


def test_doubles_are_taken_where_they_are(monkeypatch):
    with pretend.Elsewhere():
        x = torch.ones(2).to(pretend.DEVICE)
        assert with_doubles(x) is x
        monkeypatch.setattr(devices, "WITHOUT_DOUBLES", ["meta"])
        assert with_doubles(x).device.type == "cpu"
