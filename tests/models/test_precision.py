"""The precision that weights are kept in: a checkpoint's own, and others."""

import pytest
import torch
from conftest import save_folder, tiny_model

import llmrank
from llmrank.core.errors import LLMRankError, OptionError
from llmrank.methods.pruning import PruningPlan, prune
from llmrank.models import ffn
from llmrank.models.language_model import ModelSpec
from llmrank.models.precision import (
    PRECISIONS,
    cast,
    computed_in,
    stored_in,
    written_in,
)

PROMPT = torch.arange(1, 40)[None]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_folders_own_precision_is_read_from_its_files(tmp_path, precision):
    lm = tiny_model()
    lm.model.to(getattr(torch, precision))
    save_folder(lm, tmp_path / "model")
    assert stored_in(tmp_path / "model") == precision


def test_a_folder_without_weights_has_no_precision(tmp_path):
    assert stored_in(tmp_path) is None


def test_the_precision_stays_with_the_model_when_it_is_pruned(tmp_path):
    lm = tiny_model()
    save_folder(lm, tmp_path / "model")
    lm.model.bfloat16().save_pretrained(tmp_path / "model")
    dense = llmrank.load(ModelSpec(name=str(tmp_path / "model"), device="cpu"))
    kept = (torch.arange(9),) * 2
    pruned = prune(dense, PruningPlan(kept, (24, 24)))
    assert computed_in(pruned.model) == "float32"
    assert pruned.stored == dense.stored == "bfloat16"


@pytest.mark.parametrize(
    ("own", "computed", "asked", "written"),
    [
        ("bfloat16", "float32", "checkpoint", "bfloat16"),
        ("float32", "float32", "checkpoint", "float32"),
        ("float32", "bfloat16", "checkpoint", "bfloat16"),  # no more is known
        ("bfloat16", "float16", "checkpoint", "bfloat16"),
        ("float64", "float32", "checkpoint", "float32"),
        (None, "float32", "checkpoint", "float32"),  # a GGUF: as it was computed
        (None, "bfloat16", "checkpoint", "bfloat16"),
        ("bfloat16", "float32", "float32", "float32"),
        ("float32", "bfloat16", "float16", "float16"),
    ],
)
def test_what_is_asked_or_the_checkpoints_own_is_written(own, computed, asked, written):
    assert written_in(own, computed, asked) == written


def test_an_unknown_precision_is_refused_with_those_there_are():
    with pytest.raises(OptionError) as caught:
        written_in("float32", "float32", "int8")
    assert all(precision in str(caught.value) for precision in PRECISIONS)


@pytest.mark.parametrize("tied", [False, True])
def test_a_cast_model_has_the_weights_that_torch_casts(tied):
    lm = tiny_model("llama", tie_word_embeddings=tied)
    before = {name: p.clone() for name, p in lm.model.named_parameters()}
    half = cast(lm.model, "bfloat16")
    assert computed_in(half) == "bfloat16"
    own = dict(half.named_parameters())
    assert all(torch.equal(own[n], p.bfloat16()) for n, p in before.items())
    assert (half.lm_head.weight is half.model.embed_tokens.weight) is tied
    for name, parameter in lm.model.named_parameters():  # it is left as it was
        assert torch.equal(parameter, before[name])
        assert parameter.dtype == torch.float32
    again = cast(half, "float32")
    assert torch.allclose(again(PROMPT).logits, lm.model(PROMPT).logits, atol=0.5)


def test_a_model_that_has_the_precision_is_not_copied(tiny):
    assert cast(tiny.model, "float32") is tiny.model


def test_a_weight_that_does_not_fit_is_refused(tiny):
    model = ffn.with_down(tiny.model, [f.down * 1e6 for f in ffn.ffns(tiny.model)])
    with pytest.raises(
        LLMRankError, match=r"does not fit into float16, which ends at "
    ):
        cast(model, "float16")
    assert computed_in(cast(model, "bfloat16")) == "bfloat16"
