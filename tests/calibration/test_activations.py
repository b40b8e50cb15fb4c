"""Streaming statistics against one big pass, and activations that are no numbers."""

import copy

import pytest
import torch
from conftest import tiny_model

from llmrank.calibration import activations
from llmrank.calibration.activations import (
    BATCH_TOKENS,
    CalibrationSpec,
    calibrate,
    measure,
)
from llmrank.calibration.gradients import differentiate
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.methods.criteria import CRITERIA, score
from llmrank.methods.pruning import PruningSpec, plan
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

NAMES = (
    "input_norm", "up_norm", "neuron_norm", "neuron_mean", "neuron_abs_mean",
    "output_norm",
)  # fmt: skip


@pytest.fixture(scope="module")
def windows():
    return torch.randint(0, 257, (7, 40), generator=torch.Generator().manual_seed(4))


def naive(lm, windows):
    """One big pass in float64 by a copy of the model; every activation is kept."""
    model = copy.deepcopy(lm.model)
    kept = [{} for _ in ffn.projections(model)]
    for seen, p in zip(kept, ffn.projections(model), strict=True):
        p.up.register_forward_hook(
            lambda _, x, y, seen=seen: seen.update(input=x[0], up=y)
        )
        p.down.register_forward_hook(
            lambda _, x, y, seen=seen: seen.update(neuron=x[0], output=y)
        )
    model(windows)
    flat = [{n: t.flatten(0, -2).double() for n, t in seen.items()} for seen in kept]
    return [
        {
            **{f"{n}_norm": torch.linalg.vector_norm(t, dim=0) for n, t in s.items()},
            "neuron_mean": s["neuron"].mean(0),
            "neuron_abs_mean": s["neuron"].abs().mean(0),
        }
        for s in flat
    ]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt", "gpt_neox", "gemma2"])
@pytest.mark.parametrize("batch", [1, 3, None])
def test_streaming_equals_one_big_pass(windows, model_type, batch):
    lm = tiny_model(model_type)
    layers = measure(lm, windows, batch=batch)
    expected = naive(lm, windows)
    assert len(layers) == len(expected) == 2
    for ours, theirs in zip(layers, expected, strict=True):
        for name in NAMES:
            found = getattr(ours, name)
            assert found.dtype == torch.float32
            scale = float(theirs[name].abs().max())
            torch.testing.assert_close(
                found.double(), theirs[name], rtol=1e-5, atol=1e-5 * scale
            )


def test_a_gated_neurons_signal_is_the_product_of_gate_and_up(tiny, windows):
    """By hand: the first layer's FFN input, through the views of its weights."""
    model = copy.deepcopy(tiny.model)
    seen = []
    model.model.layers[0].mlp.register_forward_hook(lambda *io: seen.append(io[1][0]))
    model(windows)
    x, view = seen[0].flatten(0, 1), ffn.ffns(tiny.model)[0]
    signal = torch.nn.functional.silu(x @ view.gate.T) * (x @ view.up.T)
    stats = measure(tiny, windows)[0]
    torch.testing.assert_close(stats.neuron_norm, signal.norm(dim=0))
    torch.testing.assert_close(stats.up_norm, (x @ view.up.T).norm(dim=0))
    torch.testing.assert_close(stats.output_norm, (signal @ view.down.T).norm(dim=0))


def test_half_precision_is_summed_in_full(windows):
    """A norm above 256 is a sum of squares that float16 (65,504 at most) has not."""
    lm = tiny_model()
    half = LanguageModel(lm.spec, copy.deepcopy(lm.model).half(), lm.tokenizer)
    for p in ffn.projections(half.model):
        p.up.weight.data *= 20
    stats = measure(half, windows)
    assert max(float(s.up_norm.max()) for s in stats) > 256
    assert all(getattr(s, name).isfinite().all() for s in stats for name in NAMES)


def test_windows_do_not_see_each_other(tiny, windows):
    together, apart = measure(tiny, windows, batch=7), measure(tiny, windows.flip(0))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a.neuron_norm, b.neuron_norm)


def test_norms_of_two_halves_add_in_squares(tiny, windows):
    whole = measure(tiny, windows)[1].neuron_norm
    first, second = (measure(tiny, w)[1].neuron_norm for w in windows.split([3, 4]))
    torch.testing.assert_close(whole, (first.square() + second.square()).sqrt())


def test_windows_of_one_token_are_enough(tiny):
    one = measure(tiny, torch.tensor([[65]]))[0]
    three = measure(tiny, torch.tensor([[65], [65], [65]]))[0]
    torch.testing.assert_close(three.neuron_norm, one.neuron_norm * 3**0.5)
    torch.testing.assert_close(three.neuron_mean, one.neuron_mean)
    torch.testing.assert_close(one.neuron_norm, one.neuron_mean.abs())


