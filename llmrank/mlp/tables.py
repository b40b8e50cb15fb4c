"""Own data: a CSV of features and labels, or a .npz; refused with one sentence."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from llmrank import doors, uploads
from llmrank.errors import LLMRankError
from llmrank.folders import named_path
from llmrank.mlp.examples import MAX_CLASSES, Examples, Shape, check, split

SUFFIXES = (".csv", ".npz")
MAX_BYTES = 200_000_000
MAX_ROWS = 100_000
MAX_FEATURES = 20_000
MAX_VALUES = 100_000_000
MAX_NUMBER = 1e30  # beyond, float32 overflows and the training ends in NaN
TOO_LARGE = f"beyond ±{MAX_NUMBER:g} or infinite; give them in a larger unit"
LABELS = ("label", "labels", "class", "target", "y")
FEATURES = ("x", "features", "data", "images", "inputs")


def keep(content: bytes, name: str) -> str:
    """Keep an uploaded file and return the source that names it.

    Raises:
        LLMRankError: it is no usable table.
    """
    suffix = _suffix(name)
    of_content(content, name, seed=0)
    return uploads.keep(content, name, suffix)


def of_source(source: str, *, seed: int) -> Examples:
    """Read an uploaded file, or one that is named by its path.

    Raises:
        LLMRankError: no such file, too large, or no usable table.
    """
    if uploads.is_upload(source):
        return of_content(uploads.content(source), _named(source), seed=seed)
    doors.check_own_file(source)
    path = named_path(source)
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
        raise _too_large(
            path.name, f"{n_bytes / 1e6:,.0f} MB", f"{MAX_BYTES / 1e6:,.0f} MB"
        )
    return of_content(content, path.name, seed=seed)


def of_content(content: bytes, name: str, *, seed: int) -> Examples:
    """Read a table from the content of a file with that name.

    Raises:
        LLMRankError: it is no usable table.
    """
    shown = name if len(name) <= 60 else f"{name[:28]}…{name[-28:]}"
    if _suffix(name) == ".npz":
        return _npz(content, shown, seed)
    return _csv(content, shown, seed)


def _suffix(name: str) -> str:
    found = Path(name).suffix.lower()
    if found not in SUFFIXES:
        raise LLMRankError(
            f"{name[:80]!r} is neither a .csv nor a .npz file; one row per example "
            "with its label, or arrays x and y, are read"
        )
    return found


def _named(source: str) -> str:
    return f"the uploaded table{Path(source).suffix}"


def _too_large(name: str, has: str, most: str) -> LLMRankError:
    return LLMRankError(
        f"{name} has {has} and at most {most} are read here; keep a sample of it"
    )


def _csv(content: bytes, name: str, seed: int) -> Examples:
    """Read rows of numbers; the label is the column of that name, or the last."""
    n_rows = content.count(b"\n")
    if n_rows > MAX_ROWS + 1:  # told before they are parsed
        raise _too_large(name, f"{n_rows:,} rows", f"{MAX_ROWS:,}")
    try:
        table = pd.read_csv(io.BytesIO(content), skipinitialspace=True)
        if _is_headless(table):
            table = pd.read_csv(
                io.BytesIO(content), header=None, skipinitialspace=True
            ).rename(columns=lambda n: f"column {n + 1}")
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise LLMRankError(
            f"{name} is no CSV table ({str(error).strip()[:80]}); one row per example "
            "with commas between its numbers is read"
        ) from error
    names = {str(c).strip().lower(): c for c in table.columns}
    label = next((names[n] for n in LABELS if n in names), table.columns[-1])
    features = table.drop(columns=label)
    _check_table(features, table[label], name)
    y, classes = _classes(table[label].to_numpy(), name)
    x = torch.from_numpy(features.to_numpy(dtype=np.float64, copy=True))
    check(y, classes, name)
    return _standardised(
        split(x.float(), y, classes, shape=None, source=name, seed=seed)
    )


def _is_headless(table: pd.DataFrame) -> bool:
    """Whether the first row is numbers: pandas writes a second 1 as 1.1."""
    return all(_is_number(str(c)) for c in table.columns)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_table(features: pd.DataFrame, labels: "pd.Series[Any]", name: str) -> None:
    """Refuse text, missing values and what is no number.

    Raises:
        LLMRankError: naming the first column that is wrong.
    """
    if features.shape[1] == 0:
        raise LLMRankError(f"{name} has one column; features and a label are needed")
    if features.shape[1] > MAX_FEATURES:
        raise _too_large(name, f"{features.shape[1]:,} columns", f"{MAX_FEATURES:,}")
    for column in (*features.columns, labels.name):
        values = labels if column == labels.name else features[column]
        if values.isna().any():
            row = int(values.isna().to_numpy().argmax()) + 1
            raise LLMRankError(
                f"{name}: column {str(column)[:40]!r} lacks a value in row {row:,} "
                f"({int(values.isna().sum()):,} in all); fill them in or leave the "
                "rows out"
            )
    for column in features.columns:
        if not pd.api.types.is_numeric_dtype(features[column]):
            bad = next(v for v in features[column] if not _is_number(str(v)))
            raise LLMRankError(
                f"{name}: column {str(column)[:40]!r} holds text ({str(bad)[:40]!r}); "
                "features must be numbers, only the label may be text"
            )
    if not (np.abs(features.to_numpy(dtype=np.float64)) <= MAX_NUMBER).all():
        raise LLMRankError(f"{name} holds numbers {TOO_LARGE}")


def _npz(content: bytes, name: str, seed: int) -> Examples:
    """Read arrays x and y; objects are pickles, and are never loaded."""
    arrays = _arrays(content, name)
    named = {n.lower(): a for n, a in arrays.items()}
    x = next((named[n] for n in FEATURES if n in named), None)
    y = next((named[n] for n in LABELS if n in named), None)
    if x is None or y is None:
        held = ", ".join(list(arrays)[:8]) or "nothing"
        raise LLMRankError(
            f"{name} must hold arrays x (examples) and y (labels); it holds "
            f"{held[:120]}"
        )
    _check_arrays(x, y, name)
    labels, classes = _classes(y, name)
    shape = _shape(x)
    flat = torch.from_numpy(x.reshape(len(x), -1).astype(np.float32))
    found = split(
        _in_unit(flat, x.dtype) if shape else flat, labels, classes,
        shape=shape, source=name, seed=seed,
    )  # fmt: skip
    return found if shape else _standardised(found)


def _arrays(content: bytes, name: str) -> dict[str, NDArray[np.generic]]:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise LLMRankError(f"{name} is no .npz file; write one with numpy.savez")
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        n_bytes = sum(part.file_size for part in parts.infolist())
    if n_bytes > 8 * MAX_VALUES:  # told before they are unpacked
        raise _too_large(
            name, f"{n_bytes / 1e6:,.0f} MB", f"{8 * MAX_VALUES // 10**6} MB"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {n: file[n] for n in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if "pickle" in str(error):
            raise LLMRankError(
                f"{name} holds pickled objects, which can run any code and are never "
                "loaded; save plain arrays of numbers with numpy.savez"
            ) from error
        raise LLMRankError(
            f"{name} is no .npz file ({str(error)[:80]}); write one with numpy.savez"
        ) from error


def _check_arrays(x: NDArray[np.generic], y: NDArray[np.generic], name: str) -> None:
    if x.ndim not in (2, 3, 4) or y.ndim != 1 or len(x) != len(y) or x.size == 0:
        raise LLMRankError(
            f"{name}: x must be [examples, features], [examples, height, width] or "
            f"[examples, height, width, channels] and y one label for each; got x "
            f"{list(x.shape)} and y {list(y.shape)}"
        )
    if len(x) > MAX_ROWS:
        raise _too_large(name, f"{len(x):,} rows", f"{MAX_ROWS:,}")
    if x[0].size > MAX_FEATURES or x.size > MAX_VALUES:
        raise _too_large(name, f"{x.size:,} numbers", f"{MAX_VALUES:,}")
    if x.dtype.kind not in "biuf":
        raise LLMRankError(f"{name}: x holds {x.dtype}; examples must be numbers")
    if not (np.abs(x.astype(np.float64)) <= MAX_NUMBER).all():
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


def _classes(
    labels: NDArray[np.generic], name: str
) -> tuple[Int[Tensor, " n"], tuple[str, ...]]:
    """Number the labels in their order: numbers by size, text by letters."""
    values, numbers = np.unique(labels, return_inverse=True)
    if labels.dtype.kind == "f" and len(values) > MAX_CLASSES:
        raise LLMRankError(
            f"{name}: the labels are {len(values):,} different numbers; an MLP lab "
            f"takes classes, at most {MAX_CLASSES}"
        )
    said = [f"{v:g}" if isinstance(v, float) else str(v)[:24] for v in values.tolist()]
    return torch.from_numpy(numbers.astype(np.int64)), tuple(said)


def _standardised(data: Examples) -> Examples:
    """Give each feature mean 0 and spread 1 over the training rows."""
    mean = data.train_x.double().mean(0)
    spread = data.train_x.double().std(0)
    spread = torch.where(spread > 0, spread, 1.0)

    def scaled(x: Tensor) -> Tensor:
        return ((x.double() - mean) / spread).float()

    return Examples(
        scaled(data.train_x), data.train_y, scaled(data.test_x), data.test_y,
        data.classes, data.shape, data.source,
    )  # fmt: skip
