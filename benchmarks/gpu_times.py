"""How long does each piece of work take on this device, beside what the card allows?"""

import statistics
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.calibration_overhead import bare_pass
from benchmarks.gpu_models import Run, Speed, Work, built, drawn_windows, forget
from llmrank.calibration.activations import ActivationStats, measure
from llmrank.calibration.second_moments import moments
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import silent
from llmrank.evaluation import speedup
from llmrank.evaluation.decoding import BenchmarkSpec, elapsed_ms
from llmrank.methods import pagerank
from llmrank.methods.criteria import Scores, criterion, score
from llmrank.methods.graph import graphs
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.methods.repair import REPAIRS, RepairInputs, repair
from llmrank.methods.response_planes import planes
from llmrank.methods.sorted_model import prefix, sort_neurons
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

SPARSITIES = (0.2, 0.3, 0.5)
ROUNDS = 5
WORK_S = {"tiny": 2, "135M": 6, "1B": 8, "7B": 15}
"""A section that would begin with less time left than this is left out, and says so."""


def card_limits(run: Run, dtype: str) -> None:
    """Measure the fastest copy and the fastest matrix product."""
    n = 256 if run.tiny else 8192
    like = {"dtype": getattr(torch, dtype), "device": run.device}
    source = torch.ones(n * n * 4, **like)
    target = torch.empty_like(source)
    a = torch.ones(n, n, **like)
    copies = best_ms(run, lambda: target.copy_(source))
    products = best_ms(run, lambda: a @ a)
    run.limits[f"{dtype} GB/s"] = 2 * source.nbytes / copies / 1e6
    run.limits[f"{dtype} TFLOP/s"] = 2 * n**3 / products / 1e9


def best_ms(run: Run, call: Callable[[], object]) -> float:
    """Return the shortest of some runs, after one to warm up."""
    return min([elapsed_ms(call, run.device) for _ in range(1 + ROUNDS)][1:])


def time_all(run: Run, shape: str, dtype: str) -> None:
    """Time everything on one model; what there is no time for is said."""
    run.says(f"{shape}, {dtype}: building")
    lm = built(shape, dtype, run.device)
    windows = drawn_windows(lm, 16, 128)
    stats = ActivationStats(measure(lm, windows), windows.numel(), "random", "")
    scores = score(lm, stats, criterion("wanda"))
    sections: dict[str, Callable[[], None]] = {
        "calibration": partial(calibration, run, lm, windows),
        "scoring": partial(scoring, run, lm, stats),
        "cutting": partial(cutting, run, lm, scores),
        "speeds": partial(speeds, run, lm, scores),
        "repairs": partial(repairs, run, RepairInputs(lm, scores, stats, windows)),
    }
    for what, section in sections.items():
        if run.left_s < WORK_S[shape]:
            remark = f"left out: {run.left_s:.0f} s are left"
            run.works.append(Work(shape, dtype, what, None, 0, None, remark))
            continue
        run.says(f"{shape}, {dtype}: {what}")
        try:
            section()
        except (torch.OutOfMemoryError, LLMRankError) as error:  # a smaller card
            remark = str(error).splitlines()[0][:160]
            run.works.append(Work(shape, dtype, what, None, 0, None, remark))
        except Exception as error:
            sentence = run.fails(f"{what} of {shape} in {dtype}", error)
            run.works.append(Work(shape, dtype, what, None, 0, None, sentence))
        forget(run.device)


def timed(
    run: Run, lm: LanguageModel, what: str, call: Callable[[], object], n: int = ROUNDS
) -> float:
    """Time some runs after one to warm up (unless there is but one); note the peak."""
    on_cuda = run.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(run.device)
    times = [elapsed_ms(call, run.device) for _ in range(n + (n > 1))][n > 1 :]
    peak = torch.cuda.max_memory_allocated(run.device) / 1e9 if on_cuda else None
    ms = statistics.median(times)
    run.works.append(Work(lm.spec.name, lm.spec.dtype, what, ms, n, peak))
    return ms


def calibration(run: Run, lm: LanguageModel, windows: torch.Tensor) -> None:
    """Time calibration against the bare forward pass on the same tokens."""
    bare_pass(lm, windows)
    runs = {"bare forward": bare_pass, "calibration": measure}
    rates = []
    for what, call in runs.items():
        ms = timed(run, lm, what, partial(call, lm, windows))
        rates.append(1000 * windows.numel() / ms)
    both = f"{rates[1]:,.0f} tokens/s, bare {rates[0]:,.0f}: {rates[1] / rates[0]:.2f}"
    name, dtype = lm.spec.name, lm.spec.dtype
    run.works.append(Work(name, dtype, "calibration / bare", None, 0, None, both))


