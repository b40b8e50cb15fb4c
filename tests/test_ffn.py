"""FFN layers: every family's views, twins, cuts and paddings."""

import pytest
import torch
from conftest import tiny_model

from llmrank import ffn
from llmrank.families import SUPPORTED

PROMPT = torch.arange(1, 40)[None]


def masked_logits(lm, keep):
    """The road of hooks: zero the dropped neurons at the input of `down`."""
    model = ffn.twin(lm.model)
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
    model = ffn.twin(lm.model)
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
    model = ffn.twin(lm.model)
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
def test_padded_model_is_uniform_and_computes_the_same(model_type):
    lm = tiny_model(model_type)
    uneven = ffn.cut(lm.model, (torch.arange(4), torch.arange(9)))
    even = ffn.padded(uneven)
    assert ffn.widths(even) == (9, 9)
    torch.testing.assert_close(even(PROMPT).logits, uneven(PROMPT).logits)
