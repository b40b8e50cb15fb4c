"""Arrays of a .npz file, read under limits: never a pickle, no more than declared."""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from llmrank.core.errors import LLMRankError
from llmrank.mlp.example_sets import MAX_FEATURES, MAX_ROWS, MAX_VALUES, too_large
from llmrank.mlp.rows import LABELS

FEATURES = ("x", "features", "data", "images", "inputs")
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
PIECE = 2**24  # bytes that are unpacked at once
MAX_LABEL_BYTES = 1024  # of one label; numpy pads all to the longest
BROKEN = (
    ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, SyntaxError,
    OverflowError, MemoryError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError,
)  # fmt: skip
"""What zipfile and numpy raise at files that are damaged or made to harm."""


def read(content: bytes, name: str) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Read the arrays of examples and labels.

    Raises:
        LLMRankError: no such file or arrays, or larger than allowed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = {i.filename.removesuffix(".npy"): i for i in file.infolist()}
            x, y = _chosen(members, name)
            return _array(file, x, name), _array(file, y, name)
    except BROKEN as error:
        why = " ".join(str(error).split())[:80] or "damaged"
        raise LLMRankError(
            f"{name} is no .npz file that can be read ({why}); write one with "
            "numpy.savez"
        ) from error


def _chosen(
    members: Mapping[str, zipfile.ZipInfo], name: str
) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo]:
    named = {n.lower(): member for n, member in members.items()}
    x = next((named[n] for n in FEATURES if n in named), None)
    y = next((named[n] for n in LABELS if n in named), None)
    if x is None or y is None:
        held = ", ".join(list(members)[:8]) or "nothing"
        raise LLMRankError(
            f"{name} must hold arrays x (examples) and y (labels); it holds "
            f"{held[:120]}"
        )
    return x, y


def _array(
    file: zipfile.ZipFile, member: zipfile.ZipInfo, name: str
) -> NDArray[np.generic]:
    """Read one array; its header says how many bytes, and no more are unpacked."""
    shown = f"{name}: {member.filename[:40]}"
    if member.flag_bits & 1:
        raise LLMRankError(f"{shown} is encrypted; save it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise LLMRankError(f"{shown} is packed otherwise than numpy.savez does")
    with file.open(member) as packed:
        assert isinstance(packed, zipfile.ZipExtFile)
        version = npy.read_magic(packed)
        if version not in HEADERS:
            raise LLMRankError(f"{shown} has records, not numbers")
        shape, is_fortran, dtype = HEADERS[version](packed)
        _check_header(shape, dtype, name, shown)
        flat = _values(packed, dtype, math.prod(shape), shown)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _check_header(
    shape: tuple[int, ...], dtype: np.dtype[np.generic], name: str, shown: str
) -> None:
    if dtype.hasobject:
        raise LLMRankError(
            f"{name} holds pickled objects, which can run any code and are never "
            "loaded; save plain arrays of numbers with numpy.savez"
        )
    if dtype.kind not in "biufUS" or any(n < 0 for n in shape):
        raise LLMRankError(
            f"{shown} holds {str(dtype)[:40]} of shape {str(shape)[:40]}; numbers, and "
            "for labels text, are read"
        )
    if dtype.kind in "US" and dtype.itemsize > MAX_LABEL_BYTES:
        raise LLMRankError(f"{shown} holds texts of {dtype.itemsize:,} bytes each")
    each = math.prod(shape[1:])
    for n, most, what in (
        (math.prod(shape[:1]), MAX_ROWS, "rows"),
        (each, MAX_FEATURES, "numbers in each example"),
        (math.prod(shape), MAX_VALUES, "numbers"),
    ):
        if n > most:
            raise too_large(shown, f"{min(n, 10**18):,} {what}", f"{most:,}")


def _values(
    packed: zipfile.ZipExtFile, dtype: np.dtype[np.generic], size: int, shown: str
) -> NDArray[np.generic]:
    values = np.empty(size, dtype)
    content, n_read = values.view(np.uint8).data, 0
    while piece := packed.read(PIECE):
        if n_read + len(piece) > len(content):
            break
        content[n_read : n_read + len(piece)] = piece
        n_read += len(piece)
    if piece or n_read < len(content):
        raise LLMRankError(
            f"{shown} has not the {len(content):,} bytes that its header says; save it "
            "again"
        )
    return values
