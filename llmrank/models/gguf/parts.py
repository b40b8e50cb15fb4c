"""A GGUF model that comes in several files, made one file in the cache."""

import hashlib
import os
import re
import time
from contextlib import closing, suppress
from pathlib import Path
from shutil import disk_usage
from typing import Any

from llmrank.core.durable import sweep
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import cache_folder, keep_in, written_file
from llmrank.core.progress import Progress, silent, track
from llmrank.models.checkpoint_files import check_inside

_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)

KEPT_S = 3600.0
"""How long a whole is kept after its last use: it is opened within that."""

SPARE_BYTES = 2**26


def parts_of(path: Path, name: str) -> tuple[Path, ...]:
    """Return all parts of a model in order, or the file itself if it is whole.

    Raises:
        LLMRankError: a part is missing, or leads out of the folder.
    """
    matched = _NAME.fullmatch(path.name)
    if matched is None or int(matched[3]) < 2:
        return (path,)
    stem, _, last, suffix = matched.groups()
    n_parts = min(int(last), 1000)  # more than these have never been seen
    names = [f"{stem}-{n:05}-of-{last}{suffix}" for n in range(1, n_parts + 1)]
    missing = [other for other in names if not (path.parent / other).is_file()]
    if missing:
        raise LLMRankError(
            f"{name} is one of {int(last)} parts, and {missing[0]} is missing beside "
            "it; copy all parts into one folder"
        )
    for other in names:
        check_inside(path.parent, other, name)
    return tuple(path.parent / other for other in names)


def whole(path: Path, name: str, *, progress: Progress = silent) -> Path:
    """Return the file itself, or one that holds what all parts of it hold.

    transformers reads weights from a single file; the parts are copied together once,
    and again when one of them changes. What was not used for an hour goes.

    Raises:
        LLMRankError: a part is missing or damaged, or there is no room for all.
    """
    parts, folder = parts_of(path, name), cache_folder() / "merged"
    target = folder / f"{_digest(parts)}.gguf"
    _forget(folder, target)
    if len(parts) == 1:
        return path
    keep_in(folder, name)
    if target.exists():
        os.utime(target)
        return target
    need, free = sum(p.stat().st_size for p in parts), disk_usage(folder).free
    if need + SPARE_BYTES > free:
        raise LLMRankError(
            f"the parts of {name} are put together before they are read, which takes "
            f"{need / 1e9:.2f} GB, and the cache's disk has {free / 1e9:.2f} GB free; "
            "free some space, or set LLMRANK_CACHE to a folder on another disk"
        )
    _merge(parts, target, name, progress)
    return target


def _forget(folder: Path, used: Path) -> None:
    """Remove what was not used for long or never finished; who has it open reads on."""
    sweep(folder)
    for path in folder.glob("*.gguf"):
        with suppress(OSError):
            if path != used and time.time() - path.stat().st_mtime > KEPT_S:
                path.unlink()


def _digest(parts: tuple[Path, ...]) -> str:
    """Name the whole after where its parts lie and when they were written."""
    told = [(p.resolve(), p.stat().st_size, p.stat().st_mtime_ns) for p in parts]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _merge(
    parts: tuple[Path, ...], target: Path, name: str, progress: Progress
) -> None:
    from gguf import GGUFReader

    try:
        readers = [GGUFReader(part) for part in parts]
    except Exception as error:
        raise LLMRankError(
            f"{name} could not be read ({type(error).__name__}); "
            "a part is damaged or incomplete, copy or download it again"
        ) from error
    tensors = [tensor for reader in readers for tensor in reader.tensors]
    with written_file(target) as file:
        _write(readers[0].fields, tensors, file, progress)


def _write(
    fields: dict[str, Any], tensors: list[Any], file: Path, progress: Progress
) -> None:
    from gguf import GGUFValueType, GGUFWriter

    writer = GGUFWriter(file, fields["general.architecture"].contents())
    if "general.alignment" in fields:
        writer.data_alignment = fields["general.alignment"].contents()
    for key, field in fields.items():
        if not key.startswith(("GGUF.", "split.", "general.architecture")):
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    for tensor in tensors:
        shape, data = tensor.data.shape, tensor.data
        writer.add_tensor_info(
            tensor.name, shape, data.dtype, data.nbytes, tensor.tensor_type
        )
    with closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in track(tensors, "Putting the parts together", progress):
            writer.write_tensor_data(tensor.data)
