"""Warnings before somebody trusts a pruned model: what is wrong, and what to do."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from llmrank.analysis.stability import Stability
from llmrank.core.formatting import share, times
from llmrank.core.statistics import times_spread
from llmrank.evaluation.perplexity import perplexity_ratio
from llmrank.evaluation.speedup import Phase, Ratio, Speedup, as_fast
from llmrank.experiments.curve import Point
from llmrank.experiments.memory_estimate import MemoryEstimate
from llmrank.methods.criteria import L1, Criterion, LLMRank, Random, Scores
from llmrank.methods.method import label
from llmrank.methods.pruning import PruningPlan

Level = Literal["error", "warning", "info"]
"""error: do not go on like this; warning: look at it; info: know it."""

BASELINES = (Random, L1)
"""What any criterion has to beat: chance, and the weights alone."""

MEMORY_ROOM = 0.2
"""The share of free memory to leave: estimates know neither the KV cache, nor the
allocator's waste, nor the process of its own that measures peak memory."""

FLAT = 1e-5
"""Scores that differ by less, relative to the highest, are equal: they are float32
sums over some thousand inputs, whose rounding alone makes up to 1e-6."""

FEW = 0.05
"""A layer that keeps less than a twentieth of its neurons does little but pass on."""

FEW_OF_MEAN = 0.5
"""Only layers below half of the mean share kept are news: at a sparsity of 96 % few
neurons everywhere is what was asked for."""


@dataclass(frozen=True)
class Symptom:
    """Something that makes a result or the next step doubtful."""

    level: Level
    sentence: str
    remedy: str


ONLY_EDGES_COUNTED = Symptom(
    "error",
    "With θ = 0 and γ = 1 only edges are counted: neurons with equally many edges tie, "
    "and their index decides what is dropped.",
    "Raise θ above 0, or lower γ below 1.",
)


@dataclass(frozen=True)
class DiagnosticInputs:
    """What is known of an experiment so far; None and empty are not known (yet).

    `held_bytes` is the part of the memory estimate that is in memory already.
    """

    criterion: Criterion
    sparsity: float
    scores: Scores | None = None
    plan: PruningPlan | None = None
    points: tuple[Point, ...] = ()
    speedup: Speedup | None = None
    stability: Stability | None = None
    memory: MemoryEstimate | None = None
    held_bytes: int = 0


def symptoms(known: DiagnosticInputs) -> tuple[Symptom, ...]:
    """Return every warning that what is known gives, the worst first."""
    noticed = [
        *worse_than_baselines(known.points, known.criterion, known.sparsity),
        *degenerate_scores(known.criterion, known.scores),
    ]
    if known.plan is not None:
        noticed += starved_layers(known.plan)
    if known.speedup is not None:
        noticed += no_speedup(known.speedup)
    if known.stability is not None:
        noticed += unstable_scores(known.stability)
    if known.memory is not None:
        noticed += memory_short(known.memory, held_bytes=known.held_bytes)
    return tuple(sorted(noticed, key=lambda s: get_args(Level).index(s.level)))


def worse_than_baselines(
    points: Sequence[Point], in_hand: Criterion, sparsity: float
) -> tuple[Symptom, ...]:
    """Warn where chance or the L1 norm lose less, on the same windows.

    Points are of one model, text and allocation, as `curve` measures them; those at
    exactly this sparsity are compared.
    """
    here = [p for p in points if p.sparsity == sparsity]
    own = [p for p in here if p.criterion == in_hand]
    others = [
        p for p in here if isinstance(p.criterion, BASELINES) and p.criterion != in_hand
    ]
    pairs = [(p, other) for p in own[:1] for other in others]
    same = [(p, q) for p, q in pairs if p.pruned.windows == q.pruned.windows]
    return tuple(s for pair in same for s in _worse(*pair))


def no_speedup(speedup: Speedup) -> tuple[Symptom, ...]:
    """Warn where a phase did not get faster though fewer MACs are done, and say why.

    Disturbed timings are no reason to warn: they claim nothing.
    """
    phases: dict[Phase, Ratio] = {"prefill": speedup.prefill, "decode": speedup.decode}
    return tuple(
        _not_faster(phase, ratio, speedup.reasons)
        for phase, ratio in phases.items()
        if ratio.ideal > 1 and ratio.outcome not in ("faster", "disturbed")
    )


def unstable_scores(stability: Stability) -> tuple[Symptom, ...]:
    """Warn where more calibration text would still change what is dropped."""
    if stability.enough is not False:
        return ()
    n = stability.calibration.samples
    remedy = f"Read more calibration text: samples {2 * n:,} instead of {n:,}."
    return (Symptom("warning", stability.sentence, remedy),)


