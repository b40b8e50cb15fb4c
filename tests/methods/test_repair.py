"""Repairs against plain least squares on activations that hooks of our own recorded."""

import dataclasses
import inspect

import pytest
import torch
from conftest import tiny_model
from transformers import AutoModelForCausalLM

from llmrank.calibration.activations import CalibrationSpec, calibrate, drawn
from llmrank.calibration.divergence import divergence, read
from llmrank.calibration.residual_stream import entering, watched
from llmrank.calibration.second_moments import moments
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import silent
from llmrank.core.registry import recipe
from llmrank.methods.criteria import Wanda, score
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.methods.repair import (
    REPAIRS,
    Bias,
    LeastSquares,
    NoRepair,
    RepairInputs,
    SequentialLeastSquares,
    factor,
    repair,
)
from llmrank.models import ffn
from llmrank.models.export import save

SPARSITIES = (0.25, 0.5, 0.75)


@pytest.fixture(scope="module")
def spec(tiny_text):
    return CalibrationSpec(calibration_text=str(tiny_text), samples=16, seq_len=32)


def basis_of(lm, spec):
    stats = calibrate(lm, spec)
    return RepairInputs(lm, score(lm, stats, Wanda()), stats, drawn(lm, spec)[1])


def scores_of(lm, spec):
    return score(lm, calibrate(lm, spec), Wanda())


def with_biases(model_type):
    """A family's model whose FFN outputs have biases that are not zero."""
    lm = tiny_model(model_type)
    generator = torch.Generator().manual_seed(5)
    for p in ffn.projections(lm.model):
        if getattr(p.down, "bias", None) is not None:
            with torch.no_grad():
                p.down.bias.copy_(torch.randn(16, generator=generator))
    return lm


@pytest.fixture(scope="module", params=["llama", "gpt2", "opt"])
def inputs(request, spec):
    return basis_of(with_biases(request.param), spec)


@pytest.fixture(scope="module")
def llama(spec):
    return basis_of(tiny_model(), spec)


def recorded(model, windows, layer):
    """The input of `down` at one layer, all tokens below one another."""
    twin, seen = ffn.shared_copy(model), []
    down = ffn.projections(twin)[layer].down
    down.register_forward_pre_hook(lambda _, x: seen.append(x[0].flatten(0, -2)))
    with torch.inference_mode():
        for window in windows:
            twin(window[None])
    return torch.cat(seen).double()


def ridged(x, down, keep, ridge, *, own_mean=False, goal=None):
    """The same problem as one tall matrix: rows of data, then rows of the penalty.

    `own_mean`: the penalty's mean is over the kept neurons alone.
    """
    moments = x.square().sum(0)
    if own_mean:
        moments = moments.where(torch.zeros(24).index_fill(0, keep, 1) > 0, torch.nan)
    strength = (ridge * (0.25 * moments + 0.75 * moments.nanmean())).sqrt()[keep]
    kept = x[:, keep]
    target = x @ down.double().T if goal is None else goal
    own = down[:, keep].double().T
    tall = torch.cat([kept, strength.diag()])
    wide = torch.cat([target, strength[:, None] * own])
    return torch.linalg.lstsq(tall, wide).solution.T


def planned(inputs, sparsity=0.5):
    return plan(inputs.scores, PruningSpec(sparsity=sparsity))


def outputs(lm, windows):
    with torch.inference_mode():
        return lm.model(windows[:4]).logits


@pytest.mark.parametrize("name", list(REPAIRS))
def test_a_repair_explains_itself(name):
    cls = REPAIRS[name]
    assert not inspect.getdoc(cls).startswith(cls.__name__ + "(")
    assert cls().name == name
    assert cls().formula
    assert repair(**recipe(cls())) == cls()


@pytest.mark.parametrize("name", list(REPAIRS))
def test_a_repair_cuts_and_leaves_the_dense_model_alone(name, llama):
    before = {n: p.clone() for n, p in llama.lm.model.named_parameters()}
    made = planned(llama)
    pruned = REPAIRS[name]().cutter(llama)(made, silent)
    assert ffn.widths(pruned.model) == made.widths
    assert outputs(pruned, llama.windows).isfinite().all()
    for n, p in llama.lm.model.named_parameters():
        assert torch.equal(p, before[n])
        assert p.grad is None


