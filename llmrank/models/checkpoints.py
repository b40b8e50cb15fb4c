"""Where a model's files are (demo, hub, folder, GGUF), and reading them safely."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.core.paths import cache_folder, named_path, written_whole
from llmrank.core.permissions import is_open
from llmrank.core.progress import Progress, silent
from llmrank.core.whereabouts import check_there
from llmrank.models import ffn, gguf, hub
from llmrank.models.checkpoint_files import check_config, check_weights, read_json
from llmrank.models.embedded import embedded_file, looks_whole, record, remove
from llmrank.models.hf import building, reported, transformers
from llmrank.models.sizes import check_bytes, check_sizes

DEMO_NAME = "SmolLM2-135M-Instruct"
RECIPE_FILE = "llmrank.json"
"""Beside our checkpoints: the widths of their layers and how they were made."""


@dataclass(frozen=True)
class Source:
    """The folder of a model, and the file in it when that is a GGUF.

    `name` is what the visitor typed; messages say that, and no path of the server.
    """

    folder: Path
    gguf: str | None = None
    name: str = "the embedded model"

    @property
    def path(self) -> Path:
        """The folder, or the file in it."""
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
                f"{name[:120]} is not a .gguf file; give a folder with config.json and "
                "*.safetensors, a .gguf file, a hub id, or demo"
            )
        return Source(path.parent, gguf.parts_of(path, name)[0].name, name)
    if path is not None and path.is_dir():
        folder, weights = path, True
    else:
        folder = hub.fetch(name, revision, weights=weights, progress=progress)
    check_config(folder, name)
    if weights:
        check_weights(folder, name)
    return Source(folder, name=name)


def demo_folder(
    *, check: Callable[[Path], bool] = looks_whole, progress: Progress = silent
) -> Path:
    """Return the folder of the embedded model, dequantised there once.

    What `check` finds damaged (a disk that lost it, a copy broken off) is made again.

    Raises:
        LLMRankError: the model's wheel is not installed, or the cache not writable.
    """
    embedded = embedded_file()
    folder = cache_folder() / f"{DEMO_NAME}-q4_1-f32"
    if not check(folder):
        remove(folder)
        _convert_gguf(Source(embedded.parent, embedded.name), folder, progress)
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


def read_config(source: Source) -> Any:
    """Read the Hugging Face configuration.

    Raises:
        LLMRankError: unsupported type, or the file is damaged.
    """
    try:
        if source.gguf is not None:
            config = gguf.configuration(gguf.read_header(source.path, source.name))
        else:
            config = transformers().AutoConfig.from_pretrained(
                source.folder, trust_remote_code=False
            )
    except LLMRankError:
        raise
    except Exception as error:
        raise LLMRankError(_damaged(source, error)) from error
    if getattr(config, "quantization_config", None):
        raise LLMRankError(
            f"{source.name} is quantised, and only .gguf files are dequantised here; "
            "give the checkpoint it was made from"
        )
    config._attn_implementation = None  # a config.json may name code on the hub
    check_sizes(config, source.name)
    return config


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
    check_bytes(config, own_widths, _n_bytes(source), source.name)
    try:
        if source.gguf is not None:
            gguf.check_tensors(gguf.read_header(source.path, source.name), config)
            file = gguf.whole(source.path, source.name, progress=progress)
            source = replace(source, folder=file.parent, gguf=file.name)
        with building(what, progress):
            return _read(source, config, own_widths, dtype)
    except (LLMRankError, CancelledError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):
            raise MemoryError(str(error)) from error
        raise LLMRankError(_damaged(source, error)) from error


def _n_bytes(source: Source) -> int:
    if source.gguf is not None:
        parts = gguf.parts_of(source.path, source.name)
        return sum(part.stat().st_size for part in parts)
    return sum(file.stat().st_size for file in source.folder.rglob("*.safetensors"))


def _read(
    source: Source, config: Any, own_widths: tuple[int, ...], dtype: torch.dtype
) -> nn.Module:
    auto = transformers().AutoModelForCausalLM
    in_folder = nullcontext({"pretrained_model_name_or_path": source.folder})
    reader = _of_widths(config, own_widths) if len(set(own_widths)) > 1 else auto
    with in_folder if source.gguf is None else gguf.alone(source.path) as place:
        model, info = reader.from_pretrained(
            **place,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise LLMRankError(
            f"{source.name} is incomplete: {len(missing)} tensors are missing, "
            f"{missing[0]} among them; copy the whole checkpoint again"
        )
    if reader is not auto:  # it is built, and as any model of its type from here on
        model.__class__ = type(model).__base__
    return model if source.gguf is None else _plain_copy(model)


def _of_widths(config: Any, own_widths: tuple[int, ...]) -> Any:
    """The model's class, but built with layers of these widths; then read as any.

    It has its parent's name, by which transformers translates stored names.
    """
    plain: Any = transformers().MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]

    def build(model: Any, *arguments: Any, **options: Any) -> None:
        plain.__init__(model, *arguments, **options)
        ffn.resize(model, own_widths)

    own = {"__init__": build, "__module__": plain.__module__}
    return type(plain.__name__, (plain,), own)


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
        return tuple(int(w) for w in read_json(recipe)["widths"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise LLMRankError(
            f"{source.name}: {RECIPE_FILE} is damaged: it must hold the list `widths`; "
            "export again"
        ) from error


def read_tokenizer(source: Source) -> Any:
    """Read the tokenizer that lies beside the weights.

    Raises:
        LLMRankError: there is none, or it is damaged.
    """
    try:
        if source.gguf is not None:
            return gguf.tokenizer(gguf.read_header(source.path, source.name))
        tokenizer = transformers().AutoTokenizer.from_pretrained(
            source.folder, trust_remote_code=False
        )
        if not tokenizer.is_fast:
            raise TypeError(f"{type(tokenizer).__name__} has no tokenizer.json")
    except Exception as error:
        raise LLMRankError(
            f"{source.name} holds no usable tokenizer ({type(error).__name__}); "
            "put tokenizer.json beside the weights"
        ) from error
    return tokenizer


def _damaged(source: Source, error: Exception) -> str:
    """Say why, but for the folder, which the visitor may not have typed."""
    why = str(error).replace(str(source.path), source.name)
    why = " ".join(why.replace(str(source.folder), source.name).split())[:120]
    return (
        f"{source.name} could not be read ({type(error).__name__}: {why}); "
        "it is damaged or incomplete, copy or download it again"
    )
