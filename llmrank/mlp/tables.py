"""Own data: a CSV of features and labels, or a .npz; refused with one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from llmrank.core import permissions, uploads
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import counted
from llmrank.core.paths import named_path
from llmrank.mlp import arrays, columns, labels, rows
from llmrank.mlp.example_sets import Examples, Shape, check, split, too_large

SUFFIXES = (".csv", ".tsv", ".npz")
MAX_BYTES = 200_000_000
MAX_NUMBER = 1e30  # beyond, float32 overflows and the training ends in NaN
TOO_LARGE = f"beyond ±{MAX_NUMBER:g} or infinite; give them in a larger unit"


def keep(content: bytes, name: str) -> str:
    """Keep an uploaded file and return the source that names it.

    Raises:
        LLMRankError: it is no usable table.
    """
    suffix = _suffix(name)
    read_content(content, name, seed=0)
    return uploads.keep(content, name, suffix)


def read_source(source: str, *, seed: int) -> Examples:
    """Read an uploaded file, or one that is named by its path.

    Raises:
        LLMRankError: no such file, too large, or no usable table.
    """
    if uploads.is_upload(source):
        name = f"the uploaded table{Path(source).suffix}"
        return read_content(uploads.content(source), name, seed=seed)
    permissions.check_own_file(source)
    path = named_path(source)
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise LLMRankError(f"{source[:80]!r} is no file; name a .csv or .npz file")
    try:
        n_bytes = path.stat().st_size
        if n_bytes <= MAX_BYTES:
            content = path.read_bytes()
    except OSError as error:
        raise LLMRankError(
            f"{source[:80]!r} cannot be read ({error.strerror}); name digits, "
            "mnist-5k, a data set of the hub, or a .csv or .npz file"
        ) from error
    if n_bytes > MAX_BYTES:
        raise too_large(
            path.name, f"{n_bytes / 1e6:,.0f} MB", f"{MAX_BYTES / 1e6:,.0f} MB"
        )
    return read_content(content, path.name, seed=seed)


def read_content(content: bytes, name: str, *, seed: int) -> Examples:
    """Read a table from the content of a file with that name.

    Raises:
        LLMRankError: it is no usable table.
    """
    shown = name if len(name) <= 60 else f"{name[:28]}…{name[-28:]}"
    read = _npz if _suffix(name) == ".npz" else _csv
    return read(content, shown, seed)


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise LLMRankError(
            f"{name[:80]!r} is neither a .csv or .tsv nor a .npz file; one row per "
            "example with its label, or arrays x and y, are read"
        )
    return suffix


def _csv(content: bytes, name: str, seed: int) -> Examples:
    """Read rows of numbers; the label is the column of that name, or the last."""
    table = rows.read(content, name)
    numbers, classes = labels.classes(labels.values(table), name)
    check(numbers, classes, name)
    unused = columns.left_out(table, numbers.numpy())
    kept = [i for i in range(len(table.names)) if i not in unused]
    _check_features(table, kept, name)
    left = {table.shown[i]: why for i, why in sorted(unused.items())}
    if unused:
        table.numbers = table.numbers[:, kept]
    x = torch.from_numpy(table.numbers)
    data = split(x, numbers, classes, shape=None, source=name, seed=seed)
    return replace(
        _standardised(data),
        about=_about(x, classes, left, f" in `{table.label[:40]}`", table.dialect.said),
    )


def _check_features(table: rows.Rows, kept: Sequence[int], name: str) -> None:
    """Refuse text, numbers out of range, another label, and a table of nothing else.

    Raises:
        LLMRankError: naming the first column that is wrong.
    """
    if not kept:
        raise LLMRankError(
            f"{name} has no feature: beside the label there are only indices, empty "
            "columns or copies of the label"
        )
    for column in kept:
        if column in table.words:
            word = next(iter(table.words[column]))
            raise rows.wordy(name, table.shown[column], word)
        if table.names[column] and table.shown[column] == table.label:
            raise LLMRankError(
                f"{name} has two different columns {table.label[:40]!r}; rename the "
                "one that is not the label"
            )
    high, low = table.numbers.max(0)[kept], table.numbers.min(0)[kept]
    beyond = (high > MAX_NUMBER) | (low < -MAX_NUMBER)
    if beyond.any():
        first = table.shown[kept[int(beyond.argmax())]]
        raise LLMRankError(f"{name}: column {first[:40]!r} holds numbers {TOO_LARGE}")


def _about(
    x: Float[Tensor, "n d_in"],
    classes: Sequence[str],
    left: Mapping[str, str],
    label: str = "",
    dialect: str = "",
) -> str:
    """Say in a line what was read."""
    n, d_in = x.shape
    said = (
        f"{counted(n, 'row')} × {counted(d_in, 'feature')}, {len(classes)} classes"
        f"{label}"
    )
    if left:
        names = [f"`{c[:40]}` ({why})" for c, why in list(left.items())[:5]]
        more = [f"{len(left) - 5:,} more"] if len(left) > 5 else []
        said += f"; left out: {', '.join([*names, *more])}"
    return f"{said}; {dialect}" if dialect else said


def _npz(content: bytes, name: str, seed: int) -> Examples:
    """Read arrays x and y; objects are pickles, and are never loaded."""
    x, y = arrays.read(content, name)
    _check_arrays(x, y, name)
    numbers, classes = labels.classes(y, name)
    check(numbers, classes, name)
    shape, flat_x = _shape(x), x.reshape(len(x), -1)
    if shape:
        pixels = _in_unit(torch.from_numpy(flat_x.astype(np.float32)), x.dtype)
        data = split(pixels, numbers, classes, shape=shape, source=name, seed=seed)
        return replace(data, about=_about(pixels, classes, {}))
    flat, left = _features(flat_x, numbers.numpy(), name)
    data = split(flat, numbers, classes, shape=None, source=name, seed=seed)
    return replace(_standardised(data), about=_about(flat, classes, left))


def _features(
    x: NDArray[np.generic], y: Int[np.ndarray, " n"], name: str
) -> tuple[Float[Tensor, "n d_in"], dict[str, str]]:
    """Leave out what is no feature; columns of arrays have no names."""
    unused = columns.copies(x, y)
    if columns.is_count(x[:, 0]):
        unused[0] = "an index"
    kept = [i for i in range(x.shape[1]) if i not in unused]
    if not kept:
        raise LLMRankError(
            f"{name} has no feature: x holds only indices or copies of the label"
        )
    left = {f"column {i + 1}": why for i, why in sorted(unused.items())}
    return torch.from_numpy(
        (x[:, kept] if unused else x).astype(np.float64, copy=False)
    ), left


def _check_arrays(x: NDArray[np.generic], y: NDArray[np.generic], name: str) -> None:
    if x.ndim not in (2, 3, 4) or y.ndim != 1 or len(x) != len(y) or x.size == 0:
        raise LLMRankError(
            f"{name}: x must be [examples, features], [examples, height, width] or "
            f"[examples, height, width, channels] and y one label for each; got x "
            f"{list(x.shape)} and y {list(y.shape)}"
        )
    if x.dtype.kind not in "biuf":
        raise LLMRankError(f"{name}: x holds {x.dtype}; examples must be numbers")
    if not (float(x.max()) <= MAX_NUMBER and float(x.min()) >= -MAX_NUMBER):
        raise LLMRankError(f"{name}: x holds missing (NaN) numbers or some {TOO_LARGE}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise LLMRankError(f"{name}: y holds missing (NaN) or infinite labels")


def _shape(x: NDArray[np.generic]) -> Shape | None:
    """Tell how a picture lies; only grey and colour pictures are drawn."""
    if x.ndim == 3:
        return Shape(x.shape[1], x.shape[2])
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return Shape(*x.shape[1:])
    return None


def _in_unit(
    x: Float[Tensor, "n d_in"], dtype: np.dtype[np.generic]
) -> Float[Tensor, "n d_in"]:
    """Bring pixels into [0, 1]: bytes by 255, others by what they span."""
    if dtype == np.uint8:
        return x / 255
    low, high = x.min(), x.max()
    return (x - low) / (high - low if high > low else 1)


def _standardised(data: Examples) -> Examples:
    """Give each feature mean 0 and spread 1 over the training rows.

    A column of one value has no spread, but its rounding has.
    """
    mean, spread = data.train_x.mean(0), data.train_x.std(0)
    varies = data.train_x.amax(0) > data.train_x.amin(0)
    spread = torch.where(varies & (spread > 0), spread, 1.0)

    def scaled(x: Tensor) -> Tensor:
        return x.sub_(mean).div_(spread).float()  # in place: x is nobody else's

    return replace(data, train_x=scaled(data.train_x), test_x=scaled(data.test_x))
