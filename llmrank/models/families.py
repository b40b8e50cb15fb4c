"""Where each model family keeps its FFN layers: one table entry per family."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmrank.core.errors import LLMRankError


@dataclass(frozen=True)
class Family:
    """Where the FFN of one family of models is found.

    `blocks` leads from the model to its list of blocks, `ffn` from a block to the
    module that holds the projections (empty: the block itself). `gate` is None for an
    FFN without a gate. `width` is the config field that holds d_ff. `norm` leads to
    the norm before the output head. `after_norm` is a block's norm between FFN and
    residual stream, `residual_scale` its factor on that way, `bias_switch` the config
    field that gives every projection a bias. Some models of a family have none of them.
    """

    model_types: tuple[str, ...]
    up: str
    down: str
    norm: str
    gate: str | None = None
    blocks: str = "model.layers"
    ffn: str = "mlp"
    width: str = "intermediate_size"
    after_norm: str = "post_feedforward_layernorm"
    residual_scale: str = "residual_multiplier"
    bias_switch: str = "mlp_bias"


FAMILIES = (
    Family(
        model_types=(
            "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text",
            "olmo", "olmo2", "olmo3", "smollm3", "stablelm", "granite", "cohere",
            "cohere2", "exaone4", "seed_oss", "ernie4_5", "hunyuan_v1_dense", "helium",
            "ministral", "ministral3", "cwm", "vaultgemma",
        ),
        gate="gate_proj", up="up_proj", down="down_proj", norm="model.norm",
    ),
    Family(
        model_types=("gpt2",), blocks="transformer.h",
        up="c_fc", down="c_proj", width="n_inner", norm="transformer.ln_f",
    ),
    Family(
        model_types=("gpt_neox",), blocks="gpt_neox.layers",
        up="dense_h_to_4h", down="dense_4h_to_h", norm="gpt_neox.final_layer_norm",
    ),
    Family(
        model_types=("opt",), blocks="model.decoder.layers", ffn="",
        up="fc1", down="fc2", width="ffn_dim", norm="model.decoder.final_layer_norm",
    ),
    Family(
        model_types=("phi",), up="fc1", down="fc2", norm="model.final_layernorm",
    ),
    Family(
        model_types=("starcoder2",), up="c_fc", down="c_proj", norm="model.norm",
    ),
)  # fmt: skip

_FAMILY_OF = {name: family for family in FAMILIES for name in family.model_types}
SUPPORTED = tuple(_FAMILY_OF)


def family_of(model_type: str) -> Family:
    """Return the entry of a model type.

    Raises:
        LLMRankError: when no family lists the type; it names the supported ones.
    """
    if model_type in _FAMILY_OF:
        return _FAMILY_OF[model_type]
    raise LLMRankError(
        f"models of type {model_type[:80]!r} are not supported; "
        f"supported types: {', '.join(SUPPORTED)}"
    )


def check_type(config: Mapping[str, Any]) -> None:
    """Refuse a configuration whose type no family lists.

    Raises:
        LLMRankError: as `family_of`; of a model of text and images it names the part
            that can be read.
    """
    own, text = str(config["model_type"]), config.get("text_config")
    inner = text.get("model_type") if isinstance(text, Mapping) else None
    if own not in SUPPORTED and inner in SUPPORTED:
        raise LLMRankError(
            f"this is a model of more than text (type {own[:80]!r}), of which only the "
            f"text model (type {inner!r}) can be read; save that one alone with "
            "transformers, and give its folder"
        )
    family_of(own)
