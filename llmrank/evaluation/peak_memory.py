"""Peak memory of one prefill and decode: CUDA's allocator, or a process of its own."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from llmrank.core.child_process import end_with_parent
from llmrank.core.devices import free_bytes
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import child_environment
from llmrank.core.progress import Progress, silent
from llmrank.core.threads import POLICY
from llmrank.evaluation.decoding import (
    BenchmarkSpec,
    inference_bytes,
    memory_guard,
    random_prompt,
    timed_steps,
    too_large,
)
from llmrank.evaluation.footprint import footprint
from llmrank.models import ffn, precision
from llmrank.models.language_model import LanguageModel, ModelSpec

POLL_S = 0.2
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class MemoryPeak:
    """The most memory that a run held, and what was held before the first weight."""

    baseline_bytes: int
    peak_bytes: int
    source: str

    @property
    def used_bytes(self) -> int:
        """What the model needed: weights, KV cache, activations, buffers."""
        return self.peak_bytes - self.baseline_bytes


def peak_memory(
    lm: LanguageModel,
    spec: BenchmarkSpec = BenchmarkSpec(),
    *,
    timeout_s: float = 600.0,
    progress: Progress = silent,
) -> MemoryPeak:
    """Measure the peak memory of one model in one prefill and decode.

    On CUDA the allocator is asked. Elsewhere a child process builds the same shapes
    (weights of zeros: values take no memory) and runs on the CPU, since a process that
    holds other models, or held them, cannot tell what one of them needs. The load of
    the machine does not change the result, so that no other measurement is waited for.

    Raises:
        LLMRankError: the run does not fit, or the child fails or takes too long.
        CancelledError: from `progress`; the child is gone then.
    """
    random_prompt(lm, spec)
    with memory_guard(lm, spec):
        if lm.device.type == "cuda":
            return _from_allocator(lm, spec, progress)
        return _from_child(lm, spec, timeout_s, progress)


def _from_allocator(
    lm: LanguageModel, spec: BenchmarkSpec, progress: Progress
) -> MemoryPeak:
    """Other models on the device are left out: only what the run adds is counted."""
    torch.cuda.synchronize(lm.device)
    torch.cuda.reset_peak_memory_stats(lm.device)
    before = torch.cuda.memory_allocated(lm.device)
    steps = timed_steps(lm.model, random_prompt(lm, spec), spec.new_tokens)
    for done, _ in enumerate(steps, start=1):
        progress("Measuring peak memory", done, 1 + spec.new_tokens)
    added = torch.cuda.max_memory_allocated(lm.device) - before
    return MemoryPeak(0, footprint(lm).weight_bytes + added, "CUDA allocator")


def _from_child(
    lm: LanguageModel, spec: BenchmarkSpec, timeout_s: float, progress: Progress
) -> MemoryPeak:
    free = free_bytes(torch.device("cpu"))
    if free is not None and inference_bytes(lm, spec) > free:
        raise LLMRankError(too_large(lm, spec))
    with subprocess.Popen(
        [sys.executable, "-m", "llmrank.evaluation.peak_memory"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(**POLICY),
    ) as child:
        try:
            answer, complaint = _wait(child, _request(lm, spec), timeout_s, progress)
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        raise LLMRankError(_failure(lm, spec, child.returncode, complaint))
    return MemoryPeak(**json.loads(answer), source="child process")


def _request(lm: LanguageModel, spec: BenchmarkSpec) -> str:
    return json.dumps(
        {
            "config": lm.config.to_json_string(use_diff=False),
            "attention": lm.config._attn_implementation,
            "widths": ffn.widths(lm.model),
            "dtype": precision.computed_in(lm.model),
            "n_threads": torch.get_num_threads(),
            "spec": asdict(spec),
        }
    )


def _wait(
    child: subprocess.Popen[str], request: str, timeout_s: float, progress: Progress
) -> tuple[str, str]:
    # not by `communicate`: what it has not sent at its timeout, it never sends, and it
    # would close the pipe that the child lives by
    held, child.stdin = child.stdin, None
    assert held is not None
    with suppress(BrokenPipeError):
        held.write(f"{request}\n")
        held.flush()
    try:
        return _answered(child, timeout_s, progress)
    finally:
        with suppress(BrokenPipeError):
            held.close()


def _answered(
    child: subprocess.Popen[str], timeout_s: float, progress: Progress
) -> tuple[str, str]:
    deadline = time.monotonic() + timeout_s
    while True:
        progress("Measuring peak memory", 0, 1)
        try:
            return child.communicate(timeout=POLL_S)
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() > deadline:
            raise LLMRankError(
                f"measuring peak memory took more than {timeout_s:g} s and was "
                "stopped; choose fewer tokens or a smaller batch"
            )


def _failure(
    lm: LanguageModel, spec: BenchmarkSpec, returncode: int, complaint: str
) -> str:
    last = (complaint.strip().splitlines() or ["it said nothing"])[-1]
    if returncode == -signal.SIGKILL or "can't allocate memory" in last.lower():
        return too_large(lm, spec)
    return (
        f"the peak memory of {lm.spec.name} could not be measured: its process ended "
        f"with {last[:200]!r} (status {returncode}); the other figures do not need it"
    )


def _measure(request: dict[str, Any]) -> dict[str, int]:
    """Build the model, run it, and tell the memory before and at the most."""
    import psutil

    torch.set_num_threads(request["n_threads"])
    lm = _shapes_only(request)
    spec = BenchmarkSpec(**request["spec"])
    with suppress(OSError):  # forget the peak of the imports (Linux, mm/task_mmu.c)
        Path("/proc/self/clear_refs").write_text("5")
    baseline = psutil.Process().memory_info().rss
    _fill_with_zeros(lm.model)
    for _ in timed_steps(lm.model, random_prompt(lm, spec), spec.new_tokens):
        pass
    return {"baseline_bytes": baseline, "peak_bytes": _peak_rss()}


def _shapes_only(request: dict[str, Any]) -> LanguageModel:
    """Build the model on the meta device: no weight is allocated yet."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    fields = json.loads(request["config"])
    config = transformers.AutoConfig.for_model(**fields)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            config, attn_implementation=request["attention"]
        )
        ffn.resize(model, request["widths"])
    model.to(getattr(torch, request["dtype"])).eval().requires_grad_(False)
    return LanguageModel(ModelSpec(name="shapes", device="cpu"), model, None)


def _fill_with_zeros(model: Any) -> None:
    model.to_empty(device="cpu")
    model.tie_weights()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.zero_()


def _peak_rss() -> int:
    """Return the peak of this process in bytes.

    Linux counts the memory of the process that started this one into `ru_maxrss`
    (fs/exec.c keeps the old high-water mark), so its own mark is read instead.
    """
    if STATUS.exists():
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return 1024 * int(fields["VmHWM"].split()[0])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    asked = json.loads(sys.stdin.readline())
    end_with_parent()
    json.dump(_measure(asked), sys.stdout)
