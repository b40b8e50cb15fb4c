"""Dense and pruned, measured side by side on the same text, tasks and prompts."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from llmrank.core.devices import free_bytes
from llmrank.core.notebook import Shown
from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import Estimate
from llmrank.evaluation.accuracy import (
    Retention,
    TaskResult,
    TaskSpec,
    evaluate_task,
    retention,
)
from llmrank.evaluation.decoding import BenchmarkSpec, alone, inference_bytes
from llmrank.evaluation.footprint import Footprint, footprint
from llmrank.evaluation.latency import Latency, Timing
from llmrank.evaluation.peak_memory import MemoryPeak, peak_memory
from llmrank.evaluation.perplexity import (
    EvaluationSpec,
    TextEvaluation,
    in_turn,
    perplexity_ratio,
    top1_retention,
)
from llmrank.evaluation.speedup import Speedup, measure, speedup
from llmrank.models.language_model import LanguageModel

Measure = Literal["text", "tasks", "latency", "memory"]
"""What is measured apart: each may be asked for alone."""

MEASURES: tuple[Measure, ...] = get_args(Measure)


@dataclass(frozen=True)
class Measures:
    """What is measured of both models, and in which order."""

    evaluation: EvaluationSpec = EvaluationSpec()
    tasks: TaskSpec = TaskSpec()
    benchmark: BenchmarkSpec = BenchmarkSpec()
    which: tuple[Measure, ...] = MEASURES


@dataclass(frozen=True)
class Side:
    """What was measured of one model, dense or pruned; None is not measured (yet)."""

    footprint: Footprint
    text: TextEvaluation | None = None
    tasks: tuple[TaskResult, ...] = ()
    latency: Latency | None = None
    memory: MemoryPeak | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the measurements as the command line prints them."""
        f = self.footprint
        plain: dict[str, Any] = {
            "n_params": f.n_params,
            "n_ffn_neurons": f.n_ffn_neurons,
            "widths": list(f.widths),
            "weight_bytes": f.weight_bytes,
            "macs_per_token": f.macs_per_token,
            "tasks": {t.name: _task_json(t) for t in self.tasks},
        }
        if self.text is not None:
            read = self.text
            counted = {
                "n_tokens": read.n_tokens,
                "seq_len": read.seq_len,
                "bos": read.bos,
            }
            plain["perplexity"] = dataclasses.asdict(read.perplexity) | counted
            plain["top1"] = dataclasses.asdict(read.top1) | counted
        if self.latency is not None:
            plain["prefill_ms"] = _timing_json(self.latency.prefill)
            plain["decode_ms"] = _timing_json(self.latency.decode)
        if self.memory is not None:
            plain["peak_memory"] = dataclasses.asdict(self.memory)
        return plain


@dataclass(frozen=True)
class Comparison(Shown):
    """Dense and pruned side by side, and how much faster pruned is."""

    dense: Side
    pruned: Side
    speedup: Speedup | None = None

    @property
    def perplexity_ratio(self) -> Estimate | None:
        """Pruned / dense perplexity, paired by the windows that both have read."""
        pair = self._texts()
        return None if pair is None else perplexity_ratio(*pair)

    @property
    def top1_retention(self) -> Estimate | None:
        """Pruned / dense top-1 accuracy, paired by the windows that both have read."""
        pair = self._texts()
        return None if pair is None else top1_retention(*pair)

    @property
    def task_retention(self) -> dict[str, Retention]:
        """Pruned / dense accuracy of each task asked of both."""
        pruned = {t.name: t for t in self.pruned.tasks}
        return {
            t.name: retention(t, pruned[t.name])
            for t in self.dense.tasks
            if t.name in pruned
        }

    def to_json(self) -> dict[str, Any]:
        """Return both sides and their ratios as plain values."""
        plain: dict[str, Any] = {
            "dense": self.dense.to_json(),
            "pruned": self.pruned.to_json(),
        }
        ratios = {
            "perplexity_ratio": self.perplexity_ratio,
            "top1_retention": self.top1_retention,
            "speedup": self.speedup,
            **{f"{t}_retention": r for t, r in self.task_retention.items()},
        }
        paired = {k: dataclasses.asdict(v) for k, v in ratios.items() if v is not None}
        return plain | {"ratios": paired}

    def _texts(self) -> tuple[TextEvaluation, TextEvaluation] | None:
        dense, pruned = self.dense.text, self.pruned.text
        if dense is None or pruned is None:
            return None
        n_both = min(len(dense.nll), len(pruned.nll))
        dense, pruned = dense.first(n_both), pruned.first(n_both)
        if dense.windows != pruned.windows:
            return None  # the file changed in between
        return dense, pruned


def beside(
    dense: LanguageModel,
    pruned: LanguageModel,
    texts: tuple[TextEvaluation | None, TextEvaluation | None] = (None, None),
) -> Comparison:
    """Return two models side by side before more is measured: sizes, known texts."""
    return Comparison(
        Side(footprint(dense), texts[0]), Side(footprint(pruned), texts[1])
    )


