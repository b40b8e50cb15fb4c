"""The backward pass against plain autograd, and what it leaves behind."""

import copy

import psutil
import pytest
import torch
from conftest import tiny_model

from llmrank.calibration.activations import CalibrationSpec, drawn
from llmrank.calibration.gradients import (
    differentiate,
    gradient_bytes,
    measure,
    needed_bytes,
)
from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

FAMILIES = ("llama", "gpt2", "opt", "gpt_neox", "gemma2")
WINDOWS = torch.randint(0, 257, (3, 20), generator=torch.Generator().manual_seed(7))


def plainly(lm, windows=WINDOWS):
    """A copy with `requires_grad`, `.backward()` per sample, the model's own loss.

    Returns, per layer and projection, the weights and each sample's gradient with one
    row per neuron, in float64.
    """
    model = copy.deepcopy(lm.model)
    layers = ffn.projections(model)
    parts = [
        {n: getattr(p, n) for n in ("gate", "up", "down") if getattr(p, n) is not None}
        for p in layers
    ]
    for part in parts:
        for module in part.values():
            module.weight.requires_grad_()
    found = [{name: [] for name in part} for part in parts]
    for ids in windows:
        model.zero_grad()
        model(ids[None], labels=ids[None]).loss.backward()
        for part, samples in zip(parts, found, strict=True):
            for name, module in part.items():
                samples[name].append(by_neuron(name, module, module.weight.grad))
    return [
        {n: (by_neuron(n, part[n], part[n].weight), torch.stack(g[n])) for n in part}
        for part, g in zip(parts, found, strict=True)
    ]


def by_neuron(name, module, tensor):
    rows = tensor.T if type(module).__name__ == "Conv1D" else tensor
    return (rows.T if name == "down" else rows).detach().double().clone()


def close(found, expected):
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_sum_is_that_of_plain_autograd(family):
    lm = tiny_model(family)
    (layers,) = measure(lm, WINDOWS)
    for ours, theirs in zip(layers, plainly(lm), strict=True):
        assert (ours.gate is None) == ("gate" not in theirs)
        assert len(ours.members) == len(theirs)
        for name, (w, g) in theirs.items():
            member, total = getattr(ours, name), g.sum(0)
            close(member.change, (total * w).sum(1))
            close(member.curvature, (g * w).sum(2).square().sum(0))
            close(member.element_change, (total * w).abs().sum(1))
            quadratic = (g * w).square().sum(0) / 2
            close(member.element_second, (total * w - quadratic).abs().sum(1))
            close(member.scaled_norm, (w.abs() * g.norm(dim=0)).sum(1))


def test_a_gated_neurons_row_of_up_and_column_of_down_change_the_loss_alike(tiny):
    """Both scale the same product: Σ g w is the derivative of that scale."""
    for layer in measure(tiny, WINDOWS)[0]:
        torch.testing.assert_close(layer.up.change, layer.down.change)
        torch.testing.assert_close(layer.up.curvature, layer.down.curvature)
        assert not torch.allclose(layer.gate.change, layer.up.change)


def test_the_change_is_the_slope_of_the_loss_along_a_neurons_scale(tiny):
    """By differences: the third neuron's output times 1 ± 1 %."""
    slope = float(measure(tiny, WINDOWS)[0][1].down.change[2])
    losses = []
    for scale in (1.01, 0.99):
        model = copy.deepcopy(tiny.model).double()
        ffn.projections(model)[1].down.weight.data[:, 2] *= scale
        losses += [sum(float(model(w[None], labels=w[None]).loss) for w in WINDOWS)]
    assert slope == pytest.approx((losses[0] - losses[1]) / 0.02, rel=5e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_nothing_is_left_on_the_shared_weights(family):
    lm = tiny_model(family)
    before = {n: p.clone() for n, p in lm.model.state_dict().items()}
    with torch.no_grad():  # whatever the caller has switched off
        measure(lm, WINDOWS)
    for parameter in lm.model.parameters():
        assert parameter.grad is None
        assert not parameter.requires_grad
    for module in lm.model.modules():
        assert not module._forward_hooks
    for name, value in lm.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_results_after_some_windows_are_those_of_these_windows(tiny):
    one, three = measure(tiny, WINDOWS, ends=(1, 3))
    for found, windows in ((one, WINDOWS[:1]), (three, WINDOWS)):
        for ours, theirs in zip(found, measure(tiny, windows)[0], strict=True):
            for a, b in zip(ours.members, theirs.members, strict=True):
                assert torch.equal(a.element_change, b.element_change)


def test_half_precision_comes_close(tiny):
    """In bfloat16 to a few per cent; sums are float32 in any case."""
    half = LanguageModel(tiny.spec, copy.deepcopy(tiny.model).bfloat16(), None)
    for ours, theirs in zip(
        measure(half, WINDOWS)[0], measure(tiny, WINDOWS)[0], strict=True
    ):
        assert ours.down.element_change.dtype == torch.float32
        a, b = ours.down.element_change, theirs.down.element_change
        assert float((a - b).norm() / b.norm()) < 0.1


def test_it_says_on_what_it_was_measured(tiny, tiny_text):
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=3, seq_len=20)
    found = differentiate(tiny, spec)
    source, windows = drawn(tiny, spec)
    assert (found.n_samples, found.text_sha256) == (3, source.sha256)
    for ours, theirs in zip(found.layers, measure(tiny, windows)[0], strict=True):
        assert torch.equal(ours.up.scaled_norm, theirs.up.scaled_norm)