@pytest.mark.parametrize("name", list(REPAIRS))
def test_without_a_cut_nothing_is_repaired(name, llama):
    same = REPAIRS[name]().cutter(llama)(planned(llama, 0.0), silent)
    assert torch.equal(outputs(same, llama.windows), outputs(llama.lm, llama.windows))


def test_no_repair_is_the_bare_cut(inputs):
    made = planned(inputs)
    ours = NoRepair().cutter(inputs)(made, silent)
    bare = prune(inputs.lm, made)
    assert torch.equal(outputs(ours, inputs.windows), outputs(bare, inputs.windows))


# Least squares


@pytest.mark.parametrize("ridge", [0.001, 0.3])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_least_squares_solves_the_tall_problem(inputs, sparsity, ridge):
    made = planned(inputs, sparsity)
    pruned = LeastSquares(ridge=ridge).cutter(inputs)(made, silent)
    dense = ffn.ffns(inputs.lm.model)
    for layer, view in enumerate(ffn.ffns(pruned.model)):
        x = recorded(inputs.lm.model, inputs.windows, layer)
        expected = ridged(x, dense[layer].down, made.keep[layer], ridge)
        torch.testing.assert_close(view.down.double(), expected, rtol=2e-3, atol=2e-4)
        for name in ("gate", "up"):
            ours, theirs = getattr(view, name), getattr(dense[layer], name)
            assert ours is None or torch.equal(ours, theirs[made.keep[layer]])


def test_one_factor_serves_every_width(llama):
    known = next(moments(llama.lm, llama.windows))
    down = ffn.ffns(llama.lm.model)[0].down
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    made = factor(known, order, down, 0.01)
    gram = known.total.double()
    own = gram.diagonal()
    penalty = 0.01 * (0.25 * own + 0.75 * own.mean())
    for n in (1, 7, 23, 24):
        k = order[:n]
        left = gram[k][:, k] + penalty[k].diag()
        right = gram[k] @ down.double().T + penalty[k][:, None] * down[:, k].double().T
        expected = torch.linalg.solve(left, right).T
        torch.testing.assert_close(
            made.solve(down, n).double(), expected, rtol=2e-3, atol=2e-4
        )


def test_the_ridge_is_the_one_of_least_held_out_error(llama):
    known = next(moments(llama.lm, llama.windows))
    down = ffn.ffns(llama.lm.model)[0].down
    order = llama.scores.layers[0].argsort(descending=True)
    fitted = dataclasses.replace(known, held_out=None)
    n = round(0.7 * 24)

    def error(ridge):
        solved = factor(fitted, order, down, ridge).solve(down, n)
        difference = down[:, order].clone()
        difference[:, :n] -= solved
        held_out = known.held_out[order][:, order]
        return float((difference @ held_out * difference).sum())

    chosen = factor(known, order, down).ridge
    ridges = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
    assert chosen == min(ridges, key=error)


def test_repair_brings_the_outputs_closer(llama):
    reads = read(llama.lm, llama.windows)
    made = planned(llama, 0.4)
    found = {
        name: divergence(REPAIRS[name]().cutter(llama)(made, silent), reads)
        for name in REPAIRS
    }
    assert found["least-squares"] < 0.9 * found["none"]
    assert found["least-squares-sequential"] < 0.9 * found["none"]


def test_fewer_tokens_than_neurons_are_regularised(tiny_text):
    few = CalibrationSpec(calibration_text=str(tiny_text), samples=1, seq_len=8)
    inputs = basis_of(tiny_model(), few)
    for kind in (LeastSquares(), SequentialLeastSquares()):
        pruned = kind.cutter(inputs)(planned(inputs), silent)
        assert outputs(pruned, inputs.windows).isfinite().all()


def test_a_dead_layer_is_left_as_it_is(spec):
    lm = tiny_model()
    with torch.no_grad():
        ffn.projections(lm.model)[0].up.weight.zero_()
    inputs = basis_of(lm, spec)
    made = planned(inputs)
    pruned = LeastSquares(ridge=0.01).cutter(inputs)(made, silent)
    bare = prune(lm, made)
    ours, theirs = (ffn.ffns(m.model)[0].down for m in (pruned, bare))
    torch.testing.assert_close(ours, theirs)


