"""Random models built on a device, and what a run of `benchmarks.gpu` keeps of it."""

import copy
import dataclasses
import gc
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from llmrank.models import ffn
from llmrank.models.hf import building, transformers
from llmrank.models.language_model import LanguageModel, ModelSpec

SEED = 0
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 257,
        "tie_word_embeddings": True,
    },
    "135M": {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "1B": {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "tie_word_embeddings": True,
    },
    "7B": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000,
        "tie_word_embeddings": False,
    },
}  # fmt: skip
"""SmolLM2-135M, Llama 3.2 1B, Llama 2 7B, and one for the tests."""

DTYPES = ("bfloat16", "float32")


def built(shape: str, dtype: str, device: torch.device) -> LanguageModel:
    """Build a random llama on the device; its neurons differ in size, as trained ones.

    Nothing is read and no token has a meaning: the weights are where the time goes.
    """
    own = {"max_position_embeddings": 4096, "pad_token_id": 0}
    config = transformers().LlamaConfig(**SHAPES[shape], **own)
    torch.manual_seed(SEED)
    with building(), torch.device(device):
        model = transformers().AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, dtype)
        )
    model = model.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(SEED)
    for view in ffn.ffns(model):
        size = torch.randn(view.d_ff, 1, generator=generator).mul(0.5).exp()
        view.up.mul_(size.to(view.up))
    spec = ModelSpec(name=shape, dtype=dtype, device=device.type)
    return LanguageModel(spec, model, None)


def converted(lm: LanguageModel, dtype: str, device: torch.device) -> LanguageModel:
    """Copy a model into another precision or onto another device."""
    model = copy.deepcopy(lm.model).to(device=device, dtype=getattr(torch, dtype))
    spec = dataclasses.replace(lm.spec, dtype=dtype, device=device.type)
    return LanguageModel(spec, model, lm.tokenizer)


def drawn_windows(lm: LanguageModel, n_windows: int, seq_len: int) -> torch.Tensor:
    """Draw token ids, the same for every model of a shape."""
    generator = torch.Generator().manual_seed(SEED)
    size = (n_windows, seq_len)
    return torch.randint(lm.config.vocab_size, size, generator=generator)


def weight_bytes(shape: str, dtype: str) -> int:
    """Count the bytes of a shape's weights before it is built."""
    s = SHAPES[shape]
    d, heads = s["hidden_size"], s["num_attention_heads"]
    attention = 2 * d * d * (1 + s["num_key_value_heads"] / heads)
    layers = s["num_hidden_layers"] * (attention + 3 * d * s["intermediate_size"])
    tables = (1 if s["tie_word_embeddings"] else 2) * s["vocab_size"] * d
    return int(layers + tables) * getattr(torch, dtype).itemsize


def forget(device: torch.device) -> None:
    """Give the memory of models that are gone back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@dataclass(frozen=True)
class Check:
    """One thing compared: the largest difference, and neurons on the other side."""

    what: str
    dtype: str
    difference: float | None
    allowed: float | None
    n_aside: int | None
    n_dropped: int | None
    holds: bool
    remark: str = ""


@dataclass(frozen=True)
class Work:
    """How long one piece of work took, and the most memory that was held meanwhile."""

    shape: str
    dtype: str
    what: str
    ms: float | None
    n_rounds: int
    peak_gb: float | None
    remark: str = ""


@dataclass(frozen=True)
class Speed:
    """Dense against pruned in one phase, beside what the card allows."""

    shape: str
    dtype: str
    removed: str
    phase: str
    dense_ms: float
    pruned_ms: float
    ratio: float
    low: float
    high: float
    allowed: float
    dense_floor_ms: float
    n_rounds: int


@dataclass
class Run:
    """The device, the time that is left, and what was found so far."""

    device: torch.device
    limit_s: float
    checks: list[Check] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)

    @property
    def taken_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.begun

    @property
    def left_s(self) -> float:
        """Seconds until the limit."""
        return self.limit_s - self.taken_s

    @property
    def tiny(self) -> bool:
        """Whether this is no accelerator: the script is tried, nothing is claimed."""
        return self.device.type == "cpu"

    def says(self, what: str) -> None:
        """Tell on standard error what begins."""
        print(f"[{self.taken_s:5.0f} s] {what}", file=sys.stderr, flush=True)

    def fails(self, what: str, error: Exception) -> str:
        """Note what went wrong; the run goes on."""
        lines = str(error).splitlines() or [""]
        sentence = f"{type(error).__name__}: {lines[0][:200]}"
        self.faults.append(f"{what}: {sentence}")
        self.says(f"{what} failed: {sentence}")
        return sentence
