"""Distillation: the pruned model is taught to predict what the dense one predicts."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.recovery.base import (
    RECOVERIES,
    Moment,
    Recovered,
    Recovery,
    RecoveryInputs,
)
from llmrank.methods.recovery.budget import Trained
from llmrank.methods.recovery.teacher import Student
from llmrank.methods.recovery.training import Training
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

NORMS = ("norm", "ln_")
"""What the names of a norm's module have."""


@RECOVERIES.add("distil")
@spec
class Distillation(Trained):
    """Minimise KL(dense ‖ pruned) of the next token over the weights that stay.

    Head and embeddings are frozen, so that both models meet at the last hidden states.
    Sources: Hinton et al. 2015, arXiv 1503.02531, at temperature 1; Minitron
    (Muralidharan et al. 2024, arXiv 2407.14679) for logits alone after pruning.
    """

    trained: Literal["ffn", "ffn+norms", "ffn+norms+attention"] = option(
        default="ffn", help="Which weights are trained; embeddings and head never are"
    )

    steps: int = option(
        default=1, low=1, high=10, help="In how many cuts; each has its share of it"
    )

    @property
    def each(self) -> tuple[Recovery, ...]:
        """The training after each cut, on its share of the budget."""
        minutes = max(0.1, self.minutes / self.steps)
        tokens = -(-self.train_tokens // self.steps)
        one = replace(self, minutes=minutes, train_tokens=tokens, steps=1)
        return (one,) * self.steps

    formula = (
        r"\min_w \frac{1}{n} \sum_t \mathrm{KL}\big(p(\cdot \mid x_{\le t}) "
        r"\,\|\, q_w(\cdot \mid x_{\le t})\big)"
    )

    def recover(
        self,
        pruned: LanguageModel,
        inputs: RecoveryInputs,
        *,
        progress: Progress = silent,
        publish: Callable[[Moment], None] = lambda _: None,
        enough: Callable[[], bool] = lambda: False,
    ) -> Recovered:
        """Train on the windows until the budget is spent."""
        student, dtype = copied(pruned), next(pruned.model.parameters()).dtype
        weights = list(trainable(student, self.trained))
        training = Training(self.budget, Student(student, weights), inputs)
        training.run(progress, publish, enough)
        model = replace(pruned, model=student.to(dtype))
        curve = tuple(training.curve)
        return Recovered(model, curve, training.ended, training.is_kept)


def copied(pruned: LanguageModel) -> Any:
    """Share what is not trained; half precision would round small steps away."""
    if next(pruned.model.parameters()).dtype == torch.float32:
        return ffn.shared_copy(pruned.model)
    return copy.deepcopy(pruned.model).float()


def trainable(model: nn.Module, trained: str) -> Iterator[nn.Parameter]:
    """Give the trained modules weights of their own, which dense does not share."""
    for module in _trained_modules(model, trained):
        for name, weight in list(module.named_parameters(recurse=False)):
            own = nn.Parameter(weight.detach().clone(), requires_grad=True)
            setattr(module, name, own)
            yield own


def _trained_modules(model: nn.Module, trained: str) -> Iterator[nn.Module]:
    inside = [module for p in ffn.projections(model) for module in p.modules]
    yield from inside
    for block in ffn.blocks(model):
        for path, module in block.named_modules():
            kind = _kind(path)
            if module not in inside and kind is not None and kind in trained:
                yield module


def _kind(path: str) -> str | None:
    """Return what a module of a block is part of, by its path in there."""
    if any(part in path.rpartition(".")[2] for part in NORMS):
        return "norms"
    return "attention" if "attn" in path or "attention" in path else None
