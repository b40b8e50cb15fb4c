"""Checkpoints as others write them, whole and damaged."""

import json
from pathlib import Path

import gguf
import pytest
from safetensors.torch import load_file, save_file

from llmrank.core.errors import LLMRankError
from llmrank.models.language_model import ModelSpec, load

UP = "model.layers.1.mlp.up_proj.weight"


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(lm, path, *, architecture="llama", without=()):
    """Write a Llama model as llama.cpp's converter does, in float32."""
    c, writer = lm.config, gguf.GGUFWriter(path, architecture)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    writer.add_vocab_size(c.vocab_size)
    vocab = lm.tokenizer.get_vocab()
    symbols = sorted(vocab, key=vocab.get)
    symbols[symbols.index("ÿ")] = "th"  # readers want a merge; no UTF-8 has byte 255
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(symbols)
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(vocab["<eos>"])
    for name, tensor in lm.model.state_dict().items():
        if name != without:
            writer.add_tensor(gguf_name(name), gguf_order(lm, name, tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_name(name):
    stem = name.removesuffix(".weight")
    if stem in GGUF_NAMES:
        return f"{GGUF_NAMES[stem]}.weight"
    _, _, layer, *inner = stem.split(".")
    return f"blk.{layer}.{GGUF_NAMES['.'.join(inner)]}.weight"


def gguf_order(lm, name, weight):
    """llama.cpp interleaves the two halves of each rotary head of q and k."""
    heads = {
        "q_proj": lm.config.num_attention_heads,
        "k_proj": lm.config.num_key_value_heads,
    }
    n_heads = next((n for key, n in heads.items() if key in name), None)
    if n_heads is None:
        return weight
    rows = weight.shape[0] // n_heads // 2
    halves = weight.reshape(n_heads, 2, rows, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def change_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def refusal(name):
    """Load, and return the sentence that says why not."""
    with pytest.raises(LLMRankError) as caught:
        load(ModelSpec(name=str(name), device="cpu"))
    text = str(caught.value)
    assert "\n" not in text
    return text


class Mark:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


DEEP = "[" * 100_000
