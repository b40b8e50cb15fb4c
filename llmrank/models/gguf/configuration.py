"""The configuration that a GGUF header describes: every key computed, or refused."""

import math
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.models.families import family_of
from llmrank.models.gguf.header import Header
from llmrank.models.gguf.rotary import rotary
from llmrank.models.gguf.tokenizer import check_tokenizer
from llmrank.models.hf import transformers
from llmrank.models.sizes import check_largest

NEEDED = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "attention.head_count": "num_attention_heads",
}
GIVEN = {
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "use_parallel_residual": "use_parallel_residual",
    "vocab_size": "vocab_size",
}
EPSILONS = {
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps",),
    "attention.layer_norm_epsilon": (
        "layer_norm_eps",
        "norm_epsilon",
        "layer_norm_epsilon",
    ),
}
NEUTRAL = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "embedding_scale": (0, 1),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "logit_scale": (0, 1),
    "residual_scale": (0, 1),
    "tensor_data_layout": ("Meta AI original pth",),
}
"""What changes nothing where no field takes it (llama.cpp reads a scale of 0 as 1)."""

PATTERN = "attention.sliding_window_pattern"

SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}

LARGEST_GEMMAS = {"gemma2": 46, "gemma3_text": 62}
"""The layers of the 27B models, whose attention is scaled by another number than the
heads' size: no key says so, and llama.cpp tells them by their layers too."""


def configuration(header: Header) -> Any:
    """Translate a header; every key of it is computed, changes nothing, or is refused.

    transformers' own reader drops what it does not know, and fills in what is missing
    from the defaults of some checkpoint; llama.cpp's defaults are taken here.
    """
    check_tokenizer(header)
    blank = transformers().AutoConfig.for_model(header.model_type)
    own = header.own
    asked = _sizes(header, own, blank) | _norms(header, own, blank)
    asked |= _attention(header, own, blank, asked)
    check_largest(dict(asked.values()), header.name)
    for key, field in GIVEN.items():
        if key in own and hasattr(blank, field):
            asked[key] = (field, own.pop(key))
    fields = dict(asked.values())
    if PATTERN in own and getattr(blank, "sliding_window", None):
        fields["layer_types"] = _windowed(header, own.pop(PATTERN), fields)
    if hasattr(blank, "rope_parameters"):
        fields["rope_parameters"] = rotary(header, own, blank, fields)
    _check_left(header, own, fields)
    fields = _of_tensors(header, blank) | _of_tokens(header) | fields
    mapped = {blank.attribute_map.get(f, f): value for f, value in fields.items()}
    config = transformers().AutoConfig.for_model(header.model_type, **mapped)
    for key, (field, value) in asked.items():
        if getattr(config, field) != value and not _hides_nothing(key, value, fields):
            raise header.refusal(key, value)
    return config


Asked = dict[str, tuple[str, Any]]
"""By key of the header: the field that takes it, and the value."""


def _sizes(header: Header, own: dict[str, Any], blank: Any) -> Asked:
    width = family_of(header.model_type).width
    asked = {}
    for key, field in (NEEDED | {"feed_forward_length": width}).items():
        value = own.pop(key, None)
        if value is None:
            raise LLMRankError(
                f"{header.name} lacks the key {header.architecture}.{key}; "
                "it is incomplete, convert it again"
            )
        if isinstance(value, list | bool) or not isinstance(value, int):
            raise header.refusal(key, value)
        asked[key] = (field, value)
    heads = asked["attention.head_count"][1]
    kv = own.pop("attention.head_count_kv", heads)
    if hasattr(blank, "num_key_value_heads"):
        asked["attention.head_count_kv"] = ("num_key_value_heads", kv)
    elif kv != heads:
        raise header.refusal("attention.head_count_kv", kv)
    return asked


def _norms(header: Header, own: dict[str, Any], blank: Any) -> Asked:
    for key, fields in EPSILONS.items():
        field = next((f for f in fields if hasattr(blank, f)), None)
        if key in own and field is not None:
            return {key: (field, own.pop(key))}
    raise LLMRankError(
        f"{header.name} lacks the epsilon of its norms; it is incomplete, convert it "
        "again"
    )


def _attention(header: Header, own: dict[str, Any], blank: Any, asked: Asked) -> Asked:
    """Heads are as wide as the model has room for, unless a key says otherwise."""
    room = asked["embedding_length"][1] // max(1, asked["attention.head_count"][1])
    width = own.pop("attention.key_length", room)
    values = own.pop("attention.value_length", width)
    if values != width:
        raise header.refusal("attention.value_length", values)
    widths = {"attention.key_length": ("head_dim", width)}
    if not hasattr(blank, "head_dim"):
        if width != room:
            raise header.refusal("attention.key_length", width)
        widths = {}
    scale = own.pop("attention.scale", 0)
    if hasattr(blank, "query_pre_attn_scalar"):
        largest = asked["block_count"][1] == LARGEST_GEMMAS[header.model_type]
        square = scale**-2 if scale else room if largest else width
        return widths | {"attention.scale": ("query_pre_attn_scalar", round(square))}
    if scale and not math.isclose(scale, width**-0.5, rel_tol=1e-5):
        raise header.refusal("attention.scale", scale)
    return widths


def _check_left(header: Header, own: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, value in own.items():
        neutral = not isinstance(value, list) and value in NEUTRAL.get(key, ())
        if not neutral and not _hides_nothing(key, value, fields):
            raise header.refusal(key, value)


def _hides_nothing(key: str, value: Any, fields: dict[str, Any]) -> bool:
    """Whether it is a window as wide as the longest text."""
    return key == "attention.sliding_window" and (
        value == 0 or value >= fields["max_position_embeddings"]
    )


def _windowed(header: Header, pattern: Any, fields: dict[str, Any]) -> list[str]:
    """Every so many layers one sees all; or one truth value per layer."""
    n_layers = fields["num_hidden_layers"]
    if isinstance(pattern, int) and pattern > 0:
        pattern = [(layer + 1) % pattern > 0 for layer in range(n_layers)]
    if not isinstance(pattern, list) or len(pattern) != n_layers:
        raise header.refusal(PATTERN, pattern)
    return ["sliding_attention" if kind else "full_attention" for kind in pattern]


def _of_tensors(header: Header, blank: Any) -> dict[str, Any]:
    """An output head of its own, biases and a second norm show in the tensors."""
    fields: dict[str, Any] = {
        "tie_word_embeddings": "output.weight" not in header.tensors
    }
    if hasattr(blank, "use_qkv_bias"):
        fields["use_qkv_bias"] = "blk.0.attn_q.bias" in header.tensors
    if hasattr(blank, "use_parallel_residual"):
        second = "blk.0.ffn_norm.weight" in header.tensors
        fields["use_parallel_residual"] = not second
    return fields


def _of_tokens(header: Header) -> dict[str, Any]:
    values = {
        f"{name}_token_id": header.values.get(f"tokenizer.ggml.{key}_token_id")
        for name, key in SPECIAL.items()
    }
    return values | {"vocab_size": header.values.get("tokenizer.ggml.tokens")}
