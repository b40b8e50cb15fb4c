"""Distillation by low-rank updates, which are merged into the weights at the end."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.recovery.base import (
    RECOVERIES,
    Moment,
    Recovered,
    RecoveryInputs,
)
from llmrank.methods.recovery.budget import Budget, Trained
from llmrank.methods.recovery.distil import copied, trainable
from llmrank.methods.recovery.teacher import Student
from llmrank.methods.recovery.training import Training
from llmrank.models.language_model import LanguageModel

CONTROL = "Training the control"
"""The step of the progress."""


@RECOVERIES.add("lora")
@spec
class LoRA(Trained):
    """Train low-rank updates of the FFN weights, which are merged at the end.

    By the same divergence, or by the cross-entropy of the text, as LLM-Pruner does: on
    little text that mostly learns the text, which dense would learn as well. So dense
    is trained likewise, on as many tokens, and stands beside it as a control.
    Sources: Hu et al. 2021, arXiv 2106.09685, Eq. 3, by peft; as a recovery LLM-Pruner,
    Ma et al. 2023, arXiv 2305.11627, section 3.3.
    """

    rank: int = option(default=8, low=1, high=1024, help="Rank of the updates")
    alpha: int = option(
        default=16, low=1, high=4096, help="Updates are scaled by alpha over rank"
    )

    loss: Literal["kl", "cross-entropy"] = option(
        default="kl", help="Divergence from dense, or surprise at the text itself"
    )

    @property
    def has_control(self) -> bool:
        """Whether dense is trained likewise."""
        return self.loss == "cross-entropy"

    formula = (
        r"\min_{A, B} \frac{1}{n} \sum_t \mathrm{KL}\big(p(\cdot \mid x_{\le t}) "
        r"\,\|\, q_{w + \frac{\alpha}{r} B A}(\cdot \mid x_{\le t})\big)"
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
        """Train the updates until the budget is spent, and add them to the weights."""
        model, training = self._trained(pruned, inputs, self.budget)
        training.run(progress, publish, enough)
        curve, control = tuple(training.curve), None
        if self.has_control:
            likewise = replace(self.budget, tokens=max(1, curve[-1].n_tokens))
            kept = None if inputs.kept is None else inputs.kept.beside("control")
            own = replace(inputs, kept=kept)
            dense, beside = self._trained(inputs.dense, own, likewise)
            beside.run(
                lambda _, done, total: progress(CONTROL, done, total),
                lambda _: None,
                lambda: False,
            )
            control = dense()
        ended, is_kept = training.ended, training.is_kept
        return Recovered(model(), curve, ended, is_kept, self.loss, control)

    def _trained(
        self, lm: LanguageModel, inputs: RecoveryInputs, budget: Budget
    ) -> tuple[Callable[[], LanguageModel], Training]:
        """Return the training of a copy, and what merges it afterwards."""
        dtype = next(lm.model.parameters()).dtype
        model = copied(lm)
        tuner = self._tuner(model, set(map(id, trainable(model, "ffn"))))
        weights = [w for w in model.parameters() if w.requires_grad]
        training = Training(budget, Student(model, weights), inputs, self.loss)
        return lambda: replace(lm, model=tuner.merge_and_unload().to(dtype)), training

    def _tuner(self, model: nn.Module, weights: set[int]) -> Any:
        """Put updates beside these weights; all others are frozen."""
        try:
            import peft
        except ImportError as error:
            raise LLMRankError(
                "lora needs peft, which is not installed: pip install peft"
            ) from error
        targets = {
            name: module
            for name, module in model.named_modules()
            if any(id(w) in weights for w in module.parameters(recurse=False))
        }
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            target_modules=list(targets),
            lora_dropout=0.0,
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in targets.values()),
        )
        with torch.random.fork_rng(devices=[]):  # A is drawn at random, B is 0
            torch.manual_seed(self.seed)
            return peft.LoraModel(model, config, "recovery")
