"""Is it right on this device? Everything against the CPU in float32, same weights."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_models import Check, Run, built, converted, drawn_windows, forget
from llmrank.calibration import gradients
from llmrank.calibration.activations import ActivationStats, measure
from llmrank.calibration.gradients import Gradients
from llmrank.calibration.second_moments import moments
from llmrank.core.progress import silent
from llmrank.methods import pagerank
from llmrank.methods.criteria import CRITERIA, Criterion, Scores, criterion, score
from llmrank.methods.graph import graphs
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan, prune
from llmrank.methods.repair import REPAIRS, RepairInputs, repair
from llmrank.methods.response_planes import PROBES, planes
from llmrank.methods.sorted_model import prefix, sort_neurons
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

CPU = torch.device("cpu")
WINDOWS = (16, 64)
N_GRADIENTS = 4
SPARSITY = PruningSpec(sparsity=0.3)
ALLOWED = {"float32": 1e-3, "bfloat16": 0.1}
"""Of a layer's largest value: what rounding may leave, and a wrong sum may not."""

ALLOWED_ASIDE = {"float32": 0.005, "bfloat16": 0.1}
"""Of the neurons dropped: those whose scores lie closer to the edge than rounding."""

RANKED = ("gprune",)
"""Scores that are places: one swapped pair moves them by a step, not by rounding."""

VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llm-rank", {"graph": "chained"}),
    ("llm-rank", {"site": "up"}),
    ("llm-rank", {"variant": "modified"}),
    ("reverse-rank", {"direction": "both"}),
    ("reverse-rank", {"direction": "both", "graph": "chained"}),
    ("wanda", {"column_norm": "l1"}),
    ("cfsp", {"relative_to": "neuron"}),
    ("l1", {"weights": "all"}),
    ("taylor", {"taylor_order": "second"}),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A model, and what is measured of it before anything is scored."""

    lm: LanguageModel
    windows: Tensor
    stats: ActivationStats
    second: ActivationStats
    slopes: Gradients

    def scores(self, by: Criterion) -> Scores:
        """Score every neuron."""
        given = {"gradients": self.slopes, "second": self.second}
        return score(self.lm, self.stats, by, **given)


def check_all(run: Run, shape: str) -> None:
    """Compare everything on a shape, in both precisions."""
    run.says(f"{shape}: is it right? The CPU first")
    rounded = built(shape, "bfloat16", run.device)  # the same weights for all
    ours = known(converted(rounded, "float32", CPU))
    for dtype in ALLOWED:
        run.says(f"{shape}, {dtype}: against the CPU")
        made: list[Known] = []
        lm = converted(rounded, dtype, run.device)
        tried(run, "measuring", dtype, lambda m=made, lm=lm: m.append(known(lm)) or [])
        for theirs in made:
            for what, check in CHECKS.items():
                tried(run, what, dtype, partial(check, ours, theirs))
        made.clear()
        forget(run.device)


def tried(
    run: Run, what: str, dtype: str, check: Callable[[], Sequence[Check]]
) -> None:
    """Add what a check found; one that breaks must not hide the others."""
    try:
        run.checks.extend(check())
    except Exception as error:
        sentence = run.fails(f"{what} in {dtype}", error)
        run.checks.append(
            Check(what, dtype, None, None, None, None, holds=False, remark=sentence)
        )


def known(lm: LanguageModel) -> Known:
    """Measure statistics on two texts, and gradients."""
    windows = drawn_windows(lm, *WINDOWS)
    stats, second = (
        ActivationStats(measure(lm, ids), ids.numel(), "random", "")
        for ids in (windows, windows // 7)
    )
    (layers,) = gradients.measure(lm, windows[:N_GRADIENTS])
    return Known(lm, windows, stats, second, Gradients(layers, N_GRADIENTS, "", ""))


def statistics(ours: Known, theirs: Known) -> list[Check]:
    """Compare every field of the statistics, layer by layer."""
    pairs = list(zip(ours.stats.layers, theirs.stats.layers, strict=True))
    checks = []
    for name in (f.name for f in dataclasses.fields(pairs[0][0])):
        fields = [[torch.as_tensor(getattr(x, name)) for x in pair] for pair in pairs]
        worst = max(relative(*pair) for pair in fields)
        checks.append(judged(f"statistics: {name}", theirs, worst))
    return checks


def slopes(ours: Known, theirs: Known) -> list[Check]:
    """Compare every number of the gradients, all parts of a neuron together."""
    names = vars(ours.slopes.layers[0].up)
    return [
        judged(
            f"gradients: {name}",
            theirs,
            max(
                relative(getattr(a, name), getattr(b, name))
                for x, y in zip(ours.slopes.layers, theirs.slopes.layers, strict=True)
                for a, b in zip(x.members, y.members, strict=True)
            ),
        )
        for name in names
    ]


def all_scores(ours: Known, theirs: Known) -> Iterator[Check]:
    """Compare the scores of every criterion, and who is dropped at 30 %."""
    for name, fields in (*((name, {}) for name in CRITERIA), *VARIANTS):
        by = criterion(name, **fields)
        a, b = ours.scores(by), theirs.scores(by)
        worst = max(map(relative, a.layers, b.layers))
        words = " ".join([name, *(f"{k}={v}" for k, v in fields.items())])
        ranked = name in RANKED
        yield judged(f"scores: {words}", theirs, worst, (a, b), by_sides=ranked)


def cutting(ours: Known, theirs: Known) -> list[Check]:
    """Compare cut with masked and with a prefix, all on the device; and with the CPU's.

    Masked: the dense model, the columns of `down` that belong to dropped neurons zero.
    """
    scores = ours.scores(criterion("wanda"))
    chosen = plan(scores, SPARSITY)
    cut, lm = prune(theirs.lm, chosen), theirs.lm
    short = prefix(sort_neurons(lm, scores), chosen)
    dense = logits(ours, ours.lm), logits(theirs, lm)
    both = logits(ours, prune(ours.lm, chosen)), logits(theirs, cut)
    masked = logits(theirs, masked_model(lm, chosen))
    return [
        judged("logits: dense, the CPU's", theirs, relative(*dense)),
        judged("logits: cut, the CPU's", theirs, relative(*both)),
        judged("logits: cut against masked", theirs, relative(masked, both[1])),
        judged(
            "logits: prefix against cut",
            theirs,
            relative(both[1], logits(theirs, short)),
        ),
    ]


def masked_model(lm: LanguageModel, chosen: PruningPlan) -> LanguageModel:
    """Zero what dropped neurons put out; every neuron is still computed."""
    downs = []
    for view, drop in zip(ffn.ffns(lm.model), chosen.drop, strict=True):
        down = view.down.clone()
        down[:, drop.to(down.device)] = 0
        downs.append(down)
    return dataclasses.replace(lm, model=ffn.with_down(lm.model, downs))


def repairs(ours: Known, theirs: Known) -> Iterator[Check]:
    """Compare second moments, and the logits of models repaired by the same plan."""
    both = (moments(one.lm, one.windows) for one in (ours, theirs))
    worst = max(relative(a.total, b.total) for a, b in zip(*both, strict=True))
    yield judged("second moments", theirs, worst)
    scores = ours.scores(criterion("wanda"))
    chosen = plan(scores, SPARSITY)
    for name in REPAIRS:
        for fields in ({}, {"ridge": 1.0}) if "least" in name else ({},):
            made = []
            for one in (ours, theirs):
                inputs = RepairInputs(one.lm, scores, one.stats, one.windows)
                made.append(repair(name, **fields).cutter(inputs)(chosen, silent))
            worst = relative(logits(ours, made[0]), logits(theirs, made[1]))
            views = zip(*(ffn.ffns(lm.model) for lm in made), strict=True)
            worst = max(worst, *(relative(a.down, b.down) for a, b in views))
            words = " ".join([name, *(f"{k}={v}" for k, v in fields.items())])
            yield judged(f"repair: {words}", theirs, worst)


def all_planes(ours: Known, theirs: Known) -> Iterator[Check]:
    """Compare planes with the recursion, both on the device, at many θ and γ.

    The isolated graph's are exact; the chained graph's may miss by what they say.
    """
    drawn = [graphs(ffn.ffns(one.lm.model), one.stats) for one in (ours, theirs)]
    dtype = theirs.lm.spec.dtype
    walks = {"isolated": pagerank.isolated, "chained": pagerank.chained}
    for graph, walk in walks.items():
        a, b = (planes(g, graph=graph, site="neuron") for g in drawn)
        worst, allowed = 0.0, max(b.errors) + 1e-5
        for theta, gamma in PROBES:
            step = partial(pagerank.weighted_pagerank, theta=theta, gamma=gamma)
            exact = (s.cpu().double() for s in walk(drawn[1], step, "neuron"))
            pairs = zip(b.scores(theta, gamma), exact, strict=True)
            worst = max(worst, *(float((x - y).abs().sum()) for x, y in pairs))
        what, holds = f"planes: {graph}, L1 from the recursion", worst <= allowed
        yield Check(what, dtype, worst, allowed, None, None, holds)
        scores = Scores(a.scores(0.5, 0.5)), Scores(b.scores(0.5, 0.5))
        worst = max(map(relative, scores[0].layers, scores[1].layers))
        yield judged(f"planes: {graph}, the CPU's", theirs, worst, scores)


CHECKS: dict[str, Callable[[Known, Known], Any]] = {
    "statistics": statistics,
    "gradients": slopes,
    "scores": all_scores,
    "planes": all_planes,
    "cutting": cutting,
    "repairs": repairs,
}


def judged(
    what: str,
    theirs: Known,
    worst: float,
    scored: tuple[Scores, Scores] | None = None,
    *,
    by_sides: bool = False,
) -> Check:
    """Say whether a difference, and the neurons on the other side, are rounding."""
    dtype = theirs.lm.spec.dtype
    allowed, n_aside, n_dropped = ALLOWED[dtype], None, None
    holds = by_sides or worst <= allowed  # NaN holds nothing
    if scored is not None:
        a, b = (plan(s, SPARSITY).drop for s in scored)
        n_dropped = sum(map(len, a))
        pairs = zip(a, b, strict=True)
        n_aside = sum(len(set(x.tolist()) - set(y.tolist())) for x, y in pairs)
        holds = holds and n_aside <= ALLOWED_ASIDE[dtype] * n_dropped
    remark = "judged by the neurons" if by_sides else ""
    return Check(what, dtype, worst, allowed, n_aside, n_dropped, holds, remark)


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    a, b = (x.detach().cpu().double() for x in (ours, theirs))
    largest = float(a.abs().max())
    return float((a - b).abs().max()) / (largest or 1.0)


@torch.inference_mode()
def logits(known: Known, lm: LanguageModel) -> Tensor:
    """Run two of the windows."""
    return lm.model(known.windows[:2].to(lm.device), use_cache=False).logits.cpu()
