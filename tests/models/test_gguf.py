"""GGUF files: every key of the header is computed or refused, every tensor is read."""

import math
import os
import shutil
import sys
import time
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from checkpoint_writers import gguf_order, refusal, write_gguf
from conftest import OWN_SIZES, save_folder, tiny_model
from tokenizers import Regex, pre_tokenizers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.data import tokens
from llmrank.models.checkpoints import Source, read_config, read_tokenizer
from llmrank.models.gguf.header import READABLE
from llmrank.models.gguf.rotary import llama3_divisors
from llmrank.models.language_model import ModelSpec, load, shape

PROMPT = torch.randint(1, 257, (1, 300), generator=torch.Generator().manual_seed(0))
ARCHITECTURES = {"gemma3_text": "gemma3"}
EPSILON = {"stablelm": "layer_norm_eps", "starcoder2": "norm_epsilon"}
EPSILON |= {"gpt2": "layer_norm_epsilon"}


def header_of(lm):
    """The keys that llama.cpp's converter writes for a model, by their short names."""
    c, model_type = lm.config, lm.config.model_type
    heads, width = c.num_attention_heads, getattr(c, "n_inner", None)
    plain = EPSILON.get(model_type)
    keys = {
        "context_length": c.max_position_embeddings,
        "block_count": c.num_hidden_layers,
        "embedding_length": c.hidden_size,
        "feed_forward_length": width or c.intermediate_size,
        "attention.head_count": heads,
        f"attention.layer_norm_{'' if plain else 'rms_'}epsilon": getattr(
            c, plain or "rms_norm_eps"
        ),
    }
    if model_type != "gpt2":
        rope = c.rope_parameters.get("full_attention", c.rope_parameters)
        head = getattr(c, "head_dim", None) or c.hidden_size // heads
        part = rope.get("partial_rotary_factor", 1)
        keys |= {
            "attention.head_count_kv": c.num_key_value_heads,
            "attention.key_length": head,
            "attention.value_length": head,
            "rope.freq_base": rope["rope_theta"],
            "rope.dimension_count": int(head * part),
        }
    if model_type.startswith("gemma"):
        keys["attention.sliding_window"] = c.sliding_window
        windowed = [kind == "sliding_attention" for kind in c.layer_types]
        keys["attention.sliding_window_pattern"] = windowed
    return keys


def write(lm, path, *, tensors=None, everywhere=None, **keys):
    """Write a model as llama.cpp's converter does; a key that is None is left out.

    `.` in a key is written `__` here; `everywhere` holds keys with their whole names.
    """
    architecture = ARCHITECTURES.get(lm.config.model_type, lm.config.model_type)
    writer = gguf.GGUFWriter(path, architecture)
    keys = {key.replace("__", "."): value for key, value in keys.items()}
    named = {f"{architecture}.{k}": v for k, v in (header_of(lm) | keys).items()}
    for key, value in (named | vocabulary(lm) | (everywhere or {})).items():
        if value is not None:
            add(writer, key, value)
    stored = dict(stored_tensors(lm, architecture)) | (tensors or {})
    for name, tensor in stored.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add(writer, key, value):
    kinds = {bool: "bool", int: "uint32", float: "float32", str: "string"}
    getattr(writer, f"add_{kinds.get(type(value), 'array')}")(key, value)


def vocabulary(lm):
    vocab = lm.tokenizer.get_vocab()
    symbols = sorted(vocab, key=vocab.get)
    symbols[symbols.index("ÿ")] = "th"  # readers want a merge; no UTF-8 has byte 255
    fields = {"model": "gpt2", "pre": "gpt-2", "tokens": symbols, "merges": ["t h"]}
    fields |= {"eos_token_id": vocab["<eos>"], "bos_token_id": vocab["<eos>"]}
    return {f"tokenizer.ggml.{key}": value for key, value in fields.items()}


def stored_tensors(lm, architecture):
    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names = gguf.get_tensor_name_map(arch, lm.config.num_hidden_layers)
    tied = lm.config.tie_word_embeddings
    for name, weight in lm.model.state_dict().items():
        stem, _, kind = name.rpartition(".")
        place, values = names.get_name(stem), weight.numpy()
        if place is None or (tied and name == "lm_head.weight"):
            continue
        if architecture == "llama":
            values = gguf_order(lm, name, values)
        if architecture.startswith("gemma") and stem.endswith("norm"):
            values = values + 1
        if architecture == "gpt2" and kind == "weight" and ".c_" in stem:
            values = values.T
        yield f"{place}.{kind}", values


