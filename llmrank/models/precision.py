"""In how many bits weights are kept: a checkpoint's own precision, and others."""

import math
from collections import Counter
from pathlib import Path
from typing import Final, Literal, get_args

import torch
from safetensors import safe_open
from torch import Tensor, nn

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.models import ffn

OWN: Final = "checkpoint"
"""Asks for the precision that the dense checkpoint has on the disk."""

Precision = Literal["checkpoint", "float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_STORED = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def stored_in(folder: Path) -> str | None:
    """Return the precision of most weights in a folder, by the files' headers."""
    amounts: Counter[str] = Counter()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for part in map(file.get_slice, file.keys()):
                amounts[part.get_dtype()] += math.prod(part.get_shape())
    return _STORED.get(max(amounts, key=lambda kind: amounts[kind], default=""))


def computed_in(model: nn.Module) -> str:
    """Return the precision of a model's weights in memory."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def check(asked: str) -> None:
    """Refuse a precision that weights cannot be written in."""
    if asked not in PRECISIONS:
        allowed = ", ".join(PRECISIONS)
        raise OptionError(
            f"the precision of an export must be one of {allowed}, got {asked[:80]!r}"
        )


def written_in(own: str | None, computed: str, asked: str = OWN) -> str:
    """Return the precision to write: as asked, or the checkpoint's own.

    A model computed in fewer bits than its checkpoint has is written in those: finer
    ones would take space and hold nothing.

    Raises:
        OptionError: an unknown precision.
    """
    check(asked)
    if asked != OWN:
        return asked
    return min(own or computed, computed, key=bytes_of)


def bytes_of(precision: str) -> int:
    """Return the bytes of one weight."""
    dtype: torch.dtype = getattr(torch, precision)
    return dtype.itemsize


@torch.no_grad()
def cast(model: nn.Module, precision: str) -> nn.Module:
    """Return the model in a precision: itself, or a twin with weights of its own.

    Raises:
        LLMRankError: a weight is too large for the precision.
    """
    dtype: torch.dtype = getattr(torch, precision)
    if all(p.dtype == dtype for p in model.parameters()):
        return model
    other = ffn.shared_copy(model)
    rounded = {
        id(p): nn.Parameter(_rounded(p, dtype), requires_grad=False)
        for p in other.parameters()
    }
    for module in other.modules():
        for name, weight in tuple(module.named_parameters(recurse=False)):
            setattr(module, name, rounded[id(weight)])
    return other


def _rounded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    rounded = weight.to(dtype)
    if not rounded.isfinite().all() and weight.isfinite().all():
        name = str(dtype).removeprefix("torch.")
        raise LLMRankError(
            f"a weight of {float(weight.abs().max()):.3g} does not fit into {name}, "
            f"which ends at {torch.finfo(dtype).max:,.0f}; write the model in bfloat16 "
            "or float32"
        )
    return rounded
