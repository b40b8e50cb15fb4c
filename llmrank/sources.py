"""Where a model's files are (demo, hub, folder, GGUF), and reading them safely."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llmrank import ffn, hub
from llmrank.doors import is_open
from llmrank.downloader import BAD_CONFIG
from llmrank.embedded import embedded_file, looks_whole, record, remove
from llmrank.errors import CancelledError, LLMRankError
from llmrank.families import family_of
from llmrank.folders import cache_folder, named_path, written_whole
from llmrank.hf import building, reported, transformers
from llmrank.progress import Progress, silent
from llmrank.whereabouts import check_there

DEMO_NAME = "SmolLM2-135M-Instruct"
RECIPE_FILE = "llmrank.json"
"""Beside our checkpoints: the widths of their layers and how they were made."""

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Source:
    """The folder of a model, and the file in it when that is a GGUF."""

    folder: Path
    gguf: str | None = None

    @property
    def path(self) -> Path:
        """What the visitor named: the folder, or the file in it."""
        return self.folder if self.gguf is None else self.folder / self.gguf


def locate(
    name: str, revision: str, *, weights: bool = True, progress: Progress = silent
) -> Source:
    """Find a model's files; of a hub model without `weights` its configuration alone.

    Raises:
        LLMRankError: no such model, no safetensors, or a hub model of unknown type.
    """
    if name == "demo":
        return Source(demo_folder(progress=progress))
    check_there(name)
    path = named_path(name) if is_open(name) else None
    if path is not None and path.is_file():
        if path.suffix.lower() != ".gguf":
            raise LLMRankError(
                f"{path} is not a .gguf file; give a folder with config.json and "
                "*.safetensors, a .gguf file, a hub id, or demo"
            )
        return Source(path.parent, path.name)
    if path is not None and path.is_dir():
        return Source(_checked_folder(path))
    found = hub.fetch(name, revision, weights=weights, progress=progress)
    return Source(_checked_folder(found) if weights else found)


def demo_folder(
    *, check: Callable[[Path], bool] = looks_whole, progress: Progress = silent
) -> Path:
    """Return the folder of the embedded model, dequantised there once.

    What `check` finds damaged (a disk that lost it, a copy broken off) is made again.

    Raises:
        LLMRankError: the model's wheel is not installed, or the cache not writable.
    """
    gguf = embedded_file()
    folder = cache_folder() / f"{DEMO_NAME}-q4_1-f32"
    if not check(folder):
        remove(folder)
        _convert_gguf(Source(gguf.parent, gguf.name), folder, progress)
    return folder


def _convert_gguf(source: Source, folder: Path, progress: Progress) -> None:
    what = "Converting the embedded model, once"
    progress(what, 0, 1)
    config = read_config(source)
    model = read_weights(source, config, torch.float32, what=what, progress=progress)
    try:
        with written_whole(folder) as beside, reported(what, progress):
            model.save_pretrained(beside)
            read_tokenizer(source).save_pretrained(beside)
            record(beside)
    except LLMRankError:
        if not looks_whole(folder):  # else another process was faster
            raise


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise LLMRankError(
            f"{folder} holds no model: config.json is missing; "
            "a model folder holds config.json and *.safetensors"
        )
    if not any(folder.glob("*.safetensors")):
        pickles = [p.name for s in ("bin", "pt", "pth") for p in folder.glob(f"*.{s}")]
        found = f"; {pickles[0]} is a pickle, which is never loaded" if pickles else ""
        raise LLMRankError(
            f"{folder} holds no *.safetensors{found}; "
            "convert the weights to safetensors first"
        )
    _refuse_indexed_pickles(folder)
    return folder


def _refuse_indexed_pickles(folder: Path) -> None:
    """An index may name any file as a part; transformers would unpickle it."""
    for index in folder.glob("*.safetensors.index.json"):
        try:
            parts = json.loads(index.read_text("utf-8"))["weight_map"].values()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LLMRankError(f"{index} is damaged; copy it again") from error
        others = [str(part) for part in parts if Path(str(part)).suffix != _SUFFIX]
        if others:
            raise LLMRankError(
                f"{index} names {others[0][:80]!r}, which is no {_SUFFIX} file and is "
                "never loaded; convert the weights to safetensors first"
            )


def read_config(source: Source) -> Any:
    """Read the Hugging Face configuration.

    Raises:
        LLMRankError: unsupported type, or the file is damaged.
    """
    try:
        config = transformers().AutoConfig.from_pretrained(
            source.folder, gguf_file=source.gguf, trust_remote_code=False
        )
    except Exception as error:
        _refuse_unknown_type(source, error)
        raise LLMRankError(_damaged(source, error)) from error
    if source.gguf is None and getattr(config, "quantization_config", None):
        raise LLMRankError(
            f"{source.folder} is quantised, and only .gguf files are dequantised here; "
            "give the checkpoint it was made from"
        )
    return config


def _refuse_unknown_type(source: Source, error: Exception) -> None:
    """Name the type even when transformers itself does not know it."""
    if source.gguf is not None:
        unknown = re.search(r"architecture (\S+) is not supported", str(error))
        if unknown is not None:
            family_of(unknown[1])
        return
    try:
        text = (source.folder / "config.json").read_text("utf-8")
        model_type = json.loads(text)["model_type"]
    except BAD_CONFIG:
        return
    family_of(str(model_type))


def read_weights(
    source: Source,
    config: Any,
    dtype: torch.dtype,
    *,
    what: str = "Loading",
    progress: Progress = silent,
) -> nn.Module:
    """Read the weights; layers of different widths are opened from our exports.

    Raises:
        LLMRankError: the weights are damaged or incomplete.
        MemoryError: they do not fit.
        CancelledError: from `progress`, called with `what` per tensor.
    """
    own_widths = recorded_widths(source)
    try:
        with building(what, progress):
            return _read(source, config, own_widths, dtype)
    except (LLMRankError, CancelledError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):
            raise MemoryError(str(error)) from error
        raise LLMRankError(_damaged(source, error)) from error


def _read(
    source: Source, config: Any, own_widths: tuple[int, ...], dtype: torch.dtype
) -> nn.Module:
    uneven = len(set(own_widths)) > 1
    auto = transformers().AutoModelForCausalLM
    model, info = (_of_widths(config, own_widths) if uneven else auto).from_pretrained(
        source.folder,
        gguf_file=source.gguf,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        trust_remote_code=False,
    )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise LLMRankError(
            f"{source.path} is incomplete: {len(missing)} tensors are missing, "
            f"{missing[0]} among them; copy the whole checkpoint again"
        )
    if uneven:
        model.__class__ = type(model).__base__
    return model if source.gguf is None else _plain_copy(model)


def _of_widths(config: Any, own_widths: tuple[int, ...]) -> Any:
    """The model's class, but built with layers of these widths; then read as any."""
    plain: Any = transformers().MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]

    class Uneven(plain):
        def __init__(self, config: Any, *arguments: Any, **options: Any) -> None:
            super().__init__(config, *arguments, **options)
            ffn.resize(self, own_widths)

    # Stored names differ from those in memory; only its own classes are translated.
    Uneven.__name__, Uneven.__module__ = plain.__name__, plain.__module__
    return Uneven


