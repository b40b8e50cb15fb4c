"""Twins of a model with other FFN weights: cut, sorted, repaired, padded."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import pad

from llmrank.core.progress import Progress, silent, track
from llmrank.models.families import family_of
from llmrank.models.ffn.layers import (
    as_stored,
    bias_of,
    config_of,
    cut_bias,
    install,
    projections,
    replace_weight,
    rows_of,
    shared_copy,
    widths,
)

BIASED = "mlp_bias"
"""What configs call the switch that gives every FFN projection a bias."""


@torch.no_grad()
def cut(
    model: nn.Module,
    keep: Sequence[Int[Tensor, " _"]],
    *,
    progress: Progress = silent,
) -> nn.Module:
    """Return a twin whose FFN layers have only the kept neurons.

    Args:
        model: left as it is; all weights that are not cut are shared with it, also
            those of layers that keep every neuron.
        keep: the kept neurons of each layer, ascending.
        progress: called per layer.
    """
    pruned = shared_copy(model)
    layers = tuple(zip(projections(pruned), keep, strict=True))
    for p, kept in track(layers, "Cutting the layers", progress):
        if len(kept) == rows_of(p.up).shape[0]:
            continue
        rows = kept.to(rows_of(p.up).device)
        for module in (p.gate, p.up):
            if module is not None:
                replace_weight(module, rows_of(module)[rows], cut_bias(module, rows))
        # four times as fast as [:, rows] on a CPU
        replace_weight(p.down, rows_of(p.down).index_select(1, rows), bias_of(p.down))
        _declare_width(p.holder, len(kept))
    _declare_config_width(pruned, widths(pruned))
    return pruned


@torch.no_grad()
def reordered(
    model: nn.Module,
    orders: Sequence[Int[Tensor, " _"]],
    *,
    progress: Progress = silent,
) -> nn.Module:
    """Return a twin with the neurons of each layer in another order.

    It computes the same function; one copy of the FFN weights is made. They lie
    neuron after neuron in memory, whatever the family, so that a prefix is one piece.
    """
    other = shared_copy(model)
    layers = tuple(zip(projections(other), orders, strict=True))
    for p, order in track(layers, "Sorting the layers", progress):
        neurons = order.to(rows_of(p.up).device)
        for module in (p.gate, p.up):
            if module is not None:
                rows, bias = rows_of(module)[neurons], cut_bias(module, neurons)
                install(module, as_stored(module, rows.contiguous()), bias)
        columns = rows_of(p.down).T.contiguous()[neurons].T
        install(p.down, as_stored(p.down, columns), bias_of(p.down))
    return other


@torch.no_grad()
def prefix(model: nn.Module, new_widths: Sequence[int]) -> nn.Module:
    """Return a twin whose FFN layers are views of each layer's first neurons.

    It computes less, like a cut model, and no weight is copied: all are shared.
    """
    shorter = shared_copy(model)
    for p, width in zip(projections(shorter), new_widths, strict=True):
        for module in (p.gate, p.up):
            if module is not None:
                rows, bias = rows_of(module)[:width], cut_bias(module, slice(width))
                install(module, as_stored(module, rows), bias)
        columns = rows_of(p.down)[:, :width]
        install(p.down, as_stored(p.down, columns), bias_of(p.down))
        _declare_width(p.holder, width)
    _declare_config_width(shorter, widths(shorter))
    return shorter


@torch.no_grad()
def with_down(model: nn.Module, downs: Sequence[Tensor]) -> nn.Module:
    """Return a twin whose FFN layers have other output weights of the same shape."""
    other = shared_copy(model)
    for p, down in zip(projections(other), downs, strict=True):
        if down.shape != rows_of(p.down).shape:
            raise ValueError(f"down must be {rows_of(p.down).shape}, got {down.shape}")
        replace_weight(p.down, down, bias_of(p.down))
    return other


def can_have_bias(model: nn.Module) -> bool:
    """Whether a checkpoint of the model's type can hold a bias at the FFN's output."""
    has = all(bias_of(p.down) is not None for p in projections(model))
    return has or hasattr(config_of(model), BIASED)


@torch.no_grad()
def shifted(model: nn.Module, shifts: Sequence[Tensor]) -> nn.Module:
    """Return a twin with a constant added to the output of each FFN layer.

    Where the family has no biases but its config knows of them, every FFN projection
    gets one, zero but for the outputs'.
    """
    other = shared_copy(model)
    for p, shift in zip(projections(other), shifts, strict=True):
        for module in (p.gate, p.up, p.down):
            if module is not None:
                own = bias_of(module)
                zero = rows_of(module).new_zeros(rows_of(module).shape[0])
                bias = zero if own is None else own.clone()
                bias += shift.to(bias) if module is p.down else 0
                install(module, as_stored(module, rows_of(module)), bias)
    if hasattr(config_of(other), BIASED):
        setattr(config_of(other), BIASED, True)
    return other


@torch.no_grad()
def resize(model: nn.Module, new_widths: Sequence[int]) -> None:
    """Give a freshly built model FFN layers of the given widths, weights undefined."""
    for p, width in zip(projections(model), new_widths, strict=True):
        for module in (p.gate, p.up):
            if module is not None:
                weight, bias = rows_of(module), bias_of(module)
                new_bias = None if bias is None else bias.new_empty(width)
                replace_weight(
                    module, weight.new_empty(width, weight.shape[1]), new_bias
                )
        down = rows_of(p.down)
        replace_weight(p.down, down.new_empty(down.shape[0], width), bias_of(p.down))
        _declare_width(p.holder, width)
    _declare_config_width(model, widths(model))


@torch.no_grad()
def padded(model: nn.Module) -> nn.Module:
    """Return a twin widened to its widest layer by neurons whose weights are zero.

    A zero neuron adds nothing to the output, so the function is the same; the file is
    larger, and any loader that knows one `intermediate_size` opens it.
    """
    wide = shared_copy(model)
    width = max(widths(model))
    for p in projections(wide):
        missing = width - rows_of(p.up).shape[0]
        for module in (p.gate, p.up):
            if module is not None:
                bias = bias_of(module)
                wider = None if bias is None else pad(bias, (0, missing))
                rows = pad(rows_of(module), (0, 0, 0, missing))
                replace_weight(module, rows, wider)
        replace_weight(p.down, pad(rows_of(p.down), (0, missing)), bias_of(p.down))
        _declare_width(p.holder, width)
    _declare_config_width(wide, widths(wide))
    return wide


def _declare_width(holder: Any, width: int) -> None:
    if hasattr(holder, "intermediate_size"):
        holder.intermediate_size = width


def _declare_config_width(model: nn.Module, model_widths: Sequence[int]) -> None:
    """With different widths the config names the widest: plain loaders then refuse."""
    config = config_of(model)
    setattr(config, family_of(config.model_type).width, max(model_widths))