# Refusals


@pytest.mark.parametrize("layer", [0, 1])
def test_gradients_that_overflow_name_their_layer(layer):
    """Forwards all is finite: 1e-30 times 1e30; backwards the product is infinite."""
    lm = tiny_model()
    p = ffn.projections(lm.model)[layer]
    p.down.weight.data *= 1e30
    p.up.weight.data *= 1e-30
    lm.model.lm_head.weight.data *= 1e12
    with pytest.raises(LLMRankError) as caught:
        measure(lm, WINDOWS)
    assert str(caught.value).startswith(f"gradients of layer {layer} are not finite;")
    assert str(caught.value).endswith("use float32, or check its weights")


def test_too_little_memory_is_said_before_any_work(tiny, monkeypatch):
    class Memory:
        available = needed_bytes(tiny, 20) - 1

    told = []
    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    with pytest.raises(LLMRankError) as caught:
        measure(tiny, WINDOWS, progress=lambda *step: told.append(step))
    assert told == []
    assert str(caught.value) == (
        "the gradients of tiny-llama need about 0.00 GB beside the model, and 0.00 GB "
        "are free; choose a criterion without gradients, a smaller model or a smaller "
        "seq_len"
    )
    Memory.available += 1
    measure(tiny, WINDOWS)


def test_the_estimate_counts_sums_activations_and_logits():
    """By hand: 3 matrices of 16 x 24, two layers twice and one more; 10 tokens."""
    found = gradient_bytes(
        d_model=16, widths=(24, 24), d_vocab=100, seq_len=10, itemsize=2
    )
    sums = 4 * 3 * 16 * 24 * (2 * 2 + 1)
    kept = 2 * 10 * 2 * (6 * 24 + 16 * 16)
    assert found == sums + kept + 5 * 4 * 10 * 100


def test_progress_is_told_per_window_and_may_stop_it(tiny):
    told = []
    measure(tiny, WINDOWS, progress=lambda *step: told.append(step))
    assert told == [("Taking gradients", done, 3) for done in range(4)]

    def stop(_, done, __):
        if done:
            raise CancelledError

    with pytest.raises(CancelledError):
        measure(tiny, WINDOWS, progress=stop)


@pytest.mark.slow
def test_of_the_demo_model_the_estimate_bounds_the_memory_taken():
    """Measured in a process of its own, whose peak is read from the kernel."""
    import json
    import subprocess
    import sys

    code = (
        "import json, torch\n"
        "from llmrank import load, ModelSpec\n"
        "from llmrank.calibration import gradients\n"
        "def kb(name):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return int(next(l.split()[1] for l in lines if l.startswith(name)))\n"
        "lm = load(ModelSpec(device='cpu'))\n"
        "windows = torch.randint(0, 40000, (2, 256))\n"
        "lm.model(windows[:1])\n"
        "before = kb('VmRSS')\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "gradients.measure(lm, windows)\n"
        "taken = 1024 * (kb('VmHWM') - before)\n"
        "print(json.dumps([taken, gradients.needed_bytes(lm, 256)]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    taken, estimated = json.loads(ran.stdout)
    assert taken < estimated < 2 * taken
