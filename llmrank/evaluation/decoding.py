"""The run that benchmarks measure: one prefill and greedy decode of fixed lengths."""

import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from llmrank.core.devices import free_bytes
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress
from llmrank.core.specs import option, spec
from llmrank.evaluation.footprint import footprint
from llmrank.models.language_model import LanguageModel

_alone = threading.Lock()


@spec
class BenchmarkSpec:
    """How much text is read and written, and how often it is timed."""

    batch: int = option(
        default=1, low=1, high=1024, help="Sequences side by side; 1 is a single chat"
    )
    prompt_tokens: int = option(
        default=128,
        low=1,
        high=131072,
        help="Tokens read at once (prefill); fewer where the model takes fewer",
    )
    new_tokens: int = option(
        default=16, low=1, high=4096, help="Tokens written one by one (decode)"
    )
    repeats: int = option(
        default=5,
        low=2,
        high=100,
        help="Rounds of every model, after a warm-up; more follow, for 10 s at the "
        "most, until the speed-up is known within 5 %",
    )
    seed: int = option(default=0, low=0, help="Seed of the random prompt")


def prompt_length(lm: LanguageModel, spec: BenchmarkSpec) -> int:
    """Return the tokens that are read: those asked for, or as many as the model takes.

    Raises:
        LLMRankError: what is to be written leaves no position to them.
    """
    if lm.n_positions is None:
        return spec.prompt_tokens
    if spec.new_tokens >= lm.n_positions:
        raise LLMRankError(
            f"new_tokens must be below {lm.n_positions}, the positions of "
            f"{lm.spec.name}, got {spec.new_tokens}"
        )
    return min(spec.prompt_tokens, lm.n_positions - spec.new_tokens)


def random_prompt(lm: LanguageModel, spec: BenchmarkSpec) -> Int[Tensor, "batch pos"]:
    """Draw the prompt, the same for every model with the same vocabulary.

    Raises:
        LLMRankError: what is to be written leaves no position to it.
    """
    generator = torch.Generator().manual_seed(spec.seed)
    size = (spec.batch, prompt_length(lm, spec))
    ids = torch.randint(lm.config.vocab_size, size, generator=generator)
    return ids.to(lm.device)


@torch.inference_mode()
def timed_steps(
    model: nn.Module, prompt: Int[Tensor, "batch pos"], new_tokens: int
) -> Iterator[float]:
    """Yield the milliseconds of the prefill, then those of each decoded token.

    Decoding is greedy over the KV cache and never stops early. The prefill computes
    the logits of the last token only, if the model can. What the caller does between
    two steps is not timed.
    """
    device, tokens, cache = prompt.device, prompt, None
    options = _last_logits_only(model)
    for _ in range(1 + new_tokens):
        synchronise(device)
        start = time.perf_counter()
        output = model(tokens, past_key_values=cache, use_cache=True, **options)
        tokens = output.logits[:, -1:].argmax(dim=-1)
        cache = output.past_key_values
        synchronise(device)
        yield 1e3 * (time.perf_counter() - start)


def elapsed_ms(call: Callable[[], object], device: torch.device) -> float:
    """Time one call to its end on the device."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return 1e3 * (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    """Wait for an accelerator to finish, so that the clock sees its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def alone(progress: Progress) -> Iterator[None]:
    """Keep other measurements of this process waiting; waiting can be cancelled."""
    while not _alone.acquire(timeout=0.2):
        progress("Waiting for another measurement to end", 0, 1)
    try:
        yield
    finally:
        _alone.release()


def inference_bytes(lm: LanguageModel, spec: BenchmarkSpec) -> int:
    """Estimate the memory of a run: weights, KV cache, activations, logits.

    The activations are those of one FFN layer in the prefill (gate, up, their product)
    beside four values of the residual's size, twice, as freed blocks are not given
    back at once. An `eager` attention adds its scores.
    """
    config, sizes, n_read = lm.config, footprint(lm), prompt_length(lm, spec)
    n_heads = config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    cached = 2 * len(sizes.widths) * n_kv_heads * d_head
    active = 2 * (3 * max(sizes.widths) + 4 * config.hidden_size)
    if config._attn_implementation == "eager":
        active += 2 * n_heads * n_read
    length = n_read + spec.new_tokens
    per_sequence = length * cached + n_read * active + config.vocab_size
    itemsize = next(lm.model.parameters()).element_size()
    return sizes.weight_bytes + spec.batch * per_sequence * itemsize


@contextmanager
def memory_guard(lm: LanguageModel, spec: BenchmarkSpec) -> Iterator[None]:
    """Turn out of memory into one sentence with the estimate.

    On the CPU a run that cannot fit is refused first: the system would kill the whole
    process instead of failing the allocation.

    Raises:
        LLMRankError: the run does not fit.
    """
    need = inference_bytes(lm, spec)
    beyond_weights = need - footprint(lm).weight_bytes
    free = free_bytes(lm.device)
    if lm.device.type == "cpu" and free is not None and beyond_weights > free:
        raise LLMRankError(too_large(lm, spec))
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise LLMRankError(too_large(lm, spec)) from error


def too_large(lm: LanguageModel, spec: BenchmarkSpec) -> str:
    """Say what a run needs and how to need less."""
    return (
        f"{lm.spec.name} needs about {inference_bytes(lm, spec) / 1e9:.2f} GB on "
        f"{lm.device} for {spec.batch} x ({prompt_length(lm, spec)} + "
        f"{spec.new_tokens}) "
        "tokens, more than there is; choose a smaller batch, fewer tokens or a "
        "smaller dtype"
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "can't allocate memory" in text or "out of memory" in text


def _last_logits_only(model: nn.Module) -> dict[str, Any]:
    known = inspect.signature(model.forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in known else {}
