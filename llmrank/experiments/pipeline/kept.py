"""What took long to read of a model is kept on the disk: nobody waits for it twice."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from llmrank.calibration.activations import ActivationStats, LayerStats
from llmrank.calibration.second_moments import Moments
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import cache_folder, keep_in, kept_within, written_file
from llmrank.data import texts
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.experiments.experiment import Experiment
from llmrank.methods.allocation import Sensitivity
from llmrank.methods.repair.least_squares import Factor
from llmrank.models.language_model import LanguageModel, weights_sample

FORMAT = 1
"""Grows when what is read of a text changes: what was kept before is read anew."""

WORTH_S = 5.0
"""What took less time to read is not worth a file."""

LIMIT = 3_000_000_000
"""Bytes of all files; those used longest ago go."""

KINDS = {
    kind.__name__: kind
    for kind in (
        ActivationStats,
        LayerStats,
        Moments,
        Factor,
        Sensitivity,
        TextEvaluation,
    )
}

T = TypeVar("T")


def kept(
    experiment: Experiment, dense: LanguageModel, name: str, read: Callable[[], T]
) -> T:
    """Return what was read before, in whichever process; otherwise read it now.

    Args:
        experiment: what decides it; see `stage.leaves`.
        dense: the model it is read of.
        name: what is read.
        read: reads it: a `KINDS` or a tuple of such.

    Raises:
        LLMRankError: whatever `read` refuses. A file that cannot be read or written is
            no error.
    """
    path = _path(name, experiment, dense)
    known: T | None = _opened(path)
    if known is not None:
        return known
    start = time.perf_counter()
    result = read()
    if path is not None and time.perf_counter() - start >= WORTH_S:
        with suppress(LLMRankError):
            _keep(path, result)
    return result


def found(experiment: Experiment, dense: LanguageModel, name: str) -> Any:
    """Return what was read before, or None; see `kept`."""
    return _opened(_path(name, experiment, dense))


def is_kept(experiment: Experiment, dense: LanguageModel, name: str) -> bool:
    """Whether it was read before, without opening it; see `kept`."""
    path = _path(name, experiment, dense)
    return path is not None and path.is_file()


def readings_folder() -> Path:
    """Return where they are kept; anybody may empty it."""
    return cache_folder() / "readings"


def _path(name: str, experiment: Experiment, dense: LanguageModel) -> Path | None:
    """Name the file by all that decides it; None where a text is somebody's own."""
    if not set(texts.OURS).issuperset(experiment.texts):
        return None
    plain = experiment.to_json()
    splits: dict[texts.Split, str] = {
        "calibration": experiment.calibration.calibration_text,
        "evaluation": experiment.evaluation.eval_text,
    }
    decided = plain | {
        "model": [dense.spec.dtype, dense.device.type, weights_sample(dense)],
        "read": [texts.text(t, split).sha256 for split, t in splits.items()],
        "by": [FORMAT, *map(version, ("torch", "transformers"))],
    }
    digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()
    return readings_folder() / f"{name}-{digest[:32]}.safetensors"


def _opened(path: Path | None) -> Any:
    """Return what lies there; None for nothing, and for what is damaged."""
    if path is None:
        return None
    with suppress(OSError, SafetensorError, LookupError, TypeError, ValueError):
        with safe_open(path, "pt") as file:
            plain = json.loads(file.metadata()["plain"])
            result = _built(plain, file.get_tensor)
        with suppress(OSError):  # somebody else's file
            os.utime(path)
        return result
    return None


def _keep(path: Path, result: object) -> None:
    tensors: dict[str, Tensor] = {}
    metadata = {"plain": json.dumps(_taken_apart(result, tensors))}
    keep_in(path.parent, "what was read")
    with written_file(path) as beside:
        save_file(tensors, beside, metadata)
    kept_within(path.parent, LIMIT)


def _taken_apart(value: object, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON has it, each tensor replaced by its name in `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name], shape = _packed(value.cpu())
        return {"tensor": name, "shape": shape}
    if isinstance(value, tuple):
        return [_taken_apart(one, tensors) for one in value]
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        own = {name: _taken_apart(field, tensors) for name, field in fields.items()}
        return {"kind": type(value).__name__, "fields": own}
    return value


def _built(plain: Any, tensor: Callable[[str], Tensor]) -> Any:
    if isinstance(plain, list):
        return tuple(_built(one, tensor) for one in plain)
    if not isinstance(plain, dict):
        return plain
    if "tensor" in plain:
        return _unpacked(tensor(plain["tensor"]), plain["shape"])
    fields = {name: _built(one, tensor) for name, one in plain["fields"].items()}
    return KINDS[plain["kind"]](**fields)


def _packed(value: Tensor) -> tuple[Tensor, str]:
    """Leave out what a triangle tells: half of a symmetric or a lower matrix."""
    if value.dim() == 2 and value.shape[0] == value.shape[1]:
        rows, columns = torch.tril_indices(*value.shape)
        if bool((value == value.T).all()):
            return value[rows, columns], "symmetric"
        if not bool(value.triu(1).any()):
            return value[rows, columns], "lower"
    return value.contiguous(), "whole"


def _unpacked(value: Tensor, shape: str) -> Tensor:
    if shape == "whole":
        return value
    size = int(((8 * len(value) + 1) ** 0.5 - 1) / 2)
    rows, columns = torch.tril_indices(size, size)
    matrix = value.new_zeros(size, size)
    matrix[rows, columns] = value
    if shape == "symmetric":
        matrix[columns, rows] = value
    return matrix
