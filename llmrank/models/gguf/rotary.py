"""The rotary positions that a GGUF header describes, in transformers' terms."""

import copy
import math
from typing import Any

import numpy as np

from llmrank.models.gguf.header import FACTORS, Header

BASE = 10_000.0
"""Of the frequencies, where a file names none (llama.cpp)."""

UNSCALED = {
    "attn_factor": (0, 1),
    "alpha": (0,),
    "finetuned": (False, True),
    "yarn_attn_factor": (1,),
    "yarn_ext_factor": (1,),
    "yarn_log_multiplier": (0,),
}
"""Values of the scaling's other keys that leave it as transformers computes it."""

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3_POSITIONS = 8192
"""What all published models with this scaling have; only their factors differ."""


def rotary(
    header: Header, own: dict[str, Any], blank: Any, fields: dict[str, Any]
) -> dict[str, Any]:
    """Take the keys of the rotary positions out of `own`; return `rope_parameters`.

    Raises:
        LLMRankError: a scaling that is not understood, naming the key.
    """
    parameters = copy.deepcopy(blank.rope_parameters)
    nested = "full_attention" in parameters
    scaled = parameters["full_attention"] if nested else parameters
    scaled["rope_theta"] = own.pop("rope.freq_base", BASE)
    if nested:
        local = own.pop("rope.freq_base_swa", BASE)
        parameters["sliding_attention"]["rope_theta"] = local
    head = fields.get("head_dim") or (
        fields["hidden_size"] // max(1, fields["num_attention_heads"])
    )
    turned = own.pop("rope.dimension_count", head)
    if "partial_rotary_factor" in scaled and turned <= head:
        scaled["partial_rotary_factor"] = turned / head
    elif turned != head:
        raise header.refusal("rope.dimension_count", turned)
    scaling = _scaling(header, own, fields["max_position_embeddings"])
    if FACTORS in header.tensors:
        if scaling:
            raise header.refusal("rope.scaling.type", scaling["rope_type"])
        scaling = _of_factors(header, scaled["rope_theta"], turned)
    scaled.update(scaling)
    return dict(parameters)


def _scaling(header: Header, own: dict[str, Any], n_positions: int) -> dict[str, Any]:
    before = "rope.scaling."
    named = {k.removeprefix(before): k for k in own if k.startswith(before)}
    values = {short: own.pop(key) for short, key in named.items()}
    factor = own.pop("rope.scale_linear", values.pop("factor", 0)) or 1
    kind = values.pop("type", "linear")
    original = values.pop("original_context_length", n_positions)
    betas = {
        name: values.pop(f"yarn_{name}")
        for name in ("beta_fast", "beta_slow")
        if f"yarn_{name}" in values
    }
    for key, value in values.items():
        if value not in UNSCALED.get(key, ()):
            raise header.refusal(f"{before}{key}", value)
    if kind == "none" or (kind == "linear" and factor == 1):
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind != "yarn":
        raise header.refusal(f"{before}type", kind)
    yarn = {"rope_type": "yarn", "factor": factor}
    return yarn | {"original_max_position_embeddings": original} | betas


def _of_factors(header: Header, base: float, turned: int) -> dict[str, Any]:
    """Recognise the scaling of Llama 3 by the divisors that it writes."""
    from gguf import GGUFReader

    tensors = (t for part in header.parts for t in GGUFReader(part).tensors)
    data = next(t.data for t in tensors if t.name == FACTORS)
    divisors = np.array(data, dtype=np.float64).ravel()
    if np.allclose(divisors, 1):
        return {}
    scaling = {
        "rope_type": "llama3",
        "factor": float(divisors.max()),
        "original_max_position_embeddings": LLAMA3_POSITIONS,
    } | LLAMA3
    expected = llama3_divisors(base, turned, float(divisors.max()))
    if divisors.shape != expected.shape or not np.allclose(
        divisors, expected, rtol=1e-4
    ):
        raise header.refusal(FACTORS, "other divisors than those of Llama 3")
    return scaling


def llama3_divisors(base: float, n_dims: int, factor: float) -> Any:
    """Return what Llama 3's scaling divides each frequency by.

    Source: Llama 3.1's reference code (`apply_scaling`), as llama.cpp's converter.
    """
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    waves = 2 * math.pi * base ** (np.arange(0, n_dims, 2) / n_dims)
    smooth = ((LLAMA3_POSITIONS / waves - low) / (high - low)).clip(0, 1)
    return 1 / ((1 - smooth) / factor + smooth)