def opened(path):
    return load(ModelSpec(name=str(path), device="cpu"))


def refused(path):
    """Refuse before a weight is read, and in `shape` as in `load`."""
    with pytest.raises(LLMRankError) as caught:
        read_config(Source(path.parent, path.name, str(path)))
    with pytest.raises(LLMRankError) as again:
        shape(ModelSpec(name=str(path)))
    assert str(again.value) == str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    return write(tiny, tmp_path_factory.mktemp("gguf") / "plain.gguf")


# Every type that is read


@pytest.mark.parametrize("model_type", READABLE)
def test_every_readable_type_is_the_model_that_was_written(tmp_path, model_type):
    lm = tiny_model(model_type)
    loaded = opened(write(lm, tmp_path / "model.gguf"))
    torch.testing.assert_close(
        loaded.model(PROMPT).logits, lm.model(PROMPT).logits, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("model_type", "keys", "field", "value"),
    [
        ("llama", {"rope__freq_base": 500_000.0}, "rope_theta", 500_000.0),
        ("starcoder2", {"rope__freq_base": 999_999.0}, "rope_theta", 999_999.0),
        ("llama", {"rope__freq_base": None}, "rope_theta", 10_000.0),
        ("qwen3", {"attention__head_count_kv": None}, "num_key_value_heads", 4),
        ("gemma2", {"final_logit_softcapping": 5.0}, "final_logit_softcapping", 5.0),
        ("gemma2", {"attn_logit_softcapping": 9.0}, "attn_logit_softcapping", 9.0),
        ("gemma2", {"attention__sliding_window": 77}, "sliding_window", 77),
        ("gemma2", {"attention__scale": 0.25}, "query_pre_attn_scalar", 16),
        ("gemma2", {"block_count": 46, "attention__sliding_window_pattern": 2}
         | {"attention__head_count": 2}, "query_pre_attn_scalar", 8),
        ("gemma2", {"attention__key_length": 8, "attention__value_length": 8}
         | {"rope__dimension_count": 8}, "query_pre_attn_scalar", 8),
        ("starcoder2", {"attention__sliding_window": 77}, "sliding_window", 77),
        ("stablelm", {"rope__dimension_count": 2}, "partial_rotary_factor", 0.5),
        ("gpt2", {"context_length": 77}, "n_positions", 77),
        ("gpt2", {"feed_forward_length": 77}, "n_inner", 77),
        ("llama", {"rope__scaling__type": "none"}, "rope_type", "default"),
        ("llama", {"rope__scaling__type": "linear", "rope__scaling__factor": 1.0},
         "rope_type", "default"),
        ("llama", {"attention__scale": 0.5}, "head_dim", 4),
        ("llama", {"attention__sliding_window": 4096}, "head_dim", 4),
        ("qwen2", {"attention__sliding_window": 4096}, "sliding_window", None),
        ("llama", {"expert_count": 0, "attention__causal": True}, "head_dim", 4),
        ("gemma3_text", {"rope__freq_base_swa": 77.0}, "sliding", 77.0),
    ],
)  # fmt: skip
def test_what_a_header_says_becomes_the_configuration(
    tmp_path, model_type, keys, field, value
):
    """transformers' own reader drops these keys, or has another default."""
    path = write(tiny_model(model_type), tmp_path / "model.gguf", **keys)
    config = read_config(Source(tmp_path, path.name))
    rope = getattr(config, "rope_parameters", None) or {}
    if field == "sliding":
        assert rope["sliding_attention"]["rope_theta"] == value
    elif field in rope:
        assert rope[field] == value
    else:
        assert getattr(config, field) == value


