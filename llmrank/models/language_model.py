"""Language models by name: the demo, a hub id, a folder or a GGUF file."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any, Literal

import torch
from torch import nn

from llmrank.core.devices import pick_device
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import cache_folder, keep_in, written_file
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.models import checkpoint_files, checkpoints, ffn
from llmrank.models.checkpoint_files import check_vocabulary
from llmrank.models.hf import building, transformers
from llmrank.models.precision import bytes_of, stored_in

FORMAT = 1
"""Grows when another shape follows from the same configuration: none is kept longer."""

SAMPLED = 64
"""How many values of each weight `weights_sample` looks at, evenly spaced."""


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
    bos: Literal["auto", "always", "never"] = option(
        default="auto",
        help="Whether every text begins with the token BOS; auto does as the tokenizer",
    )
    control_tokens: Literal["text", "control"] = option(
        default="text", help="What <|im_end|> and the like are where a text quotes them"
    )


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model, its tokenizer and the spec it came from.

    `stored` is the precision that its checkpoint has on the disk, where that is known.
    """

    spec: ModelSpec
    model: nn.Module
    tokenizer: Any
    stored: str | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    @property
    def config(self) -> Any:
        """The Hugging Face configuration."""
        return self.model.config

    @property
    def n_positions(self) -> int | None:
        """How many tokens it reads at once at most; None where nothing bounds them."""
        return getattr(self.config, "max_position_embeddings", None)


@dataclass(frozen=True)
class ModelShape:
    """What is known of a model before its weights are loaded."""

    model_type: str
    n_layers: int
    d_model: int
    widths: tuple[int, ...]
    d_vocab: int
    n_params: int
    weight_bytes: int

    @property
    def d_ff(self) -> int:
        """The FFN neurons of the widest layer."""
        return max(self.widths)


_NOTED = {field.name for field in fields(ModelShape)} - {"weight_bytes"}


def load(
    model: ModelSpec | str = ModelSpec(), *, progress: Progress = silent
) -> LanguageModel:
    """Load a model for inference; its weights are never changed afterwards.

    Raises:
        LLMRankError: no such model, an unsupported type (refused before the weights
            load), a pickle, a damaged file, or too little memory.
    """
    spec = ModelSpec(name=model) if isinstance(model, str) else model
    device = pick_device(spec.device)
    what = f"Loading {spec.name}"
    progress(what, 0, 1)
    source = checkpoints.locate(spec.name, spec.revision, progress=progress)
    config = checkpoints.read_config(source)
    tokenizer = checkpoints.read_tokenizer(source)
    check_vocabulary(tokenizer, config, spec.name)
    progress(what, 0, 1)
    try:
        dtype = getattr(torch, spec.dtype)
        loaded = checkpoints.read_weights(
            source, config, dtype, what=what, progress=progress
        )
        loaded = loaded.to(device).eval().requires_grad_(False)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LLMRankError(
            f"{spec.name} needs about {shape(spec).weight_bytes / 1e9:.2f} GB for its "
            f"weights in {spec.dtype}, more than {device} has free; choose a smaller "
            "dtype, another device, or a smaller model"
        ) from error
    progress(what, 1, 1)
    own = None if source.gguf is not None else stored_in(source.folder)
    return LanguageModel(spec, loaded, tokenizer, own)


def _skeleton(
    config: Any, widths: tuple[int, ...], source: checkpoints.Source
) -> nn.Module:
    """Build the model without weights."""
    try:
        with building(), torch.device("meta"):
            built = transformers().AutoModelForCausalLM.from_config(config)
        if widths:
            ffn.resize(built, widths)
    except Exception as error:
        raise LLMRankError(
            f"{source.name} describes no model that can be built "
            f"({type(error).__name__}: {str(error)[:120]}); copy its config.json again"
        ) from error
    return built


def shape(spec: ModelSpec) -> ModelShape:
    """Describe a model from its configuration alone.

    What was found is kept: to build it anew, even without weights, takes seconds.

    Raises:
        LLMRankError: no such model, or an unsupported type.
    """
    source = checkpoints.locate(spec.name, spec.revision, weights=False)
    facts = _kept_facts(source) if source.gguf is None else _facts(source)
    n_bytes = facts["n_params"] * bytes_of(spec.dtype)
    widths = tuple(facts["widths"])
    return ModelShape(**facts | {"widths": widths}, weight_bytes=n_bytes)


def _facts(source: checkpoints.Source) -> dict[str, Any]:
    config = checkpoints.read_config(source)
    skeleton = _skeleton(config, checkpoints.recorded_widths(source), source)
    return {
        "model_type": config.model_type,
        "n_layers": config.num_hidden_layers,
        "d_model": config.hidden_size,
        "widths": ffn.widths(skeleton),
        "d_vocab": config.vocab_size,
        "n_params": sum(p.numel() for p in skeleton.parameters()),
    }


def _kept_facts(source: checkpoints.Source) -> dict[str, Any]:
    """Return what was found before of the same configuration; otherwise find it."""
    config = (source.folder / checkpoint_files.CONFIG).read_bytes()
    known = (checkpoints.recorded_widths(source), version("transformers"), FORMAT)
    name = hashlib.sha256(config + repr(known).encode()).hexdigest()
    note = cache_folder() / "shapes" / f"{name}.json"
    with suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads(note.read_text())
        if isinstance(facts, dict) and set(facts) == _NOTED:
            return facts
    facts = _facts(source)
    with suppress(LLMRankError):
        keep_in(note.parent, "what a configuration says")
        with written_file(note) as beside:
            beside.write_text(json.dumps(facts))
    return facts


@torch.inference_mode()
def weights_sample(lm: LanguageModel) -> str:
    """Hash some values of every weight: a folder's model may change under its name.

    Reading all would take as long as loading; no training leaves a sample unchanged.
    """
    digest = hashlib.sha256()
    for name, weight in lm.model.named_parameters():
        flat = weight.flatten()
        some = flat[:: max(1, len(flat) // SAMPLED)][:SAMPLED]
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(some.cpu().double().numpy().tobytes())
    return digest.hexdigest()