def compare(
    dense: LanguageModel,
    pruned: LanguageModel,
    measures: Measures = Measures(),
    *,
    known: Comparison | None = None,
    progress: Progress = silent,
    publish: Callable[[Comparison], None] = lambda _: None,
) -> Comparison:
    """Measure two models on the same text, tasks and prompts.

    Args:
        dense: the model before the cut.
        pruned: the model after it.
        measures: text, tasks and benchmark, and which of them in which order.
        known: what has been measured of two such models already is taken from there.
        progress: called per window, item and timed step.
        publish: given the comparison so far, whenever it grows.

    Raises:
        LLMRankError: a text, a task or the memory does not suffice.
    """
    board = _Board(dense, pruned, known, progress, publish)
    steps: dict[Measure, Callable[[], None]] = {
        "text": lambda: board.text(measures.evaluation),
        "tasks": lambda: board.tasks(measures.tasks),
        "latency": lambda: board.latency(measures.benchmark),
        "memory": lambda: board.memory(measures.benchmark),
    }
    for name in measures.which:
        steps[name]()
    return board.comparison


class _Board:
    """The comparison while it fills; each step shows what it added."""

    def __init__(
        self,
        dense: LanguageModel,
        pruned: LanguageModel,
        known: Comparison | None,
        progress: Progress,
        publish: Callable[[Comparison], None],
    ) -> None:
        self._models: dict[SideName, LanguageModel] = {"dense": dense, "pruned": pruned}
        self._progress, self._publish = progress, publish
        self.comparison = beside(dense, pruned)
        self._known = known or self.comparison
        publish(self.comparison)

    def text(self, spec: EvaluationSpec) -> None:
        """Read both models in turn, window by window: ratios come in early."""
        known = {side: _side(self._known, side).text for side in self._models}
        unknown = [side for side, text in known.items() if text is None]
        for side, text in known.items():
            if text is not None:
                self._show(side, text=text)
        models = [self._models[side] for side in unknown]
        if not models:
            return
        for windows in in_turn(models, spec, progress=self._progress):
            for side, text in zip(unknown, windows, strict=True):
                self._show(side, text=text)

    def tasks(self, spec: TaskSpec) -> None:
        for name in spec.names:
            for side, lm in self._models.items():
                known = {t.name: t for t in _side(self._known, side).tasks}
                result = known.get(name) or evaluate_task(
                    lm,
                    name,
                    n_items=spec.items,
                    seed=spec.items_seed,
                    progress=self._progress,
                )
                before = _side(self.comparison, side).tasks
                self._show(side, tasks=(*before, result))

    def latency(self, spec: BenchmarkSpec) -> None:
        known = self._known
        times, faster = (known.dense.latency, known.pruned.latency), known.speedup
        if None in times or faster is None:
            models = tuple(self._models.values())
            costs = measure(models, spec, progress=self._progress)
            times, faster = (costs[0].latency, costs[1].latency), speedup(*costs)
        for side, time in zip(self._models, times, strict=True):
            self._show(side, latency=time)
        self.comparison = dataclasses.replace(self.comparison, speedup=faster)
        self._publish(self.comparison)

    def memory(self, spec: BenchmarkSpec) -> None:
        """Measure both at once where both fit easily: each has its own process."""
        peaks = {side: _side(self._known, side).memory for side in self._models}
        unknown = {s: lm for s, lm in self._models.items() if peaks[s] is None}
        needed = sum(inference_bytes(lm, spec) for lm in unknown.values())
        apart = self._models["dense"].device.type != "cuda"
        at_once = apart and 2 * needed < (free_bytes(torch.device("cpu")) or 0)
        with alone(self._progress), ThreadPoolExecutor(2 if at_once else 1) as pool:
            measured = {
                side: pool.submit(peak_memory, lm, spec, progress=self._progress)
                for side, lm in unknown.items()
            }
            for side, peak in peaks.items():
                self._show(side, memory=peak or measured[side].result())

    def _show(self, side: "SideName", **measured: Any) -> None:
        new = dataclasses.replace(_side(self.comparison, side), **measured)
        changed: dict[str, Any] = {side: new}
        self.comparison = dataclasses.replace(self.comparison, **changed)
        self._publish(self.comparison)


def _side(comparison: Comparison, side: "SideName") -> Side:
    return comparison.dense if side == "dense" else comparison.pruned


SideName = Literal["dense", "pruned"]


def _task_json(task: TaskResult) -> dict[str, Any]:
    return {
        "acc": task.acc,
        "acc_norm": task.acc_norm,
        "stderr": task.stderr,
        "stderr_norm": task.stderr_norm,
        "n_items": task.n_items,
        "n_left_out": task.n_left_out,
        "chance": task.chance_level,
    }


def _timing_json(timing: Timing) -> dict[str, Any]:
    return {
        "median": timing.median,
        "p90": timing.p90,
        "samples": list(timing.samples_ms),
    }
