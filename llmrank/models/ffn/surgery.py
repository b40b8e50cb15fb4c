"""Twins of a model with other FFN weights: cut, sorted, repaired, padded."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor, nn

from llmrank.core.progress import Progress, silent, track
from llmrank.models.ffn.layers import (
    Projections,
    bias_of,
    family,
    install,
    projections,
    replace_weight,
    rows_of,
    shared_copy,
    widths,
)

Change = Callable[[Tensor, int], Tensor]
"""Takes weights and the axis along which their neurons lie; returns other neurons."""


@torch.no_grad()
def cut(
    model: nn.Module, keep: Sequence[Int[Tensor, " _"]], *, progress: Progress = silent
) -> nn.Module:
    """Return a twin whose FFN layers have only the kept neurons, ascending.

    All weights that are not cut are shared, also in layers that keep every neuron.
    """
    pruned = shared_copy(model)
    layers = tuple(zip(projections(pruned), keep, strict=True))
    for p, kept in track(layers, "Cutting the layers", progress):
        if len(kept) < rows_of(p.up).shape[0]:
            neurons = kept.to(rows_of(p.up).device)
            # on a CPU four times as fast as indexing with [:, neurons]
            _change(p, partial(torch.index_select, index=neurons))
    _declare_width(pruned)
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
        _change(p, partial(_gathered, neurons=neurons), install)
    return other


@torch.no_grad()
def prefix(model: nn.Module, new_widths: Sequence[int]) -> nn.Module:
    """Return a twin whose FFN layers are views of each layer's first neurons.

    It computes less, like a cut model, and no weight is copied: all are shared.
    """
    shorter = shared_copy(model)
    for p, width in zip(projections(shorter), new_widths, strict=True):
        _change(p, partial(torch.narrow, start=0, length=width), install)
    _declare_width(shorter)
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
    return has or hasattr(model.config, family(model).bias_switch)


@torch.no_grad()
def shifted(model: nn.Module, shifts: Sequence[Tensor]) -> nn.Module:
    """Return a twin with a constant added to the output of each FFN layer.

    Where the family has no biases but its config knows of them, every FFN projection
    gets one, zero but for the outputs'.
    """
    other = shared_copy(model)
    for p, shift in zip(projections(other), shifts, strict=True):
        for module in p.modules:
            own, rows = bias_of(module), rows_of(module)
            bias = rows.new_zeros(len(rows)) if own is None else own.clone()
            bias += shift.to(bias) if module is p.down else 0
            install(module, rows, bias)
    switch = family(other).bias_switch
    if hasattr(other.config, switch):
        setattr(other.config, switch, True)
    return other


@torch.no_grad()
def resize(model: nn.Module, new_widths: Sequence[int]) -> None:
    """Give a freshly built model FFN layers of the given widths, weights undefined."""
    for p, width in zip(projections(model), new_widths, strict=True):
        _change(p, partial(_undefined, width=width))
    _declare_width(model)


@torch.no_grad()
def padded(model: nn.Module) -> nn.Module:
    """Return a twin widened to its widest layer by neurons whose weights are zero.

    A zero neuron adds nothing to the output, so the function is the same; the file is
    larger, and any loader that knows one `intermediate_size` opens it.
    """
    wide, width = shared_copy(model), max(widths(model))
    for p in projections(wide):
        _change(p, partial(_widened, width=width))
    _declare_width(wide)
    return wide


def _change(
    p: Projections,
    change: Change,
    give: Callable[[nn.Module, Tensor, Tensor | None], None] = replace_weight,
) -> None:
    """Give the projections of one layer other neurons, the same in all of them."""
    for module in p.inner:
        bias = bias_of(module)
        new_bias = None if bias is None else change(bias, 0)
        give(module, change(rows_of(module), 0), new_bias)
    give(p.down, change(rows_of(p.down), 1), bias_of(p.down))
    if hasattr(p.holder, "intermediate_size"):
        p.holder.intermediate_size = rows_of(p.up).shape[0]


def _gathered(x: Tensor, axis: int, neurons: Tensor) -> Tensor:
    return x.transpose(0, axis).contiguous()[neurons].transpose(0, axis)


def _undefined(x: Tensor, axis: int, width: int) -> Tensor:
    return x.new_empty([*x.shape[:axis], width, *x.shape[axis + 1 :]])


def _widened(x: Tensor, axis: int, width: int) -> Tensor:
    missing = _undefined(x, axis, width - x.shape[axis]).zero_()
    return torch.cat([x, missing], axis)


def _declare_width(model: nn.Module) -> None:
    """With different widths the config names the widest: plain loaders then refuse."""
    setattr(model.config, family(model).width, max(widths(model)))