def test_a_layer_at_a_time_measures_the_same(inputs):
    all_at_once = list(moments(inputs.lm, inputs.windows, at_once=2))
    one_by_one = list(moments(inputs.lm, inputs.windows, at_once=1))
    for layer, (a, b) in enumerate(zip(all_at_once, one_by_one, strict=True)):
        torch.testing.assert_close(a.fitted, b.fitted)
        torch.testing.assert_close(a.held_out, b.held_out)
        x = recorded(inputs.lm.model, inputs.windows, layer)
        torch.testing.assert_close(a.total.double(), x.T @ x, rtol=1e-4, atol=1e-3)
        x = recorded(inputs.lm.model, inputs.windows[:2], layer)
        torch.testing.assert_close(a.held_out.double(), x.T @ x, rtol=1e-4, atol=1e-3)


def test_without_room_for_the_factors_the_text_is_read_again(llama, monkeypatch):
    made = planned(llama)
    held = LeastSquares().cutter(llama)(made, silent)
    from llmrank.methods.repair import least_squares

    monkeypatch.setattr(least_squares, "has_room", lambda _: False)
    again = LeastSquares().cutter(llama)(made, silent)
    assert torch.equal(outputs(held, llama.windows), outputs(again, llama.windows))


def test_memory_for_no_layer_is_refused(llama, monkeypatch):
    from llmrank.calibration import second_moments as module

    monkeypatch.setattr(module, "SHARE_OF_MEMORY", 1e-12)
    with pytest.raises(LLMRankError, match="or choose repair none"):
        next(moments(llama.lm, llama.windows))


# Layer by layer


def test_sequential_sees_the_pruned_prefix(inputs):
    """The first layer as dense; the second on the model whose first is repaired."""
    made, ridge = planned(inputs), 0.01
    by = SequentialLeastSquares(ridge=ridge, correct=0.0)
    views = ffn.ffns(by.cutter(inputs)(made, silent).model)
    dense = ffn.ffns(inputs.lm.model)
    x = recorded(inputs.lm.model, inputs.windows, 0)
    first = ridged(x, dense[0].down, made.keep[0], ridge, own_mean=True)
    torch.testing.assert_close(views[0].down.double(), first, rtol=2e-3, atol=2e-4)
    x = recorded(half_repaired(inputs, made, views[0].down), inputs.windows, 1)
    second = ridged(x, dense[1].down, made.keep[1], ridge, own_mean=True)
    torch.testing.assert_close(views[1].down.double(), second, rtol=2e-3, atol=2e-4)


def test_correcting_aims_at_the_dense_stream(inputs):
    """The wanted output: what is missing from the pruned stream before the FFN."""
    made, ridge = planned(inputs), 0.01
    views = ffn.ffns(
        SequentialLeastSquares(ridge=ridge).cutter(inputs)(made, silent).model
    )
    dense = ffn.ffns(inputs.lm.model)
    half = half_repaired(inputs, made, views[0].down)
    x = recorded(half, inputs.windows, 1)
    missing = streams(inputs.lm.model, inputs.windows) - streams(half, inputs.windows)
    goal = x @ dense[1].down.double().T + missing
    second = ridged(x, dense[1].down, made.keep[1], ridge, own_mean=True, goal=goal)
    torch.testing.assert_close(views[1].down.double(), second, rtol=2e-3, atol=5e-4)


def half_repaired(inputs, made, down):
    """The dense model with its first layer cut and these output weights."""
    keep = (made.keep[0], torch.arange(24))
    half = prune(inputs.lm, dataclasses.replace(made, keep=keep))
    return ffn.with_down(half.model, [down, ffn.ffns(inputs.lm.model)[1].down])


def streams(model, windows):
    """The residual stream after the second block, tokens below one another."""
    twin, seen = ffn.shared_copy(model), []
    ffn.blocks(twin)[1].register_forward_hook(lambda *given: seen.append(given[2]))
    with torch.inference_mode():
        for window in windows:
            twin(window[None])
    return torch.cat([s.flatten(0, -2) for s in seen]).double()