def test_the_dense_model_keeps_no_hooks_and_no_other_weights(tiny, windows):
    before = {n: p.clone() for n, p in tiny.model.state_dict().items()}
    modules = {id(m) for m in tiny.model.modules()}
    measure(tiny, windows)
    for module in tiny.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert {id(m) for m in tiny.model.modules()} == modules
    for name, p in tiny.model.state_dict().items():
        assert torch.equal(p, before[name])


def broken(layer, value, part="up"):
    """A tiny model with one weight of a layer that is no number."""
    lm = tiny_model()
    getattr(ffn.projections(lm.model)[layer], part).weight.data[3, 5] = value
    return lm


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("part", ["up", "gate", "down"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_activations_that_are_not_finite_name_their_layer(windows, layer, part, value):
    with pytest.raises(LLMRankError) as caught:
        measure(broken(layer, value, part), windows)
    assert str(caught.value).startswith(f"activations of layer {layer} (")
    assert str(caught.value).endswith("use float32, or check its weights")


def silent_model():
    """A model whose FFNs are fed nothing: the norm before each is zero."""
    lm = tiny_model()
    for block in lm.model.model.layers:
        block.post_attention_layernorm.weight.data.zero_()
    return lm


def test_activations_of_zero_are_statistics_of_zero(windows):
    for stats in measure(silent_model(), windows):
        assert all(getattr(stats, name).eq(0).all() for name in NAMES)


@pytest.mark.parametrize("name", list(CRITERIA))
def test_activations_of_zero_still_give_scores_and_a_plan(tiny_text, name):
    lm = silent_model()
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=40)
    more = {"gradients": differentiate(lm, spec), "second": calibrate(lm, spec)}
    scores = score(lm, calibrate(lm, spec), CRITERIA[name](), **more)
    for layer in scores.normalised:
        assert layer.isfinite().all()
        assert float(layer.sum()) == pytest.approx(1)
    if name == "activation":  # nothing to tell neurons apart: uniform, lowest kept
        assert all(
            torch.equal(s, torch.full((24,), 1 / 24, dtype=torch.float64))
            for s in scores.normalised
        )
        kept = plan(scores, PruningSpec(sparsity=0.5)).keep
        assert all(torch.equal(k, torch.arange(12)) for k in kept)


def test_calibration_says_on_what_it_measured(tiny, tiny_text):
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=5, seq_len=64)
    stats = calibrate(tiny, spec)
    assert stats.n_tokens == 5 * 64
    assert stats.text_source == str(tiny_text)
    assert len(stats.text_sha256) == 64
    assert len(stats.layers) == 2


def test_calibration_is_the_measure_of_its_windows(tiny, tiny_text):
    """Every window drawn: whichever the order, the sums are those of the text."""
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=60, seq_len=100)
    ids = tiny.tokenizer(tiny_text.read_text())["input_ids"]
    expected = naive(tiny, torch.tensor(ids[:6000]).view(60, 100))
    stats = calibrate(tiny, spec)
    for ours, theirs in zip(stats.layers, expected, strict=True):
        torch.testing.assert_close(
            ours.neuron_norm.double(), theirs["neuron_norm"], rtol=1e-5, atol=1e-5
        )


def test_the_seed_decides_what_is_measured(tiny, tiny_text):
    def norm(seed):
        spec = CalibrationSpec(
            calibration_text=str(tiny_text), samples=3, seq_len=32, seed=seed
        )
        return calibrate(tiny, spec).layers[0].neuron_norm

    assert torch.equal(norm(0), norm(0))
    assert not torch.equal(norm(0), norm(1))


def test_a_short_text_is_refused_with_its_tokens(tiny, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("Too short.")
    with pytest.raises(LLMRankError, match="has 10 tokens, but 64 windows of 256 need"):
        calibrate(tiny, CalibrationSpec(calibration_text=str(path)))


@pytest.mark.parametrize(
    ("field", "value"), [("samples", 0), ("seq_len", 1), ("seed", -1)]
)
def test_numbers_outside_their_range_are_refused(field, value):
    with pytest.raises(OptionError, match=f"{field} must be a whole number and lie"):
        CalibrationSpec(**{field: value})


def test_progress_is_told_per_batch_and_may_stop_it(tiny):
    windows = torch.zeros(5, BATCH_TOKENS // 8, dtype=torch.long)
    told = []
    measure(tiny, windows, batch=2, progress=lambda *step: told.append(step))
    assert told == [("Calibrating", done, 3) for done in range(4)]

    def stop(*_):
        raise CancelledError

    with pytest.raises(CancelledError):
        measure(tiny, windows, progress=stop)


def test_the_default_batch_holds_the_declared_tokens(tiny, windows, monkeypatch):
    """40 tokens a window: 51 windows would fit, so all seven go at once."""
    told = []
    measure(tiny, windows, progress=lambda *step: told.append(step))
    assert told[-1] == ("Calibrating", 1, 1)
    monkeypatch.setattr(activations, "BATCH_TOKENS", 80)
    measure(tiny, windows, progress=lambda *step: told.append(step))
    assert told[-1] == ("Calibrating", 4, 4)