def scoring(run: Run, lm: LanguageModel, stats: ActivationStats) -> None:
    """Time scoring all neurons: from scratch, the planes, and from planes."""
    drawn = graphs(ffn.ffns(lm.model), stats)
    step = partial(pagerank.weighted_pagerank, theta=0.5, gamma=0.5)
    walks = {"isolated": pagerank.isolated, "chained": pagerank.chained}
    for graph, walk in walks.items():
        made = partial(planes, drawn, graph=graph, site="neuron")
        known = made()
        from_scratch = partial(walk, drawn, step, "neuron")
        timed(run, lm, f"scores from scratch, {graph}", from_scratch)
        timed(run, lm, f"planes made, {graph}", made, 2)
        timed(run, lm, f"scores from planes, {graph}", partial(known.scores, 0.3, 0.7))


def cutting(run: Run, lm: LanguageModel, scores: Scores) -> None:
    """Time the way to the model at 30 %: cut, sorted once, and a prefix."""
    chosen = plan(scores, PruningSpec(sparsity=0.3))
    timed(run, lm, "cut", partial(prune, lm, chosen), 3)
    timed(run, lm, "neurons sorted, once", partial(sort_neurons, lm, scores), 1)
    ordered = sort_neurons(lm, scores)
    timed(run, lm, "prefix view", partial(prefix, ordered, chosen))


def repairs(run: Run, inputs: RepairInputs) -> None:
    """Time second moments, and each repair's preparation and cut at 30 %."""
    lm, chosen = inputs.lm, plan(inputs.scores, PruningSpec(sparsity=0.3))
    read = partial(moments, lm, inputs.windows)
    timed(run, lm, "second moments", lambda: [None for _ in read()], 1)
    for name in REPAIRS:
        if run.left_s < WORK_S[lm.spec.name]:
            remark = f"left out: {run.left_s:.0f} s are left"
            own = (lm.spec.name, lm.spec.dtype, f"repair {name}")
            run.works.append(Work(*own, None, 0, None, remark))
            continue
        cutters = []
        prepare = partial(repair(name).cutter, inputs)
        timed(
            run, lm, f"{name}: prepared", lambda p=prepare, c=cutters: c.append(p()), 1
        )
        timed(run, lm, f"{name}: cut", partial(cutters[-1], chosen, silent), 1)


def speeds(run: Run, lm: LanguageModel, scores: Scores) -> None:
    """Time dense against pruned, pair by pair: memory holds two models, not four."""
    for sparsity in SPARSITIES:
        spec = BenchmarkSpec(
            prompt_tokens=32 if run.tiny else 1024,
            new_tokens=2 if run.tiny else 8,
            repeats=5 if run.left_s > 4 * WORK_S[lm.spec.name] else 3,
        )
        pruned = prune(lm, plan(scores, PruningSpec(sparsity, multiple_of=8)))
        if run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(run.device)
        costs = speedup.measure((lm, pruned), spec)
        compared(run, lm, f"{sparsity:.0%}", costs)
        if run.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(run.device) / 1e9
            own = (lm.spec.name, lm.spec.dtype, f"dense beside {sparsity:.0%}")
            run.works.append(Work(*own, None, spec.repeats, peak))


def compared(
    run: Run, lm: LanguageModel, removed: str, costs: tuple[speedup.Cost, ...]
) -> None:
    """Note both phases, and how short they could be by the card's own limits."""
    found = speedup.speedup(*costs)
    for phase, ratio in (("prefill", found.prefill), ("decode", found.decode)):
        dense, pruned = (floor_ms(run, lm.spec.dtype, c, phase) for c in costs)
        times = [getattr(c.latency, phase).median for c in costs]
        run.speeds.append(
            Speed(
                lm.spec.name, lm.spec.dtype, removed, phase, *times, ratio.measured,
                ratio.low, ratio.high, dense / pruned, dense, ratio.n_rounds,
            )
        )  # fmt: skip


def floor_ms(run: Run, dtype: str, cost: speedup.Cost, phase: str) -> float:
    """Return the time of reading the weights or of the products, whichever is more."""
    sizes, n = cost.footprint, cost.latency.prompt_tokens
    macs = sizes.prefill_macs(n) if phase == "prefill" else sizes.macs_per_token
    reading = sizes.read_bytes_per_token / run.limits[f"{dtype} GB/s"] / 1e6
    return max(reading, 2 * macs / run.limits[f"{dtype} TFLOP/s"] / 1e9)
