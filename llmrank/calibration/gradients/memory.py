"""What memory a backward pass takes, known before it runs."""

from collections.abc import Sequence

from llmrank.core.devices import free_bytes
from llmrank.core.errors import LLMRankError
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


def check_memory(lm: LanguageModel, seq_len: int) -> None:
    """Refuse a backward pass that cannot fit."""
    has = free_bytes(lm.device)
    if has is not None and needed_bytes(lm, seq_len) > has:
        raise too_little(lm, seq_len)


def needed_bytes(lm: LanguageModel, seq_len: int) -> int:
    """Return the memory that `measure` takes beside the model; see `gradient_bytes`."""
    views, weights = ffn.ffns(lm.model), next(lm.model.parameters())
    return gradient_bytes(
        d_model=views[0].up.shape[1],
        widths=[view.d_ff for view in views],
        d_vocab=lm.config.vocab_size,
        seq_len=seq_len,
        itemsize=weights.element_size(),
    )


def gradient_bytes(
    *, d_model: int, widths: Sequence[int], d_vocab: int, seq_len: int, itemsize: int
) -> int:
    """Estimate the memory of the backward pass from the sizes of the model alone.

    Two float32 copies of the FFN weights (sums of gradients and of their squares) and
    three of one layer's while it is added, what one window leaves behind for the way
    back (per token and layer, six values as wide as the FFN and sixteen as the residual
    stream), and its logits five times (logits, float32, log-softmax, two gradients).
    """
    n_matrices = 3  # gate, up, down; an upper bound for ungated families
    sums = 4 * n_matrices * d_model * (2 * sum(widths) + max(widths))
    kept = itemsize * seq_len * (6 * sum(widths) + 16 * d_model * len(widths))
    return sums + kept + 5 * 4 * seq_len * d_vocab


def too_little(lm: LanguageModel, seq_len: int) -> LLMRankError:
    """Say what the pass needs, what there is, and how to need less."""
    has = free_bytes(lm.device)
    free = "" if has is None else f", and {has / 1e9:.2f} GB are free"
    return LLMRankError(
        f"the gradients of {lm.spec.name} need about "
        f"{needed_bytes(lm, seq_len) / 1e9:.2f} GB beside the model{free}; choose a "
        "criterion without gradients, a smaller model or a smaller seq_len"
    )