@pytest.mark.parametrize(
    ("model_type", "keys", "named"),
    [
        ("llama", {"rope__scaling__type": "longrope"}, "rope.scaling.type"),
        ("llama", {"rope__scaling__type": "dynamic", "rope__scaling__factor": 4.0},
         "rope.scaling.type"),
        ("llama", {"rope__scaling__attn_factor": 1.5}, "rope.scaling.attn_factor"),
        ("llama", {"rope__scaling__something": 2}, "rope.scaling.something"),
        ("llama", {"rope__dimension_count": 2}, "rope.dimension_count"),
        ("llama", {"rope__dimension_sections": [1, 1]}, "rope.dimension_sections"),
        ("llama", {"rope__freq_base_swa": 7.0}, "rope.freq_base_swa"),
        ("llama", {"attention__sliding_window": 64}, "attention.sliding_window"),
        ("qwen2", {"attention__sliding_window": 64}, "attention.sliding_window"),
        ("gemma3_text", {"attention__sliding_window_pattern": 0},
         "attention.sliding_window_pattern"),
        ("gemma3_text", {"attention__sliding_window_pattern": [True]},
         "attention.sliding_window_pattern"),
        ("qwen2", {"attention__sliding_window_pattern": 2},
         "attention.sliding_window_pattern"),
        ("llama", {"attention__scale": 0.3}, "attention.scale"),
        ("llama", {"attention__value_length": 8}, "attention.value_length"),
        ("qwen2", {"attention__key_length": 8, "attention__value_length": 8},
         "attention.key_length"),
        ("llama", {"attention__causal": False}, "attention.causal"),
        ("llama", {"attention__clamp_kqv": 8.0}, "attention.clamp_kqv"),
        ("llama", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("llama", {"expert_count": 8, "expert_used_count": 2}, "expert_count"),
        ("llama", {"logit_scale": 0.1}, "logit_scale"),
        ("llama", {"residual_scale": 0.2}, "residual_scale"),
        ("llama", {"embedding_scale": 12.0}, "embedding_scale"),
        ("llama", {"feed_forward_length": [24, 24]}, "feed_forward_length"),
        ("llama", {"a_key_of_next_year": 1}, "a_key_of_next_year"),
    ],
)  # fmt: skip
def test_a_key_that_is_not_computed_is_refused_by_name(
    tmp_path, model_type, keys, named
):
    path = write(tiny_model(model_type), tmp_path / "model.gguf", **keys)
    architecture = ARCHITECTURES.get(model_type, model_type)
    said = refused(path)
    assert said.startswith(f"{path} sets {architecture}.{named} to ")
    assert "which changes what the model computes" in said


@pytest.mark.parametrize(
    "key", ["context_length", "block_count", "embedding_length", "feed_forward_length"]
)
def test_a_key_that_is_missing_is_not_guessed(tiny, tmp_path, key):
    path = write(tiny, tmp_path / "model.gguf", **{key: None})
    assert f"lacks the key llama.{key}; it is incomplete" in refused(path)


@pytest.mark.parametrize(
    ("key", "field", "size"),
    [
        ("block_count", "num_hidden_layers", 2**31),
        ("embedding_length", "hidden_size", 2**31),
        ("attention__key_length", "head_dim", 2**31),
    ],
)
def test_sizes_without_end_are_refused_before_anything_is_built(
    tmp_path, monkeypatch, key, field, size
):
    module = sys.modules["llmrank.models.gguf.configuration"]
    monkeypatch.setattr(module, "rotary", None)
    monkeypatch.setattr(module, "_windowed", None)
    keys = {"attention__sliding_window_pattern": 6, key: size}
    keys |= {"attention__value_length": size} if "key_length" in key else {}
    path = write(tiny_model("gemma3_text"), tmp_path / "model.gguf", **keys)
    assert f"describes a model whose {field} is {size}; it must be" in refused(path)


def test_a_norm_without_its_epsilon_is_refused(tiny, tmp_path):
    keys = {"attention__layer_norm_rms_epsilon": None}
    assert "lacks the epsilon" in refused(write(tiny, tmp_path / "m.gguf", **keys))


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [(2, "sf"), ([True, False], "sf"), ([False, True], "fs"), (6, "ss"), (1, "ff")],
)
def test_layers_with_a_window_may_be_written_out(tmp_path, pattern, kinds):
    keys = {"attention__sliding_window_pattern": pattern}
    write(tiny_model("gemma3_text"), tmp_path / "model.gguf", **keys)
    found = read_config(Source(tmp_path, "model.gguf")).layer_types
    assert "".join(kind[0] for kind in found) == kinds


# Positions


def rotated(scaling, **sizes):
    """A tiny Llama whose config, not its file, has a scaling."""
    OWN_SIZES["llama"] = {"rope_parameters": {"rope_theta": 1e4} | scaling} | sizes
    try:
        return tiny_model()
    finally:
        del OWN_SIZES["llama"]


LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    ("scaling", "keys"),
    [
        (LINEAR, {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}),
        (LINEAR, {"rope__scaling__factor": 4.0}),
        (LINEAR, {"rope__scale_linear": 4.0}),
        (YARN, {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}
         | {"rope__scaling__original_context_length": 128}),
        (YARN | {"beta_fast": 16.0, "beta_slow": 2.0},
         {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}
         | {"rope__scaling__original_context_length": 128}
         | {"rope__scaling__yarn_beta_fast": 16.0}
         | {"rope__scaling__yarn_beta_slow": 2.0}),
    ],
)  # fmt: skip
def test_a_scaling_of_the_header_is_computed(tiny, tmp_path, scaling, keys):
    lm = rotated(scaling)
    loaded = opened(write(tiny, tmp_path / "model.gguf", **keys))
    expected = lm.model(PROMPT).logits
    torch.testing.assert_close(loaded.model(PROMPT).logits, expected)
    assert not torch.allclose(tiny.model(PROMPT).logits, expected, atol=1e-2)


def test_the_scaling_of_gemma_3_is_that_of_its_far_seeing_layers(tmp_path):
    keys = {"rope__scaling__type": "linear", "rope__scaling__factor": 8.0}
    write(tiny_model("gemma3_text"), tmp_path / "model.gguf", **keys)
    rope = read_config(Source(tmp_path, "model.gguf")).rope_parameters
    assert rope["full_attention"]["rope_type"] == "linear"
    assert rope["full_attention"]["factor"] == 8
    assert rope["sliding_attention"]["rope_type"] == "default"


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_divisors_of_llama_3_are_those_that_transformers_computes(factor):
    """The other road: transformers' own frequencies, for heads as wide as theirs."""
    scaling = LLAMA3 | {"factor": factor, "rope_theta": 5e5}
    config = rotated(scaling, head_dim=64).config
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    unscaled = 5e5 ** -(torch.arange(0, 64, 2, dtype=torch.float64) / 64)
    expected = (unscaled / scaled).numpy()
    np.testing.assert_allclose(llama3_divisors(5e5, 64, factor), expected, rtol=1e-5)


def test_rotary_divisors_of_llama_3_are_recognised_and_computed(tmp_path):
    lm = rotated(LLAMA3, head_dim=32)
    divisors = llama3_divisors(1e4, 32, 32.0).astype(np.float32)
    named = {"rope_freqs.weight": divisors}
    bare = rotated({"rope_type": "default"}, head_dim=32)
    loaded = opened(write(bare, tmp_path / "model.gguf", tensors=named))
    expected = lm.model(PROMPT).logits
    torch.testing.assert_close(loaded.model(PROMPT).logits, expected)
    assert not torch.allclose(bare.model(PROMPT).logits, expected, atol=1e-3)
    assert loaded.config.rope_parameters["factor"] == 32


def test_rotary_divisors_of_one_change_nothing(tiny, tmp_path):
    named = {"rope_freqs.weight": np.ones(2, np.float32)}
    loaded = opened(write(tiny, tmp_path / "model.gguf", tensors=named))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


@pytest.mark.parametrize("divisors", [[1, 2], [1, math.nan], [3], [1, 1, 8]])
def test_other_rotary_divisors_are_refused(tiny, tmp_path, divisors):
    named = {"rope_freqs.weight": np.array(divisors, np.float32)}
    said = refused(write(tiny, tmp_path / "model.gguf", tensors=named))
    assert "rope_freqs.weight to other divisors than those of Llama 3" in said


# Tensors


@pytest.mark.parametrize(
    ("name", "n"), [("blk.1.attn_q.bias", 16), ("rope_factors_long.weight", 2)]
)
def test_a_tensor_that_would_be_left_out_is_refused(tiny, tmp_path, name, n):
    extra = {name: np.ones(n, np.float32)}
    said = refusal(write(tiny, tmp_path / "model.gguf", tensors=extra))
    assert f"1 tensors that a model of type 'llama' does not have, {name}" in said


@pytest.mark.parametrize("kind", ["adapter", "mmproj"])
def test_a_gguf_file_that_is_no_model_is_refused(tiny, tmp_path, kind):
    path = write(tiny, tmp_path / "m.gguf", everywhere={"general.type": kind})
    assert f"holds no model but a thing of type '{kind}'" in refused(path)


