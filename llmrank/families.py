"""Where each model family keeps its FFN layers: one table entry per family."""

from dataclasses import dataclass

from llmrank.errors import LLMRankError


@dataclass(frozen=True)
class Family:
    """Where the FFN of one family of models is found.

    `blocks` leads from the model to its list of blocks, `ffn` from a block to the
    module that holds the projections (empty: the block itself). `gate` is None for an
    FFN without a gate. `width` is the config field that holds d_ff. `norm` leads to
    the norm before the output head (some models of a family have none there).
    """

    model_types: tuple[str, ...]
    blocks: str
    ffn: str
    gate: str | None
    up: str
    down: str
    width: str
    norm: str


FAMILIES = (
    Family(
        model_types=(
            "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo", "olmo2",
            "smollm3", "stablelm", "granite", "cohere", "gemma3_text",
        ),
        blocks="model.layers", ffn="mlp",
        gate="gate_proj", up="up_proj", down="down_proj", width="intermediate_size",
        norm="model.norm",
    ),
    Family(
        model_types=("gpt2",), blocks="transformer.h", ffn="mlp",
        gate=None, up="c_fc", down="c_proj", width="n_inner",
        norm="transformer.ln_f",
    ),
    Family(
        model_types=("gpt_neox",), blocks="gpt_neox.layers", ffn="mlp",
        gate=None, up="dense_h_to_4h", down="dense_4h_to_h", width="intermediate_size",
        norm="gpt_neox.final_layer_norm",
    ),
    Family(
        model_types=("opt",), blocks="model.decoder.layers", ffn="",
        gate=None, up="fc1", down="fc2", width="ffn_dim",
        norm="model.decoder.final_layer_norm",
    ),
    Family(
        model_types=("phi",), blocks="model.layers", ffn="mlp",
        gate=None, up="fc1", down="fc2", width="intermediate_size",
        norm="model.final_layernorm",
    ),
    Family(
        model_types=("starcoder2",), blocks="model.layers", ffn="mlp",
        gate=None, up="c_fc", down="c_proj", width="intermediate_size",
        norm="model.norm",
    ),
)  # fmt: skip

SUPPORTED = tuple(t for family in FAMILIES for t in family.model_types)


def family_of(model_type: str) -> Family:
    """Return the entry of a model type.

    Raises:
        LLMRankError: when no family lists the type; it names the supported ones.
    """
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    raise LLMRankError(
        f"models of type {model_type[:80]!r} are not supported; "
        f"supported types: {', '.join(SUPPORTED)}"
    )
