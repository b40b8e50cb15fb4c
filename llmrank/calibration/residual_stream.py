"""Running a model's blocks one at a time, on residual streams that are handed in."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmrank.models import ffn


class StopWalkError(Exception):
    """Raised inside a model that has computed all that is wanted of it."""


def begin_at(model: nn.Module, first: int) -> list[Tensor]:
    """Let a twin's blocks before one do nothing; return where its input is to be put.

    The list's only element is the residual stream that enters the block. The twin is to
    be one's own: its blocks are changed.
    """
    given: list[Tensor] = []
    blocks = ffn.blocks(model)
    for block in blocks[:first]:
        block.forward = _passed
    enters(blocks[first], lambda _: given[0])
    return given


def enters(block: nn.Module, change: Callable[[Tensor], Tensor | None]) -> None:
    """Call a function with the residual stream that enters a block; it may change it.

    Raises whatever the function raises: `StopWalkError` ends the run there.
    """

    def hook(
        _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        new = change(args[0] if args else named["hidden_states"])
        if new is None:
            return None
        if args:
            return (new, *args[1:]), named
        return args, named | {"hidden_states": new}

    block.register_forward_pre_hook(hook, with_kwargs=True)


@torch.inference_mode()
def entering(
    model: nn.Module, ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d_model"]:
    """Return the residual stream that enters the first block."""
    twin, inputs = ffn.shared_copy(model), []

    def stop(stream: Tensor) -> None:
        inputs.append(stream)
        raise StopWalkError

    enters(ffn.blocks(twin)[0], stop)
    run(twin, ids)
    return inputs[0]


@torch.inference_mode()
def watched(
    model: nn.Module,
    block: int,
    ids: Int[Tensor, "batch pos"],
    stream: Float[Tensor, "batch pos d_model"],
) -> tuple[
    Float[Tensor, "*batch d_ff"],
    Float[Tensor, "*batch d_model"],
    Float[Tensor, "batch pos d_model"],
]:
    """Run one block; return its neurons, its FFN's output and the stream after it."""
    twin, outputs = ffn.shared_copy(model), {}

    def on_down(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs["neurons"], outputs["output"] = inputs[0], output

    def on_block(_: nn.Module, __: tuple[Any, ...], after: Tensor) -> None:
        outputs["after"] = after
        raise StopWalkError

    begin_at(twin, block).append(stream)
    ffn.projections(twin)[block].down.register_forward_hook(on_down)
    ffn.blocks(twin)[block].register_forward_hook(on_block)
    run(twin, ids)
    return outputs["neurons"], outputs["output"], outputs["after"]


def run(twin: Any, ids: Int[Tensor, "batch pos"]) -> None:
    """Run a twin, its output head left out, until one of its hooks has seen enough."""
    with suppress(StopWalkError):
        twin.base_model(ids, use_cache=False)


def _passed(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    return hidden_states