@pytest.mark.parametrize(
    ("architecture", "model_type"),
    [
        *((name, name) for name in ("granite", "smollm3", "olmo", "olmo2", "gemma")),
        ("command-r", "cohere"),
        ("phi2", "phi"),
        ("gptneox", "gpt_neox"),
        ("cohere2", "cohere2"),
    ],
)
def test_a_type_that_is_read_from_folders_alone_is_no_damage(
    tiny, tmp_path, architecture, model_type
):
    path = write_gguf(tiny, tmp_path / "model.gguf", architecture=architecture)
    said = refused(path)
    assert f"of type '{model_type}', which is read from folders but not from" in said
    assert "give the model's safetensors folder" in said


# Tokens


@pytest.mark.parametrize(
    ("keys", "begins"),
    [
        ({}, False),
        ({"tokenizer.ggml.add_bos_token": True}, True),
        ({"tokenizer.ggml.add_bos_token": False}, False),
        ({"tokenizer.ggml.pre": "llama-bpe"}, True),
        ({"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False},
         False),
    ],
)  # fmt: skip
def test_texts_begin_with_bos_as_the_header_says(tiny, tmp_path, keys, begins):
    loaded = opened(write(tiny, tmp_path / "model.gguf", everywhere=keys))
    ids = loaded.tokenizer("mill")["input_ids"]
    assert len(ids) == 4 + begins
    assert (ids[0] == loaded.tokenizer.bos_token_id) == begins


TEXTS = (
    "It's 1234 mills in 2024.\n\n  12 wheels\t\tturn, WE'LL see",
    "  don't -- x=10  ;\n\n\n7",
)
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@pytest.mark.parametrize(
    ("pre", "splits"),
    [
        ("gpt-2", [GPT2]),
        ("starcoder", [r"\p{N}", GPT2]),
        ("stablelm2", [QWEN2]),
        ("qwen2", [QWEN2]),
    ],
)
def test_texts_are_split_as_llama_cpp_does(tiny, tmp_path, pre, splits):
    """The other road: the expressions of llama.cpp's `llm_tokenizer_bpe`, in turn."""
    keys = {"tokenizer.ggml.pre": pre}
    write(tiny, tmp_path / "model.gguf", everywhere=keys)
    found = read_tokenizer(Source(tmp_path, "model.gguf")).backend_tokenizer
    expected = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated") for split in splits]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    for text in TEXTS:
        one, other = (
            [piece for piece, _ in split.pre_tokenize_str(text)]
            for split in (found.pre_tokenizer, expected)
        )
        assert one == other


@pytest.mark.parametrize(("pre", "n"), [("llama-bpe", 2), ("tekken", 2), ("qwen2", 4)])
def test_a_word_of_the_vocabulary_is_one_token_where_llama_cpp_takes_it(
    tiny, tmp_path, pre, n
):
    """`mill` is in the vocabulary, and no merges lead to it; BOS stands before."""
    symbols = vocabulary(tiny)["tokenizer.ggml.tokens"]
    symbols[symbols.index("þ")] = "mill"
    keys = {"tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": symbols}
    loaded = opened(write(tiny, tmp_path / "model.gguf", everywhere=keys))
    assert len(loaded.tokenizer("mill")["input_ids"]) == n


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("ggml.pre", pre) for pre in ("deepseek-llm", "no-such-pre", "default")),
        ("ggml.model", "t5"),
        ("ggml.add_space_prefix", True),
        ("ggml.remove_extra_whitespaces", True),
        ("ggml.precompiled_charsmap", [1, 2]),
        ("ggml.normalizer.lowercase", True),
        ("ggml.a_key_of_next_year", 1),
        ("rwkv.world", "x"),
    ],
)
def test_a_key_of_the_tokenizer_that_is_not_computed_is_refused(
    tiny, tmp_path, key, value
):
    keys = {f"tokenizer.{key}": value}
    said = refused(write(tiny, tmp_path / "model.gguf", everywhere=keys))
    assert f"sets tokenizer.{key} to {value}, which changes how text becomes" in said


@pytest.mark.parametrize("key", ["model", "pre"])
def test_how_text_is_split_is_not_guessed(tiny, tmp_path, key):
    keys = {f"tokenizer.ggml.{key}": None}
    said = refused(write(tiny, tmp_path / "model.gguf", everywhere=keys))
    assert f"lacks the key tokenizer.ggml.{key}, which says how text" in said