def test_correcting_knows_a_scaled_residual_stream(spec):
    """Granite scales what enters the stream: the same as smaller weights, unscaled."""
    scale = 0.25
    scaled, plain = (tiny_model("granite", seed=3) for _ in range(2))
    for block in ffn.blocks(scaled.model):
        block.residual_multiplier = scale
    with torch.no_grad():
        for block in ffn.blocks(plain.model):
            block.self_attn.o_proj.weight *= scale
            block.mlp.down_proj.weight *= scale
    found = []
    for lm in (scaled, plain):
        inputs = dataclasses.replace(basis_of(lm, spec), scores=scores_of(scaled, spec))
        cut = SequentialLeastSquares().cutter(inputs)
        by = plan(inputs.scores, PruningSpec(sparsity=0.5))
        found.append([v.down for v in ffn.ffns(cut(by, silent).model)])
    for ours, same in zip(*found, strict=True):
        torch.testing.assert_close(scale * ours, same, rtol=1e-3, atol=1e-4)


def test_correcting_is_refused_behind_a_norm(spec):
    inputs = basis_of(tiny_model("gemma2"), spec)
    with pytest.raises(LLMRankError, match="set correct 0"):
        SequentialLeastSquares().cutter(inputs)
    lm = SequentialLeastSquares(correct=0.0).cutter(inputs)(planned(inputs), silent)
    assert outputs(lm, inputs.windows).isfinite().all()


def test_blocks_one_at_a_time_are_the_model(inputs):
    """The stream before the second block, handed on, gives the model's own logits."""
    ids = inputs.windows[:2]
    seen = []
    twin = ffn.shared_copy(inputs.lm.model)
    ffn.blocks(twin)[1].register_forward_pre_hook(
        lambda _, args, named: seen.append(args[0] if args else named["hidden_states"]),
        with_kwargs=True,
    )
    with torch.inference_mode():
        twin(ids)
    *_, after = watched(inputs.lm.model, 0, ids, entering(inputs.lm.model, ids))
    assert torch.equal(after, seen[0])


def test_divergence_from_a_later_layer_is_that_of_the_whole(inputs):
    """Blocks before the changed one are skipped: the same number by another road."""
    reads = read(inputs.lm, inputs.windows[:4])
    assert divergence(inputs.lm, reads) == pytest.approx(0, abs=1e-4)
    made = planned(inputs, 0.6)
    later = dataclasses.replace(made, keep=(torch.arange(24), made.keep[1]))
    pruned = prune(inputs.lm, later)
    whole = divergence(pruned, reads)
    assert divergence(pruned, reads, first_changed=1) == pytest.approx(whole, rel=1e-5)
    dense, other = (
        outputs(m, inputs.windows).log_softmax(-1) for m in (inputs.lm, pruned)
    )
    expected = (dense.exp() * (dense - other)).sum(-1).mean()
    assert whole == pytest.approx(float(expected), rel=2e-2)


# Bias


def test_the_bias_is_the_mean_of_what_was_cut(inputs):
    made = planned(inputs)
    if inputs.lm.config.model_type == "llama":
        assert not hasattr(inputs.lm.model.model.layers[0].mlp.down_proj.bias, "data")
    pruned = Bias().cutter(inputs)(made, silent)
    for layer, view in enumerate(ffn.ffns(pruned.model)):
        x = recorded(inputs.lm.model, inputs.windows, layer)
        dense = ffn.ffns(inputs.lm.model)[layer]
        drop = made.drop[layer]
        expected = (x[:, drop] @ dense.down[:, drop].double().T).mean(0)
        if dense.down_bias is not None:
            expected = expected + dense.down_bias
        torch.testing.assert_close(
            view.down_bias.double(), expected, rtol=1e-4, atol=1e-5
        )


def test_a_bias_the_checkpoint_cannot_hold_is_refused(spec):
    inputs = basis_of(tiny_model("qwen2"), spec)
    with pytest.raises(LLMRankError, match="repair least-squares changes only"):
        Bias().cutter(inputs)


@pytest.mark.slow
@pytest.mark.parametrize("by", [Bias(), LeastSquares()], ids=repr)
def test_a_repaired_export_opens_in_plain_transformers(llama, by, tmp_path):
    pruned = by.cutter(llama)(planned(llama), silent)
    saved = save(pruned, tmp_path / "out")
    assert saved.max_difference == 0
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.inference_mode():
        theirs = plain(llama.windows[:4]).logits
    assert torch.equal(theirs, outputs(pruned, llama.windows))
