"""What one neuron is worth, measured: the loss without it, dense and pruned."""

from dataclasses import dataclass

import torch

from llmrank.analysis.neuron.neuron import Neuron, check
from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import Estimate, t_interval
from llmrank.evaluation.perplexity import EvaluationSpec, TextEvaluation, evaluate
from llmrank.methods.pruning import PruningPlan, prune
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

SMALL = EvaluationSpec(eval_tokens=2048)
"""Enough to see the strong neurons; the interval says where it is not."""

Texts = tuple[TextEvaluation | None, TextEvaluation | None]
"""What the dense and the pruned model are known to measure on the same text."""


@dataclass(frozen=True)
class LossChange:
    """Nats per token before and after, and the mean difference, paired by window."""

    before: float
    after: float
    difference: Estimate


@dataclass(frozen=True)
class Effect:
    """The measured change of loss when one neuron alone changes sides.

    `removed`: it alone leaves the dense model. `switched`: it alone changes sides in
    the pruned model: kept although the plan drops it, or, if `kept_by_plan`, dropped
    too. None where a layer would be emptied. Negative: the loss falls.
    """

    neuron: Neuron
    removed: LossChange | None
    kept_by_plan: bool
    switched: LossChange | None
    n_tokens: int
    text_source: str

    @property
    def inputs(self) -> str:
        """How these numbers came about, in a few words."""
        return f"measured on {self.n_tokens:,} tokens ({self.text_source})"


def effect(
    lm: LanguageModel,
    plan: PruningPlan,
    neuron: Neuron,
    spec: EvaluationSpec = SMALL,
    *,
    known: Texts = (None, None),
    progress: Progress = silent,
) -> Effect:
    """Measure one neuron's worth in the dense and in the pruned model, by cutting it.

    Four readings of the text: both models as they are and with this one difference.

    Args:
        lm: the dense model.
        plan: the plan of the pruned model.
        neuron: which neuron leaves, and changes sides.
        spec: the held-out text.
        known: readings of the dense and of the pruned model with the same spec.
        progress: called per window; may cancel.

    Raises:
        OptionError: no such neuron.
        LLMRankError: the text is unusable, or the model's output is not finite.
        ValueError: the plan is of another model, or `known` of another text.
    """
    check(neuron, ffn.widths(lm.model))
    whole = PruningPlan(
        tuple(torch.arange(d) for d in plan.dense_widths), plan.dense_widths
    )
    dense, removed = _change(
        lm, whole, neuron, spec, known[0], progress=_half(progress, 0)
    )
    _, switched = _change(lm, plan, neuron, spec, known[1], progress=_half(progress, 1))
    return Effect(
        neuron=neuron,
        removed=removed,
        kept_by_plan=neuron.index in plan.keep[neuron.layer].tolist(),
        switched=switched,
        n_tokens=dense.n_tokens,
        text_source=dense.text_source,
    )


def switch(plan: PruningPlan, neuron: Neuron) -> PruningPlan | None:
    """Return the plan with one neuron on the other side; None if a layer is empty."""
    keep = list(plan.keep)
    kept = keep[neuron.layer]
    others = kept[kept != neuron.index]
    if len(others) == len(kept):
        others = torch.cat([kept, kept.new_tensor([neuron.index])]).sort().values
    keep[neuron.layer] = others
    return PruningPlan(tuple(keep), plan.dense_widths) if len(others) else None


def _change(
    lm: LanguageModel,
    plan: PruningPlan,
    neuron: Neuron,
    spec: EvaluationSpec,
    known: TextEvaluation | None,
    *,
    progress: Progress,
) -> tuple[TextEvaluation, LossChange | None]:
    """Read the text with a plan's model, and with the neuron on the other side."""
    before = known or _read(lm, plan, spec, _half(progress, 0))
    other = switch(plan, neuron)
    if other is None:
        return before, None
    after = _read(lm, other, spec, _half(progress, 1))
    if before.windows != after.windows:
        raise ValueError("the known reading is of other windows than this one's")
    means = float(before.nll.mean()), float(after.nll.mean())
    return before, LossChange(*means, t_interval(after.nll - before.nll))


def _read(
    lm: LanguageModel, plan: PruningPlan, spec: EvaluationSpec, progress: Progress
) -> TextEvaluation:
    model = prune(lm, plan) if plan.n_dropped else lm
    return evaluate(model, spec, progress=progress)


def _half(progress: Progress, half: int) -> Progress:
    """Report a stage as the first (0) or the second half (1) of a longer one."""
    return lambda what, done, total: progress(what, half * total + done, 2 * total)