def test_keys_that_change_no_token_are_let_through(plain, tiny, tmp_path):
    keys = {
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.eot_token_id": 3,
        "tokenizer.ggml.suppress_tokens": [1],
        "tokenizer.ggml.remove_extra_whitespaces": False,
        "tokenizer.chat_template": "{{ x }}",
        "tokenizer.chat_template.tool": "{{ x }}",
    }
    one, other = (
        opened(plain),
        opened(write(tiny, tmp_path / "model.gguf", everywhere=keys)),
    )
    text = "It's a mill."
    assert tokens.encoded(one, text) == tokens.encoded(other, text)


def sentencepiece(lm, **more):
    """A vocabulary as SentencePiece's are, of as many tokens as the model has."""
    letters = ["<unk>", "<s>", "</s>", "▁", *"abcdefghijklmnopqrstuvwxyz", "▁a", "ab"]
    symbols = letters + [f"<0x{n:02X}>" for n in range(256)]
    symbols = symbols[: lm.config.vocab_size]
    kinds = [2, 3, 3, *[1] * (len(letters) - 3), *[6] * 256][: len(symbols)]
    fields = {"model": "llama", "pre": "default", "tokens": symbols, "merges": None}
    fields |= {"scores": [-float(n) for n in range(len(symbols))], "token_type": kinds}
    return {f"tokenizer.ggml.{k}": v for k, v in (fields | more).items()}


@pytest.mark.parametrize(
    ("prefix", "pieces"),
    [(False, ["ab"]), (True, ["▁a", "b"]), (None, ["▁a", "b"])],
)
def test_a_blank_stands_before_a_text_only_if_the_header_says_so(
    tiny, tmp_path, prefix, pieces
):
    keys = sentencepiece(tiny, add_space_prefix=prefix)
    loaded = opened(write(tiny, tmp_path / "model.gguf", everywhere=keys))
    ids = tokens.encoded(loaded, "ab")
    assert loaded.tokenizer.convert_ids_to_tokens(ids) == pieces
    if prefix is False:
        ids = tokens.encoded(loaded, " ab")
        assert loaded.tokenizer.convert_ids_to_tokens(ids) == ["▁a", "b"]
        assert loaded.tokenizer.decode(ids) == " ab"


@pytest.mark.parametrize(
    ("token", "kind"), [("<｜User｜>", 3), ("   ", 4), ("<think>", 4)]
)
def test_tokens_of_their_own_have_the_place_that_the_header_gives_them(
    tiny, tmp_path, token, kind
):
    """transformers spells what byte-level letters cannot as bytes, and loses it."""
    symbols = vocabulary(tiny)["tokenizer.ggml.tokens"]
    place = symbols.index("þ")
    symbols[place] = token
    kinds = [kind if n == place else 1 for n in range(len(symbols))]
    keys = {"tokenizer.ggml.tokens": symbols, "tokenizer.ggml.token_type": kinds}
    if kind == 3:
        keys["tokenizer.ggml.bos_token_id"] = place
    loaded = opened(write(tiny, tmp_path / "model.gguf", everywhere=keys))
    ids = loaded.tokenizer(f"a{token}b", add_special_tokens=False)["input_ids"]
    assert (len(ids), ids[1]) == (3, place)
    always = replace(loaded, spec=replace(loaded.spec, bos="always"))
    if kind == 3:
        assert tokens.opening(always) == (place,)


def test_what_lies_beside_a_gguf_file_is_not_read(tiny, plain, tmp_path):
    """transformers would take another model's tokenizer first, and an adapter."""
    save_folder(tiny_model("gpt2", seed=5), tmp_path)
    for other in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (tmp_path / other).write_text("{}")
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "x/y"}')
    loaded = opened(shutil.copy(plain, tmp_path / "model.gguf"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)
    assert len(loaded.tokenizer("mill")["input_ids"]) == 4


# Parts


@pytest.fixture
def parts(plain, tmp_path, monkeypatch):
    """The plain file in three parts, as llama-gguf-split writes it."""
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    return split(plain, tmp_path / "parts")


def split(path, folder):
    reader = gguf.GGUFReader(path)
    groups = np.array_split(np.array(reader.tensors, dtype=object), 3)
    folder.mkdir()
    for n, group in enumerate(groups):
        path = folder / f"model-{n + 1:05}-of-00003.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for key, field in reader.fields.items() if n == 0 else ():
            if not key.startswith(("GGUF.", "general.architecture")):
                is_array = field.types[0] == gguf.GGUFValueType.ARRAY
                inner = field.types[-1] if is_array else None
                writer.add_key_value(key, field.contents(), field.types[0], inner)
        writer.add_uint16("split.no", n)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in (reader.tensors[i] for i in indices(reader, group)):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return folder


def indices(reader, group):
    names = [row[0] for row in group]
    return [i for i, t in enumerate(reader.tensors) if t.name in names]


@pytest.mark.parametrize("n", [1, 3])
def test_a_file_in_parts_is_the_whole_model(tiny, parts, n):
    """Whichever part is named; the parts are put together once."""
    path, cache = parts / f"model-0000{n}-of-00003.gguf", parts.parent / "cache"
    loaded = opened(path)
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)
    (merged,) = (cache / "merged").iterdir()
    before = merged.stat().st_ino
    opened(path)
    assert merged.stat().st_ino == before


