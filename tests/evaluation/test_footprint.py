"""Footprints: by hand, by torch's own flop counter, and the demo model's anchors."""

import pytest
import torch
from conftest import tiny_model
from torch.utils.flop_counter import FlopCounterMode

from llmrank.evaluation.footprint import footprint, planned
from llmrank.models import ffn
from llmrank.models.families import SUPPORTED
from llmrank.models.language_model import LanguageModel, load

ATEN = torch.ops.aten


def cut(lm, *widths):
    keep = [torch.arange(w) for w in widths]
    return LanguageModel(lm.spec, ffn.cut(lm.model, keep), lm.tokenizer)


def counted_macs(lm, tokens):
    """Torch counts two flops a MAC; weights are met by mm and addmm alone."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        lm.model(tokens, logits_to_keep=1)
    flops = counter.get_flop_counts()["Global"]
    return (flops.get(ATEN.mm, 0) + flops.get(ATEN.addmm, 0)) // 2


def test_tiny_llama_by_hand(tiny):
    """d_model 16, d_ff 24, 2 layers, 4 heads of 4, 2 of them for keys and values."""
    sizes = footprint(tiny)
    attention = 16 * 16 + 16 * 8 + 16 * 8 + 16 * 16
    neurons = 3 * 16 * 24
    table = 257 * 16
    assert sizes.n_params == 2 * (attention + neurons + 2 * 16) + 16 + 2 * table
    assert sizes.n_ffn_params == 2 * neurons
    assert (sizes.n_ffn_neurons, sizes.widths) == (48, (24, 24))
    assert sizes.weight_bytes == 4 * sizes.n_params
    assert sizes.read_bytes_per_token == 4 * (sizes.n_params - table)
    assert sizes.macs_per_token == 2 * (attention + neurons) + table
    assert sizes.ffn_macs_per_token == 2 * neurons
    assert sizes.head_macs == table
    assert sizes.prefill_macs(10) == 10 * 2 * (attention + neurons) + table


def test_tiny_gpt2_by_hand(tiny_gpt2):
    """The head is tied to the embedding: stored once, multiplied each time."""
    sizes = footprint(tiny_gpt2)
    attention = 16 * 48 + 16 * 16
    neurons = 16 * 24 + 24 * 16
    biases = 48 + 16 + 24 + 16
    norms = 2 * 2 * 16
    table, positions = 257 * 16, 512 * 16
    layers = 2 * (attention + neurons + biases + norms)
    assert sizes.n_params == layers + 2 * 16 + table + positions
    assert sizes.n_ffn_params == 2 * (neurons + 24 + 16)
    assert sizes.read_bytes_per_token == 4 * (sizes.n_params - positions)
    assert sizes.macs_per_token == 2 * (attention + neurons) + table
    assert sizes.head_macs == table


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_macs_equal_the_flop_counters_in_every_family(model_type):
    lm = cut(tiny_model(model_type), 24, 7)
    sizes = footprint(lm)
    assert counted_macs(lm, torch.tensor([[5]])) == sizes.macs_per_token
    assert counted_macs(lm, torch.arange(1, 12)[None]) == sizes.prefill_macs(11)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt"])
def test_a_neuron_less_saves_its_weights_and_nothing_else(model_type):
    lm = tiny_model(model_type)
    dense, pruned = footprint(lm), footprint(cut(lm, 24, 23))
    n_matrices = 3 if model_type == "llama" else 2
    n_biases = 0 if model_type == "llama" else 1
    assert dense.n_params - pruned.n_params == n_matrices * 16 + n_biases
    assert dense.n_ffn_params - pruned.n_ffn_params == n_matrices * 16 + n_biases
    assert dense.macs_per_token - pruned.macs_per_token == n_matrices * 16
    assert pruned.widths == (24, 23)


@pytest.mark.parametrize("model_type", SUPPORTED)
@pytest.mark.parametrize("widths", [(24, 24), (24, 7), (1, 30)])
def test_what_is_planned_is_what_a_cut_or_a_wider_model_has(model_type, widths):
    lm = tiny_model(model_type)
    resized = ffn.shared_copy(lm.model)
    ffn.resize(resized, widths)
    expected = footprint(LanguageModel(lm.spec, resized, lm.tokenizer))
    assert planned(lm, widths) == expected
    assert footprint(lm).widths == (24, 24)


def test_half_precision_halves_the_bytes():
    lm = tiny_model()
    half = LanguageModel(lm.spec, lm.model.to(torch.bfloat16), lm.tokenizer)
    assert footprint(half).weight_bytes == 2 * footprint(half).n_params


@pytest.mark.slow
def test_demo_model_has_the_anchors_parameters():
    """ANCHORS.md, section 2: 0 and 30 % of the neurons removed, uniform."""
    lm = load("demo")
    dense, pruned = footprint(lm), footprint(cut(lm, *[1075] * 30))
    assert dense.n_params == 134_515_008
    assert pruned.n_params == 110_616_768
    prefill = pruned.prefill_macs(256) / dense.prefill_macs(256)
    assert prefill == pytest.approx(0.775, abs=5e-4)
    decode = pruned.macs_per_token / dense.macs_per_token
    assert decode == pytest.approx(0.822, abs=5e-4)
