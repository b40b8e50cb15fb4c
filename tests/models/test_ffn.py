"""FFN layers: every family's views, twins, cuts and paddings."""

import copy

import pytest
import torch
from conftest import tiny_model
from transformers import PretrainedConfig

from llmrank.models import ffn
from llmrank.models.families import SUPPORTED

PROMPT = torch.arange(1, 40)[None]


def masked_logits(lm, keep):
    """The road of hooks: zero the dropped neurons at the input of `down`."""
    model = ffn.shared_copy(lm.model)
    for p, kept in zip(ffn.projections(model), keep, strict=True):
        mask = torch.zeros(ffn.widths(lm.model)[0])
        mask[kept] = 1
        p.down.register_forward_pre_hook(lambda _, x, mask=mask: (x[0] * mask,))
    return model(PROMPT).logits


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_cut_model_equals_masked_model_in_every_family(model_type):
    lm = tiny_model(model_type)
    keep = (torch.tensor([0, 3, 7, 20]), torch.arange(1, 24, 2))
    pruned = ffn.cut(lm.model, keep)
    assert ffn.widths(pruned) == (4, 12)
    torch.testing.assert_close(pruned(PROMPT).logits, masked_logits(lm, keep))
    assert ffn.widths(lm.model) == (24, 24)


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_views_compute_what_the_model_computes(model_type):
    """`down(x)` of the captured neuron signal is the captured FFN output."""
    lm = tiny_model(model_type)
    model = ffn.shared_copy(lm.model)
    seen = {}
    p = ffn.projections(model)[1]
    p.down.register_forward_hook(lambda _, x, y: seen.update(x=x[0], y=y))
    p.up.register_forward_hook(lambda _, x, y: seen.update(u=x[0], up=y))
    model(PROMPT)
    view = ffn.ffns(lm.model)[1]
    linear = torch.nn.functional.linear
    expected = linear(seen["x"], view.down, view.down_bias)
    torch.testing.assert_close(seen["y"], expected)
    torch.testing.assert_close(seen["up"], linear(seen["u"], view.up, view.up_bias))


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_twin_shares_weights_and_nothing_else(model_type):
    lm = tiny_model(model_type)
    model = ffn.shared_copy(lm.model)
    ours = {id(p) for p in lm.model.parameters()}
    assert all(id(p) in ours for p in model.parameters())
    assert not {id(m) for m in model.modules()} & {id(m) for m in lm.model.modules()}


def test_cut_shares_all_weights_outside_the_ffns(tiny):
    pruned = ffn.cut(tiny.model, (torch.arange(5), torch.arange(5)))
    dense = dict(tiny.model.named_parameters())
    copied = [n for n, p in pruned.named_parameters() if p is not dense[n]]
    assert len(copied) == 6
    assert all(".mlp." in name for name in copied)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt"])
def test_a_layer_that_keeps_every_neuron_is_not_copied(model_type):
    lm = tiny_model(model_type)
    pruned = ffn.cut(lm.model, (torch.arange(24), torch.arange(23)))
    assert ffn.widths(pruned) == (24, 23)
    whole, shorter = ffn.projections(pruned)
    dense = ffn.projections(lm.model)
    assert all(a is b for a, b in zip(*map(weights, (whole, dense[0])), strict=True))
    assert not {id(w) for w in weights(shorter)} & {id(w) for w in weights(dense[1])}


def weights(p):
    return [m.weight for m in (p.gate, p.up, p.down) if m is not None]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt"])
def test_padded_model_is_uniform_and_computes_the_same(model_type):
    lm = tiny_model(model_type)
    uneven = ffn.cut(lm.model, (torch.arange(4), torch.arange(9)))
    even = ffn.padded(uneven)
    assert ffn.widths(even) == (9, 9)
    torch.testing.assert_close(even(PROMPT).logits, uneven(PROMPT).logits)


def holdings(module):
    """What a module and those below it hold, without the identity of containers."""
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            shape = sorted(value) if isinstance(value, dict | set) else None
            yield name, type(part), key, type(value), shape


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_a_twin_holds_what_a_deep_copy_holds(model_type):
    """The other road is Python's own; containers and settings are not shared."""
    model = tiny_model(model_type).model
    memo = {id(p): p for p in model.parameters()}
    other, expected = ffn.shared_copy(model), copy.deepcopy(model, memo)
    assert list(holdings(other)) == list(holdings(expected))
    assert other.config.to_dict() == model.config.to_dict()
    for ours, theirs in zip(other.modules(), model.modules(), strict=True):
        for key, value in vars(ours).items():
            if isinstance(value, dict | set | PretrainedConfig):
                assert value is not vars(theirs)[key], key
    assert len({id(m.config) for m in other.modules() if hasattr(m, "config")}) == 1


def test_a_twin_has_its_own_buffers_hooks_and_empty_parts():
    part = torch.nn.BatchNorm1d(3)
    part.nothing, part.empty = None, torch.nn.ModuleList()
    part.again = torch.nn.Sequential(part.empty, torch.nn.Identity())
    part.again[1].register_forward_hook(part.again.forward)
    other = ffn.shared_copy(part)
    assert torch.equal(other.running_var, part.running_var)
    assert other.running_var is not part.running_var
    assert other.weight is part.weight
    assert other.empty is not part.empty
    assert other.again[0] is other.empty
    (hook,) = other.again[1]._forward_hooks.values()
    assert hook.__self__ is other.again