def test_a_file_in_parts_is_described_without_copying_it(parts):
    """In the page's own thread: the headers of the parts say all that is asked."""
    spec = ModelSpec(name=str(parts / "model-00001-of-00003.gguf"))
    assert shape(spec).widths == (24, 24)
    assert not (parts.parent / "cache").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"expert_count": 8}, "llama.expert_count"),
        ({"block_count": 1}, "does not have"),
    ],
)
def test_parts_that_are_refused_are_not_copied(tiny, tmp_path, monkeypatch, keys, said):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    folder = split(write(tiny, tmp_path / "whole.gguf", **keys), tmp_path / "parts")
    assert said in refusal(folder / "model-00001-of-00003.gguf")
    assert not (tmp_path / "cache").exists()


def test_parts_that_the_disk_cannot_hold_are_not_copied(parts, monkeypatch):
    full = shutil._ntuple_diskusage(10**9, 10**9 - 100, 100)
    monkeypatch.setattr("llmrank.models.gguf.parts.disk_usage", lambda _: full)
    said = refusal(parts / "model-00001-of-00003.gguf")
    assert "put together before they are read, which takes" in said
    assert "free some space, or set LLMRANK_CACHE" in said
    assert list((parts.parent / "cache" / "merged").iterdir()) == []


def test_putting_parts_together_can_be_stopped(parts):
    def stop(what, *_):
        if what == "Putting the parts together":
            raise CancelledError

    spec = ModelSpec(name=str(parts / "model-00001-of-00003.gguf"), device="cpu")
    with pytest.raises(CancelledError):
        load(spec, progress=stop)
    assert list((parts.parent / "cache" / "merged").iterdir()) == []


def test_wholes_that_nobody_used_for_an_hour_go(plain, parts):
    merged = parts.parent / "cache" / "merged"
    merged.mkdir(parents=True)
    for name, age_s in (("old", 3700), ("recent", 3500)):
        (merged / f"{name}.gguf").touch()
        os.utime(merged / f"{name}.gguf", (time.time() - age_s,) * 2)
    opened(plain)
    assert [path.name for path in merged.iterdir()] == ["recent.gguf"]


def test_a_missing_part_is_named(parts):
    (parts / "model-00002-of-00003.gguf").unlink()
    said = refusal(parts / "model-00001-of-00003.gguf")
    assert "is one of 3 parts, and model-00002-of-00003.gguf is missing" in said


def test_a_damaged_part_is_refused(parts):
    path = parts / "model-00003-of-00003.gguf"
    path.write_bytes(path.read_bytes()[:-9000])
    said = refusal(parts / "model-00001-of-00003.gguf")
    assert "a part is damaged or incomplete" in said
    assert "cache" not in said


def test_parts_of_two_models_are_refused(parts):
    shutil.copy(
        parts / "model-00003-of-00003.gguf", parts / "model-00002-of-00003.gguf"
    )
    said = refusal(parts / "model-00001-of-00003.gguf")
    assert "the parts are not of one model" in said


def test_a_part_that_leads_elsewhere_is_refused(parts):
    part = parts / "model-00002-of-00003.gguf"
    part.symlink_to(part.rename(parts.parent / "secret.gguf"))
    said = refusal(parts / "model-00001-of-00003.gguf")
    assert f"{part.name!r} leads out of the model's folder" in said
    assert "secret" not in said


def test_a_part_by_another_name_is_said_to_be_one(parts):
    path = (parts / "model-00001-of-00003.gguf").rename(parts / "model.gguf")
    assert "is part 1 of 3" in refusal(path)
    assert "llama-gguf-split --merge" in refusal(path)
