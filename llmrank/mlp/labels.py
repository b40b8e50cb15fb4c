"""The labels of a table as classes: numbers by size, words by letters, none missing."""

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.mlp.example_sets import MAX_CLASSES
from llmrank.mlp.rows import Rows


def values(table: Rows) -> NDArray[np.object_]:
    """Return numbers where all labels are numbers, else their words: NA is one."""
    whole = {c: _number(c.replace(",", ".")) for c in set(table.labels)}
    if not all(table.dialect.is_number(c) and len(c) < 40 for c in whole):
        return np.array(table.labels, dtype=object)
    return np.array([whole[c] for c in table.labels], dtype=object)


def classes(
    labels: NDArray[np.generic] | NDArray[np.object_], name: str
) -> tuple[Int[Tensor, " n"], tuple[str, ...]]:
    """Number the labels in their order: numbers by size, text by letters.

    Raises:
        LLMRankError: too many numbers to be classes.
    """
    values, numbers = np.unique(labels, return_inverse=True)
    said = [_class_name(v) for v in values.tolist()]
    if len(values) > MAX_CLASSES and any(isinstance(v, float) for v in values.tolist()):
        raise LLMRankError(
            f"{name}: the labels are {len(values):,} different numbers; an MLP lab "
            f"takes classes, at most {MAX_CLASSES}"
        )
    if len(set(said)) < len(said):  # too long to tell apart
        said = [f"{text[:18]} #{n}" for n, text in enumerate(said, 1)]
    return torch.from_numpy(numbers.astype(np.int64)), tuple(said)


def _number(cell: str) -> int | float | None:
    """Read a number as it is: whole ones of any length stay apart."""
    try:
        return int(cell) if cell.lstrip("+-").isdecimal() else float(cell)
    except ValueError:
        return None


def _class_name(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")[:24]
    return str(value)[:24]