def _plain_copy(read: Any) -> nn.Module:
    """Rebuild a model that comes marked as quantised (it could not be saved)."""
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    auto = transformers().AutoModelForCausalLM  # keeps its buffers in full precision
    model = auto.from_config(config, dtype=read.dtype)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model


def recorded_widths(source: Source) -> tuple[int, ...]:
    """Return the FFN widths that our export has noted; empty for other models.

    Raises:
        LLMRankError: the note is damaged.
    """
    recipe = source.folder / RECIPE_FILE
    if source.gguf is not None or not recipe.is_file():
        return ()
    try:
        return tuple(int(w) for w in json.loads(recipe.read_text("utf-8"))["widths"])
    except (ValueError, KeyError, TypeError) as error:
        raise LLMRankError(
            f"{recipe} is damaged: it must hold the list `widths`; export again"
        ) from error


def read_tokenizer(source: Source) -> Any:
    """Read the tokenizer that lies beside the weights.

    Raises:
        LLMRankError: there is none, or it is damaged.
    """
    try:
        return transformers().AutoTokenizer.from_pretrained(
            source.folder, gguf_file=source.gguf, trust_remote_code=False
        )
    except Exception as error:
        raise LLMRankError(
            f"{source.folder} holds no usable tokenizer ({type(error).__name__}); "
            "put tokenizer.json beside the weights"
        ) from error


def _damaged(source: Source, error: Exception) -> str:
    why = " ".join(str(error).split())[:120]
    return (
        f"{source.path} could not be read ({type(error).__name__}: {why}); "
        "it is damaged or incomplete, copy or download it again"
    )
