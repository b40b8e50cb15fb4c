"""What a model costs by its shapes alone: parameters, bytes, multiply-accumulates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True)
class Footprint:
    """The size of a model and the arithmetic of one token.

    Weights that are used twice (a tied output head) are stored once and multiplied
    each time. MACs are multiply-accumulates with weights; the products between tokens
    (attention scores and their sums) grow with the context and are left out, as they
    are alike in the dense and the pruned model.
    """

    n_params: int
    n_ffn_params: int
    n_ffn_neurons: int
    widths: tuple[int, ...]
    weight_bytes: int
    read_bytes_per_token: int
    """Weights that one forward pass reads in full: all but looked-up embeddings."""
    macs_per_token: int
    """For one decoded token: every linear layer and the output head."""
    ffn_macs_per_token: int
    head_macs: int

    def prefill_macs(self, n_tokens: int) -> int:
        """Return the MACs of reading a prompt; the head answers its last token only."""
        body = self.macs_per_token - self.head_macs
        return n_tokens * body + self.head_macs


def footprint(lm: LanguageModel) -> Footprint:
    """Count a model's parameters, bytes and MACs by walking its modules.

    Raises:
        LLMRankError: the model's family is not in the table.
    """
    model = lm.model
    widths = ffn.widths(model)
    layers = [m for p in ffn.projections(model) for m in p.modules]
    stored = {id(p): p for p in model.parameters()}
    return Footprint(
        n_params=sum(p.numel() for p in stored.values()),
        n_ffn_params=sum(p.numel() for m in layers for p in m.parameters()),
        n_ffn_neurons=sum(widths),
        widths=widths,
        weight_bytes=sum(p.nbytes for p in stored.values()),
        read_bytes_per_token=_read_bytes(model, stored),
        macs_per_token=sum(map(_macs, model.modules())),
        ffn_macs_per_token=sum(map(_macs, layers)),
        head_macs=_macs(model.get_output_embeddings()),
    )


def planned(lm: LanguageModel, widths: Sequence[int]) -> Footprint:
    """Count what the model would cost with other FFN widths, without cutting it.

    Raises:
        LLMRankError: the model's family is not in the table.
    """
    dense, layers = footprint(lm), ffn.projections(lm.model)
    weights = biases = 0
    for before, after, p in zip(dense.widths, widths, layers, strict=True):
        per_neuron = sum(map(_macs, p.modules)) // before
        n_biases = sum(getattr(m, "bias", None) is not None for m in p.inner)
        weights += (before - after) * per_neuron
        biases += (before - after) * n_biases
    n_params = weights + biases
    n_bytes = n_params * next(layers[0].up.parameters()).element_size()
    return replace(
        dense,
        n_params=dense.n_params - n_params,
        n_ffn_params=dense.n_ffn_params - n_params,
        n_ffn_neurons=sum(widths),
        widths=tuple(widths),
        weight_bytes=dense.weight_bytes - n_bytes,
        read_bytes_per_token=dense.read_bytes_per_token - n_bytes,
        macs_per_token=dense.macs_per_token - weights,
        ffn_macs_per_token=dense.ffn_macs_per_token - weights,
    )


def _macs(module: Any) -> int:
    """A weight of `n` entries costs n MACs a token, however it is stored."""
    is_linear = isinstance(module, nn.Linear) or ffn.is_transposed(module)
    return module.weight.numel() if is_linear else 0


def _read_bytes(model: Any, stored: dict[int, nn.Parameter]) -> int:
    head = {id(p) for p in model.get_output_embeddings().parameters()}
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    looked_up = {id(p) for m in tables for p in m.parameters()} - head
    return sum(p.nbytes for key, p in stored.items() if key not in looked_up)