def memory_short(
    estimate: MemoryEstimate, *, held_bytes: int = 0
) -> tuple[Symptom, ...]:
    """Warn where a run would not fit into the free memory, or only just."""
    if estimate.available_bytes is None:
        return ()
    wanted = estimate.total_bytes - held_bytes
    held = f" ({held_bytes / 1e9:.2f} GB of it are loaded)" if held_bytes else ""
    remedy = "Choose a smaller dtype or a smaller model, or close other programs."
    if wanted > estimate.available_bytes:
        said = f"{estimate.sentence}{held}: too little."
        return (Symptom("error", said, remedy),)
    if wanted > (1 - MEMORY_ROOM) * estimate.available_bytes:
        said = f"{estimate.sentence}{held}: less than {share(MEMORY_ROOM)} to spare."
        return (Symptom("warning", said, remedy),)
    return ()


def degenerate_scores(
    criterion: Criterion, scores: Scores | None = None
) -> tuple[Symptom, ...]:
    """Warn where scores tell no neurons apart, or are activation under another name.

    The criterion's parameters can tell without any score.
    """
    flat = _flat(() if scores is None else scores.layers)
    if not isinstance(criterion, LLMRank) or criterion.variant != "weighted":
        return flat
    if criterion.rho is None:
        return (ONLY_EDGES_COUNTED,)
    return flat if criterion.rho else (*flat, _activation_alone(criterion))


def starved_layers(plan: PruningPlan) -> tuple[Symptom, ...]:
    """Warn where one threshold over all layers leaves a layer with very few neurons."""
    kept = [w / d for w, d in zip(plan.widths, plan.dense_widths, strict=True)]
    few = min(FEW, FEW_OF_MEAN * (1 - plan.sparsity))
    starved = [layer for layer, s in enumerate(kept) if s < few]
    if not starved:
        return ()
    worst = min(starved, key=kept.__getitem__)
    width, dense = plan.widths[worst], plan.dense_widths[worst]
    n_more = len(starved) - 1
    more = f", and {n_more} more less than {share(few)}" if n_more else ""
    said = (
        f"Layer {worst} keeps only {width:,} of {dense:,} neurons "
        f"({share(kept[worst])}){more}, where the model keeps "
        f"{share(1 - plan.sparsity)}."
    )
    remedy = "Use allocation uniform, which keeps as many in each, or remove less."
    return (Symptom("warning", said, remedy),)


def _worse(point: Point, baseline: Point) -> Iterator[Symptom]:
    ratio = perplexity_ratio(baseline.pruned, point.pruned)
    ours, theirs = label(point.criterion), label(baseline.criterion)
    where = f"At {share(point.sparsity)} removed {ours}"
    on = f"its perplexity on the same {ratio.n_windows:,} windows"
    worse = f"{times_spread(ratio)} {on}"
    if ratio.low > 1:
        yield Symptom(
            "error",
            f"{where} is worse than {theirs}: {worse}.",
            "Choose another criterion or other parameters, or remove less.",
        )
    elif ratio.value > 1:
        yield Symptom(
            "warning",
            f"{where} looks worse than {theirs}, which is not settled: {worse}.",
            "Measure on more text (eval_tokens) before you trust this setting.",
        )


def _not_faster(phase: Phase, ratio: Ratio, reasons: Iterable[str]) -> Symptom:
    what = "Reading the prompt" if phase == "prefill" else "Writing a token"
    other = "Decode" if phase == "prefill" else "Prefill"
    why = " ".join(r for r in reasons if not r.startswith(other))
    slower = ratio.outcome == "slower"
    verdict = "got slower" if slower else "did not get measurably faster"
    return Symptom(
        "error" if slower else "warning",
        f"{what} {verdict}: {as_fast(ratio)} as dense, {times(ratio.ideal)} by "
        f"arithmetic. {why}",
        "Measure again with more repeats on a quiet machine; if it stays, remove more, "
        "or use a larger batch, where arithmetic counts for more.",
    )


def _activation_alone(criterion: LLMRank) -> Symptom:
    same = f"the ranking is that of activation (site {criterion.site})"
    if criterion.gamma == 0:
        said = f"With γ = 0 the graph has no say: {same}."
        return Symptom("info", said, "Raise γ above 0 to let the graph count.")
    said = (
        f"With θ = 0 every edge counts alike, whatever its weight: {same}, but for "
        "weights that are exactly zero."
    )
    return Symptom("info", said, "Raise θ above 0 to let the weights count.")


def _flat(layers: Sequence[Float[Tensor, " _"]]) -> tuple[Symptom, ...]:
    flat = [
        layer
        for layer, s in enumerate(layers)
        if len(s) > 1 and float(s.max() - s.min()) <= FLAT * float(s.max())
    ]
    if not flat:
        return ()
    everywhere = len(flat) == len(layers)
    which = "every layer" if everywhere else f"{len(flat)} of {len(layers)} layers"
    first = "" if everywhere else f" (first: layer {flat[0]})"
    said = f"In {which}{first} all scores are equal, and the index decides what is "
    remedy = (
        "Choose another criterion or other parameters, or another calibration text if "
        "its activations are all zero."
    )
    level: Level = "error" if everywhere else "warning"
    return (Symptom(level, f"{said}dropped.", remedy),)
