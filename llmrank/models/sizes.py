"""What sizes a model may have, asked before anything is built of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.models.families import family_of

LARGEST = {
    "num_hidden_layers": 1000,
    "hidden_size": 2**24,
    "head_dim": 2**16,
    "num_attention_heads": 2**16,
    "num_key_value_heads": 2**16,
    "vocab_size": 2**24,
    "max_position_embeddings": 2**31,
}
"""What a config.json may say; beyond any model, and small enough to be refused fast."""

COUNTED = dict.fromkeys(("n_layer", "n_layers", "num_layers"), 1000)
COUNTED |= LARGEST | {"num_labels": 2**16}
"""What transformers may build lists of before the configuration can be asked."""

MAX_ENTRIES = 2**14
"""Of one list or object in a config.json: enough for any, and read at once."""


def check_largest(sizes: Mapping[str, Any], name: str) -> None:
    """Refuse sizes beyond any model before anything is built of them."""
    for key, value in pairs(sizes):
        largest = COUNTED.get(key)
        if isinstance(value, dict | list) and len(value) > MAX_ENTRIES:
            raise LLMRankError(
                f"{name} describes a model whose {key[:40]} has {len(value):,} "
                f"entries; it must have {MAX_ENTRIES:,} at most"
            )
        if largest and isinstance(value, int | float) and value > largest:
            raise LLMRankError(_beyond(name, key, value, largest))


def check_sizes(config: Any, name: str) -> None:
    """Refuse a model built of nothing, or of what only fills the memory."""
    for field, largest in (
        LARGEST | {family_of(config.model_type).width: 2**24}
    ).items():
        size = getattr(config, field, None)
        if size is not None and not (isinstance(size, int) and 1 <= size <= largest):
            raise LLMRankError(_beyond(name, field, size, largest))


def check_bytes(config: Any, widths: Sequence[int], n_bytes: int, name: str) -> None:
    """Refuse a model of more parameters than its weights have bits.

    transformers makes room for all of them before it finds that they are not there.
    """
    n_layers, d_model = config.num_hidden_layers, config.hidden_size
    heads = config.num_attention_heads * (
        getattr(config, "head_dim", None) or d_model // config.num_attention_heads
    )
    d_ff = getattr(config, family_of(config.model_type).width) or 4 * d_model
    rows = config.vocab_size + 2 * (sum(widths) or n_layers * d_ff) + n_layers * heads
    if getattr(config, "rope_parameters", None) is None:  # every position has a row
        rows += config.max_position_embeddings
    if rows * d_model > 8 * n_bytes:
        raise LLMRankError(
            f"{name} describes at least {rows * d_model:,} parameters, and its weights "
            f"have {n_bytes:,} bytes; it is damaged or incomplete, copy it again"
        )


def pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key at any depth with its value; no call is nested for that."""
    left = [("configuration", content)]
    while left:
        key, value = left.pop()
        yield key, value
        if isinstance(value, Mapping):
            left += value.items()
        elif isinstance(value, list):
            left += [(key, inner) for inner in value if isinstance(inner, dict | list)]


def _beyond(name: str, key: str, size: Any, largest: int) -> str:
    return (
        f"{name} describes a model whose {key} is {str(size)[:40]}; "
        f"it must be a whole number from 1 to {largest:,}"
    )
