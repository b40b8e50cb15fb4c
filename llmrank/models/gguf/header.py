"""What a GGUF file says of itself, and whether all of its tensors are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llmrank.core.errors import LLMRankError
from llmrank.models.families import check_type
from llmrank.models.gguf.parts import parts_of
from llmrank.models.hf import building, transformers

MODEL_TYPES = {
    "gemma3": "gemma3_text",
    "command-r": "cohere",
    "gptneox": "gpt_neox",
    "hunyuan-dense": "hunyuan_v1_dense",
    "mistral3": "ministral3",
    "phi2": "phi",
}
"""The types of architectures that llama.cpp and transformers call differently."""

READABLE = (
    "llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "stablelm", "starcoder2",
    "gpt2",
)  # fmt: skip
"""The types whose tensors transformers finds in a GGUF file."""

FACTORS = "rope_freqs.weight"
"""What each rotary frequency is divided by, as files of Llama 3.1 and later say."""


@dataclass(frozen=True)
class Header:
    """The keys and the names of the tensors of a GGUF file, or of all its parts."""

    parts: tuple[Path, ...]
    name: str
    values: dict[str, Any]
    tensors: frozenset[str]

    @property
    def path(self) -> Path:
        """The file that holds the keys."""
        return self.parts[0]

    @property
    def architecture(self) -> str:
        """What llama.cpp calls the model's type."""
        return str(self.values["general.architecture"])

    @property
    def model_type(self) -> str:
        """What transformers calls it."""
        return MODEL_TYPES.get(self.architecture, self.architecture)

    @property
    def own(self) -> dict[str, Any]:
        """The keys of the architecture, without its name before them."""
        before = f"{self.architecture}."
        keys = (key for key in self.values if key.startswith(before))
        return {key.removeprefix(before): self.values[key] for key in keys}

    def refusal(self, key: str, value: object) -> LLMRankError:
        """Say which key is not computed."""
        return LLMRankError(
            f"{self.name} sets {self.architecture}.{key} to {str(value)[:40]}, which "
            "changes what the model computes and is not understood here; give the "
            "model's safetensors folder instead"
        )


def read_header(path: Path, name: str) -> Header:
    """Read the headers of a GGUF file, or of all its parts, of a readable type.

    Raises:
        LLMRankError: it holds no model, a part of one, or one of another type.
        Exception: the file is damaged.
    """
    transformers()
    from transformers.integrations.gguf.reader import read_gguf_metadata

    parts = parts_of(path, name)
    read = [read_gguf_metadata(str(part)) for part in parts]
    values = read[0][0]
    tensors = [tensor for _, names in read for tensor in names]
    header = Header(parts, name, values, frozenset(tensors))
    kind = values.get("general.type", "model")
    if kind != "model":
        raise LLMRankError(
            f"{name} holds no model but a thing of type {str(kind)[:40]!r}; give the "
            "file of the whole model"
        )
    n_parts = values.get("split.count", 0)
    if n_parts > 1 and len(parts) == 1:
        raise LLMRankError(
            f"{name} is part {values.get('split.no', 0) + 1} of {n_parts}, and is not "
            f"named as one (…-00001-of-{n_parts:05}.gguf); name all parts so, or merge "
            "them with `llama-gguf-split --merge FIRST WHOLE`"
        )
    claimed = values.get("split.tensors.count", len(tensors))
    if not len(header.tensors) == len(tensors) == claimed:
        raise LLMRankError(
            f"{name} says that its parts hold {claimed} tensors, and they hold "
            f"{len(header.tensors)}; the parts are not of one model, download them "
            "again"
        )
    check_type({"model_type": header.model_type})
    if header.model_type not in READABLE:
        raise LLMRankError(
            f"{name} holds a model of type {header.model_type!r}, which is read from "
            "folders but not from GGUF files (of those only: "
            f"{', '.join(READABLE)}); give the model's safetensors folder instead"
        )
    return header


def check_tensors(header: Header, config: Any) -> None:
    """Refuse a file with tensors that transformers would leave out.

    Raises:
        LLMRankError: naming one, such as a bias that models of the type lack.
    """
    from transformers import modeling_gguf_pytorch_utils as reader

    with building(), torch.device("meta"):
        skeleton: nn.Module = transformers().AutoModelForCausalLM.from_config(config)
    places = reader.get_gguf_hf_weights_map(skeleton, reader.TensorProcessor())
    unread = sorted(header.tensors - set(places) - {FACTORS})
    if unread:
        raise LLMRankError(
            f"{header.name} holds {len(unread)} tensors that a model of type "
            f"{header.model_type!r} does not have, {unread[0][:80]} among them; give "
            "the model's safetensors folder instead"
        )
